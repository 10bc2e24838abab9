// Matrix products of every rank.
import { shapeText, ShapeError, sizeOf } from "@rondo/backend"
import { op } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { add, mul } from "./arithmetic.js"
import { reshape, unsqueeze } from "./movement.js"
import { checkDTypes, product } from "./product.js"

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
