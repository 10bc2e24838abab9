// A pool of threads that share the memory: hands out calls, works along, waits for all, and notices threads that are no more.
// Knows calls, not kernels.
import { DeviceError } from "@rondo/backend"
import type { Call } from "../engine.js"
import {
  call,
  controlBytes,
  mostThreads,
  recordDoubles,
  recordsAt,
  slots,
  textUnits,
  thread,
  words,
} from "./control.js"
import type { Thread, ThreadHost } from "./host.js"

/** Where a module's bytes lie in the shared memory. */
export interface PlacedModule {
  readonly address: number
  readonly bytes: number
}

export interface PoolOptions {
  readonly host: ThreadHost
  readonly memory: WebAssembly.Memory
  /** Threads, the calling one included. */
  readonly threads: number
  /** Null if workers cannot run the module. */
  readonly place: (module: number) => PlacedModule | null
  /** Hears each time that there are fewer threads than there were, and why. */
  readonly onLoss: (why: string) => void
  /** Calls without any progress for so many milliseconds are given up, and with them their threads. */
  readonly patience: number
}

/** While it waits, the calling thread looks so often before it sleeps, and then every so many milliseconds. */
const mostPolls = 10_000
const slice = 20
/** After so many milliseconds without progress it looks whether the others are alive. */
const doubtAfter = 200

const isFinal = (state: number): boolean => state === call.done || state === call.lost || state >= call.failed

/** Threads that run calls together with the one that asks for it. They start at the first wish for them. */
export class Pool {
  private readonly options: PoolOptions
  private readonly control = new SharedArrayBuffer(controlBytes)
  private readonly words = new Int32Array(this.control)
  private readonly records = new Float64Array(this.control, recordsAt)
  private readonly workers: (Thread | null)[] = [null]
  /** May this thread sleep? Not the main one of a page. */
  private readonly sleeps: boolean
  private failure: unknown = null

  constructor(options: PoolOptions) {
    this.options = { ...options, threads: Math.min(options.threads, mostThreads) }
    this.sleeps = maySleep(this.words)
  }

  /** Threads that work at this moment, the calling one included. */
  get width(): number {
    let width = 1
    for (let id = 1; id < this.workers.length; id++) if (this.stateOf(id) === thread.serving) width++
    return width
  }

  /** Threads that work or are about to. */
  get hoped(): number {
    if (this.workers.length === 1) return this.options.threads
    let hoped = 1
    for (let id = 1; id < this.workers.length; id++) if (this.stateOf(id) <= thread.serving) hoped++
    return hoped
  }

  /** How many calls the other threads have ended so far. */
  get sharedCalls(): number {
    let sum = 0
    for (let id = 1; id < this.workers.length; id++) sum += this.words[words.threads + id * words.line + 1]
    return sum
  }

  private stateOf(id: number): number {
    return Atomics.load(this.words, words.threads + id * words.line)
  }

  /** Starts the threads, if that was not done yet. Returns at once: they serve when they are ready. */
  start(): void {
    if (this.workers.length > 1) return
    const { host, memory, threads } = this.options
    for (let id = 1; id < threads; id++) {
      try {
        const worker = host.start({ memory, control: this.control, id }, (why) => this.bury(id, why))
        this.workers.push(worker)
      } catch (error) {
        this.workers.push(null)
        this.bury(id, error instanceof Error ? error.message : String(error))
      }
    }
  }

  /** Resolves when no thread is starting any more. */
  async started(): Promise<void> {
    this.start()
    const starting = (): boolean => this.workers.some((_, id) => id > 0 && this.stateOf(id) === thread.starting)
    while (starting()) await new Promise((resolve) => setTimeout(resolve, 2))
  }

  /** Strikes a thread off. */
  private bury(id: number, why: string): void {
    const word = words.threads + id * words.line
    if (Atomics.exchange(this.words, word, thread.gone) === thread.gone) return
    this.workers[id] = null
    this.options.onLoss(why)
  }

  /** Runs calls that do not depend on each other; returns when all have ended. Throws the first error. */
  run(calls: readonly Call[]): void {
    let next = 0
    while (next < calls.length) {
      const end = this.publish(calls, next)
      if (end === next) {
        const { fn, args } = calls[next++]
        fn.call(...args)
      } else {
        this.join(calls, next, end - next)
        next = end
      }
    }
  }

