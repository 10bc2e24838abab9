// The recurrent kernels, forward and backward: a loop over time of one product and one map, made of the other kernels.
import {
  e,
  type Expr,
  kernels,
  type MapKernel,
  type MatmulKernel,
  type RecurrentBackwardKernel,
  type RecurrentCell,
  type RecurrentKernel,
  recurrentCells,
  type View,
} from "@rondo/backend"
import { runMap } from "./map.js"
import { runMatmul } from "./matmul.js"
import { scratchView } from "./storage.js"

const made = new Map<string, MapKernel>()

/** One map kernel for each cell, direction and dtype: plans are found by identity. */
function mapOf(name: string, exprs: () => readonly Expr[]): MapKernel {
  let kernel = made.get(name)
  if (!kernel) made.set(name, (kernel = { kind: "map", exprs: exprs() }))
  return kernel
}

/** Entry `t` of the first dim. */
function at(view: View, t: number): View {
  return {
    storage: view.storage,
    dtype: view.dtype,
    shape: view.shape.slice(1),
    strides: view.strides.slice(1),
    offset: view.offset + t * view.strides[0],
  }
}

/** `count` equal parts of the last dim. */
function parts(view: View, count: number): View[] {
  const last = view.shape.length - 1
  const size = view.shape[last] / count
  const shape = [...view.shape.slice(0, last), size]
  return Array.from({ length: count }, (_, i) => ({
    ...view,
    shape,
    offset: view.offset + i * size * view.strides[last],
  }))
}

const transposed = (view: View): View => ({
  ...view,
  shape: [...view.shape].reverse(),
  strides: [...view.strides].reverse(),
})

/** A vector seen as `rows` equal rows. */
const asRows = (view: View, rows: number): View => ({
  ...view,
  shape: [rows, ...view.shape],
  strides: [0, ...view.strides],
})

function copy(from: View, to: View): void {
  runMap(kernels.copy(from.dtype, to.dtype), [from], [to], [])
}

/** Times in the order in which they are computed. */
const order = (steps: number, reverse: boolean): number[] =>
  Array.from({ length: steps }, (_, i) => (reverse ? steps - 1 - i : i))

export function runRecurrent(kernel: RecurrentKernel, inputs: readonly View[], outputs: readonly View[]): void {
  const { gates, saved, forward } = recurrentCells[kernel.cell]
  const states = kernel.cell === "lstm" ? 2 : 1
  const [projected, weight, ...rest] = inputs
  const bias = kernel.bias ? (rest.shift() as View) : null
  const written = outputs.slice(0, states)
  const kept = kernel.save && saved > 0 ? outputs[states] : null
  const [steps, batch, width] = projected.shape
  const { dtype } = projected
  const step = mapOf(`${kernel.cell} ${kept !== null} ${dtype}`, () =>
    forward(dtype).slice(0, kept ? undefined : states),
  )
  const hidden = scratchView([batch, width], dtype)
  const product: MatmulKernel = bias ? kernels.matmulBias : kernels.matmul
  const weightT = transposed(weight)
  let state: readonly View[] = rest
  for (const t of order(steps, kernel.reverse)) {
    runMatmul(product, [state[0], weightT, ...(bias ? [asRows(bias, batch)] : [])], hidden, [])
    const next = written.map((view) => at(view, t))
    const operands = [...parts(at(projected, t), gates), ...parts(hidden, gates), ...state]
    runMap(step, operands, [...next, ...(kept ? parts(at(kept, t), saved) : [])], [])
    state = next
  }
}

/** What the backward kernel reads and writes, by name. */
function named(cell: RecurrentCell, inputs: readonly View[], outputs: readonly View[]) {
  const isLSTM = cell === "lstm"
  const list = [...inputs]
  const take = (): View => list.shift() as View
  const gradOutput = take()
  const gradH = take()
  const gradC = isLSTM ? take() : null
  const weight = take()
  const sequences = [take()]
  const initial = [take()]
  if (isLSTM) {
    sequences.push(take())
    initial.push(take())
  }
  const saved = list.length > 0 ? take() : null
  const into = [...outputs]
  const projected = into.shift() as View
  const hidden = cell === "gru" ? (into.shift() as View) : projected
  return { gradOutput, gradH, gradC, weight, sequences, initial, saved, projected, hidden, dh: into[0], dc: into[1] }
}

export function runRecurrentBackward(
  kernel: RecurrentBackwardKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): void {
  const { cell } = kernel
  const { gates, saved: savedCount, backward } = recurrentCells[cell]
  const v = named(cell, inputs, outputs)
  const { dtype } = v.weight
  const step = mapOf(`${cell} backward ${dtype}`, () => backward(dtype))
  const sum = mapOf(`sum ${dtype}`, () => [e.add(e.input(0, dtype), e.input(1, dtype))])
  const g = scratchView(v.dh.shape, dtype)
  // The gradients that travel back through time live in the outputs for the first state.
  copy(v.gradH, v.dh)
  if (v.gradC) copy(v.gradC, v.dc)
  const times = order(v.gradOutput.shape[0], !kernel.reverse)
  times.forEach((t, i) => {
    const before = i + 1 < times.length ? v.sequences.map((view) => at(view, times[i + 1])) : v.initial
    const after = v.sequences.map((view) => at(view, t))
    runMap(sum, [at(v.gradOutput, t), v.dh], [g], [])
    const states = after.flatMap((view, s) => [view, before[s]])
    const operands = [g, ...(v.dc ? [v.dc] : []), ...(v.saved ? parts(at(v.saved, t), savedCount) : []), ...states]
    const toHidden = at(v.hidden, t)
    const results = parts(at(v.projected, t), gates)
    if (cell === "gru") results.push(...parts(toHidden, gates), v.dh)
    if (v.dc) results.push(v.dc)
    runMap(step, operands, results, [])
    runMatmul({ kind: "matmul", accumulate: cell === "gru" }, [toHidden, v.weight], v.dh, [])
  })
}
