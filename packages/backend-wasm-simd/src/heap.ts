// Hands out pieces of one growing WebAssembly memory.
const pageBytes = 65536
const granule = 16

/** Thrown when the memory cannot grow any more. */
export class HeapFull extends Error {}

/** An allocator over a WebAssembly memory. Addresses are multiples of 16, and 16 bytes behind every piece may be read. */
export class Heap {
  private readonly memory: WebAssembly.Memory
  private readonly maximum: number
  private top = 1024
  private readonly idle = new Map<number, number[]>()
  private readonly sizes = new Map<number, number>()

  /** `maximum`: most pages. */
  constructor(memory: WebAssembly.Memory, maximum: number) {
    this.memory = memory
    this.maximum = maximum
  }

  alloc(bytes: number): number {
    const size = sizeClass(bytes)
    const reused = this.idle.get(size)?.pop()
    if (reused !== undefined) return reused
    const address = this.top
    const pages = Math.ceil((address + size + granule) / pageBytes)
    const missing = pages - this.memory.buffer.byteLength / pageBytes
    if (missing > 0) this.grow(missing)
    this.top += size
    this.sizes.set(address, size)
    return address
  }

  private grow(missing: number): void {
    const now = this.memory.buffer.byteLength / pageBytes
    const wanted = Math.min(Math.max(missing, Math.ceil(now / 4)), this.maximum - now)
    if (wanted < missing) throw new HeapFull()
    try {
      this.memory.grow(wanted)
    } catch {
      throw new HeapFull()
    }
  }

  free(address: number): void {
    const size = this.sizes.get(address) as number
    const list = this.idle.get(size)
    if (list) list.push(address)
    else this.idle.set(size, [address])
  }
}

/** Rounded up to one of four sizes between powers of two. */
function sizeClass(bytes: number): number {
  if (bytes <= 64) return Math.max(granule, Math.ceil(bytes / granule) * granule)
  const power = 2 ** Math.floor(Math.log2(bytes))
  const step = power / 4
  return Math.ceil(bytes / step) * step
}
