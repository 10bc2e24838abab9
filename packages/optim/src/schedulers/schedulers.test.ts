// Schedulers against PyTorch 1.13.1's sequences and states (conformance/goldens/schedulers.py), saving, and bad input.
import { readFileSync } from "node:fs"
import { StateDictError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { capture, tensor, use } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import { Adam } from "../adam.js"
import { SGD } from "../sgd.js"
import * as schedulers from "./index.js"
import {
  type AnyScheduler,
  ChainedScheduler,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  CyclicLR,
  ExponentialLR,
  LambdaLR,
  OneCycleLR,
  ReduceLROnPlateau,
  type ScheduledGroup,
  type SchedulerState,
  SequentialLR,
  StepLR,
} from "./index.js"

interface Description {
  kind: string
  options?: Record<string, unknown>
  parts?: Description[]
  milestones?: number[]
}
interface Row {
  scheduler: Description
  adam: boolean
  rates: number[][]
  momenta?: number[][]
  metrics?: number[]
  epochs?: (number | null)[]
  state: Record<string, unknown>
}
const rows = JSON.parse(readFileSync(new URL("../goldens/schedulers.json", import.meta.url), "utf8")) as Row[]

beforeAll(() => {
  use(new CpuJs())
})

const lambdas: Record<string, (x: number) => number> = {
  power: (epoch) => 0.95 ** epoch,
  tenth: (epoch) => 1 / (1 + epoch / 10),
  constant: () => 0.9,
}
const named = (value: unknown): unknown => (Array.isArray(value) ? value.map(named) : lambdas[value as string])

type Optimiser = SGD | Adam
function optimiser(adam = false): Optimiser {
  const groups = [0.5, 0.02].map((lr) => ({ params: [tensor([0], { requiresGrad: true })], lr }))
  return adam ? new Adam(groups) : new SGD(groups, { lr: 0.5, momentum: 0.9 })
}

function make({ kind, options = {}, parts = [], milestones = [] }: Description, optimizer: Optimiser): AnyScheduler {
  const made = () => parts.map((part) => make(part, optimizer)) as schedulers.Scheduler[]
  if (kind === "SequentialLR") return new SequentialLR(optimizer, { schedulers: made(), milestones })
  if (kind === "ChainedScheduler") return new ChainedScheduler(made())
  const given = { ...options }
  for (const name of ["lrLambda", "scaleFn"]) if (name in given) given[name] = named(given[name])
  const Kind = schedulers[kind as "StepLR"] as unknown as new (optimizer: Optimiser, options: object) => AnyScheduler
  return new Kind(optimizer, given)
}

function advance(scheduler: AnyScheduler, row: Row, i: number): void {
  if (scheduler instanceof ReduceLROnPlateau) return scheduler.step((row.metrics as number[])[i])
  const epoch = row.epochs?.[i]
  if (typeof epoch === "number") (scheduler as schedulers.Scheduler).step(epoch)
  else scheduler.step()
}

const momenta = (optimizer: Optimiser): number[] =>
  (optimizer.paramGroups as readonly ScheduledGroup[]).map((group) => group.betas?.[0] ?? (group.momentum as number))
const rates = (optimizer: Optimiser): number[] =>
  (optimizer.paramGroups as readonly ScheduledGroup[]).map(({ lr }) => lr)

function expectClose(got: readonly number[], wanted: readonly number[]): void {
  expect(got).toHaveLength(wanted.length)
  // Cosines and powers may differ in the last bit; near 0 recursions carry that along.
  got.forEach((value, i) =>
    expect(Math.abs(value - wanted[i])).toBeLessThanOrEqual(1e-12 * Math.abs(wanted[i]) + 1e-15),
  )
}

const cases = rows.map((row) => ({ ...row, name: JSON.stringify(row.scheduler) + (row.epochs ? " by epoch" : "") }))

describe("sequences", () => {
  it.each(cases)("$name", (row) => {
    const optimizer = optimiser(row.adam)
    const scheduler = make(row.scheduler, optimizer)
    const steady = momenta(optimizer)
    row.rates.forEach((wanted, i) => {
      if (i > 0) advance(scheduler, row, i - 1)
      expectClose(rates(optimizer), wanted)
      expectClose(scheduler.getLastLr(), wanted)
      expectClose(momenta(optimizer), row.momenta?.[i] ?? steady)
    })
  })
})

/** Infinity, as it is spelled in the goldens. */
function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive)
  if (value === "Infinity" || value === "-Infinity") return Number(value)
  if (value === null || typeof value !== "object") return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revive(item)]))
}

