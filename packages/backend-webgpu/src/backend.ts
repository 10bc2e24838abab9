// The webgpu backend: allocation, transfer and dispatch. The kernels are in the files beside it.
import {
  type Backend,
  type BackendProvider,
  type Capabilities,
  checkByteRange,
  checkOpenOptions,
  DeviceError,
  type DeviceLost,
  type Kernel,
  type MemoryStats,
  openRules,
  type OpenRule,
  type Storage,
  ValueError,
  type View,
} from "@rondo/backend"
import { findAdapter, type GpuEntry, openGpu, type OpenedGpu, type OpenOptions } from "./device.js"
import { runGather } from "./gather.js"
import { Gpu } from "./gpu.js"
import { runMap } from "./map.js"
import { runMatmul } from "./matmul.js"
import { blockOf, GpuStorage, outOfMemory } from "./memory.js"
import { runScatter } from "./scatter.js"
import { runRecurrent, runRecurrentBackward } from "./recurrent.js"
import { runReduce } from "./reduce.js"
import { runScan } from "./scan.js"
import { runSort } from "./sort.js"
import { hasOrderedSubgroups } from "./subgroups.js"
import { gpuDTypes } from "./types.js"

/** How `WebGpu` is set up. */
export interface WebGpuOptions extends OpenOptions {
  /** Most bytes that may be allocated at once; unlimited if left out. */
  readonly memoryLimit?: number
  /** Called once if the device is lost, as `backend.lost` resolves; not by `close()`. */
  readonly onLost?: (lost: DeviceLost) => void
}

const rules: Readonly<Record<keyof WebGpuOptions, OpenRule>> = {
  gpu: [
    "an object with requestAdapter, as navigator.gpu",
    (x) => typeof (x as GpuEntry | null)?.requestAdapter === "function",
  ],
  powerPreference: ['"high-performance" or "low-power"', (x) => x === "high-performance" || x === "low-power"],
  hardwareOnly: openRules.flag,
  memoryLimit: openRules.bytes,
  onLost: openRules.callback,
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
  /**
   * Resolves when the device is lost: a driver's reset, a crash, `device.destroy()`. Reads that wait then reject with a
   * DeviceError, and later calls throw one. It never resolves for a backend that was closed.
   */
  readonly lost: Promise<DeviceLost>
  /** @internal */
  readonly gpu: Gpu
  private readonly memoryLimit: number
  private bytes = 0
  private buffers = 0
  private peakBytes = 0

  /**
   * Finds a GPU and opens it. Throws a DeviceError that says why there is none, or that the device is lost already, and a
   * ValueError for options that are unknown or do not fit.
   */
  static async open(options: WebGpuOptions = {}): Promise<WebGpu> {
    checkOpenOptions("webgpu", options, rules)
    const backend = new WebGpu(await openGpu(options), options)
    const { gpu } = backend
    // An adapter that was used up or unplugged gives a device all the same, but one that is lost.
    await gpu.health.guard(gpu.device.queue.onSubmittedWorkDone())
    gpu.health.check()
    if (gpu.barriers) gpu.subgroups = await hasOrderedSubgroups(gpu)
    return backend
  }

  /** @internal A device that was opened elsewhere. */
  constructor(opened: OpenedGpu, options: WebGpuOptions = {}) {
    this.memoryLimit = options.memoryLimit ?? Infinity
    this.gpu = new Gpu(opened, this.memoryLimit)
    this.lost = this.gpu.health.lost
    if (options.onLost) void this.lost.then(options.onLost)
    this.capabilities = {
      dtypes: gpuDTypes,
      syncRead: false,
      hostMemory: false,
      maxBufferBytes: this.gpu.maxBufferBytes,
      memoryBytes: options.memoryLimit,
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
    checkByteRange("write", storage.bytes, byteOffset, data.byteLength)
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
    this.gpu.transfers.write(block, byteOffset, bytes, storage.bytes)
  }

  async read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    this.checkOpen()
    const block = blockOf(storage, this.gpu)
    checkByteRange("read", storage.bytes, byteOffset, byteLength)
    return this.gpu.transfers.read(block, byteOffset, byteLength)
  }

  run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars: readonly number[] = []): void {
    this.checkOpen()
    for (const view of inputs) blockOf(view.storage, this.gpu)
    for (const view of outputs) blockOf(view.storage, this.gpu)
    switch (kernel.kind) {
      case "map":
        return runMap(this.gpu, kernel, inputs, outputs, scalars)
      case "matmul":
        return runMatmul(this.gpu, kernel, inputs, outputs[0], scalars)
      case "recurrent":
        return runRecurrent(this.gpu, kernel, inputs, outputs)
      case "recurrentBackward":
        return runRecurrentBackward(this.gpu, kernel, inputs, outputs)
      case "reduce":
        return runReduce(this.gpu, kernel, inputs, outputs[0], scalars)
      case "scan":
        return runScan(this.gpu, kernel, inputs[0], outputs)
      case "sort":
        return runSort(this.gpu, kernel, inputs[0], outputs)
      case "gather":
        return runGather(this.gpu, kernel, inputs, outputs[0])
      case "scatter":
        return runScatter(this.gpu, kernel, inputs, outputs[0])
      default:
        return kernel satisfies never
    }
  }

  async sync(): Promise<void> {
    this.checkOpen()
    const { transfers, health, device } = this.gpu
    await transfers.read(transfers.flags.block, 0, 0)
    await health.guard(device.queue.onSubmittedWorkDone())
  }

  memory(): MemoryStats {
    return { bytes: this.bytes, buffers: this.buffers, peakBytes: this.peakBytes }
  }

  /** True once `close` was called. */
  get closed(): boolean {
    return this.gpu.health.closed
  }

  /** Closing again does nothing. Reads that still wait reject. */
  async close(): Promise<void> {
    this.gpu.health.close()
    this.gpu.device.destroy()
  }

  private checkOpen(): void {
    this.gpu.health.check()
  }
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
