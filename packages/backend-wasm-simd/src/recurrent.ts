// The recurrent kernels: which code a layer needs, how its batch is cut into runs over the whole sequence, and scratch memory.
import {
  byteSize,
  type Kernel,
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
import { gemmCode, importGemm, packedBytes, type ProductDType } from "./gemm/gemm.js"
import { copyView } from "./map.js"
import { emitBackward, emitForward } from "./recurrent/emit.js"
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

/** Runs `fn` for each run of sequences; `args` gives its arguments for a number of rows from a first one. */
function runRows(
  engine: Engine,
  fn: Compiled,
  batch: number,
  rows: number,
  args: (first: number, rows: number) => number[],
): void {
  // prettier-ignore
  if (rows >= batch) return engine.call(fn, args(0, batch))
  const calls: Call[] = []
  for (let first = 0; first < batch; first += rows) calls.push({ fn, args: args(first, Math.min(rows, batch - first)) })
  engine.run(calls)
}

/** The code of a kernel on an engine, by forms that are numbers: made once. */
type Codes<N extends string> = WeakMap<Engine, WeakMap<Kernel, Record<N, Compiled>[]>>

function codeOf<N extends string>(
  codes: Codes<N>,
  engine: Engine,
  kernel: Kernel,
  form: number,
  make: () => Record<N, Compiled>,
): Record<N, Compiled> {
  let byKernel = codes.get(engine)
  if (!byKernel) codes.set(engine, (byKernel = new WeakMap()))
  let forms = byKernel.get(kernel)
  if (!forms) byKernel.set(kernel, (forms = []))
  return (forms[form] ??= make())
}

const forwardCodes: Codes<"forward"> = new WeakMap()
const backwardCodes: Codes<"backward"> = new WeakMap()

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
function forward(engine: Engine, kernel: RecurrentKernel, v: RecurrentOperands, scratch: Scratch): void {
  const { cell, reverse } = kernel
  const { gates, saved } = recurrentCells[cell]
  const [steps, batch, wide] = v.projected.shape
  const dtype = v.projected.dtype as ProductDType
  const units = wide / gates
  const size = byteSize(dtype)
  const code = codeOf(forwardCodes, engine, kernel, dtype === "float32" ? 0 : 1, () => {
    const form = { cell, dtype, save: v.saved !== null }
    return engine.compile(`recurrent ${cell} ${dtype} ${form.save}`, (module) => {
      return { forward: emitForward(module, engine, form, importGemm(module, engine, dtype)) }
    })
  })
  const pack = gemmCode(engine, dtype).prepack
  const direct = steps * batch <= directRows
  let weightAt = addressOf(v.weight)
  if (!direct) {
    weightAt = scratch.take(packedBytes(dtype, wide, units))
    engine.call(pack, [wide, units, addressOf(v.weight), size, units * size, weightAt])
  }
  const hidden = scratch.take(batch * wide * size)
  const start = reverse ? steps - 1 : 0
  const sign = reverse ? -1 : 1
  const row = (view: View | null, width: number, first: number): number =>
    view ? addressOf(view) + (start * batch + first) * width * size : 0
  const rows = rowsPerCall(engine, batch, wide * size, steps * batch * wide * (units / 15 + 1))
  // In the order of `forwardParams`.
  // prettier-ignore
  runRows(engine, code.forward, batch, rows, (first, rows) => [
    steps, rows, units,
    row(v.projected, wide, first), sign * batch * wide * size,
    weightAt, v.bias ? addressOf(v.bias) : 0, addressOf(v.h) + first * units * size, v.c ? addressOf(v.c) + first * units * size : 0,
    row(v.output, units, first), sign * batch * units * size, row(v.cells, units, first),
    row(v.saved, saved * units, first), sign * batch * saved * units * size,
    hidden + first * wide * size, direct ? 1 : 0,
  ])
}

/** True if all elements are one and the same zero: a gradient that nobody gave. */
function isZero(engine: Engine, view: View): boolean {
  if (view.strides.some((stride, d) => stride !== 0 && view.shape[d] !== 1)) return false
  engine.untrace()
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
  kernel: RecurrentBackwardKernel,
  v: RecurrentBackwardOperands,
  scratch: Scratch,
): void {
  const { cell, reverse } = kernel
  const { gates, saved: savedCount } = recurrentCells[cell]
  const dtype = v.weight.dtype as ProductDType
  const [steps, batch, units] = v.gradOutput.shape
  const wide = gates * units
  const size = byteSize(dtype)
  const given = !isZero(engine, v.gradOutput)
  const code = codeOf(backwardCodes, engine, kernel, (dtype === "float32" ? 0 : 1) + (given ? 2 : 0), () =>
    engine.compile(`recurrentBackward ${cell} ${dtype} ${given}`, (module) => {
      const gemm = importGemm(module, engine, dtype)
      return { backward: emitBackward(module, engine, { cell, dtype, given }, gemm) }
    }),
  )
  const weight = scratch.straight(v.weight)
  const weightAt = scratch.take(packedBytes(dtype, units, wide))
  engine.call(gemmCode(engine, dtype).prepack, [units, wide, addressOf(weight), units * size, size, weightAt])
  const straight = (view: View | null): View | null => view && scratch.straight(view)
  const gradOutput = given ? straight(v.gradOutput) : null
  const [output, h, cells, c, saved] = [v.output, v.h, v.cells, v.c, v.saved].map(straight)
  const start = reverse ? 0 : steps - 1
  const sign = reverse ? 1 : -1
  const row = (view: View | null, width: number, first: number): number =>
    view ? addressOf(view) + (start * batch + first) * width * size : 0
  const still = (view: View | null, first: number): number => (view ? addressOf(view) + first * units * size : 0)
  const rows = rowsPerCall(engine, batch, wide * size, steps * batch * wide * (units / 15 + 1))
  // In the order of `backwardParams`.
  // prettier-ignore
  runRows(engine, code.backward, batch, rows, (first, rows) => [
    steps, rows, units,
    row(gradOutput, units, first), sign * batch * units * size,
    weightAt, row(output, units, first), row(cells, units, first), still(h, first), still(c, first),
    row(saved, savedCount * units, first), saved ? sign * batch * savedCount * units * size : 0,
    row(v.projected, wide, first), row(v.hidden ?? v.projected, wide, first), sign * batch * wide * size,
    still(v.dh, first), still(v.dc, first),
  ])
}
