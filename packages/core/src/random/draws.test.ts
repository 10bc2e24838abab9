// Properties and bad input of the draws; their values are in streams.test.ts.
import type { DType } from "@rondo/backend"
import { DTypeError, ValueError } from "@rondo/backend"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  Generator,
  bernoulli,
  bernoulliTensor,
  cauchy,
  dropoutMask,
  exponential,
  geometric,
  logNormal,
  multinomial,
  normal,
  normalEach,
  rand,
  randint,
  randomWhole,
  randperm,
  uniform,
} from "./index.js"

const g = new Generator(0)
const hexOf = (state: Uint8Array): string => Buffer.from(state).toString("hex")

/** Bad calls throw a typed error of this text and leave the stream where it was. */
function refuses(call: () => unknown, message: RegExp, kind: new (message: string) => Error = ValueError): void {
  const before = hexOf(g.getState())
  expect(call).toThrow(kind)
  expect(call).toThrow(message)
  expect(hexOf(g.getState())).toBe(before)
}

test("randperm is a permutation", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(500), (seed, n) => {
      const order = randperm(new Generator(seed), n)
      expect(Array.from(order).sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i))
    }),
  )
})

test("randint stays within its bounds", () => {
  const bound = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  fc.assert(
    fc.property(fc.integer(), bound, bound, (seed, a, b) => {
      fc.pre(a !== b)
      const [low, high] = a < b ? [a, b] : [b, a]
      for (const x of randint(new Generator(seed), 20, { low, high, dtype: "int64" })) {
        expect(x >= low && x < high).toBe(true)
      }
    }),
  )
})

test("randint gives the same numbers in every dtype that holds them", () => {
  const want = Array.from(randint(new Generator(5), 50, { low: 3, high: 200 }))
  for (const dtype of ["uint8", "float32", "float64", "int64"] as const) {
    expect(Array.from(randint<DType>(new Generator(5), 50, { low: 3, high: 200, dtype }), Number)).toEqual(want)
  }
})

test("uniform stays within its bounds", () => {
  const bound = fc.float({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 100), max: 2 ** 100 })
  fc.assert(
    fc.property(fc.integer(), bound, bound, fc.constantFrom("float32", "float64"), (seed, a, b, dtype) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)]
      for (const x of uniform(new Generator(seed), 20, { from, to, dtype })) expect(x >= from && x <= to).toBe(true)
    }),
  )
})

test("normals have their mean, deviation and no gap at the ends", () => {
  const z = normal(new Generator(1), 200000, { mean: 3, std: 2 })
  const mean = z.reduce((a, b) => a + b, 0) / z.length
  const deviation = Math.sqrt(z.reduce((a, b) => a + (b - mean) ** 2, 0) / z.length)
  expect(Math.abs(mean - 3)).toBeLessThan(0.02)
  expect(Math.abs(deviation - 2)).toBeLessThan(0.02)
  expect(Math.max(...z.subarray(0, 50000))).toBeGreaterThan(10)
})

test("empty draws take nothing from the stream", () => {
  const before = hexOf(g.getState())
  for (const dtype of ["float32", "float64", "float16", "bfloat16"] as const) {
    expect(rand(g, 0, dtype)).toHaveLength(0)
    expect(normal(g, 0, { dtype })).toHaveLength(0)
  }
  expect(randperm(g, 0)).toHaveLength(0)
  expect(bernoulliTensor(g, new Float32Array(0))).toHaveLength(0)
  expect(multinomial(g, new Float32Array(0), { samples: 1, rows: 0 })).toHaveLength(0)
  expect(hexOf(g.getState())).toBe(before)
})

test("multinomial never picks weight zero, and no category twice without replacement", () => {
  const weights = fc.array(fc.constantFrom(0, 0.25, 1, 7), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(fc.integer(), weights, fc.boolean(), (seed, list, replacement) => {
      const open = list.filter((w) => w > 0).length
      fc.pre(open > 0)
      const picked = multinomial(new Generator(seed), new Float32Array(list), { samples: open, replacement })
      for (const i of picked) expect(list[i]).toBeGreaterThan(0)
      if (!replacement) expect(new Set(picked).size).toBe(open)
    }),
  )
})

