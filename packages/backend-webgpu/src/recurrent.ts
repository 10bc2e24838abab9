// The recurrent kernels: whether a layer runs as one dispatch over the whole sequence or as one a step, and in which form.
import {
  cachedKernel,
  type DType,
  e,
  kernels,
  type MapKernel,
  type RecurrentBackwardKernel,
  recurrentBackwardOperands,
  recurrentCells,
  type RecurrentKernel,
  recurrentOperands,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { Gpu } from "./gpu.js"
import { runMap } from "./map.js"
import { give, scratch } from "./matmul.js"
import { quadsOf } from "./matmul/block.js"
import { backwardApart, forwardApart } from "./recurrent/apart.js"
import { type BackwardName, backwardReads, type ForwardName } from "./recurrent/cells.js"
import { Operands } from "./recurrent/operands.js"
import { backwardSequence, type Deal, forwardSequence, sequenceFirst } from "./recurrent/sequence.js"
import { backwardStep, forwardStep, step, type StepForm, stepForm } from "./recurrent/step.js"

// Every workgroup reads all weights at every step: beyond so many words (256 KiB) a dispatch a step is faster.
const mostWeights = 2 ** 16
// Workgroups that keep a large GPU busy; more rows in each only then.
const wantedGroups = 128

/** How a layer is dealt out to workgroups that stay with it over the whole sequence, or null if it does not fit. */
function dealOf(gpu: Gpu, batch: number, units: number, gates: number, steps: number, backward: boolean): Deal | null {
  const { limits } = gpu.device
  const memory = limits.maxComputeWorkgroupStorageSize
  const threads = Math.min(256, limits.maxComputeInvocationsPerWorkgroup)
  const weights = gates * units * units
  const wide = backward ? gates * units : units
  const bytes = (rows: number): number => wide * rows * 4
  const forms = [4, 2, 1] as const
  const each = forms.find((rows) => (batch >= rows * 64 || rows === 1) && bytes(rows) <= memory)
  if (each === undefined || units > threads || weights > mostWeights) return null
  let across = 1
  while (
    units * across * 2 <= threads &&
    bytes(each * across * 2) <= memory &&
    Math.ceil(batch / (each * across * 2)) >= wantedGroups
  ) {
    across *= 2
  }
  const kept = bytes(each * across) + weights * 4 <= memory
  // Reading all weights for a step or two: more workgroups share that better.
  if (!kept && steps <= 2) return null
  return { each, across, kept }
}

/** So many groups, folded into two dims where one does not hold them. */
function folded(gpu: Gpu, groups: number): [number, number] {
  const most = gpu.device.limits.maxComputeWorkgroupsPerDimension
  return groups <= most ? [groups, 1] : [most, Math.ceil(groups / most)]
}

/** Groups of a kernel over a sequence. */
const groupsOf = (gpu: Gpu, batch: number, { each, across }: Deal): [number, number, number] => [
  ...folded(gpu, Math.ceil(batch / (each * across))),
  1,
]

/** Groups of a kernel over a step: along x over units, along y and z over rows. */
const stepGroups = (gpu: Gpu, units: number, batch: number, cut: StepForm): [number, number, number] => [
  Math.ceil(units / (cut.units * cut.blocks)),
  ...folded(gpu, Math.ceil(batch / cut.rows)),
]

/** A view of the same weights whose rows lie beside each other, copied into `into`. */
function rowsBeside(gpu: Gpu, weight: View, into: View): View {
  const [rows, cols] = weight.shape
  const view: View = { ...into, shape: [rows, cols], strides: [1, rows] }
  runMap(gpu, kernels.copy(weight.dtype, weight.dtype), [weight], [view], [])
  return view
}

/** Times in the order in which they are computed. */
const order = (steps: number, reverse: boolean): number[] =>
  Array.from({ length: steps }, (_, i) => (reverse ? steps - 1 - i : i))

/** Parameters of each step forward, before those of the operands. */
function forwardParams(batch: number, steps: number, reverse: boolean): number[][] {
  const times = order(steps, reverse)
  return times.map((time, i) => [batch, time, times[i - 1] ?? 0, i === 0 ? 1 : 0, 0])
}

/** The same backward: one dispatch a step, and one behind the last for what its gates send to the initial state. */
function backwardParams(batch: number, steps: number, reverse: boolean): number[][] {
  const times = order(steps, !reverse)
  return Array.from({ length: steps + 1 }, (_, i) => {
    const mode = i === 0 ? 1 : i === steps ? 2 : 0
    return [batch, times[i] ?? 0, times[i - 1] ?? 0, mode, i === steps - 1 ? 1 : 0]
  })
}

/** Runs a layer over a whole sequence. */
export function runRecurrent(
  gpu: Gpu,
  kernel: RecurrentKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): void {
  const { cell, reverse } = kernel
  const { gates } = recurrentCells[cell]
  const { projected, weight, bias, h, c, output, cells, saved } = recurrentOperands(kernel, inputs, outputs)
  if (sizeOf(output.shape) === 0) return
  const [steps, batch, units] = output.shape
  const { dtype } = projected
  const operands = (first: number, w: View, inFours?: ForwardName): Operands<ForwardName> =>
    new Operands(gpu, { output, cells, saved }, { projected, weight: w, bias, h, c }, first, inFours)
  const form = { cell, dtype, units, reverse }
  if (!gpu.barriers) {
    const quads = quadsOf(weight, weight.strides[0], weight.strides[1], units)
    const layer = { form, steps, batch, quads, operands: (first: number, inFours?: "weight") => operands(first, weight, inFours) } // prettier-ignore
    return forwardApart(gpu, layer, forwardParams(batch, steps, reverse))
  }
  const deal = dealOf(gpu, batch, units, gates, steps, false)
  if (deal) {
    // Threads beside each other read weights of units beside each other.
    const turn = !deal.kept && Math.abs(weight.strides[0]) > Math.abs(weight.strides[1])
    const turned = turn ? scratch(gpu, weight.shape, dtype) : null
    const all = operands(sequenceFirst, turned ? rowsBeside(gpu, weight, turned) : weight)
    const key = `recurrent ${cell} ${dtype} ${units} ${reverse} ${deal.each} ${deal.across} ${deal.kept} ${all.key}`
    const compiled = gpu.queue.program(key, () => forwardSequence({ ...form, operands: all }, deal))
    gpu.queue.dispatch(compiled, all.bindings.blocks, [steps, batch, ...all.params()], groupsOf(gpu, batch, deal))
    if (turned) give(gpu, turned)
    return
  }
  const cut = stepForm(gates, 1, batch, Math.abs(weight.strides[1]) <= Math.abs(weight.strides[0]))
  const all = operands(step.first, weight)
  const key = `recurrent step ${cell} ${dtype} ${units} ${cut.rows} ${cut.kFast} ${all.key}`
  const compiled = gpu.queue.program(key, () => forwardStep({ ...form, operands: all }, cut))
  const fixed = all.params()
  for (const own of forwardParams(batch, steps, reverse)) {
    gpu.queue.dispatch(compiled, all.bindings.blocks, [...own, ...fixed], stepGroups(gpu, units, batch, cut))
  }
}

/** Copies two views at once. */
const bothOf = (dtype: DType): MapKernel =>
  cachedKernel(`webgpu copy two ${dtype}`, () => ({ kind: "map", exprs: [e.input(0, dtype), e.input(1, dtype)] }))

/** The gradients of a layer over a whole sequence. */
export function runRecurrentBackward(
  gpu: Gpu,
  kernel: RecurrentBackwardKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): void {
  const { cell, reverse } = kernel
  const { gates } = recurrentCells[cell]
  const v = recurrentBackwardOperands(kernel, inputs, outputs)
  const [steps, batch, units] = v.gradOutput.shape
  const { dtype } = v.weight
  if (batch === 0 || units === 0) return
  // The gradients that travel back through time live in the outputs for the first state.
  if (v.gradC && v.dc) runMap(gpu, bothOf(dtype), [v.gradH, v.gradC], [v.dh, v.dc], [])
  else runMap(gpu, kernels.copy(dtype, dtype), [v.gradH], [v.dh], [])
  if (steps === 0) return
  const reads = backwardReads(cell, dtype)
  const { projected, hidden, dh, dc, gradOutput, weight, saved } = v
  const states = Object.fromEntries((["output", "h", "cells", "c"] as const).map((name) => [name, reads[name] ? v[name] : null])) // prettier-ignore
  const operands = (first: number, inFours?: BackwardName): Operands<BackwardName> =>
    new Operands(gpu, { projected, hidden, dh, dc }, { gradOutput, weight, saved, ...states }, first, inFours)
  const form = { cell, dtype, units, reverse }
  if (!gpu.barriers) {
    const quads = quadsOf(weight, weight.strides[1], weight.strides[0], units)
    return backwardApart(gpu, { form, steps, batch, quads, operands }, backwardParams(batch, steps, reverse))
  }
  const deal = dealOf(gpu, batch, units, gates, steps, true)
  if (deal) {
    const all = operands(sequenceFirst)
    const key = `recurrentBackward ${cell} ${dtype} ${units} ${reverse} ${deal.each} ${deal.across} ${deal.kept} ${all.key}`
    const compiled = gpu.queue.program(key, () => backwardSequence({ ...form, operands: all }, deal))
    gpu.queue.dispatch(compiled, all.bindings.blocks, [steps, batch, ...all.params()], groupsOf(gpu, batch, deal))
    return
  }
  const cut = stepForm(1, 2, batch, Math.abs(weight.strides[0]) < Math.abs(weight.strides[1]))
  const all = operands(step.first)
  const key = `recurrentBackward step ${cell} ${dtype} ${units} ${reverse} ${cut.rows} ${cut.kFast} ${all.key}`
  const compiled = gpu.queue.program(key, () => backwardStep({ ...form, operands: all }, cut))
  const fixed = all.params()
  for (const own of backwardParams(batch, steps, reverse)) {
    gpu.queue.dispatch(compiled, all.bindings.blocks, [...own, ...fixed], stepGroups(gpu, units, batch, cut))
  }
}
