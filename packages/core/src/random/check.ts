// Argument checks shared by the draws, and the element types that they fill. No drawing here.
import { DTypeError, ValueError, fromBfloat16, fromFloat16, hostArray, toBfloat16, toFloat16 } from "@rondo/backend"

/** The element types of real-valued draws. The 16-bit ones come back as their bits, as everywhere on the host. */
export type RealDType = "float32" | "float64" | "float16" | "bfloat16"

/** The host array of each real dtype. */
export interface RealArrays {
  float32: Float32Array
  float64: Float64Array
  float16: Uint16Array
  bfloat16: Uint16Array
}

interface RealInfo {
  /** Bits of the significand, the hidden one included: how fine a uniform draw is. */
  readonly digits: number
  readonly max: number
  /** A number as the array of this dtype takes it. */
  readonly encode: (x: number) => number
  /** The number behind an element of that array. */
  readonly decode: (x: number) => number
  /** A number rounded to this dtype, as a number. */
  readonly round: (x: number) => number
}

const same = (x: number): number => x

function half(digits: number, max: number, to: (x: number) => number, from: (bits: number) => number): RealInfo {
  const encode = (x: number): number => to(Math.fround(x))
  return { digits, max, encode, decode: from, round: (x) => from(encode(x)) }
}

/** What the draws need to know of each dtype. 16-bit values round through float32, as PyTorch's casts do. */
export const real: Record<RealDType, RealInfo> = {
  float32: { digits: 24, max: (2 - 2 ** -23) * 2 ** 127, encode: same, decode: same, round: Math.fround },
  float64: { digits: 53, max: Number.MAX_VALUE, encode: same, decode: same, round: same },
  float16: half(11, 65504, toFloat16, fromFloat16),
  bfloat16: half(8, (2 - 2 ** -7) * 2 ** 127, toBfloat16, fromBfloat16),
}

/** An empty array for `n` draws of `dtype`. Throws for a count that is not whole or negative, and for another dtype. */
export function realArray<D extends RealDType>(operation: string, n: number, dtype: D): RealArrays[D] {
  checkCount(operation, n)
  if (!Object.hasOwn(real, dtype)) {
    throw new DTypeError(
      `${operation}: dtype is not floating: got ${String(dtype)}, expected ${Object.keys(real).join(", ")}`,
    )
  }
  return hostArray(dtype, n) as RealArrays[D]
}

/** Throws a ValueError unless `n` counts elements. */
export function checkCount(operation: string, n: number): void {
  if (!Number.isSafeInteger(n) || n < 0) {
    throw new ValueError(`${operation}: number of elements: got ${String(n)}, expected a whole number >= 0`)
  }
}

/** Throws a ValueError that reads `operation: name: got value, expected rule` unless `ok`. */
export function checkValue(ok: boolean, operation: string, [name, value, rule]: [string, unknown, string]): void {
  if (!ok) throw new ValueError(`${operation}: ${name}: got ${String(value)}, expected ${rule}`)
}
