// Adamax, as torch.optim.Adamax: one kernel a parameter.
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

/** Options of {@link Adamax}. */
export interface AdamaxOptions {
  /** Length of a step. Default 0.002. */
  readonly lr?: number
  /** How slowly the averages of the gradient and of its size forget. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** Added to the size of the gradient. Default 1e-8. */
  readonly eps?: number
  /** Strength of the L2 pull, part of the gradient. Default 0. */
  readonly weightDecay?: number
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<AdamaxOptions> = {
  lr: "rate",
  betas: "betas",
  eps: "rate",
  weightDecay: "rate",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, maximize) => ([p, g, average, largest], scalars) => {
  const [beta1, rest1, beta2, eps, rate, decay] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays ? e.add(raw, e.mul(decay, p)) : raw
  const m = e.add(e.mul(average, beta1), e.mul(rest1, slope))
  const top = e.max(e.mul(largest, beta2), e.add(e.abs(slope), eps))
  return [e.sub(p, e.div(e.mul(rate, m), top)), m, top]
})

/**
 * Adamax (Kingma and Ba 2015, section 7): Adam with the largest size of late gradients in place of the root of the average
 * square (https://pytorch.org/docs/stable/generated/torch.optim.Adamax.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new Adamax([w], { lr: 0.01 })
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class Adamax extends GradientOptimizer<Required<AdamaxOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<AdamaxOptions>>>, options?: AdamaxOptions) {
    const given = checkOptions("Adamax", checks, options)
    const { lr = 2e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0, maximize = false } = given
    super("Adamax", params, { lr, betas, eps, weightDecay, maximize })
  }
  protected check(options: Required<AdamaxOptions>): void {
    checkKnownOptions("Adamax", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["exp_avg", "exp_inf"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<AdamaxOptions>): void {
    const { lr, betas, eps, weightDecay, maximize } = options
    const [beta1, beta2] = betas
    const step = nextStep(state)
    const average = remembered(state, "exp_avg", () => zerosLike(p))
    const largest = remembered(state, "exp_inf", () => zerosLike(p))
    const scalars = [beta1, 1 - beta1, beta2, eps, lr / (1 - beta1 ** step), weightDecay]
    const exprs = updates(weightDecay !== 0, maximize)
    mapInto("Adamax.step", [p, average, largest], [p, grad, average, largest], exprs, scalars)
    Object.assign(state, { step, exp_avg: average, exp_inf: largest })
  }
}
