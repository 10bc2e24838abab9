// Attention with several heads, with PyTorch's parameters, options and draws.
import { shapeText, ShapeError, ValueError } from "@rondo/backend"
import { cat, checkOptions, linear, type OptionChecks, softmax, type Tensor, where, zeros } from "@rondo/core"
import { dropout } from "../dropout.js"
import { xavierNormal_, xavierUniform_, zeros_ } from "../init.js"
import { checkSize, Linear, needTensor } from "../linear.js"
import { Module } from "../module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "../parameter.js"
import { maskBias } from "./product.js"

/** Options of {@link MultiheadAttention}. */
export interface MultiheadOptions extends FactoryOptions {
  /** Probability that a weight is dropped while training. Default 0. */
  readonly dropout?: number
  /** Learn offsets of all projections. Default true. */
  readonly bias?: boolean
  /** Learn one more key and value that every query sees. Default false. */
  readonly addBiasKv?: boolean
  /** Let every query also look at a zero. Default false. */
  readonly addZeroAttn?: boolean
  /** Features of the keys. Default embedDim. */
  readonly kdim?: number
  /** Features of the values. Default embedDim. */
  readonly vdim?: number
  /** The batch comes first: `[N, L, E]` in place of `[L, N, E]`. Default false. */
  readonly batchFirst?: boolean
}

const layerChecks: OptionChecks<MultiheadOptions> = {
  dropout: "probability",
  bias: "flag",
  addBiasKv: "flag",
  addZeroAttn: "flag",
  kdim: "count",
  vdim: "count",
  batchFirst: "flag",
  ...factoryChecks,
}

/** Options of {@link MultiheadAttention.forward}. */
export interface AttentionCall {
  /** `[N, S]`, unbatched `[S]`: bool, true where a key is hidden; or float, added to the scores. */
  readonly keyPaddingMask?: Tensor | null
  /** Give the weights too. Default true. */
  readonly needWeights?: boolean
  /** `[L, S]` or `[N * heads, L, S]`: bool, true where hidden; or float, added to the scores. */
  readonly attnMask?: Tensor | null
  /** Weights as the mean over the heads. Default true. */
  readonly averageAttnWeights?: boolean
}

const callChecks: OptionChecks<AttentionCall> = {
  keyPaddingMask: "tensor|null",
  needWeights: "flag",
  attnMask: "tensor|null",
  averageAttnWeights: "flag",
}

/** Sizes of one call. */
interface Sizes {
  readonly heads: number
  readonly width: number
  readonly batch: number
}

/**
 * Attention with `numHeads` heads (Vaswani et al. 2017), as `torch.nn.MultiheadAttention`: state keys `in_proj_weight` (or
 * `q_proj_weight`, `k_proj_weight`, `v_proj_weight` where widths differ), `in_proj_bias`, `bias_k`, `bias_v`,
 * `out_proj.weight`, `out_proj.bias`; the same start values from the same draws.
 *
 * Throws a ValueError for sizes out of range or heads that do not divide embedDim; `forward` a ShapeError, or a DTypeError
 * for masks that are neither bool nor float.
 *
 * @example
 * ```ts
 * const layer = new MultiheadAttention(8, 2, { batchFirst: true })
 * const x = randn(3, 5, 8)
 * const [y, weights] = layer.forward(x, x, x) // [3, 5, 8] and [3, 5, 5]
 * ```
 */
export class MultiheadAttention extends Module {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number
  readonly kdim: number
  readonly vdim: number
  readonly batchFirst: boolean
  readonly addZeroAttn: boolean
  /** Names as PyTorch's keys. `[3 E, E]`: queries, keys, values; null where their widths differ. */
  in_proj_weight: Parameter | null
  q_proj_weight: Parameter | null
  k_proj_weight: Parameter | null
  v_proj_weight: Parameter | null
  /** `[3 E]` */
  in_proj_bias: Parameter | null
  /** `[1, 1, E]` */
  bias_k: Parameter | null
  bias_v: Parameter | null
  out_proj: Linear

