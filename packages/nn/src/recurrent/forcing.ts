// Teacher forcing: how often a model is fed the truth in place of its own last output, and the choice itself.
import { shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, type Generator, type OptionChecks, rand, type Tensor, where } from "@rondo/core"

/** The probability of feeding the truth at training step `i` (0, 1, …). */
export type Schedule = (i: number) => number

/** Throws a ValueError unless `p` is a probability. */
export function checkForcing(name: string, p: number): void {
  if (typeof p === "number" && p >= 0 && p <= 1) return
  throw new ValueError(`${name}: the probability of forcing must lie between 0 and 1: got ${String(p)}`)
}

function checkNumber(name: string, option: string, value: number, ok: boolean, expected: string): void {
  if (typeof value === "number" && ok) return
  throw new ValueError(`${name}: ${option} out of range: got ${String(value)}, expected ${expected}`)
}

function schedule(name: string, probability: Schedule): Schedule {
  return (i) => {
    checkNumber(name, "training step", i, i >= 0, "at least 0")
    return Math.min(1, Math.max(0, probability(i)))
  }
}

/** Always `p`: 1 is plain teacher forcing, 0 none. Throws a ValueError unless 0 <= p <= 1. */
export function constant(p: number): Schedule {
  checkForcing("forcing.constant", p)
  return schedule("forcing.constant", () => p)
}

/** Options of {@link linear}. */
export interface LinearForcing {
  /** By how much the probability falls each step. */
  readonly slope: number
  /** Where it starts. Default 1. */
  readonly start?: number
  /** Where it stays. Default 0. */
  readonly least?: number
}

const linearChecks: OptionChecks<LinearForcing> = { slope: "rate!", start: "probability", least: "probability" }

/**
 * max(least, start - slope i): linear decay of scheduled sampling (Bengio et al. 2015, section 2.4,
 * https://arxiv.org/abs/1506.03099). Throws a ValueError for a negative slope, or bounds outside of 0 to 1.
 *
 * @example
 * ```ts
 * const probability = forcing.linear({ slope: 0.25, least: 0.1 })
 * console.log([0, 1, 2, 3, 4].map(probability)) // [ 1, 0.75, 0.5, 0.25, 0.1 ]
 * ```
 */
export function linear(options: LinearForcing): Schedule {
  const { slope, start = 1, least = 0 } = checkOptions("forcing.linear", linearChecks, options)
  return schedule("forcing.linear", (i) => Math.max(least, start - slope * i))
}

/** k^i: exponential decay of scheduled sampling (Bengio et al. 2015). Throws a ValueError unless 0 < k < 1. */
export function exponential(k: number): Schedule {
  checkNumber("forcing.exponential", "k", k, k > 0 && k < 1, "more than 0 and less than 1")
  return schedule("forcing.exponential", (i) => k ** i)
}

/**
 * k / (k + exp(i / k)): inverse sigmoid decay of scheduled sampling (Bengio et al. 2015); falls to a half near
 * i = k ln k. Throws a ValueError unless k >= 1.
 */
export function inverseSigmoid(k: number): Schedule {
  checkNumber("forcing.inverseSigmoid", "k", k, k >= 1 && k < Infinity, "at least 1")
  return schedule("forcing.inverseSigmoid", (i) => k / (k + Math.exp(i / k)))
}

/**
 * What to feed next: for each sequence of the batch, the truth with probability `p`, else the model's own output. Draws one
 * uniform number a sequence, and none for p = 0 and p = 1. Gradients flow into whatever was taken.
 *
 * Throws a ValueError unless 0 <= p <= 1, and a ShapeError if the shapes differ.
 *
 * @param own - `[B, …]`, what the model gave.
 * @param truth - As `own`.
 * @example
 * ```ts
 * const next = forcing.mix(zeros(4, 2), ones(4, 2), 0.5) // rows of zeros and rows of ones
 * ```
 */
export function mix(own: Tensor, truth: Tensor, p: number, generator?: Generator): Tensor {
  checkForcing("forcing.mix", p)
  if (own.ndim === 0 || own.ndim !== truth.ndim || own.shape.some((size, d) => size !== truth.shape[d])) {
    throw new ShapeError(
      `forcing.mix: got truth ${shapeText(truth.shape)}, expected ${shapeText(own.shape)} as its own`,
    )
  }
  if (p === 0) return own
  if (p === 1) return truth
  const coins = rand(own.shape[0], { device: own.device, dtype: "float32", generator })
  return where(coins.lt(p).reshape([-1, ...own.shape.slice(1).fill(1)]), truth, own)
}
