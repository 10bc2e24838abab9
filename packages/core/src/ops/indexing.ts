// The full indexing call: integers, ranges, new dims, masks and index tensors together, read and written.
import { shapeText, ShapeError, sizeOf } from "@rondo/backend"
import { applyInPlace } from "../apply.js"
import { copyOf } from "../place.js"
import type { Rule } from "../graph.js"
import { checkHeld } from "../held.js"
import { op } from "../op.js"
import { indices, mask, t } from "../samples.js"
import { Tensor } from "../tensor.js"
import { add } from "./arithmetic.js"
import { toDType } from "./conversion.js"
import { copy_, fill_, maskedPut_ } from "./fill.js"
import { type IndexItem, type Layout, layOut, type Parsed, parseItems } from "./items.js"
import { fullOf, putRows, runRows, takeRows } from "./lookup.js"
import { clone, expand, reshape, zerosOf } from "./movement.js"

export type { IndexItem } from "./items.js"

/**
 * Indexes as PyTorch's `x[...]` does, ranges with negative steps as NumPy's besides: integers select, ranges keep their
 * dim, `null` adds one, `"..."` stands for all dims not named, arrays and int tensors gather (several of them
 * together, broadcast; negative positions count from the end), bool tensors pick where they are true.
 *
 * A view if all items are basic; else a copy. A bool tensor is read by the host: on devices without synchronous reads
 * that throws a DeviceError, and `await maskedSelect(x, mask)` is the way. Throws an IndexError for positions out of
 * range and too many items, a DTypeError for float index tensors, a ShapeError for index tensors that do not
 * broadcast.
 *
 * @example
 * ```ts
 * const x = arange(12).reshape(3, 4)
 * console.log(await x.index(0, "1:4").tolist()) // [1, 2, 3]
 * console.log(x.index("...", null, -1).shape) // [3, 1]
 * console.log(await x.index(s(null, null, 2), [0, 2]).tolist()) // [[0, 2], [8, 10]]
 * console.log(await x.index(x.gt(8)).tolist()) // [9, 10, 11]
 * ```
 */
export const index = op(
  {
    family: "indexing",
    name: "index",
    takes: { x: "tensor", items: "...any" },
    doc: "Indexing with integers, ranges, new dims, `...`, masks and index tensors.",
    samples: [
      [t(3, 4), 1],
      [t(3, 4), "::2", -1],
      [t(2, 3, 4), "...", null, { start: null, stop: null, step: -1 }],
      [t(3, 4), [2, 0, -1]],
      [t(2, 3, 4), ":", [0, 2], [1, 3]],
      [t(2, 3, 4), [0, 1], ":", [1, 3]],
      [t(3, 4), indices(3, 2, 2)],
      [t(2, 3, 4), indices(2, 2, 1), "1:", indices(4, 3)],
      [t(3, 4), mask(3, 4)],
      [t(2, 3, 4), 0, mask(3), "::2"],
      [t(3, 4), indices(3)],
      [t(3, 4)],
      [t(), null],
      [t(3, 0), [0, 1]],
    ],
    differentiable: true,
    view: true,
  },
  (x: Tensor, ...items: IndexItem[]): Tensor => {
    const parsed = parseItems("index", x, items, false)
    if (parsed.advanced.length === 0) return parsed.view
    const { laid, dim, positions, shape } = layOut("index", parsed)
    return reshape(takeRows("index", laid, dim, positions), shape)
  },
)

/** Options of {@link indexPut}. */
export interface IndexPutOptions {
  /** Add to what is there; positions named twice add up. Default false: the last one stays. */
  readonly accumulate?: boolean
}

type Value = Tensor | number | boolean

function assign(name: string, x: Tensor, items: readonly IndexItem[], value: Value, accumulate: boolean): Tensor {
  const parsed = parseItems(name, x, items, fitsMask(x, items, value))
  const { view, onlyMask } = parsed
  if (onlyMask) {
    const { mask, dim } = onlyMask
    const where = reshape(mask, [...mask.shape, ...view.shape.slice(dim + mask.ndim).map(() => 1)])
    maskedPut_(name, view, where, accumulate ? add(view, value) : value)
  } else if (parsed.advanced.length > 0) assignAt(name, parsed, value, accumulate)
  else if (accumulate) copy_(view, add(view, stripped(value, view.shape)))
  else if (value instanceof Tensor) copy_(view, stripped(value, view.shape) as Tensor)
  else fill_(view, value)
  return x
}

/** True if `value` is the same for every true element of a mask, so that nobody has to know how many there are. */
function fitsMask(x: Tensor, items: readonly IndexItem[], value: Value): boolean {
  if (!(value instanceof Tensor) || value.ndim === 0) return true
  const at = items.findIndex(
    (item) => item instanceof Tensor && item.ndim > 0 && (item.dtype === "bool" || item.dtype === "uint8"),
  )
  // What follows the mask must be whole dims for the trailing sizes to be known here.
  if (at < 0 || at !== items.length - 1) return false
  const used = items.reduce<number>(
    (sum, item) => sum + (item instanceof Tensor ? item.ndim : item === null || item === "..." ? 0 : 1),
    0,
  )
  return !items.includes("...") && value.ndim <= x.ndim - used
}

