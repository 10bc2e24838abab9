// Ranges and positions along a dim as Python writes them: reading and checking, on the host. Touches no tensor.
import { IndexError, ValueError } from "@rondo/backend"

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
 * console.log(await x.index(s(1, null, 2)).tolist()) // [1, 3, 5]
 * console.log(await x.index(s(null, null, -1)).tolist()) // [5, 4, 3, 2, 1, 0]
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
    throw new IndexError(`${name}: index out of range: got ${String(index)}, expected ${range} at dim ${d}`)
  }
  return index < 0 ? index + size : index
}
