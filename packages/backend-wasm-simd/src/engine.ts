// One WebAssembly memory and the code that runs on it: modules are compiled when first needed and kept by key.
// Knows neither kernels nor tensors.
import { type Callable, type MemoryImport, ModuleBuilder } from "./assembler/module.js"
import type { FunctionBuilder } from "./assembler/function.js"
import { Heap } from "./heap.js"
import { imports } from "./imports.js"

/** A compiled function. Arguments are numbers; addresses above 2^31 may be given as they are. */
export interface Compiled {
  readonly call: (...args: number[]) => number
  /** Number of its module, and its name there: how another thread finds it. */
  readonly module: number
  readonly name: string
}

/** One call of a compiled function. */
export interface Call {
  readonly fn: Compiled
  readonly args: readonly number[]
}

const relaxedProbe = new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 8, 1, 0x60, 3, 0x7b, 0x7b, 0x7b, 1, 0x7b, 3, 2, 1, 0, 10, 13, 1, 11, 0, 0x20, 0, 0x20, 1,
  0x20, 2, 0xfd, 0x85, 2, 0x0b,
]) // prettier-ignore

/** Whether this engine has relaxed SIMD, and with it fused multiply-add. */
export const hasRelaxed = (): boolean => WebAssembly.validate(relaxedProbe)

export interface EngineOptions {
  /** Most bytes of memory. */
  readonly maximumBytes: number
  /** Memory that other threads can see. */
  readonly shared: boolean
  /** Use fused multiply-add. */
  readonly relaxed: boolean
}

/** What kernels are compiled for and run on. */
export class Engine {
  readonly memory: WebAssembly.Memory
  readonly heap: Heap
  readonly relaxed: boolean
  private readonly memoryImport: MemoryImport
  private readonly compiled = new Map<string, unknown>()
  private readonly constants = new Map<string, number>()
  private constantsAt = 0
  private constantsLeft = 0
  private modules = 0

  constructor({ maximumBytes, shared, relaxed }: EngineOptions) {
    const maximum = Math.ceil(maximumBytes / 65536)
    this.memoryImport = { maximum, shared }
    this.memory = new WebAssembly.Memory({ initial: 1, maximum, shared })
    this.heap = new Heap(this.memory, maximum)
    this.relaxed = relaxed
  }

  /** What `build` makes of `key`: made once. */
  cached<T>(key: string, build: () => T): T {
    let made = this.compiled.get(key) as T | undefined
    if (made === undefined) this.compiled.set(key, (made = build()))
    return made
  }

  /** A module with the functions that `build` returns, compiled; equal keys mean equal modules. */
  compile<N extends string>(key: string, build: (module: ModuleBuilder) => Record<N, FunctionBuilder>): Record<N, Compiled> {
    return this.cached(key, () => {
      const module = new ModuleBuilder(this.memoryImport)
      const functions = build(module)
      const exports = this.instantiate(module.bytes(), module.importNames)
      const number = this.modules++
      const result = {} as Record<N, Compiled>
      for (const name of Object.keys(functions) as N[]) {
        const inside = (functions[name] as Callable).name
        result[name] = { call: exports[inside] as Compiled["call"], module: number, name: inside }
      }
      return result
    })
  }

  private instantiate(bytes: Uint8Array<ArrayBuffer>, names: readonly string[]): WebAssembly.Exports {
    const env: Record<string, WebAssembly.ImportValue> = { memory: this.memory }
    for (const name of names) env[name] = imports[name]
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env }).exports
  }

  /** Runs calls that do not depend on each other. */
  run(calls: readonly Call[]): void {
    for (const { fn, args } of calls) fn.call(...args)
  }

  /** How many calls it pays to cut `work` into: about a nanosecond of one thread a unit. */
  pieces(_work: number): number {
    return 1
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
