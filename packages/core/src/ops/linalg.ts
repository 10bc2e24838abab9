// Matrix products of every rank, and the products with a bias that layers are made of.
import {
  broadcastShapes,
  broadcastStrides,
  DTypeError,
  isFloat,
  kernels,
  shapeText,
  ShapeError,
  sizeOf,
  type View,
} from "@rondo/backend"
import { apply, commonDevice, execute, type OpInfo, output } from "../apply.js"
import type { Rule } from "../graph.js"
import { op } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { add, mul } from "./arithmetic.js"
import { reshape, unsqueeze } from "./movement.js"
import { sum } from "./reduce.js"

function checkDTypes(name: string, ...operands: Tensor[]): void {
  commonDevice(name, operands)
  const [a] = operands
  for (const x of operands)
    if (x.dtype !== a.dtype)
      throw new DTypeError(`${name}: dtypes differ: ${a.dtype} and ${x.dtype}; convert one with .to(dtype)`)
  if (a.dtype === "bool") throw new DTypeError(`${name}: is not defined for bool; convert with .to("float32")`)
}

const stretchedView = (x: View, shape: readonly number[]): View => ({
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
const turned = ({ storage, dtype, shape, strides, offset }: View): View => {
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
function product(name: string, a: Tensor, b: Tensor, turnA = false, turnB = false): Tensor {
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

export const matmul = op(
  {
    family: "linalg",
    name: "matmul",
    takes: { a: "tensor", b: "tensor" },
    doc: "Product of vectors, matrices or batches of matrices, by `torch.matmul`'s rules.",
    samples: [
      [t(2, 3), t(3, 4)],
      [t(3), t(3)],
      [t(2, 3), t(3)],
      [t(3), t(3, 2)],
      [t(2, 2, 3), t(3, 4)],
      [t(2, 1, 2, 3), t(4, 3, 2)],
      [t(3), t(2, 3, 2)],
      [t(2, 3, 2), t(2)],
      [t(0, 3), t(3, 2)],
      [t(2, 0), t(0, 3)],
    ],
    differentiable: true,
  },
  (a: Tensor, b: Tensor): Tensor => {
    checkDTypes("matmul", a, b)
    if (a.ndim === 0 || b.ndim === 0)
      throw new ShapeError(`matmul: needs at least 1 dim: ${shapeText(a.shape)} x ${shapeText(b.shape)}`)
    if (a.ndim === 1 && b.ndim === 1) return dot(a, b)
    if (a.ndim === 1) return matmul(unsqueeze(a, 0), b).squeeze(-2)
    if (b.ndim === 1) return matmul(a, unsqueeze(b, 1)).squeeze(-1)
    if (a.ndim > 2 && b.ndim === 2 && a.shape[a.ndim - 1] === b.shape[0] && sizeOf(a.shape) > 0) {
      // One tall product: the gradient of b is then one product too, not a sum over a batch of them.
      return reshape(product("matmul", reshape(a, -1, b.shape[0]), b), [...a.shape.slice(0, -1), b.shape[1]])
    }
    return product("matmul", a, b)
  },
)

function ranked(name: "mm" | "bmm" | "mv", ranks: readonly [number, number]) {
  return (a: Tensor, b: Tensor): Tensor => {
    checkDTypes(name, a, b)
    if (a.ndim !== ranks[0] || b.ndim !== ranks[1]) {
      throw new ShapeError(
        `${name}: needs ${ranks[0]} and ${ranks[1]} dims: got ${shapeText(a.shape)} x ${shapeText(b.shape)}`,
      )
    }
    if (name === "bmm" && a.shape[0] !== b.shape[0]) {
      throw new ShapeError(`bmm: batch sizes differ: ${shapeText(a.shape)} x ${shapeText(b.shape)}`)
    }
    return name === "mv" ? product(name, a, unsqueeze(b, 1)).squeeze(-1) : product(name, a, b)
  }
}

export const mm = op({ family: "linalg", name: "mm", takes: { a: "tensor", b: "tensor" }, doc: "Product of two matrices.", samples: [[t(2, 3), t(3, 4)]], differentiable: true }, ranked("mm", [2, 2])) // prettier-ignore
export const bmm = op({ family: "linalg", name: "bmm", takes: { a: "tensor", b: "tensor" }, doc: "Products of two equally long batches of matrices.", samples: [[t(2, 2, 3), t(2, 3, 4)]], differentiable: true }, ranked("bmm", [3, 3])) // prettier-ignore
export const mv = op({ family: "linalg", name: "mv", takes: { a: "tensor", b: "tensor" }, doc: "Matrix times vector.", samples: [[t(2, 3), t(3)]], differentiable: true }, ranked("mv", [2, 1])) // prettier-ignore

export const dot = op(
  {
    family: "linalg",
    name: "dot",
    takes: { a: "tensor", b: "tensor" },
    doc: "Sum of products of two vectors.",
    samples: [
      [t(3), t(3)],
      [t(0), t(0)],
    ],
    differentiable: true,
  },
  (a: Tensor, b: Tensor): Tensor => {
    checkDTypes("dot", a, b)
    if (a.ndim !== 1 || b.ndim !== 1 || a.shape[0] !== b.shape[0]) {
      throw new ShapeError(`dot: needs two vectors of one length: got ${shapeText(a.shape)} and ${shapeText(b.shape)}`)
    }
    return reshape(product("dot", unsqueeze(a, 0), unsqueeze(b, 1)), [])
  },
)

export const outer = op(
  {
    family: "linalg",
    name: "outer",
    takes: { a: "tensor", b: "tensor" },
    doc: "All products of two vectors' elements.",
    samples: [[t(2), t(3)]],
    differentiable: true,
  },
  (a: Tensor, b: Tensor): Tensor => {
    if (a.ndim !== 1 || b.ndim !== 1)
      throw new ShapeError(`outer: needs two vectors: got ${shapeText(a.shape)} and ${shapeText(b.shape)}`)
    return mul(unsqueeze(a, 1), unsqueeze(b, 0))
  },
)

/** Factors of {@link addmm} and its kin; both 1 by default. */
export interface ScaledSum {
  readonly beta?: number
  readonly alpha?: number
}

function scaledSum(name: "addmm" | "baddbmm" | "addmv", multiply: (a: Tensor, b: Tensor) => Tensor) {
  return (input: Tensor, a: Tensor, b: Tensor, { beta = 1, alpha = 1 }: ScaledSum = {}): Tensor => {
    checkDTypes(name, input, a, b)
    const product = multiply(a, b)
    const scaled = alpha === 1 ? product : mul(product, alpha)
    // At beta 0 PyTorch does not look at the input: its NaN does not spread.
    if (beta === 0) return scaled
    const result = add(beta === 1 ? input : mul(input, beta), scaled)
    if (result.ndim !== scaled.ndim || sizeOf(result.shape) !== sizeOf(scaled.shape)) {
      throw new ShapeError(`${name}: ${shapeText(input.shape)} does not broadcast to ${shapeText(scaled.shape)}`)
    }
    return result
  }
}

export const addmm = op({ family: "linalg", name: "addmm", takes: { input: "tensor", a: "tensor", b: "tensor", options: { beta: "number", alpha: "number" } }, doc: "beta input + alpha a @ b.", samples: [[t(4), t(2, 3), t(3, 4)], [t(2, 4), t(2, 3), t(3, 4), { beta: 0.5, alpha: 2 }]], differentiable: true }, scaledSum("addmm", mm)) // prettier-ignore
export const baddbmm = op({ family: "linalg", name: "baddbmm", takes: { input: "tensor", a: "tensor", b: "tensor", options: { beta: "number", alpha: "number" } }, doc: "beta input + alpha a @ b for batches.", samples: [[t(2, 2, 4), t(2, 2, 3), t(2, 3, 4)]], differentiable: true }, scaledSum("baddbmm", bmm)) // prettier-ignore
export const addmv = op({ family: "linalg", name: "addmv", takes: { input: "tensor", a: "tensor", b: "tensor", options: { beta: "number", alpha: "number" } }, doc: "beta input + alpha a @ v.", samples: [[t(2), t(2, 3), t(3)]], differentiable: true }, scaledSum("addmv", mv)) // prettier-ignore

/** `x @ weight^T + bias`, in one kernel. x [..., I], weight [O, I], bias [O]. */
export const linear = op(
  {
    family: "linalg",
    name: "linear",
    takes: { x: "tensor", weight: "tensor", bias: "tensor|null?" },
    doc: "x [..., I] times the transpose of weight [O, I], plus bias [O].",
    samples: [
      [t(2, 3), t(4, 3), t(4)],
      [t(2, 5, 3), t(4, 3)],
      [t(3), t(4, 3), t(4)],
      [t(0, 3), t(4, 3), t(4)],
    ],
    differentiable: true,
  },
  (x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor => {
    checkDTypes("linear", x, weight, ...(bias ? [bias] : []))
    const inputs = x.shape[x.ndim - 1]
    if (x.ndim === 0 || weight.ndim !== 2 || weight.shape[1] !== inputs) {
      throw new ShapeError(
        `linear: x ${shapeText(x.shape)} needs a weight [out, ${inputs ?? "in"}], got ${shapeText(weight.shape)}`,
      )
    }
    if (bias && (bias.ndim !== 1 || bias.shape[0] !== weight.shape[0])) {
      throw new ShapeError(`linear: bias must be [${weight.shape[0]}], got ${shapeText(bias.shape)}`)
    }
    if (x.ndim === 2) return linearRows(x, weight, bias)
    const rows = sizeOf(x.shape.slice(0, -1))
    return reshape(linearRows(reshape(x, rows, inputs), weight, bias), [...x.shape.slice(0, -1), weight.shape[0]])
  },
)

function linearRows(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  if (bias && x.shape[1] > 0 && isFloat(x.dtype)) return withBias(x, weight, bias)
  const out = product("linear", x, weight, false, true)
  return bias ? add(out, bias) : out
}

const linearRule: Rule = ([g], s) => {
  if (!g) return []
  return [
    s.needs[0] ? product("linear", g, s.y) : null,
    s.needs[1] ? product("linear", g, s.x, true) : null,
    s.needs[2] ? sum(g, 0) : null,
  ]
}
const linearInfo: OpInfo = { name: "linear", keep: ["x", "y"], keepFor: [["y"], ["x"], []], vjp: linearRule }

function withBias(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const [out] = apply(linearInfo, [x, weight, bias], (device) => {
    const result = output(device, [x.shape[0], weight.shape[0]], x.dtype)
    if (sizeOf(result.shape) === 0) return [result]
    execute(kernels.matmulBias, [x, turned(weight), stretchedView(bias, result.shape)], [result])
    return [result]
  })
  return out
}
