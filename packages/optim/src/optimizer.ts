// What all optimisers share: parameter groups with their options, the state of each parameter, saving and loading both.
import { DeviceError, GradientError, shapeText, StateDictError, ValueError } from "@rondo/backend"
import {
  checkOptions,
  enableGrad,
  keep,
  noGrad,
  type OptionChecks,
  type RowGradient,
  Tensor,
  uncaptured,
} from "@rondo/core"
import { copiedState, groupOptions, type PyTorchState, type StateLayout } from "./state.js"

/** What an optimiser remembers of one parameter, by PyTorch's names: tensors, counts, and lists of tensors. */
export type ParameterState = Record<string, Tensor | number | readonly Tensor[]>

const zeroChecks: OptionChecks<{ setToNone?: boolean }> = { setToNone: "flag" }

/** Parameters with options of their own; what is left out is the optimiser's. */
export type GroupOptions<O> = Partial<O> & { readonly params: Iterable<Tensor> }

/** A group as the optimiser holds it. Options may be changed at any time: `group.lr = 0.01`. */
export type ParamGroup<O> = { -readonly [K in keyof O]: O[K] } & { params: Tensor[] }

/** Everything an optimiser holds, in PyTorch's form: parameters are numbered through all groups. */
export interface OptimizerState<O> {
  readonly state: Readonly<Record<number, ParameterState>>
  readonly paramGroups: readonly (O & { readonly params: readonly number[] })[]
}

/**
 * Base class of optimisers: parameters in groups, and what is remembered of them. How a step is taken is up to
 * {@link GradientOptimizer}, and to those that call for the loss themselves.
 *
 * Throws a ValueError for no parameters, for tensors that an operation made (only leaves can be trained), for a parameter
 * that appears twice, and for options out of range.
 *
 * @example
 * ```ts
 * // Groups of parameters may have options of their own, which may change while training.
 * const [body, head] = [zeros(3, { requiresGrad: true }), zeros(2, { requiresGrad: true })]
 * const optimizer = new Adam([{ params: [body] }, { params: [head], lr: 0.1 }], { lr: 0.01 })
 * for (const group of optimizer.paramGroups) group.lr *= 0.5
 * console.log(optimizer.paramGroups.map((group) => group.lr)) // [ 0.005, 0.05 ]
 * ```
 */
export abstract class Optimizer<O extends object> {
  readonly paramGroups: ParamGroup<O>[] = []
  /** By parameter; filled by the first step. */
  readonly state: Map<Tensor, ParameterState> = new Map()
  readonly #defaults: O
  /** What errors call the optimiser. */
  protected readonly label: string

  /** @param name - What errors call the optimiser. */
  constructor(name: string, params: Iterable<Tensor> | Iterable<GroupOptions<O>>, defaults: O) {
    this.label = name
    this.#defaults = defaults
    if (params instanceof Tensor || params === null || typeof params !== "object" || !(Symbol.iterator in params)) {
      throw new ValueError(`${name}: parameters must be a list: pass module.parameters(), or [tensor]`)
    }
    const list = [...params]
    if (list.length === 0) throw new ValueError(`${name}: got an empty parameter list`)
    const groups = list.some((item) => item instanceof Tensor) ? [{ params: list as Tensor[] }] : list
    for (const group of groups) this.addParamGroup(group as GroupOptions<O>)
  }

  /** Throws a ValueError for options out of range. */
  protected abstract check(options: O): void
  /** Names and kinds of what is remembered of a parameter. */
  protected abstract layout(): StateLayout
  /** Changes the parameters; see the classes. */
  abstract step(closure?: () => unknown): unknown

