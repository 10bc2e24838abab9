// Walking strided views: single views in row-major blocks, several views row by row. Moves elements, computes nothing.
import { collapse, type DType, type HostArray, type View } from "@rondo/backend"
import { floatCopy } from "./loops/float.js"
import { intCopy } from "./loops/int.js"
import { int64Copy } from "./loops/int64.js"
import type { StridedCopy } from "./loops/loop.js"

/** The loop that moves elements of `dtype` as they lie in memory. */
export function copyLoop(dtype: DType): StridedCopy {
  if (dtype === "float32" || dtype === "float64") return floatCopy as StridedCopy
  return (dtype === "int64" ? int64Copy : intCopy) as StridedCopy
}

/** A place in a view that moves in row-major order, a run of equal steps at a time. */
export class Cursor {
  /** Index into the array. */
  at = 0
  /** Elements left of the current run. */
  left = 0
  /** Elements of a whole run. */
  readonly run: number
  /** Distance of neighbours in a run. */
  readonly step: number
  private readonly offset: number
  private readonly shape: readonly number[]
  private readonly strides: readonly number[]
  private readonly index: number[]

  constructor(shape: readonly number[], strides: readonly number[], offset: number) {
    const nest = collapse(shape, [strides])
    const last = nest.shape.length - 1
    this.run = last < 0 ? 1 : nest.shape[last]
    this.step = last < 0 ? 1 : nest.strides[0][last]
    this.shape = nest.shape.slice(0, -1)
    this.strides = nest.strides[0].slice(0, -1)
    this.index = this.shape.map(() => 0)
    this.offset = offset
    this.seek(0)
  }

  /** Goes to the element of row-major position `position`. */
  seek(position: number): void {
    const inRun = position % this.run
    let rest = (position - inRun) / this.run
    let at = this.offset + inRun * this.step
    for (let d = this.shape.length - 1; d >= 0; d--) {
      const i = rest % this.shape[d]
      rest = (rest - i) / this.shape[d]
      this.index[d] = i
      at += i * this.strides[d]
    }
    this.at = at
    this.left = this.run - inRun
  }

  /** Whole runs that lie ahead at one distance, the current one included; 0 in the middle of a run. */
  rows(): number {
    const last = this.shape.length - 1
    if (last < 0 || this.left !== this.run) return 0
    return this.shape[last] - this.index[last]
  }

  /** Distance of neighbouring runs. */
  get rowStep(): number {
    return this.shape.length === 0 ? 0 : this.strides[this.shape.length - 1]
  }

  /** Moves on by whole runs, `count <= rows()`. */
  advanceRows(count: number): void {
    const last = this.shape.length - 1
    this.at += (count - 1) * this.strides[last]
    this.index[last] += count - 1
    this.advance(this.run)
  }

  /** Moves on by `count <= left` elements. */
  advance(count: number): void {
    this.at += count * this.step
    this.left -= count
    if (this.left > 0) return
    this.left = this.run
    this.at -= this.run * this.step
    for (let d = this.shape.length - 1; d >= 0; d--) {
      this.at += this.strides[d]
      if (++this.index[d] < this.shape[d]) return
      this.at -= this.strides[d] * this.shape[d]
      this.index[d] = 0
    }
  }
}

/** Reads `n` elements at the cursor into `target[0 … n-1]`. */
export function gatherBlock(copy: StridedCopy, cursor: Cursor, n: number, source: HostArray, target: HostArray): void {
  for (let done = 0; done < n;) {
    const { run, at, step } = cursor
    const rows = Math.min(cursor.rows(), Math.floor((n - done) / run))
    if (rows > 0) {
      copy(rows, run, target, done, run, 1, source, at, cursor.rowStep, step)
      cursor.advanceRows(rows)
      done += rows * run
    } else {
      const count = Math.min(n - done, cursor.left)
      copy(1, count, target, done, 0, 1, source, at, 0, step)
      cursor.advance(count)
      done += count
    }
  }
}

/** Writes `source[from … from+n-1]` to `n` elements at the cursor. */
export function scatterBlock(
  copy: StridedCopy,
  cursor: Cursor,
  n: number,
  source: HostArray,
  from: number,
  target: HostArray,
): void {
  for (let done = 0; done < n;) {
    const { run, at, step } = cursor
    const rows = Math.min(cursor.rows(), Math.floor((n - done) / run))
    if (rows > 0) {
      copy(rows, run, target, at, cursor.rowStep, step, source, from + done, run, 1)
      cursor.advanceRows(rows)
      done += rows * run
    } else {
      const count = Math.min(n - done, cursor.left)
      copy(1, count, target, at, 0, step, source, from + done, 0, 1)
      cursor.advance(count)
      done += count
    }
  }
}

/**
 * Calls `visit(n, at, step)` for every innermost row that views of one shape walk together, in row-major order: view `v`
 * has its `n` elements at `at[v] + i * step[v]`. Rows are as long as the strides allow.
 */
export function eachRow(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
  offsets: readonly number[],
  visit: (n: number, at: readonly number[], step: readonly number[]) => void,
): void {
  const nest = collapse(shape, strides)
  if (nest.shape.includes(0)) return
  const last = nest.shape.length - 1
  if (last < 0) return visit(1, offsets, offsets.map(() => 1)) // prettier-ignore
  const n = nest.shape[last]
  const step = nest.strides.map((s) => s[last])
  const at = offsets.slice()
  const index = new Array<number>(last).fill(0)
  for (;;) {
    visit(n, at, step)
    let d = last - 1
    for (; d >= 0; d--) {
      for (let v = 0; v < at.length; v++) at[v] += nest.strides[v][d]
      if (++index[d] < nest.shape[d]) break
      for (let v = 0; v < at.length; v++) at[v] -= nest.strides[v][d] * nest.shape[d]
      index[d] = 0
    }
    if (d < 0) return
  }
}

/** Copies a view into another of the same shape and dtype, bits unchanged. */
export function copyView(from: View, source: HostArray, to: View, target: HostArray): void {
  const copy = copyLoop(from.dtype)
  const nest = collapse(from.shape, [from.strides, to.strides])
  if (nest.shape.includes(0)) return
  const rank = nest.shape.length
  const [a, r] = nest.strides
  const n = rank > 0 ? nest.shape[rank - 1] : 1
  if (rank === 1 && a[0] === 1 && r[0] === 1 && n >= 64) {
    ;(target as Uint8Array).set((source as Uint8Array).subarray(from.offset, from.offset + n), to.offset)
    return
  }
  // The two innermost dims are one call; the others walk.
  const rows = rank > 1 ? nest.shape[rank - 2] : 1
  const [aRow, rRow] = rank > 1 ? [a[rank - 2], r[rank - 2]] : [0, 0]
  const [as, rs] = rank > 0 ? [a[rank - 1], r[rank - 1]] : [1, 1]
  const outer = Math.max(rank - 2, 0)
  eachRow(
    nest.shape.slice(0, outer),
    [a.slice(0, outer), r.slice(0, outer)],
    [from.offset, to.offset],
    (count, at, step) => {
      for (let k = 0; k < count; k++) {
        copy(rows, n, target, at[1] + k * step[1], rRow, rs, source, at[0] + k * step[0], aRow, as)
      }
    },
  )
}
