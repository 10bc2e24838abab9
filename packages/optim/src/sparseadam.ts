// Adam for tables of which few rows are used, as torch.optim.SparseAdam: rows without a gradient are left as they are.
import { e, GradientError } from "@rondo/backend"
import {
  checkKnownOptions,
  checkOptions,
  type FusedExprs,
  type OptionChecks,
  type RowGradient,
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

/** Options of {@link SparseAdam}. */
export interface SparseAdamOptions {
  /** Length of a step. Default 0.001. */
  readonly lr?: number
  /** How slowly the averages of the gradient and of its square forget. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** Added to the divisor. Default 1e-8. */
  readonly eps?: number
  /** Climb instead of descending. Default false. */
  readonly maximize?: boolean
}

const checks: OptionChecks<SparseAdamOptions> = {
  lr: "rate",
  betas: "betas",
  // PyTorch's: of a row whose gradients are all 0, the divisor is eps alone.
  eps: "positive",
  maximize: "flag",
}

// As PyTorch writes it: old += (1 - beta) * (new - old), and the correction of the divisor is part of the step, so eps is not.
const updates = variants<FusedExprs>((maximize) => ([p, g, average, averageSquare], [rest1, rest2, eps, stepSize]) => {
  const slope = maximize ? e.neg(g) : g
  const m = e.add(average, e.mul(rest1, e.sub(slope, average)))
  const v = e.add(averageSquare, e.mul(rest2, e.sub(e.mul(slope, slope), averageSquare)))
  return [e.sub(p, e.mul(stepSize, e.div(m, e.add(e.sqrt(v), eps)))), m, v]
})

/**
 * The lazy form of Adam for row gradients, as of an `Embedding` with `sparse`
 * (https://pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html): averages and parameters change only in the rows
 * that have a gradient, so a step costs what the batch costs, whatever the size of the table.
 *
 * Throws a ValueError for options out of range, an empty list of parameters, or tensors that are no leaves; `step` throws a
 * GradientError for a parameter whose gradient is whole.
 *
 * @example
 * ```ts
 * const layer = new Embedding(1000, 8, { sparse: true })
 * const optimizer = new SparseAdam(layer.parameters(), { lr: 0.1 })
 * layer.forward(tensor([3, 5, 3], { dtype: "int32" })).square().sum().backward()
 * optimizer.step() // changes rows 3 and 5
 * ```
 */
export class SparseAdam extends GradientOptimizer<Required<SparseAdamOptions>> {
  constructor(
    params: Iterable<Tensor> | Iterable<GroupOptions<Required<SparseAdamOptions>>>,
    options?: SparseAdamOptions,
  ) {
    const given = checkOptions("SparseAdam", checks, options)
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, maximize = false } = given
    super("SparseAdam", params, { lr, betas, eps, maximize })
  }
  protected check(options: Required<SparseAdamOptions>): void {
    checkKnownOptions("SparseAdam", checks, options)
  }
  protected layout(): StateLayout {
    return { numbers: ["step"], tensors: ["exp_avg", "exp_avg_sq"] }
  }
  protected update(): never {
    throw new GradientError("SparseAdam.step: takes row gradients only, got a whole one; use Adam for this parameter")
  }
  protected override updateRows(
    p: Tensor,
    rows: RowGradient,
    state: ParameterState,
    options: Required<SparseAdamOptions>,
  ): void {
    const [beta1, beta2] = options.betas
    const step = nextStep(state)
    const average = remembered(state, "exp_avg", () => zerosLike(p))
    const averageSquare = remembered(state, "exp_avg_sq", () => zerosLike(p))
    const stepSize = (options.lr * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step)
    const scalars = [1 - beta1, 1 - beta2, options.eps, stepSize]
    rows.updateRows("SparseAdam.step", [p, average, averageSquare], updates(options.maximize), scalars)
    Object.assign(state, { step, exp_avg: average, exp_avg_sq: averageSquare })
  }
}
