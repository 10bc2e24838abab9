// Adagrad, as torch.optim.Adagrad: one kernel a parameter.
import { e, GradientError } from "@rondo/backend"
import {
  checkKnownOptions,
  checkOptions,
  fullLike,
  type FusedExprs,
  mapInto,
  type OptionChecks,
  type RowGradient,
  type Tensor,
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

/** Options of {@link Adagrad}. */
export interface AdagradOptions {
  /** Length of a step. Default 0.01. */
  readonly lr?: number
  /** How fast the length shrinks: step t (from 0) has lr / (1 + t * lrDecay). Default 0. */
  readonly lrDecay?: number
  /** Strength of the L2 pull, part of the gradient. Default 0. */
  readonly weightDecay?: number
  /** What the sums of squares start from. Default 0. */
  readonly initialAccumulatorValue?: number
  /** Added to the divisor. Default 1e-10. */
  readonly eps?: number
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<AdagradOptions> = {
  lr: "rate",
  lrDecay: "rate",
  weightDecay: "rate",
  initialAccumulatorValue: "rate",
  eps: "rate",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, maximize) => ([p, g, sum], [rate, eps, decay]) => {
  const raw = maximize ? e.neg(g) : g
  const slope = decays ? e.add(raw, e.mul(decay, p)) : raw
  const total = e.add(sum, e.mul(slope, slope))
  return [e.sub(p, e.div(e.mul(rate, slope), e.add(e.sqrt(total), eps))), total]
})

/**
 * Adagrad (Duchi, Hazan and Singer 2011): divides by the root of the sum of all squares so far
 * (https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html).
 *
 * Row gradients are taken without weightDecay; with it, `step` throws a GradientError.
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new Adagrad([w], { lr: 0.1 })
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class Adagrad extends GradientOptimizer<Required<AdagradOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<AdagradOptions>>>, options?: AdagradOptions) {
    const given = checkOptions("Adagrad", checks, options)
    const {
      lr = 1e-2,
      lrDecay = 0,
      weightDecay = 0,
      initialAccumulatorValue = 0,
      eps = 1e-10,
      maximize = false,
    } = given
    super("Adagrad", params, { lr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize })
  }
  protected check(options: Required<AdagradOptions>): void {
    checkKnownOptions("Adagrad", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["sum"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<AdagradOptions>): void {
    const { next, exprs, scalars } = this.#prepare(p, state, options)
    mapInto("Adagrad.step", [p, next.sum], [p, grad, next.sum], exprs, scalars)
    Object.assign(state, next)
  }
  protected override updateRows(
    p: Tensor,
    rows: RowGradient,
    state: ParameterState,
    options: Required<AdagradOptions>,
  ): void {
    const { weightDecay } = options
    if (weightDecay !== 0) {
      throw new GradientError(
        `Adagrad.step: row gradients do not go with weightDecay, which moves every row: got ${weightDecay}; use an embedding without sparse`,
      )
    }
    const { next, exprs, scalars } = this.#prepare(p, state, options)
    rows.updateRows("Adagrad.step", [p, next.sum], exprs, scalars)
    Object.assign(state, next)
  }
  /** The state after the step, and what its kernel needs. */
  #prepare(p: Tensor, state: ParameterState, options: Required<AdagradOptions>) {
    const { lr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize } = options
    const step = nextStep(state)
    const sum = remembered(state, "sum", () => fullLike(p, initialAccumulatorValue))
    const scalars = [lr / (1 + (step - 1) * lrDecay), eps, weightDecay]
    return { next: { step, sum }, exprs: updates(weightDecay !== 0, maximize), scalars }
  }
}
