// What all schedulers of the learning rate share: counting, base rates, saving and loading. The rates themselves are in the
// files beside it. After torch.optim.lr_scheduler: new rates are made from the present ones, so that schedulers can be
// chained; a closed form is used where an epoch is named.
import { StateDictError, ValueError } from "@rondo/backend"
import { checkKnownOptions, type OptionChecks, uncaptured } from "@rondo/core"

/** What a scheduler changes of a group. */
export interface ScheduledGroup {
  lr: number
  /** The rate that the group had when its first scheduler was made. */
  initialLr?: number
  momentum?: number
  betas?: readonly [number, number]
  /** @internal */ maxLr?: number
  /** @internal */ minLr?: number
  /** @internal */ maxMomentum?: number
  /** @internal */ baseMomentum?: number
}

/** Anything with parameter groups: an optimiser. */
export interface Scheduled {
  readonly paramGroups: readonly ScheduledGroup[]
}

/** Settings and counts as they are saved: plain data. */
export type SchedulerState = { readonly [name: string]: SchedulerValue }
/** What a scheduler saves of itself: plain data, fit for JSON. */
export type SchedulerValue =
  number | string | boolean | null | readonly number[] | readonly SchedulerState[] | Readonly<Record<string, number>>

/** Options that all schedulers have. */
export interface SchedulerOptions {
  /** The last epoch of an earlier run, whose optimiser's state was loaded; -1, the default, starts anew. */
  readonly lastEpoch?: number
}

/** What fits them. */
export const schedulerChecks: OptionChecks<SchedulerOptions> = {
  lastEpoch: {
    words: "a whole number of at least -1",
    fits: (x) => Number.isSafeInteger(x) && (x as number) >= -1,
  },
}

/** Throws a ValueError unless `optimizer` has parameter groups. */
export function checkOptimizer(name: string, optimizer: Scheduled): void {
  if (optimizer !== null && typeof optimizer === "object" && Array.isArray(optimizer.paramGroups)) return
  throw new ValueError(`${name}: needs an optimiser: got ${optimizer === null ? "null" : typeof optimizer}`)
}

/** How a subclass makes itself known. */
interface Setup<S> {
  readonly name: string
  readonly settings: S
  readonly lastEpoch: number | undefined
}

/**
 * Base class of schedulers: they set the learning rate of each parameter group, once when they are made and then at each
 * {@link Scheduler.step}, which comes after the optimiser's.
 *
 * Throws a ValueError for settings out of range, and for a `lastEpoch` without `initialLr` in the groups.
 *
 * @example
 * ```ts
 * const w = tensor([1], { requiresGrad: true })
 * const optimizer = new SGD([w], { lr: 1 })
 * const scheduler = new StepLR(optimizer, { stepSize: 2, gamma: 0.5 })
 * for (let epoch = 0; epoch < 4; epoch++) {
 *   optimizer.step()
 *   scheduler.step()
 * }
 * console.log(scheduler.getLastLr()) // [ 0.25 ]
 * ```
 */
export abstract class Scheduler<S extends object = object> {
  readonly optimizer: Scheduled
  /** Number of the epoch whose rate is set. */
  lastEpoch: number
  /** Rates that everything starts from, one a group. */
  baseLrs: number[]
  /** What is saved beside the counts. */
  protected settings: S
  /** What errors call the scheduler. */
  protected readonly label: string
  protected stepCount = 0
  protected lastLr: number[]

  constructor(optimizer: Scheduled, { name, settings, lastEpoch = -1 }: Setup<S>) {
    checkOptimizer(name, optimizer)
    checkKnownOptions(name, schedulerChecks, { lastEpoch })
    this.optimizer = optimizer
    this.label = name
    this.settings = settings
    this.lastEpoch = lastEpoch
    optimizer.paramGroups.forEach((group, i) => {
      if (lastEpoch === -1) group.initialLr ??= group.lr
      else if (group.initialLr === undefined) {
        throw new ValueError(
          `${name}: group ${i} has no initialLr: load the optimiser's state before going on from lastEpoch`,
        )
      }
    })
    this.baseLrs = this.groups.map((group) => group.initialLr as number)
    this.lastLr = this.rates()
  }
  protected get groups(): readonly ScheduledGroup[] {
    return this.optimizer.paramGroups
  }
  /** The present rates. */
  protected rates(): number[] {
    return this.groups.map((group) => group.lr)
  }

