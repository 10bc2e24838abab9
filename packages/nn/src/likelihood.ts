// Losses that compare distributions: divergence from another one, and likelihoods of counts and of noisy numbers.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import {
  checkOptions,
  clamp,
  klError,
  klLogError,
  noGrad,
  type OptionChecks,
  type Tensor,
  totalOf,
  where,
} from "@rondo/core"
import {
  checkOperands,
  lossChecks,
  type LossOptions,
  reduced,
  reducedRow,
  type Reduction,
  sameShape,
} from "./functional.js"
import { needTensor } from "./linear.js"
import { Loss } from "./loss.js"
import { Module } from "./module.js"

/** Options of {@link klDiv}. */
export interface KLDivOptions {
  /** `batchmean`: the sum over the size of the first dim, which is the divergence itself. Default mean. */
  readonly reduction?: Reduction | "batchmean"
  /** The target holds logarithms too. Default false. */
  readonly logTarget?: boolean
}

const klChecks: OptionChecks<KLDivOptions> = { reduction: ["none", "mean", "sum", "batchmean"], logTarget: "flag" }

/**
 * Kullback and Leibler's divergence `target (log target - x)`, by element; x holds log-probabilities. Shapes broadcast.
 *
 * @example
 * ```ts
 * const loss = klDiv(tensor([[-1, -2]]), tensor([[0.5, 0.5]]), { reduction: "batchmean" }) // 0.8069
 * ```
 */
export function klDiv(x: Tensor, target: Tensor, options?: KLDivOptions): Tensor {
  const { reduction = "mean", logTarget = false } = checkOptions("klDiv", klChecks, options)
  checkOperands("klDiv", x, target)
  const error = logTarget ? klLogError : klError
  if (reduction !== "batchmean") return reducedRow(error, [x, target], reduction)
  const sum = totalOf("sum", error, [x, target])
  return x.ndim === 0 ? sum : sum.div(x.shape[0])
}

/** Options of {@link poissonNllLoss}. */
export interface PoissonNLLOptions extends LossOptions {
  /** x is the logarithm of the rate. Default true. */
  readonly logInput?: boolean
  /** Add Stirling's term, which does not depend on x. Default false. */
  readonly full?: boolean
  /** Keeps the logarithm of the rate from 0, without `logInput`. Default 1e-8. */
  readonly eps?: number
}

const poissonChecks: OptionChecks<PoissonNLLOptions> = { logInput: "flag", full: "flag", eps: "real", ...lossChecks }

/**
 * Negative log-likelihood of counts at Poisson rates: `exp(x) - target x`, or `x - target log(x + eps)` for rates themselves.
 *
 * @example
 * ```ts
 * const loss = poissonNllLoss(tensor([0, 1]), tensor([1, 2])) // 0.8591
 * ```
 */
export function poissonNllLoss(x: Tensor, target: Tensor, options?: PoissonNLLOptions): Tensor {
  const {
    logInput = true,
    full = false,
    eps = 1e-8,
    reduction,
  } = checkOptions("poissonNllLoss", poissonChecks, options)
  checkOperands("poissonNllLoss", x, target)
  const base = logInput ? x.exp().sub(target.mul(x)) : x.sub(target.mul(x.add(eps).log()))
  if (!full) return reduced(base, reduction)
  const stirling = target.mul(target.log()).sub(target).add(target.mul(2 * Math.PI).log().mul(0.5)) // prettier-ignore
  return reduced(base.add(where(target.le(1), 0, stirling)), reduction)
}

/** Options of {@link gaussianNllLoss}. */
export interface GaussianNLLOptions extends LossOptions {
  /** Add log(2 pi) / 2, which depends on nothing. Default false. */
  readonly full?: boolean
  /** Variances count at least as this. Default 1e-6. */
  readonly eps?: number
}

const gaussianChecks: OptionChecks<GaussianNLLOptions> = { full: "flag", eps: "positive", ...lossChecks }

