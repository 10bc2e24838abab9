// The reference backend: allocation, transfer and dispatch. The kernels are in the files beside it.
import {
  type Backend,
  type BackendProvider,
  type Capabilities,
  checkByteRange,
  checkOpenOptions,
  DeviceError,
  dtypes,
  type Kernel,
  type MemoryStats,
  openRules,
  OutOfMemoryError,
  type Storage,
  ValueError,
  type View,
} from "@rondo/backend"
import { runGather, runScatter } from "./gather.js"
import { runMap } from "./map.js"
import { runMatmul } from "./matmul.js"
import { runRecurrent, runRecurrentBackward } from "./recurrent.js"
import { runReduce } from "./reduce.js"
import { runScan } from "./scan.js"
import { runSort } from "./sort.js"
import { Block, blockOf, JsStorage, Pool } from "./storage.js"

/** How `CpuJs` is set up. */
export interface CpuJsOptions {
  /** Most bytes that may be allocated at once; unlimited if left out. */
  readonly memoryLimit?: number
  /**
   * Watch every buffer, so that `memory()` is exact also for tensors that were dropped. Costs most of the speed: an object
   * that is watched outlives V8's young generation. Without it one buffer stands for each 4 MB, and `memory()` estimates.
   */
  readonly track?: boolean
}

/** A share of the count that vanishes together with one watched buffer. */
interface Share {
  bytes: number
  buffers: number
}
const sampleBytes = 4 * 2 ** 20

// Typed arrays of every engine go this far; indices below 2^31 also keep V8 on its integer paths.
const maxBufferBytes = 2 ** 31 - 8
const idleBytes = 64 * 2 ** 20

/**
 * The reference backend: plain TypeScript on typed arrays, all dtypes, synchronous. It runs wherever JavaScript does, also
 * under a content security policy without `unsafe-eval`, and it defines what every kernel means.
 *
 * @example
 * ```ts
 * const backend = new CpuJs()
 * const storage = backend.alloc(8)
 * backend.write(storage, new Float32Array([1, 2]))
 * const view = { storage, dtype: "float32", shape: [2], strides: [1], offset: 0 } as const
 * const x = e.input(0, "float32")
 * backend.run({ kind: "map", exprs: [e.add(x, x)] }, [view], [view])
 * console.log(new Float32Array(backend.readSync(storage, 0, 8))) // Float32Array(2) [2, 4]
 * ```
 */
export class CpuJs implements Backend {
  readonly name = "cpu-js"
  readonly capabilities: Capabilities = {
    dtypes,
    syncRead: true,
    hostMemory: true,
    maxBufferBytes,
    threads: 1,
  }
  private readonly memoryLimit: number
  private readonly pool = new Pool(idleBytes)
  private bytes = 0
  private buffers = 0
  private peakBytes = 0
  // The collector frees what was dropped; only the count is corrected here, at a macrotask after that.
  private readonly dropped = new FinalizationRegistry<Share>((share) => this.forget(share))
  private readonly watched = new WeakMap<Storage, Share>()
  private unwatched: Share = { bytes: 0, buffers: 0 }
  private readonly sampleBytes: number
  /** True once `close` was called. */
  closed = false

  /** Throws a ValueError for options that are unknown or do not fit. */
  constructor(options: CpuJsOptions = {}) {
    checkOpenOptions("cpu-js", options, { memoryLimit: openRules.bytes, track: openRules.flag })
    this.memoryLimit = options.memoryLimit ?? Infinity
    this.sampleBytes = options.track ? 0 : sampleBytes
  }

  alloc(bytes: number): Storage {
    this.checkOpen()
    if (!Number.isInteger(bytes) || bytes < 0) {
      throw new ValueError(`cpu-js: size of a buffer: got ${bytes} bytes, expected a whole number from 0`)
    }
    if (bytes > maxBufferBytes) this.outOfMemory(bytes, `one buffer holds at most ${maxBufferBytes}`)
    if (this.bytes + bytes > this.memoryLimit) this.outOfMemory(bytes, `the limit is ${this.memoryLimit}`)
    const storage = new JsStorage(bytes, this.pool.take(bytes) ?? this.fresh(bytes))
    this.count(storage, bytes)
    if (this.bytes > this.peakBytes) this.peakBytes = this.bytes
    return storage
  }

