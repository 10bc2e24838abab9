// The wasm-simd backend: allocation, transfer and dispatch. The kernels are in the files beside it.
import {
  type Backend,
  type BackendProvider,
  type Capabilities,
  checkByteRange,
  checkOpenOptions,
  DeviceError,
  emitWarning,
  type Kernel,
  type MemoryStats,
  type OpenRule,
  openRules,
  OutOfMemoryError,
  type Storage,
  ValueError,
  type View,
} from "@rondo/backend"
import { Engine } from "./engine.js"
import { runGather, runScatter } from "./gather.js"
import { HeapFull } from "./heap.js"
import { laneDTypes } from "./lanes.js"
import { runMap } from "./map.js"
import { runMatmul } from "./matmul.js"
import { hasRelaxed, whyUnavailable } from "./probe.js"
import { runRecurrent, runRecurrentBackward } from "./recurrent.js"
import { runReduce } from "./reduce.js"
import { runScan } from "./scan.js"
import { runSort } from "./sort.js"
import { liveStorage, WasmStorage } from "./storage.js"

/** How `WasmSimd` is set up. */
export interface WasmSimdOptions {
  /**
   * Most bytes of tensors. The memory itself may be an eighth and 1 MiB larger, for what kernels work with. 4 GiB, all that
   * WebAssembly can address, if left out.
   */
  readonly memoryLimit?: number
  /** False: no fused multiply-add even where the engine has it. */
  readonly relaxed?: boolean
  /**
   * Threads that large operations are spread over, the calling one included; false or 1: the calling one alone. As many as
   * the machine has cores, at most 8, if left out. Browsers allow threads on cross-origin isolated pages only.
   */
  readonly threads?: number | false
  /** Hears, once, that a thread was lost. If left out, Node's `process.emitWarning` is told; pages see it in `threads`. */
  readonly onWarning?: (text: string) => void
  /** @internal Work in nanoseconds from which threads are used. */
  readonly minimumWork?: number
  /** @internal After so many milliseconds a thread counts as hung. */
  readonly patience?: number
}

/** How many threads there are. */
export interface ThreadStatus {
  /** Threads that work now. The others start when the first large operation comes up, which does not wait for them. */
  readonly working: number
  /** Threads that work once they have started; fewer than were asked for if some were lost. */
  readonly most: number
  /** Why there are fewer than were asked for; empty if there are not. */
  readonly reason: string
}

type Calls = readonly (() => number)[]

/** Kernels whose calls follow from their operands' places; the others look at values, or cut their work anew each time. */
const repeatable: ReadonlySet<Kernel["kind"]> = new Set(["map", "reduce", "matmul", "recurrent", "recurrentBackward"])

const rules: Readonly<Record<keyof WasmSimdOptions, OpenRule>> = {
  memoryLimit: openRules.bytes,
  relaxed: openRules.flag,
  threads: ["a whole number from 1, or false", (x) => x === false || (Number.isInteger(x) && (x as number) >= 1)],
  onWarning: openRules.callback,
  minimumWork: openRules.hiddenNumber,
  patience: openRules.hiddenNumber,
}

const mostBytes = 2 ** 32
const roomForKernels = 2 ** 20

/**
 * The fast backend for every CPU.
 *
 * @example
 * ```ts
 * const backend = new WasmSimd()
 * const storage = backend.alloc(8)
 * backend.write(storage, new Float32Array([1, 2]))
 * const view = { storage, dtype: "float32", shape: [2], strides: [1], offset: 0 } as const
 * const x = e.input(0, "float32")
 * backend.run({ kind: "map", exprs: [e.add(x, x)] }, [view], [view])
 * console.log(new Float32Array(backend.readSync(storage, 0, 8))) // Float32Array(2) [2, 4]
 * ```
 */
