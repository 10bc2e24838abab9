// Adadelta, as torch.optim.Adadelta: one kernel a parameter.
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

/** Options of {@link Adadelta}. */
export interface AdadeltaOptions {
  /** What the step is multiplied with. Default 1. */
  readonly lr?: number
  /** How slowly both averages forget. Default 0.9. */
  readonly rho?: number
  /** Added under both roots. Default 1e-6. */
  readonly eps?: number
  /** Strength of the L2 pull, part of the gradient. Default 0. */
  readonly weightDecay?: number
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<AdadeltaOptions> = {
  lr: "rate",
  rho: "probability",
  eps: "rate",
  weightDecay: "rate",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, maximize) => ([p, g, squares, deltas], scalars) => {
  const [lr, rho, rest, eps, decay] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays ? e.add(raw, e.mul(decay, p)) : raw
  const v = e.add(e.mul(squares, rho), e.mul(e.mul(rest, slope), slope))
  const delta = e.mul(e.div(e.sqrt(e.add(deltas, eps)), e.sqrt(e.add(v, eps))), slope)
  const d = e.add(e.mul(deltas, rho), e.mul(e.mul(rest, delta), delta))
  return [e.sub(p, e.mul(lr, delta)), v, d]
})

/**
 * Adadelta (Zeiler 2012): steps have the size that steps had on average, relative to the gradients
 * (https://pytorch.org/docs/stable/generated/torch.optim.Adadelta.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new Adadelta([w], { rho: 0.95 })
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class Adadelta extends GradientOptimizer<Required<AdadeltaOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<AdadeltaOptions>>>, options?: AdadeltaOptions) {
    const given = checkOptions("Adadelta", checks, options)
    const { lr = 1, rho = 0.9, eps = 1e-6, weightDecay = 0, maximize = false } = given
    super("Adadelta", params, { lr, rho, eps, weightDecay, maximize })
  }
  protected check(options: Required<AdadeltaOptions>): void {
    checkKnownOptions("Adadelta", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["square_avg", "acc_delta"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<AdadeltaOptions>): void {
    const { lr, rho, eps, weightDecay, maximize } = options
    const squares = remembered(state, "square_avg", () => zerosLike(p))
    const deltas = remembered(state, "acc_delta", () => zerosLike(p))
    const exprs = updates(weightDecay !== 0, maximize)
    const scalars = [lr, rho, 1 - rho, eps, weightDecay]
    mapInto("Adadelta.step", [p, squares, deltas], [p, grad, squares, deltas], exprs, scalars)
    Object.assign(state, { step: nextStep(state), square_avg: squares, acc_delta: deltas })
  }
}
