// Conversions between dtypes, and of single numbers into a dtype. Truncation and wrapping are those of typed-array stores.
import { type DType, fromBfloat16, fromFloat16, type HostArray, isFloat, toBfloat16, toFloat16 } from "@rondo/backend"
import { family, type FloatArray, type IntArray, isHalf, type Loop } from "./loop.js"

type Big = BigInt64Array

// The same line four times: one function for all would see every kind of array and run several times slower.
const floatToFloat: Loop<FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i]
}
const floatToInt: Loop<IntArray, FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i]
}
const intToFloat: Loop<FloatArray, IntArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i]
}
const intToInt: Loop<IntArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i]
}

const floatToBool: Loop<Uint8Array, FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] !== 0 ? 1 : 0
}
const intToBool: Loop<Uint8Array, IntArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] !== 0 ? 1 : 0
}
const int64ToBool: Loop<Uint8Array, Big> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] !== 0n ? 1 : 0
}

/** Truncates; NaN gives 0, infinities the ends of the range. */
function toBigInt(x: number): bigint {
  if (x - x === 0) return BigInt(Math.trunc(x))
  return x > 0 ? 0x7fffffffffffffffn : x < 0 ? -0x8000000000000000n : 0n
}

const floatToInt64: Loop<Big, FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = toBigInt(a[ao + i])
}
const intToInt64: Loop<Big, IntArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = BigInt(a[ao + i])
}
const int64ToInt64: Loop<Big> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i]
}
const int64ToInt: Loop<IntArray, Big> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = Number(BigInt.asIntN(32, a[ao + i]))
}
const int64ToFloat64: Loop<Float64Array, Big> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = Number(a[ao + i])
}

/** A double that rounds to the float32 nearest to `x`: beyond 2^53 the low bits become one sticky bit. */
function toOdd(x: bigint): number {
  if (x < 0x20000000000000n && x > -0x20000000000000n) return Number(x)
  const low = x & 0xfffn
  return Number(low === 0n ? x : (x - low) | 0x800n)
}
const int64ToFloat32: Loop<Float32Array, Big> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = toOdd(a[ao + i])
}

/** Converts registers of `from` to registers of `to`. To a 16-bit float: not yet rounded, see `roundLoop`. */
export function castLoop(from: DType, to: DType): Loop {
  const source = family(from)
  if (to === "bool") return (source === "float" ? floatToBool : source === "int" ? intToBool : int64ToBool) as Loop
  if (source === "int64") {
    if (to === "int64") return int64ToInt64 as Loop
    if (to === "float64") return int64ToFloat64 as Loop
    return (isFloat(to) ? int64ToFloat32 : int64ToInt) as Loop
  }
  if (to === "int64") return (source === "float" ? floatToInt64 : intToInt64) as Loop
  if (isFloat(to)) return (source === "float" ? floatToFloat : intToFloat) as Loop
  return (source === "float" ? floatToInt : intToInt) as Loop
}

// 16-bit floats live in memory as bits and in registers as float32.
const loadFloat16: Loop<FloatArray, Uint16Array> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = fromFloat16(a[ao + i])
}
const loadBfloat16: Loop<FloatArray, Uint16Array> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = fromBfloat16(a[ao + i])
}
const storeFloat16: Loop<Uint16Array, FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = toFloat16(a[ao + i])
}
const storeBfloat16: Loop<Uint16Array, FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = toBfloat16(a[ao + i])
}
const roundFloat16: Loop<FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = fromFloat16(toFloat16(a[ao + i]))
}
const roundBfloat16: Loop<FloatArray> = (n, r, ro, a, ao) => {
  for (let i = 0; i < n; i++) r[ro + i] = fromBfloat16(toBfloat16(a[ao + i]))
}

/** From memory to registers. */
export const loadLoop = (dtype: DType): Loop =>
  (dtype === "float16" ? loadFloat16 : dtype === "bfloat16" ? loadBfloat16 : castLoop(dtype, dtype)) as Loop
/** From registers to memory. */
export const storeLoop = (dtype: DType): Loop =>
  (dtype === "float16" ? storeFloat16 : dtype === "bfloat16" ? storeBfloat16 : castLoop(dtype, dtype)) as Loop
/** Rounds registers to what the 16-bit float `dtype` can hold. */
export const roundLoop = (dtype: DType): Loop => (dtype === "float16" ? roundFloat16 : roundBfloat16) as Loop

/** A number as an element of `dtype`'s registers. */
export function element(dtype: DType, value: number): number | bigint {
  if (dtype === "int64") return toBigInt(value)
  if (dtype === "bool") return value !== 0 ? 1 : 0
  if (!isHalf(dtype)) return value
  return dtype === "float16" ? fromFloat16(toFloat16(value)) : fromBfloat16(toBfloat16(value))
}

/** Fills a register; the store converts. */
export function fillRegister(register: HostArray, value: number | bigint, n: number): void {
  if (typeof value === "bigint") (register as Big).fill(value, 0, n)
  else (register as Float32Array).fill(value, 0, n)
}