  /** Adds parameters with options of their own, as when layers are unfrozen. Throws as the constructor does. */
  addParamGroup(group: GroupOptions<O>): void {
    if (group === null || typeof group !== "object" || !("params" in group)) {
      throw new ValueError(`${this.label}: a parameter group must be an object with params, got ${typeof group}`)
    }
    const given: unknown = group.params
    if (typeof given !== "object" || given === null || !(given instanceof Tensor || Symbol.iterator in given)) {
      throw new ValueError(`${this.label}: params of a group must be a list of tensors, got ${typeof given}`)
    }
    const params = group.params instanceof Tensor ? [group.params] : [...group.params]
    const known = new Set(this.paramGroups.flatMap((other) => other.params))
    for (const parameter of params) {
      if (!(parameter instanceof Tensor)) {
        throw new ValueError(`${this.label}: can only optimise tensors, got ${typeof parameter}`)
      }
      if (!parameter.isLeaf) {
        throw new ValueError(
          `${this.label}: can't optimise a non-leaf tensor: one of shape ${shapeText(parameter.shape)} was made by ${parameter.gradFn?.name}`,
        )
      }
      if (known.has(parameter)) {
        throw new ValueError(`${this.label}: a parameter of shape ${shapeText(parameter.shape)} appears more than once`)
      }
      known.add(parameter)
    }
    // Names that are not the optimiser's are kept, as PyTorch keeps them: schedulers and users write into groups.
    const options = Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined))
    const merged = { ...this.#defaults, ...options, params } as unknown as ParamGroup<O>
    this.check(merged as unknown as O)
    this.paramGroups.push(merged)
  }

  /** Drops all gradients, or sets them to zero. */
  zeroGrad(options?: { readonly setToNone?: boolean }): void {
    const { setToNone = true } = checkOptions(`${this.label}.zeroGrad`, zeroChecks, options)
    for (const parameter of this.#parameters()) {
      // Rows that are zero are no rows.
      parameter.rowGradient = null
      const grad = setToNone ? null : parameter.grad
      if (setToNone) parameter.grad = null
      else if (grad) noGrad(() => (parameter.grad = grad.detach()).zero_())
    }
  }

  /** The state of a parameter (empty before its first step), in the parameter's dtype. Throws a DeviceError if that was moved. */
  protected follow(parameter: Tensor): ParameterState {
    const state = this.state.get(parameter) ?? {}
    for (const name in state) {
      const value = state[name]
      if (value instanceof Tensor) state[name] = this.#following(parameter, name, value)
      else if (typeof value !== "number") state[name] = value.map((x) => this.#following(parameter, name, x))
    }
    return state
  }
  #following(parameter: Tensor, name: string, x: Tensor): Tensor {
    if (x.device !== parameter.device) {
      throw new DeviceError(
        `${this.label}.step: ${name} of a parameter is on ${x.device.name}, the parameter on ${parameter.device.name}; move the module before the first step, or make a new optimiser`,
      )
    }
    return x.dtype === parameter.dtype ? x : keep(x.to(parameter.dtype))
  }
  /** Keeps the state of a parameter, beyond whatever scope the step was taken in. */
  protected remember(parameter: Tensor, state: ParameterState): void {
    let empty = true
    for (const name in state) {
      const value = state[name]
      empty = false
      if (value instanceof Tensor) keep(value)
      else if (typeof value !== "number") value.forEach(keep)
    }
    if (!empty) this.state.set(parameter, state)
  }
  #parameters(): Tensor[] {
    return this.paramGroups.flatMap((group) => group.params)
  }

  /** State and options. The tensors share memory with the optimiser: clone them to keep a snapshot. */
  stateDict(): OptimizerState<O> {
    const number = new Map(this.#parameters().map((parameter, i) => [parameter, i]))
    const state: Record<number, ParameterState> = {}
    for (const [parameter, i] of number) {
      const own = this.state.get(parameter)
      if (own) state[i] = { ...own }
    }
    const paramGroups = this.paramGroups.map((group) => ({
      ...(group as unknown as O),
      params: group.params.map((parameter) => number.get(parameter) as number),
    }))
    return { state, paramGroups }
  }
  /**
   * Takes over options and (copied) state that {@link stateDict} gave for parameters of the same shapes, in the same order.
   * PyTorch's own dictionaries are understood as well: `param_groups`, options in its spelling, counts as tensors.
   * Throws a StateDictError if groups, names, shapes or values do not fit, and a DeviceError across devices; then nothing has
   * changed.
   */
  loadStateDict(dict: OptimizerState<O> | PyTorchState): void {
    const groups = groupOptions(this.label, dict)
    const sizes = groups.map((group) => group.params.length)
    const own = this.paramGroups.map((group) => group.params.length)
    if (sizes.join() !== own.join()) {
      throw new StateDictError(
        `${this.label}.loadStateDict: groups of [${sizes.join(", ")}] parameters do not fit: expected [${own.join(", ")}]`,
      )
    }
    const merged = groups.map((group) => ({ ...this.#defaults, ...group }) as unknown as O)
    // Schedulers may leave a rate below 0: LinearLR to 0 by rounding, a chain behind its lowest point by much.
    for (const options of merged) this.check(rateOf(options) < 0 ? { ...options, lr: -rateOf(options) } : options)
    const saved = groups.flatMap((group) => group.params)
    const loaded = new Map<Tensor, ParameterState>()
    this.#parameters().forEach((parameter, i) => {
      const state = (dict.state as Record<number, unknown> | undefined)?.[saved[i]]
      if (state === undefined || state === null) return
      const copy = copiedState(`${this.label}.loadStateDict`, this.layout(), { parameter, state, number: i })
      if (Object.keys(copy).length > 0) loaded.set(parameter, copy)
    })
    this.paramGroups.forEach((group, i) => Object.assign(group, merged[i], { params: group.params }))
    this.state.clear()
    for (const [parameter, state] of loaded) this.state.set(parameter, state)
  }
}

/**
 * Base class of optimisers that change each parameter by its gradient, one after another. A subclass says what it checks and
 * how it changes one parameter.
 */
export abstract class GradientOptimizer<O extends object> extends Optimizer<O> {
  /** Changes one parameter by its gradient; `state` is empty at its first step. */
  protected abstract update(parameter: Tensor, grad: Tensor, state: ParameterState, options: O): void
  /** Changes one parameter by a gradient of few rows. Throws a GradientError where PyTorch knows no such step. */
  protected updateRows(parameter: Tensor, _rows: RowGradient, _state: ParameterState, _options: O): void {
    throw noRows(this.label, parameter)
  }

  /**
   * Changes every parameter that has a gradient, in place. `closure`, if given, is called first, computes the loss and its
   * gradients anew, and its result is returned.
   *
   * Throws a DeviceError if a parameter was moved after its first step, a GradientError for a row gradient that the optimiser
   * does not take.
   */
  override step(): undefined
  override step<T>(closure: () => T): T
  override step<T>(closure?: () => T): T | undefined {
    const loss = closure ? enableGrad(closure) : undefined
    // Its numbers change from step to step.
    uncaptured(() => noGrad(() => this.#updateAll()))
    return loss
  }
  #updateAll(): void {
    for (const group of this.paramGroups) {
      for (const parameter of group.params) {
        const { grad, rowGradient } = parameter
        const options = group as unknown as O
        if (!grad && !rowGradient) continue
        const state = this.follow(parameter)
        if (grad) this.update(parameter, grad.requiresGrad ? grad.detach() : grad, state, options)
        else if (rowGradient) this.updateRows(parameter, rowGradient, state, options)
        this.remember(parameter, state)
      }
    }
  }
}

const rateOf = (options: { readonly lr?: number }): number => options.lr ?? 0

/** What is said of a row gradient where a whole one is needed. */
export const noRows = (label: string, { shape }: Tensor): GradientError =>
  new GradientError(
    `${label}.step: the gradient of a parameter of shape ${shapeText(shape)} holds rows only; use SparseAdam, SGD or Adagrad for it, or an embedding without sparse`,
  )

/** One object a combination of switches, so that each kernel is compiled once. */
export function variants<T>(make: (...switches: boolean[]) => T): (...switches: boolean[]) => T {
  const made: (T | undefined)[] = []
  return (...switches) => {
    let key = 0
    for (const on of switches) key = 2 * key + Number(on)
    return (made[key] ??= make(...switches))
  }
}

/** What the optimiser remembers under `name`, or what `make` makes at the first step. */
export function remembered(state: ParameterState, name: string, make: () => Tensor): Tensor {
  return (state[name] as Tensor | undefined) ?? make()
}

/** The number of the step to be taken, counted from 1. */
export const nextStep = (state: ParameterState): number => ((state.step as number | undefined) ?? 0) + 1
