// The recurrent kernels: which code a layer needs, how its batch is cut into runs over the whole sequence, and scratch memory.
import {
  byteSize,
  type RecurrentBackwardKernel,
  recurrentBackwardOperands,
  type RecurrentBackwardOperands,
  recurrentCells,
  type RecurrentKernel,
  recurrentOperands,
  type RecurrentOperands,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { Call, Compiled, Engine } from "./engine.js"
import { defineGemm, packedBytes, type ProductDType } from "./gemm/gemm.js"
import { copyView } from "./map.js"
import { backwardParams, emitBackward, emitForward, emitPack, forwardParams } from "./recurrent/emit.js"
import { type Scratch, withScratch } from "./scratch.js"
import { addressOf } from "./storage.js"

/** Copies targets that are not the outputs themselves to where they belong. */
function deliver(engine: Engine, targets: readonly View[], outputs: readonly View[]): void {
  targets.forEach((target, i) => {
    if (target !== outputs[i]) copyView(engine, target, outputs[i])
  })
}

// A run's share of the hidden gates should stay in the second-level cache, beside the weights.
const hiddenBytes = 256 * 1024

/** How many sequences one call works on: whole tiles of six rows, and enough calls for all threads. */
function rowsPerCall(engine: Engine, batch: number, rowBytes: number, work: number): number {
  const fits = Math.max(6, Math.floor(hiddenBytes / rowBytes))
  const shared = Math.ceil(batch / engine.pieces(work))
  const rows = Math.min(fits, shared)
  return rows >= batch ? batch : Math.ceil(rows / 6) * 6
}

/** One call for each run of sequences; `args` gives the arguments for a number of rows from a first one. */
function callsFor(
  fn: Compiled,
  batch: number,
  rows: number,
  names: readonly string[],
  args: (first: number, rows: number) => Record<string, number>,
): Call[] {
  const calls: Call[] = []
  for (let first = 0; first < batch; first += rows) {
    const own = args(first, Math.min(rows, batch - first))
    calls.push({ fn, args: names.map((name) => own[name] ?? 0) })
  }
  return calls
}

// Up to so many rows in all, weights are used as they lie: packing them would cost more than it saves.
const directRows = 8

/** Runs a layer over a whole sequence. */
export function runRecurrent(
  engine: Engine,
  kernel: RecurrentKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): void {
  if (sizeOf(outputs[0].shape) === 0) return
  withScratch(engine, (scratch) => {
    const targets = outputs.map((view) => scratch.target(view))
    const straight = inputs.map((view) => scratch.straight(view))
    forward(engine, kernel, recurrentOperands(kernel, straight, targets), scratch)
    deliver(engine, targets, outputs)
  })
}

/** The same over contiguous operands. */
function forward(engine: Engine, { cell, reverse }: RecurrentKernel, v: RecurrentOperands, scratch: Scratch): void {
  const { gates, saved } = recurrentCells[cell]
  const [steps, batch, wide] = v.projected.shape
  const dtype = v.projected.dtype as ProductDType
  const units = wide / gates
  const size = byteSize(dtype)
  const form = { cell, dtype, save: v.saved !== null }
  const code = engine.compile(`recurrent ${cell} ${dtype} ${form.save}`, (module) => {
    const gemm = defineGemm(module, engine, dtype)
    return { forward: emitForward(module, engine, form, gemm), pack: emitPack(module, gemm) }
  })
  const direct = steps * batch <= directRows
  let weightAt = addressOf(v.weight)
  if (!direct) {
    weightAt = scratch.take(packedBytes(dtype, wide, units))
    code.pack.call(wide, units, addressOf(v.weight), size, units * size, weightAt)
  }
  const hidden = scratch.take(batch * wide * size)
  const start = reverse ? steps - 1 : 0
  const sign = reverse ? -1 : 1
  const row = (view: View | null, width: number, first: number): number =>
    view ? addressOf(view) + (start * batch + first) * width * size : 0
  const calls = callsFor(
    code.forward,
    batch,
    rowsPerCall(engine, batch, wide * size, steps * batch * wide * (units / 15 + 1)),
    forwardParams,
    (first, rows) => ({
      steps,
      rows,
      units,
      projected: row(v.projected, wide, first),
      projectedStep: sign * batch * wide * size,
      weight: weightAt,
      bias: v.bias ? addressOf(v.bias) : 0,
      h: addressOf(v.h) + first * units * size,
      c: v.c ? addressOf(v.c) + first * units * size : 0,
      output: row(v.output, units, first),
      outputStep: sign * batch * units * size,
      cells: row(v.cells, units, first),
      saved: row(v.saved, saved * units, first),
      savedStep: sign * batch * saved * units * size,
      hidden: hidden + first * wide * size,
      direct: direct ? 1 : 0,
    }),
  )
  engine.run(calls)
}

/** True if all elements are one and the same zero: a gradient that nobody gave. */
function isZero(engine: Engine, view: View): boolean {
  if (view.strides.some((stride, d) => stride !== 0 && view.shape[d] !== 1)) return false
  const array = view.dtype === "float64" ? Float64Array : Float32Array
  return new array(engine.memory.buffer, addressOf(view), 1)[0] === 0
}

/** The gradients of a layer over a whole sequence. */
export function runRecurrentBackward(
  engine: Engine,
  kernel: RecurrentBackwardKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): void {
  withScratch(engine, (scratch) => {
    const targets = outputs.map((view) => scratch.target(view))
    const v = recurrentBackwardOperands(kernel, inputs, targets)
    const [steps, batch, units] = v.gradOutput.shape
    if (batch === 0 || units === 0) return
    // The gradients that travel back through time live in the outputs for the first state.
    copyView(engine, v.gradH, v.dh)
    if (v.gradC && v.dc) copyView(engine, v.gradC, v.dc)
    if (steps > 0) backward(engine, kernel, v, scratch)
    deliver(engine, targets, outputs)
  })
}

/** The sweep back through at least one time; outputs are contiguous. */
function backward(
  engine: Engine,
  { cell, reverse }: RecurrentBackwardKernel,
  v: RecurrentBackwardOperands,
  scratch: Scratch,
): void {
  const { gates, saved: savedCount } = recurrentCells[cell]
  const dtype = v.weight.dtype as ProductDType
  const [steps, batch, units] = v.gradOutput.shape
  const wide = gates * units
  const size = byteSize(dtype)
  const given = !isZero(engine, v.gradOutput)
  const form = { cell, dtype, given }
  const code = engine.compile(`recurrentBackward ${cell} ${dtype} ${given}`, (module) => {
    const gemm = defineGemm(module, engine, dtype)
    return { backward: emitBackward(module, engine, form, gemm), pack: emitPack(module, gemm) }
  })
  const weight = scratch.straight(v.weight)
  const weightAt = scratch.take(packedBytes(dtype, units, wide))
  code.pack.call(units, wide, addressOf(weight), units * size, size, weightAt)
  const straight = (view: View | null): View | null => view && scratch.straight(view)
  const gradOutput = given ? straight(v.gradOutput) : null
  const [output, h, cells, c, saved] = [v.output, v.h, v.cells, v.c, v.saved].map(straight)
  const start = reverse ? 0 : steps - 1
  const sign = reverse ? 1 : -1
  const row = (view: View | null, width: number, first: number): number =>
    view ? addressOf(view) + (start * batch + first) * width * size : 0
  const still = (view: View | null, first: number): number => (view ? addressOf(view) + first * units * size : 0)
  const calls = callsFor(
    code.backward,
    batch,
    rowsPerCall(engine, batch, wide * size, steps * batch * wide * (units / 15 + 1)),
    backwardParams,
    (first, rows) => ({
      steps,
      rows,
      units,
      gradOutput: row(gradOutput, units, first),
      outputStep: sign * batch * units * size,
      weight: weightAt,
      output: row(output, units, first),
      cells: row(cells, units, first),
      h: still(h, first),
      c: still(c, first),
      saved: row(saved, savedCount * units, first),
      savedStep: saved ? sign * batch * savedCount * units * size : 0,
      projected: row(v.projected, wide, first),
      hidden: row(v.hidden ?? v.projected, wide, first),
      projectedStep: sign * batch * wide * size,
      dh: still(v.dh, first),
      dc: still(v.dc, first),
    }),
  )
  engine.run(calls)
}
