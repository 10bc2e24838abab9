// Layers over rows of a small table against PyTorch 1.13.1, whose results lie in goldens/tables.safetensors
// (conformance/goldens/tables.py): outputs, and gradients of the table and of the layer.
import { readFileSync } from "node:fs"
import { CpuJs } from "@rondo/backend-cpu-js"
import type { DType } from "@rondo/backend"
import { fromBytes, linear, parseSafetensors, Tensor, use } from "@rondo/core"
import { describe, expect, it } from "vitest"
import { Embedding, GRU, Linear, LSTM, Module, ModuleDict, RNN } from "./index.js"

const bytes = readFileSync(new URL("./goldens/tables.safetensors", import.meta.url))
const { tensors: stored } = parseSafetensors(new Uint8Array(bytes))

function golden(key: string): Tensor {
  const found = stored.get(key)
  if (!found) throw new Error(`no golden ${key}`)
  return fromBytes(found.data, found.shape, found.dtype as DType)
}

const dtype = "float64"

/** The table is also the weight of the layer behind it. */
class Tied extends Module {
  readonly #table: Embedding
  constructor(table: Embedding) {
    super()
    this.#table = table
  }
  forward(x: Tensor): Tensor {
    return linear(x, this.#table.weight)
  }
}

interface Model {
  readonly table: Embedding
  readonly layer: Module & { forward(x: Tensor): Tensor | readonly unknown[] }
}

const table = (rows: number, width: number, options = {}): Embedding =>
  new Embedding(rows, width, { ...options, dtype })
const tied = (rows: Embedding): Model => ({ table: rows, layer: new Tied(rows) })

const models: Readonly<Record<string, () => Model>> = {
  lstm: () => ({
    table: table(4, 16, { paddingIdx: 2 }),
    layer: new LSTM(16, 3, { batchFirst: true, bidirectional: true, dtype }),
  }),
  gru: () => ({ table: table(4, 17), layer: new GRU(17, 3, { numLayers: 2, dtype }) }),
  rnn: () => ({ table: table(4, 16), layer: new RNN(16, 5, { bias: false, batchFirst: true, dtype }) }),
  linear: () => ({ table: table(4, 16, { paddingIdx: 0 }), layer: new Linear(16, 6, { dtype }) }),
  tied: () => tied(table(4, 16)),
  often: () => ({ table: table(4, 16, { scaleGradByFreq: true }), layer: new Linear(16, 2, { dtype }) }),
  short: () => ({ table: table(4, 16, { maxNorm: 1 }), layer: new Linear(16, 2, { bias: false, dtype }) }),
}

describe("layers over rows of a table", () => {
  it.each(Object.entries(models))("%s has PyTorch's output and gradients", (name, make) => {
    use(new CpuJs())
    const { table: rows, layer } = make()
    const model = new ModuleDict({ table: rows, layer })
    const weights = Object.keys(model.stateDict())
    model.loadStateDict(Object.fromEntries(weights.map((key) => [key, golden(`${name}/w_${key}`)])))
    const result = layer.forward(rows.forward(golden(`${name}/index`)))
    const out = result instanceof Tensor ? result : (result[0] as Tensor)
    const close = (got: Tensor | null, key: string): void => {
      const expected = golden(`${name}/${key}`)
      expect([key, got?.shape]).toEqual([key, expected.shape])
      expect([key, (got as Tensor).sub(expected).abs().max().itemSync() < 1e-13]).toEqual([key, true])
    }
    close(out.detach(), "out")
    const factors = Float64Array.from({ length: out.shape.reduce((n, size) => n * size, 1) }, (_, i) => Math.sin(i))
    out
      .mul(fromBytes(new Uint8Array(factors.buffer), out.shape, dtype))
      .sum()
      .backward()
    for (const [key, parameter] of model.namedParameters()) close(parameter.grad, `d_${key}`)
  })
})