  /** Writes as many calls into the table as fit. Returns the first that did not; none fits where workers lack the module. */
  private publish(calls: readonly Call[], first: number): number {
    const { records } = this
    let at = 0
    let next = first
    for (; next < calls.length && next - first < slots; next++) {
      const { fn, args } = calls[next]
      const placed = this.options.place(fn.module)
      if (!placed || at + 5 + args.length > recordDoubles) break
      const state = words.states + (next - first) * words.line
      this.words[state + 1] = at
      records[at] = fn.module
      records[at + 1] = placed.address
      records[at + 2] = placed.bytes
      records[at + 3] = fn.number
      records[at + 4] = args.length
      for (let i = 0; i < args.length; i++) records[at + 5 + i] = args[i]
      at += 5 + args.length
    }
    const count = next - first
    if (count === 0) return next
    Atomics.store(this.words, words.count, count)
    // From here on a thread that is still looking for the last job may take one.
    for (let i = 0; i < count; i++) Atomics.store(this.words, words.states + i * words.line, call.ready)
    Atomics.add(this.words, words.job, 1)
    if (Atomics.load(this.words, words.waiting) > 0) Atomics.notify(this.words, words.job, count - 1)
    return next
  }

  private join(calls: readonly Call[], first: number, count: number): void {
    this.failure = null
    const { words: w } = this
    let polls = 0
    let progress = 0
    let since = 0
    let open = this.work(calls, first, count, 0)
    while (open < count) {
      // All before `open` have ended. The states alone decide; the count of progress only wakes this thread up.
      if (++polls < mostPolls) {
        open = this.skip(open, count)
        continue
      }
      const seen = Atomics.load(w, words.progress)
      // A thread may have put a call back that it could not make.
      open = this.work(calls, first, count, open)
      if (open === count) break
      const now = performance.now()
      if (since === 0 || seen !== progress) since = now
      progress = seen
      if (now - since > doubtAfter) this.check(count, now - since > this.options.patience)
      if (this.sleeps) this.sleep(seen)
      else polls = 0
    }
    this.collect(count)
    if (this.failure !== null) throw this.failure
  }

  private sleep(seen: number): void {
    Atomics.store(this.words, words.joining, 1)
    Atomics.wait(this.words, words.progress, seen, slice)
    Atomics.store(this.words, words.joining, 0)
  }

  /** The first call from `open` on that has not ended. */
  private skip(open: number, count: number): number {
    let at = open
    while (at < count && isFinal(Atomics.load(this.words, words.states + at * words.line))) at++
    return at
  }

  /** Takes calls as long as there are any, and skips those that have ended. */
  private work(calls: readonly Call[], first: number, count: number, open: number): number {
    const { words: w } = this
    for (let i = open; i < count; i++) {
      const state = words.states + i * words.line
      if (Atomics.load(w, state) !== call.ready) continue
      if (Atomics.compareExchange(w, state, call.ready, call.claimed) !== call.ready) continue
      const { fn, args } = calls[first + i]
      try {
        fn.call(...args)
      } catch (error) {
        this.failure ??= error
      }
      Atomics.store(w, state, call.done)
    }
    return this.skip(open, count)
  }

  /** Looks for calls whose thread is no more; `late`: gives up the threads that have not ended theirs. */
  private check(count: number, late: boolean): void {
    for (let i = 0; i < count; i++) {
      const state = words.states + i * words.line
      const value = Atomics.load(this.words, state)
      if (value < call.claimed || value >= call.failed) continue
      const id = value - call.claimed
      const worker = this.workers[id]
      if (worker?.alive() && !late) continue
      // It may have ended the call as its last deed.
      if (Atomics.compareExchange(this.words, state, value, call.lost) !== value) continue
      const what = late ? "made no progress" : "ended"
      this.failure ??= new DeviceError(
        `wasm-simd: thread ${id} ${what} in the middle of a kernel, whose outputs are now undefined; ` +
          "compute them again: the device goes on without that thread",
      )
      void worker?.terminate()
      this.bury(id, `it ${what} in the middle of a kernel`)
    }
  }

  /** Errors of calls that other threads ran, and threads that withdrew. */
  private collect(count: number): void {
    for (let i = 0; i < count && this.failure === null; i++) {
      const value = Atomics.load(this.words, words.states + i * words.line)
      if (value >= call.failed) this.failure = new WebAssembly.RuntimeError(this.textOf(value - call.failed))
    }
    for (let id = 1; id < this.workers.length; id++) {
      if (this.stateOf(id) !== thread.withdrawn) continue
      void this.workers[id]?.terminate()
      this.bury(id, this.textOf(id))
    }
  }

  /** What a thread had to say last. */
  private textOf(id: number): string {
    const at = words.texts + id * words.textWords
    const units = new Uint16Array(this.control, (at + 1) * 4, textUnits)
    return String.fromCharCode(...units.slice(0, this.words[at]))
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    Atomics.store(this.words, words.closed, 1)
    Atomics.add(this.words, words.job, 1)
    Atomics.notify(this.words, words.job)
    const workers = this.workers.splice(1)
    await Promise.all(workers.map((worker) => worker?.terminate()))
  }
}

/** Whether this thread may wait for a word to change. */
function maySleep(words: Int32Array): boolean {
  try {
    Atomics.wait(words, 0, 1, 0)
    return true
  } catch {
    return false
  }
}
