// Order: sort and what follows from it (argsort, topk, kthvalue, median), and places in sorted lists.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { commonDevice, execute, output } from "../apply.js"
import { copyOf } from "../place.js"
import { op, readDim } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { sub } from "./arithmetic.js"
import { toDType } from "./conversion.js"
import { swapped, target, viewOf } from "./geometry.js"
import { gather } from "./gather.js"
import { gt, isnan, le, lt, where } from "./logic.js"
import { fullOf } from "./lookup.js"
import { clone, expand, reshape, squeeze, zerosOf } from "./movement.js"
import { sharedByEquals, sum } from "./reduce.js"
import { pickedFrom, type ValuesAndPositions } from "./scan.js"
import { narrow } from "./slicing.js"

/** Options of {@link sort} and {@link argsort}. */
export interface SortOptions {
  /** Largest first. Default false. */
  readonly descending?: boolean
  /** Accepted for PyTorch's sake: equal elements always keep their order. */
  readonly stable?: boolean
}

/** Sorted values, unrecorded, and positions. x has at least one dim. */
function sorted(x: Tensor, d: number, descending: boolean): ValuesAndPositions {
  const positions = output(x.device, x.shape, "int32")
  const source = x.dtype === "bool" ? copyOf(x.device, x, "int32") : x
  const values = output(x.device, x.shape, source.dtype)
  if (sizeOf(x.shape) > 0) {
    const last = x.ndim - 1
    const outputs = [target(values, swapped(values, d, last)), target(positions, swapped(positions, d, last))]
    execute({ kind: "sort", descending }, [viewOf(source, swapped(source, d, last))], outputs)
  }
  return [x.dtype === "bool" ? copyOf(x.device, values, "bool") : values, positions]
}

const sortSamples = [
  [t(2, 5)],
  [t(5, 2), 0],
  [t(2, 4, 2), 1, { descending: true }],
  [t(), 0],
  [t(0, 3), 0],
  [t(3, 0), 0],
  [t(6), -1, { descending: true, stable: true }],
]

/**
 * Sorts along `dim`: values and their int32 positions. Equal elements keep their order; NaN counts as greatest.
 *
 * @example
 * ```ts
 * const [values, positions] = sort(tensor([3, 1, 2]))
 * console.log(await values.tolist(), await positions.tolist()) // [1, 2, 3] [1, 2, 0]
 * ```
 */
export const sort = op(
  {
    family: "indexing",
    name: "sort",
    takes: { x: "tensor", dim: "dim?", options: { descending: "flag", stable: "flag" } },
    doc: "Values in order along `dim`, and their int32 positions; stable, NaN greatest.",
    samples: sortSamples,
    differentiable: true,
  },
  (x: Tensor, dim = -1, { descending = false }: SortOptions = {}): ValuesAndPositions => {
    x.check("sort")
    const d = readDim("sort", dim, x.ndim)
    if (x.ndim === 0) return [clone(x), zerosOf(output(x.device, [], "int32"), [])]
    const [values, positions] = sorted(x, d, descending)
    return [pickedFrom("sort", x, d, values, positions), positions]
  },
)

export const argsort = op(
  {
    family: "indexing",
    name: "argsort",
    takes: { x: "tensor", dim: "dim?", options: { descending: "flag", stable: "flag" } },
    doc: "The int32 positions that sort along `dim`; stable.",
    samples: sortSamples,
    differentiable: false,
  },
  (x: Tensor, dim = -1, options: SortOptions = {}): Tensor => sort(x.detach(), dim, options)[1],
)

/** Options of {@link topk}. */
export interface TopkOptions {
  /** False for the smallest. Default true. */
  readonly largest?: boolean
  /** Accepted for PyTorch's sake: the result is always sorted. */
  readonly sorted?: boolean
}

