// Device memory: buffers behind handles, and a pool of freed ones. Computes nothing.
import { DeviceError, DisposedError, OutOfMemoryError, type Storage } from "@rondo/backend"
import type { Health } from "./health.js"

/** One GPU buffer and what the queue must know of it. */
export interface Block {
  readonly buffer: GPUBuffer
  readonly bytes: number
  /** Names it in keys of bind groups. */
  readonly id: number
  /** Number of the last batch of commands that uses it. */
  lastBatch: number
  /** The device had no memory for it, as it said some time later: nobody must get it again. */
  refused: boolean
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

const roundUp = (bytes: number, step: number): number => Math.ceil(bytes / step) * step

/** Sizes are rounded up so that freed buffers fit again: to words, then to four sizes between powers of two. */
export function sizeClass(bytes: number, most: number): number {
  if (bytes <= 256) return Math.max(16, roundUp(bytes, 16))
  const size = roundUp(bytes, 2 ** (Math.floor(Math.log2(bytes)) - 2))
  // The last sizes below the limit have no class above them.
  return size <= most ? size : roundUp(bytes, 4)
}

/** What a pool is limited by, in bytes. */
export interface PoolLimits {
  /** One buffer. */
  readonly buffer: number
  /** Freed buffers that are kept. */
  readonly idle: number
  /** All buffers: freed ones are given back rather than going beyond. */
  readonly total: number
}

/**
 * Allocates storage buffers, and keeps freed ones for the next of their size. WebGPU tells only later that it had no memory: then
 * freed buffers are given back, the size that did not fit is remembered so that the next allocation gives them back in time,
 * and the next read rejects with an OutOfMemoryError.
 */
export class BufferPool {
  private readonly device: GPUDevice
  private readonly health: Health
  private readonly limits: PoolLimits
  /** By size; the size that was freed last stands last. */
  private readonly idle = new Map<number, Block[]>()
  private nextId = 0
  /** Bytes of all buffers, in use or idle. */
  reserved = 0
  private idleBytes = 0
  private ceiling: number
  /** Called before buffers are destroyed: commands that were not submitted yet may use them. */
  onDestroy: () => void = () => {}

  constructor(device: GPUDevice, health: Health, limits: PoolLimits) {
    this.device = device
    this.health = health
    this.limits = limits
    this.ceiling = limits.total
  }

  /** Throws an OutOfMemoryError for more than one buffer can hold. */
  take(bytes: number): Block {
    const { buffer: most } = this.limits
    if (bytes > most) {
      throw new OutOfMemoryError(
        `webgpu: out of memory: got a request for ${bytes} bytes, but one buffer holds at most ${most} on this adapter; ` +
          "work on smaller parts",
      )
    }
    const size = sizeClass(bytes, most)
    const known = this.idle.get(size)?.pop()
    if (known) {
      this.idleBytes -= size
      return known
    }
    if (this.reserved + size > this.ceiling) this.shrink(0)
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
    const buffer = this.health.scope(
      "out-of-memory",
      () => this.device.createBuffer({ size, usage }),
      (message) => this.refuse(block, bytes, message),
    )
    this.reserved += size
    const block: Block = { buffer, bytes: size, id: this.nextId++, lastBatch: -1, refused: false }
    return block
  }

  private refuse(block: Block, bytes: number, message: string): Error {
    block.refused = true
    this.ceiling = Math.min(this.ceiling, this.reserved - bytes)
    const before = this.reserved
    this.shrink(0)
    return new OutOfMemoryError(
      `webgpu: out of memory: got a request for ${bytes} bytes with ${before - bytes} reserved, but the GPU has no more ` +
        `(${message}); results since are void: dispose tensors or use scope(), and go on from a checkpoint`,
    )
  }

  give(block: Block): void {
    if (block.refused) return this.destroy(block)
    const list = this.idle.get(block.bytes) ?? []
    list.push(block)
    this.idle.delete(block.bytes)
    this.idle.set(block.bytes, list)
    this.idleBytes += block.bytes
    if (this.idleBytes > this.limits.idle) this.shrink(this.limits.idle / 2)
  }

  /** Destroys idle buffers until `most` bytes of them are left, sizes that nobody freed for longest first. */
  shrink(most: number): void {
    if (this.idleBytes <= most) return
    this.onDestroy()
    for (const [size, list] of this.idle) {
      while (list.length > 0 && this.idleBytes > most) {
        this.destroy(list.pop() as Block)
        this.idleBytes -= size
      }
      if (list.length > 0) return
      this.idle.delete(size)
    }
  }

  private destroy({ buffer, bytes }: Block): void {
    buffer.destroy()
    this.reserved -= bytes
  }
}

/** What an allocation that cannot be made says. */
export function outOfMemory(bytes: number, inUse: number, buffers: number, why: string): never {
  throw new OutOfMemoryError(
    `webgpu: out of memory: got a request for ${bytes} bytes with ${inUse} in use in ${buffers} buffers, but ${why}; ` +
      "dispose tensors or use scope()",
  )
}
