// The product that all operations on matrices go through, with its gradient. Not public.
import {
  broadcastShapes,
  broadcastStrides,
  DTypeError,
  kernels,
  shapeText,
  ShapeError,
  sizeOf,
  type View,
} from "@rondo/backend"
import { apply, commonDevice, execute, type OpInfo, output } from "../apply.js"
import type { Rule } from "../graph.js"
import type { Tensor } from "../tensor.js"

/** Throws unless all operands are of one dtype, and products are defined for it. */
export function checkDTypes(name: string, ...operands: Tensor[]): void {
  commonDevice(name, operands)
  const [a] = operands
  for (const x of operands)
    if (x.dtype !== a.dtype)
      throw new DTypeError(`${name}: dtypes differ: ${a.dtype} and ${x.dtype}; convert one with .to(dtype)`)
  if (a.dtype === "bool") throw new DTypeError(`${name}: is not defined for bool; convert with .to("float32")`)
}

/** A view of another shape, by broadcasting. */
export const stretchedView = (x: View, shape: readonly number[]): View => ({
  storage: x.storage,
  dtype: x.dtype,
  shape,
  strides: broadcastStrides(x.shape, x.strides, shape),
  offset: x.offset,
})

function swapped(list: readonly number[]): number[] {
  const out = [...list]
  const last = out.length - 1
  ;[out[last - 1], out[last]] = [out[last], out[last - 1]]
  return out
}

/** The transposes of matrices, for a kernel to read. */
export const turned = ({ storage, dtype, shape, strides, offset }: View): View => {
  return { storage, dtype, shape: swapped(shape), strides: swapped(strides), offset }
}

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
const productRule =
  (name: string, turnA: boolean, turnB: boolean): Rule =>
  ([g], s) => {
    if (!g) return []
    return [
      s.needs[0] ? (turnA ? product(name, s.y, g, turnB, true) : product(name, g, s.y, false, !turnB)) : null,
      s.needs[1] ? (turnB ? product(name, g, s.x, true, turnA) : product(name, s.x, g, !turnA, false)) : null,
    ]
  }

const productInfos = new Map<string, readonly OpInfo[]>()

function productInfo(name: string, turnA: boolean, turnB: boolean): OpInfo {
  let infos = productInfos.get(name)
  if (!infos) {
    infos = [0, 1, 2, 3].map((turns) => {
      const vjp = productRule(name, (turns & 1) > 0, (turns & 2) > 0)
      return { name, keep: ["x", "y"], keepFor: [["y"], ["x"]], vjp }
    })
    productInfos.set(name, infos)
  }
  return infos[Number(turnA) + 2 * Number(turnB)]
}

/** [..., M, K] x [..., K, N], batch dims broadcast; a or b may be taken as transposes of what they are. */
export function product(name: string, a: Tensor, b: Tensor, turnA = false, turnB = false): Tensor {
  const [viewA, viewB] = [turnA ? turned(a) : a, turnB ? turned(b) : b]
  const rank = a.shape.length
  const [m, k] = [viewA.shape[rank - 2], viewA.shape[rank - 1]]
  const [k2, n] = [viewB.shape[b.shape.length - 2], viewB.shape[b.shape.length - 1]]
  if (k !== k2)
    throw new ShapeError(`${name}: inner dimensions differ: ${shapeText(viewA.shape)} x ${shapeText(viewB.shape)}`)
  const plain = rank === 2 && b.shape.length === 2
  const batch = plain ? [] : broadcastShapes(name, a.shape.slice(0, -2), b.shape.slice(0, -2))
  const [out] = apply(productInfo(name, turnA, turnB), [a, b], (device) => {
    const result = output(device, plain ? [m, n] : [...batch, m, n], a.dtype)
    if (sizeOf(result.shape) === 0) return [result]
    if (k === 0) execute(kernels.fill(result.dtype), [], [result], [0])
    else if (plain) execute(kernels.matmul, [viewA, viewB], [result])
    else execute(kernels.matmul, [stretchedView(viewA, [...batch, m, k]), stretchedView(viewB, [...batch, k, n])], [result]) // prettier-ignore
    return [result]
  })
  return out
}
