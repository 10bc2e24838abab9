// Views on a backend's memory for the kernel checks, without core: made from numbers in any layout, and read back.
import { type Backend, byteSize, type DType, hostView, sizeOf, type View } from "@rondo/backend"
import { decode, encode } from "@rondo/core"
import { indexesOf } from "./naive.js"

/** How the elements of a view lie. */
export const layoutNames = ["plain", "permuted", "stepped", "reversed"] as const
export type Layout = (typeof layoutNames)[number]

/** Positions of a view's elements in its storage, in row-major order of the indices. */
export const positionsOf = ({ shape, strides, offset }: Pick<View, "shape" | "strides" | "offset">): number[] =>
  indexesOf(shape).map((index) => index.reduce((at, i, d) => at + i * strides[d], offset))

function geometry(shape: readonly number[], layout: Layout): { strides: number[]; offset: number; size: number } {
  const order = shape.map((_, d) => d)
  if (layout !== "permuted") order.reverse()
  const strides = new Array<number>(shape.length)
  let step = layout === "stepped" ? 2 : 1
  for (const d of order) {
    strides[d] = step
    step *= Math.max(1, shape[d])
  }
  const start = layout === "plain" ? 0 : 3
  if (layout !== "reversed") return { strides, offset: start, size: start + step + 2 }
  const last = shape.reduce((sum, size, d) => sum + Math.max(0, size - 1) * strides[d], 0)
  return { strides: strides.map((s) => -s), offset: start + last, size: start + step + 2 }
}

/** Storage on one backend; everything made through it is freed together. */
export class Memory {
  private readonly views: View[] = []
  private readonly backend: Backend

  constructor(backend: Backend) {
    this.backend = backend
  }

  /** A view with these row-major elements; what lies between them is filled with other numbers. */
  view(dtype: DType, shape: readonly number[], values: ArrayLike<number>, layout: Layout = "plain"): View {
    const { strides, offset, size } = geometry(shape, layout)
    const storage = this.backend.alloc(Math.max(1, size) * byteSize(dtype))
    const view: View = { storage, dtype, shape, strides, offset }
    const all = new Array<number>(size).fill(dtype === "bool" ? 1 : 99)
    positionsOf(view).forEach((at, i) => (all[at] = values[i]))
    if (size > 0) this.backend.write(storage, encode(all, dtype))
    this.views.push(view)
    return view
  }

  /** A view whose elements are yet to be written: they hold 99 (bools: true). */
  empty(dtype: DType, shape: readonly number[], layout: Layout = "plain"): View {
    return this.view(dtype, shape, new Array<number>(sizeOf(shape)).fill(dtype === "bool" ? 1 : 99), layout)
  }

  /** The elements of a view; throws nothing, but waits for the queue. */
  async read(view: View): Promise<number[]> {
    const all = await this.all(view)
    return positionsOf(view).map((at) => all[at])
  }

  /** Everything that the storage of a view holds, as its dtype. */
  async all({ storage, dtype }: View): Promise<number[]> {
    const length = Math.floor(storage.bytes / byteSize(dtype))
    const bytes = await this.backend.read(storage, 0, length * byteSize(dtype))
    return Array.from(decode(hostView(dtype, bytes), dtype) as ArrayLike<number>, Number)
  }

  free(): void {
    for (const { storage } of this.views.splice(0)) this.backend.free(storage)
  }
}

/** Runs `body` with memory on `backend` and frees it afterwards, also after an error. */
export async function withMemory<T>(backend: Backend, body: (memory: Memory) => Promise<T>): Promise<T> {
  const memory = new Memory(backend)
  try {
    return await body(memory)
  } finally {
    memory.free()
  }
}

/** Elements between those of `view` that changed from the filler: a kernel must write nothing there. */
export function strays(view: View, all: readonly number[]): number[] {
  const own = new Set(positionsOf(view))
  const filler = view.dtype === "bool" ? 1 : 99
  return all.flatMap((x, at) => (x === filler || own.has(at) ? [] : [at]))
}
