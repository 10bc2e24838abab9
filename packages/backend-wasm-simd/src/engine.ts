// One WebAssembly memory and the code that runs on it: modules are compiled when first needed and kept by key.
// Knows neither kernels nor tensors.
import { type Callable, type MemoryImport, ModuleBuilder } from "./assembler/module.js"
import type { FunctionBuilder } from "./assembler/function.js"
import { Heap, HeapFull } from "./heap.js"
import { imports } from "./imports.js"
import { mostThreads } from "./threads/control.js"
import { threadHost } from "./threads/host.js"
import { linkMark, portable } from "./threads/imports.js"
import { type PlacedModule, Pool } from "./threads/pool.js"

/** A compiled function. Arguments are numbers; addresses above 2^31 may be given as they are. */
export interface Compiled {
  readonly call: (...args: number[]) => number
  /** Number of its module, its name there, and its place among the exports: how another thread finds it. */
  readonly module: number
  readonly name: string
  readonly number: number
}

/** One call of a compiled function. */
export interface Call {
  readonly fn: Compiled
  readonly args: readonly number[]
}

export interface EngineOptions {
  /** Most bytes of memory. */
  readonly maximumBytes: number
  /** Use fused multiply-add. */
  readonly relaxed: boolean
  /** Threads, the calling one included; "auto": as many as the host has cores, and at most 8. */
  readonly threads: number | "auto"
  /** Hears that there are fewer threads than there were, and why. */
  readonly onLoss: (why: string) => void
  /** Work below this, in nanoseconds of one thread, is never cut. 50 microseconds if left out. */
  readonly minimumWork?: number
  /** A call that takes so many milliseconds counts as hung. Five minutes if left out. */
  readonly patience?: number
}

const pageBytes = 65536
const mostPages = 65536
const mostAutoThreads = 8
// Waking a sleeping thread takes 5 to 10 microseconds: each piece must be worth more than that.
const defaultMinimumWork = 50_000
const defaultPatience = 300_000
/** Long work is cut finer than there are threads, so that a slow core does not hold up the others. */
const piecesPerThread = 4
const longWork = 16

/** A memory as large as can be had: hosts with little address space refuse the largest maximum. */
function makeMemory(maximum: number, shared: boolean): { memory: WebAssembly.Memory; maximum: number } {
  for (let pages = maximum; ; pages = Math.ceil(pages / 2)) {
    try {
      return { memory: new WebAssembly.Memory({ initial: 1, maximum: pages, shared }), maximum: pages }
    } catch (error) {
      if (pages <= 256) throw error
    }
  }
}

/** Scratch memory of all traced calls: one kernel uses it at a time. */
const traceScratch = 64 * 1024

/** Calls as they are made, to be made again: with what they read and write where it was. */
class Trace {
  readonly calls: (() => number)[] = []
  /** True if the calls would not be the same again: they depend on values, or on how many threads there are. */
  failed = false
  private readonly scratch: number
  private used = 0
  constructor(scratch: number) {
    this.scratch = scratch
  }
  /** Scratch memory until the end of the trace, or -1. */
  take(bytes: number): number {
    const at = this.used
    // No two pieces share an address, and none is the end: that tells whose they are.
    this.used += Math.max(1, Math.ceil(bytes / 64)) * 64
    if (this.used <= traceScratch) return this.scratch + at
    this.failed = true
    return -1
  }
}

/** What kernels are compiled for and run on. */
export class Engine {
  readonly memory: WebAssembly.Memory
  readonly heap: Heap
  readonly relaxed: boolean
  /** Most bytes of memory. */
  readonly maximumBytes: number
  /** Why there are fewer threads than were asked for; empty if there are not. */
  readonly fewerReason: string
  /** @internal */
  readonly pool: Pool | null
  private readonly minimumWork: number
  private readonly memoryImport: MemoryImport
  private readonly compiled = new Map<string, unknown>()
  private readonly constants = new Map<string, number>()
  private constantsAt = 0
  private constantsLeft = 0
  /** The bytes of each module, by number; null where workers lack an import. Kept only if there may be workers. */
  private readonly modules: (Uint8Array | null)[] = []
  private readonly placed: PlacedModule[] = []
  /** Functions that modules import from others, by {@link linkTo}. */
  private readonly links = new Map<string, { readonly call: WebAssembly.ImportValue; readonly portable: boolean }>()
  private trace: Trace | null = null
  private traceScratchAt = 0

