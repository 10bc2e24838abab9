// The rarer draws: exponential, log-normal, Cauchy, geometric and multinomial, the same numbers as PyTorch's CPU generator.
import { ValueError } from "@rondo/backend"
import { checkCount, checkValue, real, realArray } from "./check.js"
import type { RealArrays, RealDType } from "./check.js"
import type { Generator } from "./generator.js"
import { log } from "./precise.js"

// Sources as in draws.ts. All of these compute in double and cast, whatever the dtype.

/**
 * `n` exponential numbers with rate `lambda`, as `tensor.exponential_(lambda)`: `-1 / lambda * ln(1 - u)`. A rate of 0
 * gives infinities, as in PyTorch.
 *
 * @throws ValueError for a negative or NaN rate, or when `n` is no count.
 */
export function exponential<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, lambda = 1 }: { dtype?: D; lambda?: number } = {},
): RealArrays[D] {
  checkValue(lambda >= 0, "exponential_", ["lambda", lambda, "a value >= 0"])
  const out = realArray("exponential_", n, dtype)
  const { encode } = real[dtype]
  const factor = -1 / lambda
  for (let i = 0; i < n; i++) out[i] = encode(factor * log(1 - generator.bits.uniform53()))
  return out
}

/**
 * `n` log-normal numbers, as `tensor.log_normal_(mean, std)`: the exponential of `generator.normal(mean, std)`, one by
 * one at any size.
 *
 * @throws ValueError unless `std > 0`, or when `n` is no count.
 */
export function logNormal<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, mean = 1, std = 2 }: { dtype?: D; mean?: number; std?: number } = {},
): RealArrays[D] {
  checkValue(std > 0, "log_normal_", ["std", std, "a value > 0"])
  const out = realArray("log_normal_", n, dtype)
  const { encode } = real[dtype]
  for (let i = 0; i < n; i++) out[i] = encode(Math.exp(generator.normal(mean, std)))
  return out
}

/**
 * `n` Cauchy numbers, as `tensor.cauchy_(median, sigma)`: `median + sigma tan(pi (u - 1/2))`.
 *
 * @throws ValueError unless `sigma > 0`, or when `n` is no count.
 */
export function cauchy<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, median = 0, sigma = 1 }: { dtype?: D; median?: number; sigma?: number } = {},
): RealArrays[D] {
  checkValue(sigma > 0, "cauchy_", ["sigma", sigma, "a value > 0"])
  const out = realArray("cauchy_", n, dtype)
  const { encode } = real[dtype]
  for (let i = 0; i < n; i++) {
    out[i] = encode(median + sigma * Math.tan(Math.PI * (generator.bits.uniform53() - 0.5)))
  }
  return out
}

/**
 * `n` counts of trials up to the first success, as `tensor.geometric_(p)`: `ceil(ln u / ln(1 - p))`.
 *
 * @throws ValueError unless `0 < p < 1`, or when `n` is no count.
 */
export function geometric<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, p }: { dtype?: D; p: number },
): RealArrays[D] {
  checkValue(p > 0 && p < 1, "geometric_", ["p", p, "a probability within (0, 1)"])
  const out = realArray("geometric_", n, dtype)
  const { encode } = real[dtype]
  const scale = log(1 - p)
  for (let i = 0; i < n; i++) {
    const u = generator.bits.uniform53()
    out[i] = encode(u === 0 ? Infinity : Math.ceil(log(u) / scale))
  }
  return out
}

/** What `multinomial` draws. */
export interface MultinomialOptions {
  /** Samples a row. */
  samples: number
  /** Whether a category may come again, default false. */
  replacement?: boolean
  /** How many equally long rows the weights hold, default 1. */
  rows?: number
}

/**
 * Indices drawn in proportion to weights `[rows, categories]`, as `torch.multinomial(weights, samples, replacement)`:
 * `[rows, samples]`. With replacement: a search in the running sums, which are kept in the dtype of the weights.
 * Without: the largest of weight / Exp(1), in falling order. Where fewer categories than
 * samples have weight, the rest of the row is filled by the first categories of weight zero.
 *
 * @throws ValueError for negative, infinite or NaN weights, a row without weight, `samples < 1`, or more samples than
 * categories without replacement; nothing is drawn then.
 */
export function multinomial(
  generator: Generator,
  weights: Float32Array | Float64Array,
  { samples, replacement = false, rows = 1 }: MultinomialOptions,
): Int32Array {
  const categories = checkWeights(weights, { samples, replacement, rows })
  const out = new Int32Array(rows * samples)
  if (!replacement) {
    const dtype = weights instanceof Float32Array ? "float32" : "float64"
    const race = exponential<"float32" | "float64">(generator, weights.length, { dtype })
    for (let i = 0; i < race.length; i++) race[i] = weights[i] / race[i]
    for (let row = 0; row < rows; row++) {
      const keys = race.subarray(row * categories, (row + 1) * categories)
      out.set(largest(keys, samples), row * samples)
    }
    return out
  }
  for (let row = 0; row < rows; row++) {
    const sums = runningSums(weights.subarray(row * categories, (row + 1) * categories))
    for (let i = 0; i < samples; i++) out[row * samples + i] = slotOf(sums, generator.bits.uniform53())
  }
  return out
}

function checkWeights(weights: Float32Array | Float64Array, options: Required<MultinomialOptions>): number {
  const { samples, replacement, rows } = options
  checkCount("multinomial", samples)
  checkCount("multinomial", rows)
  checkValue(samples > 0, "multinomial", ["samples", samples, "a count > 0"])
  const categories = rows === 0 && weights.length === 0 ? samples : weights.length / rows
  checkValue(Number.isInteger(categories), "multinomial", ["weights", weights.length, `a multiple of ${rows} rows`])
  if (!replacement && samples > categories) {
    throw new ValueError(
      `multinomial: too many samples without replacement: got ${samples} of ${categories} categories`,
    )
  }
  for (let row = 0; row < rows; row++) {
    let sum = 0
    for (let i = row * categories; i < (row + 1) * categories; i++) {
      const weight = weights[i]
      checkValue(weight >= 0 && weight < Infinity, "multinomial", [`weight at ${i}`, weight, "a finite value >= 0"])
      sum += weight
    }
    checkValue(sum > 0, "multinomial", [`sum of weights of row ${row}`, sum, "a value > 0"])
  }
  return categories
}

/** Indices of the `count` largest keys, in falling order, the lower index first among equals. */
function largest(keys: Float32Array | Float64Array, count: number): Int32Array {
  if (count === 1) {
    let best = 0
    for (let i = 1; i < keys.length; i++) if (keys[i] > keys[best]) best = i
    return Int32Array.of(best)
  }
  const order = Int32Array.from(keys, (_, i) => i)
  return order.sort((a, b) => keys[b] - keys[a] || a - b).subarray(0, count)
}

/** Cumulative shares of the weights in their own dtype; the last one is 1. */
function runningSums(weights: Float32Array | Float64Array): Float32Array | Float64Array {
  const sums = weights.slice()
  for (let i = 1; i < sums.length; i++) sums[i] += sums[i - 1]
  const total = sums[sums.length - 1]
  for (let i = 0; i < sums.length; i++) sums[i] /= total
  sums[sums.length - 1] = 1
  return sums
}

/** The first slot whose cumulative share reaches `u`. */
function slotOf(sums: Float32Array | Float64Array, u: number): number {
  let left = 0
  let right = sums.length
  while (left < right) {
    const middle = left + ((right - left) >> 1)
    if (sums[middle] < u) left = middle + 1
    else right = middle
  }
  return left
}