export class WasmSimd implements Backend {
  readonly name = "wasm-simd"
  /** `threads` among them goes down if a thread is lost. */
  capabilities: Capabilities
  /** @internal */
  engine: Engine
  /** What prepared kernels call: not in their closures, which would hold the memory of a closed device. */
  private prepared = new WeakMap<() => void, Calls>()
  private readonly memoryLimit: number
  private readonly onWarning: (text: string) => void
  private lossReason = ""
  private bytes = 0
  private buffers = 0
  private peakBytes = 0
  /** True once `close` was called. */
  closed = false

  /** Throws a DeviceError where the host lacks what the backend needs, and a ValueError for options that are unknown or do not fit. */
  constructor(options: WasmSimdOptions = {}) {
    checkOpenOptions("wasm-simd", options, rules)
    const { memoryLimit = mostBytes, relaxed = true, threads, minimumWork, patience } = options
    const reason = whyUnavailable()
    if (reason !== null) throw new DeviceError(`wasm-simd: cannot be opened: ${reason}`)
    this.onWarning = options.onWarning ?? emitWarning
    this.engine = new Engine({
      maximumBytes: memoryLimit + memoryLimit / 8 + roomForKernels,
      relaxed: relaxed && hasRelaxed(),
      threads: threads === false ? 1 : (threads ?? "auto"),
      onLoss: (why) => this.lose(why),
      minimumWork,
      patience,
    })
    this.memoryLimit = Math.min(memoryLimit, this.engine.maximumBytes)
    this.capabilities = {
      dtypes: laneDTypes,
      syncRead: true,
      hostMemory: false,
      maxBufferBytes: this.memoryLimit,
      memoryBytes: this.memoryLimit,
      threads: this.engine.hopedThreads,
    }
  }

  private lose(why: string): void {
    if (this.closed) return
    this.capabilities = { ...this.capabilities, threads: this.engine.hopedThreads }
    const first = this.lossReason === ""
    this.lossReason = why
    if (!first) return
    this.onWarning(`wasm-simd: a thread was lost: ${why}; the device goes on with those that are left`)
  }

  /** How many threads there are, and why not more. */
  get threads(): ThreadStatus {
    if (this.closed) return { working: 0, most: 0, reason: "the device is closed" }
    const { threads, hopedThreads, fewerReason } = this.engine
    return { working: threads, most: hopedThreads, reason: this.lossReason || fewerReason }
  }

  /**
   * Starts the threads now, rather than when the first large operation comes up, and resolves when they are ready: with the
   * number of threads.
   */
  async startThreads(): Promise<number> {
    this.checkOpen()
    await this.engine.startThreads()
    return this.threads.working
  }

  alloc(bytes: number): Storage {
    this.checkOpen()
    if (!Number.isInteger(bytes) || bytes < 0) {
      throw new ValueError(`wasm-simd: size of a buffer: got ${bytes} bytes, expected a whole number from 0`)
    }
    if (this.bytes + bytes > this.memoryLimit) this.outOfMemory(bytes, "", false)
    let address: number
    try {
      address = this.engine.heap.alloc(bytes)
    } catch (error) {
      throw this.explain(error, "a buffer")
    }
    const storage = new WasmStorage(bytes, address, this)
    this.bytes += bytes
    this.buffers++
    if (this.bytes > this.peakBytes) this.peakBytes = this.bytes
    return storage
  }

  /** What the user is told when the heap is full; other errors as they are. */
  private explain(error: unknown, what: string): unknown {
    if (!(error instanceof HeapFull)) return error
    return this.outOfMemory(error.bytes, ` for ${what}`, error.refused)
  }

  private outOfMemory(bytes: number, what: string, refused: boolean): never {
    const { reserved } = this.engine.heap.stats()
    const why = refused
      ? `the JavaScript engine refused to let the memory grow beyond ${reserved}`
      : `the limit is ${this.memoryLimit} (memoryLimit)` +
        (this.bytes + bytes > this.memoryLimit ? "" : ", and what is free lies in pieces that are smaller")
    throw new OutOfMemoryError(
      `wasm-simd: out of memory: got a request for ${bytes} bytes${what} with ${this.bytes} in use in ${this.buffers} ` +
        `buffers, but ${why}; dispose tensors, use scope(), or take smaller batches`,
    )
  }

