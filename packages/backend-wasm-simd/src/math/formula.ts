// Arithmetic on vectors of one float type, so that formulas read as formulas. Knows no function of mathematics.
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { VectorCode } from "../code.js"

/** A function of vectors that emits itself in place. Operands may be used any number of times. */
export type Inline = (code: VectorCode, ...args: readonly Local[]) => Value

const words = new DataView(new ArrayBuffer(8))

/** The double whose 64 bits are `bits`: constants that integer arithmetic needs. */
export function doubleOf(bits: bigint): number {
  words.setBigUint64(0, bits)
  return words.getFloat64(0)
}

/** Four float32 or two float64. Values are trees: what is used twice must be kept. */
export class Formula {
  readonly code: VectorCode
  readonly f: FunctionBuilder
  readonly type: "f32x4" | "f64x2"
  /** Integers of the same width, for work on the bits. */
  private readonly whole: "i32x4" | "i64x2"

  constructor(code: VectorCode, type: "f32x4" | "f64x2") {
    this.code = code
    this.f = code.f
    this.type = type
    this.whole = type === "f32x4" ? "i32x4" : "i64x2"
  }

  /** A constant in all lanes. `-0` is the mask of signs, `-Infinity` that of sign and exponent. */
  c(value: number): Value {
    return this.code.constant(this.type === "f32x4" ? "f32" : "f64", value)
  }
  keep(x: Value): Local {
    return this.f.keep(x)
  }

  add(a: Value, b: Value): Value {
    return this.f.op(`${this.type}.add`, a, b)
  }
  sub(a: Value, b: Value): Value {
    return this.f.op(`${this.type}.sub`, a, b)
  }
  mul(a: Value, b: Value): Value {
    return this.f.op(`${this.type}.mul`, a, b)
  }
  div(a: Value, b: Value): Value {
    return this.f.op(`${this.type}.div`, a, b)
  }
  /** `a * b + c`. */
  madd(a: Value, b: Value, c: Value): Value {
    return this.code.madd(this.type, a, b, c)
  }
  /**
   * A polynomial in `x`; the coefficient of the highest power comes first. Summed in pairs by x^2: half as long a chain of
   * results that wait for each other, which is what bounds the speed.
   */
  polynomial(x: Local, coefficients: readonly number[]): Value {
    const pairs: Value[] = coefficients.length % 2 ? [this.c(coefficients[0])] : []
    for (let i = pairs.length; i < coefficients.length; i += 2) {
      pairs.push(this.madd(this.c(coefficients[i]), x, this.c(coefficients[i + 1])))
    }
    if (pairs.length === 1) return pairs[0]
    const square = this.keep(this.mul(x, x))
    return pairs.reduce((sum, pair) => this.madd(sum, square, pair))
  }
  abs(x: Value): Value {
    return this.f.op("v128.andnot", x, this.c(-0))
  }
  floor(x: Value): Value {
    return this.f.op(`${this.type}.floor`, x)
  }
  /** `x` or `limit`, whichever is less; NaN stays. */
  atMost(x: Value, limit: number): Value {
    return this.f.op(`${this.type}.pmin`, x, this.c(limit))
  }
  atLeast(x: Value, limit: number): Value {
    return this.f.op(`${this.type}.pmax`, x, this.c(limit))
  }
  is(comparison: "eq" | "ne" | "lt" | "le" | "gt" | "ge", a: Value, b: Value): Value {
    return this.f.op(`${this.type}.${comparison}`, a, b)
  }
  /** `a` where the mask is set, else `b`. */
  select(mask: Value, a: Value, b: Value): Value {
    return this.f.op("v128.bitselect", a, b, mask)
  }
  /** The size of `x` with the sign of `sign`. */
  copySign(x: Value, sign: Value): Value {
    return this.select(this.c(-0), sign, x)
  }

  and(a: Value, b: Value): Value {
    return this.f.op("v128.and", a, b)
  }
  or(a: Value, b: Value): Value {
    return this.f.op("v128.or", a, b)
  }
  xor(a: Value, b: Value): Value {
    return this.f.op("v128.xor", a, b)
  }
  /** Sum, difference and shifts of the bits as integers. */
  addBits(a: Value, b: Value): Value {
    return this.f.op(`${this.whole}.add`, a, b)
  }
  subBits(a: Value, b: Value): Value {
    return this.f.op(`${this.whole}.sub`, a, b)
  }
  shiftLeft(x: Value, count: number): Value {
    return this.f.op(`${this.whole}.shl`, x, count)
  }
  /** Keeps the sign for 32-bit lanes, fills with zeros for 64-bit ones (which have no fast signed shift). */
  shiftRight(x: Value, count: number): Value {
    return this.f.op(this.type === "f32x4" ? "i32x4.shr_s" : "i64x2.shr_u", x, count)
  }
  sameBits(a: Value, b: Value): Value {
    return this.f.op(`${this.whole}.eq`, a, b)
  }
}
