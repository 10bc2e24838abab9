// Arithmetic of shapes whose sizes may be names or unknown. It knows no nodes.
import { IndexError, ShapeError } from "@rondo/backend"
import type { Dim } from "./proto.js"

/** `[batch, 3, ?]`, for messages. */
export const dimsText = (shape: readonly Dim[]): string => `[${shape.map((size) => size ?? "?").join(", ")}]`

/** Whether two sizes can be the same at run time. */
export const agree = (a: Dim, b: Dim): boolean => typeof a !== "number" || typeof b !== "number" || a === b

/** Whether a value of this shape can be used where `expected` is. */
export const fits = (shape: readonly Dim[], expected: readonly Dim[]): boolean =>
  shape.length === expected.length && shape.every((size, d) => agree(size, expected[d]))

/** An axis counted from the front. Throws an IndexError outside of `rank`. */
export function readAxis(op: string, axis: number, rank: number): number {
  if (Number.isInteger(axis) && axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis
  const expected = rank === 0 ? "none, it has no dims" : `${-rank} to ${rank - 1}`
  throw new IndexError(`${op}: dim out of range: got ${axis}, expected ${expected}`)
}

// Two dynamic sizes of different names may be broadcast at run time: which is the larger is not known here.
function broadcastDim(a: Dim, b: Dim): Dim | undefined {
  if (a === b || b === 1) return a
  if (a === 1) return b
  if (typeof a === "number" && typeof b === "number") return undefined
  return typeof a === "number" ? a : typeof b === "number" ? b : null
}

/** The shape of an element-wise result. Throws a ShapeError for sizes that cannot be broadcast. */
export function broadcastDims(op: string, a: readonly Dim[], b: readonly Dim[]): Dim[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, d) => {
    const [i, j] = [d - rank + a.length, d - rank + b.length]
    const size = broadcastDim(i < 0 ? 1 : a[i], j < 0 ? 1 : b[j])
    if (size !== undefined) return size
    throw new ShapeError(`${op}: shapes cannot be broadcast: ${dimsText(a)} and ${dimsText(b)}`)
  })
}

/** The product of sizes, or null if one of them is not known. */
export const productOf = (shape: readonly Dim[]): number | null =>
  shape.reduce<number | null>((all, size) => (all === null || typeof size !== "number" ? null : all * size), 1)
