// The wasm-simd backend: allocation, transfer and dispatch. The kernels are in the files beside it.
import {
  type Backend,
  type BackendProvider,
  type Capabilities,
  DeviceError,
  type Kernel,
  type MemoryStats,
  OutOfMemoryError,
  type Storage,
  ValueError,
  type View,
} from "@rondo/backend"
import { Engine, hasRelaxed } from "./engine.js"
import { HeapFull } from "./heap.js"
import { laneDTypes } from "./lanes.js"
import { runMap } from "./map.js"
import { liveStorage, WasmStorage } from "./storage.js"

/** How `WasmSimd` is set up. */
export interface WasmSimdOptions {
  /** Most bytes of memory; 4 GiB, all that WebAssembly can address, if left out. */
  readonly memoryLimit?: number
  /** False: no fused multiply-add even where the engine has it. */
  readonly relaxed?: boolean
}

const mostBytes = 2 ** 32

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
  readonly capabilities: Capabilities
  /** @internal */
  readonly engine: Engine
  private readonly memoryLimit: number
  private bytes = 0
  private buffers = 0
  private peakBytes = 0
  private closed = false

  constructor(options: WasmSimdOptions = {}) {
    this.memoryLimit = Math.min(options.memoryLimit ?? mostBytes, mostBytes)
    const relaxed = (options.relaxed ?? true) && hasRelaxed()
    this.engine = new Engine({ maximumBytes: this.memoryLimit, shared: false, relaxed })
    this.capabilities = {
      dtypes: laneDTypes,
      syncRead: true,
      hostMemory: false,
      maxBufferBytes: this.memoryLimit,
      threads: 1,
    }
  }

  alloc(bytes: number): Storage {
    this.checkOpen()
    if (!Number.isInteger(bytes) || bytes < 0) {
      throw new ValueError(`wasm-simd: size of a buffer: got ${bytes} bytes, expected a whole number from 0`)
    }
    const storage = new WasmStorage(bytes, this.place(bytes), this)
    this.bytes += bytes
    this.buffers++
    if (this.bytes > this.peakBytes) this.peakBytes = this.bytes
    return storage
  }

  private place(bytes: number): number {
    try {
      return this.engine.heap.alloc(bytes)
    } catch (error) {
      if (!(error instanceof HeapFull)) throw error
      throw new OutOfMemoryError(
        `wasm-simd: out of memory: got a request for ${bytes} bytes with ${this.bytes} in use in ${this.buffers} buffers, ` +
          `but the limit is ${this.memoryLimit}; dispose tensors or use scope()`,
      )
    }
  }

  free(storage: Storage): void {
    if (!(storage instanceof WasmStorage) || storage.home !== this) {
      throw new DeviceError("wasm-simd: cannot free the storage of another device")
    }
    if (storage.address < 0) return
    this.engine.heap.free(storage.address)
    storage.address = -1
    this.bytes -= storage.bytes
    this.buffers--
  }

  write(storage: Storage, data: ArrayBufferView, byteOffset = 0): void {
    this.checkOpen()
    const { address, bytes } = liveStorage(storage, this)
    checkRange("write", bytes, byteOffset, data.byteLength)
    const from = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    new Uint8Array(this.engine.memory.buffer, address + byteOffset, data.byteLength).set(from)
  }

  readSync(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer {
    this.checkOpen()
    const { address, bytes } = liveStorage(storage, this)
    checkRange("read", bytes, byteOffset, byteLength)
    return new Uint8Array(this.engine.memory.buffer, address + byteOffset, byteLength).slice().buffer
  }

  async read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.readSync(storage, byteOffset, byteLength)
  }

  run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars: readonly number[] = []): void {
    this.checkOpen()
    for (const view of inputs) liveStorage(view.storage, this)
    for (const view of outputs) liveStorage(view.storage, this)
    switch (kernel.kind) {
      case "map":
        return runMap(this.engine, kernel, inputs, outputs, scalars)
      default:
        throw new DeviceError(`wasm-simd: ${kernel.kind} is not built yet`)
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
  }

  private checkOpen(): void {
    if (this.closed) throw new DeviceError("wasm-simd: the device is closed; open it again")
  }
}

function checkRange(operation: string, bytes: number, byteOffset: number, byteLength: number): void {
  if (byteOffset >= 0 && byteLength >= 0 && byteOffset + byteLength <= bytes) return
  throw new ValueError(
    `${operation}: bytes out of range: got ${byteOffset} to ${byteOffset + byteLength}, expected within 0 to ${bytes}`,
  )
}

/** Finds and opens the backend; it can be had where WebAssembly has SIMD. */
export const wasmSimd = (options: WasmSimdOptions = {}): BackendProvider => ({
  name: "wasm-simd",
  unavailable: async () => null,
  open: async () => new WasmSimd(options),
})
