// Line search for a point that satisfies the strong Wolfe conditions, step by step as torch.optim.LBFGS does it (ported there
// from torch7's optim/lswolfe.lua and polyinterp.lua). Knows no parameters: it is handed a function of the step's length.
import type { Tensor } from "@rondo/core"

/** The loss at one length of the step. */
export interface Trial {
  readonly t: number
  readonly loss: number
  readonly grad: Tensor
  /** Derivative of the loss along the direction. */
  readonly slope: number
}

/** What the search is about. */
export interface Search {
  readonly evaluate: (t: number) => Promise<Trial>
  /** The point to start from; its `t` is 0. */
  readonly origin: Trial
  /** First length to try. */
  readonly t: number
  /** Largest size of an element of the direction. */
  readonly directionNorm: number
  readonly toleranceChange: number
  /** To the precision of the parameters: PyTorch computes lengths and slopes in their dtype. */
  readonly round: (value: number) => number
}

// Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6; the constants are torch.optim.LBFGS's.
const c1 = 1e-4
const c2 = 0.9
const maxTrials = 25

/** Where the cubic through two points with slopes has its minimum, within bounds. */
export function cubicMinimum(
  one: Trial,
  two: Trial,
  r: Search["round"],
  bounds: readonly [number, number] = [Math.min(one.t, two.t), Math.max(one.t, two.t)],
): number {
  const [low, high] = bounds
  const d1 = r(r(one.slope + two.slope) - r((3 * (one.loss - two.loss)) / r(one.t - two.t)))
  const square = r(r(d1 ** 2) - r(one.slope * two.slope))
  if (!(square >= 0)) return r(r(low + high) / 2)
  const d2 = r(Math.sqrt(square))
  const [near, far] = one.t <= two.t ? [one, two] : [two, one]
  const share = r(r(r(far.slope + d2) - d1) / r(r(far.slope - near.slope) + r(2 * d2)))
  const at = r(far.t - r(r(far.t - near.t) * share))
  return Math.min(Math.max(at, low), high)
}

/** Is the loss of `trial` higher than the first Wolfe condition, Armijo's, allows? */
const tooHigh = ({ t, loss }: Trial, { origin, round: r }: Search): boolean =>
  loss > r(origin.loss + r(r(c1 * t) * origin.slope))
/** Is the slope of `trial` flat enough for the second, the curvature condition? */
const flat = ({ slope }: Trial, { origin, round: r }: Search): boolean => Math.abs(slope) <= r(-c2 * origin.slope)

/** The point that was found, and how often the loss was computed. */
export async function strongWolfe(search: Search): Promise<{ readonly found: Trial; readonly evaluations: number }> {
  const { evaluate, origin, round: r } = search
  let current = await evaluate(search.t)
  let previous = origin
  for (let trials = 0; trials < maxTrials; trials++) {
    if (tooHigh(current, search) || (trials > 1 && current.loss >= previous.loss))
      return zoom(search, [previous, current], trials)
    if (flat(current, search)) return { found: current, evaluations: trials + 1 }
    if (current.slope >= 0) return zoom(search, [previous, current], trials)
    const bounds = [r(current.t + r(0.01 * r(current.t - previous.t))), r(current.t * 10)] as const
    const next = cubicMinimum(previous, current, r, bounds)
    previous = current
    current = await evaluate(next)
  }
  return { found: origin.loss <= current.loss ? origin : current, evaluations: maxTrials + 1 }
}

/** Narrows a bracket down to a point that satisfies the conditions. */
async function zoom(search: Search, [one, two]: [Trial, Trial], trials: number) {
  const { evaluate, round: r } = search
  let [low, high] = one.loss <= two.loss ? [one, two] : [two, one]
  // PyTorch's bracket has two places; which of them a point is in decides how the cubic is written, and ties.
  let lowFirst = low === one
  let stuck = false
  let done = false
  while (!done && trials < maxTrials) {
    const [left, right] = [Math.min(low.t, high.t), Math.max(low.t, high.t)]
    if (r(r(right - left) * search.directionNorm) < search.toleranceChange) break
    let t = lowFirst ? cubicMinimum(low, high, r) : cubicMinimum(high, low, r)
    const margin = r(0.1 * r(right - left))
    if (Math.min(right - t, t - left) < margin) {
      // Too close to an end: once is accepted, twice or at the end itself is moved inwards.
      const inwards: boolean = stuck || t >= right || t <= left
      if (inwards) t = r(Math.abs(t - right) < Math.abs(t - left) ? right - margin : left + margin)
      stuck = !inwards
    } else stuck = false
    const trial = await evaluate(t)
    trials++
    if (tooHigh(trial, search) || trial.loss >= low.loss) {
      const [first, second] = lowFirst ? [low, trial] : [trial, low]
      lowFirst = first.loss <= second.loss
      ;[low, high] = lowFirst ? [first, second] : [second, first]
      continue
    }
    if (flat(trial, search)) done = true
    else if (trial.slope * (high.t - low.t) >= 0) high = low
    low = trial
  }
  return { found: low, evaluations: trials + 1 }
}
