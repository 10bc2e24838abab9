// The schedule that watches a figure instead of counting: ReduceLROnPlateau.
import { checkOptions, type OptionChecks, Tensor, uncaptured } from "@rondo/core"
import { checkOptimizer, perGroup, readState, type Scheduled, type SchedulerState } from "./scheduler.js"

/** Options of {@link ReduceLROnPlateau}. */
export interface ReduceLROnPlateauOptions {
  /** Is the figure to fall or to rise? Default "min". */
  readonly mode?: "min" | "max"
  /** What the rate is multiplied with. Default 0.1. */
  readonly factor?: number
  /** Epochs without progress that are let pass. Default 10. */
  readonly patience?: number
  /** How much better counts as progress. Default 1e-4. */
  readonly threshold?: number
  /** Is `threshold` a share of the best figure, or a difference? Default "rel". */
  readonly thresholdMode?: "rel" | "abs"
  /** Epochs after a change in which nothing is counted. Default 0. */
  readonly cooldown?: number
  /** Lowest rate, for all groups or one a group. Default 0. */
  readonly minLr?: number | readonly number[]
  /** Smaller changes than this are not made. Default 1e-8. */
  readonly eps?: number
}

const label = "ReduceLROnPlateau"
const checks: OptionChecks<ReduceLROnPlateauOptions> = {
  mode: ["min", "max"],
  factor: { words: "a number below 1", fits: (x) => typeof x === "number" && x < 1 },
  patience: "size",
  threshold: "real",
  thresholdMode: ["rel", "abs"],
  cooldown: "size",
  minLr: "numbers",
  eps: "real",
}

/**
 * Lowers the rate when a figure (a loss, an accuracy) no longer gets better
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html).
 *
 * Throws a ValueError for settings out of range.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const scheduler = new ReduceLROnPlateau(optimizer, { patience: 0 })
 * for (const loss of [3, 2, 2, 2]) scheduler.step(loss)
 * console.log(scheduler.getLastLr()) // [ 0.010000000000000002 ]
 * ```
 */
export class ReduceLROnPlateau {
  readonly optimizer: Scheduled
  #state

  constructor(optimizer: Scheduled, options?: ReduceLROnPlateauOptions) {
    const given = checkOptions(label, checks, options)
    const { mode = "min", factor = 0.1, patience = 10, threshold = 1e-4, thresholdMode = "rel" } = given
    const { cooldown = 0, minLr = 0, eps = 1e-8 } = given
    checkOptimizer(label, optimizer)
    this.optimizer = optimizer
    const minLrs = perGroup(label, "minLr", minLr, optimizer.paramGroups.length)
    const best = mode === "min" ? Infinity : -Infinity
    const counts = { best, numBadEpochs: 0, cooldownCounter: 0, lastEpoch: 0 }
    this.#state = { mode: mode as string, factor, patience, threshold, thresholdMode: thresholdMode as string, cooldown, minLrs, eps, ...counts } // prettier-ignore
  }
  get lastEpoch(): number {
    return this.#state.lastEpoch
  }
  get best(): number {
    return this.#state.best
  }
  get numBadEpochs(): number {
    return this.#state.numBadEpochs
  }

  /** Takes in the figure of an epoch: a number, or a tensor of one element on a device that can be read at once. */
  step(metrics: number | Tensor): void {
    uncaptured(() => this.#advance(metrics))
  }
  #advance(metrics: number | Tensor): void {
    const current = metrics instanceof Tensor ? metrics.itemSync() : Number(metrics)
    const state = this.#state
    state.lastEpoch++
    if (this.#better(current)) {
      state.best = current
      state.numBadEpochs = 0
    } else state.numBadEpochs++
    if (state.cooldownCounter > 0) {
      state.cooldownCounter--
      state.numBadEpochs = 0
    }
    if (state.numBadEpochs <= state.patience) return
    this.#reduce()
    state.cooldownCounter = state.cooldown
    state.numBadEpochs = 0
  }
  #better(current: number): boolean {
    const { mode, threshold, thresholdMode, best } = this.#state
    if (mode === "min") return current < (thresholdMode === "rel" ? best * (1 - threshold) : best - threshold)
    return current > (thresholdMode === "rel" ? best * (threshold + 1) : best + threshold)
  }
  #reduce(): void {
    const { factor, minLrs, eps } = this.#state
    this.optimizer.paramGroups.forEach((group, i) => {
      const lower = Math.max(group.lr * factor, minLrs[i] ?? 0)
      if (group.lr - lower > eps) group.lr = lower
    })
  }
  /** The present rates, one a group. */
  getLastLr(): number[] {
    return this.optimizer.paramGroups.map((group) => group.lr)
  }

  /** Settings and counts as plain data; `best` may be infinite. */
  stateDict(): SchedulerState {
    return structuredClone(this.#state)
  }
  /** Goes on where {@link stateDict} was taken, as other schedulers do. Throws a StateDictError; then nothing has changed. */
  loadStateDict(state: SchedulerState): void {
    this.#state = readState(label, this.#state, state)
  }
}
