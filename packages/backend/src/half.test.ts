// Tests of the 16-bit floats: every bit pattern there and back, ties, ranges, NaN.
import { describe, expect, it } from "vitest"
import { fromBfloat16, fromFloat16, roundHalfEven, toBfloat16, toFloat16 } from "./half.js"

const formats = [
  { name: "float16", to: toFloat16, from: fromFloat16, infinity: 0x7c00, nan: 0x7e00 },
  { name: "bfloat16", to: toBfloat16, from: fromBfloat16, infinity: 0x7f80, nan: 0x7fc0 },
]

describe.each(formats)("$name", ({ to, from, infinity, nan }) => {
  it("brings every number back to its own bits", () => {
    const wrong: number[] = []
    for (let bits = 0; bits < 0x10000; bits++) {
      const isNaN = (bits & 0x7fff) > infinity
      if (isNaN ? from(bits) === from(bits) : to(from(bits)) !== bits) wrong.push(bits)
    }
    expect(wrong).toEqual([])
  })

  it("rounds to nearest between any two neighbours, ties to even", () => {
    const wrong: number[] = []
    for (let bits = 0; bits + 1 < infinity; bits++) {
      const low = from(bits)
      const high = from(bits + 1)
      const middle = (low + high) / 2
      const even = bits & 1 ? bits + 1 : bits
      // A quarter of the gap off the tie is exact in float32 for both formats.
      const below = to(middle - (high - low) / 4)
      const above = to(middle + (high - low) / 4)
      if (to(middle) !== even || below !== bits || above !== bits + 1) wrong.push(bits)
      if (to(-middle) !== (even | 0x8000)) wrong.push(bits | 0x8000)
    }
    expect(wrong).toEqual([])
  })

  it("keeps infinities, signed zero and NaN", () => {
    expect([to(Infinity), to(-Infinity)]).toEqual([infinity, infinity | 0x8000])
    expect([to(0), to(-0)]).toEqual([0, 0x8000])
    expect(Object.is(from(0x8000), -0)).toBe(true)
    expect(to(NaN)).toBe(nan)
    expect(from(nan)).toBeNaN()
  })
})

describe("ranges", () => {
  it("overflows float16 at 65520, half a step above its largest number", () => {
    expect(toFloat16(65519.996)).toBe(0x7bff)
    expect(toFloat16(65520)).toBe(0x7c00)
    expect(fromFloat16(0x7bff)).toBe(65504)
  })

  it("has float16's subnormals", () => {
    expect(fromFloat16(1)).toBe(2 ** -24)
    expect(toFloat16(2 ** -25)).toBe(0)
    expect(toFloat16(2 ** -25 * 1.0001)).toBe(1)
    expect(toFloat16(2 ** -14 - 2 ** -26)).toBe(0x400)
  })

  it("overflows bfloat16 by rounding", () => {
    expect(toBfloat16(3.4028234663852886e38)).toBe(0x7f80)
    expect(toBfloat16(3.3895313892515355e38)).toBe(0x7f7f)
  })
})

describe("roundHalfEven", () => {
  it("sends ties to the even neighbour and keeps the sign of zero", () => {
    const cases: [number, number][] = [
      [0.5, 0], [1.5, 2], [2.5, 2], [3.5, 4], [-0.5, -0], [-1.5, -2], [-2.5, -2], [-3.5, -4], [-0.2, -0], [0.2, 0],
      [2.4999, 2], [2.5001, 3], [0.49999999999999994, 0], [2 ** 52 + 1, 2 ** 52 + 1], [-0, -0], [1e300, 1e300],
      [Infinity, Infinity], [-Infinity, -Infinity], [NaN, NaN], [4503599627370495.5, 4503599627370496],
    ] // prettier-ignore
    for (const [x, expected] of cases) expect(roundHalfEven(x), String(x)).toBe(expected)
  })
})
