// The heap alone: pieces never overlap, nothing is lost over long mixed use, and limits are kept.
import { describe, expect, it } from "vitest"
import { Heap, HeapFull } from "./heap.js"

const mib = 2 ** 20

function makeHeap(pages = 16384): { heap: Heap; memory: WebAssembly.Memory } {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: pages })
  return { memory, heap: new Heap(memory, pages) }
}

/** Numbers from 0 to 1, the same on every run. */
function dice(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

interface Piece {
  readonly address: number
  readonly bytes: number
}

describe("pieces", () => {
  it("are aligned, apart from each other, and inside the memory with 16 bytes behind", () => {
    const { heap, memory } = makeHeap()
    const random = dice(1)
    const live: Piece[] = []
    for (let i = 0; i < 20000; i++) {
      if (live.length > 300 || (random() < 0.4 && live.length > 0)) {
        const [piece] = live.splice(Math.floor(random() * live.length), 1)
        heap.free(piece.address)
      } else {
        const bytes = Math.floor(2 ** (random() * 18))
        const address = heap.alloc(bytes)
        expect(address % 16).toBe(0)
        expect(address).toBeGreaterThan(0)
        expect(address + bytes + 16).toBeLessThanOrEqual(memory.buffer.byteLength)
        live.push({ address, bytes })
      }
      if (i % 500) continue
      const sorted = [...live].sort((a, b) => a.address - b.address)
      sorted.slice(1).forEach(({ address }, k) => {
        expect(address).toBeGreaterThanOrEqual(sorted[k].address + sorted[k].bytes)
      })
    }
  })

  it("come back: what was freed is handed out again, at every size", () => {
    const { heap } = makeHeap()
    for (const bytes of [0, 1, 16, 17, 128, 129, 1000, 2048, 2049, 100000, mib]) {
      const first = heap.alloc(bytes)
      heap.free(first)
      expect(heap.alloc(bytes)).toBe(first)
    }
  })

  it("of all sizes, freed in any order, leave nothing behind", () => {
    const { heap } = makeHeap()
    const random = dice(2)
    const live = Array.from({ length: 5000 }, () => heap.alloc(Math.floor(2 ** (random() * 17))))
    expect(heap.stats().top).toBeGreaterThan(20 * mib)
    while (live.length > 0) heap.free(live.splice(Math.floor(random() * live.length), 1)[0])
    const { top, idle, peakTop } = heap.stats()
    // The first page, and what spans have left over behind their last piece.
    expect(top - idle).toBeLessThan(8192)
    heap.alloc(20 * mib)
    expect(heap.stats().peakTop).toBe(peakTop)
  })
})

describe("a million pieces", () => {
  /** Random allocations and frees; the usual size moves through the range all the time. */
  function drift(most: number, usual: (progress: number) => number): { top: number; live: number } {
    const { heap } = makeHeap()
    const random = dice(3)
    const pieces: Piece[] = []
    let live = 0
    let peak = 0
    for (let i = 0; i < 1e6; i++) {
      while (live > most || (pieces.length > 0 && random() < 0.45)) {
        const at = Math.floor(random() * pieces.length)
        const piece = pieces[at]
        pieces[at] = pieces[pieces.length - 1]
        pieces.pop()
        heap.free(piece.address)
        live -= piece.bytes
      }
      const bytes = Math.ceil(usual(i / 1e6) * 2 ** (4 * random() - 2))
      pieces.push({ address: heap.alloc(bytes), bytes })
      live += bytes
      if (live > peak) peak = live
    }
    return { top: heap.stats().peakTop, live: peak }
  }

  it.each([
    ["growing from 64 bytes to 1 MiB", (p: number) => 2 ** (6 + 14 * p)],
    ["shrinking from 1 MiB to 1 KiB", (p: number) => 2 ** (20 - 10 * p)],
    ["back and forth between 2 KiB and 512 KiB", (p: number) => 2 ** (15 + 4 * Math.sin(40 * p))],
  ])("%s need at most half more than what was live", (_, usual) => {
    const { top, live } = drift(64 * mib, usual)
    expect(live).toBeGreaterThan(60 * mib)
    expect(top / live).toBeLessThan(1.5)
  })

  it("of changing sizes do not creep: the second half needs no more than the first", () => {
    const { heap } = makeHeap()
    const random = dice(4)
    const live: number[] = []
    let half = 0
    for (let i = 0; i < 1e6; i++) {
      if (live.length === 400) {
        const at = Math.floor(random() * 400)
        heap.free(live[at])
        live[at] = live[399]
        live.pop()
      }
      // Batches of all lengths: the sizes that sequence models ask for.
      live.push(heap.alloc(4 * 64 * Math.ceil(random() * 200) * (random() < 0.3 ? 4 : 1)))
      if (i === 500_000) half = heap.stats().peakTop
    }
    expect(heap.stats().peakTop).toBeLessThanOrEqual(half * 1.1)
  })
})

describe("limits", () => {
  it("says HeapFull at the maximum, and goes on after a free", () => {
    const { heap, memory } = makeHeap(64)
    const pieces = Array.from({ length: 3 }, () => heap.alloc(mib))
    const failed = (): unknown => {
      try {
        return heap.alloc(mib)
      } catch (error) {
        return error
      }
    }
    expect(failed()).toBeInstanceOf(HeapFull)
    expect(failed()).toMatchObject({ bytes: mib, refused: false })
    expect(memory.buffer.byteLength).toBeLessThanOrEqual(64 * 65536)
    heap.free(pieces[1])
    expect(heap.alloc(mib)).toBe(pieces[1])
  })

  it("uses all of a small memory for one size after another", () => {
    const { heap } = makeHeap(16)
    for (const bytes of [16, 48, 1000, 2048, 5000, 40000]) {
      const pieces: number[] = []
      try {
        for (;;) pieces.push(heap.alloc(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(HeapFull)
      }
      expect(pieces.length * bytes).toBeGreaterThan(0.75 * mib)
      for (const address of pieces) heap.free(address)
    }
  })

  it("asks its listeners for what they can spare before it gives up", () => {
    const { heap } = makeHeap(32)
    let spare: number | null = heap.alloc(mib)
    let asked = 0
    heap.onPressure(() => {
      asked++
      if (spare !== null) heap.free(spare)
      spare = null
    })
    heap.alloc(1.5 * mib)
    expect(asked).toBe(1)
    expect(() => heap.alloc(mib)).toThrow(HeapFull)
  })

  it("tells a refusal of the engine from the limit, and asks for less before it gives up", () => {
    const { heap, memory } = makeHeap(4096)
    heap.alloc(8 * mib)
    const grow = memory.grow.bind(memory)
    let least = 64
    memory.grow = (pages) => {
      if (pages > least) throw new RangeError("no")
      return grow(pages)
    }
    expect(heap.alloc(mib)).toBeGreaterThan(0)
    least = 0
    try {
      heap.alloc(64 * mib)
      expect.fail("the heap grew")
    } catch (error) {
      expect(error).toMatchObject({ bytes: 64 * mib, refused: true })
    }
    least = 4096
    expect(heap.alloc(64 * mib)).toBeGreaterThan(0)
  })

  it("reaches addresses beyond 2^31", () => {
    const { heap } = makeHeap(65536)
    const low = heap.alloc(2 ** 31)
    const high = heap.alloc(mib)
    const small = heap.alloc(100)
    expect(high).toBeGreaterThan(2 ** 31)
    expect(small).toBeGreaterThan(2 ** 31)
    for (const address of [low, high, small]) heap.free(address)
    expect(heap.alloc(2 ** 31)).toBe(low)
    expect(heap.alloc(100)).toBe(small)
  })
})

it("a small piece costs less than a tenth of a microsecond", () => {
  const { heap } = makeHeap()
  const round = (): number => {
    const start = performance.now()
    for (let i = 0; i < 1e5; i++) heap.free(heap.alloc(64 + (i & 1023)))
    return ((performance.now() - start) / 1e5) * 1e6
  }
  const best = Math.min(...Array.from({ length: 20 }, round))
  expect(best).toBeLessThan(100)
})
