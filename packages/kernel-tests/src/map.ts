// Cases of maps: every operator, every conversion, every pattern of strides, every number of elements.
import {
  anyUnary,
  arithmetic,
  bitwise,
  comparison,
  type DType,
  DTypeError,
  e,
  type Expr,
  floatUnary,
  hostArray,
  isFloat,
  type Operator,
} from "@rondo/backend"
import { describe, it } from "vitest"
import { exact, type Tolerance } from "./agreement.js"
import { encode, type Operand, pick, randomFrom } from "./operands.js"
import { combinations, type Subject } from "./subject.js"

export interface Geometry {
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset?: number
}
export const flat = (n: number, offset = 0): Geometry => ({ shape: [n], strides: [1], offset })

const oddFloats = [0, 1, -1, 0.5, 2, Infinity, -Infinity, NaN, -0, 2.5, 3e4, -1e-3]
const oddIntegers = [2147483647, -2147483648, 65536]

/** 400 elements with zeros, signs and ties; floats with infinities and NaN, integers with the ends of their range. */
export function mapOperand(dtype: DType, { shape, strides, offset = 0 }: Geometry, seed: number): Operand {
  const data = hostArray(dtype, 400)
  const random = randomFrom(seed)
  for (let i = 0; i < data.length; i++) {
    if (dtype === "bool") data[i] = random() < 0.5 ? 1 : 0
    else if (isFloat(dtype))
      data[i] = encode(dtype, random() < 0.3 ? pick(oddFloats, random) : Math.floor(random() * 2000) / 250 - 4)
    else data[i] = random() < 0.1 ? pick(oddIntegers, random) : Math.floor(random() * 80) - 40
  }
  return { dtype, shape, strides, offset, data }
}

const unary: readonly Operator[] = [...floatUnary, ...anyUnary]
const inexact: readonly Operator[] = [
  ...floatUnary.filter((op) => !["sqrt", "floor", "ceil", "round", "trunc"].includes(op)),
  ...(["pow", "atan2"] as const),
]
// Four units in the last place; of 16-bit floats, the next number.
const tolerances: Partial<Record<DType, Tolerance>> = {
  float64: { relative: 4e-15, scale: 0 },
  float32: { relative: 5e-7, scale: 0 },
  float16: { relative: 1e-3, scale: 1e-4 },
  bfloat16: { relative: 8e-3, scale: 1e-4 },
}

/** `op` of two inputs, or null if it is not defined for the dtype. */
function applied(op: Operator, dtype: DType): Expr | null {
  const [x, y] = [e.input(0, dtype), e.input(1, dtype)]
  try {
    return unary.includes(op) ? e[op as "neg"](x) : e[op as "add"](x, y)
  } catch (error) {
    if (error instanceof DTypeError) return null
    throw error
  }
}

/** What the contract defines of a conversion: integers from floats that fit. */
function fitting(x: Expr, to: DType): Expr {
  if (!isFloat(x.dtype) || isFloat(to) || to === "bool") return x
  const fits = e.where(e.lt(e.abs(x), e.like(x, to === "uint8" ? 200 : 4e4)), x, e.like(x, 3))
  return to === "uint8" ? e.abs(fits) : fits
}

const patterns: Readonly<Record<string, Geometry>> = {
  contiguous: { shape: [5, 7, 3], strides: [21, 3, 1] },
  "row for all": { shape: [5, 7, 3], strides: [0, 0, 1] },
  "column for all": { shape: [5, 7, 3], strides: [7, 1, 0] },
  "one for all": { shape: [5, 7, 3], strides: [0, 0, 0] },
  transposed: { shape: [5, 7, 3], strides: [1, 5, 35] },
  reversed: { shape: [5, 7, 3], strides: [-21, -3, -1], offset: 104 },
  spread: { shape: [5, 7, 3], strides: [70, 9, 2], offset: 4 },
}

type Compare = (
  exprs: readonly Expr[],
  dtypes: readonly DType[],
  from: readonly Geometry[],
  to: Geometry,
  options?: { note?: string; tolerance?: Tolerance; scalars?: readonly number[] },
) => Promise<void>

/** Registers the cases. */
export function describeMaps(subject: Subject): void {
  const compare: Compare = (exprs, dtypes, from, to, { note = "map", tolerance, scalars } = {}) => {
    const inputs = dtypes.map((dtype, i) => mapOperand(dtype, from[i], 7 + i))
    const outputs = exprs.map(({ dtype }) => mapOperand(dtype, to, 99))
    return subject.agree(note, { kind: "map", exprs }, inputs, outputs, tolerance, scalars)
  }
  describeOperators(subject, compare)
  describeStrides(subject, compare)
  describe("maps that read what they write", () => {
    it("may swap places", async () => {
      for (const dtype of subject.dtypes) {
        for (const n of [1, 4, 33, 64]) {
          const both = [mapOperand(dtype, flat(n), 1), mapOperand(dtype, flat(n), 2)]
          await subject.agree(dtype, { kind: "map", exprs: [e.input(1, dtype), e.input(0, dtype)] }, both, both)
        }
      }
    })
  })
}

