// Losses that ask for a distance between scores or vectors, as functions and as modules.
import { shapeText, ShapeError } from "@rondo/backend"
import { checkOptions, clamp, logSigmoid, type OptionChecks, type Tensor, where } from "@rondo/core"
import { checkOperands, lossChecks, type LossOptions, reduced, sameShape } from "./functional.js"
import { needTensor } from "./linear.js"
import { Loss } from "./loss.js"

/** Options of losses with a margin. */
export interface MarginOptions extends LossOptions {
  /** How far apart is far enough. Defaults as in PyTorch: 0, of the hinge, triplet and multi-class losses 1. */
  readonly margin?: number
}

const marginChecks: OptionChecks<MarginOptions> = { margin: "real", ...lossChecks }

const positive = (x: Tensor): Tensor => clamp(x, { min: 0 })

/**
 * `max(0, -y (x1 - x2) + margin)`: y = 1 asks for x1 above x2, y = -1 for the reverse. Shapes broadcast.
 *
 * @example
 * ```ts
 * const loss = marginRankingLoss(tensor([1, 2]), tensor([2, 1]), tensor([1, 1])) // 0.5
 * ```
 */
export function marginRankingLoss(x1: Tensor, x2: Tensor, y: Tensor, options?: MarginOptions): Tensor {
  const { margin = 0, reduction } = checkOptions("marginRankingLoss", marginChecks, options)
  for (const operand of [x1, x2, y]) needTensor("marginRankingLoss", operand)
  if (x1.ndim !== x2.ndim || x1.ndim !== y.ndim) {
    throw new ShapeError(
      `marginRankingLoss: got ${shapeText(x1.shape)}, ${shapeText(x2.shape)} and target ${shapeText(y.shape)}, expected equally many dims`,
    )
  }
  checkOperands("marginRankingLoss", x1, x2, y)
  return reduced(positive(y.neg().mul(x1.sub(x2)).add(margin)), reduction)
}

/**
 * `x` where y is 1, `max(0, margin - x)` where y is -1: for distances of pairs that belong together or do not. Margin 1.
 *
 * @example
 * ```ts
 * const loss = hingeEmbeddingLoss(tensor([0.25, 0.25]), tensor([1, -1])) // 0.5
 * ```
 */
export function hingeEmbeddingLoss(x: Tensor, y: Tensor, options?: MarginOptions): Tensor {
  const { margin = 1, reduction } = checkOptions("hingeEmbeddingLoss", marginChecks, options)
  checkOperands("hingeEmbeddingLoss", x, y)
  const apart = where(y.ne(1), positive(x.neg().add(margin)), 0)
  return reduced(where(y.ne(-1), x, 0).add(apart), reduction)
}

/**
 * `log(1 + exp(-y x))` for classes y of 1 and -1, without overflow.
 *
 * @example
 * ```ts
 * const loss = softMarginLoss(tensor([0, 0]), tensor([1, -1])) // 0.6931
 * ```
 */
export function softMarginLoss(x: Tensor, y: Tensor, options?: LossOptions): Tensor {
  const { reduction } = checkOptions("softMarginLoss", lossChecks, options)
  for (const operand of [x, y]) needTensor("softMarginLoss", operand)
  if (!sameShape(x.shape, y.shape)) {
    throw new ShapeError(
      `softMarginLoss: got target ${shapeText(y.shape)}, expected ${shapeText(x.shape)} as the input`,
    )
  }
  return reduced(logSigmoid(x.mul(y)).neg(), reduction)
}

/**
 * 1 - cos of the angle of vectors that belong together (y = 1), `max(0, cos - margin)` of those that do not (y = -1).
 * Throws a ShapeError unless x1 and x2 are `[N, D]` with y `[N]`, or `[D]` with y `[]`.
 *
 * @example
 * ```ts
 * const loss = cosineEmbeddingLoss(tensor([[1, 0]]), tensor([[0, 1]]), tensor([1])) // 1
 * ```
 */
export function cosineEmbeddingLoss(x1: Tensor, x2: Tensor, y: Tensor, options?: MarginOptions): Tensor {
  const { margin = 0, reduction } = checkOptions("cosineEmbeddingLoss", marginChecks, options)
  for (const operand of [x1, x2, y]) needTensor("cosineEmbeddingLoss", operand)
  if (y.ndim > 1 || x1.ndim !== y.ndim + 1 || x2.ndim !== y.ndim + 1) {
    throw new ShapeError(
      `cosineEmbeddingLoss: got ${shapeText(x1.shape)}, ${shapeText(x2.shape)} and target ${shapeText(y.shape)}, expected [N, D], [N, D] and [N], or [D], [D] and []`,
    )
  }
  checkOperands("cosineEmbeddingLoss", x1, x2, y.unsqueeze(-1))
  const dot = (a: Tensor, b: Tensor): Tensor => a.mul(b).sum(-1)
  // PyTorch's guard (aten/src/ATen/native/Loss.cpp).
  const lengths = dot(x1, x1).add(1e-12).mul(dot(x2, x2).add(1e-12)).sqrt()
  const cosine = dot(x1, x2).div(lengths)
  const together = where(y.eq(1), cosine.neg().add(1), 0)
  const apart = where(y.eq(-1), positive(cosine.sub(margin)), 0)
  return reduced(together.add(apart), reduction)
}

