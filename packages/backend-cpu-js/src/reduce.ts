// The reduce kernel: orders the dims so that values stream through the interpreter, and folds them block by block.
import {
  DTypeError,
  type DType,
  type HostArray,
  isContiguous,
  type ReduceKernel,
  type ReduceOperator,
  sizeOf,
  type View,
} from "@rondo/backend"
import { type Plan, planOf } from "./interpreter.js"
import { castLoop, storeLoop } from "./loops/cast.js"
import { type Fold, floatFolds, int64Folds, intFolds } from "./loops/fold.js"
import { family, isHalf } from "./loops/loop.js"
import { elements } from "./storage.js"
import { copyLoop, Cursor, scatterBlock } from "./strided.js"

/** How the loop nest is walked: the dims in order, then `outer x reduced x inner` elements. */
interface Walk {
  readonly order: readonly number[]
  readonly reduced: number
  readonly inner: number
}

/** The least distance between neighbours along any of `dims`. */
function leastStride(view: View, dims: readonly number[]): number {
  let least = Infinity
  for (const d of dims)
    if (view.shape[d] > 1 && view.strides[d] !== 0) least = Math.min(least, Math.abs(view.strides[d]))
  return least
}

/**
 * Kept dims behind the last reduced one are walked innermost, so that a reduction over leading dims adds whole rows. An input
 * that lies otherwise in memory (a transposed view) is walked as it lies.
 */
function walkOf(view: View, dims: readonly number[]): Walk {
  const { shape } = view
  const isReduced = shape.map((_, d) => dims.includes(d))
  const all = shape.map((_, d) => d)
  const reduced = all.filter((d) => isReduced[d])
  const kept = all.filter((d) => !isReduced[d])
  const last = reduced.length === 0 ? -1 : reduced[reduced.length - 1]
  const lead = kept.filter((d) => d < last)
  const trail = kept.filter((d) => d > last)
  const count = (list: readonly number[]) => sizeOf(list.map((d) => shape[d]))
  const rowsFirst = leastStride(view, reduced) <= leastStride(view, kept)
  if (rowsFirst && count(trail) > 1) return { order: [...kept, ...reduced], reduced: count(reduced), inner: 1 }
  if (!rowsFirst && count(trail) <= 1)
    return { order: [...reduced, ...kept], reduced: count(reduced), inner: count(kept) }
  return { order: [...lead, ...reduced, ...trail], reduced: count(reduced), inner: count(trail) }
}

const permuted = (view: View, order: readonly number[]): View => ({
  ...view,
  shape: order.map((d) => view.shape[d]),
  strides: order.map((d) => view.strides[d]),
})

interface Accumulators {
  readonly dtype: DType
  readonly values: HostArray
  readonly extra: HostArray
  readonly fold: Fold
}

/** Accumulators at the neutral element, with the fold that fills them. */
function accumulators(op: ReduceOperator, dtype: DType, count: number): Accumulators {
  const arg = op === "argmax" || op === "argmin"
  const positions = new Int32Array(arg ? count : 0).fill(-1)
  switch (family(dtype)) {
    case "float": {
      if (op === "any" || op === "all") throw new DTypeError(`reduce: ${op} is not defined for ${dtype}`)
      const start = op === "prod" ? 1 : op === "max" ? -Infinity : op === "min" ? Infinity : 0
      const values = new Float64Array(count).fill(start)
      const compensated = op === "sum" && dtype === "float64"
      const extra = compensated ? new Float64Array(count) : positions
      return { dtype: "float64", values, extra, fold: floatFolds[compensated ? "compensatedSum" : op] }
    }
    case "int": {
      const unsigned = dtype === "uint32"
      const least = unsigned ? 0 : -(2 ** 31)
      const start = op === "prod" || op === "all" ? 1 : op === "max" ? least : op === "min" ? least + 2 ** 32 - 1 : 0
      const values = new (unsigned ? Uint32Array : Int32Array)(count).fill(start)
      return { dtype: unsigned ? dtype : "int32", values, extra: positions, fold: intFolds[op] }
    }
    case "int64": {
      if (op === "any" || op === "all") throw new DTypeError(`reduce: ${op} is not defined for ${dtype}`)
      const start = op === "prod" ? 1n : op === "max" ? -(2n ** 63n) : op === "min" ? 2n ** 63n - 1n : 0n
      return { dtype, values: new BigInt64Array(count).fill(start), extra: positions, fold: int64Folds[op] }
    }
  }
}