export const topk = op(
  {
    family: "indexing",
    name: "topk",
    takes: { x: "tensor", k: "number", dim: "dim?", options: { largest: "flag", sorted: "flag" } },
    doc: "The `k` largest (or smallest) elements along `dim` in order, and their int32 positions.",
    samples: [
      [t(2, 5), 3],
      [t(5, 2), 2, 0, { largest: false }],
      [t(4), 0],
      [t(3), 3, -1, { sorted: false }],
      [t(), 1],
    ],
    differentiable: true,
  },
  (x: Tensor, k: number, dim = -1, { largest = true }: TopkOptions = {}): ValuesAndPositions => {
    x.check("topk")
    const d = readDim("topk", dim, x.ndim)
    const size = x.shape[d] ?? 1
    if (!Number.isInteger(k) || k < 0 || k > size)
      throw new ValueError(`topk: k out of range: got ${k}, expected 0 to ${size}`)
    if (x.ndim === 0) return sort(x)
    const [values, positions] = sorted(x, d, largest)
    const cut = clone(narrow(positions, d, 0, k))
    return [pickedFrom("topk", x, d, clone(narrow(values, d, 0, k)), cut), cut]
  },
)

/** Option of operations that reduce one dim. */
export interface KeepdimOptions {
  /** Keep the dim with size 1. */
  readonly keepdim?: boolean
}

/** The element of each line at the positions `at` (size 1 along `d`) of its sorted order. */
function atRank(
  name: string,
  x: Tensor,
  d: number,
  at: (values: Tensor) => Tensor,
  keepdim: boolean | undefined,
): ValuesAndPositions {
  if (x.ndim === 0) return sort(x)
  const [values, order] = sorted(x, d, false)
  const rank = at(values)
  const positions = gather(order, d, rank)
  const picked = pickedFrom(name, x, d, gather(values, d, rank), positions)
  return keepdim ? [picked, positions] : [squeeze(picked, d), squeeze(positions, d)]
}

const oneAlong = (x: Tensor, d: number): number[] => x.shape.map((size, i) => (i === d ? 1 : size))

export const kthvalue = op(
  {
    family: "indexing",
    name: "kthvalue",
    takes: { x: "tensor", k: "number", dim: "dim?", options: { keepdim: "flag" } },
    doc: "The `k`-th smallest element along `dim` (counted from 1), and its int32 position.",
    samples: [
      [t(2, 5), 2],
      [t(4, 2), 1, 0, { keepdim: true }],
      [t(3), 3],
      [t(), 1],
    ],
    differentiable: true,
  },
  (x: Tensor, k: number, dim = -1, { keepdim }: KeepdimOptions = {}): ValuesAndPositions => {
    x.check("kthvalue")
    const d = readDim("kthvalue", dim, x.ndim)
    const size = x.shape[d] ?? 1
    if (!Number.isInteger(k) || k < 1 || k > size)
      throw new ValueError(`kthvalue: k out of range: got ${k}, expected 1 to ${size}`)
    const at = (values: Tensor): Tensor => expand(fullOf(output(x.device, [], "int32"), k - 1), oneAlong(values, d))
    return atRank("kthvalue", x, d, at, keepdim)
  },
)

/** Rank of the lower median, or of the first NaN of lines that have one. */
function medianRank(values: Tensor, d: number): Tensor {
  const size = values.shape[d]
  const nans = sum(isnan(values), d, { keepdim: true })
  return toDType(where(gt(nans, 0), sub(size, nans), (size - 1) >> 1), "int32")
}

/** The two forms of {@link median}: of all elements, or along a dim. */
export interface MedianOp {
  (x: Tensor): Tensor
  (x: Tensor, dim: number, options?: KeepdimOptions): ValuesAndPositions
}

