// A whole recurrent layer over a whole sequence: one kernel forward and one backward, and the composition that they mean.
import {
  cachedKernel,
  type DType,
  DTypeError,
  e,
  kernels,
  type MapKernel,
  type MatmulKernel,
  type RecurrentBackwardKernel,
  type RecurrentCell,
  recurrentCells,
  type RecurrentKernel,
  shapeText,
  ShapeError,
  sizeOf,
  ValueError,
  type View,
} from "@rondo/backend"
import { apply, execute, output } from "../apply.js"
import { grad } from "../autograd.js"
import { areSharedZeros, constant } from "../constants.js"
import type { Device } from "../device.js"
import { mode, type Rule, type Saved, wantsGrad } from "../graph.js"
import { op } from "../op.js"
import { stretched } from "../place.js"
import { t } from "../samples.js"
import { type Tensor, windowOn } from "../tensor.js"
import { matmul } from "./linalg.js"
import { linear } from "./linear.js"
import { expand, reshape, zerosOf } from "./movement.js"
import { sum } from "./reduce.js"
import { stack } from "./shaping.js"

/** The next state from the projected gates [B, G H], the hidden gates [B, G H] and the last state. */
export type RecurrentStep = (projected: Tensor, hidden: Tensor, state: readonly Tensor[]) => Tensor[]

/**
 * One time step of each cell in differentiable operations: the meaning of the recurrent kernels
 * (https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html; gates i f g o for LSTM, r z n for GRU).
 */
export const recurrentSteps: Readonly<Record<RecurrentCell, RecurrentStep>> = {
  tanh: (p, q) => [p.add(q).tanh()],
  relu: (p, q) => [p.add(q).relu()],
  lstm: (p, q, [, c]) => {
    const [i, f, g, o] = p.add(q).chunk(4, -1)
    const next = f.sigmoid().mul(c).add(i.sigmoid().mul(g.tanh()))
    return [o.sigmoid().mul(next.tanh()), next]
  },
  gru: (p, q, [h]) => {
    const [pr, pz, pn] = p.chunk(3, -1)
    const [qr, qz, qn] = q.chunk(3, -1)
    const z = pz.add(qz).sigmoid()
    const n = pn.add(pr.add(qr).sigmoid().mul(qn)).tanh()
    return [h.sub(n).mul(z).add(n)]
  },
}

/** How {@link recurrent} runs. */
export interface SequenceOptions {
  /** Run from the last time to the first. */
  readonly reverse?: boolean
  /**
   * Nobody else reads `projected`: the last backward, which frees what was saved, may put its gradient there. Who reads it through a graph all
   * the same gets an error. Default false.
   */
  readonly consume?: boolean
}

interface Layer {
  readonly cell: RecurrentCell
  readonly reverse: boolean
  readonly projected: Tensor
  readonly weight: Tensor
  readonly bias: Tensor | null
  readonly state: readonly Tensor[]
}

const listed = ({ projected, weight, bias, state }: Layer): Tensor[] => [
  projected,
  weight,
  ...(bias ? [bias] : []),
  ...state,
]

/** The layer step by step. Gives output [T, B, H], then the last states [B, H]. */
function composed({ cell, reverse, projected, weight, bias, state }: Layer): Tensor[] {
  const steps = projected.unbind(0)
  const outputs = new Array<Tensor>(steps.length)
  let current = state
  for (let i = 0; i < steps.length; i++) {
    const at = reverse ? steps.length - 1 - i : i
    current = recurrentSteps[cell](steps[at], linear(current[0], weight, bias), current)
    outputs[at] = current[0]
  }
  return [stack(outputs, 0), ...current]
}

const kernelDTypes: readonly DType[] = ["float32", "float64"]

