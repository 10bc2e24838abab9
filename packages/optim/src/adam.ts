// Adam and AdamW, as torch.optim's: one kernel a parameter.
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

/** Options of {@link Adam} and {@link AdamW}. */
export interface AdamOptions {
  /** Length of a step. Default 0.001. */
  readonly lr?: number
  /** How slowly the averages of the gradient and of its square forget. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** Added to the divisor. Default 1e-8. */
  readonly eps?: number
  /** Adam: strength of the L2 pull, part of the gradient; default 0. AdamW: taken off the parameter itself; default 0.01. */
  readonly weightDecay?: number
  /** Divide by the largest average so far (Reddi et al. 2018). Default false. */
  readonly amsgrad?: boolean
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<AdamOptions> = {
  lr: "rate",
  betas: "betas",
  eps: "rate",
  weightDecay: "rate",
  amsgrad: "flag",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, decoupled, amsgrad, maximize) => (inputs, scalars) => {
  const [p, g, average, averageSquare, largest] = inputs
  const [beta1, rest1, beta2, rest2, root2, eps, stepSize, decay, shrink] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays && !decoupled ? e.add(raw, e.mul(decay, p)) : raw
  const start = decays && decoupled ? e.mul(p, shrink) : p
  const m = e.add(e.mul(average, beta1), e.mul(rest1, slope))
  const v = e.add(e.mul(averageSquare, beta2), e.mul(e.mul(rest2, slope), slope))
  const top = amsgrad ? e.max(largest, v) : v
  const divisor = e.add(e.div(e.sqrt(top), root2), eps)
  const next = e.sub(start, e.div(e.mul(stepSize, m), divisor))
  return amsgrad ? [next, m, v, top] : [next, m, v]
})

abstract class AdamBase extends GradientOptimizer<Required<AdamOptions>> {
  readonly #decoupled: boolean
  constructor(
    name: string,
    decoupled: boolean,
    params: Iterable<Tensor> | Iterable<GroupOptions<Required<AdamOptions>>>,
    options: AdamOptions | undefined,
  ) {
    const given = checkOptions(name, checks, options)
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = decoupled ? 1e-2 : 0 } = given
    const { amsgrad = false, maximize = false } = given
    super(name, params, { lr, betas, eps, weightDecay, amsgrad, maximize })
    this.#decoupled = decoupled
  }
  protected check(options: Required<AdamOptions>): void {
    checkKnownOptions(this.label, checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<AdamOptions>): void {
    const { lr, betas, eps, weightDecay, amsgrad, maximize } = options
    const [beta1, beta2] = betas
    const step = nextStep(state)
    const average = remembered(state, "exp_avg", () => zerosLike(p))
    const averageSquare = remembered(state, "exp_avg_sq", () => zerosLike(p))
    const changed = [p, average, averageSquare]
    if (amsgrad) changed.push(remembered(state, "max_exp_avg_sq", () => zerosLike(p)))
    // In double on the host: near step 1 the corrections are small differences.
    const stepSize = lr / (1 - beta1 ** step)
    const root2 = Math.sqrt(1 - beta2 ** step)
    const scalars = [beta1, 1 - beta1, beta2, 1 - beta2, root2, eps, stepSize, weightDecay, 1 - lr * weightDecay]
    const exprs = updates(weightDecay !== 0, this.#decoupled, amsgrad, maximize)
    mapInto(`${this.label}.step`, changed, [p, grad, ...changed.slice(1)], exprs, scalars)
    state.step = step
    state.exp_avg = average
    state.exp_avg_sq = averageSquare
    if (amsgrad) state.max_exp_avg_sq = changed[3]
  }
}

/**
 * Adam (Kingma and Ba 2015): steps along the average gradient, divided by the root of the average square, both corrected
 * for their start at 0 (https://pytorch.org/docs/stable/generated/torch.optim.Adam.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * const optimizer = new Adam(model.parameters(), { lr: 0.01 })
 * for (let step = 0; step < 3; step++) {
 *   const loss = mseLoss(model.forward(ones(4, 2)), zeros(4, 1))
 *   optimizer.zeroGrad()
 *   loss.backward()
 *   optimizer.step()
 * }
 * ```
 */
export class Adam extends AdamBase {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<AdamOptions>>>, options?: AdamOptions) {
    super("Adam", false, params, options)
  }
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019): parameters shrink by lr * weightDecay before each step
 * (https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html). Throws as {@link Adam} does.
 *
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * const optimizer = new AdamW([zeros(3, { requiresGrad: true })], { lr: 0.01, weightDecay: 0.1 })
 * model.forward(ones(4, 2)).sum().backward()
 * optimizer.step()
 * ```
 */
export class AdamW extends AdamBase {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<AdamOptions>>>, options?: AdamOptions) {
    super("AdamW", true, params, options)
  }
}
