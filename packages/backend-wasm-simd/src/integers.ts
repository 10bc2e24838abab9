// Operators on lanes of int32, uint32, uint8 (as int32 from 0 to 255) and bool (as masks).
import { type DType, DTypeError, type Operator } from "@rondo/backend"
import type { FunctionBuilder, Value } from "./assembler/function.js"
import type { VectorCode } from "./code.js"
import { signOf } from "./lanes.js"

const boolNames: Partial<Record<Operator, string>> = {
  and: "v128.and",
  or: "v128.or",
  xor: "v128.xor",
  add: "v128.or",
  max: "v128.or",
  mul: "v128.and",
  min: "v128.and",
  sub: "v128.xor",
  not: "v128.not",
  eq: "i32x4.eq",
  ne: "i32x4.ne",
  // True is -1: the order of masks is the reverse of that of bools.
  lt: "i32x4.gt_s",
  le: "i32x4.ge_s",
  gt: "i32x4.lt_s",
  ge: "i32x4.le_s",
}

/** An operator on masks. */
export function boolOperator(f: FunctionBuilder, op: Operator, a: Value, b?: Value): Value {
  const name = boolNames[op]
  if (!name) throw new DTypeError(`map: operator ${op} is not defined for bool`)
  return b ? f.op(name, a, b) : f.op(name, a)
}

const vectorNames: Partial<Record<Operator, string>> = {
  neg: "i32x4.neg",
  abs: "i32x4.abs",
  not: "v128.not",
  add: "i32x4.add",
  sub: "i32x4.sub",
  mul: "i32x4.mul",
  max: "i32x4.max",
  min: "i32x4.min",
  and: "v128.and",
  or: "v128.or",
  xor: "v128.xor",
  eq: "i32x4.eq",
  ne: "i32x4.ne",
  lt: "i32x4.lt",
  le: "i32x4.le",
  gt: "i32x4.gt",
  ge: "i32x4.ge",
}
/** Operators that come once for signed and once for unsigned integers. */
const signed: readonly Operator[] = ["max", "min", "lt", "le", "gt", "ge"]
const compares: readonly Operator[] = ["eq", "ne", "lt", "le", "gt", "ge"]

/** An operator on integers; results of uint8 wrap to 8 bits. */
export function integerOperator(code: VectorCode, op: Operator, dtype: DType, a: Value, b?: Value): Value {
  const { f } = code
  const sign = signOf(dtype)
  const name = signed.includes(op) ? `${vectorNames[op]}_${sign}` : vectorNames[op]
  let result: Value
  // Nothing unsigned is below 0.
  if (op === "abs" && sign === "u") result = a
  else if (name) result = b ? f.op(name, a, b) : f.op(name, a)
  else if (b && op in laneByLane) result = eachLane(code, op, dtype, a, b)
  else throw new DTypeError(`map: operator ${op} is not defined for ${dtype}`)
  return dtype === "uint8" && !compares.includes(op) ? f.op("v128.and", result, code.constant("i32", 255)) : result
}

type Scalar = (f: FunctionBuilder, a: Value, b: Value, bits: number, sign: "s" | "u") => Value

// What SIMD lacks: division, powers, and shifts by a count of each lane's own.
const laneByLane: Partial<Record<Operator, Scalar>> = {
  shl: (_, a, b, bits) => a.shl(b.and(bits - 1)),
  shr: (f, a, b, bits, sign) => f.op(`i32.shr_${sign}`, a, b.and(bits - 1)),
  div: (f, a, b, _, sign) => f.invoke(divide(f, "div", sign), a, b),
  mod: (f, a, b, _, sign) => f.invoke(divide(f, "rem", sign), a, b),
  pow: (f, a, b, _, sign) => f.invoke(power(f, sign), a, b),
}

function eachLane({ f }: VectorCode, op: Operator, dtype: DType, a: Value, b: Value): Value {
  const x = f.keep(a)
  const y = f.keep(b)
  const scalar = laneByLane[op] as Scalar
  const bits = dtype === "uint8" ? 8 : 32
  const result = f.keep(x)
  for (let i = 0; i < 4; i++) {
    const lane = (v: Value): Value => f.lane("i32x4.extract_lane", i, v)
    result.set(f.lane("i32x4.replace_lane", i, result, scalar(f, lane(x), lane(y), bits, signOf(dtype))))
  }
  return result
}

/** Truncating division or its remainder; 0 where the divisor is 0, and wrapping at the least integer by -1. */
function divide({ module }: FunctionBuilder, kind: "div" | "rem", sign: "s" | "u"): FunctionBuilder {
  const name = `integer ${kind}_${sign}`
  return module.once(name, () => {
    const f = module.define(name, ["i32", "i32"], "i32", true)
    const [a, b] = f.args
    f.if(b.eq(0), () => f.return(0))
    if (sign === "s") f.if(b.eq(-1), () => f.return(kind === "div" ? f.i32(0).sub(a) : 0))
    f.give(f.op(`i32.${kind}_${sign}`, a, b))
    return f
  })
}

/** By squaring, wrapping. A negative exponent gives the truncated reciprocal: 0 unless the base is 1 or -1. */
function power({ module }: FunctionBuilder, sign: "s" | "u"): FunctionBuilder {
  const name = `integer pow_${sign}`
  return module.once(name, () => {
    const f = module.define(name, ["i32", "i32"], "i32", true)
    const [base, exponent] = f.args
    if (sign === "s") {
      f.if(exponent.lt(0), () => {
        f.if(base.eq(1), () => f.return(1))
        f.if(base.eq(-1), () => f.return(f.select(exponent.and(1), -1, 1)))
        f.return(0)
      })
    }
    const result = f.local("i32", 1)
    f.while(
      () => exponent,
      () => {
        f.if(exponent.and(1), () => result.set(result.mul(base)))
        base.set(base.mul(base))
        exponent.set(exponent.shr(1))
      },
    )
    f.give(result)
    return f
  })
}
