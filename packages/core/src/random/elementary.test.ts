// The arithmetic under the draws: fused multiply-add, logarithm, sine and cosine, and MT19937, against outside figures.
import { expect, test } from "vitest"
import elementary from "./goldens/elementary.json" with { type: "json" }
import { fma } from "./fma.js"
import { MT19937 } from "./mt19937.js"
import { log, sinCos } from "./precise.js"

const doubles = (base64: string): Float64Array => new Float64Array(new Uint8Array(Buffer.from(base64, "base64")).buffer)

/** The share of equal values; every other one must be a neighbour. */
function agreement(got: Float64Array, want: Float64Array): number {
  const [a, b] = [new BigInt64Array(got.buffer), new BigInt64Array(want.buffer)]
  let equal = 0
  for (let i = 0; i < got.length; i++) {
    if (a[i] === b[i]) equal++
    else expect([got[i], a[i] - b[i]]).toEqual([got[i], expect.toSatisfy((d: bigint) => d === 1n || d === -1n)])
  }
  return equal / got.length
}

test("fma equals the exact fraction rounded once", () => {
  const abc = doubles(elementary.abc)
  const want = doubles(elementary.fma)
  const got = want.map((_, i) => fma(abc[3 * i], abc[3 * i + 1], abc[3 * i + 2]))
  expect(Array.from(got)).toEqual(Array.from(want))
  // The cases do tell one rounding from two.
  expect(want.filter((x, i) => x !== abc[3 * i] * abc[3 * i + 1] + abc[3 * i + 2]).length).toBeGreaterThan(300)
})

test("fma falls back to plain arithmetic where its products would overflow", () => {
  expect(fma(1e300, 2, 1)).toBe(2e300)
  expect(fma(1e200, 1e200, 1)).toBe(Infinity)
  expect(fma(NaN, 1, 1)).toBeNaN()
  expect(fma(Infinity, 1, 1)).toBe(Infinity)
  expect(fma(2, 3, 0)).toBe(6)
})

// glibc itself is wrong by a bit in about one of a thousand.
test("log, sine and cosine agree with the C library", () => {
  const x = doubles(elementary.x)
  const t = doubles(elementary.t)
  const out = new Float64Array(2)
  const sine = new Float64Array(t.length)
  const cosine = new Float64Array(t.length)
  t.forEach((angle, i) => {
    sinCos(angle, out)
    sine[i] = out[0]
    cosine[i] = out[1]
  })
  expect(agreement(x.map(log), doubles(elementary.log))).toBeGreaterThan(0.99)
  expect(agreement(sine, doubles(elementary.sin))).toBeGreaterThan(0.99)
  expect(agreement(cosine, doubles(elementary.cos))).toBeGreaterThan(0.99)
})

// C++ standard, [rand.predef]: the 10,000th number of a default mt19937 (seed 5489) is 4123659995.
test("MT19937 gives the published numbers", () => {
  const bits = new MT19937(0, 5489)
  expect(bits.random32()).toBe(3499211612)
  for (let i = 0; i < 9998; i++) bits.random32()
  expect(bits.random32()).toBe(4123659995)
})

test("MT19937 draws 64 bits high half first, and uniforms from the low bits", () => {
  const words = new MT19937(0, 5489)
  const [a, b, c, d, e] = Array.from({ length: 5 }, () => words.random32())
  const again = new MT19937(0, 5489)
  expect(again.random64()).toEqual([a, b])
  expect(again.uniform24()).toBe((c % 2 ** 24) / 2 ** 24)
  expect(again.uniform53()).toBe(((d % 2 ** 21) * 2 ** 32 + e) / 2 ** 53)
})
