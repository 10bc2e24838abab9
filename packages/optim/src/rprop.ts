// Rprop, as torch.optim.Rprop: one kernel a parameter.
import { e, type Expr } from "@rondo/backend"
import {
  checkKnownOptions,
  checkOptions,
  emptyLike,
  fullLike,
  type FusedExprs,
  mapInto,
  type OptionChecks,
  type Tensor,
} from "@rondo/core"
import { GradientOptimizer, type GroupOptions, nextStep, type ParameterState, variants } from "./optimizer.js"
import type { StateLayout } from "./state.js"

/** Options of {@link Rprop}. */
export interface RpropOptions {
  /** What the size of every step starts from. Default 0.01. */
  readonly lr?: number
  /** What sizes are multiplied with where the gradient changed its sign, and where it kept it. Default [0.5, 1.2]. */
  readonly etas?: readonly [number, number]
  /** Smallest and largest size. Default [1e-6, 50]. */
  readonly stepSizes?: readonly [number, number]
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<RpropOptions> = {
  lr: "rate",
  etas: {
    words: "two numbers with 0 < etas[0] < 1 < etas[1]",
    fits: (x) => Array.isArray(x) && x.length === 2 && 0 < x[0] && x[0] < 1 && 1 < x[1],
  },
  stepSizes: "pair",
  maximize: "flag",
}

// -1, 0 or 1; NaN counts as 0, as in PyTorch.
function signOf(x: Expr): Expr {
  const zero = e.like(x, 0)
  return e.where(e.gt(x, zero), e.like(x, 1), e.where(e.lt(x, zero), e.like(x, -1), zero))
}

const updates = variants<FusedExprs>((first, maximize) => ([p, g, previous, sizes], scalars) => {
  const [shrink, grow, least, most, start] = scalars
  const slope = maximize ? e.neg(g) : g
  const zero = e.like(p, 0)
  const turned = first ? zero : e.mul(slope, previous)
  const flips = e.lt(turned, zero)
  const factor = e.where(e.gt(turned, zero), grow, e.where(flips, shrink, e.like(p, 1)))
  const size = e.min(e.max(first ? start : e.mul(sizes, factor), least), most)
  const kept = first ? slope : e.where(flips, zero, slope)
  return [e.sub(p, e.mul(signOf(kept), size)), kept, size]
})

/**
 * Resilient propagation (Riedmiller and Braun 1993): only signs of gradients count. Made for whole-batch training
 * (https://pytorch.org/docs/stable/generated/torch.optim.Rprop.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new Rprop([w])
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class Rprop extends GradientOptimizer<Required<RpropOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<RpropOptions>>>, options?: RpropOptions) {
    const given = checkOptions("Rprop", checks, options)
    const { lr = 1e-2, etas = [0.5, 1.2], stepSizes = [1e-6, 50], maximize = false } = given
    super("Rprop", params, { lr, etas, stepSizes, maximize })
  }
  protected check(options: Required<RpropOptions>): void {
    checkKnownOptions("Rprop", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["prev", "step_size"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<RpropOptions>): void {
    const { lr, etas, stepSizes, maximize } = options
    const first = !state.prev
    const previous = (state.prev as Tensor | undefined) ?? emptyLike(p)
    const sizes = (state.step_size as Tensor | undefined) ?? fullLike(p, lr)
    const inputs = first ? [p, grad] : [p, grad, previous, sizes]
    mapInto("Rprop.step", [p, previous, sizes], inputs, updates(first, maximize), [...etas, ...stepSizes, lr])
    Object.assign(state, { step: nextStep(state), prev: previous, step_size: sizes })
  }
}
