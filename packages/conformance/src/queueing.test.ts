// The suite on a device such as a GPU, played by the reference: it queues, cannot be read at once, and lacks wide dtypes.
import type { Backend, Capabilities, DType, Kernel, MemoryStats, Storage, View } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { describeBackend } from "./node/vitest.js"

const dtypes: readonly DType[] = ["bool", "int32", "float32"]

/** Runs what was queued when something is read; errors of kernels come out then, once. */
class Queueing implements Backend {
  readonly name = "queueing"
  readonly capabilities: Capabilities
  private readonly inner = new CpuJs()
  private queue: (() => void)[] = []

  constructor() {
    this.capabilities = { ...this.inner.capabilities, dtypes, syncRead: false, hostMemory: false }
  }
  alloc(bytes: number): Storage {
    return this.inner.alloc(bytes)
  }
  free(storage: Storage): void {
    // Whatever is queued may still need the memory.
    this.queue.push(() => this.inner.free(storage))
  }
  write(storage: Storage, data: ArrayBufferView, byteOffset?: number): void {
    const copy = new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer)
    this.queue.push(() => this.inner.write(storage, copy, byteOffset))
  }
  async read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    await this.sync()
    return this.inner.read(storage, byteOffset, byteLength)
  }
  run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars?: readonly number[]): void {
    for (const { dtype } of [...inputs, ...outputs])
      if (!dtypes.includes(dtype)) throw new Error(`queueing: no ${dtype}`)
    const values = scalars && [...scalars]
    this.queue.push(() => this.inner.run(kernel, inputs, outputs, values))
  }
  async sync(): Promise<void> {
    const list = this.queue
    this.queue = []
    let first: unknown = null
    for (const work of list) {
      try {
        work()
      } catch (error) {
        first ??= error
      }
    }
    if (first !== null) throw first
  }
  memory(): MemoryStats {
    // Freed memory counts as free at once.
    const frees = this.queue.length
    if (frees > 0) void this.flushFrees()
    return this.inner.memory()
  }
  private flushFrees(): void {
    const list = this.queue
    this.queue = []
    for (const work of list) {
      try {
        work()
      } catch {
        // An error of a kernel belongs to the next read; none is expected where memory is counted.
      }
    }
  }
}

describeBackend(() => new Queueing(), { name: "queueing", reference: () => new CpuJs(), required: true, report: false })
