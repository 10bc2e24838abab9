// How a case is timed, the same for every library that runs in JavaScript; pytorch.py repeats it in Python.

/** What one case prints, as one line of JSON. */
export interface Measured {
  /** A workload, or the name of an operation. */
  readonly workload: string
  readonly median_ms?: number
  readonly min_ms?: number
  /** The first step: compilation, warm-up. */
  readonly first_ms?: number
  /** After the last timed step. */
  readonly loss?: number | null
  /** Loss by step. */
  readonly losses?: Readonly<Record<number, number>>
  /** W5: the sum of h after 10 steps from zero. */
  readonly check?: number
  /** Steps that were timed. */
  readonly steps?: number
  /** In place of the numbers: why there are none. */
  readonly error?: string
}

/** A model under training. `step` is one whole training step, finished when it returns or its promise resolves. */
export interface Trainer<L> {
  step(last?: boolean): L | Promise<L>
  /** Frees a loss that nobody will read. */
  drop?(loss: L): void
  close?(): void
}

interface Plan {
  /** Untimed steps before, then timed steps. */
  readonly warm: number
  readonly iters: number
  /** Seconds after which a slow library stops early. */
  readonly budget: number
  /** Timed steps that must be made, however slow. Default 3. */
  readonly least?: number
}

const plans: Readonly<Record<string, Plan>> = {
  W1: { warm: 30, iters: 300, budget: 20 },
  W1b: { warm: 30, iters: 300, budget: 20 },
  W2: { warm: 3, iters: 30, budget: 12 },
  W3: { warm: 3, iters: 30, budget: 12 },
  W4: { warm: 3, iters: 30, budget: 12 },
  W4d: { warm: 1, iters: 8, budget: 12 },
}
const latency = { warm: 500, iters: 100, chunk: 50, budget: 10 }

// For a first look: BENCH_BUDGET=0.1 takes a tenth of the time. Not for figures that anybody should believe.
const patience = (): number => Number(process.env.BENCH_BUDGET ?? 1)

const now = (): number => performance.now()

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Awaits promises only: a needless await would cost a synchronous library a microtask a step. */
const isPromise = <T>(value: T | Promise<T>): value is Promise<T> => value instanceof Promise

const shownSteps = [1, 2, 3, 5, 10, 20, 30, 100, 300]

/**
 * Times single training steps: some to warm up, then of a model built anew. `read` gives the number of a loss, outside the
 * clock. `special` changes the plan for libraries that take minutes.
 */
export async function timeTraining<L>(
  workload: string,
  make: () => Trainer<L> | Promise<Trainer<L>>,
  read: (loss: L) => number | Promise<number>,
  special: Partial<Plan> = {},
): Promise<Measured> {
  const plan = { least: 3, ...plans[workload], ...special }
  const run = async (steps: number, least: number, budget: number) => {
    const model = await make()
    const times: number[] = []
    const losses: number[] = []
    const start = now()
    while (times.length < steps && (times.length < least || now() - start < budget * 1e3 * patience())) {
      const begin = now()
      const pending = model.step(true)
      const loss = isPromise(pending) ? await pending : pending
      times.push(now() - begin)
      losses.push(await read(loss))
    }
    model.close?.()
    return { times, losses }
  }
  const cold = await run(plan.warm, Math.min(1, plan.warm), plan.budget / 3)
  const { times, losses } = await run(plan.iters, plan.least, plan.budget)
  const shown = shownSteps.filter((step) => step <= losses.length)
  return {
    workload,
    median_ms: median(times),
    min_ms: Math.min(...times),
    first_ms: cold.times[0] ?? times[0],
    loss: losses[losses.length - 1],
    losses: Object.fromEntries(shown.map((step) => [step, losses[step - 1]])),
    steps: times.length,
  }
}

