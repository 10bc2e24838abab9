// A correctly rounded fused multiply-add for float64, which JavaScript lacks. Not for values near overflow or underflow.

const scratch = new Float64Array(1)
const words = new Uint32Array(scratch.buffer)
// Dekker's splitting constant, 2^27 + 1.
const SPLIT = 134217729

/**
 * `a * b + c` rounded once, where PyTorch's compiled code has one instruction. S. Boldo and G. Melquiond, "Emulation of
 * FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE Trans. Computers 57(4), 2008, with
 * Dekker's product and Knuth's sum. Exact for finite operands whose products stay within about 1e-270 to 1e290; outside
 * it falls back to two roundings.
 *
 * @example
 * ```ts
 * console.log(fma(0.1, 10, -1)) // 5.551115123125783e-17
 * console.log(0.1 * 10 - 1) // 0
 * ```
 */
export function fma(a: number, b: number, c: number): number {
  const high = a * b
  const size = Math.abs(high)
  if (c === 0 || !(size > 1e-270 && size < 1e290 && Math.abs(c) < 1e290)) return high + c
  const low = productError(a, b, high)
  // c + low = t + tError, then high + t = sum + sumError, all exactly.
  const t = c + low
  const tError = sumError(c, low, t)
  const sum = high + t
  return sum + addToOdd(tError, sumError(high, t, sum))
}

/** `a * b - product`, exactly, where `product` is the rounded `a * b`. */
export function productError(a: number, b: number, product: number): number {
  const ca = SPLIT * a
  const aHigh = ca - (ca - a)
  const aLow = a - aHigh
  const cb = SPLIT * b
  const bHigh = cb - (cb - b)
  const bLow = b - bHigh
  return aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow)
}

/** `x + y - sum`, exactly, where `sum` is the rounded `x + y`. */
export function sumError(x: number, y: number, sum: number): number {
  const yPart = sum - x
  return x - (sum - yPart) + (y - yPart)
}

/** `x + y` rounded to odd: an inexact result gets a last bit of one, so that the next rounding cannot be fooled. */
function addToOdd(x: number, y: number): number {
  const sum = x + y
  const error = sumError(x, y, sum)
  if (error === 0) return sum
  scratch[0] = sum
  if ((words[0] & 1) === 1) return sum
  // Of the two neighbours that enclose the exact sum, the other one is odd: one step in magnitude, towards the error.
  if (error > 0 === sum > 0) words[0]++
  else if (words[0]-- === 0) words[1]--
  return scratch[0]
}