  constructor(embedDim: number, numHeads: number, options?: MultiheadOptions) {
    super()
    const given = checkOptions("MultiheadAttention", layerChecks, options)
    const { dropout = 0, bias = true, addBiasKv = false, addZeroAttn = false, batchFirst = false } = given
    const { kdim = embedDim, vdim = embedDim, device, dtype } = given
    for (const [name, value] of Object.entries({ embedDim, numHeads })) {
      checkSize("MultiheadAttention", name, value, 1)
    }
    if (embedDim % numHeads !== 0) {
      throw new ValueError(`MultiheadAttention: the heads must divide embedDim: got ${numHeads} and ${embedDim}`)
    }
    this.embedDim = embedDim
    this.numHeads = numHeads
    this.dropout = dropout
    this.kdim = kdim
    this.vdim = vdim
    this.batchFirst = batchFirst
    this.addZeroAttn = addZeroAttn
    const make = (...shape: number[]): Parameter => emptyParameter(shape, { device, dtype })
    const joined = kdim === embedDim && vdim === embedDim
    this.in_proj_weight = joined ? make(3 * embedDim, embedDim) : null
    this.q_proj_weight = joined ? null : make(embedDim, embedDim)
    this.k_proj_weight = joined ? null : make(embedDim, kdim)
    this.v_proj_weight = joined ? null : make(embedDim, vdim)
    this.in_proj_bias = bias ? make(3 * embedDim) : null
    this.bias_k = addBiasKv ? make(1, 1, embedDim) : null
    this.bias_v = addBiasKv ? make(1, 1, embedDim) : null
    this.out_proj = new Linear(embedDim, embedDim, { bias, device, dtype })
    this.resetParameters()
  }
  /** Draws the start values anew, except those of `out_proj.weight`, as PyTorch does. */
  resetParameters(): void {
    for (const weight of [this.in_proj_weight, this.q_proj_weight, this.k_proj_weight, this.v_proj_weight]) {
      if (weight) xavierUniform_(weight)
    }
    if (this.in_proj_bias) zeros_(this.in_proj_bias)
    if (this.out_proj.bias) zeros_(this.out_proj.bias)
    if (this.bias_k) xavierNormal_(this.bias_k)
    if (this.bias_v) xavierNormal_(this.bias_v)
  }

  /**
   * @param query - `[L, N, E]`, with `batchFirst` `[N, L, E]`, unbatched `[L, E]`.
   * @param key - `[S, N, kdim]`, `[N, S, kdim]` or `[S, kdim]`.
   * @param value - `[S, N, vdim]`, `[N, S, vdim]` or `[S, vdim]`.
   * @returns The result, shaped as the query, and the weights `[N, L, S]` (`[N, heads, L, S]` where not averaged), or null.
   */
  forward(query: Tensor, key: Tensor, value: Tensor, options?: AttentionCall): [Tensor, Tensor | null] {
    const {
      needWeights = true,
      averageAttnWeights = true,
      ...masks
    } = checkOptions("MultiheadAttention", callChecks, options)
    for (const operand of [query, key, value]) needTensor("MultiheadAttention", operand)
    this.#check(query, key, value)
    const unbatched = query.ndim === 2
    const timeFirst = (x: Tensor): Tensor => (unbatched ? x.unsqueeze(1) : this.batchFirst ? x.transpose(0, 1) : x)
    const [q, ...rest] = this.#project([query, key, value].map(timeFirst), key === value && query === key)
    let [k, v] = rest
    const sizes = { heads: this.numHeads, width: this.embedDim / this.numHeads, batch: q.shape[1] }
    let bias = this.#bias(masks, q, k.shape[0], sizes)
    const { bias_k: biasK, bias_v: biasV } = this
    if (biasK && biasV) {
      k = cat([k, biasK.expand(1, sizes.batch, this.embedDim)])
      v = cat([v, biasV.expand(1, sizes.batch, this.embedDim)])
      bias = bias && bias.pad([0, 1])
    }
    const [queries, ...others] = [q, k, v].map((x) => split(x, sizes))
    let [keys, values] = others
    if (this.addZeroAttn) {
      const zero = zeros([sizes.batch * sizes.heads, 1, sizes.width], { device: q.device, dtype: q.dtype })
      ;[keys, values] = [cat([keys, zero], 1), cat([values, zero], 1)]
      bias = bias && bias.pad([0, 1])
    }
    const scores = queries.mul(1 / Math.sqrt(sizes.width)).matmul(keys.transpose(1, 2))
    const weights = dropout(softmax(bias ? scores.add(bias) : scores, -1), this.dropout, { training: this.training })
    const steps = q.shape[0]
    const mixed = weights.matmul(values).transpose(0, 1).reshape(steps, sizes.batch, this.embedDim)
    const out = this.out_proj.forward(mixed)
    const result = unbatched ? out.squeeze(1) : this.batchFirst ? out.transpose(0, 1) : out
    if (!needWeights) return [result, null]
    const each = weights.reshape(sizes.batch, sizes.heads, steps, weights.shape[2])
    const shown = averageAttnWeights ? each.mean(1) : each
    return [result, unbatched ? shown.squeeze(0) : shown]
  }

