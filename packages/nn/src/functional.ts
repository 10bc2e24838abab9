// Losses as functions. Each error of an element is a row of core; here are reductions, weights and what fits together.
import { broadcastShapes, DTypeError, isFloat, shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import {
  absoluteError,
  bceError,
  bceLogitsError,
  type BinaryOp,
  checkOptions,
  classLoss,
  huberError,
  type Input,
  logSoftmax,
  type OptionChecks,
  smoothL1Error,
  squaredError,
  type Tensor,
  type TernaryOp,
  totalOf,
} from "@rondo/core"
import { needTensor } from "./linear.js"
import { warn } from "./warning.js"

/** What becomes of the elements' losses: all of them, their mean, or their sum. */
export type Reduction = "none" | "mean" | "sum"

/** Option of every loss. */
export interface LossOptions {
  /** Default mean. */
  readonly reduction?: Reduction
}

/** What fits them. */
export const lossChecks: OptionChecks<LossOptions> = { reduction: ["none", "mean", "sum"] }

/** The elements' losses as `reduction` says. */
export function reduced(losses: Tensor, reduction: Reduction = "mean"): Tensor {
  return reduction === "none" ? losses : reduction === "mean" ? losses.mean() : losses.sum()
}

/** The same for an element-wise operation, whose elements are written only where they are wanted. */
export function reducedRow(
  op: BinaryOp | TernaryOp,
  operands: readonly Input[],
  reduction: Reduction = "mean",
  params: readonly number[] = [],
): Tensor {
  if (reduction !== "none") return totalOf(reduction, op, operands, params)
  return (op as unknown as (...args: unknown[]) => Tensor)(...operands, ...params)
}

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, d) => size === b[d])

/** Throws a ValueError unless all are tensors, and a ShapeError unless their shapes broadcast. */
export function checkOperands(name: string, ...operands: readonly Tensor[]): void {
  for (const operand of operands) needTensor(name, operand)
  broadcastShapes(name, ...operands.map(({ shape }) => shape))
}

/** The same for a loss, whose target should have the shape of x: else elements meet that were not meant to. */
function checkPair(name: string, x: Tensor, y: Tensor): void {
  checkOperands(name, x, y)
  if (sameShape(x.shape, y.shape)) return
  const shapes = `got target ${shapeText(y.shape)} for input ${shapeText(x.shape)}`
  warn(`${name}: shapes differ and broadcast, which is seldom meant: ${shapes}; reshape one of them`)
}

// ---- distances

/**
 * Squared error `(x - y)^2`. Shapes broadcast, with a warning as in PyTorch ({@link onWarning}): a [N] against a [N, 1] gives [N, N].
 *
 * @example
 * ```ts
 * const loss = mseLoss(tensor([1, 2]), tensor([1, 4]))
 * console.log(await loss.item()) // 2
 * ```
 */
export function mseLoss(x: Tensor, y: Tensor, options?: LossOptions): Tensor {
  const { reduction } = checkOptions("mseLoss", lossChecks, options)
  checkPair("mseLoss", x, y)
  return reducedRow(squaredError, [x, y], reduction)
}

/**
 * Absolute error `|x - y|`; its gradient at 0 is 0. Shapes broadcast, with a warning.
 *
 * @example
 * ```ts
 * const loss = l1Loss(tensor([1, 2]), tensor([1, 4])) // 1
 * ```
 */
export function l1Loss(x: Tensor, y: Tensor, options?: LossOptions): Tensor {
  const { reduction } = checkOptions("l1Loss", lossChecks, options)
  checkPair("l1Loss", x, y)
  return reducedRow(absoluteError, [x, y], reduction)
}

