// Device memory: buffers behind handles, and a pool of freed ones. Computes nothing.
import { DeviceError, DisposedError, OutOfMemoryError, type Storage } from "@rondo/backend"

/** One GPU buffer and what the queue must know of it. */
export interface Block {
  readonly buffer: GPUBuffer
  readonly bytes: number
  /** Names it in keys of bind groups. */
  readonly id: number
  /** Number of the last batch of commands that uses it. */
  lastBatch: number
}

/** The handle that core holds. Its block is taken away when it is freed. */
export class GpuStorage implements Storage {
  readonly bytes: number
  block: Block | null
  readonly home: object
  constructor(bytes: number, block: Block, home: object) {
    this.bytes = bytes
    this.block = block
    this.home = home
  }
}

/** The live block behind a storage of the device `home`. */
export function blockOf(storage: Storage, home: object): Block {
  if (!(storage instanceof GpuStorage) || storage.home !== home) {
    throw new DeviceError("webgpu: storage belongs to another device; move the tensor first")
  }
  if (!storage.block) throw new DisposedError("webgpu: storage was freed before this use")
  return storage.block
}

/** Sizes are rounded up so that freed buffers fit again: to words, then to four sizes between powers of two. */
function sizeClass(bytes: number): number {
  if (bytes <= 256) return Math.max(16, Math.ceil(bytes / 16) * 16)
  const step = 2 ** (Math.floor(Math.log2(bytes)) - 2)
  return Math.ceil(bytes / step) * step
}

/** Allocates storage buffers, and keeps freed ones for the next of their size. */
export class BufferPool {
  private readonly device: GPUDevice
  private readonly idle = new Map<number, Block[]>()
  private nextId = 0
  /** Bytes of all buffers, in use or idle. */
  reserved = 0
  private readonly mostIdle: number
  private idleBytes = 0
  /** Called with buffers that are destroyed. */
  onDestroy: (block: Block) => void = () => {}

  constructor(device: GPUDevice, mostIdle: number) {
    this.device = device
    this.mostIdle = mostIdle
  }

  take(bytes: number): Block {
    const size = sizeClass(bytes)
    const known = this.idle.get(size)?.pop()
    if (known) {
      this.idleBytes -= size
      return known
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const buffer = this.device.createBuffer({ size, usage })
    this.reserved += size
    return { buffer, bytes: size, id: this.nextId++, lastBatch: -1 }
  }

  give(block: Block): void {
    if (this.idleBytes + block.bytes > this.mostIdle) this.clear()
    const list = this.idle.get(block.bytes)
    if (list) list.push(block)
    else this.idle.set(block.bytes, [block])
    this.idleBytes += block.bytes
  }

  /** Destroys idle buffers. */
  clear(): void {
    for (const list of this.idle.values()) for (const block of list) this.destroy(block)
    this.idle.clear()
    this.idleBytes = 0
  }

  private destroy(block: Block): void {
    this.reserved -= block.bytes
    this.onDestroy(block)
    block.buffer.destroy()
  }
}

/** What an allocation that cannot be made says. */
export function outOfMemory(bytes: number, inUse: number, buffers: number, why: string): never {
  throw new OutOfMemoryError(
    `webgpu: out of memory: got a request for ${bytes} bytes with ${inUse} in use in ${buffers} buffers, but ${why}; ` +
      "dispose tensors or use scope()",
  )
}
