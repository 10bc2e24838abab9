// L-BFGS, as torch.optim.LBFGS: one direction for all parameters, from the last gradients. It calls for the loss itself, and
// waits for it, since a device may not be able to read at once.
import { e, sizeOf, ValueError } from "@rondo/backend"
import {
  cat,
  checkKnownOptions,
  checkOptions,
  enableGrad,
  type FusedExprs,
  keep,
  mapInto,
  noGrad,
  refuseCapture,
  type OptionChecks,
  scope,
  stack,
  Tensor,
  zeros,
} from "@rondo/core"
import { type GroupOptions, noRows, Optimizer, type ParameterState } from "./optimizer.js"
import type { StateLayout } from "./state.js"
import { strongWolfe, type Trial } from "./wolfe.js"

/** Options of {@link LBFGS}. */
export interface LBFGSOptions {
  /** Length of a step, or of the first trial of a line search. Default 1. */
  readonly lr?: number
  /** Largest number of iterations a step. Default 20. */
  readonly maxIter?: number
  /** Largest number of evaluations of the loss a step. Default maxIter * 1.25, rounded down. */
  readonly maxEval?: number
  /** Stop when no element of the gradient is larger. Default 1e-7. */
  readonly toleranceGrad?: number
  /** Stop when the loss or the parameters change by less. Default 1e-9. */
  readonly toleranceChange?: number
  /** How many steps are remembered. Default 100. */
  readonly historySize?: number
  /** Search for a good length along each direction, or take `lr`. Default null. */
  readonly lineSearchFn?: "strong_wolfe" | null
}

const checks: OptionChecks<LBFGSOptions> = {
  lr: "rate",
  maxIter: "count",
  maxEval: "count",
  toleranceGrad: "rate",
  toleranceChange: "rate",
  historySize: "count",
  lineSearchFn: ["strong_wolfe", null],
}

/** What a closure may return: the loss, awaited or not. */
type Loss = Tensor | number

const move: FusedExprs = ([p, d], [t]) => [e.add(p, e.mul(t, d))]

/** Where a step stands: the last gradient, direction and length, and the history that directions are made of. */
interface Memory {
  grad: Tensor
  loss: number
  direction: Tensor | undefined
  t: number
  previous: Tensor | undefined
  scale: number
  /** Changes of the gradient, changes of the parameters, and one over their products. */
  readonly dirs: Tensor[]
  readonly steps: Tensor[]
  readonly inverses: Tensor[]
}

/**
 * L-BFGS (Liu and Nocedal 1989), with a line search if asked for: for small problems without noise. There is one group of
 * parameters, of one dtype and on one device (https://pytorch.org/docs/stable/generated/torch.optim.LBFGS.html).
 *
 * Throws a ValueError for options out of range, more than one group, or tensors that are no leaves.
 *
 * @example
 * ```ts
 * const w = tensor([2, -1], { requiresGrad: true })
 * const optimizer = new LBFGS([w], { lineSearchFn: "strong_wolfe" })
 * await optimizer.step(() => {
 *   optimizer.zeroGrad()
 *   const loss = w.sub(3).square().sum()
 *   loss.backward()
 *   return loss
 * })
 * console.log(await w.detach().print({ precision: 3 })) // tensor([3.000, 3.000])
 * ```
 */
export class LBFGS extends Optimizer<Required<LBFGSOptions>> {
  constructor(params: Iterable<Tensor> | Iterable<GroupOptions<Required<LBFGSOptions>>>, options?: LBFGSOptions) {
    const given = checkOptions("LBFGS", checks, options)
    const { lr = 1, maxIter = 20, maxEval = Math.floor(maxIter * 1.25), lineSearchFn = null } = given
    const { toleranceGrad = 1e-7, toleranceChange = 1e-9, historySize = 100 } = given
    super("LBFGS", params, { lr, maxIter, maxEval, toleranceGrad, toleranceChange, historySize, lineSearchFn })
  }
  override addParamGroup(group: GroupOptions<Required<LBFGSOptions>>): void {
    if (this.paramGroups.length > 0) throw new ValueError("LBFGS: there can be only one group of parameters")
    super.addParamGroup(group)
  }
  protected check(options: Required<LBFGSOptions>): void {
    checkKnownOptions("LBFGS", checks, options)
  }
  protected layout(): StateLayout {
    const flat = [this.#params().reduce((sum, { shape }) => sum + sizeOf(shape), 0)]
    return {
      numbers: ["func_evals", "n_iter", "t", "H_diag", "prev_loss"],
      tensors: ["d", "prev_flat_grad"],
      lists: ["old_dirs", "old_stps", "ro"],
      optional: ["t", "H_diag", "prev_loss"],
      ignored: ["al"],
      free: new Map(
        ["d", "prev_flat_grad", "old_dirs", "old_stps", "ro"].map((key) => [key, key === "ro" ? [] : flat]),
      ),
    }
  }
  #params(): Tensor[] {
    return this.paramGroups[0].params
  }