  #check(query: Tensor, key: Tensor, value: Tensor): void {
    const widths = [this.embedDim, this.kdim, this.vdim]
    const [time, batch] = this.batchFirst ? [1, 0] : [0, 1]
    const fits =
      (query.ndim === 2 || query.ndim === 3) &&
      [query, key, value].every((x, i) => x.ndim === query.ndim && x.shape[x.ndim - 1] === widths[i]) &&
      key.shape[query.ndim === 2 ? 0 : time] === value.shape[query.ndim === 2 ? 0 : time] &&
      (query.ndim === 2 || (query.shape[batch] === key.shape[batch] && key.shape[batch] === value.shape[batch]))
    if (fits) return
    const order = this.batchFirst ? ["N, L", "N, S", "N, S"] : ["L, N", "S, N", "S, N"]
    throw new ShapeError(
      `MultiheadAttention: got query ${shapeText(query.shape)}, key ${shapeText(key.shape)} and value ${shapeText(value.shape)}, expected ${order.map((dims, i) => `[${dims}, ${widths[i]}]`).join(", ")}, or all without N`,
    )
  }

  /** Queries, keys and values, time first: in one product where all three are one tensor. */
  #project([query, key, value]: Tensor[], same: boolean): Tensor[] {
    const { embedDim, in_proj_weight: joined, in_proj_bias: bias } = this
    if (joined && same) return linear(query, joined, bias).chunk(3, -1)
    const part = (x: Tensor, i: number): Tensor => x.narrow(0, i * embedDim, embedDim)
    const own = [this.q_proj_weight, this.k_proj_weight, this.v_proj_weight]
    return [query, key, value].map((x, i) =>
      linear(x, joined ? part(joined, i) : (own[i] as Parameter), bias && part(bias, i)),
    )
  }

  /** What the masks add to the scores: `[L, S]`, `[N * heads, 1, S]` or `[N * heads, L, S]`. */
  #bias(options: AttentionCall, q: Tensor, keys: number, { heads, batch }: Sizes): Tensor | null {
    const { attnMask = null, keyPaddingMask = null } = options
    const steps = q.shape[0]
    let bias: Tensor | null = null
    if (attnMask) {
      const shape = attnMask.ndim === 2 ? [steps, keys] : [batch * heads, steps, keys]
      checkMask("attnMask", attnMask, shape)
      bias = maskBias("MultiheadAttention", attnMask, q)
    }
    if (!keyPaddingMask) return bias
    checkMask("keyPaddingMask", keyPaddingMask, keyPaddingMask.ndim === 1 && batch === 1 ? [keys] : [batch, keys])
    const perHead = (mask: Tensor): Tensor =>
      mask
        .reshape(batch, 1, 1, keys)
        .expand(batch, heads, 1, keys)
        .reshape(batch * heads, 1, keys)
    // where, not a sum: a hidden place hands no gradient to the other mask, not even NaN.
    if (bias && keyPaddingMask.dtype === "bool") return where(perHead(keyPaddingMask), -Infinity, bias)
    const hidden = perHead(maskBias("MultiheadAttention", keyPaddingMask, q))
    return bias ? bias.add(hidden) : hidden
  }
}

function checkMask(name: string, mask: Tensor, shape: readonly number[]): void {
  if (mask.ndim === shape.length && shape.every((size, d) => size === mask.shape[d])) return
  throw new ShapeError(`MultiheadAttention: got ${name} ${shapeText(mask.shape)}, expected ${shapeText(shape)}`)
}

/** `[T, N, E]` as `[N * heads, T, E / heads]`. */
const split = (x: Tensor, { heads, width, batch }: Sizes): Tensor =>
  x.reshape(x.shape[0], batch * heads, width).transpose(0, 1)
