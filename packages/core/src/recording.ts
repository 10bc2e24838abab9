// What a captured body did, and how it is done again: kernels on memory that stays where it is, gradients of leaves, and what must
// still be so for that. When to record and when to replay is capture.ts's choice.
import {
  type Backend,
  byteSize,
  contiguousStrides,
  DeviceError,
  GradientError,
  type Kernel,
  kernels,
  shapeText,
  sizeOf,
  type Storage,
  ValueError,
  type View,
} from "@rondo/backend"
import { execute, observers, type Placed } from "./apply.js"
import type { Device } from "./device.js"
import { allocate, Handle } from "./lifetime.js"
import { copyOf, sameShape } from "./place.js"
import { keep } from "./scope.js"
import { refuseRows, type Tape, withTape } from "./tape.js"
import { Tensor, type Geometry } from "./tensor.js"

/** One thing to do again: a kernel, or something else. */
interface Step {
  readonly kernel: Kernel | null
  readonly inputs: readonly View[]
  readonly outputs: readonly Placed[]
  readonly scalars: readonly number[] | undefined
  /** What does it; null for a kernel that its device runs as it runs all others. */
  readonly again: (() => void) | null
}

/**
 * Memory lent out while a body is recorded. What the body gives back serves it again at once, as it will at every replay, and
 * nobody else.
 */
class Lent extends Handle {
  /** Keeps the memory alive as long as anything shows it. */
  readonly owner: Handle
  /** Null once the body has returned: a gradient that lives on must not hold all that was recorded. */
  recording: Recording | null
  constructor(owner: Handle, recording: Recording) {
    super(owner.device, owner.storage, null, null)
    this.owner = owner
    this.recording = recording
  }
  override release(): void {
    if (--this.owners > 0 || this.disposed || !this.recording) return
    this.disposed = true
    this.recording.takeBack(this.owner)
  }
}

/**
 * Listens to what runs beside a recording and will run at every replay: the recording's tensors that it uses are its own from then on,
 * whatever scope they were made in.
 */
class Aside implements Tape {
  readonly refuses = false
  readonly aside = this
  /** Leaves that got other gradients here. */
  readonly gave = new Set<Tensor>()
  private readonly seen = new Set<Tensor>()
  allocate(device: Device, bytes: number): Handle {
    return withTape(null, () => allocate(device, bytes))
  }
  saw(tensor: Tensor): void {
    if (!(tensor.handle instanceof Lent) || this.seen.has(tensor)) return
    this.seen.add(keep(tensor))
    tensor.handle.owners++
  }
  /** What the body disposed of afterwards is there again when a replay comes to the part that uses it. */
  close(): void {
    for (const tensor of this.seen) tensor.disposed = false
    this.seen.clear()
    this.gave.clear()
  }
  run(backend: Backend, ...call: Parameters<Backend["run"]>): void {
    backend.run(...call)
  }
  did(): void {}
  ranAside(): void {}
  readGrad(): void {}
  setGrad(leaf: Tensor): void {
    this.gave.add(leaf)
  }
}

/** Where a result, or the gradient of a leaf, lies. */
export interface Place {
  readonly handle: Handle
  readonly dtype: View["dtype"]
  readonly geometry: Geometry
}

/** Where `x` lies. */
export const placeOf = ({ handle, dtype, shape, strides, offset }: Tensor): Place => ({
  handle,
  dtype,
  geometry: { shape, strides, offset },
})
/** A tensor there. */
const shown = ({ handle, dtype, geometry }: Place): Tensor => new Tensor(handle, dtype, geometry, null)
/** What a replay has made there. Graphs that saved what lay there before refuse to use it. */
export function renewed(place: Place): Tensor {
  if (place.handle instanceof Lent) place.handle.version++
  return shown(place)
}

/** A tensor from outside, with what a replay relies on. */
interface Watched {
  readonly tensor: Tensor
  readonly handle: Handle
  readonly requiresGrad: boolean
}

/** A body's kernels, made once and run again. */
export class Recording implements Tape {
  readonly refuses = true
  readonly aside = new Aside()
  private device: Device | null = null
  private readonly steps: Step[] = []
  private readonly owned = new Map<Storage, Handle>()
  private readonly lent: Lent[] = []
  private readonly spare = new Map<number, Handle[]>()
  /** Memory that was there before, and the tensors through which it was reached. */
  private readonly outside = new Map<Storage, Handle>()
  private readonly users = new Map<Tensor, Handle>()
  private watched: readonly Watched[] = []
  /** Memory from before that kernels change. */
  private readonly changed = new Set<Handle>()
  /** Gradients that leaves had when the body read them first. */
  private readonly found = new Map<Tensor, Place | null>()
  private readonly given = new Set<Tensor>()
  /** Leaves whose gradients are at a replay what they were here: they were set or looked at since the last uncaptured part. */
  private readonly sure = new Set<Tensor>()
  private interrupted = false
  /** False once an uncaptured part gave back memory that kernels use: prepared calls would not notice. */
  private whole = true
  private disposed = false
  private readonly statics: Placed[] = []
  private readonly copies: Tensor[] = []

