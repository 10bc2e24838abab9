// Schedules that cycle the momentum against the rate: OneCycleLR and CyclicLR (Smith 2017; Smith and Topin 2018). Formulas and
// their order of evaluation are torch.optim.lr_scheduler's; beta1 of Adam and its kin counts as momentum.
import { ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks } from "@rondo/core"
import {
  checkOptimizer,
  perGroup,
  type Scheduled,
  type ScheduledGroup,
  Scheduler,
  schedulerChecks,
  type SchedulerOptions,
} from "./scheduler.js"

function setMomentum(group: ScheduledGroup, momentum: number): void {
  if (group.betas) group.betas = [momentum, group.betas[1]]
  else group.momentum = momentum
}

function checkMomentum(name: string, { paramGroups }: Scheduled): void {
  if (paramGroups.every((group) => group.betas || group.momentum !== undefined)) return
  throw new ValueError(`${name}: cycleMomentum needs an optimiser with momentum or betas: pass cycleMomentum: false`)
}

/** Options of {@link OneCycleLR}. */
export interface OneCycleLROptions extends SchedulerOptions {
  /** The highest rate, for all groups or one a group. */
  readonly maxLr: number | readonly number[]
  /** Steps of the whole cycle; or give `epochs` and `stepsPerEpoch`. */
  readonly totalSteps?: number
  readonly epochs?: number
  readonly stepsPerEpoch?: number
  /** Share of the cycle in which the rate rises. Default 0.3. */
  readonly pctStart?: number
  /** Default "cos". */
  readonly annealStrategy?: "cos" | "linear"
  /** Lower the momentum while the rate rises. Default true. */
  readonly cycleMomentum?: boolean
  /** Default 0.85. */
  readonly baseMomentum?: number | readonly number[]
  /** Default 0.95. */
  readonly maxMomentum?: number | readonly number[]
  /** The first rate is maxLr / divFactor. Default 25. */
  readonly divFactor?: number
  /** The last rate is the first / finalDivFactor. Default 1e4. */
  readonly finalDivFactor?: number
  /** Fall as slowly as the rate rose, then go to the last rate. Default false. */
  readonly threePhase?: boolean
}

const oneCycleChecks: OptionChecks<OneCycleLROptions> = {
  maxLr: "numbers!",
  totalSteps: "count",
  epochs: "count",
  stepsPerEpoch: "count",
  pctStart: "probability",
  annealStrategy: ["cos", "linear"],
  cycleMomentum: "flag",
  baseMomentum: "numbers",
  maxMomentum: "numbers",
  divFactor: "positive",
  finalDivFactor: "positive",
  threePhase: "flag",
  ...schedulerChecks,
}

type Ends = readonly ["initialLr" | "maxLr" | "minLr", "maxMomentum" | "baseMomentum"]
const low: Ends = ["initialLr", "maxMomentum"]
const high: Ends = ["maxLr", "baseMomentum"]
const last: Ends = ["minLr", "maxMomentum"]

interface OneCycle {
  totalSteps: number
  cycleMomentum: boolean
}

function stepsOf({ totalSteps, epochs, stepsPerEpoch }: OneCycleLROptions): number {
  if (totalSteps !== undefined) return totalSteps
  if (epochs === undefined || stepsPerEpoch === undefined) {
    throw new ValueError("OneCycleLR: needs totalSteps, or epochs and stepsPerEpoch")
  }
  return epochs * stepsPerEpoch
}

/**
 * Rises to `maxLr` and falls far below the start, once; step it after every batch
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html). A step behind the end is a ValueError.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1, momentum: 0.9 })
 * const scheduler = new OneCycleLR(optimizer, { maxLr: 0.1, totalSteps: 1000 })
 * ```
 */
