// Basic indexing along one dim: single positions, ranges and ranges with a step. All of them share memory with their
// source.
import { IndexError, shapeText } from "@rondo/backend"
import { applyView } from "../apply.js"
import { op, readDim } from "../op.js"
import { t } from "../samples.js"
import type { Geometry, Tensor } from "../tensor.js"
import { placed, selected, stepped } from "./geometry.js"
import { readIndex, readSlice } from "./ranges.js"

export { s, type Slice } from "./ranges.js"

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
    takes: { x: "tensor", dim: "dim", index: "number" },
    doc: "Position `index` of `dim`, which goes; a view. Negative positions count from the end.",
    samples: [
      [t(2, 3), 0, 1],
      [t(2, 3, 4), -2, -1],
      [t(3), 0, 0],
      [t(2, 0), 0, 1],
    ],
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
    takes: { x: "tensor", dim: "dim", start: "number|null?", end: "number|null?", step: "number|null?" },
    doc: "Range `start` to `end` of `dim`, `step` apart, by Python's rules; a view. A negative step walks backwards.",
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
    takes: { x: "tensor", dim: "dim", start: "number", length: "number" },
    doc: "`length` positions of `dim` from `start` on; a view. Unlike slice, it never cuts off.",
    samples: [
      [t(5, 2), 0, 1, 3],
      [t(2, 4), -1, -2, 2],
      [t(3), 0, 3, 0],
    ],
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
