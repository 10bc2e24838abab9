// The tensor: a strided view of device memory with its place in the autograd graph. Operations are not here but in ops/.
// The declarations say what they need: consumers seldom list this library.
/// <reference lib="esnext.disposable" preserve="true" />
import {
  byteSize,
  contiguousStrides,
  type DType,
  GradientError,
  isContiguous,
  isFloat,
  ValueError,
  type View,
} from "@rondo/backend"
import type { Storage } from "@rondo/backend"
import { AccumulateNode, type GradHook, type Node, type RemovableHook, viewRules } from "./graph.js"
import type { Device } from "./device.js"
import { allocate, type Handle, throwDisposed } from "./lifetime.js"
import type { OpMethods } from "./ops/index.js"
import type { RowGradient } from "./rowgradient.js"
import { adopt, keep, type Scope } from "./scope.js"
import { refuseRows, tape } from "./tape.js"

/** Where and how elements lie: what a view needs beside its storage. */
export interface Geometry {
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
}

/**
 * A multi-dimensional array on a device. Make one with {@link tensor}, {@link zeros}, {@link rand}, …; all operations are
 * methods as well as functions. `transpose`, slices, `expand` and their kin share memory with their source.
 *
 * @example
 * ```ts
 * const x = tensor([[1, 2], [3, 4]], { requiresGrad: true })
 * x.mul(x).sum().backward()
 * console.log(await x.grad!.tolist()) // [[2, 4], [6, 8]]
 * ```
 */
export class Tensor implements View {
  readonly storage: Storage
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  /** Position of the first element in the storage, in elements. */
  readonly offset: number
  /** The memory that is shown, and how many tensors show it: for subclasses that show it too. */
  readonly handle: Handle
  /** @internal Tensor whose storage this one is a window on, as far as autograd is concerned. */
  base: Tensor | null
  /** @internal The operation that made this tensor; use {@link gradFn}. */
  node: Node | null = null
  /** @internal Which of the operation's outputs this is. */
  outputIndex = 0
  /** @internal How often in-place changes rewrote the history of this base. */
  rewrites = 0
  /** @internal The base's count when `node` was right. */
  seenRewrites = 0
  /** @internal The scope that frees this tensor at its end. */
  home: Scope | null = null
  /** @internal */ disposed = false
  /** @internal */ leafNode: AccumulateNode | null = null
  private whole: Tensor | null = null
  private wanted = false
  /** The node that hands this tensor its gradient, after {@link retainGrad}; undefined before. */
  private retainer: { readonly node: Node; readonly index: number } | null | undefined

  /** For subclasses, as modules' parameters are one: `handle` gains an owner. Use {@link tensor} and its kin. */
  constructor(handle: Handle, dtype: DType, geometry: Geometry, base: Tensor | null) {
    this.handle = handle
    this.storage = handle.storage
    this.dtype = dtype
    this.shape = geometry.shape
    this.strides = geometry.strides
    this.offset = geometry.offset
    this.base = base
    if (base) this.seenRewrites = base.rewrites
    handle.owners++
    adopt(this)
  }

  get device(): Device {
    return this.handle.device
  }
  /** Number of dims. */
  get ndim(): number {
    return this.shape.length
  }
  /** PyTorch's `element_size()`, in bytes. */
  get itemsize(): number {
    return byteSize(this.dtype)
  }

  /** The operation that made this tensor, or null for a leaf. */
  get gradFn(): Node | null {
    if (this.base && this.seenRewrites !== this.base.rewrites) viewRules.regenerate(this)
    return this.node
  }
  /** True for tensors that no recorded operation made. */
  get isLeaf(): boolean {
    return this.gradFn === null
  }
  /** True if gradients flow to this tensor. Only leaves of a float dtype may be switched. */
  get requiresGrad(): boolean {
    return this.wanted || this.gradFn !== null
  }
  set requiresGrad(value: boolean) {
    this.requiresGrad_(value)
  }
  /**
   * The accumulated gradient of a leaf, or of a tensor after {@link retainGrad}. Whatever is put here replaces what there was,
   * rows included: null clears both. No scope frees it.
   */
  get grad(): Tensor | null {
    if (tape !== null) tape.readGrad(this, this.whole)
    return this.whole
  }
  set grad(value: Tensor | null) {
    if (tape !== null) tape.setGrad(this, value)
    this.whole = value && keep(value)
    if (this.leafNode) this.leafNode.rows = null
  }
  /**
   * What a leaf has in place of `grad` if all of its gradient came as rows, as from an embedding with `sparse`; otherwise
   * null. Only one of the two is ever set by backward. Optimisers' `zeroGrad` clears both, as does `grad = null`.
   */
  get rowGradient(): RowGradient | null {
    return this.leafNode?.rows ?? null
  }
  set rowGradient(rows: RowGradient | null) {
    if (rows) refuseRows()
    if (rows) [rows.indices, rows.values].forEach(keep)
    if (rows || this.leafNode) this.accumulator().rows = rows
  }
  /** Switches gradients for this leaf; returns it. Throws a GradientError for integers, and for non-leaves. */
  requiresGrad_(value = true): this {
    if (typeof value !== "boolean") throw new ValueError(`requiresGrad_: needs true or false, got ${String(value)}`)
    if (value && !isFloat(this.dtype)) {
      throw new GradientError(`requiresGrad_: only float tensors can require gradients, got ${this.dtype}`)
    }
    if (!value && !this.isLeaf) {
      throw new GradientError("requiresGrad_: only a leaf can stop requiring gradients; use detach()")
    }
    if (this.isLeaf) this.wanted = value
    return this
  }

