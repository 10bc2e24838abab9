// RNN, GRU, LSTM and their cells as ONNX's nodes of the same names: one node a layer, both directions in it.
import { ShapeError, ValueError } from "@rondo/backend"
import type { Tensor } from "@rondo/core"
import { GRU, GRUCell, LSTM, LSTMCell, type Module, RNN, RNNCell } from "@rondo/nn"
import type { Graph, Outputs, SequenceCall } from "./graph.js"
import type { Attribute, Dim } from "./proto.js"
import type { Value } from "./recorder.js"
import { row, type Row } from "./rows.js"
import { agree, dimsText, fits } from "./shape.js"

type Cell = RNNCell | GRUCell | LSTMCell
type Layer = RNN | GRU | LSTM

/** How one kind of recurrence is spelled in ONNX. */
interface Kind {
  readonly op: "RNN" | "GRU" | "LSTM"
  /**
   * Which of PyTorch's gates stands at each of ONNX's places: i f g o become i o f c, r z n become z r h
   * (https://onnx.ai/onnx/operators/onnx__LSTM.html, https://onnx.ai/onnx/operators/onnx__GRU.html).
   */
  readonly gates: readonly number[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

const lstm: Kind = { op: "LSTM", gates: [0, 3, 1, 2], attributes: {} }
// PyTorch's reset gate acts after the product with the hidden weights.
const gru: Kind = { op: "GRU", gates: [1, 0, 2], attributes: { linear_before_reset: 1 } }
const plain = (nonlinearity: string, directions: number): Kind => ({
  op: "RNN",
  gates: [0],
  attributes: { activations: Array<string>(directions).fill(nonlinearity === "relu" ? "Relu" : "Tanh") },
})

/** The parameters of one direction of one layer, with PyTorch's rows. */
interface Direction {
  /** `[gates * H, I]` */
  readonly ih: Tensor
  /** `[gates * H, H]` */
  readonly hh: Tensor
  /** Both `[gates * H]`. */
  readonly biases: readonly [ih: Tensor, hh: Tensor] | null
}

/** Joins arrays whose blocks of gates are put in ONNX's order. */
const regated =
  (gates: readonly number[]) =>
  (...sources: Float32Array[]): Float32Array => {
    const out = new Float32Array(sources.reduce((sum, source) => sum + source.length, 0))
    let at = 0
    for (const source of sources) {
      const block = source.length / gates.length
      for (const gate of gates) {
        out.set(source.subarray(gate * block, (gate + 1) * block), at)
        at += block
      }
    }
    return out
  }

/** One node: `x` is [T, B, I], states and results but the first are [directions, B, H], the first is [T, directions, B, H]. */
function sequenceNode(
  g: Graph,
  { op, gates, attributes }: Kind,
  directions: readonly Direction[],
  [x, ...states]: readonly Value[],
  lengths: Value | null,
): Value[] {
  const [{ ih, hh, biases }] = directions
  const [count, rows, hidden] = [directions.length, ih.shape[0], hh.shape[1]]
  const layout = (shape: readonly number[]) => ({ shape: [count, ...shape], arrange: regated(gates) })
  const weight = (sources: readonly Tensor[], ...shape: number[]) => g.weight(sources, op, layout(shape))
  const inputs = [
    x,
    weight(directions.map((d) => d.ih), ...ih.shape),
    weight(directions.map((d) => d.hh), ...hh.shape),
    biases && weight(directions.flatMap((d) => d.biases as readonly Tensor[]), 2 * rows),
    lengths,
    ...states,
  ] // prettier-ignore
  const [steps, batch] = x.shape
  const state = { dtype: x.dtype, shape: [count, batch, hidden] }
  const outputs = [{ dtype: x.dtype, shape: [steps, count, batch, hidden] }, state, ...(op === "LSTM" ? [state] : [])]
  const direction = count === 2 ? "bidirectional" : "forward"
  return g.node(op, inputs, outputs, { hidden_size: hidden, direction, ...attributes })
}

// ---- layers over sequences

function directionsOf(module: Layer, layer: number): Direction[] {
  return (module.bidirectional ? ["", "_reverse"] : [""]).map((way) => {
    const suffix = `l${layer}${way}` as const
    return {
      ih: module[`weight_ih_${suffix}`],
      hh: module[`weight_hh_${suffix}`],
      biases: module.bias ? [module[`bias_ih_${suffix}`], module[`bias_hh_${suffix}`]] : null,
    }
  })
}

/** Throws unless x and the states fit the layer; returns whether x has a batch. */
function checkSequence(g: Graph, module: Layer, x: Value, states: readonly Value[], lengths: Value | null): boolean {
  const label = g.label(module)
  if (module.projSize > 0) {
    throw new ValueError(`exportOnnx: ${label}: projSize is ${module.projSize}: ONNX's LSTM cannot project its output; train a model with projSize 0`) // prettier-ignore
  }
  const rank = x.shape.length
  if ((rank !== 2 && rank !== 3) || !agree(x.shape[rank - 1], module.inputSize)) {
    const layout = module.batchFirst ? "[B, T, " : "[T, B, "
    throw new ShapeError(`${label}: got x ${dimsText(x.shape)}, expected ${layout}${module.inputSize}] or unbatched [T, ${module.inputSize}]`) // prettier-ignore
  }
  const batched = rank === 3
  const batch = x.shape[module.batchFirst ? 0 : 1]
  const rows = module.numLayers * (module.bidirectional ? 2 : 1)
  const expected: Dim[] = batched ? [rows, batch, module.hiddenSize] : [rows, module.hiddenSize]
  states.forEach(({ shape }, i) => {
    if (fits(shape, expected) && (module.numLayers === 1 || typeof shape[0] === "number")) return
    throw new ShapeError(`${label}: got ${["h0", "c0"][i]} ${dimsText(shape)}, expected ${dimsText(expected)}`)
  })
  if (lengths && !(batched && fits(lengths.shape, [batch]) && ["int32", "int64"].includes(lengths.dtype))) {
    throw new ShapeError(`${label}: got lengths ${lengths} for x ${dimsText(x.shape)}, expected int32 or int64 ${dimsText([batched ? batch : "B"])} and a batch`) // prettier-ignore
  }
  return batched
}

/** The outputs of the last layer, and the last states of all layers: [layers * directions, B, H] each. */
function stack(
  g: Graph,
  module: Layer,
  kind: Kind,
  inputs: readonly Value[],
  { lengths = null }: SequenceCall,
): Value[] {
  const [x, ...states] = inputs
  const batched = checkSequence(g, module, x, states, lengths)
  const starts = states.map((state) => g.chunk(batched ? state : g.unsqueeze(state, 1), module.numLayers, 0))
  const counts = lengths?.dtype === "int64" ? g.cast(lengths, "int32") : lengths
  const finals: Value[][] = []
  let y = !batched ? g.unsqueeze(x, 1) : module.batchFirst ? g.transpose(x, 0, 1) : x
  for (let layer = 0; layer < module.numLayers; layer++) {
    const given = starts.map((parts) => parts[layer])
    const [output, ...last] = sequenceNode(g, kind, directionsOf(module, layer), [y, ...given], counts)
    // [T, directions, B, H] -> [T, B, directions * H]
    y = module.bidirectional ? g.flatten(g.transpose(output, 1, 2), 2) : g.squeeze(output, 1)
    finals.push(last)
  }
  const output = !batched ? g.squeeze(y, 1) : module.batchFirst ? g.transpose(y, 0, 1) : y
  const ends = finals[0].map((_, i) => g.concat(finals.map((last) => last[i]), 0)) // prettier-ignore
  return [output, ...(batched ? ends : ends.map((end) => g.squeeze(end, 1)))]
}

const layer = <M extends Layer & Module>(
  type: abstract new (...args: never[]) => M,
  inputs: readonly number[],
  kind: (module: M) => Kind,
  shown: (output: Value, ...states: Value[]) => Outputs,
): Row =>
  row<M>(type, (g, module, values, options) => {
    const [output, ...states] = stack(g, module, kind(module), values, options)
    return shown(output, ...states)
  }, { inputs, floats: true, sequences: true }) // prettier-ignore

// ---- cells: a sequence of one step

function step(g: Graph, module: Cell & Module, kind: Kind, [x, ...states]: readonly Value[]): Value[] {
  const { inputSize, hiddenSize, weight_ih: ih, weight_hh: hh, bias_ih: biasIh, bias_hh: biasHh } = module
  const batched = x.shape.length === 2
  if ((x.shape.length !== 1 && !batched) || !agree(x.shape.at(-1) as Dim, inputSize)) {
    throw new ShapeError(`${g.label(module)}: got x ${dimsText(x.shape)}, expected [B, ${inputSize}] or [${inputSize}]`)
  }
  const expected = [...x.shape.slice(0, -1), hiddenSize]
  for (const { shape } of states) {
    if (fits(shape, expected)) continue
    throw new ShapeError(`${g.label(module)}: got a state ${dimsText(shape)}, expected ${dimsText(expected)}`)
  }
  const direction: Direction = { ih, hh, biases: biasIh && biasHh && [biasIh, biasHh] }
  // [B, I] -> [1, B, I]: one step of x, one direction of the states.
  const raised = [x, ...states].map((value) => g.unsqueeze(batched ? value : g.unsqueeze(value, 0), 0))
  const [, ...last] = sequenceNode(g, kind, [direction], raised, null)
  return last.map((value) => (batched ? g.squeeze(value, 0) : g.squeeze(g.squeeze(value, 0), 0)))
}

/** Rows of the table of layers. */
export const recurrent: readonly Row[] = [
  layer(LSTM, [1, 3], () => lstm, (output, hn, cn) => [output, [hn, cn]]),
  layer(GRU, [1, 2], () => gru, (output, hn) => [output, hn]),
  layer(RNN, [1, 2], (m) => plain(m.nonlinearity, m.bidirectional ? 2 : 1), (output, hn) => [output, hn]),
  row(LSTMCell, (g, module, values) => step(g, module, lstm, values), { inputs: [1, 3], floats: true }),
  row(GRUCell, (g, module, values) => step(g, module, gru, values)[0], { inputs: [1, 2], floats: true }),
  row(RNNCell, (g, m, values) => step(g, m, plain(m.nonlinearity, 1), values)[0], { inputs: [1, 2], floats: true }),
] // prettier-ignore