/** Options of {@link pairwiseDistance}. */
export interface DistanceOptions {
  /** Which norm the distance is. Default 2. */
  readonly p?: number
  /** Added to differences. Default 1e-6. */
  readonly eps?: number
  /** Keep the last dim, at size 1. Default false. */
  readonly keepdim?: boolean
}

const distanceChecks: OptionChecks<DistanceOptions> = { p: "real", eps: "real", keepdim: "flag" }

/**
 * The p-norm of `x1 - x2 + eps` along the last dim; shapes broadcast.
 *
 * @example
 * ```ts
 * const d = pairwiseDistance(tensor([[0, 0]]), tensor([[3, 4]])) // 5
 * ```
 */
export function pairwiseDistance(x1: Tensor, x2: Tensor, options?: DistanceOptions): Tensor {
  const { p = 2, eps = 1e-6, keepdim = false } = checkOptions("pairwiseDistance", distanceChecks, options)
  checkOperands("pairwiseDistance", x1, x2)
  return x1.sub(x2).add(eps).norm(p, -1, { keepdim })
}

/** Options of {@link tripletMarginLoss}. */
export interface TripletOptions extends MarginOptions {
  /** Which norm the distance is. Default 2. */
  readonly p?: number
  /** Added to differences. Default 1e-6. */
  readonly eps?: number
  /** Take the distance of positive and negative where that is smaller (Balntas et al. 2016). Default false. */
  readonly swap?: boolean
}

const tripletChecks: OptionChecks<TripletOptions> = { p: "real", eps: "real", swap: "flag", ...marginChecks }

/**
 * `max(0, d(anchor, positive) - d(anchor, negative) + margin)` over the last dim; margin 1.
 *
 * @example
 * ```ts
 * const loss = tripletMarginLoss(zeros(1, 2), zeros(1, 2), ones(1, 2)) // 0
 * ```
 */
export function tripletMarginLoss(anchor: Tensor, near: Tensor, far: Tensor, options?: TripletOptions): Tensor {
  const given = checkOptions("tripletMarginLoss", tripletChecks, options)
  const { margin = 1, swap = false, reduction, ...norm } = given
  for (const operand of [anchor, near, far]) needTensor("tripletMarginLoss", operand)
  if (anchor.ndim !== near.ndim || anchor.ndim !== far.ndim) {
    throw new ShapeError(
      `tripletMarginLoss: got ${shapeText(anchor.shape)}, ${shapeText(near.shape)} and ${shapeText(far.shape)}, expected equally many dims`,
    )
  }
  checkOperands("tripletMarginLoss", anchor, near, far)
  const together = pairwiseDistance(anchor, near, norm)
  const apart = pairwiseDistance(anchor, far, norm)
  const least = swap ? apart.minimum(pairwiseDistance(near, far, norm)) : apart
  return reduced(positive(together.sub(least).add(margin)), reduction)
}

/** Options of {@link multiMarginLoss}. */
export interface MultiMarginOptions extends MarginOptions {
  /** 1, or 2 for squares. Default 1. */
  readonly p?: 1 | 2
  /** Weight of each class, `[C]`. */
  readonly weight?: Tensor | null
}

const multiChecks: OptionChecks<MultiMarginOptions> = { p: [1, 2], weight: "tensor|null", ...marginChecks }

/**
 * Mean over the classes i beside y of `max(0, margin - x[y] + x[i])^p`, weighted by class y; margin 1.
 * Throws a ShapeError unless x is `[N, C]` with y `[N]`, or `[C]` with y `[]`; a ValueError for another p.
 *
 * @example
 * ```ts
 * const loss = multiMarginLoss(tensor([[0.1, 0.2, 0.4]]), tensor([2], { dtype: "int32" })) // 0.5
 * ```
 */
