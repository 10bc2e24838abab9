// Averaged SGD, as torch.optim.ASGD: one kernel a parameter.
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

/** Options of {@link ASGD}. */
export interface ASGDOptions {
  /** Length of a step. Default 0.01. */
  readonly lr?: number
  /** How fast parameters decay and steps shorten. Default 1e-4. */
  readonly lambd?: number
  /** Power by which steps shorten. Default 0.75. */
  readonly alpha?: number
  /** From which step on parameters are averaged. Default 1e6. */
  readonly t0?: number
  /** Strength of the L2 pull, part of the gradient. Default 0. */
  readonly weightDecay?: number
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<ASGDOptions> = {
  lr: "rate",
  lambd: "real",
  alpha: "real",
  t0: "real",
  weightDecay: "rate",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, averages, maximize) => ([p, g, average], scalars) => {
  const [shrink, eta, mu, decay] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays ? e.add(raw, e.mul(decay, p)) : raw
  const next = e.sub(e.mul(p, shrink), e.mul(eta, slope))
  return [next, averages ? e.add(average, e.mul(e.sub(next, average), mu)) : next]
})

/**
 * Averaged stochastic gradient descent (Polyak and Juditsky 1992). The average of each parameter is `state.get(p).ax`
 * (https://pytorch.org/docs/stable/generated/torch.optim.ASGD.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new ASGD([w], { lr: 0.1, t0: 100 })
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class ASGD extends GradientOptimizer<Required<ASGDOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<ASGDOptions>>>, options?: ASGDOptions) {
    const given = checkOptions("ASGD", checks, options)
    const { lr = 1e-2, lambd = 1e-4, alpha = 0.75, t0 = 1e6, weightDecay = 0, maximize = false } = given
    super("ASGD", params, { lr, lambd, alpha, t0, weightDecay, maximize })
  }
  protected check(options: Required<ASGDOptions>): void {
    checkKnownOptions("ASGD", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step", "eta", "mu"], tensors: ["ax"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<ASGDOptions>): void {
    const { lr, lambd, alpha, t0, weightDecay, maximize } = options
    const step = nextStep(state)
    // PyTorch keeps both in float32 tensors, whatever the parameter's dtype.
    const eta = (state.eta as number | undefined) ?? Math.fround(lr)
    const mu = (state.mu as number | undefined) ?? 1
    const average = remembered(state, "ax", () => zerosLike(p))
    const exprs = updates(weightDecay !== 0, mu !== 1, maximize)
    mapInto("ASGD.step", [p, average], [p, grad, average], exprs, [1 - lambd * eta, eta, mu, weightDecay])
    const shorter = Math.fround(lr / (1 + lambd * lr * step) ** alpha)
    Object.assign(state, { step, eta: shorter, mu: Math.fround(1 / Math.max(1, step - t0)), ax: average })
  }
}
