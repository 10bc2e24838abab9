// Adagrad, as torch.optim.Adagrad: one kernel a parameter.
import { e } from "@rondo/backend"
import { type FusedExprs, fullLike, mapInto, type Tensor } from "@rondo/core"
import {
  checkRange,
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
  constructor(
    params: Iterable<Tensor> | Iterable<GroupOptions<Required<AdagradOptions>>>,
    {
      lr = 1e-2,
      lrDecay = 0,
      weightDecay = 0,
      initialAccumulatorValue = 0,
      eps = 1e-10,
      maximize = false,
    }: AdagradOptions = {},
  ) {
    super("Adagrad", params, { lr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize })
  }
  protected check({ lr, lrDecay, weightDecay, initialAccumulatorValue, eps }: Required<AdagradOptions>): void {
    checkRange("Adagrad", "lr", lr)
    checkRange("Adagrad", "lrDecay", lrDecay)
    checkRange("Adagrad", "weightDecay", weightDecay)
    checkRange("Adagrad", "initialAccumulatorValue", initialAccumulatorValue)
    checkRange("Adagrad", "eps", eps)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["sum"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<AdagradOptions>): void {
    const { lr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize } = options
    const step = nextStep(state)
    const sum = remembered(state, "sum", () => fullLike(p, initialAccumulatorValue))
    const exprs = updates(weightDecay !== 0, maximize)
    mapInto("Adagrad.step", [p, sum], [p, grad, sum], exprs, [lr / (1 + (step - 1) * lrDecay), eps, weightDecay])
    Object.assign(state, { step, sum })
  }
}