  private fresh(bytes: number): Block {
    try {
      return new Block(bytes)
    } catch {
      this.pool.clear()
    }
    try {
      return new Block(bytes)
    } catch {
      return this.outOfMemory(bytes, "the JavaScript engine has no more")
    }
  }

  private outOfMemory(bytes: number, why: string): never {
    throw new OutOfMemoryError(
      `cpu-js: out of memory: got a request for ${bytes} bytes with ${this.bytes} in use in ${this.buffers} buffers, ` +
        `but ${why}; dispose tensors or use scope()`,
    )
  }

  free(storage: Storage): void {
    if (!(storage instanceof JsStorage)) throw new DeviceError("cpu-js: cannot free the storage of another device")
    if (storage.block === null) return
    this.pool.give(storage.block)
    storage.block = null
    this.discount(storage)
  }

  private count(storage: Storage, bytes: number): void {
    this.bytes += bytes
    this.buffers++
    const share = this.unwatched
    share.bytes += bytes
    share.buffers++
    if (share.bytes < this.sampleBytes) return
    this.dropped.register(storage, share, storage)
    this.watched.set(storage, share)
    this.unwatched = { bytes: 0, buffers: 0 }
  }

  private discount(storage: Storage): void {
    this.bytes -= storage.bytes
    this.buffers--
    const share = this.watched.get(storage)
    if (share) this.dropped.unregister(storage)
    // What a freed buffer stood for beside itself passes on to the next one that is watched.
    this.unwatched.bytes += (share?.bytes ?? 0) - storage.bytes
    this.unwatched.buffers += (share?.buffers ?? 0) - 1
  }

  private forget({ bytes, buffers }: Share): void {
    this.bytes -= bytes
    this.buffers -= buffers
  }

  write(storage: Storage, data: ArrayBufferView, byteOffset = 0): void {
    this.checkOpen()
    const { buffer } = blockOf(storage)
    checkByteRange("write", storage.bytes, byteOffset, data.byteLength)
    new Uint8Array(buffer).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), byteOffset)
  }

  readSync(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer {
    this.checkOpen()
    const { buffer } = blockOf(storage)
    checkByteRange("read", storage.bytes, byteOffset, byteLength)
    return buffer.slice(byteOffset, byteOffset + byteLength)
  }

  async read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.readSync(storage, byteOffset, byteLength)
  }

  run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars: readonly number[] = []): void {
    this.checkOpen()
    switch (kernel.kind) {
      case "map":
        return runMap(kernel, inputs, outputs, scalars)
      case "reduce":
        return runReduce(kernel, inputs, outputs[0], scalars)
      case "matmul":
        return runMatmul(kernel, inputs, outputs[0], scalars)
      case "gather":
        return runGather(kernel, inputs, outputs[0])
      case "scatter":
        return runScatter(kernel, inputs, outputs[0])
      case "scan":
        return runScan(kernel, inputs[0], outputs)
      case "sort":
        return runSort(kernel, inputs[0], outputs)
      case "recurrent":
        return runRecurrent(kernel, inputs, outputs)
      case "recurrentBackward":
        return runRecurrentBackward(kernel, inputs, outputs)
      default:
        return kernel satisfies never
    }
  }

  async sync(): Promise<void> {
    // Every kernel has finished when `run` returns.
  }

  memory(): MemoryStats {
    return { bytes: this.bytes, buffers: this.buffers, peakBytes: this.peakBytes }
  }

  async close(): Promise<void> {
    this.closed = true
    this.pool.clear()
  }

  private checkOpen(): void {
    if (this.closed) throw new DeviceError("cpu-js: the device is closed; open it again")
  }
}

/** Finds and opens the reference backend; it can be had everywhere. */
export const cpuJs = (options: CpuJsOptions = {}): BackendProvider => ({
  name: "cpu-js",
  unavailable: async () => null,
  open: async () => new CpuJs(options),
})
