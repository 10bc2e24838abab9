// Keeping gradients small before a step: by their common norm, or each element by itself.
import { e, type Expr, GradientError, isFloat, ValueError } from "@rondo/backend"
import {
  checkOptions,
  empty,
  emptyLike,
  type FusedExprs,
  groupAlike,
  mapInto,
  noGrad,
  type OptionChecks,
  squaredLength,
  stack,
  Tensor,
  tensor,
} from "@rondo/core"

/** Options of {@link clipGradNorm_}. */
export interface ClipOptions {
  /** Which norm: 2 by default, Infinity for the largest element. */
  readonly normType?: number
  /** Throw if the norm is infinite or NaN. Reads at once, so it needs a device that can. Default false. */
  readonly errorIfNonfinite?: boolean
}

const clipChecks: OptionChecks<ClipOptions> = { normType: "real", errorIfNonfinite: "flag" }

/** What is changed in place: whole gradients, and the values of row gradients. */
function gradientsOf(name: string, params: Iterable<Tensor> | Tensor): Tensor[] {
  if (typeof params !== "object" || params === null || !(params instanceof Tensor || Symbol.iterator in params))
    throw new ValueError(`${name}: parameters must be a list: pass module.parameters()`)
  return (params instanceof Tensor ? [params] : [...params]).flatMap((parameter) => {
    if (!(parameter instanceof Tensor))
      throw new ValueError(`${name}: a parameter is no tensor: got ${typeof parameter}`)
    const { grad, rowGradient } = parameter
    if (grad) return [grad.detach()]
    if (!rowGradient) return []
    // Values of rows that are named more than once count together, as one row.
    parameter.rowGradient = rowGradient.coalesce()
    return [parameter.rowGradient.values]
  })
}

const factorOf = (total: Expr, [most]: readonly Expr[]): Expr =>
  e.min(e.div(most, e.add(total, e.like(total, 1e-6))), e.like(total, 1))
const fromTotal: FusedExprs = ([total], scalars) => [factorOf(total, scalars)]
const fromSquares: FusedExprs = ([squares], scalars) => {
  const total = e.sqrt(squares)
  return [total, factorOf(total, scalars)]
}
const scaled: FusedExprs = (inputs) => inputs.slice(0, -1).map((grad) => e.mul(grad, inputs[inputs.length - 1]))

/** The norm of all gradients as one vector, and what they are to be multiplied with. */
function measured(grads: readonly Tensor[], normType: number, maxNorm: number): { total: Tensor; factor: Tensor } {
  const [first] = grads
  const alike = grads.every(({ device, dtype }) => device === first.device && dtype === first.dtype)
  if (normType === 2 && alike && isFloat(first.dtype)) {
    const { device, dtype } = first
    const [total, factor] = [0, 1].map(() => empty([], { device, dtype }))
    mapInto("clipGradNorm_", [total, factor], [squaredLength(grads)], fromSquares, [maxNorm])
    return { total, factor }
  }
  // Not even one norm is its own norm where elements are counted.
  const one = grads.length === 1 && normType !== 0
  const total = one ? first.norm(normType) : stack(grads.map((grad) => grad.norm(normType)), 0).norm(normType) // prettier-ignore
  const factor = emptyLike(total)
  mapInto("clipGradNorm_", [factor], [total], fromTotal, [maxNorm])
  return { total, factor }
}

/**
 * Scales all gradients, as if they were one vector, so that their norm is at most `maxNorm`. Parameters without a gradient
 * do not count; of row gradients the named rows do. Nothing is read back: the scaling happens on the device.
 *
 * Throws a ValueError if `maxNorm` or `normType` is no number, a GradientError for a norm that is not finite if asked to.
 *
 * @returns The norm before clipping, a tensor without dims.
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * const optimizer = new SGD(model.parameters(), { lr: 0.1 })
 * model.forward(ones(4, 2)).sum().backward() // gradients 4, 4 and 4
 * const norm = clipGradNorm_(model.parameters(), 1) // between backward and step
 * optimizer.step()
 * console.log(await norm.item()) // 6.928…
 * ```
 */
export function clipGradNorm_(params: Iterable<Tensor> | Tensor, maxNorm: number, options?: ClipOptions): Tensor {
  const { normType = 2, errorIfNonfinite = false } = checkOptions("clipGradNorm_", clipChecks, options)
  if (typeof maxNorm !== "number" || Number.isNaN(maxNorm)) {
    throw new ValueError(`clipGradNorm_: maxNorm must be a number: got ${String(maxNorm)}`)
  }
  const grads = gradientsOf("clipGradNorm_", params)
  if (grads.length === 0) return tensor(0)
  return noGrad(() => {
    const { total, factor } = measured(grads, normType, maxNorm)
    if (errorIfNonfinite && !Number.isFinite(total.itemSync())) {
      throw new GradientError(`clipGradNorm_: the norm of the gradients is not finite: got ${total.itemSync()}`)
    }
    // As in PyTorch: always a product, so that nobody has to wait for the norm.
    for (const group of groupAlike(grads)) mapInto("clipGradNorm_", group, [...group, factor], scaled)
    return total
  })
}

/**
 * Limits each element of all gradients to [-limit, limit]. Throws a ValueError if `limit` is negative or no number.
 *
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * model.forward(ones(4, 2)).sum().backward()
 * clipGradValue_(model.parameters(), 0.5)
 * console.log(await model.weight.grad!.tolist()) // [[0.5, 0.5]]
 * ```
 */
export function clipGradValue_(params: Iterable<Tensor> | Tensor, limit: number): void {
  if (!(typeof limit === "number" && limit >= 0))
    throw new ValueError(`clipGradValue_: the limit must be at least 0: got ${String(limit)}`)
  noGrad(() => {
    for (const grad of gradientsOf("clipGradValue_", params)) grad.clamp_(-limit, limit)
  })
}
