// Checking and copying saved states of optimisers, ours and PyTorch's. Changes no optimiser.
import { DeviceError, shapeText, StateDictError } from "@rondo/backend"
import { keep, Tensor } from "@rondo/core"
import type { ParameterState } from "./optimizer.js"

/** Names of what is remembered of a parameter, by kind. */
export interface StateLayout {
  /** Counts and the like; each is there from the first step on, unless `optional` names it. */
  readonly numbers: readonly string[]
  /** Tensors of the parameter's shape. */
  readonly tensors: readonly string[]
  /** Lists of tensors. */
  readonly lists?: readonly string[]
  readonly optional?: readonly string[]
  /** What PyTorch writes and nobody needs. */
  readonly ignored?: readonly string[]
  /** Tensors and lists whose shapes are others than the parameter's. */
  readonly free?: ReadonlyMap<string, readonly number[]>
}

/** What `torch.optim.Optimizer.state_dict()` gives, once its values have been turned into tensors, numbers and lists. */
export interface PyTorchState {
  readonly state: Readonly<Record<number, Readonly<Record<string, unknown>>>>
  readonly param_groups: readonly (Readonly<Record<string, unknown>> & { readonly params: readonly number[] })[]
}

type Group = Record<string, unknown> & { params: readonly number[] }

// How PyTorch runs a step, not what the step does.
const foreign = new Set(["foreach", "capturable", "differentiable", "fused"])

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** Groups of a saved state with options under our names; values of null are left to the defaults. */
export function groupOptions(label: string, dict: unknown): Group[] {
  const fail = (fact: string): never => {
    throw new StateDictError(`${label}.loadStateDict: ${fact}`)
  }
  if (dict === null || typeof dict !== "object")
    return fail(`got ${dict === null ? "null" : typeof dict}, expected a state`)
  const { paramGroups, param_groups, state } = dict as Record<string, unknown>
  const groups = paramGroups ?? param_groups
  if (!Array.isArray(groups)) return fail("the state has no list of paramGroups")
  if (state === null || typeof state !== "object") fail("the state has no object of state")
  return groups.map((group: unknown, i) => {
    if (group === null || typeof group !== "object") return fail(`group ${i} is no object`)
    const { params, ...options } = group as Record<string, unknown>
    if (!Array.isArray(params) || !params.every((id) => Number.isSafeInteger(id))) {
      return fail(`params of group ${i} must be a list of numbers`)
    }
    const kept = Object.entries(options).filter(([name]) => !foreign.has(name))
    return { ...Object.fromEntries(kept.map(([name, value]) => [camel(name), value])), params: params as number[] }
  })
}

interface Saved {
  readonly parameter: Tensor
  readonly state: unknown
  /** Number of the parameter, for messages. */
  readonly number: number
}

/** A checked copy of one parameter's state. */
export function copiedState(op: string, layout: StateLayout, { parameter, state, number }: Saved): ParameterState {
  const of = (name: string): string => `${op}: ${name} of parameter ${number}`
  if (typeof state !== "object") throw new StateDictError(`${of("state")}: got ${typeof state}, expected an object`)
  // PyTorch writes None for what is not used.
  const given = new Map(Object.entries(state as object).filter(([, value]) => value !== null && value !== undefined))
  const copy: ParameterState = {}
  const known = [...layout.numbers, ...layout.tensors, ...(layout.lists ?? [])]
  for (const [name, value] of given) {
    if (layout.ignored?.includes(name)) continue
    if (!known.includes(name)) {
      throw new StateDictError(`${of(name)}: unknown name, expected ${known.join(", ") || "nothing"}`)
    }
    const shape = layout.free?.get(name) ?? parameter.shape
    if (layout.numbers.includes(name)) copy[name] = numberOf(of(name), value)
    else if (layout.tensors.includes(name)) copy[name] = copyOf(of(name), parameter, shape, value)
    else copy[name] = listOf(of(name), value).map((item) => copyOf(of(name), parameter, shape, item))
  }
  const missing =
    given.size === 0 ? [] : layout.numbers.filter((name) => !given.has(name) && !layout.optional?.includes(name))
  if (missing.length > 0) throw new StateDictError(`${of(missing.join(", "))} is missing`)
  return copy
}

const kind = (value: unknown): string =>
  value instanceof Tensor ? `a tensor of shape ${shapeText(value.shape)}` : typeof value

function numberOf(where: string, value: unknown): number {
  const number = value instanceof Tensor && value.shape.length === 0 ? value.itemSync() : value
  if (typeof number === "number") return number
  if (typeof number === "bigint") return Number(number)
  throw new StateDictError(`${where}: got ${kind(value)}, expected a number`)
}

function listOf(where: string, value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  throw new StateDictError(`${where}: got ${kind(value)}, expected a list of tensors`)
}

function copyOf(where: string, parameter: Tensor, shape: readonly number[], value: unknown): Tensor {
  if (!(value instanceof Tensor)) throw new StateDictError(`${where}: got ${kind(value)}, expected a tensor`)
  if (shapeText(value.shape) !== shapeText(shape)) {
    throw new StateDictError(`${where}: got shape ${shapeText(value.shape)}, expected ${shapeText(shape)}`)
  }
  if (value.device !== parameter.device) {
    throw new DeviceError(
      `${where} is on ${value.device.name}, the parameter on ${parameter.device.name}; move it with await tensor.to(device)`,
    )
  }
  return keep(value.detach().clone().to(parameter.dtype))
}
