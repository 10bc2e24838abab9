// Schedules that a function gives.
import { ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks } from "@rondo/core"
import { type Scheduled, Scheduler, schedulerChecks, type SchedulerOptions } from "./scheduler.js"

/** From the number of an epoch to a factor. */
export type LrLambda = (epoch: number) => number

/** Options of {@link LambdaLR} and {@link MultiplicativeLR}. */
export interface LambdaLROptions extends SchedulerOptions {
  /** One function for all groups, or one a group. It is not saved. */
  readonly lrLambda: LrLambda | readonly LrLambda[]
}

const checks: OptionChecks<LambdaLROptions> = { lrLambda: "function|array!", ...schedulerChecks }

abstract class FunctionLR extends Scheduler {
  protected readonly lambdas: readonly LrLambda[]
  constructor(name: string, optimizer: Scheduled, options: LambdaLROptions) {
    const { lrLambda, lastEpoch } = checkOptions(name, checks, options)
    super(optimizer, { name, settings: {}, lastEpoch })
    const count = this.groups.length
    this.lambdas = typeof lrLambda === "function" ? Array<LrLambda>(count).fill(lrLambda) : [...lrLambda]
    if (this.lambdas.length !== count || this.lambdas.some((lambda) => typeof lambda !== "function")) {
      throw new ValueError(
        `${name}: lrLambda must be a function, or one a group: got ${this.lambdas.length} for ${count} groups`,
      )
    }
    this.start()
  }
}

/**
 * The base rate times what a function gives for the epoch
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LambdaLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new LambdaLR(optimizer, { lrLambda: (epoch) => 0.95 ** epoch })
 * ```
 */
export class LambdaLR extends FunctionLR {
  constructor(optimizer: Scheduled, options: LambdaLROptions) {
    super("LambdaLR", optimizer, options)
  }
  protected next(): number[] {
    return this.baseLrs.map((lr, i) => lr * this.lambdas[i](this.lastEpoch))
  }
}

/**
 * The present rate times what a function gives for the epoch
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiplicativeLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new MultiplicativeLR(optimizer, { lrLambda: () => 0.95 })
 * ```
 */
export class MultiplicativeLR extends FunctionLR {
  constructor(optimizer: Scheduled, options: LambdaLROptions) {
    super("MultiplicativeLR", optimizer, options)
  }
  protected next(): number[] {
    if (this.lastEpoch <= 0) return this.rates()
    return this.lambdas.map((lambda, i) => this.groups[i].lr * lambda(this.lastEpoch))
  }
}
