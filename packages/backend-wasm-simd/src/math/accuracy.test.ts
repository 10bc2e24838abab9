// The error of every float function against float64, over a net of all float32 bit patterns; docs/accuracy.md has the full
// scan.
import { describe, expect, it } from "vitest"
import { apply, binary, singleUlp, unary } from "./testing.js"

const limits: Readonly<Record<string, number>> = { exp: 2, tanh: 2, sigmoid: 3, mod: 0 }
// On engines without relaxed SIMD both are the same.
const variants = [true, false]

/** Every 9973rd bit pattern; 9973 is a prime, so that all exponents and the mantissas of each are met. */
function net(): Float32Array {
  const bits = new Uint32Array(Math.ceil(2 ** 32 / 9973))
  for (let i = 0; i < bits.length; i++) bits[i] = i * 9973
  return new Float32Array(bits.buffer)
}

/** The largest error in ulps. Where the exact value is no number, zero or infinite in float32, the result must be just that. */
function worst(got: ArrayLike<number>, expected: (i: number) => number, ulp: (x: number) => number): number {
  let most = 0
  for (let i = 0; i < got.length; i++) {
    const [y, want] = [got[i], expected(i)]
    if (Object.is(y, want)) continue
    const error = Math.abs(y - want) / ulp(want)
    if (Number.isNaN(error) || want === 0) return Infinity
    // Right below the largest float32, infinity may be the nearest.
    const overflow = Math.abs(want) > 3.4028234e38 && y * want > 3.4028234e38
    if (!overflow) most = Math.max(most, error)
  }
  return most
}

describe.each(variants)("float32 functions with relaxed %s", (relaxed) => {
  const x = net()

  for (const [op, exact] of Object.entries(unary)) {
    it(`${op} within ${limits[op] ?? 4} ulp`, () => {
      const got = apply(op, "float32", [x], relaxed)
      expect(worst(got, (i) => exact(x[i]), singleUlp)).toBeLessThanOrEqual(limits[op] ?? 4)
    })
  }

  for (const [op, exact] of Object.entries(binary)) {
    it(`${op} within ${limits[op] ?? 4} ulp`, () => {
      // Any bits with any bits, and bases near 1 or of either sign with exponents that keep the power in range.
      const count = 200_000
      const first = Float32Array.from({ length: count }, (_, i) => {
        if (i % 3 === 0) return x[(i * 7919) % x.length]
        return (i % 7 ? 1 : -1) * 2 ** (((i * 0.6180339887) % 1) * (i % 3 === 1 ? 60 : 1) - 0.5)
      })
      const second = Float32Array.from({ length: count }, (_, i) => {
        if (i % 5 === 0) return x[(i * 104729) % x.length]
        return i % 7 ? ((i * 0.7548776662) % 1) * 40 - 20 : (i % 41) - 20
      })
      const got = apply(op, "float32", [first, second], relaxed)
      expect(worst(got, (i) => exact(first[i], second[i]), singleUlp)).toBeLessThanOrEqual(limits[op] ?? 4)
    })
  }
})

/** One part in 10^15, or the smallest denormal. */
const relative = (want: number): number => Math.max(Math.abs(want) * 1e-15, 5e-324)

describe.each(variants)("float64 functions with relaxed %s", (relaxed) => {
  const bits = new BigUint64Array(200_000)
  const x = new Float64Array(bits.buffer)
  for (let i = 0; i < bits.length; i++) {
    if (i % 2) x[i] = (((i * 0.6180339887498949) % 1) - 0.5) * [2, 40, 1500, 1e6][(i >> 1) % 4]
    else bits[i] = BigInt.asUintN(64, BigInt(i) * 0x9e3779b97f4a7c15n)
  }

  for (const [op, exact] of Object.entries(unary)) {
    it(`${op} within 1e-15`, () => {
      const got = apply(op, "float64", [x], relaxed)
      expect(worst(got, (i) => exact(x[i]), relative)).toBeLessThanOrEqual(1)
    })
  }

  it.each(["sin", "cos"])("%s next to every multiple of a quarter turn", (op) => {
    const turns = Float64Array.from({ length: 1_000_000 }, (_, i) => (i + 1) * (Math.PI / 2))
    const got = apply(op, "float64", [turns], relaxed)
    expect(worst(got, (i) => unary[op](turns[i]), relative)).toBeLessThanOrEqual(1)
  })
})
