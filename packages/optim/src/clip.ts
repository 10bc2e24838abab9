// Keeping gradients small before a step: by their common norm, or each element by itself.
import { GradientError, ValueError } from "@rondo/backend"
import { checkOptions, div, lengths, noGrad, type OptionChecks, stack, Tensor, tensor } from "@rondo/core"

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

/** The norm of all gradients as one vector. */
function commonNorm(grads: readonly Tensor[], normType: number): Tensor {
  const [first] = grads
  // Not even one norm is its own norm where elements are counted.
  if (grads.length === 1 && normType !== 0) return first.norm(normType)
  const alike = grads.every(({ device, dtype }) => device === first.device && dtype === first.dtype)
  if (normType === 2 && alike) return lengths(grads).norm()
  return stack(grads.map((grad) => grad.norm(normType)), 0).norm(normType) // prettier-ignore
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
    const total = commonNorm(grads, normType)
    if (errorIfNonfinite && !Number.isFinite(total.itemSync())) {
      throw new GradientError(`clipGradNorm_: the norm of the gradients is not finite: got ${total.itemSync()}`)
    }
    // As in PyTorch: always a product, so that nobody has to wait for the norm.
    const factor = div(maxNorm, total.add(1e-6)).clamp(-Infinity, 1)
    for (const grad of grads) grad.mul_(factor)
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
