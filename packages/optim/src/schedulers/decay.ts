// Schedules that only multiply: StepLR, MultiStepLR, ConstantLR, LinearLR, ExponentialLR, PolynomialLR and the two that ask a
// function. Formulas and their order of evaluation are torch.optim.lr_scheduler's.
import { checkOptions, type OptionChecks } from "@rondo/core"
import { type Scheduled, Scheduler, schedulerChecks, type SchedulerOptions } from "./scheduler.js"

/** Options of {@link StepLR}. */
export interface StepLROptions extends SchedulerOptions {
  /** Epochs between two changes. */
  readonly stepSize: number
  /** What the rate is multiplied with. Default 0.1. */
  readonly gamma?: number
}

const stepChecks: OptionChecks<StepLROptions> = { stepSize: "count!", gamma: "real", ...schedulerChecks }

/**
 * Multiplies by `gamma` every `stepSize` epochs (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.StepLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new StepLR(optimizer, { stepSize: 30, gamma: 0.1 })
 * ```
 */
export class StepLR extends Scheduler<{ stepSize: number; gamma: number }> {
  constructor(optimizer: Scheduled, options: StepLROptions) {
    const { stepSize, gamma = 0.1, lastEpoch } = checkOptions("StepLR", stepChecks, options)
    super(optimizer, { name: "StepLR", settings: { stepSize, gamma }, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    const { stepSize, gamma } = this.settings
    if (this.lastEpoch === 0 || this.lastEpoch % stepSize !== 0) return this.rates()
    return this.rates().map((lr) => lr * gamma)
  }
  protected override closed(): number[] {
    const { stepSize, gamma } = this.settings
    return this.baseLrs.map((lr) => lr * gamma ** Math.floor(this.lastEpoch / stepSize))
  }
}

/** Options of {@link MultiStepLR}. */
export interface MultiStepLROptions extends SchedulerOptions {
  /** Epochs at which the rate changes; an epoch that is named twice counts twice. */
  readonly milestones: readonly number[]
  /** What the rate is multiplied with. Default 0.1. */
  readonly gamma?: number
}

const multiStepChecks: OptionChecks<MultiStepLROptions> = { milestones: "integers!", gamma: "real", ...schedulerChecks }

/**
 * Multiplies by `gamma` at each milestone
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiStepLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new MultiStepLR(optimizer, { milestones: [30, 80] })
 * ```
 */
export class MultiStepLR extends Scheduler<{ milestones: readonly number[]; gamma: number }> {
  constructor(optimizer: Scheduled, options: MultiStepLROptions) {
    const { milestones, gamma = 0.1, lastEpoch } = checkOptions("MultiStepLR", multiStepChecks, options)
    const settings = { milestones: [...milestones].sort((a, b) => a - b), gamma }
    super(optimizer, { name: "MultiStepLR", settings, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    const { milestones, gamma } = this.settings
    const times = milestones.filter((at) => at === this.lastEpoch).length
    return times === 0 ? this.rates() : this.rates().map((lr) => lr * gamma ** times)
  }
  protected override closed(): number[] {
    const { milestones, gamma } = this.settings
    return this.baseLrs.map((lr) => lr * gamma ** milestones.filter((at) => at <= this.lastEpoch).length)
  }
}

/** Options of {@link ConstantLR}. */
export interface ConstantLROptions extends SchedulerOptions {
  /** What the rate is multiplied with, at first. Default 1/3. */
  readonly factor?: number
  /** Epochs until the rate is itself again. Default 5. */
  readonly totalIters?: number
}

const constantChecks: OptionChecks<ConstantLROptions> = {
  factor: "probability",
  totalIters: "rate",
  ...schedulerChecks,
}

/**
 * Multiplies by `factor` for the first `totalIters` epochs
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ConstantLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new ConstantLR(optimizer, { factor: 0.5, totalIters: 4 })
 * ```
 */
export class ConstantLR extends Scheduler<{ factor: number; totalIters: number }> {
  constructor(optimizer: Scheduled, options?: ConstantLROptions) {
    const { factor = 1 / 3, totalIters = 5, lastEpoch } = checkOptions("ConstantLR", constantChecks, options)
    super(optimizer, { name: "ConstantLR", settings: { factor, totalIters }, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    const { factor, totalIters } = this.settings
    if (this.lastEpoch === 0) return this.rates().map((lr) => lr * factor)
    if (this.lastEpoch !== totalIters) return this.rates()
    return this.rates().map((lr) => lr * (1 / factor))
  }
  protected override closed(): number[] {
    const { factor, totalIters } = this.settings
    return this.baseLrs.map((lr) => lr * (factor + (this.lastEpoch >= totalIters ? 1 : 0) * (1 - factor)))
  }
}

/** Options of {@link LinearLR}. */
export interface LinearLROptions extends SchedulerOptions {
  /** Share of the rate at the first epoch. Default 1/3. */
  readonly startFactor?: number
  /** Share of the rate at the end. Default 1. */
  readonly endFactor?: number
  /** Epochs from the one to the other. Default 5. */
  readonly totalIters?: number
}

const linearChecks: OptionChecks<LinearLROptions> = {
  startFactor: "probability",
  endFactor: "probability",
  totalIters: "rate",
  ...schedulerChecks,
}

/**
 * Warms up (or cools down) along a straight line
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LinearLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new LinearLR(optimizer, { startFactor: 0.1, totalIters: 10 })
 * ```
 */
export class LinearLR extends Scheduler<{ startFactor: number; endFactor: number; totalIters: number }> {
  constructor(optimizer: Scheduled, options?: LinearLROptions) {
    const given = checkOptions("LinearLR", linearChecks, options)
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5, lastEpoch } = given
    super(optimizer, { name: "LinearLR", settings: { startFactor, endFactor, totalIters }, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    const { startFactor, endFactor, totalIters } = this.settings
    const rates = this.rates()
    if (this.lastEpoch === 0) return rates.map((lr) => lr * startFactor)
    if (this.lastEpoch > totalIters) return rates
    const rise = endFactor - startFactor
    return rates.map((lr) => lr * (1 + rise / (totalIters * startFactor + (this.lastEpoch - 1) * rise)))
  }
  protected override closed(): number[] {
    const { startFactor, endFactor, totalIters } = this.settings
    const done = Math.min(totalIters, this.lastEpoch)
    return this.baseLrs.map((lr) => lr * (startFactor + ((endFactor - startFactor) * done) / totalIters))
  }
}

/** Options of {@link ExponentialLR}. */
export interface ExponentialLROptions extends SchedulerOptions {
  /** What the rate is multiplied with. */
  readonly gamma: number
}

const exponentialChecks: OptionChecks<ExponentialLROptions> = { gamma: "real!", ...schedulerChecks }

/**
 * Multiplies by `gamma` every epoch (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ExponentialLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new ExponentialLR(optimizer, { gamma: 0.95 })
 * ```
 */
export class ExponentialLR extends Scheduler<{ gamma: number }> {
  constructor(optimizer: Scheduled, options: ExponentialLROptions) {
    const { gamma, lastEpoch } = checkOptions("ExponentialLR", exponentialChecks, options)
    super(optimizer, { name: "ExponentialLR", settings: { gamma }, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    return this.lastEpoch === 0 ? this.rates() : this.rates().map((lr) => lr * this.settings.gamma)
  }
  protected override closed(): number[] {
    return this.baseLrs.map((lr) => lr * this.settings.gamma ** this.lastEpoch)
  }
}

/** Options of {@link PolynomialLR}. */
export interface PolynomialLROptions extends SchedulerOptions {
  /** Epochs until the rate is 0. Default 5. */
  readonly totalIters?: number
  /** Power of the share of epochs that is left. Default 1. */
  readonly power?: number
}

const polynomialChecks: OptionChecks<PolynomialLROptions> = {
  totalIters: "positive",
  power: "real",
  ...schedulerChecks,
}

/**
 * Goes to 0 like a power of the epochs that are left
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.PolynomialLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new PolynomialLR(optimizer, { totalIters: 100, power: 2 })
 * ```
 */
export class PolynomialLR extends Scheduler<{ totalIters: number; power: number }> {
  constructor(optimizer: Scheduled, options?: PolynomialLROptions) {
    const { totalIters = 5, power = 1, lastEpoch } = checkOptions("PolynomialLR", polynomialChecks, options)
    super(optimizer, { name: "PolynomialLR", settings: { totalIters, power }, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    const { totalIters, power } = this.settings
    if (this.lastEpoch === 0 || this.lastEpoch > totalIters) return this.rates()
    const factor = ((1 - this.lastEpoch / totalIters) / (1 - (this.lastEpoch - 1) / totalIters)) ** power
    return this.rates().map((lr) => lr * factor)
  }
  protected override closed(): number[] {
    const { totalIters, power } = this.settings
    return this.baseLrs.map((lr) => lr * (1 - Math.min(totalIters, this.lastEpoch) / totalIters) ** power)
  }
}
