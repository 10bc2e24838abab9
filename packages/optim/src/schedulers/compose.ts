// Schedulers made of schedulers: one after another, or all at once.
import { StateDictError, ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks, uncaptured } from "@rondo/core"
import type { ReduceLROnPlateau } from "./plateau.js"
import { readState, type Scheduled, Scheduler, type SchedulerState } from "./scheduler.js"

function checkSchedulers(name: string, schedulers: readonly Scheduler[], optimizer: Scheduled | undefined): void {
  if (!Array.isArray(schedulers) || schedulers.length === 0 || !schedulers.every((one) => one instanceof Scheduler)) {
    throw new ValueError(`${name}: needs a list of schedulers that count epochs`)
  }
  const other = schedulers.findIndex((one) => one.optimizer !== (optimizer ?? schedulers[0].optimizer))
  if (other >= 0)
    throw new ValueError(`${name}: all schedulers must have the same optimiser: number ${other} has another`)
}

/** States of parts, all checked before any is loaded: each load is undone if a later one fails. */
function loadParts(name: string, parts: readonly Scheduler[], states: unknown): void {
  if (!Array.isArray(states) || states.length !== parts.length) {
    throw new StateDictError(`${name}.loadStateDict: schedulers: expected a list of ${parts.length} states`)
  }
  const before = parts.map((part) => part.stateDict())
  try {
    parts.forEach((part, i) => part.loadStateDict(states[i] as SchedulerState))
  } catch (error) {
    parts.forEach((part, i) => part.loadStateDict(before[i]))
    throw error
  }
}

const partsOf = (state: SchedulerState): unknown => state?.schedulers ?? state?._schedulers

/** Options of {@link SequentialLR}. */
export interface SequentialLROptions {
  readonly schedulers: readonly Scheduler[]
  /** Epochs at which the next scheduler takes over; one fewer than schedulers. */
  readonly milestones: readonly number[]
}

const sequentialChecks: OptionChecks<SequentialLROptions> = { schedulers: "array!", milestones: "integers!" }

/**
 * One scheduler after another; each starts anew at its milestone
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.SequentialLR.html).
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const warmUp = new LinearLR(optimizer, { startFactor: 0.1, totalIters: 10 })
 * const fall = new CosineAnnealingLR(optimizer, { tMax: 90 })
 * const scheduler = new SequentialLR(optimizer, { schedulers: [warmUp, fall], milestones: [10] })
 * ```
 */
export class SequentialLR extends Scheduler<{ milestones: readonly number[] }> {
  readonly #schedulers: readonly Scheduler[]
  constructor(optimizer: Scheduled, options: SequentialLROptions) {
    const name = "SequentialLR"
    const { schedulers, milestones } = checkOptions(name, sequentialChecks, options)
    checkSchedulers(name, schedulers, optimizer)
    if (milestones.length !== schedulers.length - 1) {
      throw new ValueError(
        `${name}: milestones must be ${schedulers.length - 1} whole numbers: got ${String(milestones)}`,
      )
    }
    super(optimizer, { name, settings: { milestones: [...milestones] }, lastEpoch: undefined })
    this.lastEpoch = 0
    this.#schedulers = [...schedulers]
    // Each has set its first rate already: undo that, and start the first one alone.
    for (const group of this.groups) group.lr = group.initialLr as number
    for (const scheduler of schedulers) scheduler.lastEpoch--
    schedulers[0].start()
    this.lastLr = schedulers[0].getLastLr()
  }
  protected next(): number[] {
    return this.rates()
  }
  override step(): void {
    super.step()
  }
  protected override advance(): void {
    this.lastEpoch++
    const { milestones } = this.settings
    const at = milestones.filter((milestone) => milestone <= this.lastEpoch).length
    if (at > 0 && milestones[at - 1] === this.lastEpoch) this.#schedulers[at].step(0)
    else this.#schedulers[at].step()
    this.lastLr = this.#schedulers[at].getLastLr()
  }
  override stateDict(): SchedulerState {
    const { lastEpoch, lastLr } = this
    const own = structuredClone({ ...this.settings, lastEpoch, lastLr })
    return { ...own, schedulers: this.#schedulers.map((part) => part.stateDict()) }
  }
  override loadStateDict(state: SchedulerState): void {
    const { schedulers: _, ...own } = this.stateDict()
    const { milestones, ...counts } = readState(this.label, own, state)
    loadParts(this.label, this.#schedulers, partsOf(state))
    this.settings = { milestones: milestones as readonly number[] }
    Object.assign(this, counts)
  }
}

/**
 * All schedulers at every step, each on what the last one made of the rate
 * (https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ChainedScheduler.html). {@link ReduceLROnPlateau} cannot
 * be part of it: it needs a figure.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 1 })
 * const parts = [new ConstantLR(optimizer, { factor: 0.1, totalIters: 2 }), new ExponentialLR(optimizer, { gamma: 0.9 })]
 * const scheduler = new ChainedScheduler(parts)
 * ```
 */
export class ChainedScheduler {
  readonly optimizer: Scheduled
  readonly #schedulers: readonly Scheduler[]
  #lastLr: number[]
  constructor(schedulers: readonly Scheduler[]) {
    checkSchedulers("ChainedScheduler", schedulers, undefined)
    this.#schedulers = [...schedulers]
    this.optimizer = schedulers[0].optimizer
    this.#lastLr = this.optimizer.paramGroups.map((group) => group.lr)
  }
  /** Sets the rates of the next epoch. */
  step(): void {
    uncaptured(() => {
      for (const scheduler of this.#schedulers) scheduler.step()
      this.#lastLr = this.optimizer.paramGroups.map((group) => group.lr)
    })
  }
  /** The rates that the last step set, one a group. */
  getLastLr(): number[] {
    return [...this.#lastLr]
  }
  /** The states of all parts. */
  stateDict(): SchedulerState {
    return { lastLr: this.getLastLr(), schedulers: this.#schedulers.map((part) => part.stateDict()) }
  }
  /** Goes on where {@link stateDict} was taken. Throws a StateDictError; then nothing has changed. */
  loadStateDict(state: SchedulerState): void {
    const { lastLr } = readState("ChainedScheduler", { lastLr: this.getLastLr() }, state)
    loadParts("ChainedScheduler", this.#schedulers, partsOf(state))
    this.#lastLr = [...lastLr]
  }
}

/** Anything that can follow a training run. */
export type AnyScheduler = Scheduler | ChainedScheduler | ReduceLROnPlateau
