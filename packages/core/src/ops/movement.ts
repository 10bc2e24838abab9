// Operations that only look at the same memory in another way, and the copies that make such a look possible.
import {
  broadcastStrides,
  contiguousStrides,
  kernels,
  reshapeStrides,
  shapeText,
  ShapeError,
  sizeOf,
  ValueError,
} from "@rondo/backend"
import { apply, applyView, execute, output } from "../apply.js"
import { copyOf } from "../place.js"
import { passOn, type Rule } from "../graph.js"
import { upload } from "../host.js"
import { inferSizes, op, readDim, readDims, readSizes, type Sizes } from "../op.js"
import { t } from "../samples.js"
import type { Geometry, Tensor } from "../tensor.js"

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
const permuteRule =
  (order: number[]): Rule =>
  ([g]) => [g && permute(g, order)]
const scatterRule =
  ({ shape, strides, offset }: Geometry): Rule =>
  ([g], { needs }) => {
    if (!g) return []
    const whole = contiguous(g)
    return [
      needs[0] ? asStridedScatter(whole, zerosOf(g, shape), shape, strides, offset) : null,
      needs[1] ? asStrided(whole, shape, strides, offset) : null,
    ]
  }
const windowRule =
  (before: readonly number[], window: Geometry): Rule =>
  ([g]) => [g && windowed(g, before, window)]

export const contiguous = op(
  {
    family: "movement",
    name: "contiguous",
    takes: { x: "tensor" },
    doc: "Itself if in row-major order, else a copy.",
    samples: [[t(2, 3)]],
    differentiable: true,
  },
  (x: Tensor): Tensor => (x.isContiguous() ? x : clone(x)),
)

export const clone = op(
  {
    family: "movement",
    name: "clone",
    takes: { x: "tensor" },
    doc: "A copy with its own memory.",
    samples: [[t(2, 3)], [t()], [t(0, 2)]],
    differentiable: true,
  },
  (x: Tensor): Tensor => {
    const [out] = apply({ name: "clone", keep: [], vjp: passOn }, [x], (device) => [copyOf(device, x)])
    return out
  },
)

/** `x` under a new shape: a view if its strides allow one, else a copy. */
export const reshape = op(
  {
    family: "movement",
    name: "reshape",
    takes: { x: "tensor", sizes: "...sizes" },
    doc: "The same elements under a new shape; one size may be -1. A view where possible, else a copy.",
    samples: [
      [t(2, 6), 3, 4],
      [t(2, 6), [-1]],
      [t(1), []],
      [t(0, 3), 3, 0],
    ],
    differentiable: true,
    view: true,
  },
  (x: Tensor, ...sizes: Sizes): Tensor => {
    const shape = inferSizes("reshape", readSizes("reshape", sizes), x.shape)
    const strides = reshapeStrides(x.shape, x.strides, shape)
    return strides
      ? asShape("reshape", x, shape, strides)
      : asShape("reshape", clone(x), shape, contiguousStrides(shape))
  },
)

export const view = op(
  {
    family: "movement",
    name: "view",
    takes: { x: "tensor", sizes: "...sizes" },
    doc: "As reshape, but never copies: throws a ShapeError where the strides do not allow a view.",
    samples: [
      [t(2, 6), 3, 4],
      [t(2, 6), -1],
    ],
    differentiable: true,
    view: true,
  },
  (x: Tensor, ...sizes: Sizes): Tensor => {
    const shape = inferSizes("view", readSizes("view", sizes), x.shape)
    const strides = reshapeStrides(x.shape, x.strides, shape)
    if (strides) return asShape("view", x, shape, strides)
    throw new ShapeError(
      `view: ${shapeText(x.shape)} with strides ${shapeText(x.strides)} cannot be seen as ${shapeText(shape)} without a copy; use reshape`,
    )
  },
)

function asShape(name: string, x: Tensor, shape: readonly number[], strides: readonly number[]): Tensor {
  const before = x.shape
  return applyView({ name, keep: [], vjp: ([g]) => [g && reshape(g, before)] }, x, { shape, strides, offset: x.offset })
}

export const viewAs = op(
  { family: "movement", name: "viewAs", takes: { x: "tensor", other: "tensor" }, doc: "A view with the shape of `other`.", samples: [[t(2, 6), t(3, 4)]], differentiable: true, view: true, wrt: [0] }, // prettier-ignore
  (x: Tensor, other: Tensor): Tensor => view(x, other.shape),
)

