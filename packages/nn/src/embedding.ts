// Vectors for whole numbers: a table of rows that is learned.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { checkOptions, embedding as lookup, noGrad, type OptionChecks, type Tensor, where } from "@rondo/core"
import { normal_ } from "./init.js"
import { checkSize, needTensor } from "./linear.js"
import { Module } from "./module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, Parameter } from "./parameter.js"
import { pythonFloat } from "./printing.js"

/** Options of the function {@link embedding}. */
export interface EmbeddingCall {
  /** The row of this number gets no gradient; negative numbers count from the end. Default: none. */
  readonly paddingIdx?: number | null
  /** Rows that are looked up and longer than this are shortened to it, in place. Default: none. */
  readonly maxNorm?: number | null
  /** Which norm `maxNorm` means. Default 2. */
  readonly normType?: number
  /** Divide the gradient of a row by how often it was asked for. Default false. */
  readonly scaleGradByFreq?: boolean
  /**
   * Give the table's gradient as rows, in `weight.rowGradient` instead of `weight.grad`: a step then costs what the batch
   * costs, not what the table does. For SGD, Adagrad and SparseAdam; not with scaleGradByFreq. Default false.
   */
  readonly sparse?: boolean
}

const embedChecks: OptionChecks<EmbeddingCall> = {
  paddingIdx: "integer|null",
  maxNorm: "rate|null",
  normType: "real",
  scaleGradByFreq: "flag",
  sparse: "flag",
}

/** Options of {@link Embedding}. */
export interface EmbeddingLayerOptions extends EmbeddingCall, FactoryOptions {
  /** Start with these rows [V, E], whose memory the layer then shares, instead of drawing. */
  readonly weight?: Tensor
}

const layerChecks: OptionChecks<EmbeddingLayerOptions> = { ...embedChecks, weight: "tensor", ...factoryChecks }
const pretrainedChecks: OptionChecks<EmbeddingCall & { freeze?: boolean }> = { ...embedChecks, freeze: "flag" }

/** Shortens the rows that `index` names, in place and unrecorded. Rows named twice are written twice, with equal values. */
function renormalise(weight: Tensor, index: Tensor, maxNorm: number, normType: number): void {
  noGrad(() => {
    const flat = index.reshape(-1)
    const rows = weight.indexSelect(0, flat)
    const norm = rows.norm(normType, 1, { keepdim: true })
    // PyTorch's guard against a division by 0 (aten/src/ATen/native/Embedding.cpp).
    const scale = where(norm.gt(maxNorm), norm.add(1e-7).reciprocal().mul(maxNorm), 1)
    weight.scatter_(0, flat.unsqueeze(1).expand(rows.shape), rows.mul(scale))
  })
}

/**
 * Rows of `weight` [V, E] by an int32 or int64 tensor of any shape: [..., E]. As `torch.nn.functional.embedding`.
 *
 * Throws a DTypeError for indices that are no integers, a ValueError for a paddingIdx outside of the table and for `sparse`
 * with `scaleGradByFreq`, an IndexError for a row that does not exist (where the device reads asynchronously: at the next read).
 *
 * @example
 * ```ts
 * const rows = embed(tensor([[0, 2]], { dtype: "int32" }), eye(3)) // [1, 2, 3]
 * ```
 */
export function embed(index: Tensor, weight: Tensor, options?: EmbeddingCall): Tensor {
  const { maxNorm = null, normType = 2, ...rest } = checkOptions("embed", embedChecks, options)
  for (const operand of [index, weight]) needTensor("embed", operand)
  if (maxNorm !== null && sizeOf(index.shape) > 0) renormalise(weight, index, maxNorm, normType)
  const { paddingIdx, scaleGradByFreq, sparse } = rest
  return lookup(weight, index, { paddingIdx, scaleGradByFreq, sparse })
}

/**
 * A table of `numEmbeddings` learned rows of `embeddingDim` numbers; `forward` looks rows up by index. Rows start as
 * standard normal numbers, drawn as `torch.nn.Embedding` draws them; the row `paddingIdx` starts as zeros and stays so.
 * The gradient is one fill and one scatter: it does not walk the table once for every index. With `sparse` it is the used
 * rows alone.
 *
 * Throws a ValueError for sizes that are no whole numbers and for a paddingIdx outside of the table, and for
 * `sparse` with `scaleGradByFreq`.
 *
 * @example
 * ```ts
 * const layer = new Embedding(1000, 16, { paddingIdx: 0 })
 * const y = layer.forward(tensor([[4, 8, 0]], { dtype: "int32" })) // [1, 3, 16]
 * ```
 */