  constructor({ maximumBytes, relaxed, threads, onLoss, ...rest }: EngineOptions) {
    const host = threads === 1 ? "one thread was asked for" : threadHost()
    const asked = threads === "auto" ? mostAutoThreads : threads
    const wanted = typeof host === "string" ? 1 : Math.min(asked, threads === "auto" ? host.concurrency : mostThreads)
    const pages = Math.min(Math.ceil(maximumBytes / pageBytes), mostPages)
    const { memory, maximum } = makeMemory(pages, wanted > 1)
    this.memoryImport = { maximum, shared: wanted > 1 }
    this.memory = memory
    this.maximumBytes = maximum * pageBytes
    this.heap = new Heap(memory, maximum)
    this.relaxed = relaxed
    this.minimumWork = Math.max(1, rest.minimumWork ?? defaultMinimumWork)
    this.pool = null
    const capped = threads !== "auto" && threads > wanted ? `one device has at most ${mostThreads} threads` : ""
    this.fewerReason = typeof host === "string" ? host : wanted > 1 ? capped : "this host has one core"
    if (typeof host === "string" || wanted === 1) return
    const patience = rest.patience ?? defaultPatience
    const place = (module: number): PlacedModule | null => this.place(module)
    this.pool = new Pool({ host, memory, threads: wanted, place, onLoss, patience })
  }

  /** What `build` makes of `key`: made once. */
  cached<T>(key: string, build: () => T): T {
    let made = this.compiled.get(key) as T | undefined
    if (made === undefined) this.compiled.set(key, (made = build()))
    return made
  }

  /** A module with the functions that `build` returns, compiled; equal keys mean equal modules. */
  compile<N extends string>(
    key: string,
    build: (module: ModuleBuilder) => Record<N, FunctionBuilder>,
  ): Record<N, Compiled> {
    return this.cached(key, () => {
      const module = new ModuleBuilder(this.memoryImport)
      const functions = build(module)
      const bytes = module.bytes()
      const exports = this.instantiate(bytes, module.importNames)
      const names = Object.keys(exports)
      const reaches = (name: string): boolean => this.links.get(name)?.portable ?? portable.has(name)
      const forWorkers = this.pool !== null && module.importNames.every(reaches)
      const number = this.modules.push(forWorkers ? bytes : null) - 1
      const result = {} as Record<N, Compiled>
      for (const name of Object.keys(functions) as N[]) {
        const inside = (functions[name] as Callable).name
        result[name] = {
          call: exports[inside] as Compiled["call"],
          module: number,
          name: inside,
          number: names.indexOf(inside),
        }
      }
      return result
    })
  }

  /**
   * The name under which other modules import a function, so that what is compiled and optimised once serves them all. For workers it says
   * where the function's own module lies.
   */
  linkTo(fn: Compiled): string {
    const placed = this.pool && this.place(fn.module)
    const name = `${linkMark}${[fn.module, placed?.address ?? 0, placed?.bytes ?? 0, fn.number].join(" ")}`
    this.links.set(name, { call: fn.call as WebAssembly.ImportValue, portable: placed !== null })
    return name
  }

