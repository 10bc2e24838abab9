// What all kernels of this folder share: parameters, addresses of operands, and what happens to a finished sum: bias,
// accumulation, epilogue, or a partial sum that is put aside.
import { computeDType, type DType, type Program, type View } from "@rondo/backend"
import { bind, type Bindings, inQuads } from "../bindings.js"
import { librarySource } from "../functions.js"
import type { Gpu } from "../gpu.js"
import { scalarBits } from "../map.js"
import { param } from "../queue.js"
import { readElement, type WgslType, wgslType, wordFunctions, writeElement } from "../types.js"
import { renderWgsl, WgslTarget } from "../wgsl.js"
import { type Quads, quadsOf } from "./block.js"
import type { Placed, Problem } from "./problem.js"

/** What is done with the sum of an output element. */
export interface Finish {
  readonly bias: boolean
  readonly accumulate: boolean
  readonly epilogue: Program | null
  /** Dtypes of the epilogue's scalars, by number. */
  readonly scalars: readonly string[]
  /** The dtype in which the epilogue reads the finished value. */
  readonly value: DType
}

/** Positions of parameters that every kernel has. */
export const at = { m: 0, n: 1, k: 2, rows: 3, cols: 4, splits: 5, share: 6, total: 7, batches: 8 } as const
const first = 9

/** How work is cut: into groups of threads along rows and columns, and k into shares. */
export interface Cut {
  readonly rows: number
  readonly cols: number
  readonly splits: number
  /** Elements of k in each share. */
  readonly share: number
  /** Groups, or threads where each works alone. */
  readonly total: number
}

/** A problem with its buffers: what source and parameters are made from. */
export interface Bound {
  readonly problem: Problem
  readonly finish: Finish
  /** Where partial sums go, or come from. */
  readonly partial: View | null
  readonly bindings: Bindings
  /** Operands in the order of their parameters and slots. */
  readonly operands: readonly Placed[]
  /** How a and b can be read four words at a time. */
  readonly quads: { readonly a: Quads; readonly b: Quads }
  readonly key: string
}

const none = { a: null, b: null } as const

/** Both factors' quads, and the slots that are read so: no other operand may lie there. */
function quadsFor({ a, b, m, n }: Problem, { slots, kinds }: Bindings, outputs: number, wanted: readonly Quads[]) {
  const use = (quads: Quads): Quads => (wanted.includes(quads) ? quads : null)
  const quads = {
    a: use(quadsOf(a.view, a.row, a.col, m, a.batch)),
    b: use(quadsOf(b.view, b.col, b.row, n, b.batch)),
  }
  const [x, y] = [slots[outputs], slots[outputs + 1]]
  const alone = (slot: number): boolean => {
    const others = slots.filter((other, i) => other === slot && i !== outputs && i !== outputs + 1)
    return kinds[slot] === "r" && others.length === 0
  }
  if (!alone(x) || (x === y && quads.b === null)) quads.a = null
  if (!alone(y) || (x === y && quads.a === null)) quads.b = null
  return { quads, slots: [...(quads.a ? [x] : []), ...(quads.b ? [y] : [])] }
}

/**
 * Binds the operands of one pass: all of them; `put`: those of a product whose sums are put aside; `take`: those that are
 * needed to finish such sums. `inFours`: the ways in which factors may be read four words at a time.
 */
export function bound(
  gpu: Gpu,
  problem: Problem,
  finish: Finish,
  partial: View | null,
  pass: "all" | "put" | "take",
  inFours: readonly Quads[] = [],
): Bound {
  const { a, b, wholes } = problem
  const operands = pass === "put" ? [a, b] : pass === "take" ? wholes : [a, b, ...wholes]
  const reads = (pass === "put" ? [a, b] : pass === "take" ? wholes.slice(1) : [a, b, ...wholes.slice(1)]).map(
    (x) => x.view,
  )
  const written = pass === "put" ? [] : [wholes[0].view]
  const outputs = pass === "put" ? [partial as View] : written
  const words = bind(gpu, outputs, pass === "take" ? [...reads, partial as View] : reads)
  const fours = pass === "take" ? { quads: none, slots: [] } : quadsFor(problem, words, outputs.length, inFours)
  const bindings = inQuads(words, fours.slots)
  const dtypes = operands.map((x) => x.view.dtype).join()
  const ends =
    pass === "put"
      ? ""
      : `${finish.bias ? "b" : ""}${finish.accumulate ? "a" : ""} ${finish.value} ${finish.epilogue?.key ?? ""}`
  const { quads } = fours
  const key = `${pass} ${problem.batch.length} ${bindings.key} ${quads.a} ${quads.b} ${dtypes} ${ends}`
  return { problem, finish, partial, bindings, operands, quads, key }
}

/** Words that the parameters of a problem take. */
export const paramCount = ({ batch, wholes }: Problem, scalars: number): number =>
  first + batch.length + (2 + wholes.length) * (3 + batch.length) + scalars

/** The parameters: sizes, then offset and strides of each operand, then scalars. */
export function paramsOf({ problem, finish, operands }: Bound, cut: Cut, scalars: readonly number[]): number[] {
  const { m, n, k, batch, batches } = problem
  const params = [m, n, k, cut.rows, cut.cols, cut.splits, cut.share, cut.total, batches, ...batch]
  for (const { view, row, col, batch: strides } of operands) params.push(view.offset, row, col, ...strides)
  finish.scalars.forEach((dtype, i) => params.push(scalarBits(dtype, scalars[i])))
  return params
}

