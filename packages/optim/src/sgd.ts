// Stochastic gradient descent with momentum, as torch.optim.SGD: one kernel a parameter.
import { e, GradientError, ValueError } from "@rondo/backend"
import {
  checkKnownOptions,
  checkOptions,
  emptyLike,
  type FusedExprs,
  mapInto,
  type OptionChecks,
  type RowGradient,
  type Tensor,
} from "@rondo/core"
import { GradientOptimizer, type GroupOptions, type ParameterState, variants } from "./optimizer.js"
import type { StateLayout } from "./state.js"

/** Options of {@link SGD}. */
export interface SGDOptions {
  /** Length of a step. */
  readonly lr: number
  /** Share of the last step's direction that is kept. Default 0. */
  readonly momentum?: number
  /** Share of the gradient that momentum leaves out. Default 0. */
  readonly dampening?: number
  /** Strength of the pull towards 0 (L2). Default 0. */
  readonly weightDecay?: number
  /** Look ahead along the momentum. Default false. */
  readonly nesterov?: boolean
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<SGDOptions> = {
  lr: "rate!",
  momentum: "rate",
  dampening: "real",
  weightDecay: "rate",
  nesterov: "flag",
  maximize: "flag",
}
// Groups may bring their own lr; then it can be left out here.
const defaultChecks: OptionChecks<Partial<SGDOptions>> = { ...checks, lr: "rate" }

const updates = variants<FusedExprs>((decays, rolls, first, nesterov, maximize) => ([p, g, buffer], scalars) => {
  const [lr, momentum, share, decay] = scalars
  const raw = maximize ? e.neg(g) : g
  const slope = decays ? e.add(raw, e.mul(decay, p)) : raw
  const rolling = rolls && !first ? e.add(e.mul(buffer, momentum), e.mul(share, slope)) : slope
  const direction = !rolls ? slope : nesterov ? e.add(slope, e.mul(momentum, rolling)) : rolling
  const next = e.sub(p, e.mul(lr, direction))
  return rolls ? [next, rolling] : [next]
})

/**
 * Stochastic gradient descent: `p -= lr * d`, where d is the gradient, with `weightDecay` times p added, rolled into
 * `momentum` (https://pytorch.org/docs/stable/generated/torch.optim.SGD.html).
 *
 * Row gradients are taken without momentum and weightDecay; with one of them, `step` throws a GradientError.
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const weight = tensor([1], { requiresGrad: true })
 * const optimizer = new SGD([weight], { lr: 0.1, momentum: 0.9 })
 * weight.square().sum().backward()
 * optimizer.step()
 * optimizer.zeroGrad()
 * console.log(await weight.item()) // 0.8…
 * ```
 */
export class SGD extends GradientOptimizer<Required<SGDOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<SGDOptions>>>, options?: SGDOptions) {
    const given = checkOptions("SGD", defaultChecks, options)
    const { lr, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false, maximize = false } = given
    super("SGD", params, { lr: lr as number, momentum, dampening, weightDecay, nesterov, maximize })
  }
  protected check(options: Required<SGDOptions>): void {
    checkKnownOptions("SGD", checks, options)
    const { momentum, dampening, nesterov } = options
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new ValueError(
        `SGD: nesterov needs a momentum and no dampening: got momentum ${momentum}, dampening ${dampening}`,
      )
    }
  }
  protected layout(): StateLayout {
    return { numbers: [], tensors: ["momentum_buffer"] }
  }
  protected update(p: Tensor, grad: Tensor, state: ParameterState, options: Required<SGDOptions>): void {
    const { lr, momentum, dampening, weightDecay, nesterov, maximize } = options
    const rolls = momentum !== 0
    const first = rolls && !state.momentum_buffer
    const exprs = updates(weightDecay !== 0, rolls, first, nesterov, maximize)
    const scalars = [lr, momentum, 1 - dampening, weightDecay]
    if (!rolls) return mapInto("SGD.step", [p], [p, grad], exprs, scalars)
    const buffer = first ? emptyLike(p) : (state.momentum_buffer as Tensor)
    mapInto("SGD.step", [p, buffer], first ? [p, grad] : [p, grad, buffer], exprs, scalars)
    state.momentum_buffer = buffer
  }
  protected override updateRows(
    p: Tensor,
    rows: RowGradient,
    _state: ParameterState,
    options: Required<SGDOptions>,
  ): void {
    const { lr, momentum, weightDecay, maximize } = options
    // Both move every row.
    if (momentum !== 0 || weightDecay !== 0) {
      throw new GradientError(
        `SGD.step: row gradients go with neither momentum nor weightDecay: got ${momentum} and ${weightDecay}; use SparseAdam, or an embedding without sparse`,
      )
    }
    rows.addTo(p, maximize ? lr : -lr)
  }
}
