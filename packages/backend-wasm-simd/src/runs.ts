// Runs of pages: which are in use, which are idle, and the smallest idle one that is large enough. Pages are numbers here; what
// they hold is the heap's business.

/** Runs are at most 2^22 pages long and start below that: length and start make one number, exact in a double. */
const starts = 2 ** 22

/** Hands out runs of pages below `top`. Neighbours that are idle become one run at once. */
export class PageRuns {
  /** First page that was never handed out, or has come back with all behind it. */
  top = 0
  /** Most that `top` ever was. */
  peak = 0
  /** Pages in use. */
  used = 0
  /** At the first and the last page of each run its length; negative if it is idle. */
  private lengths = new Int32Array(256)
  /** Idle runs as `length * starts + start`, ascending: the first that is large enough is the best, and the lowest of those. */
  private idle = new Float64Array(64)
  private count = 0

  /** The first page of a run of `pages` that was idle, or -1. */
  take(pages: number): number {
    const at = this.find(pages * starts)
    if (at === this.count) return -1
    const key = this.idle[at]
    const start = key % starts
    const length = (key - start) / starts
    this.removeAt(at)
    if (length > pages) this.insert(start + pages, length - pages)
    this.mark(start, pages, pages)
    this.used += pages
    return start
  }

  /** The first page of a run of `pages` at the top. */
  extend(pages: number): number {
    const start = this.top
    this.top += pages
    if (this.top > this.peak) this.peak = this.top
    if (this.top > this.lengths.length) {
      const larger = new Int32Array(Math.max(this.top, 2 * this.lengths.length))
      larger.set(this.lengths)
      this.lengths = larger
    }
    this.mark(start, pages, pages)
    this.used += pages
    return start
  }

  /** The length of the run in use that starts at `start`. */
  lengthOf(start: number): number {
    return this.lengths[start]
  }

  /** Takes back the run that starts at `start`. */
  give(start: number): void {
    let length = this.lengths[start]
    this.used -= length
    const after = start + length
    if (after < this.top && this.lengths[after] < 0) {
      const more = -this.lengths[after]
      this.remove(after, more)
      length += more
    }
    if (start > 0 && this.lengths[start - 1] < 0) {
      const more = -this.lengths[start - 1]
      start -= more
      this.remove(start, more)
      length += more
    }
    if (start + length === this.top) this.top = start
    else this.insert(start, length)
  }

  private mark(start: number, pages: number, value: number): void {
    this.lengths[start] = value
    this.lengths[start + pages - 1] = value
  }

  private insert(start: number, length: number): void {
    this.mark(start, length, -length)
    if (this.count === this.idle.length) {
      const larger = new Float64Array(2 * this.count)
      larger.set(this.idle)
      this.idle = larger
    }
    const key = length * starts + start
    const at = this.find(key)
    this.idle.copyWithin(at + 1, at, this.count++)
    this.idle[at] = key
  }

  private remove(start: number, length: number): void {
    this.removeAt(this.find(length * starts + start))
  }

  private removeAt(at: number): void {
    this.idle.copyWithin(at, at + 1, this.count--)
  }

  /** The place of the first idle run with a key of at least `key`. */
  private find(key: number): number {
    const { idle } = this
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (idle[middle] < key) low = middle + 1
      else high = middle
    }
    return low
  }
}
