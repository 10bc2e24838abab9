// What memory remembers of where its elements came from: rows of a table, by index. Operations that would do the same for every
// row of a kind may do it for the table instead. Not public.
import { isContiguous, sizeOf } from "@rondo/backend"
import type { Node } from "./graph.js"
import type { Handle } from "./lifetime.js"
import { contiguous, reshape } from "./ops/movement.js"
import { tape } from "./tape.js"
import { type Tensor, windowOn } from "./tensor.js"

/** Says that the memory behind a handle holds `table[index]`, row after row, as long as none of the three changed. */
export interface Origin {
  /** `[V, E]` */
  readonly table: Tensor
  /** Of any shape. */
  readonly index: Tensor
  /** A row whose gradient is zero, whatever was done with it. */
  readonly padding: number | null
  /** The lookup, if it was recorded. */
  readonly node: Node | null
  /** The memory of the table and the index: what moves to another device or dtype shows other memory. */
  readonly read: readonly [table: Handle, index: Handle]
  /** Of the memory, the table and the index when they were read. */
  readonly versions: readonly [own: number, table: number, index: number]
  /** Which capture this belongs to: a replay cannot know what became of memory that was filled before it. */
  readonly tape: unknown
}

// A gather and a scatter of an operation's results must cost less than what the table saves (docs/decisions/014).
const leastWidth = 16
const leastUse = 2

const pays = (x: Tensor, table: Tensor): boolean => sizeOf(x.shape) >= leastUse * sizeOf(table.shape)

/**
 * Remembers that `out`, which was just made and owns its memory, is `table[index]`. The table is held as long as `out`: not one in
 * large memory, nor one that was computed, since its graph would be held too, also by rows that were detached.
 */
export function rememberOrigin(out: Tensor, table: Tensor, index: Tensor, padding: number | null): void {
  if (table.ndim !== 2 || table.shape[1] < leastWidth || !table.isLeaf) return
  if (out.storage.bytes < leastUse * table.storage.bytes) return
  if (out.dtype !== "float32" && out.dtype !== "float64") return
  const read = [table.handle, index.handle] as const
  const versions = [out.handle.version, table.handle.version, index.handle.version] as const
  out.handle.origin = { table, index, padding, node: out.node, read, versions, tape }
}

/** Where the rows of `x` [..., E] come from, if that is known, still true, and of use: there are far fewer rows of the table. */
export function originOf(x: Tensor): Origin | null {
  const { origin } = x.handle
  if (!origin || origin.tape !== tape) return null
  const { table, index, read, versions } = origin
  const [own, ofTable, ofIndex] = versions
  if (table.disposed || index.disposed || !pays(x, table)) return null
  if (table.handle !== read[0] || index.handle !== read[1]) return null
  if (x.handle.version !== own || table.handle.version !== ofTable || index.handle.version !== ofIndex) return null
  // A window must show whole rows.
  const last = x.ndim - 1
  const width = table.shape[1]
  const whole = last >= 0 && x.shape[last] === width && x.strides[last] === 1 && x.offset % width === 0
  return whole && x.strides.every((stride, d) => d === last || stride % width === 0) ? origin : null
}

/** Which row of the table each row of `x` is, [N], for an origin that {@link originOf} gave. */
export function originRows(x: Tensor, { table, index }: Origin): Tensor {
  const width = table.shape[1]
  const shape = x.shape.slice(0, -1)
  const flat = contiguous(index)
  const count = sizeOf(shape)
  if (count === sizeOf(index.shape) && x.offset === 0 && isContiguous(x.shape, x.strides)) return reshape(flat, count)
  const strides = shape.map((_, d) => x.strides[d] / width)
  return reshape(windowOn(flat, { shape, strides, offset: flat.offset + x.offset / width }, false), count)
}