export const flatten = op(
  {
    family: "movement",
    name: "flatten",
    takes: { x: "tensor", start: "dim?", end: "dim?" },
    doc: "Joins dims `start` to `end` into one.",
    samples: [[t(2, 3, 4)], [t(2, 3, 4), 1], [t(2, 3, 4), 0, 1], [t()]],
    differentiable: true,
    view: true,
  },
  (x: Tensor, start = 0, end = -1): Tensor => {
    const a = readDim("flatten", start, x.ndim)
    const b = readDim("flatten", end, x.ndim)
    if (a > b) throw new ShapeError(`flatten: start dim ${start} comes after end dim ${end}`)
    if (x.ndim === 0) return reshape(x, 1)
    return reshape(x, [...x.shape.slice(0, a), sizeOf(x.shape.slice(a, b + 1)), ...x.shape.slice(b + 1)])
  },
)

export const unflatten = op(
  { family: "movement", name: "unflatten", takes: { x: "tensor", dim: "dim", sizes: "list" }, doc: "Splits one dim into several.", samples: [[t(2, 6), 1, [2, 3]], [t(6), 0, [-1, 2]]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, dim: number, sizes: readonly number[]): Tensor => {
    const d = readDim("unflatten", dim, x.ndim)
    const split = inferSizes("unflatten", sizes, [x.shape[d]])
    return view(x, [...x.shape.slice(0, d), ...split, ...x.shape.slice(d + 1)])
  },
)

export const squeeze = op(
  {
    family: "movement",
    name: "squeeze",
    takes: { x: "tensor", dim: "dims?" },
    doc: "Drops dims of size 1: all, or the named ones that have it.",
    samples: [[t(1, 3, 1)], [t(1, 3, 1), 0], [t(1, 3, 1), [0, 1]], [t(2, 3), 1]],
    differentiable: true,
    view: true,
  },
  (x: Tensor, dim?: number | readonly number[]): Tensor => {
    const dims = readDims("squeeze", dim, x.ndim)
    const kept = x.shape.map((_, d) => d).filter((d) => !(dims.includes(d) && x.shape[d] === 1))
    return asShape("squeeze", x, kept.map((d) => x.shape[d]), kept.map((d) => x.strides[d])) // prettier-ignore
  },
)

export const unsqueeze = op(
  { family: "movement", name: "unsqueeze", takes: { x: "tensor", dim: "dim" }, doc: "Puts a dim of size 1 at `dim`.", samples: [[t(2, 3), 0], [t(2, 3), -1], [t(), 0]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, dim: number): Tensor => {
    const d = readDim("unsqueeze", dim, x.ndim + 1)
    const shape = [...x.shape.slice(0, d), 1, ...x.shape.slice(d)]
    const strides = [...x.strides.slice(0, d), d < x.ndim ? x.shape[d] * x.strides[d] : 1, ...x.strides.slice(d)]
    return asShape("unsqueeze", x, shape, strides)
  },
)

export const permute = op(
  { family: "movement", name: "permute", takes: { x: "tensor", dims: "...sizes" }, doc: "Dims in another order.", samples: [[t(2, 3, 4), 2, 0, 1], [t(2, 3), [-1, 0]], [t()]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, ...dims: Sizes): Tensor => {
    const order = readDims("permute", readSizes("permute", dims), x.ndim)
    if (order.length !== x.ndim)
      throw new ShapeError(`permute: needs all ${x.ndim} dims once, got [${order.join(", ")}]`)
    const inverse = order.map((_, d) => order.indexOf(d))
    const geometry = { shape: order.map((d) => x.shape[d]), strides: order.map((d) => x.strides[d]), offset: x.offset }
    return applyView({ name: "permute", keep: [], vjp: permuteRule(inverse) }, x, geometry)
  },
)

export const transpose = op(
  { family: "movement", name: "transpose", takes: { x: "tensor", dim0: "dim", dim1: "dim" }, doc: "Two dims swapped.", samples: [[t(2, 3, 4), 0, 2], [t(2, 3), -1, -2]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, dim0: number, dim1: number): Tensor => {
    const order = x.shape.map((_, d) => d)
    const a = readDim("transpose", dim0, x.ndim)
    const b = readDim("transpose", dim1, x.ndim)
    if (x.ndim > 0) [order[a], order[b]] = [order[b], order[a]]
    return permute(x, order)
  },
)

/** Transpose of a matrix (`t`, as `T` in PyTorch); vectors and scalars stay as they are. */
export const transposed = op(
  { family: "movement", name: "t", takes: { x: "tensor" }, doc: "Transpose of a matrix; at most two dims.", samples: [[t(2, 3)], [t(3)]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor): Tensor => {
    if (x.ndim > 2) throw new ShapeError(`t: needs at most 2 dims, got ${shapeText(x.shape)}; use transpose or permute`)
    return x.ndim < 2 ? permute(x, x.shape.map((_, d) => d)) : permute(x, 1, 0) // prettier-ignore
  },
)

export const movedim = op(
  { family: "movement", name: "movedim", takes: { x: "tensor", source: "numbers", destination: "numbers" }, doc: "Moves dims to other places; the others keep their order.", samples: [[t(2, 3, 4), 0, 2], [t(2, 3, 4), [0, 1], [-1, 0]]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, source: number | readonly number[], destination: number | readonly number[]): Tensor => {
    const from = readDims("movedim", source, x.ndim)
    const to = readDims("movedim", destination, x.ndim)
    if (from.length !== to.length)
      throw new ShapeError(`movedim: ${from.length} dims cannot move to ${to.length} places`)
    const rest = x.shape.map((_, d) => d).filter((d) => !from.includes(d))
    const order = x.shape.map((_, d) => (to.includes(d) ? from[to.indexOf(d)] : (rest.shift() as number)))
    return permute(x, order)
  },
)

export const expand = op(
  {
    family: "movement",
    name: "expand",
    takes: { x: "tensor", sizes: "...sizes" },
    doc: "Stretches dims of size 1 without copying; -1 leaves a size as it is.",
    samples: [
      [t(3, 1), 3, 4],
      [t(3, 1), -1, 2],
      [t(3), [2, 3]],
      [t(), 2, 2],
      [t(1), 0],
    ],
    differentiable: true,
    view: true,
  },
  (x: Tensor, ...sizes: Sizes): Tensor => {
    const wanted = readSizes("expand", sizes)
    const lead = wanted.length - x.ndim
    const shape = wanted.map((size, d) => (size === -1 && d >= lead ? x.shape[d - lead] : size))
    const fits =
      lead >= 0 &&
      shape.every((size, d) => size >= 0 && (d < lead || x.shape[d - lead] === size || x.shape[d - lead] === 1))
    if (!fits) throw new ShapeError(`expand: ${shapeText(x.shape)} cannot be stretched to ${shapeText(wanted)}`)
    // Summing over the stretched dims is the engine's work, as for every broadcast.
    const geometry = { shape, strides: broadcastStrides(x.shape, x.strides, shape), offset: x.offset }
    return applyView({ name: "expand", keep: [], vjp: passOn }, x, geometry)
  },
)

export const expandAs = op(
  { family: "movement", name: "expandAs", takes: { x: "tensor", other: "tensor" }, doc: "Stretched to the shape of `other`.", samples: [[t(3, 1), t(3, 4)]], differentiable: true, view: true, wrt: [0] }, // prettier-ignore
  (x: Tensor, other: Tensor): Tensor => expand(x, other.shape),
)

/** A window with any geometry inside the memory that `x` shows. Places that show one element share its gradient. */
export const asStrided = op(
  { family: "movement", name: "asStrided", takes: { x: "tensor", shape: "list", strides: "list", offset: "integer?" }, doc: "A window with given shape, strides and offset on contiguous memory.", samples: [[t(4, 3), [2, 2], [3, 1], 1], [t(6), [3], [-2], 5]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, shape: readonly number[], strides: readonly number[], offset = 0): Tensor => {
    if (!x.isContiguous()) throw new ShapeError("asStrided: needs a contiguous tensor; call contiguous() first")
    checkWindow("asStrided", x, shape, strides, offset)
    const before = x.shape
    const vjp = (g: Tensor): Tensor => windowSum(g, before, { shape, strides, offset })
    return applyView({ name: "asStrided", keep: [], vjp: ([g]) => [g && vjp(g)] }, x, {
      shape,
      strides,
      offset: x.offset + offset,
    })
  },
)

/** True if two places of a window may be one element: some dim steps no further than the smaller ones reach. */
function overlaps({ shape, strides }: Geometry): boolean {
  const dims = shape.map((_, d) => d).filter((d) => shape[d] > 1)
  dims.sort((a, b) => Math.abs(strides[a]) - Math.abs(strides[b]))
  let reach = 0
  for (const d of dims) {
    if (Math.abs(strides[d]) <= reach) return true
    reach += Math.abs(strides[d]) * (shape[d] - 1)
  }
  return false
}

/**
 * @internal The gradient of a window of any geometry on row-major memory of the shape `before`: zeros, to which `g` is
 * added where the window shows them. Places that the window shows several times get the sum.
 */
export function windowSum(g: Tensor, before: readonly number[], window: Geometry): Tensor {
  const { shape, strides, offset } = window
  const stretched = shape.flatMap((size, d) => (size > 1 && strides[d] === 0 ? [d] : []))
  if (stretched.length > 0) {
    const thin = { shape: shape.map((size, d) => (stretched.includes(d) ? 1 : size)), strides, offset }
    return windowSum(g.sum(stretched, { keepdim: true }), before, thin)
  }
  if (!overlaps(window)) return windowed(g, before, window)
  let places = [offset]
  shape.forEach((size, d) => {
    places = places.flatMap((place) => Array.from({ length: size }, (_, i) => place + i * strides[d]))
  })
  const index = upload(g.device, Int32Array.from(places), [places.length], "int32")
  return reshape(zerosOf(g, [sizeOf(before)]).scatterAdd(0, index, reshape(g, -1)), before)
}

/** A copy of `x` in which the window holds `source`. */
export const asStridedScatter = op(
  { family: "movement", name: "asStridedScatter", takes: { x: "tensor", source: "tensor", shape: "list", strides: "list", offset: "integer?" }, doc: "A copy of contiguous memory with one window replaced.", samples: [[t(4, 3), t(2, 2), [2, 2], [3, 1], 1]], differentiable: true }, // prettier-ignore
  (x: Tensor, source: Tensor, shape: readonly number[], strides: readonly number[], offset = 0): Tensor => {
    checkWindow("asStridedScatter", x, shape, strides, offset)
    const vjp = scatterRule({ shape, strides, offset })
    const [out] = apply({ name: "asStridedScatter", keep: [], vjp }, [x, source], (device) => {
      const copy = copyOf(device, x)
      fillWindow(copy, source, shape, strides, offset)
      return [copy]
    })
    return out
  },
)

const windowGradient =
  ({ shape, strides, offset }: Geometry): Rule =>
  ([g], { needs }) => [g && needs[0] ? asStrided(contiguous(g), shape, strides, offset) : null]

/** @internal The gradient of a window on row-major memory: {@link inZeros}, or where the window shows all of it in order, `g` itself. */
export function windowed(g: Tensor, before: readonly number[], window: Geometry): Tensor {
  const { shape, strides, offset } = window
  const whole = offset === 0 && sizeOf(shape) === sizeOf(before) && sameOrder(shape, strides)
  return whole ? reshape(g, before) : inZeros(g, before, window)
}

/** @internal Zeros of the shape `before` in which a window of row-major memory holds `g`. */
export function inZeros(g: Tensor, before: readonly number[], window: Geometry): Tensor {
  const { shape, strides, offset } = window
  const [out] = apply({ name: "asStridedScatter", keep: [], vjp: windowGradient(window) }, [g], () => {
    const zeros = zerosOf(g, before)
    fillWindow(zeros, g, shape, strides, offset)
    return [zeros]
  })
  return out
}

const sameOrder = (shape: readonly number[], strides: readonly number[]): boolean => {
  const own = contiguousStrides(shape)
  return shape.every((size, d) => size === 1 || strides[d] === own[d])
}

function fillWindow(
  into: Tensor,
  source: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): void {
  if (sizeOf(shape) === 0) return
  const { storage, dtype, device } = into
  const window = { storage, dtype, device, shape, strides, offset: into.offset + offset }
  execute(kernels.copy(source.dtype, dtype), [source], [window])
}

function checkWindow(
  name: string,
  x: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): void {
  const reach = (sign: number) => shape.reduce((sum, size, d) => sum + Math.max(0, sign * strides[d] * (size - 1)), 0)
  if (shape.length !== strides.length)
    throw new ShapeError(`${name}: shape ${shapeText(shape)} and strides ${shapeText(strides)} differ in length`)
  if (sizeOf(shape) > 0 && (offset - reach(-1) < 0 || offset + reach(1) >= sizeOf(x.shape))) {
    throw new ShapeError(
      `${name}: the window ${shapeText(shape)} reaches outside the ${sizeOf(x.shape)} elements of ${shapeText(x.shape)}`,
    )
  }
}

/** @internal A zero tensor on the device and of the dtype of `x`. */
export function zerosOf(x: Tensor, shape: readonly number[]): Tensor {
  const out = output(x.device, shape, x.dtype)
  if (sizeOf(shape) > 0) execute(kernels.fill(x.dtype), [], [out], [0])
  return out
}

/** Windows of `size` along `dim`, `step` apart, as a last dim. Windows overlap where step < size. */
export const unfold = op(
  { family: "movement", name: "unfold", takes: { x: "tensor", dim: "dim", size: "integer", step: "integer" }, doc: "Sliding windows of `size` along `dim`, `step` apart, as a new last dim.", samples: [[t(7), 0, 3, 1], [t(2, 7), 1, 3, 2], [t(6, 2), 0, 2, 2]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, dim: number, size: number, step: number): Tensor => {
    const d = readDim("unfold", dim, x.ndim)
    if (x.ndim === 0) return unfold(reshape(x, 1), 0, size, step).select(0, 0)
    if (!(step > 0)) throw new ValueError(`unfold: step must be positive, got ${step}`)
    if (!(size >= 0) || size > x.shape[d])
      throw new ShapeError(`unfold: windows of ${size} do not fit dim ${d} of ${shapeText(x.shape)}`)
    const count = Math.floor((x.shape[d] - size) / step) + 1
    const shape = [...x.shape.slice(0, d), count, ...x.shape.slice(d + 1), size]
    const strides = [...x.strides.slice(0, d), x.strides[d] * step, ...x.strides.slice(d + 1), x.strides[d]]
    const before = x.shape
    const vjp = (g: Tensor): Tensor => foldWindows(g, before, d, step)
    return applyView({ name: "unfold", keep: [], vjp: ([g]) => [g && vjp(g)] }, x, { shape, strides, offset: x.offset })
  },
)

// Overlapping windows add up: offset k of all windows is one strided slice of the result.
function foldWindows(g: Tensor, shape: readonly number[], d: number, step: number): Tensor {
  const strides = contiguousStrides(shape)
  const last = g.ndim - 1
  let sum: Tensor | null = null
  for (let k = 0; k < g.shape[last]; k++) {
    const inner = g.shape.slice(0, last)
    const laneStrides = strides.map((s, i) => (i === d ? s * step : s))
    const lane = g.select(last, k)
    const part = inZeros(lane, shape, { shape: inner, strides: laneStrides, offset: k * strides[d] })
    sum = sum ? sum.add(part) : part
  }
  return sum ?? zerosOf(g, shape)
}

export const diagonal = op(
  { family: "movement", name: "diagonal", takes: { x: "tensor", offset: "integer?", dim1: "dim?", dim2: "dim?" }, doc: "The diagonal `offset` above the main one of two dims, as a last dim.", samples: [[t(3, 4)], [t(3, 4), 1], [t(3, 4), -1], [t(2, 3, 4), 0, 0, 2], [t(2, 2), 5]], differentiable: true, view: true }, // prettier-ignore
  (x: Tensor, offset = 0, dim1 = 0, dim2 = 1): Tensor => {
    const a = readDim("diagonal", dim1, x.ndim)
    const b = readDim("diagonal", dim2, x.ndim)
    if (a === b) throw new ShapeError(`diagonal: needs two different dims, got ${dim1} and ${dim2}`)
    const [rows, columns] = [x.shape[a] + Math.min(offset, 0), x.shape[b] - Math.max(offset, 0)]
    const length = Math.max(0, Math.min(rows, columns))
    const rest = x.shape.map((_, d) => d).filter((d) => d !== a && d !== b)
    const start = length === 0 ? 0 : offset >= 0 ? offset * x.strides[b] : -offset * x.strides[a]
    const shape = [...rest.map((d) => x.shape[d]), length]
    const strides = [...rest.map((d) => x.strides[d]), x.strides[a] + x.strides[b]]
    const before = x.shape
    const own = contiguousStrides(before)
    const from = length === 0 ? 0 : offset >= 0 ? offset * own[b] : -offset * own[a]
    const vjp = windowRule(before, { shape, strides: [...rest.map((d) => own[d]), own[a] + own[b]], offset: from })
    return applyView({ name: "diagonal", keep: [], vjp }, x, {
      shape,
      strides,
      offset: x.offset + start,
    })
  },
)
