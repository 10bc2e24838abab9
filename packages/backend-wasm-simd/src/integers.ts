// Operators on lanes of int32, uint8 (as int32 from 0 to 255) and bool (as masks).
import { type DType, DTypeError, type Operator } from "@rondo/backend"
import type { FunctionBuilder, Value } from "./assembler/function.js"
import type { VectorCode } from "./code.js"

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
  max: "i32x4.max_s",
  min: "i32x4.min_s",
  and: "v128.and",
  or: "v128.or",
  xor: "v128.xor",
  eq: "i32x4.eq",
  ne: "i32x4.ne",
  lt: "i32x4.lt_s",
  le: "i32x4.le_s",
  gt: "i32x4.gt_s",
  ge: "i32x4.ge_s",
}
const compares: readonly Operator[] = ["eq", "ne", "lt", "le", "gt", "ge"]

/** An operator on integers; results of uint8 wrap to 8 bits. */
export function integerOperator(code: VectorCode, op: Operator, dtype: DType, a: Value, b?: Value): Value {
  const { f } = code
  const name = vectorNames[op]
  let result: Value
  if (name) result = b ? f.op(name, a, b) : f.op(name, a)
  else if (b && op in laneByLane) result = eachLane(code, op, dtype, a, b)
  else throw new DTypeError(`map: operator ${op} is not defined for ${dtype}`)
  return dtype === "uint8" && !compares.includes(op) ? f.op("v128.and", result, code.constant("i32", 255)) : result
}

type Scalar = (f: FunctionBuilder, a: Value, b: Value, bits: number) => Value

// What SIMD lacks: division, powers, and shifts by a count of each lane's own.
const laneByLane: Partial<Record<Operator, Scalar>> = {
  shl: (_, a, b, bits) => a.shl(b.and(bits - 1)),
  shr: (f, a, b, bits) => f.op("i32.shr_s", a, b.and(bits - 1)),
  div: (f, a, b) => f.invoke(divide(f, "div"), a, b),
  mod: (f, a, b) => f.invoke(divide(f, "rem"), a, b),
  pow: (f, a, b) => f.invoke(power(f), a, b),
}

function eachLane({ f }: VectorCode, op: Operator, dtype: DType, a: Value, b: Value): Value {
  const x = f.keep(a)
  const y = f.keep(b)
  const scalar = laneByLane[op] as Scalar
  const bits = dtype === "uint8" ? 8 : 32
  const result = f.keep(x)
  for (let i = 0; i < 4; i++) {
    const lane = (v: Value): Value => f.lane("i32x4.extract_lane", i, v)
    result.set(f.lane("i32x4.replace_lane", i, result, scalar(f, lane(x), lane(y), bits)))
  }
  return result
}

/** Truncating division or its remainder; 0 where the divisor is 0, and wrapping at the least integer by -1. */
function divide({ module }: FunctionBuilder, kind: "div" | "rem"): FunctionBuilder {
  return module.once(`integer ${kind}`, () => {
    const f = module.define(`integer ${kind}`, ["i32", "i32"], "i32", true)
    const [a, b] = f.args
    f.if(b.eq(0), () => f.return(0))
    f.if(b.eq(-1), () => f.return(kind === "div" ? f.i32(0).sub(a) : 0))
    f.give(f.op(`i32.${kind}_s`, a, b))
    return f
  })
}

/** By squaring, wrapping. A negative exponent gives the truncated reciprocal: 0 unless the base is 1 or -1. */
function power({ module }: FunctionBuilder): FunctionBuilder {
  return module.once("integer pow", () => {
    const f = module.define("integer pow", ["i32", "i32"], "i32", true)
    const [base, exponent] = f.args
    f.if(exponent.lt(0), () => {
      f.if(base.eq(1), () => f.return(1))
      f.if(base.eq(-1), () => f.return(f.select(exponent.and(1), -1, 1)))
      f.return(0)
    })
    const result = f.local("i32", 1)
    f.while(
      () => exponent.gt(0),
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
