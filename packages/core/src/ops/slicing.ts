// Basic indexing along one dim: single positions, ranges and ranges with a step. All of them share memory with their source.
import { IndexError, shapeText, ValueError } from "@rondo/backend"
import { applyView } from "../apply.js"
import { op, readDim } from "../op.js"
import { t } from "../samples.js"
import type { Geometry, Tensor } from "../tensor.js"
import { placed, selected, stepped } from "./geometry.js"

/** A range as Python's `start:stop:step`; what is left out or null means the end of the dim in that direction. */
export interface Slice {
  readonly start?: number | null
  readonly stop?: number | null
  readonly step?: number | null
}

/**
 * Builds a range for {@link index}: `s(1, 5, 2)` is Python's `1:5:2`, `s()` is `:`.
 *
 * @example
 * ```ts
 * const x = arange(6)
 * x.index(s(1, null, 2)) // elements 1, 3, 5
 * x.index(s(null, null, -1)) // reversed
 * ```
 */
export const s = (start?: number | null, stop?: number | null, step?: number | null): Slice => ({ start, stop, step })

/** Reads `"1:5:2"`, `":"`, `"::-1"`. Throws a ValueError for anything else. */
export function parseSlice(name: string, text: string): Slice {
  const parts = text.split(":").map((part) => part.trim())
  if (parts.length < 2 || parts.length > 3 || parts.some((part) => !/^([+-]?\d+)?$/.test(part))) {
    throw new ValueError(`${name}: not a slice: got "${text}", expected "start:stop", "start:stop:step" or "..."`)
  }
  const [start, stop, step] = parts.map((part) => (part === "" ? null : Number(part)))
  return { start, stop, step }
}

/** First position, count and step of a range over a dim of `size`, by Python's rules: out of range is cut off. */
export function readSlice(name: string, { start, stop, step }: Slice, size: number): [number, number, number] {
  for (const value of [start, stop, step]) {
    if (value !== null && value !== undefined && !Number.isInteger(value)) {
      throw new ValueError(`${name}: start, stop and step must be integers: got ${value}`)
    }
  }
  const by = step ?? 1
  if (by === 0) throw new ValueError(`${name}: step must not be 0`)
  const [low, high] = by > 0 ? [0, size] : [-1, size - 1]
  const bound = (value: number | null | undefined, otherwise: number): number => {
    if (value === null || value === undefined) return otherwise
    return Math.min(high, Math.max(low, value < 0 ? value + size : value))
  }
  const from = bound(start, by > 0 ? low : high)
  const to = bound(stop, by > 0 ? high : low)
  const length = Math.max(0, Math.ceil((to - from) / by))
  return [length === 0 ? 0 : from, length, by]
}

/** Position `index` of a dim of `size`, counted from the front. Throws an IndexError outside -size … size-1. */
export function readIndex(name: string, index: number, size: number, d: number): number {
  if (!Number.isInteger(index) || index < -size || index >= size) {
    const range = size === 0 ? "none: the dim is empty" : `${-size} to ${size - 1}`
    throw new IndexError(`${name}: index out of range: got ${index}, expected ${range} at dim ${d}`)
  }
  return index < 0 ? index + size : index
}

function windowAlong(name: string, x: Tensor, window: (whole: Geometry) => Geometry): Tensor {
  const before = x.shape
  return applyView({ name, keep: [], vjp: ([g]) => [g && placed(g, before, window)] }, x, window(x))
}

function needDims(name: string, x: Tensor): void {
  if (x.ndim === 0) throw new IndexError(`${name}: a tensor without dims cannot be indexed; use item() for its value`)
}

export const select = op(
  {
    family: "indexing",
    name: "select",
    doc: "Position `index` of `dim`, which goes; a view. Negative positions count from the end.",
    samples: [[t(2, 3), 0, 1], [t(2, 3, 4), -2, -1], [t(3), 0, 0], [t(2, 0), 0, 1]],
    differentiable: true,
    view: true,
  },
  (x: Tensor, dim: number, index: number): Tensor => {
    needDims("select", x)
    const d = readDim("select", dim, x.ndim)
    const i = readIndex("select", index, x.shape[d], d)
    return windowAlong("select", x, (whole) => selected(whole, d, i))
  },
)

export const slice = op(
  {
    family: "indexing",
    name: "slice",
    doc: "Range `start` to `end` (exclusive) of `dim`, `step` apart, by Python's rules; a view. A negative step walks backwards.",
    samples: [
      [t(5, 2), 0, 1, 4],
      [t(2, 7), -1, 1, null, 2],
      [t(2, 7), 1, null, null, -1],
      [t(7), 0, -2, 0, -3],
      [t(4), 0, 3, 1],
      [t(4), 0, -100, 100, 3],
      [t(0, 2), 0, 0, 1],
    ],
    differentiable: true,
    view: true,
  },
  (x: Tensor, dim: number, start: number | null = null, end: number | null = null, step: number | null = 1): Tensor => {
    needDims("slice", x)
    const d = readDim("slice", dim, x.ndim)
    const [from, length, by] = readSlice("slice", { start, stop: end, step }, x.shape[d])
    return windowAlong("slice", x, (whole) => stepped(whole, d, from, length, by))
  },
)

export const narrow = op(
  {
    family: "indexing",
    name: "narrow",
    doc: "`length` positions of `dim` from `start` on; a view. Unlike slice, it never cuts off.",
    samples: [[t(5, 2), 0, 1, 3], [t(2, 4), -1, -2, 2], [t(3), 0, 3, 0]],
    differentiable: true,
    view: true,
  },
  (x: Tensor, dim: number, start: number, length: number): Tensor => {
    needDims("narrow", x)
    const d = readDim("narrow", dim, x.ndim)
    const size = x.shape[d]
    const from = start < 0 ? start + size : start
    if (!Number.isInteger(start) || from < 0 || from > size) {
      throw new IndexError(`narrow: start out of range: got ${start}, expected ${-size} to ${size} at dim ${d}`)
    }
    if (!Number.isInteger(length) || length < 0 || from + length > size) {
      throw new IndexError(`narrow: start ${start} and length ${length} exceed dim ${d} of ${shapeText(x.shape)}`)
    }
    return windowAlong("narrow", x, (whole) => stepped(whole, d, from, length))
  },
)
