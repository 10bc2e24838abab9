// Who owns device memory and when it is given back: by dispose, at the end of a scope, or when the collector finds it.
import { DisposedError, type Storage } from "@rondo/backend"
import type { Device } from "./device.js"

/**
 * The life of one storage. All tensors that show it share this object, and with it the version counter that catches
 * in-place changes of saved tensors.
 */
export class Handle {
  readonly device: Device
  readonly storage: Storage
  /** Counts in-place changes. */
  version = 0
  /** Tensors made over this storage that were not disposed; those that were merely dropped still count. */
  owners = 0
  disposed = false
  constructor(device: Device, storage: Storage) {
    this.device = device
    this.storage = storage
  }
  release(): void {
    if (--this.owners > 0 || this.disposed) return
    this.disposed = true
    registry.unregister(this)
    this.device.backend.free(this.storage)
    outstanding.set(this.device, (outstanding.get(this.device) ?? 0) - this.storage.bytes)
  }
}

interface Held {
  readonly device: Device
  readonly storage: Storage
}

const registry = new FinalizationRegistry<Held>(({ device, storage }) => {
  yieldWanted = false
  device.backend.free(storage)
  outstanding.set(device, (outstanding.get(device) ?? 0) - storage.bytes)
})

/** Allocates device memory that is given back when nothing refers to its handle any more. */
export function allocate(device: Device, bytes: number): Handle {
  const storage = device.backend.alloc(bytes)
  const handle = new Handle(device, storage)
  // Memory that the collector sees needs no finaliser, which would hold it until the next macrotask.
  if (device.backend.capabilities.hostMemory) return handle
  registry.register(handle, { device, storage }, handle)
  press(device, bytes)
  return handle
}

// V8 collects when *its* heap grows, and cannot see WebAssembly or GPU memory. Each time that much more is outstanding, one
// large array buffer is allocated, never touched and dropped: that makes the collector look, at almost no cost (the figures
// are in docs/decisions/004-memory-pressure.md). Collecting takes
// V8 several tasks, and finalisers run between tasks: reads yield until the first one has run.
const pulseEvery = 512 * 2 ** 20
const pulseBytes = 256 * 2 ** 20
const outstanding = new Map<Device, number>()
const pulsedAt = new Map<Device, number>()
let yieldWanted = false

function press(device: Device, bytes: number): void {
  const now = (outstanding.get(device) ?? 0) + bytes
  outstanding.set(device, now)
  // After a collection fewer bytes are outstanding than at the last pulse: count from there again.
  const last = Math.min(pulsedAt.get(device) ?? 0, now)
  pulsedAt.set(device, last)
  if (now - last < pulseEvery) return
  pulsedAt.set(device, now)
  yieldWanted = true
  // Allocating is enough: nothing refers to it.
  new ArrayBuffer(pulseBytes)
}

/** Gives finalisers a macrotask to run in, as long as memory pressure waits for them. Awaited by every asynchronous read. */
export async function breathe(): Promise<void> {
  if (yieldWanted) await new Promise<void>(macrotask)
}

function macrotask(resolve: () => void): void {
  const { setImmediate } = globalThis as { setImmediate?: (task: () => void) => void }
  if (setImmediate) return setImmediate(resolve)
  // In a browser: timers are throttled to milliseconds, messages are not.
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = () => {
    port1.close()
    resolve()
  }
  port2.postMessage(null)
}

/** Throws a DisposedError that names the operation. */
export function throwDisposed(operation: string): never {
  throw new DisposedError(
    `${operation}: the tensor was disposed; keep it out of dispose(), or return it from its scope`,
  )
}
