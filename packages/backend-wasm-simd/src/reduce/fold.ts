// How a reduction puts lanes together: accumulators, their merging, and the last step across lanes. Emits no loop.
import { type DType, DTypeError, isFloat, type ReduceOperator } from "@rondo/backend"
import type { Local, Value } from "../assembler/function.js"
import { keepLanes, type Lanes, signOf } from "../lanes.js"
import { type VectorCode, VectorTarget } from "../vector.js"

/**
 * Accumulators of four lanes, in several parts, so that the latency of one operation is hidden behind the others. Part `p`
 * folds what lies `p * distance` positions behind part 0.
 */
export interface Fold {
  /** What it folds; expressions are cast to it. */
  readonly takes: DType
  /** What it results in. */
  readonly gives: DType
  /** Lanes that change nothing. */
  readonly neutral: Lanes
  /** True if parts lose precision when they fold more than a few dozen values without `flush`. */
  readonly blocks: boolean
  start(): void
  /** `position` of part 0's lanes, int32: only for argmax and argmin. */
  fold(part: number, x: Lanes, position: Value | null): void
  flush(): void
  /** The result of each lane. */
  lanes(): Lanes
  /** One result for all lanes, in lane 0. */
  across(): Lanes
}

const swapHalves = [2, 3, 0, 1]
const second = [1, 1, 1, 1]

/** Lanes of a constant. */
const constant = (code: VectorCode, value: number, dtype: DType): Lanes =>
  new VectorTarget(code, [], []).const(value, dtype)

const vectors = (code: VectorCode, count: number): Local[] => Array.from({ length: count }, () => code.f.local("v128"))

/** The dtype in which integers and bools are folded. */
export const carrierOf = (dtype: DType): DType => (dtype === "uint32" ? dtype : "int32")

/** The neutral element, which is also what an empty reduction gives. */
export function neutralOf(op: ReduceOperator, dtype: DType): number {
  const float = isFloat(dtype)
  const least = signOf(dtype) === "u" ? 0 : -(2 ** 31)
  switch (op) {
    case "prod":
    case "all":
      return 1
    case "max":
    case "argmax":
      return float ? -Infinity : least
    case "min":
    case "argmin":
      return float ? Infinity : least + 2 ** 32 - 1
    default:
      return 0
  }
}

/** What a reduction folds and what comes out, before it is cast to the output's dtype. */
export function foldDTypes(op: ReduceOperator, dtype: DType): { takes: DType; gives: DType } {
  if (op === "any" || op === "all") {
    if (isFloat(dtype)) throw new DTypeError(`reduce: ${op} is not defined for ${dtype}`)
    return { takes: "bool", gives: "bool" }
  }
  const takes = isFloat(dtype) ? (op === "prod" ? "float64" : dtype) : carrierOf(dtype)
  if (op === "argmax" || op === "argmin") return { takes, gives: "int32" }
  return { takes, gives: op === "sum" && takes === "float32" ? "float64" : takes }
}

/** Accumulators for `op` on expressions of `dtype`. */
export function makeFold(code: VectorCode, op: ReduceOperator, dtype: DType, parts: number, distance: number): Fold {
  const { takes } = foldDTypes(op, dtype)
  if (op === "argmax" || op === "argmin") return new PositionFold(code, op, takes, parts, distance)
  if (op === "sum" && takes === "float32") return new BlockSum(code, parts)
  if (op === "sum" && takes === "float64") return new CompensatedSum(code, parts)
  return new PlainFold(code, op, takes, parts)
}

/** Operators that one instruction folds without loss. */
class PlainFold implements Fold {
  readonly takes: DType
  readonly gives: DType
  readonly neutral: Lanes
  readonly blocks = false
  private readonly code: VectorCode
  private readonly parts: readonly (readonly Local[])[]
  private readonly instruction: string

  constructor(code: VectorCode, op: ReduceOperator, takes: DType, parts: number) {
    this.code = code
    this.takes = takes
    this.gives = takes
    this.neutral = constant(code, neutralOf(op, takes), takes)
    this.parts = Array.from({ length: parts }, () => vectors(code, takes === "float64" ? 2 : 1))
    const sign = signOf(takes)
    const integers = { sum: "i32x4.add", prod: "i32x4.mul", max: `i32x4.max_${sign}`, min: `i32x4.min_${sign}` }
    if (op === "any") this.instruction = "v128.or"
    else if (op === "all") this.instruction = "v128.and"
    else if (!isFloat(takes)) this.instruction = integers[op as keyof typeof integers]
    else this.instruction = `${takes === "float64" ? "f64x2" : "f32x4"}.${op === "prod" ? "mul" : op}`
  }

  private both = (a: Value, b: Value): Value => this.code.f.op(this.instruction, a, b)

