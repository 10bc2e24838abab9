// What gather, scatter, rows and indexing share: checks of index tensors, the kernels' calls, rows with their
// gradients. Not public.
import {
  type DType,
  DTypeError,
  e,
  type Expr,
  kernels,
  type MapKernel,
  shapeText,
  ShapeError,
  sizeOf,
  type View,
} from "@rondo/backend"
import { apply, execute, output } from "../apply.js"
import { copyOf, stretched } from "../place.js"
import type { Rule } from "../graph.js"
import { rememberOrigin } from "../origin.js"
import type { Tensor } from "../tensor.js"
import { atLeast1d, cropped, target, viewOf } from "./geometry.js"
import { expand, zerosOf } from "./movement.js"

/** Throws a DTypeError unless `index` can be one. */
export function checkIndexDType(name: string, index: Tensor): void {
  if (index.dtype === "int32" || index.dtype === "int64") return
  throw new DTypeError(`${name}: the index must be int32 or int64: got ${index.dtype}`)
}

/** Throws a ShapeError unless the ranks agree (no dims count as one). */
export function checkRanks(name: string, x: Tensor, index: Tensor, what = "index"): void {
  if (Math.max(1, x.ndim) === Math.max(1, index.ndim)) return
  throw new ShapeError(
    `${name}: ${what} must have as many dims as the input: got ${shapeText(index.shape)} for ${shapeText(x.shape)}`,
  )
}

/** Throws a DTypeError unless the dtypes agree. */
export function checkSameDType(name: string, x: Tensor, source: Tensor): void {
  if (x.dtype === source.dtype) return
  throw new DTypeError(`${name}: dtypes differ: ${x.dtype} and ${source.dtype}; convert one with .to(dtype)`)
}

// ---- kernels

/** A view of an index or source: one dim at least, and of the shape that the kernel walks. */
const laid = (x: View, shape?: readonly number[]): View => {
  const geometry = atLeast1d(x)
  return viewOf(x, shape && shape.length > 0 ? cropped(geometry, shape) : geometry)
}

/** Gathers along `d` into a new tensor of the index's shape; records nothing. */
export function runGather(x: Tensor, d: number, index: View): Tensor {
  const out = output(x.device, index.shape, x.dtype)
  if (sizeOf(index.shape) === 0) return out
  const source = atLeast1d(x)
  const shape = atLeast1d(index).shape.map((size, i) => (i === d ? source.shape[i] : size))
  execute({ kind: "gather", dim: d }, [viewOf(x, cropped(source, shape)), laid(index)], [target(out, atLeast1d(out))])
  return out
}

export type ScatterMode = "add" | "replace"

/** Scatters along `d` into `into`; records nothing. */
export function runScatter(into: Tensor, d: number, index: View, source: View, mode: ScatterMode): void {
  if (sizeOf(index.shape) === 0) return
  const whole = atLeast1d(into)
  const walked = laid(index)
  const window = cropped(
    whole,
    walked.shape.map((size, i) => (i === d ? whole.shape[i] : size)),
  )
  execute({ kind: "scatter", dim: d, mode }, [walked, laid(source, walked.shape)], [target(into, window)])
}

/** A number as a tensor without dims, of the dtype of `x`. */
export function fullOf(x: Tensor, value: number | boolean): Tensor {
  const one = output(x.device, [], x.dtype)
  execute(kernels.fill(x.dtype), [], [one], [Number(value)])
  return one
}

/** A number as a view of any shape. */
export const numberView = (x: Tensor, value: number | boolean, shape: readonly number[]): View =>
  stretched(fullOf(x, value), shape)

// ---- rows: an index of one dim, repeated over the others by stride 0

/** A vector of indices along dim `d`, seen under the shape of the rows it picks. */
function repeated(index: Tensor, shape: readonly number[], d: number): View {
  const strides = shape.map((_, i) => (i === d ? (index.strides[0] ?? 0) : 0))
  return viewOf(index, { shape, strides, offset: index.offset })
}

