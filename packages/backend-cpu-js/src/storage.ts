// Memory of the reference backend: array buffers behind handles, and a small pool of freed ones. Computes nothing.
import {
  byteSize,
  contiguousStrides,
  DeviceError,
  DisposedError,
  type DType,
  type HostArray,
  hostView,
  sizeOf,
  type Storage,
  type View,
} from "@rondo/backend"

/** One array buffer and its typed arrays, each made when first asked for. */
export class Block {
  readonly buffer: ArrayBuffer
  private f32: HostArray | null = null
  private f64: HostArray | null = null
  private u16: HostArray | null = null
  private i32: HostArray | null = null
  private u32: HostArray | null = null
  private i64: HostArray | null = null
  private u8: HostArray | null = null

  constructor(bytes: number) {
    this.buffer = new ArrayBuffer(bytes)
  }

  /** All of the buffer as the host array of `dtype`; 16-bit floats as their bits. */
  array(dtype: DType): HostArray {
    switch (dtype) {
      case "float32":
        return (this.f32 ??= this.make(dtype))
      case "float64":
        return (this.f64 ??= this.make(dtype))
      case "float16":
      case "bfloat16":
        return (this.u16 ??= this.make(dtype))
      case "int32":
        return (this.i32 ??= this.make(dtype))
      case "uint32":
        return (this.u32 ??= this.make(dtype))
      case "int64":
        return (this.i64 ??= this.make(dtype))
      case "uint8":
      case "bool":
        return (this.u8 ??= this.make(dtype))
      default:
        return dtype satisfies never
    }
  }

  private make(dtype: DType): HostArray {
    return hostView(dtype, this.buffer, 0, Math.floor(this.buffer.byteLength / byteSize(dtype)))
  }
}

/** The handle that core holds. Its block is taken away when it is freed. */
export class JsStorage implements Storage {
  readonly bytes: number
  block: Block | null
  constructor(bytes: number, block: Block) {
    this.bytes = bytes
    this.block = block
  }
}

/** The live block behind a storage of this backend. */
export function blockOf(storage: Storage): Block {
  if (!(storage instanceof JsStorage)) {
    throw new DeviceError("cpu-js: storage belongs to another device; move the tensor first")
  }
  if (storage.block === null) throw new DisposedError("cpu-js: storage was freed before this use")
  return storage.block
}

/** The elements behind a view; index them from `view.offset`. */
export const elements = (view: View): HostArray => blockOf(view.storage).array(view.dtype)

/** A contiguous view on fresh memory that no counter sees: scratch for one kernel. */
export function scratchView(shape: readonly number[], dtype: DType): View {
  const bytes = sizeOf(shape) * byteSize(dtype)
  return { storage: new JsStorage(bytes, new Block(bytes)), dtype, shape, strides: contiguousStrides(shape), offset: 0 }
}

/** Freed blocks by exact size, so that a training loop gets the same memory back at every step. */
export class Pool {
  private readonly bySize = new Map<number, Block[]>()
  private held = 0
  private readonly most: number

  /** `most`: how many bytes may lie idle. */
  constructor(most: number) {
    this.most = most
  }

  take(bytes: number): Block | undefined {
    const block = this.bySize.get(bytes)?.pop()
    if (block) this.held -= bytes
    return block
  }

  give(block: Block): void {
    const bytes = block.buffer.byteLength
    if (bytes === 0 || bytes > this.most) return
    // A new mix of sizes must not be kept out by the old one: start over when full.
    if (this.held + bytes > this.most) this.clear()
    const blocks = this.bySize.get(bytes)
    if (blocks) blocks.push(block)
    else this.bySize.set(bytes, [block])
    this.held += bytes
  }

  clear(): void {
    this.bySize.clear()
    this.held = 0
  }
}
