// How four neighbouring elements of each dtype lie in vectors, and how they get there from memory and back.
// float32, int32, uint32: one vector. uint8: one vector of four int32. bool: one vector of four masks (0 or -1). float64: two vectors.
import type { DType } from "@rondo/backend"
import type { FunctionBuilder, Local, Operand, Value } from "./assembler/function.js"

/** Dtypes that this backend has. */
export const laneDTypes = ["bool", "uint8", "int32", "uint32", "float32", "float64"] as const satisfies readonly DType[]

/** How instructions that tell signed integers from unsigned ones end: lanes of uint8 are int32. */
export const signOf = (dtype: DType): "s" | "u" => (dtype === "uint32" ? "u" : "s")

/** Four elements: one vector, or two for float64. */
export type Lanes = readonly Value[]

/** Lanes in variables: they may be used any number of times. */
export const keepLanes = (f: FunctionBuilder, lanes: Lanes): readonly Local[] => lanes.map((x) => f.keep(x))

const isByte = (dtype: DType): boolean => dtype === "uint8" || dtype === "bool"

/** Bytes in the low 32 bits of `x` as lanes. */
function widen(f: FunctionBuilder, dtype: DType, x: Value): Lanes {
  const wide = f.op("i32x4.extend_low_i16x8_u", f.op("i16x8.extend_low_i8x16_u", x))
  return [dtype === "bool" ? f.op("i32x4.ne", wide, f.zero()) : wide]
}

/** The bytes of lanes of uint8 or bool, in the low 32 bits. */
function narrow(f: FunctionBuilder, dtype: DType, [x]: Lanes): Value {
  // Masks saturate from -1 to 255 as unsigned bytes would not: shift them to 1 first.
  const plain = dtype === "bool" ? f.op("i32x4.shr_u", x, 31) : x
  return f.op("i8x16.narrow_i16x8_u", f.op("i16x8.narrow_i32x4_s", plain, f.zero()), f.zero())
}

/** Four elements that lie side by side. Up to 15 bytes behind the last may be read. */
export function loadLanes(f: FunctionBuilder, dtype: DType, at: Value, offset = 0): Lanes {
  if (isByte(dtype)) return widen(f, dtype, f.load("v128.load32_zero", at, offset))
  if (dtype === "float64") return [f.load("v128.load", at, offset), f.load("v128.load", at, offset + 16)]
  return [f.load("v128.load", at, offset)]
}

/** One element in all four lanes. */
export function splatLanes(f: FunctionBuilder, dtype: DType, at: Value): Lanes {
  if (isByte(dtype)) return widen(f, dtype, f.load("v128.load8_splat", at))
  if (dtype === "float64") {
    const both = f.keep(f.load("v128.load64_splat", at))
    return [both, both]
  }
  return [f.load("v128.load32_splat", at)]
}

/** Elements at `at` and three byte distances from it. */
export function gatherLanes(f: FunctionBuilder, dtype: DType, at: Value, distances: readonly Local[]): Lanes {
  const [one, two, three] = distances.map((distance) => at.add(distance))
  if (dtype === "float64") {
    const pair = (x: Value, y: Value): Value => f.load("v128.load64_lane", y, 0, [f.load("v128.load64_zero", x)], 1)
    return [pair(at, one), pair(two, three)]
  }
  const width = isByte(dtype) ? 8 : 32
  const next = (address: Value, into: Value, lane: number): Value =>
    f.load(`v128.load${width}_lane`, address, 0, [into], lane)
  const first = width === 8 ? f.load("v128.load8_splat", at) : f.load("v128.load32_zero", at)
  const all = next(three, next(two, next(one, first, 1), 2), 3)
  return width === 8 ? widen(f, dtype, all) : [all]
}

/** Writes four elements side by side. */
export function storeLanes(f: FunctionBuilder, dtype: DType, at: Value, lanes: Lanes, offset = 0): void {
  if (isByte(dtype)) f.store("v128.store32_lane", at, narrow(f, dtype, lanes), offset, 0)
  else lanes.forEach((x, i) => f.store("v128.store", at, x, offset + 16 * i))
}

/** Writes the first of four elements. */
export function storeOne(f: FunctionBuilder, dtype: DType, at: Value, lanes: Lanes): void {
  const width = isByte(dtype) ? 8 : dtype === "float64" ? 64 : 32
  f.store(`v128.store${width}_lane`, at, isByte(dtype) ? narrow(f, dtype, lanes) : lanes[0], 0, 0)
}

/** Writes the first `count` (1 to 3) of four elements, `stride` bytes apart; nothing else is touched. */
export function storeSome(
  f: FunctionBuilder,
  dtype: DType,
  at: Value,
  lanes: Lanes,
  count: Value,
  stride: Operand,
): void {
  const kept = isByte(dtype) ? [f.keep(narrow(f, dtype, lanes))] : lanes.map((x) => f.keep(x))
  const width = isByte(dtype) ? 8 : dtype === "float64" ? 64 : 32
  const perVector = dtype === "float64" ? 2 : 4
  const address = f.keep(at)
  const one = (k: number): void =>
    f.store(`v128.store${width}_lane`, address, kept[Math.floor(k / perVector)], 0, k % perVector)
  const from = (k: number): void => {
    if (k > 0) address.inc(stride)
    one(k)
    if (k < 3) f.if(count.gt(k + 1), () => from(k + 1))
  }
  from(0)
}