export const recurrent = op(
  {
    family: "composite",
    name: "recurrent",
    takes: {
      cell: "text",
      projected: "tensor",
      weight: "tensor",
      bias: "tensor|null",
      state: "tensors",
      options: { reverse: "flag", consume: "flag" },
    },
    doc: "A recurrent layer (tanh, relu, lstm or gru) over projected inputs [T, B, G H]: output [T, B, H], then the last states.",
    samples: [
      ["tanh", t(3, 2, 2), t(2, 2), t(2), [t(2, 2)]],
      ["relu", t(2, 2, 3), t(3, 3), null, [t(2, 3)], { reverse: true }],
      ["lstm", t(3, 2, 8), t(8, 2), t(8), [t(2, 2), t(2, 2)]],
      ["lstm", t(2, 1, 4), t(4, 1), null, [t(1, 1), t(1, 1)], { reverse: true }],
      ["gru", t(3, 2, 6), t(6, 2), t(6), [t(2, 2)]],
      ["gru", t(2, 2, 3), t(3, 1), null, [t(2, 1)], { reverse: true }],
      ["gru", t(2, 0, 6), t(6, 2), t(6), [t(0, 2)]],
    ],
    differentiable: true,
    method: false,
  },
  (
    cell: RecurrentCell,
    projected: Tensor,
    weight: Tensor,
    bias: Tensor | null,
    state: readonly Tensor[],
    { reverse = false, consume = false }: SequenceOptions = {},
  ): Tensor[] => {
    const layer: Layer = { cell, reverse, projected, weight, bias, state }
    check(layer, "recurrent")
    if (!kernelDTypes.includes(projected.dtype)) return composed(layer)
    return runLayer(layer, { consume })
  },
)

export const recurrentStep = op(
  {
    family: "composite",
    name: "recurrentStep",
    takes: { cell: "text", projected: "tensor", weight: "tensor", bias: "tensor|null", state: "tensors" },
    doc: "One step of a recurrent layer (tanh, relu, lstm or gru) over projected inputs [B, G H]: the next states.",
    samples: [
      ["tanh", t(2, 2), t(2, 2), t(2), [t(2, 2)]],
      ["relu", t(2, 3), t(3, 3), null, [t(2, 3)]],
      ["lstm", t(2, 8), t(8, 2), t(8), [t(2, 2), t(2, 2)]],
      ["gru", t(1, 6), t(6, 2), t(6), [t(1, 2)]],
      ["gru", t(0, 6), t(6, 2), null, [t(0, 2)]],
    ],
    differentiable: true,
    method: false,
  },
  (cell: RecurrentCell, projected: Tensor, weight: Tensor, bias: Tensor | null, state: readonly Tensor[]): Tensor[] => {
    const layer: Layer = { cell, reverse: false, projected: projected.unsqueeze(0), weight, bias, state }
    check(layer, "recurrentStep")
    if (!kernelDTypes.includes(projected.dtype)) return composed(layer).slice(1)
    return runLayer(layer, { single: true })
  },
)

function check({ cell, projected, weight, bias, state }: Layer, name: string): void {
  if (!(cell in recurrentCells))
    throw new ValueError(`${name}: unknown cell ${String(cell)}: expected ${Object.keys(recurrentCells).join(", ")}`)
  const { gates } = recurrentCells[cell]
  const [steps, batch, width] = projected.shape
  const size = width / gates
  const states = cell === "lstm" ? 2 : 1
  const fits = (x: Tensor, ...shape: number[]): boolean =>
    x.ndim === shape.length && shape.every((n, d) => n === x.shape[d])
  const right =
    projected.ndim === 3 && steps > 0 && fits(weight, width, size) && (!bias || fits(bias, width)) &&
    state.length === states && state.every((x) => fits(x, batch, size)) // prettier-ignore
  if (!right) {
    const got = [projected, weight, ...(bias ? [bias] : []), ...state].map((x) => shapeText(x.shape)).join(", ")
    throw new ShapeError(
      `${name}: ${cell} needs projected ${name === "recurrent" ? "[T, B, " : "[B, "}${gates} H], weight [${gates} H, H], bias [${gates} H] and ${states} state(s) [B, H]${name === "recurrent" ? ", T > 0" : ""}; got ${got}`,
    )
  }
  const other = [weight, ...(bias ? [bias] : []), ...state].find((x) => x.dtype !== projected.dtype)
  if (other) throw new DTypeError(`${name}: dtypes differ: ${projected.dtype} and ${other.dtype}`)
}