  start(): void {
    for (const part of this.parts) part.forEach((acc, half) => acc.set(this.neutral[half]))
  }
  fold(part: number, x: Lanes): void {
    this.parts[part].forEach((acc, half) => acc.set(this.both(acc, x[half])))
  }
  flush(): void {}
  lanes(): Lanes {
    const [first, ...rest] = this.parts
    for (const part of rest) first.forEach((acc, half) => acc.set(this.both(acc, part[half])))
    return first
  }
  across(): Lanes {
    const { f } = this.code
    const lanes = this.lanes() as readonly Local[]
    const wide = lanes.length === 2
    const two = wide ? this.both(lanes[0], lanes[1]) : this.both(lanes[0], f.shuffle32(lanes[0], lanes[0], swapHalves))
    const x = f.keep(two)
    const one = f.keep(this.both(x, f.shuffle32(x, x, wide ? swapHalves : second)))
    return wide ? [one, one] : [one]
  }
}

/** float32: blocks of a few dozen additions in float32, their sums in float64. */
class BlockSum implements Fold {
  readonly takes = "float32"
  readonly gives = "float64"
  readonly neutral: Lanes
  readonly blocks = true
  private readonly code: VectorCode
  private readonly parts: readonly Local[]
  private readonly totals: readonly Local[]

  constructor(code: VectorCode, parts: number) {
    this.code = code
    this.neutral = constant(code, 0, "float32")
    this.parts = vectors(code, parts)
    this.totals = vectors(code, 2)
  }

  start(): void {
    for (const acc of [...this.parts, ...this.totals]) acc.set(this.neutral[0])
  }
  fold(part: number, [x]: Lanes): void {
    const acc = this.parts[part]
    acc.set(this.code.f.op("f32x4.add", acc, x))
  }
  flush(): void {
    const { f } = this.code
    const tree = (list: readonly Value[]): Value => {
      if (list.length === 1) return list[0]
      const half = Math.ceil(list.length / 2)
      return f.op("f32x4.add", tree(list.slice(0, half)), tree(list.slice(half)))
    }
    const block = f.keep(tree(this.parts))
    const [low, high] = this.totals
    low.set(f.op("f64x2.add", low, f.op("f64x2.promote_low_f32x4", block)))
    high.set(f.op("f64x2.add", high, f.op("f64x2.promote_low_f32x4", f.shuffle32(block, block, swapHalves))))
    for (const acc of this.parts) acc.set(this.neutral[0])
  }
  lanes(): Lanes {
    return this.totals
  }
  across(): Lanes {
    const { f } = this.code
    const x = f.keep(f.op("f64x2.add", this.totals[0], this.totals[1]))
    const sum = f.keep(f.op("f64x2.add", x, f.shuffle32(x, x, swapHalves)))
    return [sum, sum]
  }
}

interface Compensated {
  readonly sum: Local
  readonly lost: Local
}

/** float64: what each addition loses is kept beside the sum (D. Knuth's two-sum; A. Neumaier, ZAMM 54, 1974). */
class CompensatedSum implements Fold {
  readonly takes = "float64"
  readonly gives = "float64"
  readonly neutral: Lanes
  readonly blocks = false
  private readonly code: VectorCode
  private readonly parts: readonly Compensated[]

  constructor(code: VectorCode, parts: number) {
    this.code = code
    this.neutral = constant(code, 0, "float64")
    this.parts = Array.from({ length: 2 * parts }, () => {
      const [sum, lost] = vectors(code, 2)
      return { sum, lost }
    })
  }

  private add({ sum, lost }: Compensated, x: Value, more?: Value): void {
    const { f } = this.code
    const term = f.keep(x)
    const before = f.keep(sum)
    const minus = (a: Value, b: Value): Value => f.op("f64x2.sub", a, b)
    sum.set(f.op("f64x2.add", before, term))
    const taken = f.keep(minus(sum, before))
    const error = f.op("f64x2.add", minus(before, minus(sum, taken)), minus(term, taken))
    lost.set(f.op("f64x2.add", lost, more ? f.op("f64x2.add", more, error) : error))
  }
  /** An infinite sum has no correction (it is NaN). */
  private corrected({ sum, lost }: Compensated): Value {
    const { f } = this.code
    const finite = f.op("f64x2.eq", f.op("f64x2.sub", lost, lost), this.neutral[0])
    return f.op("f64x2.add", sum, f.op("v128.and", lost, finite))
  }

  start(): void {
    for (const { sum, lost } of this.parts) for (const acc of [sum, lost]) acc.set(this.neutral[0])
  }
  fold(part: number, x: Lanes): void {
    x.forEach((half, i) => this.add(this.parts[2 * part + i], half))
  }
  flush(): void {}
  private merged(): readonly Compensated[] {
    const [low, high, ...rest] = this.parts
    rest.forEach(({ sum, lost }, i) => this.add(i % 2 === 0 ? low : high, sum, lost))
    return [low, high]
  }
  lanes(): Lanes {
    return keepLanes(this.code.f, this.merged().map((part) => this.corrected(part))) // prettier-ignore
  }
  across(): Lanes {
    const { f } = this.code
    const [low, high] = this.merged()
    this.add(low, high.sum, high.lost)
    const [sum, lost] = [low.sum, low.lost].map((x) => f.keep(f.shuffle32(x, x, swapHalves)))
    this.add(low, sum, lost)
    const result = f.keep(this.corrected(low))
    return [result, result]
  }
}

