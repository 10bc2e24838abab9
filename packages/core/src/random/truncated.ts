// Normal numbers within limits, by the inverse of the distribution function, as `torch.nn.init.trunc_normal_` makes them.
import { checkValue, real, realArray, type RealArrays, type RealDType } from "./check.js"
import { uniform } from "./draws.js"
import type { Generator } from "./generator.js"

/**
 * Error function by the series 2/sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (2n+1)!! (Abramowitz and Stegun 7.1.6), whose terms
 * are all positive: a relative error of some 1e-15.
 */
function erf(x: number): number {
  const size = Math.abs(x)
  if (size > 6) return Math.sign(x)
  let term = size
  let sum = size
  for (let n = 1; term > sum * 1e-18; n++) {
    term *= (2 * size * size) / (2 * n + 1)
    sum += term
  }
  return Math.sign(x) * Math.min(1, (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum)
}

/** Inverse of {@link erf} on [-1, 1]: a start by https://www.academia.edu/9730974 (Winitzki), then Halley's steps. */
function erfinv(y: number): number {
  if (Math.abs(y) >= 1) return y * Infinity
  const a = 0.147
  const log = Math.log1p(-y * y)
  const half = 2 / (Math.PI * a) + log / 2
  let x = Math.sign(y) * Math.sqrt(Math.sqrt(half * half - log / a) - half)
  for (let step = 0; step < 3; step++) {
    const miss = (erf(x) - y) / ((2 / Math.sqrt(Math.PI)) * Math.exp(-x * x))
    x -= miss / (1 + x * miss)
  }
  return x
}

/** Distribution function of the standard normal. */
const below = (x: number): number => (1 + erf(x / Math.SQRT2)) / 2

/** Moments and limits of {@link truncNormal}. */
export interface TruncNormalOptions<D extends RealDType> {
  dtype?: D
  mean?: number
  std?: number
  /** Smallest value, default -2. */
  a?: number
  /** Largest value, default 2. */
  b?: number
}

/**
 * `n` normal numbers within [a, b], each from one uniform, as `torch.nn.init.trunc_normal_`. PyTorch inverts the error
 * function in the dtype, this in double precision: results may differ in the last digits of float32.
 *
 * @throws ValueError unless `std > 0` and `a < b`, or when `n` is no count.
 */
export function truncNormal<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, mean = 0, std = 1, a = -2, b = 2 }: TruncNormalOptions<D> = {},
): RealArrays[D] {
  checkValue(std > 0, "truncNormal_", ["std", std, "a value > 0"])
  checkValue(a < b, "truncNormal_", ["[a, b]", `[${a}, ${b}]`, "a < b"])
  const [from, to] = [2 * below((a - mean) / std) - 1, 2 * below((b - mean) / std) - 1]
  const out = uniform<D>(generator, n, { dtype, from, to })
  const { round, encode, decode } = real[dtype]
  const scale = round(std * Math.SQRT2)
  for (let i = 0; i < n; i++) {
    const value = round(round(round(erfinv(decode(out[i]))) * scale) + round(mean))
    out[i] = encode(Math.min(round(b), Math.max(round(a), value)))
  }
  return out
}

/**
 * The slopes of a randomised leaky relu: 1 where `x > 0`, else uniform in [lower, upper), one double draw each, as
 * `torch.nn.functional.rrelu` draws them while training.
 */
export function rreluSlopes<D extends RealDType>(
  generator: Generator,
  x: ArrayLike<number>,
  { dtype, lower, upper }: { dtype: D; lower: number; upper: number },
): RealArrays[D] {
  const out = realArray("rrelu", x.length, dtype)
  const { encode } = real[dtype]
  for (let i = 0; i < x.length; i++) {
    out[i] = encode(x[i] <= 0 ? generator.bits.uniform53() * (upper - lower) + lower : 1)
  }
  return out
}
