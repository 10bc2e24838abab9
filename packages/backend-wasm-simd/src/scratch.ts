// Memory for the length of one kernel, beside the operands: pieces of the heap that no counter sees.
import { byteSize, contiguousStrides, type DType, isContiguous, sizeOf, type View } from "@rondo/backend"
import type { Engine } from "./engine.js"
import { copyView } from "./map.js"
import { WasmStorage } from "./storage.js"

/** Hands out memory until {@link withScratch} returns. */
export class Scratch {
  private readonly engine: Engine
  private readonly taken: number[] = []
  constructor(engine: Engine) {
    this.engine = engine
  }

  /** The address of so many bytes. */
  take(bytes: number): number {
    const address = this.engine.takeScratch(bytes)
    this.taken.push(address)
    return address
  }
  /** A contiguous view of its own memory. */
  view(shape: readonly number[], dtype: DType): View {
    const bytes = sizeOf(shape) * byteSize(dtype)
    const storage = new WasmStorage(bytes, this.take(bytes), this)
    return { storage, dtype, shape, strides: contiguousStrides(shape), offset: 0 }
  }
  /** A contiguous copy, converted if `dtype` is another. */
  copy(view: View, dtype: DType = view.dtype): View {
    const made = this.view(view.shape, dtype)
    copyView(this.engine, view, made)
    return made
  }
  /** The view itself if it is contiguous, else a copy. */
  straight(view: View): View {
    return isContiguous(view.shape, view.strides) ? view : this.copy(view)
  }
  /** Where an output is to be computed: itself if it is contiguous; otherwise it is copied there by those who computed. */
  target(view: View): View {
    return isContiguous(view.shape, view.strides) ? view : this.view(view.shape, view.dtype)
  }
  /** Called by {@link withScratch}. */
  release(): void {
    for (const address of this.taken) this.engine.giveScratch(address)
  }
}

/** Runs `use` with scratch memory that is given back afterwards. */
export function withScratch<T>(engine: Engine, use: (scratch: Scratch) => T): T {
  const scratch = new Scratch(engine)
  try {
    return use(scratch)
  } finally {
    scratch.release()
  }
}
