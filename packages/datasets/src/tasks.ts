// The classic sequence tasks: ramps, straight trajectories, adding two marked values. They draw; they train nothing.
import { IndexError, ValueError } from "@rondo/backend"
import { arange, type RandomOptions, randn, stack, type Tensor } from "@rondo/core"

/** Sequences with what is to be said about each. */
export interface Samples {
  /** One sequence a row. */
  readonly inputs: Tensor
  /** One answer a row. */
  readonly targets: Tensor
}

function checkCount(name: string, what: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return
  throw new ValueError(`${name}: bad ${what}: got ${value}, expected a whole number of at least ${least}`)
}

/**
 * Ramps `0, k, 2k, …` with a random slope k for each row; the last value is to be told from the ones before it.
 * Draws `randn(count, 1)`, so the same seed gives the numbers that PyTorch would draw.
 *
 * @param count rows
 * @param length values in a ramp, the answer included; default 6
 * @returns float32 inputs `[count, length - 1]` and targets `[count]`
 * @throws ValueError for a count below 1 or a length below 2
 *
 * @example
 * ```ts
 * manualSeed(1)
 * const { inputs, targets } = ramps(1000) // [1000, 5] and [1000]
 * ```
 */
export function ramps(count: number, length = 6, options: RandomOptions = {}): Samples {
  checkCount("ramps", "count", count, 1)
  checkCount("ramps", "length", length, 2)
  const slopes = randn(count, 1, options)
  const all = arange(length, { dtype: slopes.dtype, device: slopes.device }).mul(slopes)
  return { inputs: all.slice(1, 0, -1), targets: all.select(1, -1) }
}

/**
 * Points of straight lines `y = a x + b` at x = 0, 1, …; the last point is to be told from the ones before it.
 * Draws all slopes a, normal with deviation 1, then all offsets b, normal with deviation 5.
 *
 * @param count lines
 * @param length points in a line, the answer included; default 6
 * @returns float32 inputs `[count, length - 1, 2]` and targets `[count, 2]`; the last dim holds x, y
 * @throws ValueError for a count below 1 or a length below 2
 *
 * @example
 * ```ts
 * const { inputs, targets } = trajectories(1200) // [1200, 5, 2] and [1200, 2]
 * ```
 */
export function trajectories(count: number, length = 6, options: RandomOptions = {}): Samples {
  checkCount("trajectories", "count", count, 1)
  checkCount("trajectories", "length", length, 2)
  const slopes = randn(count, 1, options)
  const offsets = randn(count, 1, options).mul(5)
  const x = arange(length, { dtype: slopes.dtype, device: slopes.device }).expand(count, length)
  const points = stack([x, slopes.mul(x).add(offsets)], 2)
  return { inputs: points.slice(1, 0, -1), targets: points.select(1, -1) }
}

/** Which sequence and which two of its values. */
export interface AddingOptions extends RandomOptions {
  /** Values in a sequence; default 100. */
  readonly length?: number
  /** Positions of the two values to be added; negative ones count from the end. Default `[0, -1]`. */
  readonly positions?: readonly [number, number]
}

/**
 * Sequences of normal noise; the sum of two of the values is to be told at the end. The further back the first of them
 * stands, the longer it must be remembered: after Hochreiter and Schmidhuber (1997), with fixed positions.
 *
 * @param count sequences
 * @returns float32 inputs `[count, length, 1]` and targets `[count, 1]`
 * @throws ValueError for a count or length below 1
 * @throws IndexError for a position outside of the sequence
 *
 * @example
 * ```ts
 * const { inputs, targets } = adding(1200, { positions: [-5, -1] }) // [1200, 100, 1] and [1200, 1]
 * ```
 */
export function adding(count: number, options: AddingOptions = {}): Samples {
  const { length = 100, positions = [0, -1], ...rest } = options
  checkCount("adding", "count", count, 1)
  checkCount("adding", "length", length, 1)
  for (const position of positions) {
    if (!Number.isInteger(position) || position < -length || position >= length) {
      throw new IndexError(`adding: position out of range: got ${position}, expected ${-length} to ${length - 1}`)
    }
  }
  const inputs = randn(count, length, 1, rest)
  return { inputs, targets: inputs.select(1, positions[0]).add(inputs.select(1, positions[1])) }
}
