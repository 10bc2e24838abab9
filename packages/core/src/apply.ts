// The single door that every operation passes: operands are checked, a kernel runs, the step is recorded for backward.
import {
  DeviceError,
  type DType,
  GradientError,
  IndexError,
  type Kernel,
  shapeText,
  ShapeError,
  DTypeError,
  isFloat,
  kernels,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { Device } from "./device.js"
import {
  attach,
  type Kept,
  makeNode,
  mode,
  type Node,
  type Operand,
  type Rule,
  Saved,
  viewRules,
  wantsGrad,
} from "./graph.js"
import { tape } from "./tape.js"
import { emptyTensor, type Geometry, type Tensor, windowOn } from "./tensor.js"

/** What the door must know of an operation. */
export interface OpInfo {
  readonly name: string
  /** Gradients of the inputs from those of the outputs; null says that the operation is not differentiable. */
  readonly vjp: Rule | null
  /** What the rule reads: this alone is held alive until backward. */
  readonly keep: readonly Kept[]
  /** The same for each input's gradient alone: what only a gradient reads that nobody wants is not held. */
  readonly keepFor?: readonly (readonly Kept[])[]
}

// What is held, as bits: `x`, `y` and `z` are those of inputs 0 to 2.
const bits: Record<Kept, number> = { x: 1, y: 2, z: 4, out: 8 }

/** What must be held for the gradients that `inputs` want. */
function kept({ keep, keepFor }: OpInfo, inputs: readonly Operand[]): number {
  let all = 0
  if (!keepFor) for (const name of keep) all |= bits[name]
  else
    for (let i = 0; i < inputs.length; i++) {
      const x = inputs[i]
      if (typeof x !== "number" && x.requiresGrad) for (const name of keepFor[i]) all |= bits[name]
    }
  return all
}

/** Where a kernel writes: a tensor, or a window on one. */
export type Placed = View & { readonly device: Device }

/** Every kernel of every operation runs here; tracing and profiling need no other place. */
export const observers = new Set<(kernel: Kernel, inputs: readonly View[], outputs: readonly View[]) => void>()

/** Runs `kernel` on the device of its first output. */
export function execute(
  kernel: Kernel,
  inputs: readonly View[],
  outputs: readonly Placed[],
  scalars?: readonly number[],
): void {
  const { backend } = outputs[0].device
  if (tape === null) backend.run(kernel, inputs, outputs, scalars)
  else tape.run(backend, kernel, inputs, outputs, scalars)
  if (observers.size > 0) for (const observe of observers) observe(kernel, inputs, outputs)
}

/** The device that all tensors among `operands` share. Throws a DeviceError that names both if two differ, or a DisposedError. */
export function commonDevice(op: string, operands: readonly (Operand | null)[]): Device {
  let device: Device | null = null
  for (const x of operands) {
    if (x === null || typeof x !== "object") continue
    x.check(op)
    if (device === null) device = x.device
    else if (device !== x.device) {
      throw new DeviceError(
        `${op}: operands are on different devices: ${device.name} and ${x.device.name}; move one with await x.to(device)`,
      )
    }
  }
  if (device === null) throw new DTypeError(`${op}: needs a tensor, got numbers only`)
  return device
}

/**
 * Runs an operation that is neither element-wise nor a view. `forward` computes the outputs from checked inputs;
 * `attrs` beside the inputs live in the closures of `forward` and `vjp`. What the gradient reads beside inputs 0 to 2 and the
 * first output, `more` lists after the forward.
 */
export function apply(
  op: OpInfo,
  inputs: readonly Tensor[],
  forward: (device: Device) => Tensor[],
  more?: () => readonly Tensor[],
): Tensor[] {
  const device = commonDevice(op.name, inputs)
  const recording = op.vjp !== null && wantsGrad(inputs)
  // Inside, nothing is recorded: a forward may be composed of other operations.
  const before = mode.record
  mode.record = false
  let outputs: Tensor[]
  try {
    outputs = forward(device)
  } catch (error) {
    // A kernel knows its own name only.
    throw error instanceof IndexError ? new IndexError(`${op.name}: ${error.fact}`) : error
  } finally {
    mode.record = before
  }
  // What a forward made by a view, as reductions drop their dims, is nobody else's memory: it must not be taken for a
  // window, whose changes in place belong to a base.
  for (const out of outputs) if (out.base && inputs.every((x) => x.handle !== out.handle)) out.base = null
  if (recording) recordOp(op, inputs, outputs, undefined, more?.())
  return outputs
}

/** Attaches the node of a finished operation to its outputs. */
export function recordOp(
  op: OpInfo,
  inputs: readonly Operand[],
  outputs: readonly Tensor[],
  params?: readonly number[],
  more?: readonly Tensor[],
): void {
  const saved = save(op, inputs, outputs, params)
  if (more) saved.keepMore(more)
  const node = makeNode(op.name, inputs, outputs, op.vjp as Rule, saved)
  attach(node, outputs)
}

function save(op: OpInfo, inputs: readonly Operand[], outputs: readonly Tensor[], params?: readonly number[]): Saved {
  const keep = kept(op, inputs)
  const values = [keep & bits.x ? inputs[0] : null, keep & bits.y ? inputs[1] : null, keep & bits.z ? inputs[2] : null]
  const shapes: (readonly number[])[] = []
  for (const x of inputs) shapes.push(typeof x === "number" ? [] : x.shape)
  return new Saved(op.name, values, shapes, keep & bits.out ? (outputs[0] ?? null) : null, params)
}

/** Makes a view of `x` without copying. */
export function applyView(op: OpInfo, x: Tensor, geometry: Geometry): Tensor {
  x.check(op.name)
  const out = windowOn(x, geometry)
  if (op.vjp !== null && wantsGrad([x])) {
    recordOp(op, [x], [out])
    if (out.node) out.node.passes = true
  }
  return out
}

/** Throws unless `x` may be changed in place. */
export function checkInPlace(op: string, x: Tensor): void {
  x.check(op)
  if (mode.record) {
    const root = x.base ?? x
    if (x.requiresGrad && x.isLeaf) {
      throw new GradientError(
        `${op}: a leaf that requires gradients cannot be changed in place; use noGrad(() => …) or the out-of-place form`,
      )
    }
    if (root !== x && root.requiresGrad && root.isLeaf) {
      throw new GradientError(
        `${op}: a view of a leaf that requires gradients cannot be changed in place; use noGrad(() => …)`,
      )
    }
  }
  for (let d = 0; d < x.strides.length; d++) {
    if (x.strides[d] !== 0 || x.shape[d] < 2) continue
    throw new ShapeError(
      `${op}: several elements of the ${shapeText(x.shape)} view share memory (it was expanded); use contiguous() first`,
    )
  }
}

/**
 * Changes `self` by `write` and gives it the history of the operation. If `self` is a window on another tensor, that
 * tensor's history is rewritten, and with it that of all its windows.
 */
export function applyInPlace(
  op: OpInfo,
  self: Tensor,
  inputs: readonly Operand[],
  write: () => void,
  params?: readonly number[],
): Tensor {
  checkInPlace(`${op.name}_`, self)
  const recording = mode.record && (wantsGrad(inputs) || self.requiresGrad)
  // Made before the change: edges are those of the old history, and where a gradient reads the old value it gets a copy.
  const saved = recording ? save(op, withOriginal(op, self, inputs), [], params) : null
  const node = saved && makeNode(op.name, inputs, [self], op.vjp ?? noGradients, saved)
  write()
  self.handle.version++
  if (node && saved) {
    if (kept(op, inputs) & bits.out) saved.keepOut(self)
    rebase(self, node, inputs.indexOf(self))
  }
  return self
}

function withOriginal(op: OpInfo, self: Tensor, inputs: readonly Operand[]): readonly Operand[] {
  const reads = kept(op, inputs)
  if (!inputs.some((x, i) => x === self && i < 3 && reads & (1 << i))) return inputs
  const original = output(self.device, self.shape, self.dtype)
  if (sizeOf(self.shape) > 0) execute(kernels.copy(self.dtype, self.dtype), [self], [original])
  original.node = self.gradFn
  original.outputIndex = self.outputIndex
  return inputs.map((x) => (x === self ? original : x))
}

const noGradients: Rule = () => []

function rebase(self: Tensor, node: Node, selfIndex: number): void {
  const root = self.base ?? self
  root.node = self.base ? viewRules.rebase(self, node, selfIndex) : node
  root.outputIndex = 0
  root.rewrites++
  // As in PyTorch, a base that was changed through a window goes on with what it was before.
  if (root === self) self.followHistory()
}

/** Checks that a result of `dtype` can be stored into `self` in place: only within or up the categories. */
export function checkStorable(op: string, from: DType, self: Tensor): void {
  const fits = isFloat(self.dtype) || (!isFloat(from) && (self.dtype !== "bool" || from === "bool"))
  if (!fits) throw new DTypeError(`${op}: a ${from} result cannot be stored in place into a ${self.dtype} tensor`)
}

/** @internal A fresh output on `device`. */
export const output = (device: Device, shape: readonly number[], dtype: DType): Tensor =>
  emptyTensor(device, shape, dtype)
