// Indexing along one dim by index tensors: gather and scatter in their PyTorch forms, and the row operations made of them.
import { broadcastShapes, DTypeError, type DType, e, type Expr, kernels, type MapKernel, shapeText, ShapeError, sizeOf, type View } from "@rondo/backend"
import { apply, applyInPlace, commonDevice, execute, output } from "../apply.js"
import { copyOf, stretched } from "../elementwise.js"
import type { Rule } from "../graph.js"
import { op, readDim } from "../op.js"
import { type IntSample, indices, t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { mul } from "./arithmetic.js"
import { atLeast1d, cropped, target, viewOf } from "./geometry.js"
import { expand, reshape, zerosOf } from "./movement.js"
import { narrow } from "./slicing.js"

/** Throws a DTypeError unless `index` can be one. */
export function checkIndexDType(name: string, index: Tensor): void {
  if (index.dtype === "int32" || index.dtype === "int64") return
  throw new DTypeError(`${name}: the index must be int32 or int64: got ${index.dtype}`)
}

function checkRanks(name: string, x: Tensor, index: Tensor, what = "index"): void {
  if (Math.max(1, x.ndim) === Math.max(1, index.ndim)) return
  throw new ShapeError(`${name}: ${what} must have as many dims as the input: got ${shapeText(index.shape)} for ${shapeText(x.shape)}`)
}

/** Throws unless `index` lies within `x` in every dim but `d` (all of them for -1). */
function checkWithin(name: string, index: Tensor, x: Tensor, d: number, what: string): void {
  if (sizeOf(index.shape) === 0) return
  if (index.shape.every((size, i) => i === d || size <= (x.shape[i] ?? 1))) return
  const where = d < 0 ? "" : ` outside dim ${d}`
  throw new ShapeError(`${name}: the index ${shapeText(index.shape)} exceeds the ${what} ${shapeText(x.shape)}${where}`)
}

function checkSameDType(name: string, x: Tensor, source: Tensor): void {
  if (x.dtype === source.dtype) return
  throw new DTypeError(`${name}: dtypes differ: ${x.dtype} and ${source.dtype}; convert one with .to(dtype)`)
}

// ---- kernels

/** A view of an index or source: one dim at least, and of the shape that the kernel walks. */
const laid = (x: View, shape?: readonly number[]): View => {
  const geometry = atLeast1d(x)
  return viewOf(x, shape && shape.length > 0 ? cropped(geometry, shape) : geometry)
}

function runGather(x: Tensor, d: number, index: View): Tensor {
  const out = output(x.device, index.shape, x.dtype)
  if (sizeOf(index.shape) === 0) return out
  const source = atLeast1d(x)
  const shape = atLeast1d(index).shape.map((size, i) => (i === d ? source.shape[i] : size))
  execute({ kind: "gather", dim: d }, [viewOf(x, cropped(source, shape)), laid(index)], [target(out, atLeast1d(out))])
  return out
}

type ScatterMode = "add" | "replace"

function runScatter(into: Tensor, d: number, index: View, source: View, mode: ScatterMode): void {
  if (sizeOf(index.shape) === 0) return
  const whole = atLeast1d(into)
  const walked = laid(index)
  const window = cropped(whole, walked.shape.map((size, i) => (i === d ? whole.shape[i] : size))) // prettier-ignore
  execute({ kind: "scatter", dim: d, mode }, [walked, laid(source, walked.shape)], [target(into, window)])
}

/** A number as a view of any shape. */
export function numberView(x: Tensor, value: number | boolean, shape: readonly number[]): View {
  const one = output(x.device, [], x.dtype)
  execute(kernels.fill(x.dtype), [], [one], [Number(value)])
  return stretched(one, shape)
}

// ---- gather and scatter

const unique = (...shape: number[]): IntSample => indices(1, ...shape)

export const gather = op(
  {
    family: "indexing",
    name: "gather",
    doc: "`out[i][j] = x[index[i][j]][j]` for dim 0, and so on; the shape is that of `index`, which may be smaller than x in other dims.",
    samples: [
      [t(3, 4), 0, indices(3, 5, 4)],
      [t(3, 4), -1, indices(4, 2, 3)],
      [t(2, 3, 4), 1, indices(3, 2, 5, 4)],
      [t(3), 0, indices(3, 0)],
      [t(), 0, indices(1)],
    ],
    differentiable: true,
  },
  (x: Tensor, dim: number, index: Tensor): Tensor => {
    commonDevice("gather", [x, index])
    const d = readDim("gather", dim, x.ndim)
    checkIndexDType("gather", index)
    checkRanks("gather", x, index)
    checkWithin("gather", index, x, d, "input")
    // Within the narrowed input, a gradient is scattered into zeros of its own size.
    let source = x
    if (sizeOf(index.shape) > 0) for (let i = 0; i < x.ndim; i++) if (i !== d && index.shape[i] < x.shape[i]) source = narrow(source, i, 0, index.shape[i])
    const { shape } = source
    const vjp: Rule = ([g], saved) => [g && scatterAdd(zerosOf(g, shape), d, saved.y, g)]
    const [out] = apply({ name: "gather", keep: ["y"], vjp }, [source, index], () => [runGather(source, d, index)])
    return out
  },
)

interface ScatterForm {
  readonly index: Tensor
  readonly source: Tensor | number
  readonly d: number
}

/** Checks the operands; a source larger than the index is narrowed to it. */
function readScatter(name: string, x: Tensor, dim: number, index: Tensor, source: Tensor | number): ScatterForm {
  commonDevice(name, [x, index, source])
  const d = readDim(name, dim, x.ndim)
  checkIndexDType(name, index)
  checkRanks(name, x, index)
  checkWithin(name, index, x, d, "input")
  if (typeof source !== "object") return { index, source, d }
  checkSameDType(name, x, source)
  checkRanks(name, x, source, "source")
  checkWithin(name, index, source, -1, "source")
  let fitting = source
  for (let i = 0; i < source.ndim; i++) {
    if ((index.shape[i] ?? 1) < source.shape[i]) fitting = narrow(fitting, i, 0, index.shape[i] ?? 1)
  }
  return { index, source: fitting, d }
}

const scatterRule = (d: number, mode: ScatterMode): Rule => ([g], saved) => {
  if (!g) return []
  const own = mode === "add" ? g : scatter(g, d, saved.y, 0)
  return [saved.needs[0] ? own : null, null, saved.needs[2] ? gather(g, d, saved.y) : null]
} // prettier-ignore

function scattered(name: string, mode: ScatterMode) {
  return (x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor => {
    const form = readScatter(name, x, dim, index, source)
    const inputs = typeof form.source === "object" ? [x, index, form.source] : [x, index]
    const [out] = apply({ name, keep: ["y"], vjp: scatterRule(form.d, mode) }, inputs, (device) => {
      const copy = copyOf(device, x)
      scatterInto(copy, form, mode)
      return [copy]
    })
    return out
  }
}

function scatteredInPlace(name: string, mode: ScatterMode) {
  return (x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor => {
    const form = readScatter(`${name}_`, x, dim, index, source)
    const inputs = typeof form.source === "object" ? [x, form.index, form.source] : [x, form.index]
    return applyInPlace({ name, keep: ["y"], vjp: scatterRule(form.d, mode) }, x, inputs, () => scatterInto(x, form, mode))
  }
}

function scatterInto(into: Tensor, { index, source, d }: ScatterForm, mode: ScatterMode): void {
  const values = typeof source === "object" ? source : numberView(into, source, index.shape)
  const apart = (x: View): View => (x.storage === into.storage ? copyOf(into.device, x) : x)
  runScatter(into, d, apart(index), apart(values), mode)
}

// Every index names another place: which of two equal ones wins has no derivative.
const scatterSamples = [
  [t(3, 4), 0, unique(1, 4), t(1, 4)],
  [t(3, 4), -1, unique(2, 1), t(2, 3)],
  [t(3, 4), 1, unique(3, 1), 1.5],
  [t(3), 0, indices(3, 0), t(0)],
  [t(), 0, unique(), t()],
]
const addSamples = [[t(3, 4), 0, indices(3, 5, 4), t(5, 4)], [t(3, 4), -1, indices(4, 2, 3), t(3, 3)], [t(2, 3), 1, unique(2, 0), t(2, 0)]]
const [replaceDoc, addDoc] = ["`out[index[i][j]][j] = source[i][j]` for dim 0, and so on; the source may be a number.", "As scatter, adding: equal indices sum up."] // prettier-ignore

export const scatter = op({ family: "indexing", name: "scatter", doc: replaceDoc, samples: scatterSamples, differentiable: true }, scattered("scatter", "replace")) // prettier-ignore
export const scatter_ = op({ family: "indexing", name: "scatter_", doc: replaceDoc, samples: scatterSamples, differentiable: true, inPlace: true }, scatteredInPlace("scatter", "replace")) // prettier-ignore
export const scatterAdd = op({ family: "indexing", name: "scatterAdd", doc: addDoc, samples: addSamples, differentiable: true }, scattered("scatterAdd", "add")) // prettier-ignore
export const scatterAdd_ = op({ family: "indexing", name: "scatterAdd_", doc: addDoc, samples: addSamples, differentiable: true, inPlace: true }, scatteredInPlace("scatterAdd", "add")) // prettier-ignore

// ---- rows: an index of one dim, repeated over the others by stride 0

/** A vector of indices along dim `d`, seen under the shape of the rows it picks. */
function repeated(index: Tensor, shape: readonly number[], d: number): View {
  const strides = shape.map((_, i) => (i === d ? (index.strides[0] ?? 0) : 0))
  return viewOf(index, { shape, strides, offset: index.offset })
}

const withSize = (shape: readonly number[], d: number, size: number): number[] => shape.map((n, i) => (i === d ? size : n))

/** Rows `index` [N] of dim `d`. */
export function takeRows(name: string, x: Tensor, d: number, index: Tensor): Tensor {
  const { shape } = x
  const vjp: Rule = ([g], saved) => [g && addRows("indexAdd", zerosOf(g, shape), d, saved.y, g)]
  const rows = withSize(shape, d, index.shape[0] ?? 1)
  const [out] = apply({ name, keep: ["y"], vjp }, [x, index], () => [runGather(x, d, repeated(index, rows, d))])
  return out
}

/** A copy of `x` with `source` added to rows `index` of dim `d`. */
function addRows(name: string, x: Tensor, d: number, index: Tensor, source: Tensor): Tensor {
  const vjp: Rule = ([g], saved) => [g, null, g && saved.needs[2] ? takeRows("indexSelect", g, d, saved.y) : null]
  const [out] = apply({ name, keep: ["y"], vjp }, [x, index, source], (device) => {
    const copy = copyOf(device, x)
    runScatter(copy, d, repeated(index, source.shape, d), source, "add")
    return [copy]
  })
  return out
}

/** A copy of `x` whose rows `index` of dim `d` are those of `source`, which has the shape of the rows. */
function putRows(name: string, x: Tensor, d: number, index: Tensor, source: Tensor): Tensor {
  const vjp: Rule = ([g], saved) => {
    if (!g) return []
    const own = saved.needs[0] ? putRows("indexFill", g, d, saved.y, expand(zerosOf(g, []), rows)) : null
    return [own, null, saved.needs[2] ? takeRows("indexSelect", g, d, saved.y) : null]
  }
  const rows = source.shape
  const [out] = apply({ name, keep: ["y"], vjp }, [x, index, source], (device) => {
    const copy = copyOf(device, x)
    runScatter(copy, d, repeated(index, rows, d), source, "replace")
    return [copy]
  })
  return out
}

function readRows(name: string, x: Tensor, dim: number, index: Tensor): number {
  commonDevice(name, [x, index])
  checkIndexDType(name, index)
  if (index.ndim > 1) throw new ShapeError(`${name}: the index must be a vector: got ${shapeText(index.shape)}`)
  return readDim(name, dim, x.ndim)
}

function checkRows(name: string, x: Tensor, d: number, index: Tensor, source: Tensor): void {
  commonDevice(name, [x, source])
  checkSameDType(name, x, source)
  const rows = withSize(x.shape, d, index.shape[0] ?? 1)
  if (source.ndim === x.ndim && source.shape.every((size, i) => size === rows[i])) return
  throw new ShapeError(`${name}: the source must be ${shapeText(rows)}: got ${shapeText(source.shape)}`)
}

export const indexSelect = op(
  { family: "indexing", name: "indexSelect", doc: "The rows of `dim` that the vector `index` names, in its order.", samples: [[t(4, 3), 0, indices(4, 6)], [t(2, 4), -1, indices(4, 3)], [t(3), 0, indices(3, 0)], [t(3, 0), 0, indices(3, 2)], [t(3, 2), 0, indices(3)], [t(), 0, indices(1, 1)]], differentiable: true }, // prettier-ignore
  (x: Tensor, dim: number, index: Tensor): Tensor => takeRows("indexSelect", x, readRows("indexSelect", x, dim, index), index),
)

export const indexAdd = op(
  { family: "indexing", name: "indexAdd", doc: "A copy with `alpha` times the rows of `source` added to the rows that `index` names; equal indices sum up.", samples: [[t(4, 3), 0, indices(4, 6), t(6, 3)], [t(2, 4), -1, indices(4, 3), t(2, 3), { alpha: -0.5 }], [t(3), 0, indices(3, 0), t(0)]], differentiable: true }, // prettier-ignore
  (x: Tensor, dim: number, index: Tensor, source: Tensor, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor => {
    const d = readRows("indexAdd", x, dim, index)
    checkRows("indexAdd", x, d, index, source)
    return addRows("indexAdd", x, d, index, alpha === 1 ? source : mul(source, alpha))
  },
)

export const indexCopy = op(
  { family: "indexing", name: "indexCopy", doc: "A copy whose rows that `index` names are those of `source`.", samples: [[t(4, 3), 0, unique(1), t(1, 3)], [t(2, 4), -1, unique(1), t(2, 1)], [t(3), 0, indices(3, 0), t(0)]], differentiable: true }, // prettier-ignore
  (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor => {
    const d = readRows("indexCopy", x, dim, index)
    checkRows("indexCopy", x, d, index, source)
    return putRows("indexCopy", x, d, index, source)
  },
)

export const indexFill = op(
  { family: "indexing", name: "indexFill", doc: "A copy whose rows that `index` names hold `value`, a number or a tensor without dims.", samples: [[t(4, 3), 0, indices(4, 2), 1.5], [t(2, 4), -1, indices(4, 3), t()]], differentiable: true }, // prettier-ignore
  (x: Tensor, dim: number, index: Tensor, value: Tensor | number): Tensor => {
    const d = readRows("indexFill", x, dim, index)
    const rows = withSize(x.shape, d, index.shape[0] ?? 1)
    if (typeof value !== "object") {
      const one = output(x.device, [], x.dtype)
      execute(kernels.fill(x.dtype), [], [one], [Number(value)])
      return putRows("indexFill", x, d, index, expand(one, rows))
    }
    if (value.ndim > 0) throw new ShapeError(`indexFill: the value must be a number or have no dims: got ${shapeText(value.shape)}`)
    checkSameDType("indexFill", x, value)
    return putRows("indexFill", x, d, index, expand(value, rows))
  },
)

// ---- places counted over the whole tensor

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

export const take = op(
  { family: "indexing", name: "take", doc: "Elements of the flattened tensor at `index`, in its shape; negative ones count from the end.", samples: [[t(3, 4), indices(12, 2, 3)], [t(3, 4), indices(12)], [t(3), indices(3, 0)]], differentiable: true }, // prettier-ignore
  (x: Tensor, index: Tensor): Tensor => {
    commonDevice("take", [x, index])
    checkIndexDType("take", index)
    const flat = reshape(x, -1)
    return reshape(takeRows("take", flat, 0, reshape(wrapped(index, flat.shape[0]), -1)), index.shape)
  },
)

export const takeAlongDim = op(
  { family: "indexing", name: "takeAlongDim", doc: "As gather, with x and `index` broadcast against each other in the other dims; over the flattened tensor without `dim`.", samples: [[t(3, 4), indices(4, 3, 2), 1], [t(3, 1), indices(3, 2, 4), 0], [t(3, 4), indices(12, 5)]], differentiable: true }, // prettier-ignore
  (x: Tensor, index: Tensor, dim?: number): Tensor => {
    commonDevice("takeAlongDim", [x, index])
    if (dim === undefined) return gather(reshape(x, -1), 0, reshape(index, -1))
    checkRanks("takeAlongDim", x, index)
    const d = readDim("takeAlongDim", dim, x.ndim)
    const common = broadcastShapes("takeAlongDim", withSize(x.shape, d, 1), withSize(index.shape, d, 1))
    return gather(expand(x, withSize(common, d, x.shape[d])), d, expand(index, withSize(common, d, index.shape[d])))
  },
)