/** `shape` with dim `d` of another size. */
export const withSize = (shape: readonly number[], d: number, size: number): number[] =>
  shape.map((n, i) => (i === d ? size : n))

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
const takenRule =
  (shape: readonly number[], d: number): Rule =>
  ([g], saved) => [g && addedRows(shape, d, saved.y, g)]
const gatheredRule =
  (d: number): Rule =>
  ([g], saved) => [null, g && takeRows("indexSelect", g, d, saved.x)]
const addedRule =
  (d: number): Rule =>
  ([g], saved) => [g, null, g && saved.needs[2] ? takeRows("indexSelect", g, d, saved.y) : null]
const putRule =
  (rows: readonly number[], d: number): Rule =>
  ([g], saved) => {
    if (!g) return []
    const own = saved.needs[0] ? putRows("indexFill", g, d, saved.y, expand(zerosOf(g, []), rows)) : null
    return [own, null, saved.needs[2] ? takeRows("indexSelect", g, d, saved.y) : null]
  }

/** Rows `index` [N] of a matrix; records nothing. */
export const gatherRows = (x: Tensor, index: Tensor): Tensor =>
  runGather(x, 0, repeated(index, [index.shape[0], x.shape[1]], 0))

/** Rows `index` [N] of dim `d`. */
export function takeRows(name: string, x: Tensor, d: number, index: Tensor): Tensor {
  const { shape } = x
  const vjp = takenRule(shape, d)
  const rows = withSize(shape, d, index.shape[0] ?? 1)
  const [out] = apply({ name, keep: ["y"], vjp }, [x, index], () => [runGather(x, d, repeated(index, rows, d))])
  if (d === 0) rememberOrigin(out, x, index, null)
  return out
}

/** Writes or adds `source`, which has the shape of the rows, to rows `index` of dim `d`; records nothing. */
export const runRows = (into: Tensor, d: number, index: Tensor, source: Tensor, mode: ScatterMode): void =>
  runScatter(into, d, repeated(index, source.shape, d), source, mode)

/** Zeros of `shape` with `source` added to rows `index` of dim `d`: the gradient of taking rows, without a copy between. */
export function addedRows(shape: readonly number[], d: number, index: Tensor, source: Tensor): Tensor {
  const vjp = gatheredRule(d)
  const [out] = apply({ name: "indexAdd", keep: ["x"], vjp }, [index, source], () => {
    const sums = zerosOf(source, shape)
    runRows(sums, d, index, source, "add")
    return [sums]
  })
  return out
}

/** A copy of `x` with `source` added to rows `index` of dim `d`. */
export function addRows(name: string, x: Tensor, d: number, index: Tensor, source: Tensor): Tensor {
  const vjp = addedRule(d)
  const [out] = apply({ name, keep: ["y"], vjp }, [x, index, source], (device) => {
    const copy = copyOf(device, x)
    runRows(copy, d, index, source, "add")
    return [copy]
  })
  return out
}

/** A copy of `x` whose rows `index` of dim `d` are those of `source`, which has the shape of the rows. */
export function putRows(name: string, x: Tensor, d: number, index: Tensor, source: Tensor): Tensor {
  const vjp = putRule(source.shape, d)
  const [out] = apply({ name, keep: ["y"], vjp }, [x, index, source], (device) => {
    const copy = copyOf(device, x)
    runRows(copy, d, index, source, "replace")
    return [copy]
  })
  return out
}

const wrapKernels = new Map<DType, MapKernel>()

/** Negative indices counted from the end of `size`; what is out of range stays as it is, for the kernel to report. */
export function wrapped(index: Tensor, size: number): Tensor {
  let kernel = wrapKernels.get(index.dtype)
  if (!kernel) {
    const i: Expr = e.input(0, index.dtype)
    const n = e.scalar(0, index.dtype)
    const fromEnd = e.and(e.lt(i, e.like(i, 0)), e.ge(i, e.neg(n)))
    kernel = { kind: "map", exprs: [e.where(fromEnd, e.add(i, n), i)] }
    wrapKernels.set(index.dtype, kernel)
  }
  const out = output(index.device, index.shape, index.dtype)
  if (sizeOf(index.shape) > 0) execute(kernel, [index], [out], [size])
  return out
}