/** Options of {@link smoothL1Loss}. */
export interface SmoothL1Options extends LossOptions {
  /** Where the parabola turns into a line. Default 1; 0 gives {@link l1Loss}. */
  readonly beta?: number
}
export const smoothL1Checks: OptionChecks<SmoothL1Options> = { beta: "rate", ...lossChecks }
/**
 * `(x - y)^2 / (2 beta)` below a distance of beta, `|x - y| - beta / 2` above. Throws a ValueError for a negative beta.
 *
 * @example
 * ```ts
 * const loss = smoothL1Loss(tensor([1, 2]), tensor([1.5, 4])) // 0.8125
 * ```
 */
export function smoothL1Loss(x: Tensor, y: Tensor, options?: SmoothL1Options): Tensor {
  const { beta = 1, reduction } = checkOptions("smoothL1Loss", smoothL1Checks, options)
  checkPair("smoothL1Loss", x, y)
  return beta === 0
    ? reducedRow(absoluteError, [x, y], reduction)
    : reducedRow(smoothL1Error, [x, y], reduction, [beta])
}

/** Options of {@link huberLoss}. */
export interface HuberOptions extends LossOptions {
  /** Where the parabola turns into a line. Default 1. */
  readonly delta?: number
}
export const huberChecks: OptionChecks<HuberOptions> = { delta: "positive", ...lossChecks }
/**
 * `(x - y)^2 / 2` up to a distance of delta, `delta (|x - y| - delta / 2)` above. Throws a ValueError unless delta > 0.
 *
 * @example
 * ```ts
 * const loss = huberLoss(tensor([1, 2]), tensor([1.5, 4])) // 0.8125
 * ```
 */
export function huberLoss(x: Tensor, y: Tensor, options?: HuberOptions): Tensor {
  const { delta = 1, reduction } = checkOptions("huberLoss", huberChecks, options)
  checkPair("huberLoss", x, y)
  return reducedRow(huberError, [x, y], reduction, [delta])
}

// ---- classes

/** Options of {@link nllLoss}. */
export interface NLLOptions extends LossOptions {
  /** Weight of each class, `[C]`. */
  readonly weight?: Tensor | null
  /** Targets of this value count for nothing. Default -100. */
  readonly ignoreIndex?: number
}
/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions extends NLLOptions {
  /** How much of the target is spread evenly over all classes, 0 to 1. Default 0. */
  readonly labelSmoothing?: number
}
export const nllChecks: OptionChecks<NLLOptions> = { weight: "tensor|null", ignoreIndex: "integer", ...lossChecks }
export const crossEntropyChecks: OptionChecks<CrossEntropyOptions> = { ...nllChecks, labelSmoothing: "probability" }

function checkClasses(name: string, x: Tensor, weight: Tensor | null | undefined): number {
  needTensor(name, x)
  if (x.ndim === 0) throw new ShapeError(`${name}: got input [], expected [C], [N, C] or [N, C, ...]`)
  const dim = x.ndim === 1 ? 0 : 1
  if (weight && (weight.ndim !== 1 || weight.shape[0] !== x.shape[dim])) {
    throw new ShapeError(
      `${name}: got weight ${shapeText(weight.shape)}, expected [${x.shape[dim]}] for input ${shapeText(x.shape)}`,
    )
  }
  return dim
}

/** A vector of one number a class, shaped to broadcast along the class dim. */
const along = (weight: Tensor, dim: number, ndim: number): Tensor =>
  weight.reshape(Array.from({ length: ndim }, (_, d) => (d === dim ? weight.shape[0] : 1)))

/** Checks that class indices fit x. */
function checkTargets(name: string, x: Tensor, target: Tensor, dim: number): void {
  const expected = x.shape.filter((_, d) => d !== dim)
  if (!sameShape(target.shape, expected)) {
    throw new ShapeError(
      `${name}: got target ${shapeText(target.shape)}, expected ${shapeText(expected)} for input ${shapeText(x.shape)}`,
    )
  }
  if (isFloat(target.dtype) || target.dtype === "bool" || target.dtype === "uint32") {
    throw new DTypeError(
      `${name}: class targets must be int32, int64 or uint8: got ${target.dtype}; make them with dtype "int32"`,
    )
  }
}

