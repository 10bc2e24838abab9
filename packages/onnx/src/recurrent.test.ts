// Recurrent layers and cells, exported with every option and run in ONNX Runtime.
import { manualSeed, randn, stack, type Tensor, tensor } from "@rondo/core"
import {
  GRU,
  GRUCell,
  LSTM,
  LSTMCell,
  type Module,
  packPaddedSequence,
  padPackedSequence,
  RNN,
  RNNCell,
} from "@rondo/nn"
import { describe, expect, it } from "vitest"
import { check, ort } from "../test/runtime.js"
import type { OnnxInput, Outputs } from "./index.js"

type Options = NonNullable<ConstructorParameters<typeof LSTM>[2]>
type AnyLayer = RNN | GRU | LSTM
const kinds: Record<string, (options: Options) => AnyLayer> = {
  "tanh RNN": (options) => new RNN(3, 4, options),
  "relu RNN": (options) => new RNN(3, 4, { ...options, nonlinearity: "relu" }),
  GRU: (options) => new GRU(3, 4, options),
  LSTM: (options) => new LSTM(3, 4, options),
}
const stacks = [1, 2].flatMap((numLayers) => [false, true].map((bidirectional) => ({ numLayers, bidirectional })))
const booleans = [false, true]

/** Calls a layer as its class wants the states. */
function call(layer: AnyLayer, x: Tensor, ...states: Tensor[]) {
  if (layer instanceof LSTM) return layer.forward(x, states.length > 0 ? [states[0], states[1]] : null)
  return (layer as RNN).forward(x, states[0] ?? null)
}

describe.each(Object.entries(kinds))("%s", (_, make) => {
  const inputsOf = (options: Options, [time, batch]: readonly number[], layer: AnyLayer, given: boolean): Tensor[] => {
    const x = randn(options.batchFirst ? [batch, time, 3] : [time, batch, 3])
    const rows = layer.numLayers * (layer.bidirectional ? 2 : 1)
    const states = given ? (layer instanceof LSTM ? 2 : 1) : 0
    return [x, ...Array.from({ length: states }, () => randn(rows, batch, 4))]
  }

  it.skipIf(!ort).each(stacks)("with $numLayers layers, bidirectional $bidirectional", async (form) => {
    manualSeed(1)
    for (const bias of booleans) {
      for (const batchFirst of booleans) {
        for (const given of booleans) {
          const options = { ...form, bias, batchFirst, dropout: form.numLayers > 1 ? 0.5 : 0 }
          const layer = make(options)
          const runs = [[5, 3], [1, 1], [9, 2]].map((sizes) => inputsOf(options, sizes, layer, given)) // prettier-ignore
          const free = { 0: batchFirst ? "batch" : "time", 1: batchFirst ? "time" : "batch" }
          const inputs = runs[0].map(({ shape }, i): OnnxInput => ({
            name: ["x", "h0", "c0"][i],
            shape,
            dynamicAxes: i === 0 ? free : { 1: "batch" },
          })) // prettier-ignore
          await check(layer, { inputs, runs, forward: (x, ...states) => call(layer, x, ...states) })
        }
      }
    }
  })

  it.skipIf(!ort).each(stacks)("without a batch: $numLayers layers, bidirectional $bidirectional", async (form) => {
    manualSeed(2)
    const layer = make(form)
    const rows = form.numLayers * (form.bidirectional ? 2 : 1)
    const states = Array.from({ length: layer instanceof LSTM ? 2 : 1 }, () => randn(rows, 4))
    await check(layer, { runs: [[randn(5, 3)]], forward: (x) => call(layer, x) })
    await check(layer, { runs: [[randn(5, 3), ...states]], forward: (x, ...s) => call(layer, x, ...s) })
  })

  it.skipIf(!ort).each(["int32", "int64"] as const)("with lengths of %s, as packed sequences", async (dtype) => {
    manualSeed(3)
    for (const batchFirst of booleans) {
      const layer = make({ numLayers: 2, bidirectional: true, batchFirst })
      const x = randn(batchFirst ? [3, 6, 3] : [6, 3, 3])
      const forward = (values: Tensor, _lengths: Tensor) => {
        const packed = packPaddedSequence(values, [4, 6, 1], { batchFirst, enforceSorted: false })
        const [output, state] = (layer as LSTM).forward(packed)
        return [padPackedSequence(output, { batchFirst })[0], state]
      }
      await check(layer, {
        runs: [[x, tensor([4, 6, 1], { dtype })]],
        forward,
        graph: (g, values, lengths): Outputs => g.layer(layer as LSTM, values, null, { lengths }),
      })
    }
  })
})

describe("cells", () => {
  const cells: [string, (bias: boolean) => Module, number][] = [
    ["RNNCell", (bias) => new RNNCell(3, 4, { bias }), 1],
    ["relu RNNCell", (bias) => new RNNCell(3, 4, { bias, nonlinearity: "relu" }), 1],
    ["GRUCell", (bias) => new GRUCell(3, 4, { bias }), 1],
    ["LSTMCell", (bias) => new LSTMCell(3, 4, { bias }), 2],
  ]
  it.skipIf(!ort).each(cells)("%s", async (_, make, states) => {
    manualSeed(4)
    for (const bias of booleans) {
      for (const lead of [[2], []]) {
        const cell = make(bias)
        const given = Array.from({ length: states }, () => randn([...lead, 4]))
        await check(cell, { runs: [[randn([...lead, 3])]] })
        const forward = (x: Tensor, ...s: Tensor[]) =>
          states === 2 ? (cell as LSTMCell).forward(x, [s[0], s[1]]) : (cell as GRUCell).forward(x, s[0])
        await check(cell, { runs: [[randn([...lead, 3]), ...given]], forward }) // prettier-ignore
      }
    }
  })
})

it.skipIf(!ort)("a model that decodes step by step calls one cell many times", async () => {
  manualSeed(5)
  const cell = new LSTMCell(4, 4)
  await check(cell, {
    runs: [[randn(2, 4)]],
    forward: (x) => {
      let [h, c] = cell.forward(x)
      const steps = [h]
      for (let t = 0; t < 3; t++) {
        ;[h, c] = cell.forward(h, [h, c])
        steps.push(h)
      }
      return stack(steps, 1)
    },
    graph: (g, x) => {
      let [h, c] = g.layer(cell, x)
      const steps = [g.unsqueeze(h, 1)]
      for (let t = 0; t < 3; t++) {
        ;[h, c] = g.layer(cell, h, [h, c])
        steps.push(g.unsqueeze(h, 1))
      }
      return g.concat(steps, 1)
    },
  })
  expect(cell.training).toBe(false)
})
