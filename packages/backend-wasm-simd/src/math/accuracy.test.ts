// The error of every float function against float64, over a net of all float32 bit patterns; docs/accuracy.md has the full
// scan.
import { binaryFunctions, binaryOperations, bitPatterns, operandPairs, singleUlp, unaryFunctions, unaryOperations, worstError } from "@rondo/kernel-tests" // prettier-ignore
import { describe, expect, it } from "vitest"
import { apply } from "../../test/functions.js"

const [unary, binary] = [
  { ...unaryFunctions, ...unaryOperations },
  { ...binaryFunctions, ...binaryOperations },
]
const exactOnes = Object.fromEntries(["mod", ...Object.keys(unaryOperations), ...Object.keys(binaryOperations)].map((op) => [op, 0])) // prettier-ignore
const limits: Readonly<Record<string, number>> = { exp: 2, tanh: 2, sigmoid: 3, ...exactOnes }
// On engines without relaxed SIMD both are the same.
const variants = [true, false]

describe.each(variants)("float32 functions with relaxed %s", (relaxed) => {
  const x = bitPatterns(9973)
  const check = (op: string, columns: Float32Array[], exact: (i: number) => number): void => {
    const { error, at } = worstError(apply(op, "float32", columns, relaxed), exact, singleUlp)
    expect(error, `${op}(${columns.map((column) => column[at])})`).toBeLessThanOrEqual(limits[op] ?? 4)
  }
  for (const [op, exact] of Object.entries(unary))
    it(`${op} within ${limits[op] ?? 4} ulp`, () => check(op, [x], (i) => exact(x[i])))
  const [first, second] = operandPairs(x, 200_000)
  for (const [op, exact] of Object.entries(binary))
    it(`${op} within ${limits[op] ?? 4} ulp`, () => check(op, [first, second], (i) => exact(first[i], second[i])))
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
      expect(worstError(got, (i) => exact(x[i]), relative).error).toBeLessThanOrEqual(1)
    })
  }

  it.each(["sin", "cos"])("%s next to every multiple of a quarter turn", (op) => {
    const turns = Float64Array.from({ length: 1_000_000 }, (_, i) => (i + 1) * (Math.PI / 2))
    const got = apply(op, "float64", [turns], relaxed)
    expect(worstError(got, (i) => unary[op](turns[i]), relative).error).toBeLessThanOrEqual(1)
  })
})