/**
 * Negative log-likelihood of class indices; `mean` divides by the sum of the weights that counted.
 *
 * Throws a ShapeError if shapes do not fit, a DTypeError for targets that are no integers, an IndexError for a class that
 * does not exist (where the device reads asynchronously: at the next read).
 *
 * @param x - Log-probabilities, `[C]`, `[N, C]` or `[N, C, d1, ...]`.
 * @param target - int32 or int64, the shape of x without C.
 * @example
 * ```ts
 * const loss = nllLoss(logSoftmax(zeros(2, 4), 1), tensor([0, 3], { dtype: "int32" })) // 1.3863
 * ```
 */
export function nllLoss(x: Tensor, target: Tensor, options?: NLLOptions): Tensor {
  const given = checkOptions("nllLoss", nllChecks, options)
  for (const operand of [x, target]) needTensor("nllLoss", operand)
  const { weight = null, ignoreIndex = -100, reduction = "mean" } = given
  const dim = checkClasses("nllLoss", x, weight)
  checkTargets("nllLoss", x, target, dim)
  const form = { name: "nllLoss", dim, logits: false, ignoreIndex, labelSmoothing: 0, reduction }
  return classLoss({ x, target, weight }, form)
}

/**
 * Cross-entropy of logits against class indices, or against probabilities of the shape of x (float).
 *
 * Throws as {@link nllLoss} does, and a ValueError for a smoothing outside of 0 to 1 or an ignoreIndex with probabilities.
 *
 * @param x - Logits, `[C]`, `[N, C]` or `[N, C, d1, ...]`.
 * @param target - Class indices (int32 or int64) in the shape of x without C, or probabilities in the shape of x.
 * @example
 * ```ts
 * const loss = crossEntropy(tensor([[2, 0], [0, 1]]), tensor([0, 1], { dtype: "int32" }))
 * console.log((await loss.item()).toFixed(4)) // 0.2201
 * ```
 */
export function crossEntropy(x: Tensor, target: Tensor, options?: CrossEntropyOptions): Tensor {
  const given = checkOptions("crossEntropy", crossEntropyChecks, options)
  for (const operand of [x, target]) needTensor("crossEntropy", operand)
  const { labelSmoothing = 0, reduction = "mean", weight = null, ignoreIndex = -100 } = given
  const dim = checkClasses("crossEntropy", x, weight)
  if (isFloat(target.dtype)) return againstProbabilities(x, target, dim, given)
  checkTargets("crossEntropy", x, target, dim)
  const form = { name: "crossEntropy", dim, logits: true, ignoreIndex, labelSmoothing, reduction }
  return classLoss({ x, target, weight }, form)
}

function againstProbabilities(x: Tensor, target: Tensor, dim: number, options: CrossEntropyOptions): Tensor {
  const { labelSmoothing = 0, reduction = "mean", weight = null, ignoreIndex = -100 } = options
  if (ignoreIndex >= 0) throw new ValueError("crossEntropy: ignoreIndex does not work with probabilities as targets")
  if (!sameShape(x.shape, target.shape)) {
    throw new ShapeError(
      `crossEntropy: got probabilities ${shapeText(target.shape)}, expected ${shapeText(x.shape)}; class indices need an integer dtype`,
    )
  }
  const classes = x.shape[dim]
  const smooth = labelSmoothing > 0 ? target.mul(1 - labelSmoothing).add(labelSmoothing / classes) : target
  const logp = logSoftmax(x, dim)
  const losses = (weight ? logp.mul(along(weight, dim, x.ndim)) : logp).mul(smooth).sum(dim).neg()
  if (reduction === "none") return losses
  return reduction === "sum" ? losses.sum() : losses.sum().div(sizeOf(x.shape) / classes)
}

// ---- two classes