export class Embedding extends Module {
  readonly numEmbeddings: number
  readonly embeddingDim: number
  /** Counted from the front. */
  readonly paddingIdx: number | null
  readonly maxNorm: number | null
  readonly normType: number
  readonly scaleGradByFreq: boolean
  readonly sparse: boolean
  /** `[numEmbeddings, embeddingDim]` */
  weight: Parameter

  constructor(numEmbeddings: number, embeddingDim: number, options?: EmbeddingLayerOptions) {
    super()
    const {
      paddingIdx = null,
      maxNorm = null,
      normType = 2,
      scaleGradByFreq = false,
      sparse = false,
      ...rest
    } = checkOptions("Embedding", layerChecks, options)
    const { weight, ...factory } = rest
    checkSize("Embedding", "numEmbeddings", numEmbeddings)
    checkSize("Embedding", "embeddingDim", embeddingDim)
    if (paddingIdx !== null && !(paddingIdx >= -numEmbeddings && paddingIdx < numEmbeddings)) {
      throw new ValueError(`Embedding: paddingIdx must lie within the ${numEmbeddings} rows: got ${paddingIdx}`)
    }
    this.numEmbeddings = numEmbeddings
    this.embeddingDim = embeddingDim
    this.paddingIdx = paddingIdx !== null && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx
    this.maxNorm = maxNorm
    this.normType = normType
    if (sparse && scaleGradByFreq) throw new ValueError("Embedding: sparse and scaleGradByFreq exclude each other")
    this.scaleGradByFreq = scaleGradByFreq
    this.sparse = sparse
    if (weight && (weight.ndim !== 2 || weight.shape[0] !== numEmbeddings || weight.shape[1] !== embeddingDim)) {
      throw new ShapeError(
        `Embedding: got weight ${shapeText(weight.shape)}, expected [${numEmbeddings}, ${embeddingDim}]`,
      )
    }
    this.weight = weight ? new Parameter(weight) : emptyParameter([numEmbeddings, embeddingDim], factory)
    if (!weight) this.resetParameters()
  }
  /**
   * A layer that starts with given rows [V, E]. Frozen, unless `freeze: false`. Throws a ShapeError for other ranks.
   *
   * @example
   * ```ts
   * const layer = Embedding.fromPretrained(eye(3))
   * ```
   */
  static fromPretrained(rows: Tensor, options?: EmbeddingCall & { readonly freeze?: boolean }): Embedding {
    const { freeze = true, ...rest } = checkOptions("Embedding.fromPretrained", pretrainedChecks, options)
    needTensor("Embedding.fromPretrained", rows)
    if (rows.ndim !== 2) {
      throw new ShapeError(`Embedding.fromPretrained: the table must have 2 dims: got ${shapeText(rows.shape)}`)
    }
    const layer = new Embedding(rows.shape[0], rows.shape[1], { ...rest, weight: rows })
    layer.weight.requiresGrad_(!freeze)
    return layer
  }
  /** Draws the rows anew. */
  resetParameters(): void {
    normal_(this.weight)
    const { paddingIdx } = this
    if (paddingIdx !== null) noGrad(() => this.weight.select(0, paddingIdx).zero_())
  }
  forward(index: Tensor): Tensor {
    const { paddingIdx, maxNorm, normType, scaleGradByFreq, sparse } = this
    return embed(index, this.weight, { paddingIdx, maxNorm, normType, scaleGradByFreq, sparse })
  }
  protected override extraRepr(): string {
    const { paddingIdx, maxNorm, normType, scaleGradByFreq, sparse } = this
    return [
      `${this.numEmbeddings}, ${this.embeddingDim}`,
      ...(paddingIdx === null ? [] : [`padding_idx=${paddingIdx}`]),
      ...(maxNorm === null ? [] : [`max_norm=${pythonFloat(maxNorm)}`]),
      ...(normType === 2 ? [] : [`norm_type=${pythonFloat(normType)}`]),
      ...(scaleGradByFreq ? ["scale_grad_by_freq=True"] : []),
      ...(sparse ? ["sparse=True"] : []),
    ].join(", ")
  }
}
