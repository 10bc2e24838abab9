// How two lists of numbers are held against each other: tolerances by dtype, and the text that names the first difference.
import { type DType, isFloat } from "@rondo/backend"

/** How far a value may be off: `atol + rtol |expected| + ulp` units in the last place of the dtype. */
export interface Tolerance {
  readonly rtol?: number
  readonly atol?: number
  readonly ulp?: number
}

/** A property that does not hold. The text names the case's element, what came out and what was expected. */
export class ConformanceError extends Error {
  override readonly name = "ConformanceError"
}

export function fail(text: string): never {
  throw new ConformanceError(text)
}

/** Throws a ConformanceError with `text` unless `condition` holds. */
export function hold(condition: boolean, text: string): void {
  if (!condition) fail(text)
}

// Bits of the significand after the first, and the smallest exponent, of each float format (IEEE 754; bfloat16: float32's).
const formats: Partial<Record<DType, readonly [number, number]>> = {
  float16: [10, -14],
  bfloat16: [7, -126],
  float32: [23, -126],
  float64: [52, -1022],
}

/** The distance from `x` to the next number of `dtype`; 0 for integers and bools. */
export function ulpOf(x: number, dtype: DType): number {
  const format = formats[dtype]
  if (!format || !Number.isFinite(x)) return 0
  const exponent = x === 0 ? format[1] : Math.max(format[1], Math.floor(Math.log2(Math.abs(x))))
  return 2 ** (exponent - format[0])
}

/** The rounding error of one operation in `dtype`, relative to its result. */
export const epsilon = (dtype: DType): number => {
  const format = formats[dtype]
  return format ? 2 ** -format[0] : 0
}

/** What composed operations may be off by: a few roundings, and sums that a device may take in another order. */
export function tolerances(dtype: DType): Tolerance {
  if (!isFloat(dtype)) return {}
  const eps = epsilon(dtype)
  return dtype === "float64" ? { rtol: 1e-10, atol: 1e-12 } : { rtol: 64 * eps, atol: 16 * eps }
}

/** Numbers with their dtype and shape, off the device. */
export interface Host {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly values: ArrayLike<number>
}

export interface CompareOptions {
  /** Tell 0 from -0. */
  readonly signedZero?: boolean
  /** Says what is compared, when a case compares several things. */
  readonly what?: string
  /** What the expected side is called. */
  readonly source?: string
}

const near = (got: number, want: number, dtype: DType, tolerance: Tolerance): boolean => {
  if (got === want || (Number.isNaN(got) && Number.isNaN(want))) return true
  if (!Number.isFinite(want) || Number.isNaN(got)) return false
  const { rtol = 0, atol = 0, ulp = 0 } = tolerance
  const limit = atol + rtol * Math.abs(want) + ulp * ulpOf(want, dtype)
  // A value at the end of the range may round to infinity.
  if (!Number.isFinite(got)) return limit > 0 && Math.sign(got) * want > 0 && overflows(want, dtype)
  return Math.abs(got - want) <= limit
}

const largest: Partial<Record<DType, number>> = { float16: 65504, bfloat16: 3.38e38, float32: 3.4028e38 }
const overflows = (want: number, dtype: DType): boolean => Math.abs(want) > (largest[dtype] ?? Infinity) * 0.999

/** Compares elements; returns the largest error relative to max(1, |expected|), or throws a ConformanceError at the first that is off. */
export function compareValues(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  dtype: DType,
  tolerance: Tolerance,
  options: CompareOptions = {},
): number {
  const { what = "", source = "reference", signedZero = false } = options
  const prefix = what ? `${what}: ` : ""
  if (got.length !== want.length) fail(`${prefix}got ${got.length} elements, ${source} ${want.length}`)
  let worst = 0
  for (let i = 0; i < want.length; i++) {
    const zeros = signedZero && got[i] === 0 && want[i] === 0
    if (!near(got[i], want[i], dtype, tolerance) || (zeros && Object.is(got[i], -0) !== Object.is(want[i], -0))) {
      fail(`${prefix}element ${i}: got ${text(got[i])}, ${source} ${text(want[i])} (${dtype})`)
    }
    const error = Math.abs(got[i] - want[i]) / Math.max(1, Math.abs(want[i]))
    if (error > worst && Number.isFinite(error)) worst = error
  }
  return worst
}

const text = (x: number): string => (Object.is(x, -0) ? "-0" : String(x))

/** As {@link compareValues}, and dtype and shape must agree as well. */
export function compareHosts(got: Host, want: Host, tolerance: Tolerance, options: CompareOptions = {}): number {
  const { what = "", source = "reference" } = options
  const prefix = what ? `${what}: ` : ""
  hold(got.dtype === want.dtype, `${prefix}got dtype ${got.dtype}, ${source} ${want.dtype}`)
  const same = got.shape.length === want.shape.length && got.shape.every((size, d) => size === want.shape[d])
  hold(same, `${prefix}got shape [${got.shape.join(", ")}], ${source} [${want.shape.join(", ")}]`)
  return compareValues(got.values, want.values, want.dtype, tolerance, options)
}
