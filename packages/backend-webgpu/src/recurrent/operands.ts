// Operands of the recurrent kernels: any strides, addressed by parameters, and how the units of a cell are computed from them.
import { type DType, type Expr, program, type View } from "@rondo/backend"
import { bind, type Bindings, inQuads } from "../bindings.js"
import { librarySource } from "../functions.js"
import type { Gpu } from "../gpu.js"
import { param } from "../queue.js"
import { readElement, wgslType, wordFunctions, writeElement } from "../types.js"
import { renderWgsl, WgslTarget } from "../wgsl.js"

/** The operands of one kernel by name. */
export class Operands<Name extends string> {
  readonly bindings: Bindings
  readonly key: string
  /** The operand that {@link quad} reads, if any. */
  readonly fours: Name | null
  private readonly views: readonly View[]
  private readonly names: readonly Name[]
  private readonly starts: readonly number[]

  /** Operands that are null are left out. Their parameters start at `first`. One that is only read may be read in vectors of four. */
  constructor(
    gpu: Gpu,
    written: Partial<Record<Name, View | null>>,
    read: Partial<Record<Name, View | null>>,
    first: number,
    inFours?: Name,
  ) {
    const given = (list: object): [Name, View][] => (Object.entries(list) as [Name, View | null][]).filter((x): x is [Name, View] => x[1] !== null) // prettier-ignore
    const [outputs, inputs] = [given(written), given(read)]
    const all = [...outputs, ...inputs]
    this.names = all.map(([name]) => name)
    this.views = all.map(([, view]) => view)
    const words = bind(gpu, outputs.map(([, view]) => view), inputs.map(([, view]) => view)) // prettier-ignore
    const slot = inFours === undefined ? -1 : words.slots[this.names.indexOf(inFours)]
    const fours = words.kinds[slot] === "r" && words.slots.filter((other) => other === slot).length === 1
    this.bindings = inQuads(words, fours ? [slot] : [])
    this.fours = fours ? (inFours as Name) : null
    let next = first
    this.starts = this.views.map(({ shape }) => (next += 1 + shape.length) - 1 - shape.length)
    this.key = `${this.bindings.key} ${all.map(([name, view]) => `${name}:${view.dtype}`).join()}`
  }

  has(name: Name): boolean {
    return this.names.includes(name)
  }

  /** Offsets and strides. */
  params(): number[] {
    return this.views.flatMap(({ offset, strides }) => [offset, ...strides])
  }

  /** The index of the element at these coordinates, and the way from there to the next along a dim. */
  index(name: Name, coordinates: readonly string[]): string {
    const start = this.starts[this.names.indexOf(name)]
    return [param(start), ...coordinates.map((c, d) => `(${c}) * ${param(start + 1 + d)}`)].join(" + ")
  }

  step(name: Name, dim: number): string {
    return param(this.starts[this.names.indexOf(name)] + 1 + dim)
  }

  /** The element at an index, and the four from there on. */
  load(name: Name, index: string): string {
    const v = this.names.indexOf(name)
    return readElement(this.views[v].dtype, this.bindings.slots[v], index)
  }
  quad(name: Name, index: string): string {
    return `bitcast<vec4<f32>>(quad${this.bindings.slots[this.names.indexOf(name)]}(${index}))`
  }

  /** An expression for the element at these coordinates. */
  read(name: Name, ...coordinates: string[]): string {
    return this.load(name, this.index(name, coordinates))
  }

  /** A statement that writes it. */
  write(name: Name, value: string, ...coordinates: string[]): string {
    const v = this.names.indexOf(name)
    return writeElement(this.views[v].dtype, this.bindings.slots[v], this.index(name, coordinates), value)
  }
}

/** A cell's expressions as a WGSL function that returns a struct. */
export interface CellFunction {
  readonly source: string
  /** Numbers of the inputs that it takes, in order. */
  readonly inputs: readonly number[]
}

/** The function `cell(x<n>, …) -> CellResult` with fields y0, y1, …. */
export function cellFunction(exprs: readonly Expr[]): CellFunction {
  const compiled = program(exprs)
  const inputs = [...new Set(compiled.nodes.flatMap((node) => (node.kind === "input" ? [node.index] : [])))]
  inputs.sort((a, b) => a - b)
  const target = new WgslTarget(
    (index) => `x${index}`,
    () => "0u",
  )
  const { statements, values } = renderWgsl(compiled, target)
  const source = `${wordFunctions}${librarySource(target.functions)}
struct CellResult { ${exprs.map((x, i) => `y${i}: ${wgslType(x.dtype)}`).join(", ")} }
fn cell(${inputs.map((i) => `x${i}: f32`).join(", ")}) -> CellResult {
  ${statements.join("\n  ")}
  return CellResult(${values.join(", ")});
}
`
  return { source, inputs }
}

/** Rounds a product to the dtype that it would be stored as. */
export function rounded(dtype: DType, value: string): string {
  if (dtype === "float16") return `f16_from(f16_to(${value}))`
  return dtype === "bfloat16" ? `bf16_from(bf16_to(${value}))` : value
}

/** `count` texts, one below the other. */
export const lines = (count: number, text: (i: number) => string, gap = "\n    "): string =>
  Array.from({ length: count }, (_, i) => text(i)).join(gap)
