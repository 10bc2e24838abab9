// What all optimisers share: parameter groups with their options, the state of each parameter, saving and loading both.
import { DeviceError, shapeText, StateDictError, ValueError } from "@rondo/backend"
import { enableGrad, keep, noGrad, Tensor } from "@rondo/core"

/** What an optimiser remembers of one parameter, by PyTorch's names: tensors, and the count of steps. */
export type ParameterState = Record<string, Tensor | number>

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
 * Base class of optimisers. A subclass says what it checks and how it changes one parameter.
 *
 * Throws a ValueError for no parameters, for tensors that an operation made (only leaves can be trained), for a parameter
 * that appears twice, and for options out of range.
 *
 * @example
 * ```ts
 * // Groups of parameters may have options of their own, which may change while training.
 * const [body, head] = [new Linear(4, 4), new Linear(4, 1)]
 * const optimizer = new Adam([{ params: body.parameters() }, { params: head.parameters(), lr: 0.1 }], { lr: 0.01 })
 * for (const group of optimizer.paramGroups) group.lr *= 0.5
 * console.log(optimizer.paramGroups.map((group) => group.lr)) // [0.005, 0.05]
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
  /** Changes one parameter by its gradient; `state` is empty at its first step. */
  protected abstract update(parameter: Tensor, grad: Tensor, state: ParameterState, options: O): void

  /** Adds parameters with options of their own, as when layers are unfrozen. Throws as the constructor does. */
  addParamGroup(group: GroupOptions<O>): void {
    if (group === null || typeof group !== "object" || !("params" in group)) {
      throw new ValueError(`${this.label}: a parameter group must be an object with params, got ${typeof group}`)
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
    const given = Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined))
    const merged = { ...this.#defaults, ...given, params } as unknown as ParamGroup<O>
    this.check(merged as unknown as O)
    this.paramGroups.push(merged)
  }

  /** Drops all gradients, or sets them to zero. */
  zeroGrad({ setToNone = true }: { readonly setToNone?: boolean } = {}): void {
    for (const parameter of this.#parameters()) {
      const { grad } = parameter
      if (setToNone) parameter.grad = null
      else if (grad) noGrad(() => (parameter.grad = grad.detach()).zero_())
    }
  }

  /**
   * Changes every parameter that has a gradient, in place. `closure`, if given, is called first, computes the loss and its
   * gradients anew, and its result is returned.
   *
   * Throws a DeviceError if a parameter was moved after its first step.
   */
  step(): undefined
  step<T>(closure: () => T): T
  step<T>(closure?: () => T): T | undefined {
    const loss = closure ? enableGrad(closure) : undefined
    noGrad(() => {
      for (const group of this.paramGroups) {
        for (const parameter of group.params) {
          if (parameter.grad) this.#updateOne(parameter, parameter.grad.detach(), group as unknown as O)
        }
      }
    })
    return loss
  }
  #updateOne(parameter: Tensor, grad: Tensor, options: O): void {
    const state = this.state.get(parameter) ?? {}
    for (const [name, value] of Object.entries(state)) {
      if (typeof value === "number") continue
      if (value.device !== parameter.device) {
        throw new DeviceError(
          `${this.label}.step: ${name} of a parameter is on ${value.device.name}, the parameter on ${parameter.device.name}; move the module before the first step, or make a new optimiser`,
        )
      }
      if (value.dtype !== parameter.dtype) state[name] = keep(value.to(parameter.dtype))
    }
    this.update(parameter, grad, state, options)
    if (Object.keys(state).length === 0) return
    // The state outlives whatever scope the step was taken in.
    for (const value of Object.values(state)) if (value instanceof Tensor) keep(value)
    this.state.set(parameter, state)
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
   * Throws a StateDictError if groups, shapes or values do not fit, and a DeviceError across devices; then nothing has changed.
   */
  loadStateDict(dict: OptimizerState<O>): void {
    const sizes = dict.paramGroups.map((group) => group.params.length)
    const own = this.paramGroups.map((group) => group.params.length)
    if (sizes.join() !== own.join()) {
      throw new StateDictError(
        `${this.label}.loadStateDict: groups of [${sizes.join(", ")}] parameters do not fit: expected [${own.join(", ")}]`,
      )
    }
    const saved = dict.paramGroups.flatMap((group) => group.params)
    const loaded = new Map<Tensor, ParameterState>()
    this.#parameters().forEach((parameter, i) => {
      const state = dict.state[saved[i]]
      if (state) loaded.set(parameter, this.#copied(parameter, state, i))
    })
    const groups = dict.paramGroups.map((group) => ({ ...this.#defaults, ...group }) as unknown as O)
    for (const group of groups) this.check(group)
    this.paramGroups.forEach((group, i) => Object.assign(group, groups[i], { params: group.params }))
    this.state.clear()
    for (const [parameter, state] of loaded) this.state.set(parameter, state)
  }
  #copied(parameter: Tensor, state: ParameterState, i: number): ParameterState {
    const copy: ParameterState = {}
    for (const [name, value] of Object.entries(state)) {
      const fault =
        typeof value === "number"
          ? null
          : !(value instanceof Tensor)
            ? `got ${typeof value}, expected a tensor or a number`
            : shapeText(value.shape) === shapeText(parameter.shape)
              ? null
              : `got shape ${shapeText(value.shape)}, expected ${shapeText(parameter.shape)}`
      if (fault) throw new StateDictError(`${this.label}.loadStateDict: ${name} of parameter ${i}: ${fault}`)
      if (value instanceof Tensor && value.device !== parameter.device) {
        throw new DeviceError(
          `${this.label}.loadStateDict: ${name} of parameter ${i} is on ${value.device.name}, the parameter on ${parameter.device.name}; move it with await tensor.to(device)`,
        )
      }
      copy[name] = value instanceof Tensor ? keep(value.detach().clone().to(parameter.dtype)) : value
    }
    return copy
  }
}

/** Throws a ValueError unless `value` is a number in [0, below). */
export function checkRange(name: string, option: string, value: number, below = Infinity): void {
  if (typeof value === "number" && value >= 0 && value < below) return
  const range = below === Infinity ? "at least 0" : `in [0, ${below})`
  throw new ValueError(`${name}: ${option} out of range: got ${String(value)}, expected a number ${range}`)
}

/** One object a combination of switches, so that each kernel is compiled once. */
export function variants<T>(make: (...switches: boolean[]) => T): (...switches: boolean[]) => T {
  const made = new Map<string, T>()
  return (...switches) => {
    const key = switches.map(Number).join("")
    let found = made.get(key)
    if (found === undefined) made.set(key, (found = make(...switches)))
    return found
  }
}
