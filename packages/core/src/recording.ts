// What a captured body did, and how it is done again: kernels on memory that stays where it is, gradients of leaves, and what must
// still be so for that. When to record and when to replay is capture.ts's choice.
import { byteSize, contiguousStrides, DeviceError, type Kernel, kernels, sizeOf, type Storage, ValueError, type View } from "@rondo/backend" // prettier-ignore
import { execute, type Placed } from "./apply.js"
import type { Device } from "./device.js"
import { allocate, Handle } from "./lifetime.js"
import { keep } from "./scope.js"
import { type Tape, withTape } from "./tape.js"
import { Tensor, type Geometry } from "./tensor.js"

/** One thing to do again: a kernel, or something else. */
interface Step {
  readonly kernel: Kernel | null
  readonly inputs: readonly View[]
  readonly outputs: readonly Placed[]
  readonly scalars: readonly number[] | undefined
  readonly again: (() => void) | null
}

/**
 * Memory lent out while a body is recorded. What the body gives back serves it again at once, as it will at every replay, and
 * nobody else.
 */
class Lent extends Handle {
  /** Keeps the memory alive as long as anything shows it. */
  readonly owner: Handle
  private readonly recording: Recording
  constructor(owner: Handle, recording: Recording) {
    super(owner.device, owner.storage, null, null)
    this.owner = owner
    this.recording = recording
  }
  override release(): void {
    if (--this.owners > 0 || this.disposed || !this.recording.open) return
    this.disposed = true
    this.recording.takeBack(this.owner)
  }
  belongsTo(recording: Recording): boolean {
    return this.recording === recording
  }
}

/**
 * Listens to what runs beside a recording and will run at every replay: the recording's tensors that it uses are its own from then on,
 * whatever scope they were made in.
 */
class Aside implements Tape {
  readonly refuses = false
  readonly aside = this
  allocate(device: Device, bytes: number): Handle {
    return withTape(null, () => allocate(device, bytes))
  }
  saw(tensor: Tensor): void {
    if (tensor.handle instanceof Lent) keep(tensor)
  }
  ran(): void {}
  did(): void {}
  readGrad(): void {}
  setGrad(): void {}
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
export const shown = ({ handle, dtype, geometry }: Place): Tensor => new Tensor(handle, dtype, geometry, null)

/** A body's kernels, made once and run again. */
export class Recording implements Tape {
  readonly refuses = true
  readonly aside = new Aside()
  /** False once the body has returned. */
  open = true
  private device: Device | null = null
  private readonly steps: Step[] = []
  private readonly owned = new Map<Storage, Handle>()
  private readonly lent: Lent[] = []
  private readonly spare = new Map<number, Handle[]>()
  /** Memory that was there before, and the tensors through which it was reached. */
  private readonly outside = new Map<Storage, Handle>()
  private readonly users = new Map<Tensor, Handle>()
  private watched: readonly (readonly [tensor: Tensor, handle: Handle])[] = []
  /** Memory from before that kernels change. */
  private readonly changed = new Set<Handle>()
  /** Gradients that leaves had when the body read them first. */
  private readonly found = new Map<Tensor, Handle | null>()
  private readonly given = new Set<Tensor>()
  private readonly statics: Placed[] = []
  private readonly copies: Tensor[] = []

  /** Copies of the inputs, which every replay overwrites with its own. */
  place(inputs: readonly Tensor[]): Tensor[] {
    return inputs.map((x) => {
      const handle = this.allocate(x.device, sizeOf(x.shape) * byteSize(x.dtype))
      const geometry = { shape: x.shape, strides: contiguousStrides(x.shape), offset: 0 }
      const copy = new Tensor(handle, x.dtype, geometry, null)
      this.copies.push(copy)
      this.statics.push({ storage: handle.storage, dtype: x.dtype, device: x.device, ...geometry })
      return copy
    })
  }
  /** Brings the inputs to where the kernels read them. */
  fill(inputs: readonly Tensor[]): void {
    inputs.forEach((x, i) => {
      if (sizeOf(x.shape) > 0) execute(kernels.copy(x.dtype, x.dtype), [x], [this.statics[i]])
    })
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
  ran(
    kernel: Kernel,
    inputs: readonly View[],
    outputs: readonly Placed[],
    scalars: readonly number[] | undefined,
  ): void {
    const [{ device }] = outputs
    this.claim(device)
    for (const view of [...inputs, ...outputs]) this.need(kernel, view)
    for (const { storage } of outputs) {
      const handle = this.outside.get(storage)
      if (handle) this.changed.add(handle)
    }
    const fixed = ({ storage, dtype, shape, strides, offset }: View): Placed => {
      return { storage, dtype, shape, strides, offset, device }
    }
    // What is handed to a kernel may be changed by its owner afterwards.
    this.steps.push({ kernel, inputs: inputs.map(fixed), outputs: outputs.map(fixed), scalars: scalars && [...scalars], again: null }) // prettier-ignore
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
  readGrad(leaf: Tensor, value: Tensor | null): void {
    // What the body set before is what a replay sets before. A leaf that the body made is nobody's afterwards.
    if (this.given.has(leaf) || this.found.has(leaf) || this.owns(leaf.handle)) return
    this.found.set(leaf, value?.handle ?? null)
  }
  setGrad(leaf: Tensor, value: Tensor | null): void {
    if (this.owns(leaf.handle)) return
    this.given.add(leaf)
    if (value) this.saw(value)
    const place = value && placeOf(value)
    this.did(() => void (leaf.grad = place && keep(shown(place))))
  }

  private owns(handle: Handle): boolean {
    return handle instanceof Lent && handle.belongsTo(this)
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

  /** The body has returned. */
  close(): void {
    this.open = false
    this.spare.clear()
    // Windows are made anew each time; what a module moves to another device is what they were made of.
    this.watched = [...this.users].filter(([tensor]) => tensor.base === null)
    this.users.clear()
  }
  /** The body failed: memory that nothing shows is given back. */
  abandon(): void {
    for (const copy of this.copies) copy.dispose()
    this.open = false
    for (const owners of this.spare.values()) for (const owner of owners) owner.release()
    this.spare.clear()
  }
  /** Whether everything that was there before is still where it was. */
  fits(): boolean {
    for (const [tensor, handle] of this.watched) if (tensor.handle !== handle) return false
    for (const handle of this.outside.values()) if (handle.disposed) return false
    for (const [leaf, handle] of this.found) if ((leaf.grad?.handle ?? null) !== handle) return false
    return true
  }
  /** Does everything again. */
  replay(): void {
    for (const { kernel, inputs, outputs, scalars, again } of this.steps) {
      if (kernel) execute(kernel, inputs, outputs, scalars)
      else again?.()
    }
    for (const handle of this.changed) handle.version++
  }
  /** Gives the memory back: what shows it is disposed. */
  dispose(): void {
    for (const handle of this.lent) handle.disposed = true
    for (const owner of this.owned.values()) owner.release()
    this.owned.clear()
  }
}