describe("saved states", () => {
  it.each(cases)("$name goes on from the middle as if it had never stopped", (row) => {
    const [one, two] = [optimiser(row.adam), optimiser(row.adam)]
    const first = make(row.scheduler, one)
    const steps = row.rates.length - 1
    for (let i = 0; i < steps >> 1; i++) advance(first, row, i)
    const saved = structuredClone(first.stateDict())
    const second = make(row.scheduler, two)
    two.loadStateDict(one.stateDict() as never)
    second.loadStateDict(saved)
    expect(second.stateDict()).toEqual(saved)
    for (let i = steps >> 1; i < steps; i++) {
      advance(first, row, i)
      advance(second, row, i)
      expect(rates(two)).toEqual(rates(one))
      expect(momenta(two)).toEqual(momenta(one))
    }
  })
  it.each(cases)("$name takes PyTorch's state", (row) => {
    const optimizer = optimiser(row.adam)
    const own = make(row.scheduler, optimizer)
    for (let i = 0; i < row.rates.length - 1; i++) advance(own, row, i)
    const other = make(row.scheduler, optimiser(row.adam))
    other.loadStateDict(revive(row.state) as SchedulerState)
    if (!("lastEpoch" in own) || !("lastEpoch" in other)) expect(row.scheduler.kind).toBe("ChainedScheduler")
    else expect(other.lastEpoch).toBe(own.lastEpoch)
    if (!(other instanceof ReduceLROnPlateau)) expectClose(other.getLastLr(), own.getLastLr())
  })
  it("says what does not fit, and changes nothing", () => {
    const scheduler = new StepLR(optimiser(), { stepSize: 3 })
    const before = scheduler.stateDict()
    const bad: [unknown, RegExp][] = [
      [null, /StepLR.loadStateDict: got null, expected an object/],
      [{ ...before, gamma: "x" }, /gamma: got string, expected number/],
      [{ ...before, baseLrs: [1] }, /baseLrs: got a list of 1, expected a list of 2/],
      [{ gamma: 1 }, /stepSize is missing/],
    ]
    for (const [state, text] of bad) {
      expect(() => scheduler.loadStateDict(state as SchedulerState)).toThrow(StateDictError)
      expect(() => scheduler.loadStateDict(state as SchedulerState)).toThrow(text)
    }
    expect(scheduler.stateDict()).toEqual(before)
  })
  it("of several schedulers are loaded together or not at all", () => {
    const optimizer = optimiser()
    const parts = [new ExponentialLR(optimizer, { gamma: 0.5 }), new StepLR(optimizer, { stepSize: 2 })]
    const chained = new ChainedScheduler(parts)
    const [good, bad] = [parts[0].stateDict(), { ...parts[1].stateDict(), lastEpoch: "7" }]
    const state = { lastLr: [1, 1], schedulers: [{ ...good, gamma: 0.1 }, bad] }
    expect(() => chained.loadStateDict(state)).toThrow(StateDictError)
    expect(parts[0].stateDict()).toEqual(good)
    expect(() => chained.loadStateDict({ lastLr: [1, 1] })).toThrow(/expected a list of 2 states/)
  })
  it("goes on from lastEpoch with an optimiser whose state was loaded", () => {
    const [one, two] = [optimiser(), optimiser()]
    const first = new CosineAnnealingLR(one, { tMax: 20 })
    for (let i = 0; i < 7; i++) first.step()
    two.loadStateDict(one.stateDict() as never)
    const second = new CosineAnnealingLR(two, { tMax: 20, lastEpoch: 6 })
    expectClose(second.getLastLr(), first.getLastLr())
    expect(() => new StepLR(optimiser(), { stepSize: 1, lastEpoch: 3 })).toThrow(/group 0 has no initialLr/)
  })
})

