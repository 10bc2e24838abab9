// Attention as functions: scores to weights to a weighted sum. Projections and heads belong to the layers beside this.
import { DTypeError, isFloat, shapeText, ShapeError } from "@rondo/backend"
import { checkOptions, type Generator, ones, type OptionChecks, softmax, type Tensor, where } from "@rondo/core"
import { dropout } from "../dropout.js"
import { needTensor } from "../linear.js"

/** Options of {@link scaledDotProductAttention}. */
export interface ScaledDotProductOptions {
  /** Broadcasts to `[..., L, S]`: bool, true where a query may look; or float, added to the scores. */
  readonly attnMask?: Tensor | null
  /** Probability that a weight is dropped; always applied, so pass 0 after training. Default 0. */
  readonly dropoutP?: number
  /** A query sees no position after its own. Not together with a mask. Default false. */
  readonly isCausal?: boolean
  /** Factor of the scores. Default 1 / sqrt(E). */
  readonly scale?: number
  /** Default: the process-wide generator. */
  readonly generator?: Generator
}

const productChecks: OptionChecks<ScaledDotProductOptions> = {
  attnMask: "tensor|null",
  dropoutP: "probability",
  isCausal: "flag",
  scale: "real",
  generator: "generator",
}

/** Minus infinity where `hidden` (bool) is true, else 0, in the dtype of `like`. */
export const hidingBias = (hidden: Tensor, like: Tensor): Tensor => where(hidden, -Infinity, 0).to(like.dtype)

/**
 * `softmax(query key^T * scale + mask) value`, as `torch.nn.functional.scaled_dot_product_attention` of PyTorch 2. A query
 * that may look nowhere gives NaN.
 *
 * Throws a ShapeError if shapes do not fit or a mask comes with `isCausal`.
 *
 * @param query - `[..., L, E]`
 * @param key - `[..., S, E]`
 * @param value - `[..., S, V]`
 * @returns `[..., L, V]`
 * @example
 * ```ts
 * const [q, k, v] = [randn(2, 4, 8), randn(2, 6, 8), randn(2, 6, 3)]
 * const y = scaledDotProductAttention(q, k, v) // [2, 4, 3]
 * ```
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options?: ScaledDotProductOptions,
): Tensor {
  const name = "scaledDotProductAttention"
  const {
    attnMask = null,
    dropoutP = 0,
    isCausal = false,
    scale,
    generator,
  } = checkOptions(name, productChecks, options)
  for (const operand of [query, key, value]) needTensor(name, operand)
  if (Math.min(query.ndim, key.ndim, value.ndim) < 2 || query.shape.at(-1) !== key.shape.at(-1) || key.shape.at(-2) !== value.shape.at(-2)) {
    throw new ShapeError(`${name}: got query ${shapeText(query.shape)}, key ${shapeText(key.shape)} and value ${shapeText(value.shape)}, expected [..., L, E], [..., S, E] and [..., S, V]`)
  } // prettier-ignore
  if (isCausal && attnMask) throw new ShapeError(`${name}: attnMask and isCausal exclude each other; put the triangle into the mask`) // prettier-ignore
  const scores = query.mul(scale ?? 1 / Math.sqrt(query.shape.at(-1) as number)).matmul(key.transpose(-1, -2))
  const [rows, columns] = scores.shape.slice(-2)
  const seen = isCausal ? ones(rows, columns, { device: query.device, dtype: "bool" }).tril() : attnMask
  const bias = seen && (seen.dtype === "bool" ? hidingBias(seen.logicalNot(), query) : seen)
  const weights = softmax(bias ? scores.add(bias) : scores, -1)
  return dropout(weights, dropoutP, { generator }).matmul(value)
}

/** A mask of a layer in the dtype of `like`, to be added: bool means hidden where true. Throws a DTypeError for integers. */
export function maskBias(name: string, mask: Tensor, like: Tensor): Tensor {
  if (mask.dtype === "bool") return hidingBias(mask, like)
  if (isFloat(mask.dtype)) return mask.to(like.dtype)
  throw new DTypeError(`${name}: a mask must be bool or float: got ${mask.dtype}; make it with .bool()`)
}