  /**
   * Takes up to `maxIter` steps. `closure` clears the gradients, computes the loss and its gradients, and returns the loss;
   * it is called many times.
   *
   * Throws a ValueError without a closure, and a DeviceError if parameters were moved after the first step.
   *
   * @returns The loss at the start.
   */
  override step<T extends Loss>(closure?: () => T | Promise<T>): Promise<T> {
    refuseCapture("LBFGS.step", "it reads losses and gradients; call it outside")
    return this.#minimise(closure)
  }
  async #minimise<T extends Loss>(closure?: () => T | Promise<T>): Promise<T> {
    if (typeof closure !== "function") throw new ValueError("LBFGS.step: needs a closure that computes the loss")
    const evaluate = () => enableGrad(closure)
    const { lr, maxIter, maxEval, toleranceGrad, toleranceChange, historySize, lineSearchFn } = this.paramGroups[0]
    const [first] = this.#params()
    const state = noGrad(() => this.follow(first))
    let nIter = (state.n_iter as number | undefined) ?? 0
    let funcEvals = (state.func_evals as number | undefined) ?? 0
    const original = await evaluate()
    let evaluations = 1
    const memory = this.#recall(state, await valueOf(original))
    let [size] = await numbers(memory.grad.abs().max())
    let previousLoss = memory.loss
    const round = rounding(first)
    // Written so that NaN goes on, as in PyTorch.
    for (let i = 1; !(size <= toleranceGrad) && i <= maxIter; i++) {
      nIter++
      if (nIter === 1 || !memory.direction) scope(() => noGrad(() => (memory.direction = keep(memory.grad.neg()))))
      else await this.#turn(memory, historySize)
      memory.previous = memory.grad
      previousLoss = memory.loss
      const direction = memory.direction as Tensor
      const [slope, reach, total] = await numbers(
        ...noGrad(() => [memory.grad.mul(direction).sum(), direction.abs().max(), memory.grad.abs().sum()]),
      )
      const share = round(1 / total)
      memory.t = nIter === 1 && share < 1 ? round(share * round(lr)) : lr
      if (slope > -toleranceChange) break
      if (lineSearchFn !== null) evaluations += await this.#search(memory, evaluate, { slope, reach })
      else {
        this.#move(memory.t, direction)
        // Nobody reads the gradient after the last iteration.
        if (i !== maxIter) {
          memory.loss = await valueOf(await evaluate())
          memory.grad = this.#gradient()
          evaluations++
        }
      }
      ;[size] = await numbers(memory.grad.abs().max())
      if (evaluations >= maxEval || reach * memory.t <= toleranceChange) break
      if (Math.abs(memory.loss - previousLoss) < toleranceChange) break
    }
    funcEvals += evaluations
    this.#store({ n_iter: nIter, func_evals: funcEvals, prev_loss: previousLoss }, memory)
    return original
  }

  #recall(state: ParameterState, loss: number): Memory {
    const list = (name: string): Tensor[] => [...((state[name] as readonly Tensor[] | undefined) ?? [])]
    return {
      grad: this.#gradient(),
      loss,
      direction: state.d as Tensor | undefined,
      t: (state.t as number | undefined) ?? 0,
      previous: state.prev_flat_grad as Tensor | undefined,
      scale: (state.H_diag as number | undefined) ?? 1,
      dirs: list("old_dirs"),
      steps: list("old_stps"),
      inverses: list("ro"),
    }
  }
  #store(counts: ParameterState, { direction, t, previous, scale, dirs, steps, inverses }: Memory): void {
    const state: ParameterState = { func_evals: counts.func_evals, n_iter: counts.n_iter }
    if (direction && previous) {
      const lists = { old_dirs: dirs, old_stps: steps, ro: inverses }
      Object.assign(state, {
        d: direction,
        t,
        ...lists,
        H_diag: scale,
        prev_flat_grad: previous,
        prev_loss: counts.prev_loss,
      })
    }
    this.remember(this.#params()[0], state)
  }

  /** Adds the last step to the history and makes the next direction of it. */
  async #turn(memory: Memory, historySize: number): Promise<void> {
    const { grad, dirs, steps, inverses } = memory
    const [y, s, ys, yy] = scope(() =>
      noGrad(() => {
        const y = grad.sub(memory.previous as Tensor)
        const s = (memory.direction as Tensor).mul(memory.t)
        return [y, s, y.mul(s).sum(), y.square().sum()]
      }),
    )
    const [product, square] = await numbers(ys, yy)
    if (product > 1e-10) {
      for (const list of [dirs, steps, inverses]) if (list.length === historySize) list.shift()
      dirs.push(keep(y))
      steps.push(keep(s))
      inverses.push(keep(noGrad(() => ys.reciprocal())))
      memory.scale = rounding(grad)(product / square)
    }
    memory.direction = scope(() => noGrad(() => this.#recursion(memory)))
  }
  /** The two loops: nothing is read back. */
  #recursion({ grad, dirs, steps, inverses, scale }: Memory): Tensor {
    const shares: Tensor[] = []
    let q = grad.neg()
    for (let i = dirs.length - 1; i >= 0; i--) {
      shares[i] = steps[i].mul(q).sum().mul(inverses[i])
      q = q.sub(dirs[i].mul(shares[i]))
    }
    let r = q.mul(scale)
    for (let i = 0; i < dirs.length; i++) {
      const back = dirs[i].mul(r).sum().mul(inverses[i])
      r = r.add(steps[i].mul(shares[i].sub(back)))
    }
    return keep(r)
  }

  /** Goes to the best point that a line search finds; the number of evaluations. */
  async #search(
    memory: Memory,
    closure: () => Loss | Promise<Loss>,
    { slope, reach }: { readonly slope: number; readonly reach: number },
  ): Promise<number> {
    const direction = memory.direction as Tensor
    const start = noGrad(() => this.#params().map((p) => p.clone()))
    const evaluate = async (t: number): Promise<Trial> => {
      this.#move(t, direction)
      const loss = await valueOf(await closure())
      const grad = this.#gradient()
      noGrad(() => this.#params().forEach((p, i) => p.copy_(start[i])))
      const [along] = await numbers(noGrad(() => grad.mul(direction).sum()))
      return { t, loss, grad, slope: along }
    }
    const { toleranceChange } = this.paramGroups[0]
    const origin = { t: 0, loss: memory.loss, grad: memory.grad, slope }
    const { found, evaluations } = await strongWolfe({
      evaluate,
      origin,
      t: memory.t,
      directionNorm: reach,
      toleranceChange,
      round: rounding(direction),
    })
    this.#move(found.t, direction)
    Object.assign(memory, { t: found.t, loss: found.loss, grad: found.grad })
    return evaluations
  }

  #move(t: number, direction: Tensor): void {
    noGrad(() => {
      let at = 0
      for (const p of this.#params()) {
        const size = sizeOf(p.shape)
        mapInto("LBFGS.step", [p], [p, direction.narrow(0, at, size).reshape(p.shape)], move, [t])
        at += size
      }
    })
  }
  /** All gradients in one vector; none counts as zeros. */
  #gradient(): Tensor {
    return noGrad(() => {
      const parts = this.#params().map((p) => {
        const { grad, rowGradient } = p
        if (rowGradient && !grad) throw noRows("LBFGS", p)
        return grad ? grad.detach().reshape([-1]) : zeros(sizeOf(p.shape), { dtype: p.dtype, device: p.device })
      })
      return parts.length === 1 ? parts[0].clone() : cat(parts, 0)
    })
  }
}

/** What PyTorch's single numbers of the dtype of `x` are rounded to. */
const rounding = ({ dtype }: Tensor): ((value: number) => number) => (dtype === "float64" ? Number : Math.fround)

async function valueOf(loss: Loss): Promise<number> {
  return loss instanceof Tensor ? loss.item() : Number(loss)
}

/** Reads several single elements at once. */
async function numbers(...values: readonly Tensor[]): Promise<number[]> {
  if (values.length === 1) return [await values[0].item()]
  return (await noGrad(() => stack(values, 0)).tolist()) as number[]
}