/** What the forward kernel writes: output, for LSTM the cells, and what backward needs of the gates. */
function forward({ cell, reverse, projected, bias, ...layer }: Layer, device: Device, save: boolean): Tensor[] {
  const [steps, batch, width] = projected.shape
  const { gates, saved } = recurrentCells[cell]
  const size = width / gates
  const fresh = (units: number): Tensor => output(device, [steps, batch, units], projected.dtype)
  const written = [
    fresh(size),
    ...(cell === "lstm" ? [fresh(size)] : []),
    ...(save && saved > 0 ? [fresh(saved * size)] : []),
  ]
  if (batch * size > 0) {
    const name = `recurrent ${cell} ${bias !== null} ${reverse} ${save}`
    const kernel = cachedKernel<RecurrentKernel>(name, () => ({
      kind: "recurrent",
      cell,
      bias: bias !== null,
      reverse,
      save,
    }))
    execute(kernel, listed({ cell, reverse, projected, bias, ...layer }), written)
  }
  return written
}

/** `single`: the states after the only step, and no output beside them. */
function runLayer(layer: Layer, { single = false, consume = false }): Tensor[] {
  const { cell, reverse, projected } = layer
  const inputs = listed(layer)
  const save = wantsGrad(inputs)
  const last = reverse ? 0 : projected.shape[0] - 1
  let written: Tensor[] = []
  return apply(
    {
      name: single ? "recurrentStep" : "recurrent",
      keep: [],
      vjp: layerRule({ cell, reverse, consume, biased: layer.bias !== null, single }),
    },
    inputs,
    (device) => {
      written = forward(layer, device, save)
      const sequences = written.slice(0, cell === "lstm" ? 2 : 1)
      if (single) return sequences.map((x) => x.select(0, 0))
      return [written[0], ...copiesAt(sequences, last)]
    },
    // The inputs come first: backward under createGraph goes through the composition of them.
    () => [...inputs, ...written],
  )
}

/** Time `at` of each sequence, copied in one kernel: else a state would hold the memory of a whole sequence. */
function copiesAt(sequences: readonly Tensor[], at: number): Tensor[] {
  const steps = sequences.map((x) => x.select(0, at))
  const [{ device, shape, dtype }] = steps
  const copies = steps.map(() => output(device, shape, dtype))
  const kernel = cachedKernel<MapKernel>(`copies ${steps.length} ${dtype}`, () => ({
    kind: "map",
    exprs: steps.map((_, i) => e.input(i, dtype)),
  }))
  if (sizeOf(shape) > 0) execute(kernel, steps, copies)
  return copies
}

/** What a rule knows of its layer; the tensors are saved, so that in-place changes since then are caught. */
interface Form {
  readonly cell: RecurrentCell
  readonly reverse: boolean
  readonly consume: boolean
  readonly biased: boolean
  /** Its outputs are the states alone. */
  readonly single: boolean
}

// Made outside of the operation: closures of one function share what they capture, and the rule must not hold operands.
const layerRule =
  (form: Form): Rule =>
  (given, saved) => {
    const grads = form.single ? [null, ...given] : given
    return mode.record ? recorded(form, grads, saved) : fused(form, grads, saved)
  }

function restored({ cell, reverse, biased }: Form, saved: Saved): { layer: Layer; written: (i: number) => Tensor } {
  const states = biased ? 3 : 2
  const count = states + (cell === "lstm" ? 2 : 1)
  const state = Array.from({ length: count - states }, (_, i) => saved.more(states + i))
  const bias = biased ? saved.more(2) : null
  const layer: Layer = { cell, reverse, projected: saved.more(0), weight: saved.more(1), bias, state }
  return { layer, written: (k) => saved.more(count + k) }
}

