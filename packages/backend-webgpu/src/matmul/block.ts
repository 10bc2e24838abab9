// The text of a product that every thread adds up on its own: a block of sums in registers, and no workgroup memory, so that no
// thread waits for another. Knows neither matrices nor cells.

import type { View } from "@rondo/backend"
import { perWord } from "../types.js"

/** What lies in four words beside each other: terms of a line, or a term of lines; null: neither, or not where vectors begin. */
export type Quads = "terms" | "lines" | null

/** How a factor's words lie: `line` and `term` are the strides to the next line and term, `others` any further ones. */
export function quadsOf(view: View, line: number, term: number, lines: number, others: readonly number[] = []): Quads {
  const whole = (stride: number): boolean => stride % 4 === 0
  if (perWord(view.dtype) !== 1 || !whole(view.offset) || !others.every(whole)) return null
  if (term === 1 && whole(line)) return "terms"
  return line === 1 && whole(term) && whole(lines) ? "lines" : null
}

/** One factor of a product, as a thread reads it. */
export interface Factor {
  /** Starts its names. */
  readonly name: string
  /** Lines of a thread: rows of the first factor, columns of the second. */
  readonly lines: number
  /** How it is read; null: word by word. */
  readonly quads: Quads
  /** Index of a line's first term, as an expression that may be long: it is evaluated once. */
  readonly start: (line: number) => string
  /** From a term to the next. */
  readonly step: string
  /** An element, or four beside each other as a vector. */
  readonly load: (index: string) => string
  readonly quad: (index: string) => string
}

/** Threads that adapters without cheap barriers run as one: neighbours, whose numbers are computed side by side. */
export const abreast = 4
/** What a read costs, in multiplications with addition: SwiftShader takes 25 to 40 ns for four threads, against 3 to 5. */
const readCost = 8

/** What a term of a block costs a thread. */
export const blockCost = (rows: number, cols: number): number => rows * cols + (rows + cols) * readCost

const each = (count: number, text: (i: number) => string, gap = "\n    "): string =>
  Array.from({ length: count }, (_, i) => text(i)).join(gap)

/** Sums lie in vectors along the second factor's lines. */
const widthOf = ({ lines }: Factor): 1 | 2 | 4 => (lines % 4 === 0 ? 4 : lines % 2 === 0 ? 2 : 1)

const starts = ({ name, lines, quads, start }: Factor): string =>
  quads === "lines"
    ? each(lines / 4, (q) => `let ${name}_at${q * 4} = ${start(q * 4)};`)
    : each(lines, (i) => `let ${name}_at${i} = ${start(i)};`)

/** Statements that read what terms `k` to `k + 3` share, and those that read term `k + kk` alone. */
const together = ({ name, lines, quads, quad }: Factor): string =>
  quads === "terms" ? each(lines, (i) => `let ${name}${i} = ${quad(`${name}_at${i} + k`)};`) : ""

function apart({ name, lines, quads, quad, load, step }: Factor, kk: string): string {
  const [far, at] = [`${name}_far`, (i: number) => `${name}_at${i} + ${name}_far`]
  const begin = `let ${far} = (k${kk}) * ${step};`
  if (quads === "terms") return ""
  if (quads === null) return `${begin} ${each(lines, (i) => `let ${name}${i} = ${load(at(i))};`, " ")}`
  return `${begin} ${each(lines / 4, (q) => `let ${name}${q * 4} = ${quad(at(q * 4))};`, " ")}`
}

/** The value of a line at term `kk` of those four. */
const valueOf = ({ name, quads }: Factor, line: number, kk: number): string => {
  if (quads === "terms") return `${name}${line}[${kk}]`
  return quads === "lines" ? `${name}${line & ~3}[${line & 3}]` : `${name}${line}`
}

/** `width` values of neighbouring lines. */
const vectorOf = (b: Factor, first: number, width: number, value: (line: number) => string, type: string): string => {
  if (width === 1) return value(first)
  if (width === 4 && b.quads === "lines") return `${b.name}${first}`
  return `vec${width}<${type}>(${each(width, (i) => value(first + i), ", ")})`
}

export interface Block {
  /** Statements: sums that are 0, then the loop over terms `k_from` to `k_to`, the first of them a multiple of four. */
  readonly text: string
  /** An expression for the sum of a row and a column. */
  readonly sum: (row: number, col: number) => string
}

/** The product of two factors; sums are of `type`. */
export function blockOfSums(a: Factor, b: Factor, type: "f32" | "i32" | "u32", from: string, to: string): Block {
  const width = widthOf(b)
  const vector = width === 1 ? type : `vec${width}<${type}>`
  const name = (row: number, v: number): string => `sum${row}_${v}`
  const vectors = b.lines / width
  const add = (left: Factor, right: Factor, kk: number): string => {
    const columns = (v: number): string => vectorOf(right, v * width, width, (c) => valueOf(right, c, kk), type)
    return `${each(vectors, (v) => `let ${b.name}v${v} = ${columns(v)};`, " ")}
      ${each(a.lines, (r) => each(vectors, (v) => `${name(r, v)} += ${valueOf(left, r, kk)} * ${b.name}v${v};`, " "), "\n      ")}`
  }
  const zeros = `${each(a.lines, (r) => each(vectors, (v) => `var ${name(r, v)} = ${vector}(0);`, " "))}
  ${starts(a)}
  ${starts(b)}
  var k = ${from};`
  const part = (col: number): string => (width === 1 ? "" : `[${col % width}]`)
  const sum = (row: number, col: number): string => `${name(row, Math.floor(col / width))}${part(col)}`
  if (a.quads !== "terms" && b.quads !== "terms") {
    // Nothing is read for four terms at once: one in the text takes a quarter of the time to compile.
    const text = `${zeros}
  for (; k < ${to}; k++) {
    ${apart(a, "")} ${apart(b, "")}
    ${add(a, b, 0)}
  }`
    return { text, sum }
  }
  const four = each(
    4,
    (kk) => `{ ${apart(a, ` + ${kk}u`)} ${apart(b, ` + ${kk}u`)}
      ${add(a, b, kk)} }`,
  )
  // The last terms, less than four, one by one.
  const one = (f: Factor): Factor => ({
    ...f,
    quads: null,
    load: (index) =>
      f.load(f.quads === "lines" ? index.replace(/_at(\d+)/, (_, i) => `_at${+i & ~3} + ${+i & 3}u`) : index),
  })
  const [last, other] = [one(a), one(b)]
  const text = `${zeros}
  for (; k + 4u <= ${to}; k += 4u) {
    ${together(a)}
    ${together(b)}
    ${four}
  }
  for (; k < ${to}; k++) {
    ${apart(last, "")} ${apart(other, "")}
    ${add(last, other, 0)}
  }`
  return { text, sum }
}
