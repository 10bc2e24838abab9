// What a backend is: an allocator, a queue and one `run`; and how backends are found. Holds no backend.
import type { DType } from "./dtype.js"
import { DeviceError } from "./errors.js"
import type { Kernel } from "./kernel.js"
import type { Storage, View } from "./view.js"

/** What one device can do. Plain data: it is printed in reports. */
export interface Capabilities {
  /** Dtypes that can be stored and computed with. */
  readonly dtypes: readonly DType[]
  /** True if `readSync` exists. */
  readonly syncRead: boolean
  /**
   * True if the JavaScript collector sees the memory (plain array buffers): core then leaves storages that were dropped
   * to the collector without calling `free`, and the backend corrects its own count.
   */
  readonly hostMemory: boolean
  /** Most bytes of a single buffer. */
  readonly maxBufferBytes: number
  /** Most bytes of all buffers together, where that is known: core has dropped tensors collected before they are all in use. */
  readonly memoryBytes?: number
  /** Threads that a kernel may use. */
  readonly threads: number
}

/** What a device holds at this moment. */
export interface MemoryStats {
  readonly bytes: number
  readonly buffers: number
  /** Most bytes that were in use at once. */
  readonly peakBytes: number
}

/** Why a device is gone. */
export interface DeviceLost {
  /** `destroyed` if somebody called `destroy()` on it, `unknown` for a driver's reset, a crash, a laptop's change of GPUs. */
  readonly reason: "destroyed" | "unknown"
  /** What the browser or the driver says; may be empty. */
  readonly message: string
}

/**
 * One device. Kernels run in the order in which they are given; a device may queue them. The views handed to `run` are
 * valid and of matching shapes and dtypes: core checks before, once. Outputs may be strided, and may be one of the inputs
 * if the whole view is equal; otherwise outputs overlap nothing.
 */
export interface Backend {
  readonly name: string
  readonly capabilities: Capabilities
  /** Uninitialised memory. Throws OutOfMemoryError with what was asked for and what is in use. */
  alloc(bytes: number): Storage
  /** Gives memory back. Freeing twice is allowed and does nothing. */
  free(storage: Storage): void
  write(storage: Storage, data: ArrayBufferView, byteOffset?: number): void
  /** The bytes, once everything queued before has finished. */
  read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer>
  readSync?(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer
  /** `scalars` are the values of the kernel's scalar nodes, by number. */
  run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars?: readonly number[]): void
  /**
   * Runs the kernel as `run` does, and returns what runs it again with the same operands and scalars, as long as their storages live, or
   * null: then `run` does. For steps that are recorded once and repeated often.
   */
  prepare?(
    kernel: Kernel,
    inputs: readonly View[],
    outputs: readonly View[],
    scalars?: readonly number[],
  ): (() => void) | null
  /** Resolves when everything queued has finished; rejects with the first error of the queue. */
  sync(): Promise<void>
  memory(): MemoryStats
  /**
   * For devices that can go away under the program: resolves when that happened. Then waiting reads reject with a DeviceError,
   * later calls throw one, and `free` still works. Never resolves for a backend that was closed.
   */
  readonly lost?: Promise<DeviceLost>
  /** Gives everything back; the backend cannot be used afterwards. */
  close?(): Promise<void>
  /** True once `close` was called: whoever hands out opened devices opens it anew. */
  readonly closed?: boolean
}

/** How a backend is found and opened, without loading it first. */
export interface BackendProvider {
  readonly name: string
  /** Null if the device can be opened here, otherwise why not, in words for the user. */
  unavailable(): Promise<string | null>
  open(): Promise<Backend>
}

/** One row of the list of devices. */
export interface DeviceStatus {
  readonly name: string
  readonly available: boolean
  /** Why the device cannot be had; empty if it can. */
  readonly reason: string
}

/** Asks every provider whether its device can be had here, and why not. A probe that throws counts as a reason. */
export async function listDevices(providers: readonly BackendProvider[]): Promise<DeviceStatus[]> {
  return Promise.all(
    providers.map(async (provider) => {
      const reason = await provider.unavailable().catch((error: unknown) => `its probe failed: ${String(error)}`)
      return { name: provider.name, available: reason === null, reason: reason ?? "" }
    }),
  )
}

/**
 * Opens the device called `name`, or for `"auto"` the first that can be had. `open` may stand in for the provider's own
 * opening, for instance to hand out a device that is open already. Throws a DeviceError that lists every device with
 * the reason why it was passed over.
 *
 * @example
 * ```ts
 * const providers: BackendProvider[] = [
 *   { name: "abacus", unavailable: async () => "no beads", open: () => Promise.reject(new Error("no beads")) },
 *   { name: "cpu-js", unavailable: async () => null, open: async () => new CpuJs() },
 * ]
 * const { backend, passedOver } = await openBackend("auto", providers)
 * console.log(backend.name, passedOver) // cpu-js [{ name: "abacus", available: false, reason: "no beads" }]
 * ```
 */
export async function openBackend<T = Backend>(
  name: string,
  providers: readonly BackendProvider[],
  open: (provider: BackendProvider) => Promise<T> = (provider) => provider.open() as Promise<T>,
): Promise<{ backend: T; passedOver: DeviceStatus[] }> {
  const candidates = name === "auto" ? providers : providers.filter((p) => p.name === name)
  if (candidates.length === 0) {
    const known = providers.map((p) => p.name).join(", ")
    throw new DeviceError(`device: unknown device: got "${String(name)}", expected "auto" or one of ${known}`)
  }
  const passedOver: DeviceStatus[] = []
  for (const provider of candidates) {
    const [status] = await listDevices([provider])
    if (status.available) {
      try {
        return { backend: await open(provider), passedOver }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        passedOver.push({ name: provider.name, available: false, reason })
      }
    } else passedOver.push(status)
  }
  const reasons = passedOver.map((s) => `${s.name}: ${s.reason}`).join("; ")
  throw new DeviceError(`device: ${name === "auto" ? "no device can" : `"${name}" cannot`} be had here: ${reasons}`)
}