describe("bad input", () => {
  it.each<[string, () => unknown, RegExp]>([
    ["no optimiser", () => new StepLR(null as never, { stepSize: 1 }), /StepLR: needs an optimiser: got null/],
    ["a step size of 0", () => new StepLR(optimiser(), { stepSize: 0 }), /stepSize must be a whole number of at least 1: got 0/],
    ["a factor above 1", () => new schedulers.ConstantLR(optimiser(), { factor: 2 }), /factor must be a number from 0 to 1: got 2/],
    ["milestones that are no numbers", () => new schedulers.MultiStepLR(optimiser(), { milestones: [1.5] }), /milestones must be an array of integers: got \[1.5\]/],
    ["one lambda for two groups", () => new LambdaLR(optimiser(), { lrLambda: [() => 1] }), /got 1 for 2 groups/],
    ["a negative epoch", () => new CosineAnnealingWarmRestarts(optimiser(), { t0: 2 }).step(-1), /must not be negative: got -1/],
    ["a cycle without a length", () => new OneCycleLR(optimiser(), { maxLr: 1 }), /needs totalSteps, or epochs/],
    ["half a length", () => new OneCycleLR(optimiser(), { maxLr: 1, epochs: 3 }), /needs totalSteps, or epochs and stepsPerEpoch/],
    ["an unknown mode", () => new CyclicLR(optimiser(), { baseLr: 0, maxLr: 1, mode: "square" as never }), /mode must be/],
    ["a factor of 1", () => new ReduceLROnPlateau(optimiser(), { factor: 1 }), /factor must be a number below 1: got 1/],
    ["a milestone too many", () => new SequentialLR(optimiser(), { schedulers: [], milestones: [] }), /needs a list of schedulers/],
    ["another optimiser", () => new ChainedScheduler([new StepLR(optimiser(), { stepSize: 1 }), new StepLR(optimiser(), { stepSize: 1 })]), /number 1 has another/],
  ])("%s is a ValueError", (_, call, text) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(text)
  }) // prettier-ignore
  it("a step behind the end of a cycle changes nothing", () => {
    const optimizer = optimiser()
    const scheduler = new OneCycleLR(optimizer, { maxLr: 1, totalSteps: 2 })
    scheduler.step()
    scheduler.step()
    const before = [scheduler.stateDict(), rates(optimizer), momenta(optimizer)]
    expect(() => scheduler.step()).toThrow(/the cycle is over/)
    expect([scheduler.stateDict(), rates(optimizer), momenta(optimizer)]).toEqual(before)
  })
  it("an optimiser without momentum cannot cycle it", () => {
    const plain = { paramGroups: [{ lr: 1 }] }
    expect(() => new CyclicLR(plain, { baseLr: 0, maxLr: 1 })).toThrow(/cycleMomentum needs an optimiser with momentum/)
    expect(new CyclicLR(plain, { baseLr: 0, maxLr: 1, cycleMomentum: false }).getLastLr()).toEqual([0])
  })
})

describe("inside of a captured step", () => {
  const made: Readonly<Record<string, (optimizer: SGD) => { step(metrics: never): void }>> = {
    StepLR: (optimizer) => new StepLR(optimizer, { stepSize: 2 }),
    CosineAnnealingWarmRestarts: (optimizer) => new CosineAnnealingWarmRestarts(optimizer, { t0: 3 }),
    SequentialLR: (optimizer) =>
      new SequentialLR(optimizer, {
        schedulers: [new ExponentialLR(optimizer, { gamma: 0.9 }), new ExponentialLR(optimizer, { gamma: 0.5 })],
        milestones: [3],
      }),
    ChainedScheduler: (optimizer) => new ChainedScheduler([new ExponentialLR(optimizer, { gamma: 0.9 })]),
    ReduceLROnPlateau: (optimizer) => new ReduceLROnPlateau(optimizer, { patience: 0, threshold: 0.5 }),
  }
  it.each(Object.keys(made))("%s goes on at every replay", (name) => {
    const run = (wrap: (body: () => void) => () => void): unknown[] => {
      const w = tensor([1, 2], { requiresGrad: true })
      const optimizer = new SGD([w], { lr: 0.1 })
      const scheduler = made[name](optimizer)
      const step = wrap(() => {
        optimizer.zeroGrad()
        const loss = w.square().sum()
        loss.backward()
        optimizer.step()
        const figure: unknown = name === "ReduceLROnPlateau" ? loss.detach() : undefined
        scheduler.step(figure as never)
      })
      return Array.from({ length: 8 }, () => (step(), [optimizer.paramGroups[0].lr, w.tolistSync()]))
    }
    const expected = run((step) => step)
    expect(run((step) => capture(step))).toEqual(expected)
    expect(new Set(expected.map((one) => (one as unknown[])[0])).size).toBeGreaterThan(2)
  })
})
