// Hands out pieces of one growing WebAssembly memory: small ones from spans of one size, large ones as runs of pages by best
// fit. Keeps all its books in JavaScript, so that no kernel can damage them.
import { PageRuns } from "./runs.js"

const growthUnit = 65536
const pageBits = 10
const pageBytes = 1 << pageBits
const granule = 16
/** Largest piece that comes from a span. */
const mostSmall = 2048
/** A span has room for so many pieces at least, and is at least so large. */
const leastPieces = 8
const leastSpan = 4096
/** Runs of up to so many pages are kept as they are when freed, since the next step of a loop will want them again. */
const mostKept = 256
/** So many of each length, and together this share of what lies below the top. */
const keptEach = 64
const keptShare = 1 / 16

/** Sizes of small pieces: every 16 bytes up to 128, then four between powers of two, so that at most a fifth is wasted. */
const sizes: readonly number[] = (() => {
  const list: number[] = []
  for (let size = granule; size < 128; size += granule) list.push(size)
  for (let power = 128; power < mostSmall; power *= 2) for (let k = 4; k < 8; k++) list.push((power / 4) * k)
  return [...list, mostSmall]
})()

/** The number of the smallest size that holds `16 * i` bytes, by i. */
const classes = Uint8Array.from({ length: mostSmall / granule + 1 }, (_, i) => sizes.findIndex((s) => s >= i * granule))

/** Pages that are cut into pieces of one size. Those that are idle lie on a stack. */
class Span {
  readonly page: number
  readonly kind: number
  readonly idle: Uint32Array
  left: number
  /** Pieces come from here until it is empty; it is not in its kind's list. */
  current = false
  /** Its place in the list of spans of its kind that have idle pieces. */
  place = -1

  constructor(page: number, kind: number, pages: number) {
    const size = sizes[kind]
    this.page = page
    this.kind = kind
    this.left = Math.floor((pages * pageBytes) / size)
    // The lowest address is handed out first.
    this.idle = Uint32Array.from({ length: this.left }, (_, i) => page * pageBytes + (this.left - 1 - i) * size)
  }
}

const none = new Span(0, 0, 0)
const pagesOfSpan = sizes.map((size) => Math.ceil(Math.max(leastSpan, leastPieces * size) / pageBytes))

/** Thrown when the memory cannot grow enough, after everything idle was given back. */
export class HeapFull extends Error {
  /** What was asked for. */
  readonly bytes: number
  /** True if the engine refused although the limit was not reached. */
  readonly refused: boolean
  constructor(bytes: number, refused: boolean) {
    super(`wasm-simd: no room for ${bytes} bytes`)
    this.bytes = bytes
    this.refused = refused
  }
}

/** What the heap holds, in bytes. */
export interface HeapStats {
  /** Size of the WebAssembly memory. */
  readonly reserved: number
  /** Everything beyond was never used, or was given back. */
  readonly top: number
  /** Most that `top` ever was. */
  readonly peakTop: number
  /** Below `top`, but in no piece. */
  readonly idle: number
}

/**
 * An allocator over a WebAssembly memory. Addresses are multiples of 16 from 0 to 2^32 - 1, never 0, and 16 bytes behind every
 * piece may be read.
 */
export class Heap {
  private readonly memory: WebAssembly.Memory
  private readonly maximum: number
  private readonly runs = new PageRuns()
  /** First pages of freed runs that still count as used, by length. */
  private readonly kept: number[][] = Array.from({ length: mostKept + 1 }, () => [])
  private keptPages = 0
  private readonly current: Span[]
  /** Spans with idle pieces, by kind; the current ones are not among them. */
  private readonly partial: Span[][] = sizes.map(() => [])
  /** The span that a page belongs to; null for pages of large pieces. */
  private readonly spans: (Span | null)[] = []
  private readonly listeners: (() => void)[] = []
  private end = 0

  /** `maximum`: most pages of 64 KiB. */
  constructor(memory: WebAssembly.Memory, maximum: number) {
    this.memory = memory
    this.maximum = maximum
    this.current = sizes.map(() => none)
    // Address 0 stays unused: it stands for "nowhere".
    this.runs.extend(1)
  }

  /** A piece of at least `bytes` bytes, not cleared. Throws HeapFull. */
  alloc(bytes: number): number {
    if (bytes > mostSmall) return this.large(bytes)
    const kind = classes[(bytes + granule - 1) >>> 4]
    const span = this.current[kind]
    return span.left > 0 ? span.idle[--span.left] : this.refill(kind)
  }

