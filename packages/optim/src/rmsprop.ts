// RMSprop, as torch.optim.RMSprop: one kernel a parameter.
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

/** Options of {@link RMSprop}. */
export interface RMSpropOptions {
  /** Length of a step. Default 0.01. */
  readonly lr?: number
  /** How slowly the average of squares forgets. Default 0.99. */
  readonly alpha?: number
  /** Added to the divisor. Default 1e-8. */
  readonly eps?: number
  /** Strength of the L2 pull, part of the gradient. Default 0. */
  readonly weightDecay?: number
  /** Share of the last step's direction that is kept. Default 0. */
  readonly momentum?: number
  /** Divide by the root of the variance instead of the average square. Default false. */
  readonly centered?: boolean
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<RMSpropOptions> = {
  lr: "rate",
  alpha: "rate",
  eps: "rate",
  weightDecay: "rate",
  momentum: "rate",
  centered: "flag",
  maximize: "flag",
}

const updates = variants<FusedExprs>((decays, centered, rolls, maximize) => ([p, g, squares, ...more], scalars) => {
  const [lr, alpha, rest, eps, momentum, decay] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays ? e.add(raw, e.mul(decay, p)) : raw
  const v = e.add(e.mul(squares, alpha), e.mul(e.mul(rest, slope), slope))
  const changed = [v]
  let spread = v
  if (centered) {
    const mean = e.add(e.mul(more[0], alpha), e.mul(rest, slope))
    spread = e.sub(v, e.mul(mean, mean))
    changed.push(mean)
  }
  const scaled = e.div(slope, e.add(e.sqrt(spread), eps))
  if (!rolls) return [e.sub(p, e.mul(lr, scaled)), ...changed]
  const buffer = e.add(e.mul(more[centered ? 1 : 0], momentum), scaled)
  return [e.sub(p, e.mul(lr, buffer)), ...changed, buffer]
})

/**
 * RMSprop (Tieleman and Hinton 2012; centered: Graves 2013): steps along the gradient divided by the root of its average
 * square (https://pytorch.org/docs/stable/generated/torch.optim.RMSprop.html).
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2], { requiresGrad: true })
 * const optimizer = new RMSprop([w], { lr: 0.01, momentum: 0.9 })
 * w.mul(w).sum().backward()
 * optimizer.step()
 * ```
 */
export class RMSprop extends GradientOptimizer<Required<RMSpropOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<RMSpropOptions>>>, options?: RMSpropOptions) {
    const given = checkOptions("RMSprop", checks, options)
    const { lr = 1e-2, alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0 } = given
    const { centered = false, maximize = false } = given
    super("RMSprop", params, { lr, alpha, eps, weightDecay, momentum, centered, maximize })
  }
  protected check(options: Required<RMSpropOptions>): void {
    checkKnownOptions("RMSprop", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["square_avg", "grad_avg", "momentum_buffer"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<RMSpropOptions>): void {
    const { lr, alpha, eps, weightDecay, momentum, centered, maximize } = options
    const rolls = momentum > 0
    const names = ["square_avg", ...(centered ? ["grad_avg"] : []), ...(rolls ? ["momentum_buffer"] : [])]
    const own = names.map((name) => remembered(state, name, () => zerosLike(p)))
    const exprs = updates(weightDecay !== 0, centered, rolls, maximize)
    mapInto("RMSprop.step", [p, ...own], [p, grad, ...own], exprs, [lr, alpha, 1 - alpha, eps, momentum, weightDecay])
    Object.assign(state, { step: nextStep(state) }, Object.fromEntries(names.map((name, i) => [name, own[i]])))
  }
}
