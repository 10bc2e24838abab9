// Whole rows along one dim by a vector of indices, and single elements by their place in the flattened tensor.
import { broadcastShapes, DTypeError, isFloat, kernels, shapeText, ShapeError, sizeOf } from "@rondo/backend"
import { commonDevice, execute, output } from "../apply.js"
import { op, readDim } from "../op.js"
import { indices, t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { mul } from "./arithmetic.js"
import { toDType } from "./conversion.js"
import { maskedFill } from "./fill.js"
import { gather } from "./gather.js"
import {
  addRows,
  checkIndexDType,
  checkRanks,
  checkSameDType,
  fullOf,
  putRows,
  runRows,
  takeRows,
  withSize,
  wrapped,
} from "./lookup.js"
import { expand, reshape } from "./movement.js"

function readRows(name: string, x: Tensor, dim: number, index: Tensor): number {
  commonDevice(name, [x, index])
  checkIndexDType(name, index)
  if (index.ndim > 1 || (x.ndim === 0 && sizeOf(index.shape) !== 1)) {
    const expected = x.ndim === 0 ? "hold one index" : "be a vector"
    throw new ShapeError(`${name}: the index must ${expected}: got ${shapeText(index.shape)} for ${shapeText(x.shape)}`)
  }
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
  {
    family: "indexing",
    name: "indexSelect",
    takes: { x: "tensor", dim: "dim", index: "tensor" },
    doc: "The rows of `dim` that the vector `index` names, in its order.",
    samples: [
      [t(4, 3), 0, indices(4, 6)],
      [t(2, 4), -1, indices(4, 3)],
      [t(3), 0, indices(3, 0)],
      [t(3, 0), 0, indices(3, 2)],
      [t(3, 2), 0, indices(3)],
      [t(), 0, indices(1, 1)],
    ],
    differentiable: true,
  },
  (x: Tensor, dim: number, index: Tensor): Tensor =>
    takeRows("indexSelect", x, readRows("indexSelect", x, dim, index), index),
)

export const indexAdd = op(
  {
    family: "indexing",
    name: "indexAdd",
    takes: { x: "tensor", dim: "dim", index: "tensor", source: "tensor", options: { alpha: "number" } },
    doc: "A copy with `alpha` times the rows of `source` added to the rows that `index` names; equal indices sum up.",
    samples: [
      [t(4, 3), 0, indices(4, 6), t(6, 3)],
      [t(2, 4), -1, indices(4, 3), t(2, 3), { alpha: -0.5 }],
      [t(3), 0, indices(3, 0), t(0)],
    ],
    differentiable: true,
  },
  (x: Tensor, dim: number, index: Tensor, source: Tensor, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor => {
    const d = readRows("indexAdd", x, dim, index)
    checkRows("indexAdd", x, d, index, source)
    if (!isFloat(x.dtype) && !Number.isInteger(alpha)) {
      throw new DTypeError(`indexAdd: alpha must be an integer for ${x.dtype}: got ${alpha}`)
    }
    return addRows("indexAdd", x, d, index, alpha === 1 ? source : toDType(mul(source, alpha), x.dtype))
  },
)

export const indexCopy = op(
  {
    family: "indexing",
    name: "indexCopy",
    takes: { x: "tensor", dim: "dim", index: "tensor", source: "tensor" },
    doc: "A copy whose rows that `index` names are those of `source`.",
    samples: [
      [t(4, 3), 0, indices(1, 1), t(1, 3)],
      [t(2, 4), -1, indices(1, 1), t(2, 1)],
      [t(3), 0, indices(3, 0), t(0)],
    ],
    differentiable: true,
  },
  (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor => {
    const d = readRows("indexCopy", x, dim, index)
    checkRows("indexCopy", x, d, index, source)
    return putRows("indexCopy", x, d, index, source)
  },
)

export const indexFill = op(
  {
    family: "indexing",
    name: "indexFill",
    takes: { x: "tensor", dim: "dim", index: "tensor", value: "operand" },
    doc: "A copy whose rows that `index` names hold `value`, a number or a tensor without dims.",
    samples: [
      [t(4, 3), 0, indices(4, 2), 1.5],
      [t(2, 4), -1, indices(4, 3), t()],
    ],
    differentiable: true,
  },
  (x: Tensor, dim: number, index: Tensor, value: Tensor | number): Tensor => {
    const d = readRows("indexFill", x, dim, index)
    if (typeof value === "object" && value.ndim > 0) {
      throw new ShapeError(`indexFill: the value must be a number or have no dims: got ${shapeText(value.shape)}`)
    }
    // Through a mask, rows named twice count once in the gradient of the value.
    const named = output(x.device, [x.shape[d] ?? 1], "bool")
    if (sizeOf(named.shape) > 0) execute(kernels.fill("bool"), [], [named], [0])
    if (sizeOf(index.shape) > 0) runRows(named, 0, index, expand(fullOf(named, true), [sizeOf(index.shape)]), "replace")
    return maskedFill(
      x,
      reshape(
        named,
        x.shape.map((size, i) => (i === d ? size : 1)),
      ),
      value,
    )
  },
)

export const take = op(
  {
    family: "indexing",
    name: "take",
    takes: { x: "tensor", index: "tensor" },
    doc: "Elements of the flattened tensor at `index`, in its shape; negative ones count from the end.",
    samples: [
      [t(3, 4), indices(12, 2, 3)],
      [t(3, 4), indices(12)],
      [t(3), indices(3, 0)],
    ],
    differentiable: true,
  },
  (x: Tensor, index: Tensor): Tensor => {
    commonDevice("take", [x, index])
    checkIndexDType("take", index)
    const flat = reshape(x, -1)
    return reshape(takeRows("take", flat, 0, reshape(wrapped(index, flat.shape[0]), -1)), index.shape)
  },
)

export const takeAlongDim = op(
  {
    family: "indexing",
    name: "takeAlongDim",
    takes: { x: "tensor", index: "tensor", dim: "dim?" },
    doc: "As gather, with x and `index` broadcast in the other dims; over the flattened tensor without `dim`.",
    samples: [
      [t(3, 4), indices(4, 3, 2), 1],
      [t(3, 1), indices(3, 2, 4), 0],
      [t(3, 4), indices(12, 5)],
    ],
    differentiable: true,
  },
  (x: Tensor, index: Tensor, dim?: number): Tensor => {
    commonDevice("takeAlongDim", [x, index])
    if (dim === undefined) return gather(reshape(x, -1), 0, reshape(index, -1))
    checkRanks("takeAlongDim", x, index)
    const d = readDim("takeAlongDim", dim, x.ndim)
    const common = broadcastShapes("takeAlongDim", withSize(x.shape, d, 1), withSize(index.shape, d, 1))
    return gather(expand(x, withSize(common, d, x.shape[d])), d, expand(index, withSize(common, d, index.shape[d])))
  },
)