  /** Gives a piece back. */
  free(address: number): void {
    const span = this.spans[address >>> pageBits]
    if (!span) return this.keep(address >>> pageBits)
    span.idle[span.left++] = address
    if (span.current) return
    if (span.left === span.idle.length) this.retire(span)
    else if (span.left === 1) span.place = this.partial[span.kind].push(span) - 1
  }

  private large(bytes: number): number {
    const pages = Math.ceil(bytes / pageBytes)
    if (pages <= mostKept) {
      const kept = this.kept[pages].pop()
      if (kept !== undefined) {
        this.keptPages -= pages
        return kept * pageBytes
      }
    }
    return this.takePages(pages, bytes) * pageBytes
  }

  private keep(page: number): void {
    const pages = this.runs.lengthOf(page)
    if (pages > mostKept) return this.runs.give(page)
    const list = this.kept[pages]
    if (list.length >= keptEach || this.keptPages > this.runs.top * keptShare) return this.runs.give(page)
    list.push(page)
    this.keptPages += pages
  }

  private dropKept(): void {
    if (this.keptPages === 0) return
    for (const list of this.kept) {
      for (const page of list) this.runs.give(page)
      list.length = 0
    }
    this.keptPages = 0
  }

  private refill(kind: number): number {
    this.current[kind].current = false
    this.current[kind] = none
    const next = this.partial[kind].pop() ?? this.newSpan(kind)
    next.current = true
    this.current[kind] = next
    return next.idle[--next.left]
  }

  private newSpan(kind: number): Span {
    const pages = pagesOfSpan[kind]
    const page = this.takePages(pages, sizes[kind])
    const span = new Span(page, kind, pages)
    this.spans.fill(span, page, page + pages)
    return span
  }

  /** Gives the pages of a span back that has no piece in use. */
  private retire(span: Span): void {
    const { page, kind, place } = span
    const list = this.partial[kind]
    const last = list.pop() as Span
    if (last !== span) {
      list[place] = last
      last.place = place
    }
    this.release(page, pagesOfSpan[kind])
  }

  private release(page: number, pages: number): void {
    this.spans.fill(null, page, page + pages)
    this.runs.give(page)
  }

  private takePages(pages: number, bytes: number): number {
    let page = this.runs.take(pages)
    if (page >= 0) return page
    // The memory never grows for the sake of what is kept.
    if (this.keptPages > 0) {
      this.dropKept()
      page = this.runs.take(pages)
      if (page >= 0) return page
    }
    let problem = this.reach(this.runs.top + pages)
    if (problem && this.trim()) {
      page = this.runs.take(pages)
      if (page >= 0) return page
      problem = this.reach(this.runs.top + pages)
    }
    if (problem) throw new HeapFull(bytes, problem === "refused")
    return this.runs.extend(pages)
  }

  /** Sees to it that the memory holds `top` pages and what may be read behind them. */
  private reach(top: number): "limit" | "refused" | null {
    const wanted = Math.ceil((top * pageBytes + granule) / growthUnit)
    if (wanted > this.end) {
      // Growing detaches all views, so it goes in steps; what was never touched takes no memory of the machine.
      const step = Math.min(Math.max(this.end >>> 2, 16), 1024)
      const most = Math.min(this.maximum, 65536)
      if (wanted > most) return "limit"
      if (!this.grow(Math.min(Math.max(wanted, this.end + step), most)) && !this.grow(wanted)) return "refused"
    }
    const known = this.spans.length
    if (known < top) {
      // One by one, the pages of a first step's large tensors would take longer than its smaller kernels.
      this.spans.length = top
      this.spans.fill(null, known)
    }
    return null
  }

  private grow(wanted: number): boolean {
    const now = this.memory.buffer.byteLength / growthUnit
    try {
      if (wanted > now) this.memory.grow(wanted - now)
    } catch {
      return false
    }
    this.end = Math.max(wanted, now)
    return true
  }

  /** `release` is called before the heap gives up: it frees pieces that can be made again. */
  onPressure(release: () => void): void {
    this.listeners.push(release)
  }

  /** Gives idle spans back, and what the listeners can spare. Returns whether anything came back. */
  private trim(): boolean {
    const before = this.runs.used
    for (const release of this.listeners) release()
    this.dropKept()
    this.current.forEach((span, kind) => {
      if (span === none || span.left < span.idle.length) return
      this.current[kind] = none
      this.release(span.page, pagesOfSpan[kind])
    })
    return this.runs.used < before
  }

  stats(): HeapStats {
    const { top, peak, used } = this.runs
    let idle = (top - used + this.keptPages) * pageBytes
    for (const { left, kind } of [...this.current, ...this.partial.flat()]) idle += left * sizes[kind]
    return { reserved: this.memory.buffer.byteLength, top: top * pageBytes, peakTop: peak * pageBytes, idle }
  }
}