/** Streams the plan's values in blocks of whole lines, or one line in pieces, and folds each block. */
function foldAll(plan: Plan, size: number, { reduced, inner }: Walk, { values, extra, fold }: Accumulators): void {
  const node = plan.outputs[0]
  const limit = plan.blockFor(size, 0)
  // A line is what stays together: all values of one result, or one value of each of `inner` neighbouring results.
  const byRow = inner === 1
  const line = byRow ? reduced : inner
  const lines = size / line
  const rowStep = byRow ? 1 : 0
  const take = (start: number, rows: number, len: number, to: number, first: number) => {
    plan.evaluate(start, rows * len)
    const at = plan.base[node] + plan.step[node] * start
    fold(rows, len, plan.arrays[node], at, values, to, rowStep, 1 - rowStep, extra, first)
  }
  for (let l = 0; l < lines;) {
    const to = byRow ? l : Math.floor(l / reduced) * inner
    const first = byRow ? 0 : l % reduced
    if (line <= limit) {
      const rows = Math.min(Math.floor(limit / line), byRow ? lines - l : reduced - first)
      take(l * line, rows, line, to, first)
      l += rows
    } else {
      for (let i = 0; i < line; i += limit) {
        const n = Math.min(limit, line - i)
        take(l * line + i, 1, n, byRow ? to : to + i, byRow ? i : first)
      }
      l++
    }
  }
}

/** Adds what compensated summation has kept aside. An infinite sum has no correction (it is NaN). */
function correct(values: Float64Array, lost: Float64Array): void {
  for (let k = 0; k < values.length; k++) if (lost[k] - lost[k] === 0) values[k] += lost[k]
}

/** Writes accumulators to a view, converting on the way. */
function storeResults(dtype: DType, values: HostArray, view: View): void {
  const target = elements(view)
  const convert = isHalf(view.dtype) ? storeLoop(view.dtype) : castLoop(dtype, view.dtype)
  if (isContiguous(view.shape, view.strides)) {
    return convert(values.length, target, view.offset, values, 0, values, 0, values, 0)
  }
  const Scratch = target.constructor as new (length: number) => HostArray
  const converted = new Scratch(values.length)
  convert(values.length, converted, 0, values, 0, values, 0, values, 0)
  const cursor = new Cursor(view.shape, view.strides, view.offset)
  scatterBlock(copyLoop(view.dtype), cursor, values.length, converted, 0, target)
}

/** Reduces an expression over some dims; `output` keeps them with size 1. */
export function runReduce(
  kernel: ReduceKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  const { op, dims, expr } = kernel
  const lead = inputs.find((view) => view.strides.some((stride) => stride !== 0)) ?? inputs[0]
  const walk = walkOf(lead, dims)
  const size = sizeOf(lead.shape)
  const results = accumulators(op, expr.dtype, sizeOf(output.shape))
  if (size > 0) {
    const plan = planOf(kernel, [expr])
    plan.bind(inputs.map((view) => permuted(view, walk.order)), scalars, size) // prettier-ignore
    foldAll(plan, size, walk, results)
    plan.release()
  }
  const { dtype, values, extra } = results
  if (op === "sum" && extra instanceof Float64Array) correct(values as Float64Array, extra)
  const arg = op === "argmax" || op === "argmin"
  // Reduced dims have size 1: leaving them in place does not change the order of the kept ones.
  storeResults(arg ? "int32" : dtype, arg ? extra : values, permuted(output, walk.order))
}
