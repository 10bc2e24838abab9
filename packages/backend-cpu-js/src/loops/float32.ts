// Faster exp, sigmoid and tanh for float32 and the 16-bit floats: as exact as float32 can show, no more. Not for float64.
import type { FloatArray, Loop } from "./loop.js"

const log2e = Math.LOG2E
const ln2 = Math.LN2
// Adding and subtracting 1.5 * 2^52 rounds to an integer.
const toInteger = 6755399441055744
const limit = 128
const least = -190
const powers = Float64Array.from({ length: 2 * -least + 1 }, (_, i) => 2 ** (i + least))

/**
 * e^x with a relative error below 1e-11, a thousandth of a float32 step; beyond +-128 infinity or 0, as float32 has it.
 * x = n ln 2 + r with |r| <= 0.35; e^r by its Taylor polynomial of degree 9 (the next term is r^10 / 10! < 7e-12).
 */
function exp(x: number): number {
  if (x > limit) return Infinity
  if (x < -limit) return 0
  const n = x * log2e + toInteger - toInteger
  const r = x - n * ln2
  const s = r * r
  // Even and odd terms apart: two short chains instead of a long one.
  const even = 1 + s * (1 / 2 + s * (1 / 24 + s * (1 / 720 + s * (1 / 40320))))
  const odd = 1 + s * (1 / 6 + s * (1 / 120 + s * (1 / 5040 + s * (1 / 362880))))
  return (even + r * odd) * powers[(n | 0) - least]
}

/** tanh x = 1 - 2 / (e^2x + 1); near 0, where that cancels, x - x^3/3 + 2x^5/15 (the next term is below 1e-13). */
function tanh(x: number): number {
  if (x < 0.01 && x > -0.01) {
    const s = x * x
    return x * (1 - s * (1 / 3 - s * (2 / 15)))
  }
  return 1 - 2 / (exp(2 * x) + 1)
}

/** Loops that replace those of float.ts where results are rounded to float32 or less. */
export const float32Loops: Record<"exp" | "sigmoid" | "tanh", Loop<FloatArray>> = {
  exp(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = exp(a[ao + i])
  },
  sigmoid(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = 1 / (1 + exp(-a[ao + i]))
  },
  tanh(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = tanh(a[ao + i])
  },
}