export class OneCycleLR extends Scheduler<OneCycle> {
  readonly #phases: readonly { readonly end: number; readonly from: Ends; readonly to: Ends }[]
  readonly #linear: boolean
  constructor(optimizer: Scheduled, options: OneCycleLROptions) {
    checkOptions("OneCycleLR", oneCycleChecks, options)
    const { maxLr, pctStart = 0.3, annealStrategy = "cos", cycleMomentum = true, divFactor = 25 } = options
    const { finalDivFactor = 1e4, threePhase = false, baseMomentum = 0.85, maxMomentum = 0.95, lastEpoch } = options
    const name = "OneCycleLR"
    const totalSteps = stepsOf(options)
    checkOptimizer(name, optimizer)
    const groups = optimizer.paramGroups
    const tops = perGroup(name, "maxLr", maxLr, groups.length)
    const moments = [maxMomentum, baseMomentum].map((value, i) => perGroup(name, i ? "baseMomentum" : "maxMomentum", value, groups.length)) // prettier-ignore
    if (cycleMomentum) checkMomentum(name, optimizer)
    if (lastEpoch === undefined || lastEpoch === -1) {
      groups.forEach((group, i) => {
        group.initialLr = tops[i] / divFactor
        group.maxLr = tops[i]
        group.minLr = group.initialLr / finalDivFactor
        if (!cycleMomentum) return
        setMomentum(group, moments[0][i])
        ;[group.maxMomentum, group.baseMomentum] = [moments[0][i], moments[1][i]]
      })
    }
    super(optimizer, { name, settings: { totalSteps, cycleMomentum }, lastEpoch })
    const rise = { end: pctStart * totalSteps - 1, from: low, to: high }
    const fall = { end: 2 * pctStart * totalSteps - 2, from: high, to: low }
    const end = { end: totalSteps - 1, from: threePhase ? low : high, to: last }
    this.#phases = threePhase ? [rise, fall, end] : [rise, end]
    this.#linear = annealStrategy === "linear"
    this.start()
  }
  protected next(): number[] {
    const { totalSteps, cycleMomentum } = this.settings
    const { lastEpoch } = this
    if (lastEpoch > totalSteps) {
      throw new ValueError(`${this.label}.step: the cycle is over: step ${lastEpoch + 1} of ${totalSteps}`)
    }
    const found = this.#phases.findIndex(({ end }) => lastEpoch <= end)
    const at = found < 0 ? this.#phases.length - 1 : found
    const { end, from, to } = this.#phases[at]
    const start = at === 0 ? 0 : this.#phases[at - 1].end
    const share = (lastEpoch - start) / (end - start)
    return this.groups.map((group) => {
      if (cycleMomentum) setMomentum(group, this.#anneal(group[from[1]] as number, group[to[1]] as number, share))
      return this.#anneal(group[from[0]] as number, group[to[0]] as number, share)
    })
  }
  #anneal(start: number, end: number, share: number): number {
    if (this.#linear) return (end - start) * share + start
    return end + ((start - end) / 2) * (Math.cos(Math.PI * share) + 1)
  }
}

/** Options of {@link CyclicLR}. */
export interface CyclicLROptions extends SchedulerOptions {
  /** The lowest rate, for all groups or one a group. */
  readonly baseLr: number | readonly number[]
  /** The highest rate, likewise. */
  readonly maxLr: number | readonly number[]
  /** Steps of the rise. Default 2000. */
  readonly stepSizeUp?: number
  /** Steps of the fall. Default stepSizeUp. */
  readonly stepSizeDown?: number
  /** All cycles alike, each half as high as the last, or lower by `gamma` a step. Default "triangular". */
  readonly mode?: "triangular" | "triangular2" | "exp_range"
  /** Default 1. */
  readonly gamma?: number
  /** Height of a cycle, in place of `mode`: from the number of the cycle (from 1), or of the step. It is not saved. */
  readonly scaleFn?: (x: number) => number
  /** What `scaleFn` is given. Default "cycle". */
  readonly scaleMode?: "cycle" | "iterations"
  /** Lower the momentum while the rate rises. Default true. */
  readonly cycleMomentum?: boolean
  /** Default 0.8. */
  readonly baseMomentum?: number | readonly number[]
  /** Default 0.9. */
  readonly maxMomentum?: number | readonly number[]
}

const cyclicChecks: OptionChecks<CyclicLROptions> = {
  baseLr: "numbers!",
  maxLr: "numbers!",
  stepSizeUp: "positive",
  stepSizeDown: "positive",
  mode: ["triangular", "triangular2", "exp_range"],
  gamma: "real",
  scaleFn: "function",
  scaleMode: ["cycle", "iterations"],
  cycleMomentum: "flag",
  baseMomentum: "numbers",
  maxMomentum: "numbers",
  ...schedulerChecks,
}

interface Cyclic {
  totalSize: number
  stepRatio: number
  maxLrs: number[]
  scaleMode: "cycle" | "iterations"
  cycleMomentum: boolean
}

/**
 * Rises and falls between two rates for ever; step it after every batch
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CyclicLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1, momentum: 0.9 })
 * const scheduler = new CyclicLR(optimizer, { baseLr: 0.01, maxLr: 0.1, stepSizeUp: 200 })
 * ```
 */
export class CyclicLR extends Scheduler<Cyclic> {
  readonly #scale: (x: number) => number
  readonly #momenta: readonly (readonly [number, number])[]
  constructor(optimizer: Scheduled, options: CyclicLROptions) {
    checkOptions("CyclicLR", cyclicChecks, options)
    const { baseLr, maxLr, stepSizeUp = 2000, stepSizeDown = stepSizeUp, mode = "triangular", gamma = 1 } = options
    const { scaleFn, cycleMomentum = true, baseMomentum = 0.8, maxMomentum = 0.9, lastEpoch } = options
    const name = "CyclicLR"
    checkOptimizer(name, optimizer)
    const groups = optimizer.paramGroups
    const bases = perGroup(name, "baseLr", baseLr, groups.length)
    const maxLrs = perGroup(name, "maxLr", maxLr, groups.length)
    const lows = perGroup(name, "baseMomentum", baseMomentum, groups.length)
    const highs = perGroup(name, "maxMomentum", maxMomentum, groups.length)
    if (cycleMomentum) checkMomentum(name, optimizer)
    const anew = lastEpoch === undefined || lastEpoch === -1
    if (anew) groups.forEach((group, i) => (group.lr = bases[i]))
    if (anew && cycleMomentum) groups.forEach((group, i) => setMomentum(group, lows[i]))
    const totalSize = stepSizeUp + stepSizeDown
    const scaleMode = scaleFn ? (options.scaleMode ?? "cycle") : mode === "exp_range" ? "iterations" : "cycle"
    const settings = { totalSize, stepRatio: stepSizeUp / totalSize, maxLrs, scaleMode, cycleMomentum }
    super(optimizer, { name, settings, lastEpoch })
    const scales = {
      triangular: () => 1,
      triangular2: (x: number) => 1 / 2 ** (x - 1),
      exp_range: (x: number) => gamma ** x,
    }
    this.#scale = scaleFn ?? scales[mode]
    this.#momenta = groups.map((group, i) => [group.betas ? group.betas[0] : (group.momentum ?? 0), highs[i]])
    this.start()
    this.baseLrs = bases
  }
  protected next(): number[] {
    const { totalSize, stepRatio, maxLrs, scaleMode, cycleMomentum } = this.settings
    const cycle = Math.floor(1 + this.lastEpoch / totalSize)
    const x = 1 + this.lastEpoch / totalSize - cycle
    const height = x <= stepRatio ? x / stepRatio : (x - 1) / (stepRatio - 1)
    const scale = this.#scale(scaleMode === "cycle" ? cycle : this.lastEpoch)
    if (cycleMomentum) {
      this.#momenta.forEach(([base, top], i) => setMomentum(this.groups[i], top - (top - base) * height * scale))
    }
    return this.baseLrs.map((lr, i) => lr + (maxLrs[i] - lr) * height * scale)
  }
}