  /** Copies of the inputs, which every replay overwrites with its own. */
  place(inputs: readonly Tensor[]): Tensor[] {
    return inputs.map((x) => {
      const handle = this.allocate(x.device, sizeOf(x.shape) * byteSize(x.dtype))
      const geometry = { shape: x.shape, strides: contiguousStrides(x.shape), offset: 0 }
      const copy = keep(new Tensor(handle, x.dtype, geometry, null))
      // A body that disposes of an input must not get its memory for a result, which may be the next input.
      handle.owners++
      this.copies.push(copy)
      this.statics.push({ storage: handle.storage, dtype: x.dtype, device: x.device, ...geometry })
      return copy
    })
  }
  /** Brings the inputs to where the kernels read them. */
  fill(inputs: readonly Tensor[]): void {
    // A body that returned an input has shown its place: what lies there is read before anything is written.
    for (let i = 0; i < inputs.length; i++) if (this.isStatic(inputs[i].storage)) return this.fillApart(inputs)
    for (let i = 0; i < inputs.length; i++) this.fillOne(inputs[i], i)
  }
  private fillApart(inputs: readonly Tensor[]): void {
    const sources = inputs.map((x) => (this.isStatic(x.storage) && sizeOf(x.shape) > 0 ? copyOf(x.device, x) : x))
    sources.forEach((x, i) => {
      this.fillOne(x, i)
      if (x !== inputs[i]) x.dispose()
    })
  }
  private fillOne(x: Tensor, i: number): void {
    if (sizeOf(x.shape) > 0) execute(kernels.copy(x.dtype, x.dtype), [x], [this.statics[i]])
  }
  private isStatic(storage: Storage): boolean {
    for (let i = 0; i < this.statics.length; i++) if (this.statics[i].storage === storage) return true
    return false
  }

  allocate(device: Device, bytes: number): Handle {
    this.claim(device)
    let owner = this.spare.get(bytes)?.pop()
    if (!owner) {
      owner = withTape(null, () => allocate(device, bytes))
      owner.owners = 1
      this.owned.set(owner.storage, owner)
    }
    const handle = new Lent(owner, this)
    this.lent.push(handle)
    return handle
  }
  takeBack(owner: Handle): void {
    const { bytes } = owner.storage
    const list = this.spare.get(bytes)
    if (list) list.push(owner)
    else this.spare.set(bytes, [owner])
  }
  run(
    backend: Backend,
    kernel: Kernel,
    inputs: readonly View[],
    outputs: readonly Placed[],
    scalars: readonly number[] | undefined,
  ): void {
    const [{ device }] = outputs
    this.claim(device)
    let again: (() => void) | null = null
    if (backend.prepare) again = backend.prepare(kernel, inputs, outputs, scalars)
    else backend.run(kernel, inputs, outputs, scalars)
    for (const view of [...inputs, ...outputs]) this.need(kernel, view)
    for (const { storage } of outputs) {
      const handle = this.outside.get(storage)
      if (handle) this.changed.add(handle)
    }
    const fixed = ({ storage, dtype, shape, strides, offset }: View): Placed => {
      return { storage, dtype, shape, strides, offset, device }
    }
    // What is handed to a kernel may be changed by its owner afterwards.
    this.steps.push({ kernel, inputs: inputs.map(fixed), outputs: outputs.map(fixed), scalars: scalars && [...scalars], again }) // prettier-ignore
  }
  did(again: () => void): void {
    this.steps.push({ kernel: null, inputs: [], outputs: [], scalars: undefined, again })
  }
  saw(tensor: Tensor): void {
    const { handle } = tensor
    if (this.owns(handle)) return
    this.outside.set(handle.storage, handle)
    this.users.set(tensor, handle)
  }
  ranAside(again: () => void): void {
    this.did(() => {
      again()
      this.whole = this.isWhole()
    })
    this.interrupted = true
    this.sure.clear()
    // Another time that part may change what rows were looked up in.
    this.forgetOrigins()
  }
  /** Whether nobody gave back memory that the kernels use. */
  private isWhole(): boolean {
    if (this.disposed) return false
    for (const handle of this.outside.values()) if (handle.disposed) return false
    return true
  }
  private forgetOrigins(): void {
    for (const handle of this.lent) handle.origin = null
  }
  readGrad(leaf: Tensor, value: Tensor | null): void {
    // What the body set before is what a replay sets before. A leaf that the body made is nobody's afterwards.
    if (this.sure.has(leaf) || this.owns(leaf.handle)) return
    if (leaf.rowGradient) refuseRows()
    this.sure.add(leaf)
    const place = value && placeOf(value)
    if (!this.given.has(leaf) && !this.found.has(leaf) && !this.aside.gave.has(leaf)) this.found.set(leaf, place)
    if (this.interrupted) this.did(() => checkGrad(leaf, place))
  }
  setGrad(leaf: Tensor, value: Tensor | null): void {
    if (this.owns(leaf.handle)) return
    this.sure.add(leaf)
    this.given.add(leaf)
    if (value) this.saw(value)
    const place = value && placeOf(value)
    this.did(() => void (leaf.grad = place && renewed(place)))
  }

