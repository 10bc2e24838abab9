// Conversions of lanes from one dtype to another.
import type { DType } from "@rondo/backend"
import type { FunctionBuilder, Value } from "./assembler/function.js"
import type { VectorCode } from "./code.js"
import { type Lanes, signOf } from "./lanes.js"

const evenLanes = [0, 2, 4, 6]
const lowTwice = [0, 0, 1, 1]
const highTwice = [2, 2, 3, 3]

/** Four masks of 32 bits from two vectors of two masks of 64 bits. */
export const narrowMasks = (f: FunctionBuilder, [low, high]: Lanes): Lanes => [f.shuffle32(low, high, evenLanes)]
/** The reverse. */
export function widenMasks(f: FunctionBuilder, [x]: Lanes): Lanes {
  const mask = f.keep(x)
  return [f.shuffle32(mask, mask, lowTwice), f.shuffle32(mask, mask, highTwice)]
}

/** The upper half of four 32-bit lanes, in the lower half. */
const upper = (f: FunctionBuilder, x: Value): Value => f.shuffle32(x, x, [2, 3, 2, 3])

/**
 * Lanes of int32 or uint32 from truncating instructions that saturate: the signed one says what negative numbers wrap to, the unsigned
 * one what all others are.
 */
function wholeLanes({ f }: VectorCode, to: DType, truncate: (sign: "s" | "u") => Value): Value {
  if (signOf(to) === "s") return truncate("s")
  const signed = f.keep(truncate("s"))
  return f.op("v128.or", truncate("u"), f.op("v128.and", signed, f.op("i32x4.shr_s", signed, f.i32(31))))
}

/** Converts lanes as the `cast` node of the contract says. */
export function castLanes(code: VectorCode, arg: Lanes, from: DType, to: DType): Lanes {
  const { f } = code
  if (from === to) return arg
  if (to === "bool") {
    if (from === "float64") {
      const zero = code.constant("f64", 0)
      return narrowMasks(f, arg.map((x) => f.op("f64x2.ne", x, zero))) // prettier-ignore
    }
    return [f.op(from === "float32" ? "f32x4.ne" : "i32x4.ne", arg[0], code.constant("i32", 0))]
  }
  if (from === "float64") {
    const joinedBy = (instruction: string): Value =>
      f.shuffle32(f.op(instruction, arg[0]), f.op(instruction, arg[1]), [0, 1, 4, 5])
    if (to === "float32") return [joinedBy("f32x4.demote_f64x2_zero")]
    const joined = wholeLanes(code, to, (sign) => joinedBy(`i32x4.trunc_sat_f64x2_${sign}_zero`))
    return to === "uint8" ? [f.op("v128.and", joined, code.constant("i32", 255))] : [joined]
  }
  if (from === "float32") {
    if (to === "float64") {
      const x = f.keep(arg[0])
      return [f.op("f64x2.promote_low_f32x4", x), f.op("f64x2.promote_low_f32x4", upper(f, x))]
    }
    const whole = wholeLanes(code, to, (sign) => f.op(`i32x4.trunc_sat_f32x4_${sign}`, arg[0]))
    return [to === "uint8" ? f.op("v128.and", whole, code.constant("i32", 255)) : whole]
  }
  const sign = signOf(from)
  const number = from === "bool" ? f.op("i32x4.neg", arg[0]) : arg[0]
  switch (to) {
    case "float32":
      return [f.op(`f32x4.convert_i32x4_${sign}`, number)]
    case "float64": {
      const x = f.keep(number)
      const convert = `f64x2.convert_low_i32x4_${sign}`
      return [f.op(convert, x), f.op(convert, upper(f, x))]
    }
    case "uint8":
      return [f.op("v128.and", number, code.constant("i32", 255))]
    default:
      return [number]
  }
}
