// Puts functions together into the bytes of a WebAssembly module. Knows sections and encodings, nothing of kernels.
import { FunctionBuilder } from "./function.js"
import { leb, type ValueType } from "./instructions.js"

const typeCodes: Record<ValueType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b }

/** The memory that a module imports as `env.memory`. */
export interface MemoryImport {
  /** Most pages of 64 KiB; must agree with the memory itself. */
  readonly maximum: number
  readonly shared: boolean
}

/** A function that can be called: one of the module's own or an import. */
export interface Callable {
  readonly name: string
  readonly params: readonly ValueType[]
  readonly result: ValueType | null
}

const text = (value: string): number[] => {
  const bytes = [...new TextEncoder().encode(value)]
  return [...leb(bytes.length), ...bytes]
}

/** Bytes in pieces: joined once, as pieces of pieces are copied as often as they are deep. */
type Pieces = (readonly number[])[]

const lengthOf = (pieces: Pieces): number => pieces.reduce((n, piece) => n + piece.length, 0)

/** A list with its length in front. */
const vector = (items: Pieces): Pieces => [leb(items.length), ...items]

const section = (id: number, content: Pieces): Pieces => [[id, ...leb(lengthOf(content))], ...content]

function joined(pieces: Pieces): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthOf(pieces))
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

/**
 * Collects functions and writes the module. The memory and all imported functions come from the import object's `env`.
 */
export class ModuleBuilder {
  private readonly memory: MemoryImport
  private readonly imports: Callable[] = []
  private readonly functions: FunctionBuilder[] = []
  private readonly exported = new Set<FunctionBuilder>()
  private readonly helpers = new Map<string, FunctionBuilder>()

  constructor(memory: MemoryImport) {
    this.memory = memory
  }

  /** An imported function, once for each name. Import before defining functions that call it: numbers depend on it only at the end. */
  import(name: string, params: readonly ValueType[], result: ValueType | null): Callable {
    const known = this.imports.find((one) => one.name === name)
    if (known) return known
    const made: Callable = { name, params, result }
    this.imports.push(made)
    return made
  }

  /** A new function; exported under its name unless `internal`. */
  define(
    name: string,
    params: readonly ValueType[],
    result: ValueType | null = null,
    internal = false,
  ): FunctionBuilder {
    const made = new FunctionBuilder(this, name, params, result)
    this.functions.push(made)
    if (!internal) this.exported.add(made)
    return made
  }

  /** Exports a function that was defined as internal. */
  expose(f: FunctionBuilder): FunctionBuilder {
    this.exported.add(f)
    return f
  }

  /** A helper function that several kernels of this module share: defined at the first call. */
  once(key: string, define: () => FunctionBuilder): FunctionBuilder {
    let made = this.helpers.get(key)
    if (!made) this.helpers.set(key, (made = define()))
    return made
  }

  /** Names of imported functions, for the import object. */
  get importNames(): readonly string[] {
    return this.imports.map(({ name }) => name)
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const signatures: number[][] = []
    const keys = new Map<string, number>()
    const typeOf = ({ params, result }: Callable): number => {
      const results = result ? [1, typeCodes[result]] : [0]
      const code = [0x60, ...leb(params.length), ...params.map((t) => typeCodes[t]), ...results]
      const key = code.join()
      let index = keys.get(key)
      if (index === undefined) {
        index = signatures.push(code) - 1
        keys.set(key, index)
      }
      return index
    }
    const env = text("env")
    const limits = [this.memory.shared ? 3 : 1, ...leb(0), ...leb(this.memory.maximum)]
    const importTypes = this.imports.map(typeOf)
    const types = this.functions.map(typeOf)
    const imports = [
      [...env, ...text("memory"), 2, ...limits],
      ...this.imports.map(({ name }, i) => [...env, ...text(name), 0, ...leb(importTypes[i])]),
    ]
    const exports = this.functions
      .filter((f) => this.exported.has(f))
      .map((f) => [...text(f.name), 0, ...leb(this.imports.length + this.functions.indexOf(f))])
    const places = new Map<Callable, readonly number[]>()
    for (const [i, callable] of [...this.imports, ...this.functions].entries()) places.set(callable, leb(i))
    const bodies = this.functions.flatMap((f) => body(f, places))
    return joined([
      [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(1, vector(signatures)),
      ...section(2, vector(imports)),
      ...section(3, vector(types.map(leb))),
      ...section(7, vector(exports)),
      ...section(10, [leb(this.functions.length), ...bodies]),
    ])
  }
}

/** Locals in runs of one type, then the code, with its length in front. */
function body(f: FunctionBuilder, places: ReadonlyMap<Callable, readonly number[]>): Pieces {
  const { locals } = f
  const runs: number[] = []
  let count = 0
  for (let i = 0; i < locals.length; count++) {
    let end = i
    while (end < locals.length && locals[end] === locals[i]) end++
    runs.push(...leb(end - i), typeCodes[locals[i]])
    i = end
  }
  const code: number[] = []
  for (const part of f.code) {
    if (typeof part === "number") code.push(part)
    else code.push(...placeOf(part, places))
  }
  code.push(0x0b)
  const head = [...leb(count), ...runs]
  return [[...leb(head.length + code.length), ...head], code]
}

function placeOf(callable: Callable, places: ReadonlyMap<Callable, readonly number[]>): readonly number[] {
  const place = places.get(callable)
  if (!place) throw new Error(`wasm-simd: ${callable.name} belongs to another module`)
  return place
}