  private owns(handle: Handle): boolean {
    return handle instanceof Lent && handle.recording === this
  }
  private claim(device: Device): void {
    this.device ??= device
    if (device === this.device) return
    throw new DeviceError(
      `capture: the body works on ${this.device.name} and on ${device.name}; capture what runs on one device`,
    )
  }
  private need(kernel: Kernel, view: View): void {
    if (view instanceof Tensor) this.saw(view)
    if (this.owned.has(view.storage) || this.outside.has(view.storage)) return
    throw new ValueError(
      `capture: a ${kernel.kind} kernel uses a tensor whose owner is not known; put the operation into uncaptured(() => …)`,
    )
  }

  /** The body has returned. Throws a ValueError if it changed an input in place. */
  close(): void {
    this.copies.forEach(({ handle }, i) => {
      if (handle.version === 0) return
      throw new ValueError(
        `capture: the body changes input ${i} in place, which its caller would not see; clone() it first, or use it from outside of the body`,
      )
    })
    // Windows are made anew each time; what a module moves to another device is what they were made of.
    this.watched = [...this.users]
      .filter(([tensor]) => tensor.base === null)
      .map(([tensor, handle]) => ({ tensor, handle, requiresGrad: tensor.requiresGrad }))
    this.aside.close()
    this.leave()
  }
  /** The body failed: memory that nothing shows is given back. */
  abandon(): void {
    for (const copy of this.copies) {
      copy.dispose()
      copy.handle.release()
    }
    for (const owners of this.spare.values()) for (const owner of owners) owner.release()
    this.leave()
  }
  private leave(): void {
    for (const handle of this.lent) handle.recording = null
    this.forgetOrigins()
    this.spare.clear()
    this.users.clear()
    this.sure.clear()
    this.given.clear()
  }
  /** Whether everything that was there before is still where it was, and wants gradients or not as it did. */
  stands(): boolean {
    for (const { tensor, handle, requiresGrad } of this.watched)
      if (tensor.handle !== handle || tensor.requiresGrad !== requiresGrad) return false
    return this.isWhole()
  }
  /** Whether leaves have the gradients that the body found. */
  fits(): boolean {
    for (const [leaf, place] of this.found) if (!hasGrad(leaf, place) || leaf.rowGradient) return false
    return true
  }
  /** Does everything again. */
  replay(): void {
    for (const handle of this.changed) handle.version++
    this.whole = true
    for (const step of this.steps) {
      // Who watches kernels sees those of replays too.
      if (step.again !== null && (step.kernel === null || (this.whole && observers.size === 0))) step.again()
      else if (step.kernel !== null) execute(step.kernel, step.inputs, step.outputs, step.scalars)
    }
  }
  /** Gives the memory back: what shows it is disposed. */
  dispose(): void {
    this.disposed = true
    for (const handle of this.lent) handle.disposed = true
    for (const owner of this.owned.values()) owner.release()
    this.owned.clear()
  }
}

function hasGrad({ grad }: Tensor, place: Place | null): boolean {
  if (!grad || !place) return grad === place
  const { handle, dtype, geometry } = place
  if (grad.handle !== handle || grad.dtype !== dtype || grad.offset !== geometry.offset) return false
  return grad.strides === geometry.strides || sameShape(grad.strides, geometry.strides)
}

function checkGrad(leaf: Tensor, expected: Place | null): void {
  if (hasGrad(leaf, expected)) return
  throw new GradientError(
    `capture: an uncaptured part gave a leaf of shape ${shapeText(leaf.shape)} another gradient than when it was recorded; use zeroGrad({ setToNone: false }) there, or zeroGrad outside of the body`,
  )
}