/** The lower of the two middle elements; NaN if there is one. Without `dim` over all elements, the value alone. */
export const median = op(
  {
    family: "indexing",
    name: "median",
    takes: { x: "tensor", dim: "dim?", options: { keepdim: "flag" } },
    doc: "The middle element (the lower of two); with `dim`: values and int32 positions. NaN wins.",
    samples: [[t(2, 5)], [t(3, 4)], [t(4, 3), 0], [t(2, 5), -1, { keepdim: true }], [t()]],
    differentiable: true,
  },
  ((x: Tensor, dim?: number, { keepdim }: KeepdimOptions = {}): Tensor | ValuesAndPositions => {
    x.check("median")
    const source = dim === undefined ? reshape(x, -1) : x
    const d = readDim("median", dim ?? 0, source.ndim)
    const ranked = (y: Tensor): ValuesAndPositions => atRank("median", y, d, (values) => medianRank(values, d), keepdim)
    if (dim === undefined) {
      // Of no elements at all NaN, as far as the dtype can say so.
      const none = toDType(fullOf(output(x.device, [], "float32"), NaN), x.dtype)
      return sharedByEquals("median", x, source.shape[d] === 0 ? none : ranked(source.detach())[0])
    }
    if (source.shape[d] === 0)
      throw new ShapeError(`median: has no value over an empty dim: shape ${shapeText(x.shape)}`)
    return ranked(source)
  }) as MedianOp,
)

// ---- places in sorted lists

/** Options of {@link searchsorted} and {@link bucketize}. */
export interface SearchOptions {
  /** True: behind equal elements; false (default): in front of them. */
  readonly right?: boolean
}

/**
 * Where each value would be put to keep the sequence sorted: how many elements are less (or, with `right`, not
 * greater). By halving, so a search costs log2 of the length.
 */
export const searchsorted = op(
  {
    family: "indexing",
    name: "searchsorted",
    takes: { sequence: "tensor", values: "tensor", options: { right: "flag" } },
    doc: "The int32 position at which each value keeps the sorted last dim of `sequence` sorted.",
    samples: [
      [t(4), t(2, 3)],
      [t(3), t(4), { right: true }],
      [t(0), t(2)],
      [t(3), t()],
    ],
    differentiable: false,
  },
  (sequence: Tensor, values: Tensor, { right = false }: SearchOptions = {}): Tensor => {
    commonDevice("searchsorted", [sequence, values])
    const lead = sequence.shape.slice(0, -1)
    const alike =
      sequence.ndim === 1 || (sequence.ndim === values.ndim && lead.every((size, d) => size === values.shape[d]))
    if (sequence.ndim === 0 || !alike) {
      throw new ShapeError(
        `searchsorted: the sequence ${shapeText(sequence.shape)} does not lead as the values ${shapeText(values.shape)} do`,
      )
    }
    const flat = sequence.ndim === 1 ? reshape(values.detach(), -1) : values.detach()
    return reshape(halved(sequence.detach(), flat, right), values.shape)
  },
)

function halved(sequence: Tensor, values: Tensor, right: boolean): Tensor {
  const size = sequence.shape[sequence.ndim - 1]
  const d = sequence.ndim - 1
  const number = (value: number): Tensor => expand(fullOf(output(values.device, [], "int32"), value), values.shape)
  let low = clone(number(0))
  let high = number(size)
  for (let reach = size; reach > 0 && sizeOf(values.shape) > 0; reach = Math.floor(reach / 2)) {
    const middle = low.add(high).floorDivide(2)
    const open = lt(low, high)
    const found = gather(sequence, d, where(open, middle, 0))
    const behind = open.logicalAnd(right ? le(found, values) : lt(found, values))
    low = where(behind, middle.add(1), low)
    high = where(behind.logicalNot().logicalAnd(open), middle, high)
  }
  return low
}

export const bucketize = op(
  {
    family: "indexing",
    name: "bucketize",
    takes: { x: "tensor", boundaries: "tensor", options: { right: "flag" } },
    doc: "The int32 number of the bucket between sorted `boundaries` that each value falls in.",
    samples: [
      [t(2, 3), t(4)],
      [t(3), t(2), { right: true }],
    ],
    differentiable: false,
    method: false,
  },
  (x: Tensor, boundaries: Tensor, options: SearchOptions = {}): Tensor => {
    if (boundaries.ndim !== 1)
      throw new ShapeError(`bucketize: the boundaries must be a vector: got ${shapeText(boundaries.shape)}`)
    return searchsorted(boundaries, x, options)
  },
)
