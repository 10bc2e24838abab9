// One file for all that a training run needs to go on: weights, optimiser, scheduler, random state, loader position. It knows
// its parts only by stateDict and loadStateDict, and the file is a safetensors file. Where it is stored is the caller's work.
import { FormatError, shapeText, ValueError } from "@rondo/backend"
import { currentDevice, type Device } from "./device.js"
import { makeTensor } from "./elements.js"
import { defaultGenerator, type Generator } from "./random/index.js"
import {
  isForeignDType,
  openSafetensors,
  type SafetensorsReader,
  type SafetensorsTensor,
  serializeSafetensors,
} from "./safetensors/index.js"
import { bytesOf } from "./safetensors/state.js"
import type { FileInput } from "./source.js"
import { copyTree, packTree, unpackTree } from "./tree.js"
import { Tensor } from "./tensor.js"

/** Anything whose state can be taken and put back: modules, optimisers, schedulers, loaders. */
export interface Stateful {
  stateDict(): unknown
  // `never`: each part takes what it gave, and nobody else knows what that is.
  loadStateDict(state: never): unknown
}

/** The parts of a training run. Each is optional; those that were saved must be there when the file is loaded. */
export interface CheckpointParts {
  readonly model?: Stateful
  readonly optimizer?: Stateful
  readonly scheduler?: Stateful
  /** What hands out batches, with its position. */
  readonly loader?: Stateful
  /** Whatever else has a state, by name: a second optimiser, a moving average. */
  readonly others?: Readonly<Record<string, Stateful>>
  /** Default: the process-wide generator that `manualSeed` seeds; null leaves random state out. */
  readonly generator?: Generator | null
}

/** What {@link saveCheckpoint} is given. */
export interface CheckpointContent extends CheckpointParts {
  /** Plain data and tensors of yours: the epoch, the best loss, a configuration. */
  readonly extra?: unknown
}

/** @internal Where the description is in the file's metadata. */
export const checkpointKey = "rondo.checkpoint"
/** @internal Name of the random state. */
export const randomName = "random"
const kinds = ["model", "optimizer", "scheduler", "loader"] as const

/** @internal The parts by name, held to having a state. */
export function partsOf(op: string, parts: CheckpointParts): Map<string, Stateful> {
  const found = new Map<string, Stateful>()
  for (const kind of kinds) if (parts[kind]) found.set(kind, parts[kind])
  for (const [name, part] of Object.entries(parts.others ?? {})) found.set(`others.${name}`, part)
  for (const [name, part] of found) {
    if (typeof part?.stateDict === "function" && typeof part.loadStateDict === "function") continue
    throw new ValueError(`${op}: ${name} has no stateDict and loadStateDict`)
  }
  return found
}

/**
 * Puts a training run into one safetensors file: tensors under `model.`, `optimizer.` and so on, the rest as JSON in its
 * metadata. Wait for it before the next training step.
 *
 * @returns The bytes of the file. In Node, `writeFileAtomic` of `@rondo/core/node` stores them such that a crash at any moment
 *   leaves the previous file whole.
 * @throws ValueError for parts without a state, and for functions and other things that cannot be saved in `extra`
 * @example
 * ```ts
 * let epoch = 3
 * const counter = { stateDict: () => ({ epoch }), loadStateDict: (state: { epoch: number }) => void (epoch = state.epoch) }
 * const file = await saveCheckpoint({ loader: counter, extra: { best: 0.25 } })
 * epoch = 0
 * const { extra } = await loadCheckpoint(file, { loader: counter })
 * console.log(epoch, extra) // 3 { best: 0.25 }
 * ```
 */
export async function saveCheckpoint(content: CheckpointContent): Promise<Uint8Array<ArrayBuffer>> {
  const op = "saveCheckpoint"
  const { generator = defaultGenerator() } = content
  const tensors = new Map<string, Tensor | Uint8Array>()
  const parts: Record<string, unknown> = {}
  for (const [name, part] of partsOf(op, content)) parts[name] = packTree(op, name, part.stateDict(), tensors)
  const extra = packTree(op, "extra", content.extra ?? null, tensors)
  if (generator) tensors.set(randomName, generator.getState())
  const random = generator !== null
  // All are read at once, before anybody can change one.
  const stored = await Promise.all(
    [...tensors].map(async ([name, value]): Promise<[string, SafetensorsTensor]> => {
      if (!(value instanceof Tensor)) return [name, { dtype: "uint8", shape: [value.length], data: value }]
      return [name, { dtype: value.dtype, shape: value.shape, data: await bytesOf(value) }]
    }),
  )
  return serializeSafetensors(new Map(stored), {
    [checkpointKey]: JSON.stringify({ version: 1, random, parts, extra }),
    format: "pt",
  })
}

