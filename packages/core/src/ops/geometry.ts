// Windows on memory as plain data, for the kernels of the structured operations. Records nothing and owns nothing.
import { contiguousStrides, type View } from "@rondo/backend"
import type { Placed } from "../apply.js"
import type { Geometry, Tensor } from "../tensor.js"
import { windowed } from "./movement.js"

/** `length` elements of dim `d` from `start` on, `step` apart (which may be negative). */
export function stepped(x: Geometry, d: number, start: number, length: number, step = 1): Geometry {
  const shape = x.shape.map((size, i) => (i === d ? length : size))
  const strides = x.strides.map((stride, i) => (i === d ? stride * step : stride))
  // An empty window may start outside.
  return { shape, strides, offset: x.offset + (length === 0 ? 0 : start * x.strides[d]) }
}

/** Position `index` of dim `d`, which goes. */
export function selected(x: Geometry, d: number, index: number): Geometry {
  const drop = (list: readonly number[]) => list.filter((_, i) => i !== d)
  return { shape: drop(x.shape), strides: drop(x.strides), offset: x.offset + index * x.strides[d] }
}

/** Dims `a` and `b` swapped. */
export function swapped(x: Geometry, a: number, b: number): Geometry {
  const swap = (list: readonly number[]) => list.map((value, d) => (d === a ? list[b] : d === b ? list[a] : value))
  return { shape: swap(x.shape), strides: swap(x.strides), offset: x.offset }
}

/** The leading elements of every dim. */
export const cropped = (x: Geometry, shape: readonly number[]): Geometry => ({
  shape,
  strides: x.strides,
  offset: x.offset,
})

/** A single element as one dim of it, since kernels work along a dim. */
export const atLeast1d = (x: Geometry): Geometry =>
  x.shape.length > 0 ? x : { shape: [1], strides: [1], offset: x.offset }

/** Another window on the memory of `x`, for a kernel to read. */
export const viewOf = ({ storage, dtype }: View, { shape, strides, offset }: Geometry): View => ({
  storage,
  dtype,
  shape,
  strides,
  offset,
})

/** A window on the memory of `x`, for a kernel to write. */
export const target = (x: Placed, window: Geometry): Placed => ({ ...viewOf(x, window), device: x.device })

/**
 * Gradient of a window: zeros of the shape `before`, in which the window holds `g`; of a window on everything that is `g`
 * itself, in the same memory. `window` places it in row-major memory.
 */
export function placed(g: Tensor, before: readonly number[], window: (whole: Geometry) => Geometry): Tensor {
  return windowed(g, before, window({ shape: before, strides: contiguousStrides(before), offset: 0 }))
}
