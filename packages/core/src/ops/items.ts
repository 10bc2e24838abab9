// Reading the items of an index expression: basic ones become a view at once, index tensors and masks are put aside
// with the dim that they index. Gathers and scatters nothing; see indexing.ts.
import {
  broadcastShapes,
  type DType,
  DTypeError,
  e,
  type Expr,
  IndexError,
  isFloat,
  type MapKernel,
  shapeText,
  sizeOf,
  ValueError,
} from "@rondo/backend"
import { commonDevice, execute, output } from "../apply.js"
import { stretched } from "../place.js"
import { upload } from "../host.js"
import { Tensor } from "../tensor.js"
import { ne } from "./logic.js"
import { wrapped } from "./lookup.js"
import { permute, reshape, unsqueeze } from "./movement.js"
import { parseSlice, readIndex, type Slice } from "./ranges.js"
import { maskIndices } from "./selection.js"
import { select, slice } from "./slicing.js"

/**
 * One item of an index: a position, a range (`s(1, 5)` or `"1:5"`), `null` for a new dim, `"..."` for all dims not
 * named, an int32 or int64 tensor or an array of positions, or a bool tensor as a mask over as many dims as it has.
 */
export type IndexItem = number | string | Slice | null | Tensor | readonly number[]

interface Advanced {
  readonly dim: number
  readonly index: Tensor
}

/** A basic view of the indexed tensor, and the index tensors on its dims, in their order. */
export interface Parsed {
  readonly view: Tensor
  readonly advanced: readonly Advanced[]
  /** The mask and its first dim, if that is the only item that is not basic. */
  readonly onlyMask: { readonly mask: Tensor; readonly dim: number } | null
}

const isMask = (item: unknown): item is Tensor =>
  item instanceof Tensor && (item.dtype === "bool" || item.dtype === "uint8")

/** How many dims of the source an item uses up. */
function width(item: IndexItem): number {
  if (item === null || item === "...") return 0
  return isMask(item) ? item.ndim : 1
}

function checkItems(name: string, x: Tensor, items: readonly IndexItem[]): void {
  const tensors = items.filter((item): item is Tensor => item instanceof Tensor)
  commonDevice(name, [x, ...tensors])
  for (const item of tensors) {
    // PyTorch has no uint32 positions either.
    if (isFloat(item.dtype) || item.dtype === "uint32")
      throw new DTypeError(`${name}: index tensors must be int32, int64 or bool: got ${item.dtype}`)
  }
  if (items.filter((item) => item === "...").length > 1)
    throw new IndexError(`${name}: only one "..." may stand in an index`)
  const used = items.reduce<number>((sum, item) => sum + width(item), 0)
  if (used > x.ndim)
    throw new IndexError(
      `${name}: too many indices: got ${used}, expected at most ${x.ndim} for shape ${shapeText(x.shape)}`,
    )
}

/** Positions given as an array, checked here because the host can. */
function listed(name: string, x: Tensor, positions: readonly number[], size: number, d: number): Tensor {
  const checked = positions.map((i) => readIndex(name, i, size, d))
  return upload(x.device, Int32Array.from(checked), [checked.length], "int32")
}

/** Index tensors of a mask. One without dims adds a dim, which it keeps (true) or empties (false). */
function masked(name: string, view: Tensor, mask: Tensor, dim: number): { view: Tensor; indices: Tensor[] } {
  const shown = view.shape.slice(dim, dim + mask.ndim)
  if (mask.shape.some((size, d) => size !== shown[d])) {
    throw new IndexError(
      `${name}: the mask ${shapeText(mask.shape)} does not match dims ${dim} on of ${shapeText(view.shape)}`,
    )
  }
  const truth = mask.dtype === "bool" ? mask : ne(mask, 0)
  if (mask.ndim > 0) return { view, indices: maskIndices(name, truth) }
  return { view: unsqueeze(view, dim), indices: maskIndices(name, reshape(truth, 1)) }
}

/** Applies the basic items; masks are turned into index tensors unless `keepMask` and the mask is all there is. */
export function parseItems(name: string, x: Tensor, items: readonly IndexItem[], keepMask: boolean): Parsed {
  checkItems(name, x, items)
  const special = items.filter((item) => item instanceof Tensor || Array.isArray(item))
  const alone = keepMask && special.length === 1 && isMask(special[0]) && special[0].ndim > 0
  const rest = x.ndim - items.reduce<number>((sum, item) => sum + width(item), 0)
  const advanced: Advanced[] = []
  let onlyMask: Parsed["onlyMask"] = null
  let view = x
  let d = 0
  for (const item of items) {
    if (item === null) view = unsqueeze(view, d++)
    else if (item === "...") d += rest
    else if (typeof item === "number") view = select(view, d, readIndex(name, item, view.shape[d], d))
    else if (isMask(item)) {
      const got = alone ? { view, indices: [] } : masked(name, view, item, d)
      if (alone) onlyMask = { mask: checkedMask(name, view, item, d), dim: d }
      view = got.view
      for (const index of got.indices) advanced.push({ dim: d++, index })
      if (alone) d += item.ndim
    } else if (item instanceof Tensor) advanced.push({ dim: d++, index: item })
    else if (Array.isArray(item))
      advanced.push({ dim: d, index: listed(name, x, item as number[], view.shape[d], d++) })
    else {
      const range = readRange(name, item as string | Slice)
      view = isWhole(range) ? view : slice(view, d, range.start, range.stop, range.step)
      d++
    }
  }
  return { view, advanced, onlyMask }
}

