// Writing whole tensors or masked places: copy_, fill_, zero_ and maskedFill, with the gradients of what they
// overwrite.
import {
  broadcastShapes,
  computeDType,
  type DType,
  DTypeError,
  e,
  type Expr,
  kernels,
  type MapKernel,
  shapeText,
  ShapeError,
  sizeOf,
  type View,
} from "@rondo/backend"
import { apply, applyInPlace, commonDevice, execute, type OpInfo, output } from "../apply.js"
import { separate, stretched } from "../place.js"
import type { Rule } from "../graph.js"
import { checkHeld } from "../held.js"
import { op } from "../op.js"
import { mask, t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { toDType } from "./conversion.js"
import { logicalNot } from "./logic.js"
import { fullOf } from "./lookup.js"
import { zerosOf } from "./movement.js"

/** Throws a ShapeError unless `shape` broadcasts to that of `x` as it is. */
function checkFits(name: string, x: Tensor, shape: readonly number[]): void {
  const common = broadcastShapes(name, x.shape, shape)
  if (common.length === x.ndim && common.every((size, d) => size === x.shape[d])) return
  throw new ShapeError(`${name}: ${shapeText(shape)} does not broadcast to the tensor of shape ${shapeText(x.shape)}`)
}

// What was there before is lost: its gradient is zeros, not nothing.
const overwritten: Rule = ([g], s) => [g && s.needs[0] ? zerosOf(g, g.shape) : null, g]

export const copy_ = op(
  {
    family: "indexing",
    name: "copy_",
    takes: { x: "tensor", source: "tensor" },
    doc: "Overwrites the tensor with `source`, broadcast and converted to its dtype.",
    samples: [
      [t(2, 3), t(2, 3)],
      [t(2, 3), t(3)],
      [t(2, 3), t(2, 1)],
      [t(), t()],
      [t(0, 3), t(3)],
    ],
    differentiable: true,
    inPlace: true,
  },
  (x: Tensor, source: Tensor): Tensor => {
    commonDevice("copy_", [x, source])
    checkFits("copy_", x, source.shape)
    const write = () => {
      if (sizeOf(x.shape) > 0)
        execute(kernels.copy(source.dtype, x.dtype), separate(x, [stretched(source, x.shape)]), [x])
    }
    return applyInPlace({ name: "copy", keep: [], vjp: overwritten }, x, [x, source], write)
  },
)

export const fill_ = op(
  {
    family: "indexing",
    name: "fill_",
    takes: { x: "tensor", value: "operand" },
    doc: "Overwrites the tensor with `value`, a number or a tensor without dims.",
    samples: [
      [t(2, 3), 1.5],
      [t(2, 3), t()],
      [t(0), 1],
      [t(), -1],
    ],
    differentiable: true,
    inPlace: true,
  },
  (x: Tensor, value: Tensor | number | boolean): Tensor => {
    if (typeof value === "object") {
      checkNoDims("fill_", value)
      return copy_(x, value)
    }
    checkHeld("fill_", Number(value), x.dtype)
    const write = () => {
      if (sizeOf(x.shape) > 0) execute(kernels.fill(x.dtype), [], [x], [Number(value)])
    }
    return applyInPlace({ name: "fill", keep: [], vjp: overwritten }, x, [x], write)
  },
)

export const zero_ = op(
  {
    family: "indexing",
    name: "zero_",
    takes: { x: "tensor" },
    doc: "Overwrites the tensor with zeros.",
    samples: [[t(2, 3)], [t(0)]],
    differentiable: true,
    inPlace: true,
  },
  (x: Tensor): Tensor => fill_(x, 0),
)

function checkNoDims(name: string, value: Tensor): void {
  if (value.ndim > 0)
    throw new ShapeError(`${name}: the value must be a number or have no dims: got ${shapeText(value.shape)}`)
}

// ---- masked places

const choices = new Map<DType, MapKernel>()

/** Second input where the first (bool) is true, else the third; all of one dtype. */
function choice(dtype: DType): MapKernel {
  let kernel = choices.get(dtype)
  if (!kernel) {
    const wide = (i: number): Expr => e.cast(e.input(i, dtype), computeDType(dtype))
    kernel = { kind: "map", exprs: [e.cast(e.where(e.input(0, "bool"), wide(1), wide(2)), dtype)] }
    choices.set(dtype, kernel)
  }
  return kernel
}

const maskedRule: Rule = ([g], s) => {
  if (!g) return []
  return [s.needs[0] ? maskedFill(g, s.y, 0) : null, null, s.needs[2] ? maskedFill(g, logicalNot(s.y), 0) : null]
}
const maskedInfo: OpInfo = { name: "maskedFill", keep: ["y"], vjp: maskedRule }

function readMasked(name: string, x: Tensor, where: Tensor, value: Tensor | number | boolean): Tensor {
  commonDevice(name, typeof value === "object" ? [x, where, value] : [x, where])
  if (where.dtype !== "bool") throw new DTypeError(`${name}: the mask must be bool: got ${where.dtype}`)
  if (typeof value === "object") return toDType(value, x.dtype)
  checkHeld(name, Number(value), x.dtype)
  return fullOf(x, value)
}

/** @internal Puts `value` of any shape that broadcasts where the mask is true; in place. */
export function maskedPut_(name: string, x: Tensor, where: Tensor, value: Tensor | number | boolean): Tensor {
  const filling = readMasked(name, x, where, value)
  checkFits(name, x, where.shape)
  checkFits(name, x, filling.shape)
  const write = () => {
    const inputs: View[] = [where, filling, x].map((input) => stretched(input, x.shape))
    if (sizeOf(x.shape) > 0) execute(choice(x.dtype), separate(x, inputs), [x])
  }
  return applyInPlace(maskedInfo, x, [x, where, filling], write)
}

const maskedDoc =
  "`value`, a number or a tensor without dims, where the bool `mask` is true; else x. The mask broadcasts."
const maskedSamples = [
  [t(2, 3), mask(2, 3), 1.5],
  [t(2, 3), mask(3), t()],
  [t(2, 3), mask(2, 1), -7],
  [t(), mask(), 2],
  [t(0, 3), mask(3), 2],
]

export const maskedFill = op(
  {
    family: "indexing",
    name: "maskedFill",
    takes: { x: "tensor", mask: "tensor", value: "operand" },
    doc: maskedDoc,
    samples: [...maskedSamples, [t(3), mask(2, 3), 1]],
    differentiable: true,
  },
  (x: Tensor, mask: Tensor, value: Tensor | number | boolean): Tensor => {
    const filling = readMasked("maskedFill", x, mask, value)
    checkNoDims("maskedFill", filling)
    const shape = broadcastShapes("maskedFill", x.shape, mask.shape)
    const [out] = apply(maskedInfo, [x, mask, filling], (device) => {
      const result = output(device, shape, x.dtype)
      const inputs = [mask, filling, x].map((input) => stretched(input, shape))
      if (sizeOf(shape) > 0) execute(choice(x.dtype), inputs, [result])
      return [result]
    })
    return out
  },
)

export const maskedFill_ = op(
  {
    family: "indexing",
    name: "maskedFill_",
    takes: { x: "tensor", mask: "tensor", value: "operand" },
    doc: maskedDoc,
    samples: maskedSamples,
    differentiable: true,
    inPlace: true,
  },
  (x: Tensor, mask: Tensor, value: Tensor | number | boolean): Tensor => {
    if (typeof value === "object") checkNoDims("maskedFill_", value)
    return maskedPut_("maskedFill_", x, mask, value)
  },
)
