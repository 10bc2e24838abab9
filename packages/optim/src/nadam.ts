// NAdam, as torch.optim.NAdam: one kernel a parameter.
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

/** Options of {@link NAdam}. */
export interface NAdamOptions {
  /** Length of a step. Default 0.002. */
  readonly lr?: number
  /** How slowly the averages of the gradient and of its square forget. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** Added to the divisor. Default 1e-8. */
  readonly eps?: number
  /** Strength of the L2 pull, part of the gradient. Default 0. */
  readonly weightDecay?: number
  /** How fast the momentum reaches betas[0]. Default 0.004. */
  readonly momentumDecay?: number
  /** Take weight decay off the parameter itself, as AdamW does, instead of adding it to the gradient. Default false. */
  readonly decoupledWeightDecay?: boolean
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<NAdamOptions> = {
  lr: "rate",
  betas: "betas",
  eps: "rate",
  weightDecay: "rate",
  momentumDecay: "rate",
  decoupledWeightDecay: "flag",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, decoupled, maximize) => ([p, g, average, squares], scalars) => {
  const [beta1, rest1, beta2, rest2, correction2, eps, slopeRate, averageRate, decay, shrink] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays && !decoupled ? e.add(raw, e.mul(decay, p)) : raw
  const start = decays && decoupled ? e.mul(p, shrink) : p
  const m = e.add(e.mul(average, beta1), e.mul(rest1, slope))
  const v = e.add(e.mul(squares, beta2), e.mul(e.mul(rest2, slope), slope))
  const divisor = e.add(e.sqrt(e.div(v, correction2)), eps)
  const along = e.sub(start, e.div(e.mul(slopeRate, slope), divisor))
  return [e.sub(along, e.div(e.mul(averageRate, m), divisor)), m, v]
})

/**
 * NAdam (Dozat 2016): Adam that looks ahead along its momentum, which grows towards betas[0]
 * (https://pytorch.org/docs/stable/generated/torch.optim.NAdam.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new NAdam([w], { lr: 0.01 })
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class NAdam extends GradientOptimizer<Required<NAdamOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<NAdamOptions>>>, options?: NAdamOptions) {
    const given = checkOptions("NAdam", checks, options)
    const { lr = 2e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0, momentumDecay = 4e-3 } = given
    const { decoupledWeightDecay = false, maximize = false } = given
    super("NAdam", params, { lr, betas, eps, weightDecay, momentumDecay, decoupledWeightDecay, maximize })
  }
  protected check(options: Required<NAdamOptions>): void {
    checkKnownOptions("NAdam", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step", "mu_product"], tensors: ["exp_avg", "exp_avg_sq"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<NAdamOptions>): void {
    const { lr, betas, eps, weightDecay, momentumDecay, decoupledWeightDecay, maximize } = options
    const [beta1, beta2] = betas
    const step = nextStep(state)
    const average = remembered(state, "exp_avg", () => zerosLike(p))
    const squares = remembered(state, "exp_avg_sq", () => zerosLike(p))
    // 0.96: as in the paper, section 3.
    const mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentumDecay))
    const muNext = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentumDecay))
    // PyTorch keeps the product in a float32 tensor, whatever the parameter's dtype.
    const product = Math.fround(((state.mu_product as number | undefined) ?? 1) * Math.fround(mu))
    const productNext = Math.fround(Math.fround(product * Math.fround(mu)) * Math.fround(muNext))
    const rates = [(lr * (1 - mu)) / (1 - product), (lr * muNext) / (1 - productNext)]
    const scalars = [
      beta1,
      1 - beta1,
      beta2,
      1 - beta2,
      1 - beta2 ** step,
      eps,
      ...rates,
      weightDecay,
      1 - lr * weightDecay,
    ]
    const exprs = updates(weightDecay !== 0, decoupledWeightDecay, maximize)
    mapInto("NAdam.step", [p, average, squares], [p, grad, average, squares], exprs, scalars)
    Object.assign(state, { step, mu_product: product, exp_avg: average, exp_avg_sq: squares })
  }
}
