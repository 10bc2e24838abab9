// State dicts between PyTorch 1.13.1 and this library: a file of PyTorch's gives its outputs here, and the reverse where a
// PyTorch is at hand (conformance/goldens/interop.py).
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { CpuJs } from "@rondo/backend-cpu-js"
import { loadSafetensors, noGrad, openSafetensors, saveSafetensors, type Tensor, use } from "@rondo/core"
import { GRU, Linear, LSTM, Module, RNN } from "@rondo/nn"
import { beforeAll, describe, expect, it } from "vitest"
import { expectClose } from "./goldens/problem.js"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const file = new Uint8Array(readFileSync(new URL("./goldens/interop.safetensors", import.meta.url)))
const python = "/usr/bin/python3"
const hasTorch = spawnSync(python, ["-c", "import torch"]).status === 0

beforeAll(() => {
  use(new CpuJs())
  const what = "PyTorch loads a state dict of ours and gives our outputs"
  const missing = hasTorch
    ? []
    : [{ what, why: `no PyTorch: ${python} -c "import torch" fails; apt-get install python3-torch` }]
  mkdirSync(join(root, "reports"), { recursive: true })
  writeFileSync(join(root, "reports", "could-not-run-interop.json"), JSON.stringify(missing))
})

class Net extends Module {
  readonly lstm = new LSTM(3, 6, { numLayers: 2, bidirectional: true, batchFirst: true })
  readonly gru = new GRU(12, 4, { batchFirst: true })
  readonly rnn = new RNN(4, 5, { nonlinearity: "relu", batchFirst: true })
  readonly out = new Linear(5, 2)
  forward(x: Tensor): Tensor {
    return this.out.forward(this.rnn.forward(this.gru.forward(this.lstm.forward(x)[0])[0])[0])
  }
}

const numbersOf = (x: Tensor): number[] => Array.from(x.detach().dataSync() as Float32Array)
const isGolden = (name: string): boolean => name.startsWith("golden.")

describe("state dicts", () => {
  it("of PyTorch load under the same names and give the same outputs", async () => {
    const tensors = await loadSafetensors(file)
    const { metadata } = await openSafetensors(file)
    expect(metadata).toEqual({ format: "pt", torch: expect.stringMatching(/^1\.13/) as string })
    const net = new Net()
    const result = net.loadStateDict(Object.fromEntries(Object.entries(tensors).filter(([name]) => !isGolden(name))))
    expect(result).toEqual({ missingKeys: [], unexpectedKeys: [] })
    expectClose(
      noGrad(() => net.forward(tensors["golden.x"])),
      numbersOf(tensors["golden.y"]),
      1e-6,
    )
    // What is written back are the very bytes: names, order, layout.
    const again = await saveSafetensors(
      { ...net.stateDict(), "golden.x": tensors["golden.x"], "golden.y": tensors["golden.y"] },
      metadata,
    )
    expect(again).toEqual(file)
  })

  it.skipIf(!hasTorch)("of ours load in PyTorch and give the same outputs", async () => {
    const net = new Net()
    const x = (await loadSafetensors(file, { names: ["golden.x"] }))["golden.x"]
    const folder = mkdtempSync(join(tmpdir(), "rondo-interop-"))
    try {
      const path = join(folder, "ours.safetensors")
      writeFileSync(path, await saveSafetensors({ ...net.stateDict(), "golden.x": x }, { format: "pt" }))
      const script = join(root, "packages", "conformance", "goldens", "interop.py")
      const { status, stdout, stderr } = spawnSync(python, [script, path], { encoding: "utf8" })
      expect([status, status === 0 ? "" : stderr]).toEqual([0, ""])
      const { metadata, y } = JSON.parse(stdout) as { metadata: object; y: number[] }
      expect(metadata).toEqual({ format: "pt" })
      expectClose(
        noGrad(() => net.forward(x)),
        y,
        1e-6,
      )
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