function checkedMask(name: string, view: Tensor, mask: Tensor, dim: number): Tensor {
  if (mask.shape.some((size, d) => size !== view.shape[dim + d])) {
    throw new IndexError(
      `${name}: the mask ${shapeText(mask.shape)} does not match dims ${dim} on of ${shapeText(view.shape)}`,
    )
  }
  return mask.dtype === "bool" ? mask : ne(mask, 0)
}

const isWhole = ({ start, stop, step }: Slice): boolean =>
  (start ?? null) === null && (stop ?? null) === null && (step ?? 1) === 1

function readRange(name: string, item: string | Slice): Slice {
  if (typeof item === "string") return parseSlice(name, item)
  if (typeof item === "object") return item
  throw new ValueError(`${name}: not an index: got ${String(item)}, expected a number, slice, null, "..." or tensor`)
}

/**
 * The source laid out as [before, indexed, after], the positions among `indexed`, and the shape that the result has.
 */
export interface Layout {
  readonly laid: Tensor
  /** The dim of `laid` that is indexed. */
  readonly dim: number
  /** Positions [N]. */
  readonly positions: Tensor
  readonly shape: readonly number[]
  /** Puts something of the shape of `laid` back under the shape of the view. */
  readonly restore: (changed: Tensor) => Tensor
}

/**
 * Brings the indexed dims together into one. They stay where they are if they are neighbours, else they come first
 * (the rule of NumPy and PyTorch). Index tensors without dims select, as integers do, and separate nothing.
 */
export function layOut(name: string, { view, advanced }: Parsed): Layout {
  const dims = advanced.map(({ dim }) => dim)
  const among = broadcastShapes(name, ...advanced.map(({ index }) => index.shape))
  const dimensional = advanced.filter(({ index }) => index.ndim > 0).map(({ dim }) => dim)
  const others = view.shape.map((_, d) => d).filter((d) => !dims.includes(d))
  const [first, last] = [dimensional[0] ?? -1, dimensional[dimensional.length - 1] ?? -1]
  const together = !others.some((d) => d > first && d < last)
  const before = together ? others.filter((d) => d < first) : []
  const after = together ? others.filter((d) => d > first) : others
  const order = [...before, ...dims, ...after]
  const sizes = (list: readonly number[]): number[] => list.map((d) => view.shape[d])
  const moved = order.every((d, i) => d === i) ? view : permute(view, order)
  const joined = [...sizes(before), sizeOf(sizes(dims)), ...sizes(after)]
  const inverse = order.map((_, d) => order.indexOf(d))
  return {
    laid: dims.length === 1 ? moved : reshape(moved, joined),
    dim: before.length,
    positions: joinedIndex(advanced, view.shape, among),
    shape: [...sizes(before), ...among, ...sizes(after)],
    restore: (changed) => permute(reshape(changed, moved.shape), inverse),
  }
}

const joins = new Map<string, MapKernel>()

/** One position in the joined dims for every element of the broadcast index tensors, as a vector. */
function joinedIndex(advanced: readonly Advanced[], shape: readonly number[], among: readonly number[]): Tensor {
  if (advanced.length === 1) return reshape(wrapped(advanced[0].index, shape[advanced[0].dim]), -1)
  const inputs = advanced.map(({ index }) => index)
  const sizes = advanced.map(({ dim }) => shape[dim])
  const steps = sizes.map((_, i) => sizeOf(sizes.slice(i + 1)))
  const out = output(inputs[0].device, among, "int32")
  const kernel = joining(inputs.map((index) => index.dtype))
  if (sizeOf(among) > 0)
    execute(
      kernel,
      inputs.map((index) => stretched(index, among)),
      [out],
      [...sizes, ...steps],
    )
  return reshape(out, -1)
}

/** Sums wrapped indices times steps. A place outside of any dim becomes -1, which the kernel that uses it reports. */
function joining(dtypes: readonly DType[]): MapKernel {
  const key = dtypes.join(" ")
  const found = joins.get(key)
  if (found) return found
  const count = dtypes.length
  let sum: Expr = e.const(0, "int32")
  let inside: Expr = e.const(1, "bool")
  dtypes.forEach((dtype, k) => {
    const [i, size] = [e.input(k, dtype), e.scalar(k, dtype)]
    const place = e.where(e.lt(i, e.like(i, 0)), e.add(i, size), i)
    inside = e.and(inside, e.and(e.ge(place, e.like(i, 0)), e.lt(place, size)))
    sum = e.add(sum, e.mul(e.cast(place, "int32"), e.scalar(count + k, "int32")))
  })
  const kernel: MapKernel = { kind: "map", exprs: [e.where(inside, sum, e.const(-1, "int32"))] }
  joins.set(key, kernel)
  return kernel
}
