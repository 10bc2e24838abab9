// What float functions are held to: exact values in float64, operands of every exponent and at every edge, and errors in units
// in the last place.
import { erf, roundHalfEven } from "@rondo/backend"

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))
/** C's pow, which differs from JavaScript's where the base is 1 or -1. */
const pow = (x: number, y: number): number => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y)

type Unary = Readonly<Record<string, (x: number) => number>>
type Binary = Readonly<Record<string, (x: number, y: number) => number>>

/** What functions of one operand should give, that need more than one instruction of a processor. */
export const unaryFunctions: Unary = {
  ...{ exp: Math.exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p, log2: Math.log2, log10: Math.log10 },
  ...{ sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan },
  ...{ sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh, sigmoid, erf },
}
/** The same for two operands. */
export const binaryFunctions: Binary = { pow, atan2: Math.atan2, mod: (x, y) => x % y }

/** Those that a processor has, or nearly. They are exact. */
export const unaryOperations: Unary = {
  ...{ sqrt: Math.sqrt, abs: Math.abs, floor: Math.floor, ceil: Math.ceil, trunc: Math.trunc },
  ...{ round: roundHalfEven, neg: (x) => -x },
}
export const binaryOperations: Binary = { div: (x, y) => x / y, max: Math.max, min: Math.min }

/** Every `step`-th bit pattern of float32; with a prime, all exponents and the mantissas of each are met. */
export function bitPatterns(step: number): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(Math.ceil(2 ** 32 / step))
  for (let i = 0; i < bits.length; i++) bits[i] = i * step
  return new Float32Array(bits.buffer)
}

/** Any of `x` with any, and bases near 1 or of either sign with exponents that keep the power in range. */
export function operandPairs(x: Float32Array, count: number): [Float32Array, Float32Array] {
  const first = Float32Array.from({ length: count }, (_, i) => {
    if (i % 3 === 0) return x[(i * 7919) % x.length]
    return (i % 7 ? 1 : -1) * 2 ** (((i * 0.6180339887) % 1) * (i % 3 === 1 ? 60 : 1) - 0.5)
  })
  const second = Float32Array.from({ length: count }, (_, i) => {
    if (i % 5 === 0) return x[(i * 104729) % x.length]
    return i % 7 ? ((i * 0.7548776662) % 1) * 40 - 20 : (i % 41) - 20
  })
  return [first, second]
}

/** Zeros of both signs, infinities, NaN, denormals, ends of ranges, and numbers next to where functions change course. */
export const edges: readonly number[] = [
  0, -0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, Infinity, -Infinity, NaN, 1e-45, -1e-45, 1e-40, -1e-40, 2 ** -126, -(2 ** -126),
  3.4028234663852886e38, -3.4028234663852886e38, 88.7, 89, -87.4, -103.5, -104, -150, 1e10, -1e10, 1.6e6, 5e7, 2.4e38,
  16777216, 33554431, 9.0109, 9.02, 0.99999994, 1.0000001, 134217736, 8388607.5, 4194303.8, 2.5, -1.5, 0.49999997,
] // prettier-ignore

/** Quiet and signalling NaN, of both signs, with bits that integer arithmetic could turn into numbers. */
export const payloads = new Float32Array(
  new Uint32Array([0x7f800001, 0xffc12345, 0x7fffffff, 0xff8fffff, 0x7fc00001, 0xffffffff]).buffer,
)

/** The distance between neighbouring float32 at x. */
export function singleUlp(x: number): number {
  const size = Math.abs(x)
  let exponent = Math.floor(Math.log2(size))
  if (2 ** exponent > size) exponent--
  return 2 ** (Math.min(127, Math.max(-126, exponent)) - 23)
}

/**
 * The largest error in `unit`s, and where. Where the exact value is zero, infinite or no number, the result must be just that:
 * else the error is infinite.
 */
export function worstError(
  got: ArrayLike<number>,
  exact: (i: number) => number,
  unit: (x: number) => number = singleUlp,
): { error: number; at: number } {
  let most = { error: 0, at: -1 }
  for (let i = 0; i < got.length; i++) {
    const want = exact(i)
    if (Object.is(got[i], unit === singleUlp ? Math.fround(want) : want)) continue
    // Next to the largest float32, infinity may be the nearest.
    if (unit === singleUlp && Math.abs(want) > 3.4028234e38 && Math.abs(want) < 3.4029e38 && got[i] * want > 1e76)
      continue
    const distance = Math.abs(got[i] - want) / unit(want)
    const error = Number.isNaN(distance) || want === 0 ? Infinity : distance
    if (error > most.error) most = { error, at: i }
  }
  return most
}
