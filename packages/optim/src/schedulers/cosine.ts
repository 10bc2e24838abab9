// Schedules along a cosine: CosineAnnealingLR and CosineAnnealingWarmRestarts (Loshchilov and Hutter 2017, SGDR). Formulas and
// their order of evaluation are torch.optim.lr_scheduler's.
import { ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks } from "@rondo/core"
import { type Scheduled, Scheduler, schedulerChecks, type SchedulerOptions } from "./scheduler.js"

/** Options of {@link CosineAnnealingLR}. */
export interface CosineAnnealingLROptions extends SchedulerOptions {
  /** Epochs from the highest rate to the lowest. */
  readonly tMax: number
  /** The lowest rate. Default 0. */
  readonly etaMin?: number
}

const annealingChecks: OptionChecks<CosineAnnealingLROptions> = {
  tMax: "positive!",
  etaMin: "real",
  ...schedulerChecks,
}

const { PI, cos } = Math

/**
 * Falls to `etaMin` along half a cosine, then rises again
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new CosineAnnealingLR(optimizer, { tMax: 100 })
 * ```
 */
export class CosineAnnealingLR extends Scheduler<{ tMax: number; etaMin: number }> {
  constructor(optimizer: Scheduled, options: CosineAnnealingLROptions) {
    const { tMax, etaMin = 0, lastEpoch } = checkOptions("CosineAnnealingLR", annealingChecks, options)
    super(optimizer, { name: "CosineAnnealingLR", settings: { tMax, etaMin }, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    const { tMax, etaMin } = this.settings
    const rates = this.rates()
    if (this.lastEpoch === 0) return rates
    if (this.stepCount === 1) {
      return this.baseLrs.map((lr) => etaMin + ((lr - etaMin) * (1 + cos((this.lastEpoch * PI) / tMax))) / 2)
    }
    // At the lowest point the ratio below would be 0 / 0.
    if ((this.lastEpoch - 1 - tMax) % (2 * tMax) === 0) {
      return this.baseLrs.map((lr, i) => rates[i] + ((lr - etaMin) * (1 - cos(PI / tMax))) / 2)
    }
    const ratio = (1 + cos((PI * this.lastEpoch) / tMax)) / (1 + cos((PI * (this.lastEpoch - 1)) / tMax))
    return rates.map((lr) => ratio * (lr - etaMin) + etaMin)
  }
  protected override closed(): number[] {
    const { tMax, etaMin } = this.settings
    return this.baseLrs.map((lr) => etaMin + ((lr - etaMin) * (1 + cos((PI * this.lastEpoch) / tMax))) / 2)
  }
}

/** Options of {@link CosineAnnealingWarmRestarts}. */
export interface CosineAnnealingWarmRestartsOptions extends SchedulerOptions {
  /** Epochs of the first round. */
  readonly t0: number
  /** How many times longer each round is than the one before. Default 1. */
  readonly tMult?: number
  /** The lowest rate. Default 0. */
  readonly etaMin?: number
}

const restartsChecks: OptionChecks<CosineAnnealingWarmRestartsOptions> = {
  t0: "count!",
  tMult: "count",
  etaMin: "real",
  ...schedulerChecks,
}

/**
 * Falls along half a cosine, round after round
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.html). Epochs may be
 * fractions here: `scheduler.step(epoch + i / batches)`.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new CosineAnnealingWarmRestarts(optimizer, { t0: 10, tMult: 2 })
 * ```
 */
export class CosineAnnealingWarmRestarts extends Scheduler<Record<"t0" | "tI" | "tMult" | "etaMin" | "tCur", number>> {
  constructor(optimizer: Scheduled, options: CosineAnnealingWarmRestartsOptions) {
    const name = "CosineAnnealingWarmRestarts"
    const { t0, tMult = 1, etaMin = 0, lastEpoch = -1 } = checkOptions(name, restartsChecks, options)
    super(optimizer, { name, settings: { t0, tI: t0, tMult, etaMin, tCur: lastEpoch }, lastEpoch })
    this.start()
  }
  protected next(): number[] {
    const { etaMin, tCur, tI } = this.settings
    return this.baseLrs.map((lr) => etaMin + ((lr - etaMin) * (1 + cos((PI * tCur) / tI))) / 2)
  }
  protected override advance(epoch?: number): void {
    if (epoch !== undefined && !(epoch >= 0)) {
      throw new ValueError(`${this.label}.step: epoch must not be negative: got ${String(epoch)}`)
    }
    if (epoch === undefined && this.lastEpoch >= 0) this.#nextEpoch()
    else this.#goTo(epoch ?? 0)
    this.apply(this.next())
  }
  #nextEpoch(): void {
    const { settings } = this
    this.lastEpoch++
    settings.tCur++
    if (settings.tCur < settings.tI) return
    settings.tCur -= settings.tI
    settings.tI *= settings.tMult
  }
  #goTo(epoch: number): void {
    const { settings } = this
    const { t0, tMult } = settings
    this.lastEpoch = Math.floor(epoch)
    if (epoch < t0) Object.assign(settings, { tI: t0, tCur: epoch })
    else if (tMult === 1) settings.tCur = epoch % t0
    else {
      const round = Math.trunc(Math.log((epoch / t0) * (tMult - 1) + 1) / Math.log(tMult))
      settings.tCur = epoch - (t0 * (tMult ** round - 1)) / (tMult - 1)
      settings.tI = t0 * tMult ** round
    }
  }
}