export function multiMarginLoss(x: Tensor, y: Tensor, options?: MultiMarginOptions): Tensor {
  const { margin = 1, p = 1, weight = null, reduction } = checkOptions("multiMarginLoss", multiChecks, options)
  for (const operand of [x, y]) needTensor("multiMarginLoss", operand)
  if ((x.ndim !== 1 && x.ndim !== 2) || !sameShape(y.shape, x.shape.slice(0, -1))) {
    throw new ShapeError(`multiMarginLoss: got input ${shapeText(x.shape)} and target ${shapeText(y.shape)}, expected [N, C] and [N], or [C] and []`) // prettier-ignore
  }
  const classes = x.shape[x.ndim - 1]
  if (weight && !sameShape(weight.shape, [classes])) {
    throw new ShapeError(`multiMarginLoss: got weight ${shapeText(weight.shape)}, expected [${classes}] for input ${shapeText(x.shape)}`) // prettier-ignore
  }
  const index = y.unsqueeze(-1)
  const short = x.sub(x.gather(-1, index)).add(margin).relu()
  const powered = p === 1 ? short : short.square()
  const weighted = weight ? powered.mul(weight.indexSelect(0, y.reshape(-1)).reshape(index.shape)) : powered
  // The class itself does not count.
  const losses = weighted.scatter(-1, index, 0).sum(-1).div(classes)
  return reduced(losses, reduction)
}

// ---- modules

abstract class MarginLoss extends Loss {
  readonly margin: number
  constructor(fallback: number, { margin = fallback, ...shared }: MarginOptions) {
    super(shared)
    this.margin = margin
  }
}

/**
 * {@link marginRankingLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new MarginRankingLoss().forward(tensor([1, 2]), tensor([2, 1]), tensor([1, 1])) // 0.5
 * ```
 */
export class MarginRankingLoss extends MarginLoss {
  constructor(options?: MarginOptions) {
    super(0, checkOptions("MarginRankingLoss", marginChecks, options))
  }
  forward(x1: Tensor, x2: Tensor, y: Tensor): Tensor {
    const { margin, reduction } = this
    return marginRankingLoss(x1, x2, y, { margin, reduction })
  }
}

/**
 * {@link hingeEmbeddingLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new HingeEmbeddingLoss().forward(tensor([0.25, 0.25]), tensor([1, -1])) // 0.5
 * ```
 */
export class HingeEmbeddingLoss extends MarginLoss {
  constructor(options?: MarginOptions) {
    super(1, checkOptions("HingeEmbeddingLoss", marginChecks, options))
  }
  forward(x: Tensor, y: Tensor): Tensor {
    const { margin, reduction } = this
    return hingeEmbeddingLoss(x, y, { margin, reduction })
  }
}

/**
 * {@link softMarginLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new SoftMarginLoss().forward(tensor([0, 0]), tensor([1, -1])) // 0.6931
 * ```
 */
export class SoftMarginLoss extends Loss {
  constructor(options?: LossOptions) {
    super(checkOptions("SoftMarginLoss", lossChecks, options))
  }
  forward(x: Tensor, y: Tensor): Tensor {
    return softMarginLoss(x, y, { reduction: this.reduction })
  }
}

/**
 * {@link cosineEmbeddingLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new CosineEmbeddingLoss().forward(tensor([[1, 0]]), tensor([[0, 1]]), tensor([1])) // 1
 * ```
 */
export class CosineEmbeddingLoss extends MarginLoss {
  constructor(options?: MarginOptions) {
    super(0, checkOptions("CosineEmbeddingLoss", marginChecks, options))
  }
  forward(x1: Tensor, x2: Tensor, y: Tensor): Tensor {
    const { margin, reduction } = this
    return cosineEmbeddingLoss(x1, x2, y, { margin, reduction })
  }
}

/**
 * {@link tripletMarginLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new TripletMarginLoss().forward(zeros(1, 2), zeros(1, 2), ones(1, 2)) // 0
 * ```
 */
export class TripletMarginLoss extends MarginLoss {
  readonly p: number
  readonly eps: number
  readonly swap: boolean
  constructor(options?: TripletOptions) {
    const given = checkOptions("TripletMarginLoss", tripletChecks, options)
    const { p = 2, eps = 1e-6, swap = false, ...shared } = given
    super(1, shared)
    this.p = p
    this.eps = eps
    this.swap = swap
  }
  forward(anchor: Tensor, near: Tensor, far: Tensor): Tensor {
    const { p, eps, swap, margin, reduction } = this
    return tripletMarginLoss(anchor, near, far, { p, eps, swap, margin, reduction })
  }
}

/**
 * {@link multiMarginLoss} as a module; the weights are a buffer.
 *
 * @example
 * ```ts
 * const loss = new MultiMarginLoss().forward(tensor([[0.1, 0.2, 0.4]]), tensor([2], { dtype: "int32" })) // 0.5
 * ```
 */
export class MultiMarginLoss extends MarginLoss {
  declare weight: Tensor | null
  readonly p: 1 | 2
  constructor(options?: MultiMarginOptions) {
    const { p = 1, weight = null, ...shared } = checkOptions("MultiMarginLoss", multiChecks, options)
    super(1, shared)
    this.registerBuffer("weight", weight)
    this.p = p
  }
  forward(x: Tensor, y: Tensor): Tensor {
    const { p, weight, margin, reduction } = this
    return multiMarginLoss(x, y, { p, weight, margin, reduction })
  }
}