/** Options of {@link binaryCrossEntropy}. */
export interface BCEOptions extends LossOptions {
  /** Weight of each element; broadcasts. */
  readonly weight?: Tensor | null
}
/** Options of {@link binaryCrossEntropyWithLogits}. */
export interface BCELogitsOptions extends BCEOptions {
  /** How often a positive example counts; broadcasts, so that `[C]` gives one number a class. */
  readonly posWeight?: Tensor | null
}
export const bceChecks: OptionChecks<BCEOptions> = { weight: "tensor|null", ...lossChecks }
export const bceLogitsChecks: OptionChecks<BCELogitsOptions> = { ...bceChecks, posWeight: "tensor|null" }

function checkSameShape(name: string, x: Tensor, target: Tensor): void {
  if (sameShape(x.shape, target.shape)) return
  throw new ShapeError(
    `${name}: got target ${shapeText(target.shape)}, expected ${shapeText(x.shape)} as the input; reshape one of them`,
  )
}

/**
 * Cross-entropy of probabilities. Logarithms are kept above -100 and the gradient's divisor above 1e-12, as in PyTorch.
 *
 * Throws a ShapeError if shapes differ, and a ValueError for a probability outside of 0 to 1 (checked where the device
 * reads synchronously).
 *
 * @param x - Probabilities, any shape.
 * @param target - 0 to 1, the shape and dtype of x.
 * @example
 * ```ts
 * const loss = binaryCrossEntropy(tensor([0.5, 0.9]), tensor([1, 1])) // 0.3993
 * ```
 */
export function binaryCrossEntropy(x: Tensor, target: Tensor, options?: BCEOptions): Tensor {
  const { weight, reduction } = checkOptions("binaryCrossEntropy", bceChecks, options)
  for (const operand of [x, target]) needTensor("binaryCrossEntropy", operand)
  checkSameShape("binaryCrossEntropy", x, target)
  if (weight) checkOperands("binaryCrossEntropy", x, weight)
  if (!isFloat(target.dtype)) {
    throw new DTypeError(
      `binaryCrossEntropy: targets must be floats: got ${target.dtype}; convert with .to("${x.dtype}")`,
    )
  }
  checkProbabilities(x.detach())
  return weight ? reduced(bceError(x, target).mul(weight), reduction) : reducedRow(bceError, [x, target], reduction)
}

function checkProbabilities(x: Tensor): void {
  if (!x.device.backend.readSync || sizeOf(x.shape) === 0) return
  if (x.ge(0).logicalAnd(x.le(1)).all().itemSync() === 1) return
  const range = `${x.amin().itemSync()} to ${x.amax().itemSync()}`
  throw new ValueError(
    `binaryCrossEntropy: probabilities must lie between 0 and 1: got ${range}; apply sigmoid, or use binaryCrossEntropyWithLogits`,
  )
}

/**
 * Cross-entropy of sigmoid(x), computed from the logits without overflow.
 *
 * Throws a ShapeError if shapes differ.
 *
 * @param x - Logits, any shape.
 * @param target - 0 to 1, the shape of x.
 * @example
 * ```ts
 * const loss = binaryCrossEntropyWithLogits(tensor([0, 100]), tensor([1, 0]))
 * console.log((await loss.item()).toFixed(4)) // 50.3466
 * ```
 */
export function binaryCrossEntropyWithLogits(x: Tensor, target: Tensor, options?: BCELogitsOptions): Tensor {
  const { weight, posWeight, reduction } = checkOptions("binaryCrossEntropyWithLogits", bceLogitsChecks, options)
  for (const operand of [x, target]) needTensor("binaryCrossEntropyWithLogits", operand)
  checkSameShape("binaryCrossEntropyWithLogits", x, target)
  for (const factor of [weight, posWeight]) if (factor) checkOperands("binaryCrossEntropyWithLogits", x, factor)
  const operands = [x, target, posWeight ?? 1] as const
  if (!weight) return reducedRow(bceLogitsError, operands, reduction)
  return reduced(bceLogitsError(...operands).mul(weight), reduction)
}