interface Description {
  readonly version: number
  readonly random: boolean
  readonly parts: Readonly<Record<string, unknown>>
  readonly extra: unknown
}

/** What {@link loadCheckpoint} gives back. */
export interface LoadedCheckpoint {
  readonly extra: unknown
}

/** Options of {@link loadCheckpoint}. */
export interface LoadCheckpointOptions {
  /** Where tensors are made; default: the device of the model's first tensor, else the one given to `use`. */
  readonly device?: Device
}

/**
 * Puts every part back into the state that {@link saveCheckpoint} saw, so that training goes on bit for bit as if it had never
 * stopped. The whole file is read and held against the parts first; if a part refuses its state all the same, those before it
 * are put back.
 *
 * @throws FormatError for a damaged file, one that is no checkpoint, and one that does not fit the parts, saying where; then
 *   nothing has changed
 * @example
 * ```ts
 * const makeRun = () => {
 *   const model = new Linear(2, 1)
 *   const optimizer = new Adam(model.parameters())
 *   return { model, optimizer, scheduler: new StepLR(optimizer, { stepSize: 10 }) }
 * }
 * const file = await saveCheckpoint({ ...makeRun(), extra: { epoch: 7 } })
 * const { extra } = await loadCheckpoint(file, makeRun())
 * console.log(extra) // { epoch: 7 }
 * ```
 */
export async function loadCheckpoint(
  input: FileInput,
  parts: CheckpointParts,
  options: LoadCheckpointOptions = {},
): Promise<LoadedCheckpoint> {
  const op = "loadCheckpoint"
  const { generator = defaultGenerator() } = parts
  const own = partsOf(op, parts)
  const device = options.device ?? deviceOf(parts.model) ?? currentDevice()
  const reader = await openSafetensors(input)
  const description = describeCheckpoint(op, reader.metadata[checkpointKey])
  checkNames(op, Object.keys(description.parts), [...own.keys()])
  const tensors = new Map<string, Tensor | Uint8Array>()
  try {
    await readLeaves(op, reader, device, tensors)
    return { extra: restore(op, { parts, own, generator }, description, tensors) }
  } catch (error) {
    for (const tensor of tensors.values()) if (tensor instanceof Tensor) tensor.dispose()
    throw error
  }
}

/** @internal Reads everything into `leaves`, one after another. */
export async function readLeaves(
  op: string,
  reader: SafetensorsReader,
  device: Device,
  leaves: Map<string, Tensor | Uint8Array>,
): Promise<void> {
  for (const [name, { dtype }] of reader.entries) {
    if (isForeignDType(dtype))
      throw new FormatError(`${op}: tensor ${JSON.stringify(name)} is ${dtype}, which no checkpoint holds`)
    const { shape, data } = await reader.read(name)
    const isBytes = name === randomName || name.endsWith("#bytes")
    leaves.set(name, isBytes ? data.slice() : makeTensor(op, { type: dtype, shape, bytes: data }, { device }))
  }
}

interface Receivers {
  readonly parts: CheckpointParts
  readonly own: Map<string, Stateful>
  readonly generator: Generator | null
}

/** Holds what was read against the parts, then loads it. Returns what was saved beside them. */
function restore(
  op: string,
  { parts, own, generator }: Receivers,
  description: Description,
  tensors: ReadonlyMap<string, Tensor | Uint8Array>,
): unknown {
  const states = new Map(
    Object.entries(description.parts).map(([name, tree]) => [name, unpackTree(op, name, tree, tensors)]),
  )
  const extra = unpackTree(op, "extra", description.extra, tensors)
  if (parts.model) checkModel(op, parts.model.stateDict(), states.get("model"))
  const random = description.random ? tensors.get(randomName) : undefined
  if (description.random && !(random instanceof Uint8Array)) throw new FormatError(`${op}: random state is missing`)
  putBack(op, own, states, generator && random instanceof Uint8Array ? { generator, random } : null)
  return extra
}

