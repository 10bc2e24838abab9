// A copy of a training run in the memory of the host, and its way back onto a device: the same one, or another after a loss.
// What a checkpoint is, and its file, are beside it.
import { FormatError } from "@rondo/backend"
import {
  checkModel,
  type CheckpointContent,
  checkpointKey,
  checkNames,
  describeCheckpoint,
  type LoadedCheckpoint,
  partsOf,
  randomName,
  readLeaves,
  saveCheckpoint,
  type Stateful,
} from "./checkpoint.js"
import type { Device } from "./device.js"
import { noGrad } from "./graph.js"
import { data, upload } from "./host.js"
import { defaultGenerator } from "./random/index.js"
import { openSafetensors } from "./safetensors/index.js"
import { Tensor } from "./tensor.js"
import { unpackTree } from "./tree.js"

/** A part that can leave its device without reading it, as modules can. */
export interface Movable extends Stateful {
  /** Takes uninitialised memory on `device` for all that it holds. */
  toEmpty(device: Device): unknown
  /** Tensors beside the parameters, those that `stateDict` leaves out included. */
  buffers(): readonly Tensor[]
}

const isMovable = (part: Stateful): part is Movable =>
  typeof (part as Partial<Movable>).toEmpty === "function" && typeof (part as Partial<Movable>).buffers === "function"

/** A training run as it was when {@link checkpointToHost} was called. */
export interface HostCheckpoint {
  /** Bytes of host memory that it takes. */
  readonly bytes: number
  /** The same as a file of `saveCheckpoint`. */
  readonly file: Uint8Array<ArrayBuffer>
  /**
   * Puts the parts, the same objects, onto `device` as they were: parameters stay the same tensors, so optimisers, schedulers
   * and whatever else holds them go on. Nothing is read from the device where they were. Gradients are dropped. Tensors that
   * are not in the parts (batches, targets) are yours to make anew.
   *
   * @throws FormatError if the model has other parameters by now, DTypeError or OutOfMemoryError if `device` cannot hold them;
   *   then nothing has changed
   */
  restore(device: Device): Promise<LoadedCheckpoint>
}

/**
 * Copies the state of a training run to the host: parameters, buffers, optimiser state, whatever `saveCheckpoint` takes, and random
 * state. If the GPU is lost later, `restore` puts it onto a new device, and training goes on from there. Wait for it before the
 * next training step, and call it as often as you can afford to lose the steps in between.
 *
 * @throws what `saveCheckpoint` throws
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * const optimizer = new Adam(model.parameters())
 * const copy = await checkpointToHost({ model, optimizer, extra: { step: 3 } })
 * // … the device is lost …
 * const { extra } = await copy.restore(new Device(new CpuJs()))
 * console.log(extra) // { step: 3 }
 * ```
 */
export async function checkpointToHost(content: CheckpointContent): Promise<HostCheckpoint> {
  const movable = [...partsOf("checkpointToHost", content).values()].filter(isMovable)
  // All are asked for before anything is awaited: they belong to one moment.
  const buffers = movable.flatMap((part) => part.buffers().map(hostCopy))
  const [file, copies] = await Promise.all([saveCheckpoint(content), Promise.all(buffers)])
  const bytes = copies.reduce((sum, { values }) => sum + values.byteLength, file.byteLength)
  return { bytes, file, restore: (device) => restore(device, content, file, copies) }
}

const hostCopy = async (x: Tensor) => ({ shape: x.shape, dtype: x.dtype, values: await data(x) })
type HostCopy = Awaited<ReturnType<typeof hostCopy>>

async function restore(
  device: Device,
  content: CheckpointContent,
  file: Uint8Array<ArrayBuffer>,
  copies: readonly HostCopy[],
): Promise<LoadedCheckpoint> {
  const reader = await openSafetensors(file)
  const leaves = new Map<string, Tensor | Uint8Array>()
  const buffers: Tensor[] = []
  try {
    await readLeaves("restore", reader, device, leaves)
    for (const { values, shape, dtype } of copies) buffers.push(upload(device, values, shape, dtype))
    return put(device, content, reader.metadata[checkpointKey], { leaves, buffers })
  } catch (error) {
    for (const made of [...leaves.values(), ...buffers]) if (made instanceof Tensor) made.dispose()
    throw error
  }
}

interface OnDevice {
  readonly leaves: ReadonlyMap<string, Tensor | Uint8Array>
  readonly buffers: readonly Tensor[]
}

/** Gives the parts what is on the device already. */
function put(
  device: Device,
  content: CheckpointContent,
  text: string,
  { leaves, buffers }: OnDevice,
): LoadedCheckpoint {
  const op = "restore"
  const parts = partsOf(op, content)
  const { generator = defaultGenerator() } = content
  const description = describeCheckpoint(op, text)
  checkNames(op, Object.keys(description.parts), [...parts.keys()])
  const unpacked = (name: string, tree: unknown): unknown => unpackTree(op, name, tree, leaves)
  const states = new Map(Object.entries(description.parts).map(([name, tree]) => [name, unpacked(name, tree)]))
  const movable = [...parts.values()].filter(isMovable)
  if (content.model) checkModel(op, content.model.stateDict(), states.get("model"))
  const count = movable.reduce((sum, part) => sum + part.buffers().length, 0)
  if (count !== buffers.length) throw new FormatError(`${op}: got ${count} buffers, expected ${buffers.length}`)
  for (const part of movable) part.toEmpty(device)
  // What holds parameters comes first: an optimiser's state goes to where its parameters are.
  const order = [...parts].sort(([, a], [, b]) => Number(isMovable(b)) - Number(isMovable(a)))
  for (const [name, part] of order) part.loadStateDict(states.get(name) as never)
  const own = movable.flatMap((part) => part.buffers())
  noGrad(() => own.forEach((buffer, i) => buffer.copy_(buffers[i])))
  const random = leaves.get(randomName)
  if (generator && random instanceof Uint8Array) generator.setState(random)
  return { extra: unpacked("extra", description.extra) }
}