function describeOperators({ dtypes }: Subject, compare: Compare): void {
  describe("every operator", () => {
    for (const dtype of dtypes) {
      const [x, y] = [e.input(0, dtype), e.input(1, dtype)]
      for (const op of [...unary, ...arithmetic, ...bitwise, ...comparison]) {
        const expr = applied(op, dtype)
        if (!expr) continue
        const options = { tolerance: inexact.includes(op) ? tolerances[dtype] : exact }
        it(`${op} of ${dtype}`, async () => {
          await compare([expr], [dtype, dtype], [flat(391, 3), flat(391, 5)], flat(391, 2), options)
          await compare([expr], [dtype, dtype], [flat(9, 3), flat(9)], flat(9, 3), options)
        })
      }
      for (const to of dtypes)
        it(`${dtype} to ${to}`, () => compare([e.cast(fitting(x, to), to)], [dtype], [flat(391)], flat(391)))
      it(`where of ${dtype}`, () => {
        const from = [flat(77), flat(77), flat(77, 1)]
        return compare([e.where(e.input(2, "bool"), x, y)], [dtype, dtype, "bool"], from, flat(77))
      })
      it(`scalars and constants of ${dtype}`, () => {
        const expr = e.where(e.eq(x, e.const(1, dtype)), e.scalar(1, dtype), x)
        return compare([expr], [dtype], [flat(77)], flat(77), { scalars: [5, 1] })
      })
    }
    it("constants that are no ordinary numbers", () => {
      const list = [NaN, Infinity, -Infinity, -0, 1e-45, 3.4028234663852886e38, 2 ** -126, 0.1]
      const exprs = list.map((value) => e.const(value, "float32"))
      return compare(exprs, [], [], flat(5))
    })
    it("all integers that floats round", async () => {
      // Of uint32 also beyond 2^31, where neighbouring floats are 256 apart.
      for (const [dtype, from] of [["int32", 2 ** 24], ["uint32", 2 ** 24], ["uint32", 2 ** 31 + 2 ** 30]] as const) {
        const large = e.add(e.input(0, dtype), e.const(from, dtype))
        await compare([e.cast(large, "float32")], [dtype], [flat(391)], flat(391), { note: `${dtype} ${from}` })
      }
    }) // prettier-ignore
  })
}

function describeStrides({ dtypes, slow }: Subject, compare: Compare): void {
  const outputs = ["contiguous", "transposed", "reversed", "spread"]
  describe("every pattern of strides", () => {
    for (const dtype of dtypes) {
      const [x, y] = [e.input(0, dtype), e.input(1, dtype)]
      const expr = dtype === "bool" ? e.xor(x, y) : e.max(x, y)
      for (const [a, first] of Object.entries(patterns)) {
        it(`${dtype}: ${a} with any into any`, async () => {
          const seconds = slow ? ["row for all", "transposed", a] : Object.keys(patterns)
          for (const [b, to] of combinations<[string, string]>(1, seconds, outputs))
            await compare([expr], [dtype, dtype], [first, patterns[b]], patterns[to], { note: `${b} into ${to}` })
        })
      }
      it(`${dtype}: rows of two`, async () => {
        const swapped: Geometry = { shape: [5, 7, 2], strides: [2, 10, 1], offset: 3 }
        await compare([x], [dtype], [swapped], { shape: [5, 7, 2], strides: [14, 2, 1], offset: 1 })
        await compare([x], [dtype], [swapped], { shape: [5, 7, 2], strides: [21, 3, 1] })
      })
      it(`${dtype}: touches nothing beyond, whatever the number of elements and the offset`, async () => {
        for (let n = 0; n <= (slow ? 21 : 37); n++) await compare([x], [dtype], [flat(n, n % 3)], flat(n, n % 5))
      })
    }
    it("writes outputs of all sizes at once", async () => {
      const x = e.input(0, "float32")
      const others = dtypes.filter((dtype) => isFloat(dtype)).map((dtype) => e.cast(x, dtype))
      const exprs = [e.gt(x, e.like(x, 0)), e.mul(x, x), e.ne(x, x), ...others]
      const counts = slow ? [1, 2, 3, 4, 5, 6, 7, 16, 391] : [...Array(38).keys(), 391]
      for (const [n, offset] of combinations<[number, number]>(1, counts, [3, 4]))
        await compare(exprs, ["float32"], [flat(n, 1)], flat(n, offset), { note: `${n}` })
    })
  })
}