/** The WGSL type in which a dtype's products are added. */
export function sumType(dtype: DType): SumType {
  const type = wgslType(dtype)
  return type === "bool" ? "i32" : type
}

export type SumType = Exclude<WgslType, "bool">

/** An operand as words: the index of a line's first term, the way to the next term, and what lies at an index. */
export interface Words {
  readonly start: (line: string) => string
  readonly step: string
  readonly load: (index: string) => string
  readonly quad: (index: string) => string
}

/** WGSL for one pass: what a kernel's source is put together from. */
export interface Parts {
  /** Functions: `place(batch)`, which must be called first; `at_a`, `at_b`: elements; `finish(row, col, sum)`. */
  readonly functions: string
  /** Type of sums. */
  readonly type: SumType
  /** An operand by index: a thread that reads along a line works out its start once. */
  readonly words: (factor: "a" | "b") => Words
  /** An expression for element (row, k) of a and (k, col) of b. */
  readonly readA: (row: string, k: string) => string
  readonly readB: (k: string, col: string) => string
  /** An expression for partial sum `index`. */
  readonly readPartial: (index: string) => string
}

/** Renders what all kernels share. */
export function partsOf(one: Bound): Parts {
  const { problem, finish, operands, bindings } = one
  const rank = problem.batch.length
  const type = sumType(problem.a.view.dtype)
  // Slots are numbered outputs first; operands a, b come before the output in parameters.
  const slotOf = (placed: Placed): number => {
    if (placed === problem.wholes[0]) return bindings.slots[0]
    const reads = operands.filter((x) => x !== problem.wholes[0])
    return bindings.slots[1 + reads.indexOf(placed)]
  }
  const start = (o: number): number => first + rank + o * (3 + rank)
  const index = (o: number, row: string, col: string): string =>
    `base${o} + (${row}) * ${param(start(o) + 1)} + (${col}) * ${param(start(o) + 2)}`
  const read = (placed: Placed, row: string, col: string): string =>
    readElement(placed.view.dtype, slotOf(placed), index(operands.indexOf(placed), row, col))
  const bases = operands.map((_, o) => `var<private> base${o}: u32;`).join("\n")
  const lines = ["var rest = batch;"]
  for (let d = rank - 1; d >= 0; d--) {
    lines.push(d > 0 ? `let c${d} = rest % ${param(first + d)}; rest = rest / ${param(first + d)};` : "let c0 = rest;")
  }
  operands.forEach((_, o) => {
    const terms = Array.from({ length: rank }, (_, d) => ` + c${d} * ${param(start(o) + 3 + d)}`)
    lines.push(`base${o} = ${param(start(o))}${terms.join("")};`)
  })
  const place = `${bases}\nfn place(batch: u32) {\n  ${lines.join("\n  ")}\n}`
  const library = new Set<string>()
  const ending = operands.includes(problem.wholes[0])
    ? finishSource(problem, finish, type, read, (placed, value) =>
        writeElement(placed.view.dtype, slotOf(placed), index(operands.indexOf(placed), "row", "col"), value), start(operands.length), library) // prettier-ignore
    : `fn finish(row: u32, col: u32, sum: ${type}) { store${bindings.slots[0]}(own + row * ${param(at.n)} + col, bitcast<u32>(sum)); }`
  const functions = [wordFunctions, librarySource(library), "var<private> own: u32;", place, ending].join("\n")
  const last = bindings.slots[bindings.slots.length - 1]
  const words = (factor: "a" | "b"): Words => {
    const o = factor === "a" ? 0 : 1
    const { dtype } = operands[o].view
    const slot = slotOf(operands[o])
    const [line, term] = factor === "a" ? [1, 2] : [2, 1]
    return {
      start: (index) => `base${o} + (${index}) * ${param(start(o) + line)}`,
      step: param(start(o) + term),
      load: (index) => readElement(dtype, slot, index),
      quad: (index) => `bitcast<vec4<${type}>>(quad${slot}(${index}))`,
    }
  }
  return {
    functions,
    type,
    words,
    readA: (row, k) => read(problem.a, row, k),
    readB: (k, col) => read(problem.b, k, col),
    readPartial: (i) => `bitcast<${type}>(load${last}(${i}))`,
  }
}

/** The function that ends an output element. */
function finishSource(
  { a, wholes }: Problem,
  { bias, accumulate, epilogue, value }: Finish,
  type: string,
  read: (placed: Placed, row: string, col: string) => string,
  write: (placed: Placed, value: string) => string,
  firstScalar: number,
  library: Set<string>,
): string {
  const [out, ...rest] = wholes
  const further = bias ? rest.slice(1) : rest
  const target = new WgslTarget(
    (index) => (index === 0 ? "finished" : read(further[index - 1], "row", "col")),
    (index) => param(firstScalar + index),
  )
  // Products of small integers are added as words; the dtype's own width counts from here on.
  const computed = computeDType(a.view.dtype)
  const terms = ["sum"]
  for (const x of [...(bias ? [rest[0]] : []), ...(accumulate ? [out] : [])]) {
    terms.push(target.cast(read(x, "row", "col"), computeDType(x.view.dtype), computed))
  }
  const whole = computed === "uint8" ? "(total & 255)" : "total"
  const finished = value === computed ? whole : target.cast(whole, computed, value)
  const values = epilogue ? renderWgsl(epilogue, target).values : ["finished"]
  for (const name of target.functions) library.add(name)
  return `fn finish(row: u32, col: u32, sum: ${type}) {
  let total = ${terms.join(" + ")};
  let finished = ${finished};
  ${target.statements.join("\n  ")}
  ${write(out, values[0])}
}`
}