interface Extreme {
  readonly best: readonly Local[]
  /** Lanes as wide as those of `best`. */
  readonly at: readonly Local[]
}

/** argmax and argmin: the first of equals, and NaN beats everything. */
class PositionFold implements Fold {
  readonly takes: DType
  readonly gives = "int32"
  readonly neutral: Lanes
  readonly blocks = false
  private readonly code: VectorCode
  private readonly parts: readonly Extreme[]
  private readonly type: string
  private readonly greatest: boolean
  private readonly distance: number

  constructor(code: VectorCode, op: ReduceOperator, takes: DType, parts: number, distance: number) {
    this.code = code
    this.takes = takes
    this.greatest = op === "argmax"
    this.distance = distance
    this.neutral = constant(code, neutralOf(op, takes), takes)
    const count = takes === "float64" ? 2 : 1
    this.type = takes === "float64" ? "f64x2" : takes === "float32" ? "f32x4" : "i32x4"
    this.parts = Array.from({ length: parts }, () => ({ best: vectors(code, count), at: vectors(code, count) }))
  }

  private op(name: string, a: Value, b: Value): Value {
    return this.code.f.op(`${this.type}.${name}`, a, b)
  }
  /** Lanes of int32 as wide as the values. */
  private widened(position: Value): Value[] {
    const { f } = this.code
    if (this.takes !== "float64") return [position]
    return ["low", "high"].map((half) => f.op(`i64x2.extend_${half}_i32x4_s`, position))
  }
  /** Whether x beats the best so far. */
  private beats(x: Value, best: Value): Value {
    if (this.type === "i32x4") return this.op(`${this.greatest ? "gt" : "lt"}_${signOf(this.takes)}`, x, best)
    const orderly = this.op("eq", best, best)
    return this.code.f.op("v128.andnot", orderly, this.op(this.greatest ? "le" : "ge", x, best))
  }
  private equal(x: Value, y: Value): Value {
    const { f } = this.code
    if (this.type === "i32x4") return this.op("eq", x, y)
    return f.op("v128.or", this.op("eq", x, y), f.op("v128.and", this.op("ne", x, x), this.op("ne", y, y)))
  }

  // Positions start at 0: if nothing ever beats the neutral element, everything equals it, and 0 is the first.
  start(): void {
    const zero = constant(this.code, 0, "int32")[0]
    for (const { best, at } of this.parts) {
      best.forEach((acc, half) => acc.set(this.neutral[half]))
      for (const acc of at) acc.set(zero)
    }
  }
  fold(part: number, x: Lanes, position: Value): void {
    const { f } = this.code
    const { best, at } = this.parts[part]
    const places = this.widened(position)
    x.forEach((half, i) => {
      const value = f.keep(half)
      const mask = f.keep(this.beats(value, best[i]))
      best[i].set(f.op("v128.bitselect", value, best[i], mask))
      at[i].set(f.op("v128.bitselect", places[i], at[i], mask))
    })
  }
  flush(): void {}

  private merge(best: Local, at: Local, x: Value, place: Value): void {
    const { f } = this.code
    const earlier = f.op(this.takes === "float64" ? "i64x2.lt_s" : "i32x4.lt_s", place, at)
    const tie = f.op("v128.and", this.equal(x, best), earlier)
    const mask = f.keep(f.op("v128.or", this.beats(x, best), tie))
    best.set(f.op("v128.bitselect", x, best, mask))
    at.set(f.op("v128.bitselect", place, at, mask))
  }
  private merged(): Extreme {
    const { code } = this
    const { f } = code
    const [first, ...rest] = this.parts
    const add = this.takes === "float64" ? "i64x2.add" : "i32x4.add"
    rest.forEach(({ best, at }, p) => {
      const away = this.widened(constant(code, (p + 1) * this.distance, "int32")[0])
      best.forEach((x, i) => this.merge(first.best[i], first.at[i], x, f.keep(f.op(add, at[i], away[i]))))
    })
    return first
  }
  private narrowed(low: Value, high: Value): Lanes {
    return [this.takes === "float64" ? this.code.f.shuffle32(low, high, [0, 2, 4, 6]) : low]
  }
  lanes(): Lanes {
    const { at } = this.merged()
    return this.narrowed(at[0], at[at.length - 1])
  }
  across(): Lanes {
    const { f } = this.code
    const { best, at } = this.merged()
    const wide = best.length === 2
    if (wide) this.merge(best[0], at[0], best[1], at[1])
    for (const order of wide ? [swapHalves] : [swapHalves, second]) {
      const [x, place] = [best[0], at[0]].map((v) => f.keep(f.shuffle32(v, v, order)))
      this.merge(best[0], at[0], x, place)
    }
    return this.narrowed(at[0], at[0])
  }
}