/** Gradients that can be differentiated again: those of the composition. */
function recorded(form: Form, grads: readonly (Tensor | null)[], saved: Saved): (Tensor | null)[] {
  const { layer } = restored(form, saved)
  // Views of the inputs: one may be made of another, as a state is of the weight it came from, and that way does not count.
  const own = (x: Tensor): Tensor => expand(x, x.shape)
  const { projected, weight, bias, state } = layer
  const apart = {
    ...layer,
    projected: own(projected),
    weight: own(weight),
    bias: bias && own(bias),
    state: state.map(own),
  }
  const inputs = listed(apart)
  const outputs = composed(apart)
  const given = grads.flatMap((g, i) => (g ? [i] : []))
  const wanted = inputs.filter((x) => x.requiresGrad)
  const found = grad(
    given.map((i) => outputs[i]),
    wanted,
    { gradOutputs: given.map((i) => grads[i]), createGraph: true, allowUnused: true },
  )
  return inputs.map((x) => found[wanted.indexOf(x)] ?? null)
}

/** Gradients from the backward kernel, and one product over all times for the weights. */
function fused(form: Form, grads: readonly (Tensor | null)[], saved: Saved): (Tensor | null)[] {
  const { layer, written } = restored(form, saved)
  const { cell, reverse, projected, weight, bias, state } = layer
  const isLSTM = cell === "lstm"
  const out = written(0)
  const zero = constant(out.device, out.dtype, 0)
  const gradient = (i: number, shape: readonly number[]): View => grads[i] ?? stretched(zero, shape)
  const dProjected =
    form.consume && saved.last && projected.isContiguous()
      ? takenOver(projected)
      : output(out.device, projected.shape, out.dtype)
  const dHidden = cell === "gru" ? output(out.device, projected.shape, out.dtype) : null
  const dState = state.map((x) => output(out.device, x.shape, out.dtype))
  const inputs = [gradient(0, out.shape), gradient(1, state[0].shape), ...(isLSTM ? [gradient(2, state[1].shape)] : [])]
  inputs.push(weight, out, state[0], ...(isLSTM ? [written(1), state[1]] : []))
  if (recurrentCells[cell].saved > 0) inputs.push(written(isLSTM ? 2 : 1))
  if (sizeOf(out.shape) > 0) {
    const name = `recurrentBackward ${cell} ${reverse}`
    const kernel = cachedKernel<RecurrentBackwardKernel>(name, () => ({ kind: "recurrentBackward", cell, reverse }))
    execute(kernel, inputs, [dProjected, ...(dHidden ? [dHidden] : []), ...dState])
  }
  const hidden = dHidden ?? dProjected
  const wants = (i: number): boolean => saved.needs[i]
  const dWeight = wants(1) ? weightGradient(hidden, out, state[0], reverse) : null
  const dBias = bias ? [wants(2) ? sum(hidden, [0, 1]) : null] : []
  return [dProjected, dWeight, ...dBias, ...dState]
}

/** The memory of `x` for something else: graphs that saved x refuse to use it from now on. */
function takenOver(x: Tensor): Tensor {
  x.handle.version++
  return windowOn(x, x, false)
}

/** Sum over all times of hidden_t^T h_(t-1), in two products: the first step's old state is not among the outputs. */
function weightGradient(hidden: Tensor, out: Tensor, h: Tensor, reverse: boolean): Tensor {
  const [steps, , width] = hidden.shape
  const size = out.shape[2]
  const first = reverse ? steps - 1 : 0
  // Mostly there was no state before the first step, and its product is nothing.
  const fresh = areSharedZeros(h) && steps > 1
  const total = fresh ? output(h.device, [width, size], h.dtype) : matmul(hidden.select(0, first).transpose(0, 1), h)
  if (steps === 1) return total
  const later = reshape(hidden.narrow(0, reverse ? 0 : 1, steps - 1), -1, width)
  const earlier = reshape(out.narrow(0, reverse ? 1 : 0, steps - 1), -1, size)
  if (sizeOf(total.shape) === 0) return total
  if (earlier.shape[0] === 0) return fresh ? zerosOf(total, total.shape) : total
  execute(fresh ? kernels.matmul : accumulate, [later.transpose(0, 1), earlier], [total])
  return total
}

const accumulate: MatmulKernel = { kind: "matmul", accumulate: true }