  /**
   * Calls `hook` with the gradient of this tensor when it is complete; what the hook returns replaces it.
   * Throws a GradientError if the tensor does not require gradients.
   */
  registerHook(hook: GradHook): RemovableHook {
    if (typeof hook !== "function") throw new ValueError(`registerHook: needs a function, got ${typeof hook}`)
    if (!this.requiresGrad) throw new GradientError("registerHook: the tensor does not require gradients")
    const node = this.gradFn
    return node ? node.addHook(this.outputIndex, hook) : this.accumulator().addHook(0, hook)
  }
  /** Makes a non-leaf add up its gradient in `grad` in each backward; of what it became, if it is changed in place. */
  retainGrad(): this {
    if (!this.requiresGrad) throw new GradientError("retainGrad: the tensor does not require gradients")
    if (this.gradFn && this.retainer === undefined) {
      this.retainer = null
      this.followHistory()
    }
    return this
  }
  /** @internal Called when `node` became another: a retained gradient is that of the newest value. */
  followHistory(): void {
    if (this.retainer === undefined || !this.node) return
    const self = new WeakRef<Tensor>(this)
    this.retainer?.node.retained?.delete(this.retainer.index)
    this.retainer = { node: this.node, index: this.outputIndex }
    this.node.retain(this.outputIndex, (grad) => {
      const tensor = self.deref()
      if (tensor) tensor.grad = tensor.grad?.add(grad) ?? grad
    })
  }
  /** @internal */
  accumulator(): AccumulateNode {
    return (this.leafNode ??= new AccumulateNode(this))
  }

  /** True if the elements lie in row-major order without gaps. */
  isContiguous(): boolean {
    return isContiguous(this.shape, this.strides)
  }

  /**
   * Gives this tensor up. Its memory is freed when no other tensor shows it. Using the tensor afterwards throws a
   * DisposedError. Training loops do not need it: the collector finds dropped tensors.
   */
  dispose(): void {
    if (this.disposed) return
    this.disposed = true
    this.handle.release()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
  /**
   * Shows the memory of `other`, of equal shape, from now on. This is how a parameter changes its device or dtype
   * while optimisers keep hold of it; nobody else needs it. The gradient is not looked at.
   */
  rehome(other: Tensor): void {
    const self = this as { -readonly [K in "storage" | "dtype" | "strides" | "offset" | "handle"]: Tensor[K] }
    other.handle.owners++
    this.handle.release()
    self.handle = other.handle
    self.storage = other.storage
    self.dtype = other.dtype
    self.strides = other.strides
    self.offset = other.offset
  }
  /** Throws a DisposedError that names `operation` if this tensor, or its memory, was given up. */
  check(operation: string): void {
    if (this.disposed || this.handle.disposed) throwDisposed(operation)
    if (tape !== null) tape.saw(this)
  }
}

// Disposable is said here: depending on what it reads first, TypeScript loses the method of that name in the class.
export interface Tensor extends OpMethods, Disposable {}

/** @internal A new, uninitialised, contiguous tensor. */
export function emptyTensor(device: Device, shape: readonly number[], dtype: DType): Tensor {
  let size = 1
  for (let d = 0; d < shape.length; d++) size *= shape[d]
  const handle = allocate(device, size * byteSize(dtype))
  return new Tensor(handle, dtype, { shape, strides: contiguousStrides(shape), offset: 0 }, null)
}

/** @internal Another window on the memory of `x`; `differentiable` views know their base. */
export function windowOn(x: Tensor, geometry: Geometry, differentiable = true): Tensor {
  return new Tensor(x.handle, x.dtype, geometry, differentiable ? (x.base ?? x) : null)
}