  free(storage: Storage): void {
    if (!(storage instanceof WasmStorage) || storage.home !== this) {
      throw new DeviceError("wasm-simd: cannot free the storage of another device")
    }
    if (storage.address < 0) return
    if (!this.closed) this.engine.heap.free(storage.address)
    storage.address = -1
    this.bytes -= storage.bytes
    this.buffers--
  }

  write(storage: Storage, data: ArrayBufferView, byteOffset = 0): void {
    this.checkOpen()
    const { address, bytes } = liveStorage(storage, this)
    checkByteRange("write", bytes, byteOffset, data.byteLength)
    const from = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    new Uint8Array(this.engine.memory.buffer, address + byteOffset, data.byteLength).set(from)
  }

  readSync(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer {
    this.checkOpen()
    const { address, bytes } = liveStorage(storage, this)
    checkByteRange("read", bytes, byteOffset, byteLength)
    return new Uint8Array(this.engine.memory.buffer, address + byteOffset, byteLength).slice().buffer
  }

  async read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.readSync(storage, byteOffset, byteLength)
  }

  run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars: readonly number[] = []): void {
    this.checkOpen()
    for (const view of inputs) liveStorage(view.storage, this)
    for (const view of outputs) liveStorage(view.storage, this)
    try {
      this.dispatch(kernel, inputs, outputs, scalars)
    } catch (error) {
      throw this.explain(error, `what ${kernel.kind} works with`)
    }
  }

  prepare(
    kernel: Kernel,
    inputs: readonly View[],
    outputs: readonly View[],
    scalars: readonly number[] = [],
  ): (() => void) | null {
    if (!repeatable.has(kernel.kind)) return (this.run(kernel, inputs, outputs, scalars), null)
    this.checkOpen()
    const made = this.engine.traced(() => this.run(kernel, inputs, outputs, scalars))
    if (!made) return null
    const again = (): void => {
      this.checkOpen()
      const calls = this.prepared.get(again) as Calls
      for (let i = 0; i < calls.length; i++) calls[i]()
    }
    this.prepared.set(again, made)
    return again
  }

  private dispatch(
    kernel: Kernel,
    inputs: readonly View[],
    outputs: readonly View[],
    scalars: readonly number[],
  ): void {
    switch (kernel.kind) {
      case "map":
        return runMap(this.engine, kernel, inputs, outputs, scalars)
      case "reduce":
        return runReduce(this.engine, kernel, inputs, outputs[0], scalars)
      case "gather":
        return runGather(this.engine, kernel, inputs, outputs[0])
      case "scatter":
        return runScatter(this.engine, kernel, inputs, outputs[0])
      case "scan":
        return runScan(this.engine, kernel, inputs[0], outputs)
      case "sort":
        return runSort(this.engine, kernel, inputs[0], outputs)
      case "matmul":
        return runMatmul(this.engine, kernel, inputs, outputs[0], scalars)
      case "recurrent":
        return runRecurrent(this.engine, kernel, inputs, outputs)
      case "recurrentBackward":
        return runRecurrentBackward(this.engine, kernel, inputs, outputs)
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

  /** Ends the threads and lets go of the memory. */
  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    const { engine } = this
    // Nothing reaches it any more; the collector takes the memory although someone may still hold the device.
    this.engine = null as never
    this.prepared = null as never
    await engine.close()
  }

  private checkOpen(): void {
    if (this.closed) throw new DeviceError("wasm-simd: the device is closed; open it again")
  }
}

/** Finds and opens the backend; it can be had where WebAssembly has SIMD. */
export const wasmSimd = (options: WasmSimdOptions = {}): BackendProvider => ({
  name: "wasm-simd",
  unavailable: async () => whyUnavailable(),
  open: async () => new WasmSimd(options),
})