  private instantiate(bytes: Uint8Array<ArrayBuffer>, names: readonly string[]): WebAssembly.Exports {
    const env: Record<string, WebAssembly.ImportValue> = { memory: this.memory }
    for (const name of names) env[name] = this.links.get(name)?.call ?? imports[name]
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env }).exports
  }

  /** Puts a module where workers find it; null if they cannot run it. */
  private place(module: number): PlacedModule | null {
    const known = this.placed[module]
    if (known) return known
    const bytes = this.modules[module]
    if (!bytes) return null
    try {
      const address = this.heap.alloc(bytes.length)
      new Uint8Array(this.memory.buffer, address, bytes.length).set(bytes)
      this.modules[module] = null
      return (this.placed[module] = { address, bytes: bytes.length })
    } catch (error) {
      if (error instanceof HeapFull) return null
      throw error
    }
  }

  /** Threads that work at this moment: one until large work comes up, and until the others are ready. */
  get threads(): number {
    return this.pool?.width ?? 1
  }

  /** Threads that work once they are wanted. */
  get hopedThreads(): number {
    return this.pool?.hoped ?? 1
  }

  /** Starts the threads and waits until they are ready. */
  async startThreads(): Promise<void> {
    await this.pool?.started()
  }

  /** Calls a function. */
  call(fn: Compiled, args: readonly number[]): void {
    if (this.trace !== null) this.trace.calls.push(fn.call.bind(null, ...args))
    fn.call(...args)
  }

  /**
   * Makes what `body` does repeatable: the calls that it made, for as long as the memory they work on stays where it is. Null if they
   * would have to be other ones the next time, or memory is short. All calls must go through {@link call} and {@link run}, all scratch memory through
   * {@link takeScratch}.
   */
  traced(body: () => void): (() => number)[] | null {
    if (!this.hasTraceScratch()) return (body(), null)
    const trace = (this.trace = new Trace(this.traceScratchAt))
    try {
      body()
    } finally {
      this.trace = null
    }
    return trace.failed ? null : trace.calls
  }
  private hasTraceScratch(): boolean {
    try {
      this.traceScratchAt ||= this.heap.alloc(traceScratch)
    } catch (error) {
      if (!(error instanceof HeapFull)) throw error
    }
    return this.traceScratchAt > 0
  }
  /** What runs now depends on values in memory: it cannot be repeated by repeating its calls. */
  untrace(): void {
    if (this.trace) this.trace.failed = true
  }
  /** Memory for the length of a kernel: give it back with {@link giveScratch}. */
  takeScratch(bytes: number): number {
    const at = this.trace ? this.trace.take(bytes) : -1
    return at < 0 ? this.heap.alloc(bytes) : at
  }
  giveScratch(address: number): void {
    const end = this.traceScratchAt + traceScratch
    if (this.traceScratchAt > 0 && address >= this.traceScratchAt && address < end) return
    this.heap.free(address)
  }

  /** Runs calls that do not depend on each other: they write to places apart, and nothing that another one reads. */
  run(calls: readonly Call[]): void {
    if (calls.length > 1 && this.pool && this.pool.width > 1) return this.pool.run(calls)
    for (const { fn, args } of calls) this.call(fn, args)
  }

  /**
   * How many calls it pays to cut `work` into: about a nanosecond of one thread a unit. May be more than there are threads.
   */
  pieces(work: number): number {
    if (this.pool === null || work < this.minimumWork) return 1
    this.untrace()
    this.pool.start()
    const { width } = this.pool
    if (width === 1) return 1
    const most = work < longWork * this.minimumWork * width ? width : piecesPerThread * width
    return Math.max(1, Math.min(most, Math.floor((2 * work) / this.minimumWork)))
  }

  /** Ends the threads. Nothing may be run afterwards. */
  async close(): Promise<void> {
    await this.pool?.close()
  }

  /** The address of 8 bytes that hold `value`: kernels load constants from there before their loops. */
  constant(type: "f32" | "f64" | "i32", value: number): number {
    const key = `${type} ${Object.is(value, -0) ? "-0" : value}`
    let address = this.constants.get(key)
    if (address !== undefined) return address
    if (this.constantsLeft < 8) {
      this.constantsAt = this.heap.alloc(4096)
      this.constantsLeft = 4096
    }
    address = this.constantsAt
    const view = new DataView(this.memory.buffer, address, 8)
    if (type === "f32") view.setFloat32(0, value, true)
    else if (type === "f64") view.setFloat64(0, value, true)
    else view.setInt32(0, value, true)
    this.constantsAt += 8
    this.constantsLeft -= 8
    this.constants.set(key, address)
    return address
  }
}