/** Times complete runs of `epochs`, the model built inside the clock and the loss read once, at the end. */
export async function timeRun<L>(
  workload: string,
  make: () => Trainer<L> | Promise<Trainer<L>>,
  read: (loss: L) => number | Promise<number>,
  { epochs = 1000, repetitions = 3, budget = 60 } = {},
): Promise<Measured> {
  const times: number[] = []
  let result = NaN
  const total = () => times.reduce((a, b) => a + b, 0)
  const fits = () => times.length === 0 || total() + times[0] < budget * 1e3 * patience()
  while (times.length < repetitions && fits()) {
    const begin = now()
    const model = await make()
    for (let i = 0; i < epochs; i++) {
      const pending = model.step(i === epochs - 1)
      const loss = isPromise(pending) ? await pending : pending
      if (i < epochs - 1) model.drop?.(loss)
      else result = await read(loss)
    }
    times.push(now() - begin)
    model.close?.()
  }
  const spread = { median_ms: median(times), min_ms: Math.min(...times), first_ms: times[0] }
  return { workload, ...spread, loss: result, steps: epochs }
}

/** One time step of inference at a time, the state carried and read back; `check` sums h after 10 steps. */
export interface Stepper {
  step(): void | Promise<void>
  check(): number | Promise<number>
  close?(): void
}

/** Times inference steps in chunks, since one is shorter than the clock is fine. */
export async function timeLatency(workload: string, make: () => Stepper | Promise<Stepper>): Promise<Measured> {
  const { warm, iters, chunk, budget } = latency
  const model = await make()
  const steps = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const pending = model.step()
      if (isPromise(pending)) await pending
    }
  }
  await steps(10)
  const check = await model.check()
  const start = now()
  for (let i = 0; i < warm && now() - start < budget * 300 * patience(); i++) await steps(1)
  const times: number[] = []
  const begin = now()
  while (times.length < iters && (times.length < 3 || now() - begin < budget * 1e3 * patience())) {
    const before = now()
    await steps(chunk)
    times.push((now() - before) / chunk)
  }
  model.close?.()
  return {
    workload,
    median_ms: median(times),
    min_ms: Math.min(...times),
    loss: null,
    check,
    steps: times.length * chunk,
  }
}

/**
 * Times one operation. `call` runs it and frees its result. Calls are grouped so that a group takes a few milliseconds;
 * the median is over groups. `divisor`: operations in one call.
 */
export async function timeOp(
  name: string,
  call: () => void | Promise<void>,
  { divisor = 1, groups = 25, group_ms = 4 } = {},
): Promise<Measured> {
  const many = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const pending = call()
      if (isPromise(pending)) await pending
    }
  }
  const begin = now()
  await many(1)
  const first = (now() - begin) / divisor
  // Enough calls for the optimising compiler, but no more than half a second.
  const warmed = now()
  let warm = 0
  while (warm < 3 || (warm < 2000 && now() - warmed < 500 * patience())) {
    await many(1)
    warm++
  }
  const size = Math.max(1, Math.round(group_ms / ((now() - warmed) / warm)))
  const times: number[] = []
  const started = now()
  while (times.length < groups && (times.length < 3 || now() - started < 2000 * patience())) {
    const before = now()
    await many(size)
    times.push((now() - before) / size / divisor)
  }
  const steps = times.length * size * divisor
  return { workload: name, median_ms: median(times), min_ms: Math.min(...times), first_ms: first, steps }
}

/** Cases by name. */
export type Cases = Readonly<Record<string, () => Promise<Measured>>>

/** Runs the cases that are wanted, one line of JSON each; a failure is a line too. */
export async function runCases(cases: Cases, wanted: readonly string[]): Promise<void> {
  for (const name of wanted) {
    let line: Measured
    try {
      line = cases[name] ? await cases[name]() : { workload: name, error: "this library has no such case" }
    } catch (error) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
      line = { workload: name, error: text.split("\n")[0].slice(0, 300) }
    }
    console.log(JSON.stringify(line))
  }
}
