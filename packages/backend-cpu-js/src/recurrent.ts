// The recurrent kernels, forward and backward: a loop over time of one product and one map, made of the other kernels.
import {
  e,
  type Expr,
  kernels,
  type MapKernel,
  type MatmulKernel,
  type RecurrentBackwardKernel,
  recurrentBackwardOperands,
  recurrentCells,
  type RecurrentKernel,
  recurrentOperands,
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
  const { gates, saved: savedCount, forward } = recurrentCells[kernel.cell]
  const { projected, weight, bias, h, c, output, cells, saved } = recurrentOperands(kernel, inputs, outputs)
  const written = cells ? [output, cells] : [output]
  const [steps, batch, width] = projected.shape
  const { dtype } = projected
  const step = mapOf(`${kernel.cell} ${saved !== null} ${dtype}`, () =>
    forward(dtype).slice(0, saved ? undefined : written.length),
  )
  const hidden = scratchView([batch, width], dtype)
  const product: MatmulKernel = bias ? kernels.matmulBias : kernels.matmul
  const weightT = transposed(weight)
  let state: readonly View[] = c ? [h, c] : [h]
  for (const t of order(steps, kernel.reverse)) {
    runMatmul(product, [state[0], weightT, ...(bias ? [asRows(bias, batch)] : [])], hidden, [])
    const next = written.map((view) => at(view, t))
    const operands = [...parts(at(projected, t), gates), ...parts(hidden, gates), ...state]
    runMap(step, operands, [...next, ...(saved ? parts(at(saved, t), savedCount) : [])], [])
    state = next
  }
}

export function runRecurrentBackward(
  kernel: RecurrentBackwardKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): void {
  const { cell } = kernel
  const { gates, saved: savedCount, backward } = recurrentCells[cell]
  const v = recurrentBackwardOperands(kernel, inputs, outputs)
  const { dtype } = v.weight
  const sequences = v.cells ? [v.output, v.cells] : [v.output]
  const initial = v.c ? [v.h, v.c] : [v.h]
  const step = mapOf(`${cell} backward ${dtype}`, () => backward(dtype))
  const sum = mapOf(`sum ${dtype}`, () => [e.add(e.input(0, dtype), e.input(1, dtype))])
  const g = scratchView(v.dh.shape, dtype)
  // The gradients that travel back through time live in the outputs for the first state.
  copy(v.gradH, v.dh)
  if (v.gradC && v.dc) copy(v.gradC, v.dc)
  const times = order(v.gradOutput.shape[0], !kernel.reverse)
  times.forEach((t, i) => {
    const before = i + 1 < times.length ? sequences.map((view) => at(view, times[i + 1])) : initial
    const after = sequences.map((view) => at(view, t))
    runMap(sum, [at(v.gradOutput, t), v.dh], [g], [])
    const states = after.flatMap((view, s) => [view, before[s]])
    const operands = [g, ...(v.dc ? [v.dc] : []), ...(v.saved ? parts(at(v.saved, t), savedCount) : []), ...states]
    const toHidden = at(v.hidden ?? v.projected, t)
    const results = parts(at(v.projected, t), gates)
    if (v.hidden) results.push(...parts(toHidden, gates), v.dh)
    if (v.dc) results.push(v.dc)
    runMap(step, operands, results, [])
    runMatmul({ kind: "matmul", accumulate: v.hidden !== null }, [toHidden, v.weight], v.dh, [])
  })
}
