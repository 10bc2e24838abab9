// Cutting a series for forecasting: overlapping windows with what follows them, and spans of time that never overlap.
import { ShapeError, shapeText, ValueError } from "@rondo/backend"
import type { Tensor } from "@rondo/core"
import type { Samples } from "./tasks.js"

/**
 * Every window of `length` steps of a series, with the step that comes right after it. Windows overlap and share memory
 * with `series`: nothing is copied.
 *
 * @param series `[T]`, or `[T, features]`
 * @returns inputs `[T - length, length]` and targets `[T - length]`; with features, `[T - length, length, features]` and
 * `[T - length, features]`
 * @throws ShapeError for other ranks, or a series without a single window
 *
 * @example
 * ```ts
 * const { inputs, targets } = windows(arange(5), 3)
 * console.log(await inputs.tolist(), await targets.tolist()) // [[0, 1, 2], [1, 2, 3]] [3, 4]
 * ```
 */
export function windows(series: Tensor, length: number): Samples {
  if (series.ndim !== 1 && series.ndim !== 2)
    throw new ShapeError(`windows: wrong rank: got ${shapeText(series.shape)}, expected [T] or [T, features]`)
  if (!Number.isInteger(length) || length < 1)
    throw new ValueError(`windows: bad length: got ${length}, expected a whole number of at least 1`)
  const count = series.shape[0] - length
  if (count < 1)
    throw new ShapeError(`windows: series too short: got ${series.shape[0]} steps, expected more than ${length}`)
  // The last window has no step after it, so it is left out; unfold puts the window last.
  const inputs = series.narrow(0, 0, series.shape[0] - 1).unfold(0, length, 1)
  return {
    inputs: series.ndim === 2 ? inputs.transpose(1, 2) : inputs,
    targets: series.narrow(0, length, count),
  }
}

/** Three spans of time, each after the one before it. */
export interface TimeSplit<T> {
  readonly train: readonly T[]
  readonly validation: readonly T[]
  readonly test: readonly T[]
}

/**
 * Splits rows that are in order of time at two moments: train before `validationFrom`, test from `testFrom` on. No row of
 * a later span can leak into an earlier one, as shuffling would let it.
 *
 * @param timeOf the moment of a row; any values that `<` orders (ISO dates, numbers)
 * @throws ValueError when the rows are not in order of time, or a span stays empty
 *
 * @example
 * ```ts
 * const days = [{ date: "2012-01-01" }, { date: "2014-05-01" }, { date: "2015-02-03" }]
 * const marks = { validationFrom: "2014-01-01", testFrom: "2015-01-01" }
 * const { train, test } = splitByTime(days, (day) => day.date, marks)
 * console.log(train, test) // [{ date: "2012-01-01" }] [{ date: "2015-02-03" }]
 * ```
 */
export function splitByTime<T, M extends string | number>(
  rows: readonly T[],
  timeOf: (row: T) => M,
  { validationFrom, testFrom }: { readonly validationFrom: M; readonly testFrom: M },
): TimeSplit<T> {
  const times = rows.map(timeOf)
  const late = times.findIndex((time, i) => i > 0 && !(times[i - 1] <= time))
  if (late > 0)
    throw new ValueError(`splitByTime: rows out of order: got ${times[late]} after ${times[late - 1]}; sort them first`)
  const from = (moment: M) => {
    const found = times.findIndex((time) => time >= moment)
    return found < 0 ? rows.length : found
  }
  const [a, b] = [from(validationFrom), from(testFrom)]
  const split = { train: rows.slice(0, a), validation: rows.slice(a, b), test: rows.slice(b) }
  for (const [name, span] of Object.entries(split)) {
    if (span.length === 0)
      throw new ValueError(
        `splitByTime: the ${name} span is empty: got moments ${validationFrom} and ${testFrom} for ${rows.length} rows from ${times[0]} to ${times.at(-1)}`,
      )
  }
  return split
}
