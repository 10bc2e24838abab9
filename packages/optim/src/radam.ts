// RAdam, as torch.optim.RAdam: one kernel a parameter.
import { e } from "@rondo/backend"
import {
  checkKnownOptions,
  checkOptions,
  type FusedExprs,
  mapInto,
  type OptionChecks,
  type Tensor,
  zerosLike,
} from "@rondo/core"
import {
  GradientOptimizer,
  type GroupOptions,
  nextStep,
  type ParameterState,
  remembered,
  variants,
} from "./optimizer.js"
import type { StateLayout } from "./state.js"

/** Options of {@link RAdam}. */
export interface RAdamOptions {
  /** Length of a step. Default 0.001. */
  readonly lr?: number
  /** How slowly the averages of the gradient and of its square forget. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** Added to the divisor. Default 1e-8. */
  readonly eps?: number
  /** Strength of the L2 pull, part of the gradient. Default 0. */
  readonly weightDecay?: number
  /** Take weight decay off the parameter itself, as AdamW does, instead of adding it to the gradient. Default false. */
  readonly decoupledWeightDecay?: boolean
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<RAdamOptions> = {
  lr: "rate",
  betas: "betas",
  eps: "rate",
  weightDecay: "rate",
  decoupledWeightDecay: "flag",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, decoupled, adapts, maximize) => ([p, g, average, squares], scalars) => {
  const [beta1, rest1, beta2, rest2, eps, rate, decay, shrink] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays && !decoupled ? e.add(raw, e.mul(decay, p)) : raw
  const start = decays && decoupled ? e.mul(p, shrink) : p
  const m = e.add(e.mul(average, beta1), e.mul(rest1, slope))
  const v = e.add(e.mul(squares, beta2), e.mul(e.mul(rest2, slope), slope))
  const along = e.mul(rate, m)
  return [e.sub(start, adapts ? e.div(along, e.add(e.sqrt(v), eps)) : along), m, v]
})

/**
 * RAdam (Liu et al. 2020): Adam that does not divide by the average square before enough steps were taken to trust it
 * (https://pytorch.org/docs/stable/generated/torch.optim.RAdam.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new RAdam([w], { lr: 0.01 })
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class RAdam extends GradientOptimizer<Required<RAdamOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<RAdamOptions>>>, options?: RAdamOptions) {
    const given = checkOptions("RAdam", checks, options)
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = given
    const { decoupledWeightDecay = false, maximize = false } = given
    super("RAdam", params, { lr, betas, eps, weightDecay, decoupledWeightDecay, maximize })
  }
  protected check(options: Required<RAdamOptions>): void {
    checkKnownOptions("RAdam", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["exp_avg", "exp_avg_sq"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<RAdamOptions>): void {
    const { lr, betas, eps, weightDecay, decoupledWeightDecay, maximize } = options
    const [beta1, beta2] = betas
    const step = nextStep(state)
    const average = remembered(state, "exp_avg", () => zerosLike(p))
    const squares = remembered(state, "exp_avg_sq", () => zerosLike(p))
    const correction2 = 1 - beta2 ** step
    // The length of the average, at the end and now; below 5 the variance of its inverse is not trusted.
    const limit = 2 / (1 - beta2) - 1
    const length = limit - (2 * step * beta2 ** step) / correction2
    const adapts = length > 5
    const spread = ((length - 4) * (length - 2) * limit) / ((limit - 4) * (limit - 2) * length)
    const rate = (lr / (1 - beta1 ** step)) * (adapts ? Math.sqrt(correction2 * spread) : 1)
    const scalars = [beta1, 1 - beta1, beta2, 1 - beta2, eps, rate, weightDecay, 1 - lr * weightDecay]
    const exprs = updates(weightDecay !== 0, decoupledWeightDecay, adapts, maximize)
    mapInto("RAdam.step", [p, average, squares], [p, grad, average, squares], exprs, scalars)
    Object.assign(state, { step, exp_avg: average, exp_avg_sq: squares })
  }
}