function deviceOf(model: Stateful | undefined): Device | undefined {
  const state = model?.stateDict()
  if (state === null || typeof state !== "object") return undefined
  return Object.values(state as object).find((value): value is Tensor => value instanceof Tensor)?.device
}

/** @internal The description in a file's metadata, or a FormatError. */
export function describeCheckpoint(op: string, text: string | undefined): Description {
  if (text === undefined)
    throw new FormatError(
      `${op}: no checkpoint: the file's metadata lacks ${checkpointKey}; load weights with loadSafetensors`,
    )
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new FormatError(`${op}: metadata ${checkpointKey} is not valid JSON: ${(error as Error).message}`)
  }
  const description = value as Partial<Description> | null
  if (typeof description !== "object" || description === null)
    throw new FormatError(`${op}: metadata ${checkpointKey} is no object`)
  if (description.version !== 1) {
    throw new FormatError(`${op}: unknown version of checkpoints: got ${String(description.version)}, expected 1`)
  }
  const { parts } = description
  if (parts === null || typeof parts !== "object" || Array.isArray(parts))
    throw new FormatError(`${op}: metadata ${checkpointKey} lists no parts`)
  return description as Description
}

/** @internal */
export function checkNames(op: string, saved: readonly string[], own: readonly string[]): void {
  const [missing, rest] = [own.filter((name) => !saved.includes(name)), saved.filter((name) => !own.includes(name))]
  if (missing.length > 0)
    throw new FormatError(`${op}: the file has no ${missing.join(", ")}; it has ${saved.join(", ") || "nothing"}`)
  if (rest.length > 0) throw new FormatError(`${op}: the file has ${rest.join(", ")} as well: pass what is to take it`)
}

/** @internal A model's tensors are compared here: it comes last, and must not refuse what the others have already taken. */
export function checkModel(op: string, own: unknown, saved: unknown): void {
  const mine = Object.entries((own ?? {}) as object).filter(
    (pair): pair is [string, Tensor] => pair[1] instanceof Tensor,
  )
  const theirs = (saved ?? {}) as Record<string, unknown>
  const faults = mine.flatMap(([name, tensor]) => {
    const found = theirs[name]
    if (!(found instanceof Tensor)) return [`${name} is missing`]
    const [got, expected] = [shapeText(found.shape), shapeText(tensor.shape)]
    return got === expected ? [] : [`${name}: got shape ${got}, expected ${expected}`]
  })
  const names = new Set(mine.map(([name]) => name))
  faults.push(...Object.keys(theirs).flatMap((name) => (names.has(name) ? [] : [`${name} is unexpected`])))
  if (faults.length > 0) throw new FormatError(`${op}: model: ${faults.join("; ")}`)
}

interface Random {
  readonly generator: Generator
  readonly random: Uint8Array
}

/** Loads all states, the model last, or none. */
function putBack(op: string, parts: Map<string, Stateful>, states: Map<string, unknown>, random: Random | null): void {
  const undo: (() => void)[] = []
  const order = [...parts].sort(([a], [b]) => Number(a === "model") - Number(b === "model"))
  let at = randomName
  try {
    if (random) {
      const before = random.generator.getState()
      random.generator.setState(random.random)
      undo.push(() => void random.generator.setState(before))
    }
    for (const [name, part] of order) {
      at = name
      if (name !== "model") {
        // A copy: a module among the others shares its tensors with its stateDict, and loads into them.
        const before = copyTree(part.stateDict())
        undo.push(() => void part.loadStateDict(before as never))
      }
      part.loadStateDict(states.get(name) as never)
    }
  } catch (error) {
    for (const back of undo.reverse()) tryTo(back)
    throw new FormatError(`${op}: ${at}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** A part that takes no state at all does not keep the others from being put back. */
function tryTo(back: () => void): void {
  try {
    back()
  } catch {
    // The error that is reported is the one that made this necessary.
  }
}