/** PyTorch lets a value have more dims than its place if the first ones are of size 1. */
function stripped(value: Value, shape: readonly number[]): Value {
  if (!(value instanceof Tensor) || value.ndim <= shape.length) return value
  const extra = value.ndim - shape.length
  if (value.shape.slice(0, extra).some((size) => size !== 1)) {
    throw new ShapeError(
      `setItem_: a value of shape ${shapeText(value.shape)} does not fit the place of shape ${shapeText(shape)}`,
    )
  }
  return reshape(value, value.shape.slice(extra))
}

function assignAt(name: string, parsed: Parsed, value: Value, accumulate: boolean): void {
  const layout = layOut(name, parsed)
  const { laid, dim, positions, shape } = layout
  if (!(value instanceof Tensor)) checkHeld(name, Number(value), laid.dtype)
  const filling = value instanceof Tensor ? toDType(value, laid.dtype) : fullOf(laid, value)
  const rows = laid.shape.map((size, d) => (d === dim ? sizeOf(positions.shape) : size))
  const source = reshape(expand(stripped(filling, shape) as Tensor, shape), rows)
  const shared = laid.storage === parsed.view.storage
  // Joining the dims may have copied: then the copy is changed and written back.
  const into = shared ? laid : clone(laid)
  putRows_(into, layout, source, accumulate)
  if (!shared) copy_(parsed.view, layout.restore(into))
}

// Made outside of the operation: closures of one function share what they capture, and the rule must not hold the source.
const putRule =
  (rows: readonly number[], dim: number, accumulate: boolean): Rule =>
  ([g], s) => {
    if (!g) return []
    const own = accumulate || !s.needs[0] ? g : putRows("indexFill", g, dim, s.y, expand(zerosOf(g, []), rows))
    return [own, null, s.needs[2] ? takeRows("index", g, dim, s.y) : null]
  }

function putRows_(into: Tensor, { dim, positions }: Layout, source: Tensor, accumulate: boolean): void {
  const rule = putRule(source.shape, dim, accumulate)
  applyInPlace({ name: "indexPut", keep: ["y"], vjp: rule }, into, [into, positions, source], () => {
    const apart = source.storage === into.storage ? copyOf(into.device, source) : source
    runRows(into, dim, positions, apart, accumulate ? "add" : "replace")
  })
}

const putSamples = [
  [t(3, 4), [1, "1:3"], t(2)],
  [t(3, 4), ["::-2"], t(4)],
  [t(3, 4), [[2, 0]], t(2, 4)],
  [t(2, 3, 4), [[0, 1], ":", [1, 3]], t(3)],
  [t(2, 3, 4), [":", [0, 2], [1, 3]], 1.5],
  [t(3, 4), [mask(3, 4)], t()],
  [t(3, 4), [mask(3)], t(4)],
  [t(3, 4), ["...", 0], t(1, 1, 3)],
  [t(), [null], t(1)],
]
const addSamples = [
  [t(3, 4), [indices(3, 5)], t(5, 4), { accumulate: true }],
  [t(3, 4), [0], t(4), { accumulate: true }],
  [t(3, 4), [mask(3, 4)], t(), { accumulate: true }],
]

export const indexPut = op(
  {
    family: "indexing",
    name: "indexPut",
    takes: { x: "tensor", items: "array", value: "operand", options: { accumulate: "flag" } },
    doc: "A copy with `value`, broadcast, at the place that `items` name; or added to it with `accumulate`.",
    samples: [...putSamples, ...addSamples],
    differentiable: true,
  },
  (x: Tensor, items: readonly IndexItem[], value: Value, { accumulate = false }: IndexPutOptions = {}): Tensor =>
    assign("indexPut", clone(x), items, value, accumulate),
)

export const indexPut_ = op(
  {
    family: "indexing",
    name: "indexPut_",
    takes: { x: "tensor", items: "array", value: "operand", options: { accumulate: "flag" } },
    doc: "As indexPut, in place.",
    samples: [...putSamples, ...addSamples],
    differentiable: true,
    inPlace: true,
  },
  (x: Tensor, items: readonly IndexItem[], value: Value, { accumulate = false }: IndexPutOptions = {}): Tensor =>
    assign("indexPut_", x, items, value, accumulate),
)

/**
 * `x[items] = value`: writes through views, masks and index tensors; returns x.
 *
 * @example
 * ```ts
 * const x = tensor([[1, -2, 3], [-4, 5, 6]])
 * x.setItem_([0, "1:3"], 7) // x[0, 1:3] = 7
 * x.setItem_([x.lt(0)], 0) // x[x < 0] = 0
 * console.log(await x.tolist()) // [[1, 7, 7], [0, 5, 6]]
 * ```
 */
export const setItem_ = op(
  {
    family: "indexing",
    name: "setItem_",
    takes: { x: "tensor", items: "array", value: "operand" },
    doc: "Writes `value`, broadcast, to the place that `items` name as for index.",
    samples: putSamples,
    differentiable: true,
    inPlace: true,
  },
  (x: Tensor, items: readonly IndexItem[], value: Value): Tensor => assign("setItem_", x, items, value, false),
)
