// Several element-wise steps as one kernel that changes tensors in place: optimiser updates, copies into parameters.
// Nothing is recorded for backward: it is not for the forward pass.
import {
  computeDType,
  type DType,
  dtypes,
  e,
  type Expr,
  type MapKernel,
  shapeText,
  ShapeError,
  sizeOf,
  ValueError,
  type View,
} from "@rondo/backend"
import { argumentReader } from "./arguments.js"
import { checkInPlace, commonDevice, execute } from "./apply.js"
import { sameShape, separate, stretched } from "./place.js"
import type { Tensor } from "./tensor.js"

/**
 * What a fused kernel computes: the current elements of the inputs and the numbers of this run in, the new elements of
 * the outputs out, all in one float dtype. Must be one object for all runs of a kernel: it is the key of what is compiled.
 */
export type FusedExprs = (inputs: readonly Expr[], scalars: readonly Expr[]) => readonly Expr[]

const compiled = new WeakMap<FusedExprs, Map<number | string, MapKernel>>()

function kernelOf(
  exprs: FusedExprs,
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  scalars: number,
): MapKernel {
  let known = compiled.get(exprs)
  if (!known) compiled.set(exprs, (known = new Map()))
  // Four bits a dtype: with more than twelve operands the key would be none.
  let key: number | string = outputs.length
  for (const x of outputs) key = 16 * key + dtypes.indexOf(x.dtype)
  for (const x of inputs) key = 16 * key + dtypes.indexOf(x.dtype)
  if (outputs.length + inputs.length > 12) key = [...outputs, ...inputs].map((x) => x.dtype).join()
  const found = known.get(key)
  if (found) return found
  const compute: DType = computeDType(outputs[0].dtype)
  const values = exprs(
    inputs.map((x, i) => e.cast(e.input(i, x.dtype), compute)),
    Array.from({ length: scalars }, (_, i) => e.scalar(i, compute)),
  )
  const kernel: MapKernel = { kind: "map", exprs: outputs.map((x, i) => e.cast(values[i], x.dtype)) }
  known.set(key, kernel)
  return kernel
}

const readFused = argumentReader("mapInto", {
  name: "text",
  outputs: "tensors",
  inputs: "tensors",
  exprs: "function",
  scalars: "list",
})

/**
 * Overwrites `outputs` with what `exprs` computes from `inputs` and `scalars`, in one kernel. Outputs that are read must be
 * inputs as well. Inputs broadcast to the outputs, which have one shape. Arithmetic is done in the dtype of the first
 * output (float32 for 16-bit floats); new `scalars` compile nothing.
 *
 * Throws a ShapeError if shapes differ, a DeviceError across devices, a GradientError for leaves that require gradients
 * outside of {@link noGrad}.
 *
 * @param name - What errors call the operation.
 * @example
 * ```ts
 * const weight = tensor([1, 2], { requiresGrad: true })
 * weight.square().sum().backward()
 * const decay: FusedExprs = ([x, g], [rate]) => [e.sub(x, e.mul(rate, g))]
 * noGrad(() => mapInto("decay", [weight], [weight, weight.grad!], decay, [0.25]))
 * console.log(await weight.tolist()) // [0.5, 1]
 * ```
 */
export function mapInto(
  name: string,
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  exprs: FusedExprs,
  scalars: readonly number[] = [],
): void {
  readFused([name, outputs, inputs, exprs, scalars])
  if (outputs.length === 0) throw new ValueError(`${name}: needs at least one tensor to change`)
  commonDevice(name, outputs.concat(inputs))
  const [{ shape }] = outputs
  for (const x of outputs) {
    checkInPlace(name, x)
    if (!sameShape(x.shape, shape)) {
      throw new ShapeError(`${name}: shapes of what is changed differ: ${shapeText(shape)} and ${shapeText(x.shape)}`)
    }
  }
  const views: View[] = []
  for (const x of inputs) {
    if (!sameShape(x.shape, shape)) checkStretches(name, x, shape)
    views.push(stretched(x, shape))
  }
  if (sizeOf(shape) === 0) return
  execute(kernelOf(exprs, outputs, inputs, scalars.length), apart(outputs, views), outputs, scalars)
  for (const x of outputs) x.handle.version++
}

function checkStretches(name: string, x: Tensor, shape: readonly number[]): void {
  const lead = shape.length - x.shape.length
  if (lead >= 0 && x.shape.every((size, d) => size === 1 || size === shape[d + lead])) return
  throw new ShapeError(`${name}: ${shapeText(x.shape)} does not fit what is changed: ${shapeText(shape)}`)
}

/** Inputs that no output overlaps in another order. */
function apart(outputs: readonly Tensor[], views: readonly View[]): readonly View[] {
  // Mostly none does, and there is nothing to be done for it.
  for (const self of outputs)
    for (const x of views) if (x !== self && x.storage === self.storage) return outputs.reduce((list, out) => separate(out, list), views) // prettier-ignore
  return views
}