describe("refused, with the stream unchanged", () => {
  const draws: Record<string, (n: number) => unknown> = {
    rand: (n) => rand(g, n),
    uniform_: (n) => uniform(g, n),
    normal_: (n) => normal(g, n),
    randint: (n) => randint(g, n, { high: 3 }),
    random_: (n) => randomWhole(g, n, "int32"),
    randperm: (n) => randperm(g, n),
    bernoulli_: (n) => bernoulli(g, n, { p: 0.5 }),
    dropout: (n) => dropoutMask(g, n, { p: 0.5 }),
    exponential_: (n) => exponential(g, n),
    log_normal_: (n) => logNormal(g, n),
    cauchy_: (n) => cauchy(g, n),
    geometric_: (n) => geometric(g, n, { p: 0.5 }),
  }
  test.each(Object.entries(draws))("%s: counts", (name, draw) => {
    for (const n of [-1, NaN, 2.5, Infinity, "3" as never]) {
      refuses(() => draw(n), new RegExp(`^${name}: number of elements: got ${n}, expected a whole number >= 0$`))
    }
  })

  test("dtypes", () => {
    refuses(() => rand(g, 3, "int32" as "float32"), /^rand: dtype is not floating: got int32/, DTypeError)
    refuses(() => normal(g, 3, { dtype: "bool" as "float32" }), /^normal_: dtype is not floating: got bool/, DTypeError)
    refuses(() => bernoulliTensor(g, new Int32Array(2) as never), /^bernoulli: dtype/, DTypeError)
    refuses(
      () => randint(g, 3, { high: 3, dtype: "complex" as "int32" }),
      /^randint: unknown dtype: got complex/,
      DTypeError,
    )
    refuses(() => bernoulli(g, 3, { p: 1, dtype: "x" as "bool" }), /^bernoulli_: unknown dtype: got x/, DTypeError)
    refuses(() => randomWhole(g, 3, "x" as "bool"), /^random_: unknown dtype: got x/, DTypeError)
  })

  test("parameters", () => {
    refuses(() => uniform(g, 20, { from: 2, to: 1 }), /^uniform_: \[from, to\): got \[2, 1\), expected from <= to$/)
    refuses(() => uniform(g, 2, { from: NaN }), /^uniform_: from: got NaN/)
    refuses(() => uniform(g, 2, { to: Infinity }), /^uniform_: to: got Infinity, expected a value within float32/)
    refuses(() => uniform(g, 2, { to: 1e39 }), /^uniform_: to: got 1e\+39/)
    refuses(() => uniform(g, 2, { from: -3e38, to: 3e38 }), /^uniform_: to - from: got 6e\+38/)
    refuses(() => normal(g, 2, { std: -1 }), /^normal_: std: got -1, expected a value >= 0$/)
    refuses(() => normal(g, 20, { std: NaN }), /^normal_: std: got NaN/)
    refuses(() => normalEach(g, 2, { mean: 0, std: [1, -1] }), /^normal: std at 1: got -1/)
    refuses(
      () => normalEach(g, 2, { mean: [0, 0, 0], std: 1 }),
      /^normal: mean has the wrong length: got 3, expected 2$/,
    )
    refuses(() => bernoulli(g, 2, { p: 1.5 }), /^bernoulli_: p: got 1.5, expected a probability within \[0, 1\]$/)
    refuses(() => bernoulli(g, 2, { p: NaN }), /^bernoulli_: p: got NaN/)
    refuses(() => bernoulliTensor(g, new Float32Array([0.5, 2])), /^bernoulli: p at 1: got 2/)
    refuses(() => dropoutMask(g, 2, { p: -0.1 }), /^dropout: p: got -0.1/)
    refuses(() => exponential(g, 2, { lambda: -1 }), /^exponential_: lambda: got -1/)
    refuses(() => logNormal(g, 2, { std: 0 }), /^log_normal_: std: got 0, expected a value > 0$/)
    refuses(() => cauchy(g, 2, { sigma: 0 }), /^cauchy_: sigma: got 0/)
    for (const p of [0, 1, NaN]) refuses(() => geometric(g, 2, { p }), /^geometric_: p: got (0|1|NaN), expected/)
  })

  test("ranges of randint", () => {
    refuses(() => randint(g, 2, { low: 3, high: 3 }), /^randint: \[low, high\): got \[3, 3\), expected low < high$/)
    refuses(() => randint(g, 2, { high: 2.5 }), /^randint: high: got 2.5, expected a whole number/)
    refuses(() => randint(g, 2, { high: 2 ** 60 }), /^randint: high: got 1152921504606847000, .*bigint beyond 2\^53/)
    refuses(
      () => randint(g, 2, { high: 2 ** 40 }),
      /^randint: high - 1: got 1099511627775, expected at most 2147483647 for/,
    )
    refuses(
      () => randint(g, 2, { high: 300, dtype: "uint8" }),
      /^randint: high - 1: got 299, expected at most 255 for uint8$/,
    )
    refuses(
      () => randint(g, 2, { low: -1, high: 3, dtype: "uint8" }),
      /^randint: low: got -1, expected at least 0 for uint8$/,
    )
    refuses(
      () => randint(g, 2, { high: 2 ** 25, dtype: "float32" }),
      /^randint: high - 1: got 33554431, expected at most 16777216/,
    )
    refuses(() => randperm(g, 2 ** 32), /^randperm: n: got 4294967296, expected at most 2\^31$/)
  })

  test("weights of multinomial", () => {
    const call = (list: number[], options: object) => () =>
      multinomial(g, new Float32Array(list), { samples: 1, ...options })
    refuses(call([0, 0], {}), /^multinomial: sum of weights of row 0: got 0, expected a value > 0$/)
    refuses(call([1, 1, 0, 0], { rows: 2 }), /^multinomial: sum of weights of row 1/)
    refuses(call([1, -1], {}), /^multinomial: weight at 1: got -1/)
    refuses(call([1, NaN], { replacement: true }), /^multinomial: weight at 1: got NaN/)
    refuses(call([Infinity], {}), /^multinomial: weight at 0: got Infinity/)
    refuses(call([1, 1], { samples: 3 }), /^multinomial: too many samples without replacement: got 3 of 2 categories$/)
    refuses(call([1, 1], { samples: 0 }), /^multinomial: samples: got 0/)
    refuses(call([1, 1, 1], { rows: 2 }), /^multinomial: weights: got 3, expected a multiple of 2 rows$/)
  })
})