/**
 * Negative log-likelihood of numbers with normal noise: `(log variance + (x - target)^2 / variance) / 2`. The variance has
 * the shape of x, or lacks its last dim, or has size 1 there.
 *
 * Throws a ShapeError for other shapes, and a ValueError for a negative variance (checked where the device reads
 * synchronously) or an eps that is not positive.
 *
 * @example
 * ```ts
 * const loss = gaussianNllLoss(tensor([1, 2]), tensor([1, 4]), tensor([1, 1])) // 1
 * ```
 */
export function gaussianNllLoss(x: Tensor, target: Tensor, variance: Tensor, options?: GaussianNLLOptions): Tensor {
  const { full = false, eps = 1e-6, reduction } = checkOptions("gaussianNllLoss", gaussianChecks, options)
  checkOperands("gaussianNllLoss", x, target)
  needTensor("gaussianNllLoss", variance)
  const spread = fitted(x, variance)
  if (variance.device.backend.readSync && sizeOf(variance.shape) > 0 && variance.detach().lt(0).any().itemSync()) {
    throw new ValueError("gaussianNllLoss: variances must not be negative")
  }
  // The limit takes no gradient away, as in PyTorch.
  const raised = noGrad(() => clamp(spread, { min: eps }).sub(spread))
  const safe = spread.add(raised)
  const losses = safe.log().add(x.sub(target).square().div(safe)).mul(0.5)
  return reduced(full ? losses.add(0.5 * Math.log(2 * Math.PI)) : losses, reduction)
}

function fitted(x: Tensor, variance: Tensor): Tensor {
  const lead = x.shape.slice(0, -1)
  if (sameShape(variance.shape, x.shape)) return variance
  if (x.ndim > 0 && sameShape(variance.shape, lead)) return variance.unsqueeze(-1)
  if (sameShape(variance.shape, [...lead, 1])) return variance
  throw new ShapeError(`gaussianNllLoss: got variance ${shapeText(variance.shape)}, expected ${shapeText(x.shape)} as the input, or with 1 for the last size`) // prettier-ignore
}

// ---- modules

/**
 * {@link klDiv} as a module.
 *
 * @example
 * ```ts
 * const loss = new KLDivLoss({ reduction: "batchmean" }).forward(tensor([[-1, -2]]), tensor([[0.5, 0.5]])) // 0.8069
 * ```
 */
export class KLDivLoss extends Module {
  readonly reduction: Reduction | "batchmean"
  readonly logTarget: boolean
  constructor(options?: KLDivOptions) {
    super()
    const { reduction = "mean", logTarget = false } = checkOptions("KLDivLoss", klChecks, options)
    this.reduction = reduction
    this.logTarget = logTarget
  }
  forward(x: Tensor, target: Tensor): Tensor {
    const { reduction, logTarget } = this
    return klDiv(x, target, { reduction, logTarget })
  }
}

/**
 * {@link poissonNllLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new PoissonNLLLoss().forward(tensor([0, 1]), tensor([1, 2])) // 0.8591
 * ```
 */
export class PoissonNLLLoss extends Loss {
  readonly logInput: boolean
  readonly full: boolean
  readonly eps: number
  constructor(options?: PoissonNLLOptions) {
    const given = checkOptions("PoissonNLLLoss", poissonChecks, options)
    const { logInput = true, full = false, eps = 1e-8, ...shared } = given
    super(shared)
    this.logInput = logInput
    this.full = full
    this.eps = eps
  }
  forward(x: Tensor, target: Tensor): Tensor {
    const { logInput, full, eps, reduction } = this
    return poissonNllLoss(x, target, { logInput, full, eps, reduction })
  }
}

/**
 * {@link gaussianNllLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new GaussianNLLLoss().forward(tensor([1, 2]), tensor([1, 4]), tensor([1, 1])) // 1
 * ```
 */
export class GaussianNLLLoss extends Loss {
  readonly full: boolean
  readonly eps: number
  constructor(options?: GaussianNLLOptions) {
    const { full = false, eps = 1e-6, ...shared } = checkOptions("GaussianNLLLoss", gaussianChecks, options)
    super(shared)
    this.full = full
    this.eps = eps
  }
  forward(x: Tensor, target: Tensor, variance: Tensor): Tensor {
    const { full, eps, reduction } = this
    return gaussianNllLoss(x, target, variance, { full, eps, reduction })
  }
}
