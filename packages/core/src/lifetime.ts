// Who owns device memory and when it is given back: by dispose, at the end of a scope, or when the collector finds it.
import { DisposedError, OutOfMemoryError, type Storage } from "@rondo/backend"
import type { Device } from "./device.js"
import type { Origin } from "./origin.js"
import { tape } from "./tape.js"

/** What is known of one device's memory. */
interface Ledger {
  readonly device: Device
  /** Bytes that were allocated and not given back. */
  outstanding: number
  /** The same at the last pulse. */
  pulsedAt: number
  /** Most bytes that the device has, as far as it says. */
  readonly limit: number
  /** For each of `tiers`, the group that the next storage joins. */
  readonly open: (Group | null)[]
}

/** Dies with the last handle that refers to it: what the collector watches. */
class Watched {}

/** Storages that are freed together when the collector finds that nothing refers to any of them. */
interface Group {
  readonly ledger: Ledger
  /** Null where a storage was given back before. */
  readonly storages: (Storage | null)[]
  bytes: number
  /** Weak: the group must not keep alive what tells of its end. Null for a group that nothing joins. */
  readonly watched: WeakRef<Watched> | null
}

// Watching costs the collector several hundred nanoseconds an object, more than a small operation takes. So smaller storages
// are watched in groups with others of their kind, of few bytes: one that lives on holds the others.
const tiers = [
  { below: 2048, bytes: 16 * 1024, storages: 32 },
  { below: 64 * 1024, bytes: 256 * 1024, storages: 8 },
] as const
let grouping = true

/**
 * Whether smaller storages are watched in groups, which makes them cheap but keeps them until the last of a group is dropped: the default.
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
  const before = grouping
  grouping = on
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
  /** @internal Where the elements came from, if somebody remembered. */
  origin: Origin | null = null
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
    if (!this.group) return this.device.backend.free(this.storage)
    this.group.storages[this.slot] = null
    giveBack(this.group.ledger, this.storage)
  }
}

function giveBack(ledger: Ledger, storage: Storage): void {
  ledger.device.backend.free(storage)
  ledger.outstanding -= storage.bytes
}

const registry = new FinalizationRegistry<Group>(({ ledger, storages }) => {
  yieldWanted = false
  for (const storage of storages) if (storage) giveBack(ledger, storage)
})

const ledgers = new WeakMap<Device, Ledger>()

function ledgerOf(device: Device): Ledger {
  let ledger = ledgers.get(device)
  if (ledger) return ledger
  const limit = device.backend.capabilities.memoryBytes ?? Infinity
  ledgers.set(device, (ledger = { device, outstanding: 0, pulsedAt: 0, limit, open: tiers.map(() => null) }))
  return ledger
}

/** Allocates device memory that is given back when nothing refers to its handle any more. */
export function allocate(device: Device, bytes: number): Handle {
  if (tape !== null) return tape.allocate(device, bytes)
  const storage = reserve(device, bytes)
  // Memory that the collector sees needs no finaliser, which would hold it until the next macrotask.
  if (device.backend.capabilities.hostMemory) return new Handle(device, storage, null, null)
  const ledger = ledgerOf(device)
  press(ledger, bytes)
  const tier = !grouping || bytes >= tiers[1].below ? -1 : bytes < tiers[0].below ? 0 : 1
  const group = tier < 0 ? null : ledger.open[tier]
  const watched = group?.watched?.deref()
  if (!group || !watched) return firstOfGroup(ledger, storage, tier)
  const { bytes: most, storages } = tiers[tier as 0 | 1]
  if (group.bytes + bytes > most || group.storages.length >= storages) return firstOfGroup(ledger, storage, tier)
  group.bytes += bytes
  return new Handle(device, storage, group, watched)
}

function reserve(device: Device, bytes: number): Storage {
  try {
    return device.backend.alloc(bytes)
  } catch (error) {
    // Whoever catches this and takes smaller batches gets the memory of the step that failed.
    if (error instanceof OutOfMemoryError && !device.backend.capabilities.hostMemory) {
      recovering = recoveringReads
      pulse(ledgerOf(device))
    }
    throw error
  }
}

function firstOfGroup(ledger: Ledger, storage: Storage, tier: number): Handle {
  const watched = new Watched()
  const weak = tier < 0 ? null : new WeakRef(watched)
  const group: Group = { ledger, storages: [], bytes: storage.bytes, watched: weak }
  registry.register(watched, group)
  if (tier >= 0) ledger.open[tier] = group
  return new Handle(ledger.device, storage, group, watched)
}

// V8 collects when *its* heap grows, and cannot see WebAssembly or GPU memory. Each time that much more is outstanding, one
// large array buffer is allocated, never touched and dropped: that makes the collector look, at almost no cost (the figures
// are in docs/decisions/004-memory-pressure.md). Collecting takes
// V8 several tasks, and finalisers run between tasks: reads yield until the first one has run.
const pulseEvery = 512 * 2 ** 20
const pulseBytes = 256 * 2 ** 20
// Where a device has a limit, pulses come at half of the room that is left, then at half of that again, but not at every tensor.
const roomParts = 2
const limitParts = 32
let yieldWanted = false
// On a busy machine the collector comes late. Where less than half of the memory is left, reads wait for it, up to so many milliseconds.
const patience = 100
let scarce = false
// What was made while the collector was marking outlives that collection. Where memory ran out, the next reads press again.
const recoveringReads = 64
const pressedReads = 16
let recovering = 0

function press(ledger: Ledger, bytes: number): void {
  ledger.outstanding += bytes
  // After a collection fewer bytes are outstanding than at the last pulse: count from there again.
  if (ledger.outstanding < ledger.pulsedAt) ledger.pulsedAt = ledger.outstanding
  if (ledger.outstanding - ledger.pulsedAt >= pulseAfter(ledger)) pulse(ledger)
}

function pulseAfter({ limit, pulsedAt }: Ledger): number {
  return Math.min(pulseEvery, Math.max((limit - pulsedAt) / roomParts, limit / limitParts))
}

function pulse(ledger: Ledger): void {
  ledger.pulsedAt = ledger.outstanding
  scarce = ledger.outstanding > ledger.limit / 2
  yieldWanted = true
  wakeCollector()
}

function wakeCollector(): void {
  // Allocating is enough: nothing refers to it. Bun's engine takes its time over that, but can be asked.
  new ArrayBuffer(pulseBytes)
  ;(globalThis as { Bun?: { gc(wait: boolean): void } }).Bun?.gc(true)
}

/** Gives finalisers a macrotask to run in, as long as memory pressure waits for them. Awaited by every asynchronous read. */
export async function breathe(): Promise<void> {
  if (recovering > 0 && --recovering % pressedReads === 0) wakeCollector()
  if (yieldWanted || recovering > 0) await new Promise<void>(macrotask)
  if (!scarce) return
  for (const start = Date.now(); yieldWanted && Date.now() - start < patience;)
    await new Promise<void>((resolve) => setTimeout(resolve, 1))
  scarce = false
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
