// Attention of a decoder over an encoder's states: additive (Bahdanau et al. 2015) and by products (Luong et al. 2015).
import { shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks, softmax, type Tensor, where } from "@rondo/core"
import { checkSize, Linear, needTensor } from "../linear.js"
import { Module } from "../module.js"
import { factoryChecks, type FactoryOptions } from "../parameter.js"

/** Options of a decoder's attention. */
export interface DecoderAttentionCall {
  /** `[B, S]`, bool: true where a state is padding and is not looked at. A row of nothing but padding gives NaN. */
  readonly mask?: Tensor | null
  /** What is summed by the weights, `[B, S, V]`. Default: the keys. */
  readonly values?: Tensor | null
}

const callChecks: OptionChecks<DecoderAttentionCall> = { mask: "tensor|null", values: "tensor|null" }

/** Scores to weights and their sum; what the two kinds share. */
abstract class DecoderAttention extends Module {
  /** `[B, L, Q]` and `[B, S, K]` to `[B, L, S]`. */
  protected abstract scores(query: Tensor, keys: Tensor): Tensor
  protected abstract readonly widths: readonly [number, number]

  /**
   * @param query - The decoder's state `[B, Q]`, or several `[B, L, Q]`.
   * @param keys - The encoder's states `[B, S, K]`.
   * @returns The context `[B, V]` (or `[B, L, V]`) and the weights `[B, S]` (or `[B, L, S]`).
   */
  forward(query: Tensor, keys: Tensor, options?: DecoderAttentionCall): [Tensor, Tensor] {
    const name = this.constructor.name
    const { mask = null, values = null } = checkOptions(name, callChecks, options)
    for (const operand of [query, keys]) needTensor(name, operand)
    const [queryDim, keyDim] = this.widths
    const several = query.ndim === 3 ? query : query.unsqueeze(-2)
    if (several.ndim !== 3 || keys.ndim !== 3 || several.shape[0] !== keys.shape[0] || several.shape[2] !== queryDim || keys.shape[2] !== keyDim) {
      throw new ShapeError(`${name}: got query ${shapeText(query.shape)} and keys ${shapeText(keys.shape)}, expected [B, ${queryDim}] or [B, L, ${queryDim}] and [B, S, ${keyDim}]`)
    } // prettier-ignore
    const [batch, steps] = keys.shape
    for (const [what, x, rank] of [["mask", mask, 2], ["values", values, 3]] as const) {
      if (x && (x.ndim !== rank || x.shape[0] !== batch || x.shape[1] !== steps)) {
        throw new ShapeError(`${name}: got ${what} ${shapeText(x.shape)}, expected [${batch}, ${steps}${rank === 3 ? ", V" : ""}]`)
      }
    } // prettier-ignore
    const scores = this.scores(several, keys)
    const weights = softmax(mask ? where(mask.bool().unsqueeze(1), -Infinity, scores) : scores, -1)
    const context = weights.matmul(values ?? keys)
    return query.ndim === 3 ? [context, weights] : [context.squeeze(1), weights.squeeze(1)]
  }
}

/**
 * Additive attention: the score of a state is `v · tanh(W query + U key)` (Bahdanau, Cho and Bengio 2015, appendix A.1.2).
 *
 * Throws a ValueError for sizes out of range; `forward` a ShapeError if shapes do not fit.
 *
 * @example
 * ```ts
 * const attention = new AdditiveAttention(8, 6, 16)
 * const [context, weights] = attention.forward(randn(2, 8), randn(2, 5, 6)) // [2, 6] and [2, 5]
 * ```
 */
export class AdditiveAttention extends DecoderAttention {
  readonly queryDim: number
  readonly keyDim: number
  readonly attentionDim: number
  /** W, with the offset. */
  query_proj: Linear
  /** U */
  key_proj: Linear
  /** v */
  score_proj: Linear

  constructor(queryDim: number, keyDim: number, attentionDim: number, options?: FactoryOptions) {
    super()
    const factory = checkOptions("AdditiveAttention", factoryChecks, options)
    checkSize("AdditiveAttention", "attentionDim", attentionDim, 1)
    this.queryDim = queryDim
    this.keyDim = keyDim
    this.attentionDim = attentionDim
    this.query_proj = new Linear(queryDim, attentionDim, factory)
    this.key_proj = new Linear(keyDim, attentionDim, { ...factory, bias: false })
    this.score_proj = new Linear(attentionDim, 1, { ...factory, bias: false })
  }
  protected get widths(): readonly [number, number] {
    return [this.queryDim, this.keyDim]
  }
  protected scores(query: Tensor, keys: Tensor): Tensor {
    const [asked, offered] = [this.query_proj.forward(query), this.key_proj.forward(keys)]
    return this.score_proj.forward(asked.unsqueeze(2).add(offered.unsqueeze(1)).tanh()).squeeze(-1)
  }
  protected override extraRepr(): string {
    return `${this.queryDim}, ${this.keyDim}, ${this.attentionDim}`
  }
}

/** How {@link DotProductAttention} scores. */
export type DotProductScore = "dot" | "scaled" | "general"

/** Options of {@link DotProductAttention}. */
export interface DotProductOptions extends FactoryOptions {
  /** `query · key`, the same over sqrt(dim), or `query · W key` with a learned W. Default dot. */
  readonly score?: DotProductScore
}

const productChecks: OptionChecks<DotProductOptions> = { score: ["dot", "scaled", "general"], ...factoryChecks }

/**
 * Attention by products (Luong, Pham and Manning 2015, section 3.1): no parameters, unless `score` is `"general"`.
 *
 * Throws a ValueError for an unknown score, or widths that differ where there is no W between them; `forward` a ShapeError
 * if shapes do not fit.
 *
 * @example
 * ```ts
 * const attention = new DotProductAttention(8, 6, { score: "general" })
 * const [context, weights] = attention.forward(randn(2, 8), randn(2, 5, 6)) // [2, 6] and [2, 5]
 * ```
 */
export class DotProductAttention extends DecoderAttention {
  readonly queryDim: number
  readonly keyDim: number
  readonly score: DotProductScore
  /** W of the general score: from keys to queries. */
  key_proj: Linear | null

  constructor(queryDim: number, keyDim = queryDim, options?: DotProductOptions) {
    super()
    const { score = "dot", ...factory } = checkOptions("DotProductAttention", productChecks, options)
    checkSize("DotProductAttention", "queryDim", queryDim, 1)
    checkSize("DotProductAttention", "keyDim", keyDim, 1)
    if (score !== "general" && queryDim !== keyDim) {
      throw new ValueError(`DotProductAttention: score "${score}" needs equal widths: got ${queryDim} and ${keyDim}; use "general"`) // prettier-ignore
    }
    this.queryDim = queryDim
    this.keyDim = keyDim
    this.score = score
    this.key_proj = score === "general" ? new Linear(keyDim, queryDim, { ...factory, bias: false }) : null
  }
  protected get widths(): readonly [number, number] {
    return [this.queryDim, this.keyDim]
  }
  protected scores(query: Tensor, keys: Tensor): Tensor {
    const offered = this.key_proj ? this.key_proj.forward(keys) : keys
    const asked = this.score === "scaled" ? query.mul(1 / Math.sqrt(this.queryDim)) : query
    return asked.matmul(offered.transpose(1, 2))
  }
  protected override extraRepr(): string {
    return `${this.queryDim}, ${this.keyDim}, score=${this.score}`
  }
}
