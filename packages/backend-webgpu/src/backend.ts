// The webgpu backend: allocation, transfer and dispatch. The kernels are in the files beside it.
import {
  type Backend,
  type BackendProvider,
  type Capabilities,
  DeviceError,
  type Kernel,
  type MemoryStats,
  type Storage,
  ValueError,
  type View,
} from "@rondo/backend"
import { findAdapter, openGpu, type OpenedGpu, type OpenOptions } from "./device.js"
import { Gpu } from "./gpu.js"
import { runMap } from "./map.js"
import { type Block, blockOf, GpuStorage, outOfMemory } from "./memory.js"
import { gpuDTypes } from "./types.js"

/** How `WebGpu` is set up. */
export interface WebGpuOptions extends OpenOptions {
  /** Most bytes that may be allocated at once; unlimited if left out. */
  readonly memoryLimit?: number
}

/**
 * Any GPU through WebGPU. Work is queued: calls return at once, and reading waits.
 *
 * @example
 * ```ts no-run
 * const backend = await WebGpu.open()
 * const storage = backend.alloc(8)
 * backend.write(storage, new Float32Array([1, 2]))
 * const view = { storage, dtype: "float32", shape: [2], strides: [1], offset: 0 } as const
 * const x = e.input(0, "float32")
 * backend.run({ kind: "map", exprs: [e.add(x, x)] }, [view], [view])
 * console.log(new Float32Array(await backend.read(storage, 0, 8))) // Float32Array(2) [2, 4]
 * ```
 */
export class WebGpu implements Backend {
  readonly name = "webgpu"
  readonly capabilities: Capabilities
  /** @internal */
  readonly gpu: Gpu
  private readonly memoryLimit: number
  private bytes = 0
  private buffers = 0
  private peakBytes = 0
  private closed = false

  /** Finds a GPU and opens it. Throws a DeviceError that says why there is none. */
  static async open(options: WebGpuOptions = {}): Promise<WebGpu> {
    return new WebGpu(await openGpu(options), options)
  }

  /** A device that was opened elsewhere. */
  constructor(opened: OpenedGpu, options: WebGpuOptions = {}) {
    this.gpu = new Gpu(opened)
    const { limits } = opened.device
    this.memoryLimit = options.memoryLimit ?? Infinity
    this.capabilities = {
      dtypes: gpuDTypes,
      syncRead: false,
      hostMemory: false,
      maxBufferBytes: Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize),
      threads: 1,
    }
  }

  alloc(bytes: number): Storage {
    this.checkOpen()
    if (!Number.isInteger(bytes) || bytes < 0) {
      throw new ValueError(`webgpu: size of a buffer: got ${bytes} bytes, expected a whole number from 0`)
    }
    const { maxBufferBytes } = this.capabilities
    if (bytes > maxBufferBytes) {
      outOfMemory(bytes, this.bytes, this.buffers, `one buffer holds at most ${maxBufferBytes} on this adapter`)
    }
    if (this.bytes + bytes > this.memoryLimit) {
      outOfMemory(bytes, this.bytes, this.buffers, `the limit is ${this.memoryLimit}`)
    }
    const storage = new GpuStorage(bytes, this.gpu.pool.take(bytes), this.gpu)
    this.bytes += bytes
    this.buffers++
    if (this.bytes > this.peakBytes) this.peakBytes = this.bytes
    return storage
  }

  free(storage: Storage): void {
    if (!(storage instanceof GpuStorage) || storage.home !== this.gpu) {
      throw new DeviceError("webgpu: cannot free the storage of another device")
    }
    if (!storage.block) return
    // Commands that still use it come before those of the next owner.
    this.gpu.pool.give(storage.block)
    storage.block = null
    this.bytes -= storage.bytes
    this.buffers--
  }

  write(storage: Storage, data: ArrayBufferView, byteOffset = 0): void {
    this.checkOpen()
    const block = blockOf(storage, this.gpu)
    checkRange("write", storage, byteOffset, data.byteLength)
    if (data.byteLength === 0) return
    const { queue, device } = this.gpu
    // A write overtakes commands that were not submitted yet.
    if (block.lastBatch === queue.batch) queue.flush()
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
    const end = byteOffset + data.byteLength
    if (byteOffset % 4 !== 0 || (end % 4 !== 0 && end !== storage.bytes)) {
      throw new ValueError(`webgpu: write of bytes ${byteOffset} to ${end} does not start and end at words`)
    }
    if (data.byteLength % 4 === 0) return device.queue.writeBuffer(block.buffer, byteOffset, bytes)
    const padded = new Uint8Array(Math.ceil(data.byteLength / 4) * 4)
    padded.set(bytes)
    device.queue.writeBuffer(block.buffer, byteOffset, padded)
  }

  async read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    this.checkOpen()
    const block = blockOf(storage, this.gpu)
    checkRange("read", storage, byteOffset, byteLength)
    if (byteLength === 0) {
      await this.gpu.queue.settle()
      return new ArrayBuffer(0)
    }
    const start = byteOffset - (byteOffset % 4)
    const size = Math.ceil((byteOffset + byteLength - start) / 4) * 4
    const staging = this.stage(block, start, size)
    try {
      await this.gpu.queue.settle()
      await staging.mapAsync(GPUMapMode.READ)
      const from = byteOffset - start
      return staging.getMappedRange().slice(from, from + byteLength)
    } finally {
      staging.destroy()
    }
  }

  private stage(block: Block, start: number, size: number): GPUBuffer {
    const { device, queue } = this.gpu
    const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
    queue.copies().copyBufferToBuffer(block.buffer, start, staging, 0, size)
    queue.flush()
    return staging
  }

  run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars: readonly number[] = []): void {
    this.checkOpen()
    for (const view of inputs) blockOf(view.storage, this.gpu)
    for (const view of outputs) blockOf(view.storage, this.gpu)
    switch (kernel.kind) {
      case "map":
        return runMap(this.gpu, kernel, inputs, outputs, scalars)
      default:
        throw new DeviceError(`webgpu: ${kernel.kind} is not built yet`)
    }
  }

  async sync(): Promise<void> {
    await this.gpu.queue.settle()
    await this.gpu.device.queue.onSubmittedWorkDone()
  }

  memory(): MemoryStats {
    return { bytes: this.bytes, buffers: this.buffers, peakBytes: this.peakBytes }
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.gpu.device.destroy()
  }

  private checkOpen(): void {
    if (this.closed) throw new DeviceError("webgpu: the device is closed; open it again")
  }
}

function checkRange(operation: string, storage: Storage, byteOffset: number, byteLength: number): void {
  if (byteOffset >= 0 && byteLength >= 0 && byteOffset + byteLength <= storage.bytes) return
  throw new ValueError(
    `${operation}: bytes out of range: got ${byteOffset} to ${byteOffset + byteLength}, expected within 0 to ${storage.bytes}`,
  )
}

/** Finds and opens a GPU. */
export const webGpu = (options: WebGpuOptions = {}): BackendProvider => ({
  name: "webgpu",
  unavailable: async () => {
    const adapter = await findAdapter(options)
    return typeof adapter === "string" ? adapter : null
  },
  open: () => WebGpu.open(options),
})
