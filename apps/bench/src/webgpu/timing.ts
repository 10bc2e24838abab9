// How a case is timed on a GPU, where work is queued: the clock stops when a number computed last was read. The cases are those
// of the other benchmark; only the patience and the counting differ.
import { type Measured, median, type Trainer } from "../timing.js"
import { type Counts, counts, since } from "./counters.js"

/** What one case gives. */
export interface GpuMeasured extends Measured {
  /** Calls to WebGPU in one step: of the median step by dispatches. */
  readonly counts?: Counts
  /** (slowest - fastest) / median of the steps, or groups of products, that were timed. */
  readonly spread?: number
}

/** Patience for one case. */
export interface GpuPlan {
  /** Seconds of timed work after which a slow library stops. */
  readonly seconds: number
}

const leastTimed = 2
const mostSteps = 300
/** Steps before the clock counts, if they fit into the same seconds; the first one never counts. */
const warmSteps = 10

const now = (): number => performance.now()

/**
 * Times training steps of one model, each until its loss was read: the first one is told apart (compilation), up to ten more
 * warm up. Gives the losses of the first three steps in any case. `read` reads a loss that was queued.
 */
export function stepTimer<L>({ seconds }: GpuPlan, read: (loss: L) => number | Promise<number>) {
  return async (workload: string, make: () => Trainer<L> | Promise<Trainer<L>>): Promise<GpuMeasured> => {
    const model = await make()
    const losses: number[] = []
    const dispatches: Counts[] = []
    const step = async (): Promise<number> => {
      const before = counts()
      const begin = now()
      losses.push(await read(await model.step(true)))
      const time = now() - begin
      dispatches.push(since(before))
      return time
    }
    const first = await step()
    const warmed = now()
    for (let i = 1; i < warmSteps && now() - warmed < seconds * 250; i++) {
      // A slow library has no steps to spare: what it would do to warm up is timed.
      if (first > seconds * 250) break
      await step()
    }
    const times: number[] = []
    const started = now()
    while (times.length < mostSteps && (times.length < leastTimed || now() - started < seconds * 1e3))
      times.push(await step())
    model.close?.()
    return {
      workload,
      ...figures(times, first),
      loss: losses[losses.length - 1],
      losses: Object.fromEntries(losses.slice(0, 3).map((loss, i) => [i + 1, loss])),
      counts: typical(dispatches.slice(-times.length)),
    }
  }
}

const figures = (times: readonly number[], first: number) => ({
  median_ms: median(times),
  min_ms: Math.min(...times),
  first_ms: first,
  steps: times.length,
  spread: (Math.max(...times) - Math.min(...times)) / median(times),
})

const typical = (all: readonly Counts[]): Counts =>
  [...all].sort((a, b) => a.dispatches - b.dispatches)[all.length >> 1]

/** The matrix product of a library. */
export interface Products<T> {
  /** A square matrix from its values in row-major order. */
  place(values: Float32Array, size: number): T
  /** Queues a product; both factors live on. */
  multiply(a: T, b: T): T
  free(a: T): void
  /** Element [0, 0], which waits for all that was queued. */
  first(a: T): Promise<number>
}

/** Group so many products that a group takes this long. */
const group_ms = 50

/**
 * Times a b b b …: each product needs the one before, so that none can be left out, and one element of the last is read.
 * `check` is element [0, 0] of a b. The values of `b` must keep the size of numbers as it is.
 */
export async function timeProducts<T>(
  workload: string,
  { place, multiply, free, first: read }: Products<T>,
  { a: left, b: right, size }: { a: Float32Array; b: Float32Array; size: number },
  { seconds }: GpuPlan,
): Promise<GpuMeasured> {
  const a = place(left, size)
  const b = place(right, size)
  const chain = async (length: number): Promise<number> => {
    let last = a
    for (let i = 0; i < length; i++) {
      const next = multiply(last, b)
      if (last !== a) free(last)
      last = next
    }
    const value = await read(last)
    free(last)
    return value
  }
  const timed = async (length: number): Promise<number> => {
    const begin = now()
    await chain(length)
    return (now() - begin) / length
  }
  const begin = now()
  const check = await chain(1)
  const first = now() - begin
  const before = counts()
  // A second one, since the first has compiled.
  const guess = await timed(1)
  const made = since(before)
  const length = Math.max(1, Math.min(64, Math.round(group_ms / guess)))
  const times = length === 1 ? [guess] : []
  // Where even one takes longer than all should, one is enough.
  const least = guess > seconds * 1e3 ? 1 : leastTimed
  const most = least === 1 ? 1 : 30
  const started = now()
  while (times.length < most && (times.length < least || now() - started < seconds * 500)) {
    times.push(await timed(length))
  }
  free(a)
  free(b)
  return { workload, ...figures(times, first), check, counts: made }
}
