// The recurrent kernels: which code a layer needs, how its batch is cut into runs over the whole sequence, and scratch memory.
import {
  byteSize,
  contiguousStrides,
  type DType,
  isContiguous,
  kernels,
  type RecurrentBackwardKernel,
  recurrentCells,
  type RecurrentKernel,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { Call, Compiled, Engine } from "./engine.js"
import { defineGemm, packedBytes, type ProductDType } from "./gemm/gemm.js"
import { runMap } from "./map.js"
import { backwardParams, emitBackward, emitForward, emitPack, forwardParams } from "./recurrent/emit.js"
import { addressOf, WasmStorage } from "./storage.js"

/** Scratch memory of one run: given back all at once. */
class Scratch {
  private readonly engine: Engine
  private readonly pieces: (readonly [number, number])[] = []
  constructor(engine: Engine) {
    this.engine = engine
  }
  take(bytes: number): number {
    const address = this.engine.heap.alloc(bytes)
    this.pieces.push([address, bytes])
    return address
  }
  /** A contiguous view of its own memory. */
  view(shape: readonly number[], dtype: DType): View {
    const bytes = sizeOf(shape) * byteSize(dtype)
    const storage = new WasmStorage(bytes, this.take(bytes), this)
    return { storage, dtype, shape, strides: contiguousStrides(shape), offset: 0 }
  }
  /** The view itself if it is contiguous, else a copy. */
  straight(view: View): View {
    if (isContiguous(view.shape, view.strides)) return view
    const copy = this.view(view.shape, view.dtype)
    runMap(this.engine, kernels.copy(view.dtype, view.dtype), [view], [copy], [])
    return copy
  }
  /** Where an output is to be computed: itself if it is contiguous. */
  target(view: View): View {
    return isContiguous(view.shape, view.strides) ? view : this.view(view.shape, view.dtype)
  }
  release(): void {
    for (const [address] of this.pieces) this.engine.heap.free(address)
  }
}

/** Copies targets that are not the outputs themselves to where they belong. */
function deliver(engine: Engine, targets: readonly View[], outputs: readonly View[]): void {
  targets.forEach((target, i) => {
    if (target !== outputs[i]) runMap(engine, kernels.copy(target.dtype, target.dtype), [target], [outputs[i]], [])
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
  const { cell, bias, reverse } = kernel
  const { gates, saved } = recurrentCells[cell]
  const [steps, batch, wide] = inputs[0].shape
  const dtype = inputs[0].dtype as ProductDType
  const units = wide / gates
  if (sizeOf(outputs[0].shape) === 0) return
  const save = kernel.save && saved > 0
  const size = byteSize(dtype)
  const scratch = new Scratch(engine)
  try {
    const form = { cell, dtype, save }
    const code = engine.compile(`recurrent ${cell} ${dtype} ${save}`, (module) => {
      const gemm = defineGemm(module, engine, dtype)
      return { forward: emitForward(module, engine, form, gemm), pack: emitPack(module, gemm) }
    })
    const [projected, weight, ...rest] = inputs.map((view) => scratch.straight(view))
    const biasAt = bias ? addressOf(rest.shift() as View) : 0
    const [h, c] = rest
    const targets = outputs.map((view) => scratch.target(view))
    const states = cell === "lstm" ? 2 : 1
    const direct = steps * batch <= directRows
    let weightAt = addressOf(weight)
    if (!direct) {
      weightAt = scratch.take(packedBytes(dtype, wide, units))
      code.pack.call(wide, units, addressOf(weight), size, units * size, weightAt)
    }
    const hidden = scratch.take(batch * wide * size)
    const start = reverse ? steps - 1 : 0
    const sign = reverse ? -1 : 1
    const row = (view: View | undefined, width: number, first: number): number =>
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
        projected: row(projected, wide, first),
        projectedStep: sign * batch * wide * size,
        weight: weightAt,
        bias: biasAt,
        h: addressOf(h) + first * units * size,
        c: c ? addressOf(c) + first * units * size : 0,
        output: row(targets[0], units, first),
        outputStep: sign * batch * units * size,
        cells: states === 2 ? row(targets[1], units, first) : 0,
        saved: save ? row(targets[states], saved * units, first) : 0,
        savedStep: save ? sign * batch * saved * units * size : 0,
        hidden: hidden + first * wide * size,
        direct: direct ? 1 : 0,
      }),
    )
    engine.run(calls)
    deliver(engine, targets, outputs)
  } finally {
    scratch.release()
  }
}

