// Copying a state dict into a module: everything is checked before anything changes.
import { category, DeviceError, shapeText, StateDictError } from "@rondo/backend"
import { noGrad, Tensor } from "@rondo/core"

/** Tensors by PyTorch's keys, such as `rnn.weight_ih_l0`. */
export type StateDict = Record<string, Tensor>

/** Which keys found no partner. */
export interface LoadResult {
  readonly missingKeys: string[]
  readonly unexpectedKeys: string[]
}

/** Copies `dict` into `state`, or throws and changes nothing. `owner` is the class of the module, for messages. */
export function loadState(
  owner: string,
  state: readonly (readonly [string, Tensor])[],
  dict: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
  strict: boolean,
): LoadResult {
  if (typeof dict !== "object" || dict === null || dict instanceof Tensor)
    throw new StateDictError(`loadStateDict: ${owner}: needs tensors by their keys, got ${typeof dict}`)
  const given = dict instanceof Map ? (dict as ReadonlyMap<string, Tensor>) : new Map(Object.entries(dict))
  const names = new Set(state.map(([name]) => name))
  const missingKeys = [...names].filter((name) => !given.has(name))
  const unexpectedKeys = [...given.keys()].filter((name) => !names.has(name))
  const faults = state.flatMap(([name, own]) => {
    const fault = given.has(name) ? misfit(own, given.get(name)) : null
    return fault ? [`${name}: ${fault}`] : []
  })
  if (strict && missingKeys.length > 0) faults.unshift(`missing keys: ${missingKeys.join(", ")}`)
  if (strict && unexpectedKeys.length > 0) faults.unshift(`unexpected keys: ${unexpectedKeys.join(", ")}`)
  if (faults.length > 0) throw new StateDictError(`loadStateDict: ${owner}: ${faults.join("; ")}`)
  const pairs = state.flatMap(([name, own]) => {
    const source = given.get(name)
    return source ? [{ name, own, source }] : []
  })
  for (const { name, own, source } of pairs) {
    own.check("loadStateDict")
    source.check("loadStateDict")
    if (own.device !== source.device) {
      throw new DeviceError(
        `loadStateDict: ${owner}: ${name} is on ${source.device.name}, the module on ${own.device.name}; move it with await tensor.to(device)`,
      )
    }
  }
  noGrad(() => {
    for (const { own, source } of pairs) own.copy_(source)
  })
  return { missingKeys, unexpectedKeys }
}

function misfit(own: Tensor, source: unknown): string | null {
  if (!(source instanceof Tensor)) return `got ${source === null ? "null" : typeof source}, expected a tensor`
  if (source.shape.length !== own.shape.length || source.shape.some((size, d) => size !== own.shape[d])) {
    return `got shape ${shapeText(source.shape)}, expected ${shapeText(own.shape)}`
  }
  if (category(source.dtype) !== category(own.dtype)) return `got dtype ${source.dtype}, expected ${own.dtype}`
  return null
}
