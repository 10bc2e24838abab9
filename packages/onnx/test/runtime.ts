// Runs exported files in ONNX Runtime and compares with the module. Where the runtime cannot load, it says so in reports/.
import { CpuJs } from "@rondo/backend-cpu-js"
import { noGrad, Tensor, tensor, use } from "@rondo/core"
import type { Module } from "@rondo/nn"
import type * as Ort from "onnxruntime-node"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect } from "vitest"
import { exportOnnx, type OnnxInput, type OnnxOptions } from "../src/index.js"

use(new CpuJs())

const reports = join(dirname(fileURLToPath(import.meta.url)), "../../../reports")
const report = join(reports, "could-not-run-onnx.json")

async function load(): Promise<typeof Ort | null> {
  try {
    const ort = await import("onnxruntime-node")
    rmSync(report, { force: true })
    return ort
  } catch (error) {
    mkdirSync(reports, { recursive: true })
    const entry = { what: "exported ONNX files in onnxruntime-node", why: String(error) }
    writeFileSync(report, `${JSON.stringify([entry], null, 1)}\n`)
    return null
  }
}

/** The runtime, or null where its binary does not load: tests that need it are then skipped and listed. */
export const ort = await load()

/** Tensors nested as `forward` gives them. */
type Nested = Tensor | readonly Nested[]
const flat = (value: Nested): Tensor[] => (value instanceof Tensor ? [value] : value.flatMap(flat))

/** Runs the file's bytes and gives its outputs in their order. */
export async function runFile(file: Uint8Array, inputs: Readonly<Record<string, Tensor>>): Promise<Tensor[]> {
  const { InferenceSession, Tensor: OrtTensor } = ort as typeof Ort
  const session = await InferenceSession.create(file, { logSeverityLevel: 3, intraOpNumThreads: 1 })
  const feeds: Record<string, Ort.Tensor> = {}
  for (const [name, x] of Object.entries(inputs)) {
    feeds[name] = new OrtTensor(x.dtype as "float32", (await x.data()) as Float32Array, x.shape)
  }
  const results = await session.run(feeds)
  const outputs = session.outputNames.map((name) => {
    const { data, dims, type } = results[name]
    return tensor(data as Float32Array, { dtype: type as "float32" }).reshape([...dims])
  })
  await session.release()
  return outputs
}

/** Fails unless both lists hold the same shapes and, within 1e-5, the same numbers. */
export async function expectClose(got: readonly Tensor[], expected: readonly Tensor[]): Promise<void> {
  expect(got.map((x) => x.shape)).toEqual(expected.map((x) => x.shape))
  for (const [i, x] of got.entries()) {
    const [a, b] = [await x.data(), await expected[i].data()] as [Float32Array, Float32Array]
    a.forEach((value, k) => {
      const gap = Math.abs(value - b[k])
      if (!Object.is(value, b[k]) && !(gap <= 1e-5 * (1 + Math.abs(b[k]))))
        expect.fail(`output ${i}, element ${k}: got ${value}, expected ${b[k]}`)
    })
  }
}

/** One case: the module, what it is exported with, and the tensors of each run, in the order of the inputs. */
export interface Case extends Omit<OnnxOptions, "inputs"> {
  readonly inputs?: readonly OnnxInput[]
  readonly runs: readonly (readonly Tensor[])[]
  /** What the module gives. Default: its `forward`. */
  readonly forward?: (...inputs: Tensor[]) => Nested
}

/** Exports, runs and compares; inputs are called x0, x1, … and sized as in the first run, unless given. */
export async function check(module: Module, { runs, forward, inputs, ...options }: Case): Promise<void> {
  const declared =
    inputs ??
    runs[0].map(({ shape, dtype }, i): OnnxInput => ({ name: `x${i}`, shape, dtype: dtype as OnnxInput["dtype"] }))
  const file = await exportOnnx(module, { inputs: declared, ...options })
  module.eval()
  for (const tensors of runs) {
    const compute = forward ?? (module.forward as (...inputs: Tensor[]) => Nested).bind(module)
    const expected = flat(noGrad(() => compute(...tensors)))
    const feeds = Object.fromEntries(tensors.map((x, i) => [declared[i].name, x]))
    await expectClose(await runFile(file, feeds), expected)
  }
}