/** What the backward kernel reads and writes, by name. */
function named(isLSTM: boolean, isGRU: boolean, inputs: readonly View[], outputs: readonly View[]) {
  const list = [...inputs]
  const take = (): View => list.shift() as View
  const gradOutput = take()
  const gradH = take()
  const gradC = isLSTM ? take() : null
  const weight = take()
  const output = take()
  const h = take()
  const cells = isLSTM ? take() : null
  const c = isLSTM ? take() : null
  const saved = list.length > 0 ? take() : null
  const into = [...outputs]
  const projected = into.shift() as View
  const hidden = isGRU ? (into.shift() as View) : projected
  return { gradOutput, gradH, gradC, weight, output, h, cells, c, saved, projected, hidden, dh: into[0], dc: into[1] }
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
  const { cell, reverse } = kernel
  const { gates, saved: savedCount } = recurrentCells[cell]
  const isLSTM = cell === "lstm"
  const scratch = new Scratch(engine)
  try {
    const targets = outputs.map((view) => scratch.target(view))
    const v = named(isLSTM, cell === "gru", inputs, targets)
    const { dtype } = v.weight
    const [steps, batch, units] = v.gradOutput.shape
    if (batch === 0 || units === 0) return
    // The gradients that travel back through time live in the outputs for the first state.
    const copy = kernels.copy(dtype, dtype)
    runMap(engine, copy, [v.gradH], [v.dh], [])
    if (v.gradC) runMap(engine, copy, [v.gradC], [v.dc], [])
    if (steps > 0) sweep(engine, kernel, v, scratch)
    deliver(engine, targets, outputs)
  } finally {
    scratch.release()
  }

  function sweep(
    engine: Engine,
    { cell }: RecurrentBackwardKernel,
    v: ReturnType<typeof named>,
    scratch: Scratch,
  ): void {
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
    const optional = (view: View | null): View | null => view && scratch.straight(view)
    const [gradOutput, output, h] = [given ? v.gradOutput : v.h, v.output, v.h].map((view) => scratch.straight(view))
    const [cells, c, saved] = [v.cells, v.c, v.saved].map(optional)
    const start = reverse ? 0 : steps - 1
    const sign = reverse ? 1 : -1
    const row = (view: View | null, width: number, first: number): number =>
      view ? addressOf(view) + (start * batch + first) * width * size : 0
    const still = (view: View | null | undefined, first: number): number =>
      view ? addressOf(view) + first * units * size : 0
    const calls = callsFor(
      code.backward,
      batch,
      rowsPerCall(engine, batch, wide * size, steps * batch * wide * (units / 15 + 1)),
      backwardParams,
      (first, rows) => ({
        steps,
        rows,
        units,
        gradOutput: given ? row(gradOutput, units, first) : 0,
        outputStep: sign * batch * units * size,
        weight: weightAt,
        output: row(output, units, first),
        cells: row(cells, units, first),
        h: still(h, first),
        c: still(c, first),
        saved: row(saved, savedCount * units, first),
        savedStep: saved ? sign * batch * savedCount * units * size : 0,
        projected: row(v.projected, wide, first),
        hidden: row(v.hidden, wide, first),
        projectedStep: sign * batch * wide * size,
        dh: still(v.dh, first),
        dc: still(v.dc, first),
      }),
    )
    engine.run(calls)
  }
}