  /** The rates at `lastEpoch`, from those before it. */
  protected abstract next(): readonly number[]
  /** The rates at `lastEpoch` by themselves, where there is a formula. */
  protected closed(): readonly number[] | null {
    return null
  }
  /** Sets the first rates: the end of every constructor of a subclass, and what {@link SequentialLR} does anew. */
  start(): void {
    this.stepCount = 0
    this.step()
  }

  /** Sets the rates of the next epoch, or of `epoch`. Throws a ValueError behind the end of a schedule that has one. */
  step(epoch?: number): void {
    uncaptured(() => this.advance(epoch))
  }
  /** What {@link step} does: inside of a captured body too, at every replay. */
  protected advance(epoch?: number): void {
    const before = [this.lastEpoch, this.stepCount]
    this.stepCount++
    this.lastEpoch = epoch ?? this.lastEpoch + 1
    let rates: readonly number[]
    try {
      rates = epoch === undefined ? this.next() : (this.closed() ?? this.next())
    } catch (error) {
      ;[this.lastEpoch, this.stepCount] = before
      throw error
    }
    this.apply(rates)
  }
  protected apply(rates: readonly number[]): void {
    this.groups.forEach((group, i) => {
      if (i < rates.length) group.lr = rates[i]
    })
    this.lastLr = this.rates()
  }
  /** The rates that the last step set, one a group. */
  getLastLr(): number[] {
    return [...this.lastLr]
  }

  /** Settings and counts as plain data. Functions are not part of it: make the scheduler with them, then load. */
  stateDict(): SchedulerState {
    const { baseLrs, lastEpoch, stepCount, lastLr } = this
    return structuredClone({ ...this.settings, baseLrs, lastEpoch, stepCount, lastLr }) as unknown as SchedulerState
  }
  /**
   * Goes on where {@link stateDict} was taken; PyTorch's spelling (`last_epoch`, `_step_count`) is understood. The optimiser's
   * rates are part of the optimiser's own state. Throws a StateDictError if something is missing or of another kind; then
   * nothing has changed.
   */
  loadStateDict(state: SchedulerState): void {
    const { baseLrs, lastEpoch, stepCount, lastLr, ...settings } = readState(this.label, this.stateDict(), state)
    this.settings = { ...this.settings, ...settings }
    Object.assign(this, { baseLrs, lastEpoch, stepCount, lastLr })
  }
}

/** PyTorch's names as ours: `_last_lr`, `T_max`. */
function ownName(name: string): string {
  const camel = name.replace(/^_+/, "").replace(/_([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase())
  return camel[0].toLowerCase() + camel.slice(1)
}

const kind = (value: unknown): string =>
  Array.isArray(value) ? `a list of ${value.length}` : value === null ? "null" : typeof value

/** The values of `own`'s names in `given`, checked to be of the same kind. */
export function readState<T extends SchedulerState>(label: string, own: T, given: unknown): T {
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw new StateDictError(`${label}.loadStateDict: got ${kind(given)}, expected an object`)
  }
  const values = new Map(Object.entries(given).map(([name, value]) => [ownName(name), value as SchedulerValue]))
  const read = Object.entries(own).map(([name, value]) => {
    if (!values.has(name)) throw new StateDictError(`${label}.loadStateDict: ${name} is missing`)
    const found = listed(values.get(name), value)
    const fits = Array.isArray(value)
      ? Array.isArray(found) && found.length === value.length && found.every((item) => typeof item === typeof value[0])
      : typeof found === typeof value && !Array.isArray(found)
    if (!fits) throw new StateDictError(`${label}.loadStateDict: ${name}: got ${kind(found)}, expected ${kind(value)}`)
    return [name, structuredClone(found)]
  })
  return Object.fromEntries(read) as T
}

/** PyTorch counts milestones, `{ 30: 1, 80: 2 }`; here they are listed. */
function listed(found: unknown, own: unknown): unknown {
  if (!Array.isArray(own) || found === null || typeof found !== "object" || Array.isArray(found)) return found
  return Object.entries(found).flatMap(([at, times]) => Array<number>(Number(times) || 0).fill(Number(at)))
}

/** One value a group. Throws a ValueError for a list of another length, and for what is no number. */
export function perGroup(name: string, option: string, value: number | readonly number[], count: number): number[] {
  const list = typeof value === "number" ? Array<number>(count).fill(value) : [...(value ?? [])]
  if (list.length !== count || list.some((item) => typeof item !== "number" || Number.isNaN(item))) {
    throw new ValueError(
      `${name}: ${option} must be a number, or one a group: got ${String(value)} for ${count} groups`,
    )
  }
  return list
}
