// Who owns device memory and when it is given back: by dispose, at the end of a scope, or when the collector finds it.
import { DisposedError, type Storage } from "@rondo/backend"
import type { Device } from "./device.js"

/** Dies with the last handle that refers to it: what the collector watches. */
class Watched {}

/** Storages that are freed together when the collector finds that nothing refers to any of them. */
interface Group {
  readonly device: Device
  /** Null where a storage was given back before. */
  readonly storages: (Storage | null)[]
  bytes: number
  /** Weak: the group must not keep alive what tells of its end. */
  readonly watched: WeakRef<Watched>
}

// Watching costs the collector several hundred nanoseconds an object, more than a small operation takes. So small storages
// are watched in groups, of few bytes: one that lives on holds the others.
const groupBytes = 16 * 1024
let mostStorages = 32

/**
 * Whether small storages are watched in groups, which makes them cheap but keeps them until the last of a group is dropped: the default.
 * Off, each is watched by itself, for those who want to see what is still reachable. Returns the setting before.
 *
 * @example
 * ```ts
 * const before = groupStorages(false)
 * // … look at WeakRefs of storages …
 * groupStorages(before)
 * ```
 */
export function groupStorages(on: boolean): boolean {
  const before = mostStorages > 1
  mostStorages = on ? 32 : 1
  return before
}

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
  /** @internal Kept alive by all handles of a group. */
  readonly watched: Watched | null
  private readonly group: Group | null
  private readonly slot: number

  constructor(device: Device, storage: Storage, group: Group | null, watched: Watched | null) {
    this.device = device
    this.storage = storage
    this.group = group
    this.watched = watched
    this.slot = group ? group.storages.push(storage) - 1 : 0
  }
  release(): void {
    if (--this.owners > 0 || this.disposed) return
    this.disposed = true
    if (this.group) this.group.storages[this.slot] = null
    giveBack(this.device, this.storage)
  }
}

function giveBack(device: Device, storage: Storage): void {
  device.backend.free(storage)
  outstanding.set(device, (outstanding.get(device) ?? 0) - storage.bytes)
}

const registry = new FinalizationRegistry<Group>(({ device, storages }) => {
  yieldWanted = false
  for (const storage of storages) if (storage) giveBack(device, storage)
})

/** The group that a device's next small storages join. */
const open = new WeakMap<Device, Group>()

/** Allocates device memory that is given back when nothing refers to its handle any more. */
export function allocate(device: Device, bytes: number): Handle {
  const storage = device.backend.alloc(bytes)
  // Memory that the collector sees needs no finaliser, which would hold it until the next macrotask.
  if (device.backend.capabilities.hostMemory) return new Handle(device, storage, null, null)
  const group = open.get(device)
  const watched = group?.watched.deref()
  press(device, bytes)
  if (!group || !watched || group.bytes + bytes > groupBytes || group.storages.length >= mostStorages) {
    return firstOfGroup(device, storage)
  }
  group.bytes += bytes
  return new Handle(device, storage, group, watched)
}

function firstOfGroup(device: Device, storage: Storage): Handle {
  const watched = new Watched()
  const group: Group = { device, storages: [], bytes: storage.bytes, watched: new WeakRef(watched) }
  registry.register(watched, group)
  if (storage.bytes < groupBytes && mostStorages > 1) open.set(device, group)
  return new Handle(device, storage, group, watched)
}

// V8 collects when *its* heap grows, and cannot see WebAssembly or GPU memory. Each time that much more is outstanding, one
// large array buffer is allocated, never touched and dropped: that makes the collector look, at almost no cost (the figures
// are in docs/decisions/004-memory-pressure.md). Collecting takes
// V8 several tasks, and finalisers run between tasks: reads yield until the first one has run.
const pulseEvery = 512 * 2 ** 20
const pulseBytes = 256 * 2 ** 20
const outstanding = new WeakMap<Device, number>()
const pulsedAt = new WeakMap<Device, number>()
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
