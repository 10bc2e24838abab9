// How much gradient reaches each time step: a probe into recurrent layers, cells and loops. It changes no gradient.
import { GradientError, ShapeError } from "@rondo/backend"
import { grad, noGrad, stack, type Tensor, where } from "@rondo/core"
import { listen, type StepReport } from "./probe.js"

/** What the probe found in one layer and direction. */
export interface GradientFlow {
  /** The layer or cell. */
  readonly module: object
  /** Number of the layer from below, for layers stacked in one module. */
  readonly layer: number
  /** True for the way back of a bidirectional layer. */
  readonly reverse: boolean
  /** Norm of dL/dh_t for t = 0, 1, … (of output-to-output recurrence, which has no such h, of dL/do_t). */
  readonly norms: number[]
  /** Norm of dL/dc_t for an LSTM, of dL/do_t for output-to-hidden recurrence; else null. */
  readonly second: number[] | null
}

/**
 * Norms of the gradients of `loss` with respect to `states`, one of each, 0 where nothing arrives. For loops that are
 * written out. Leaves every `grad` alone, and the graph usable.
 *
 * Throws a GradientError if a state requires no gradients, and a ShapeError unless the loss has one element.
 *
 * @param states - The states by time, of any shapes.
 * @example
 * ```ts
 * const w = tensor(0.5, { requiresGrad: true })
 * const states = [w.mul(2)]
 * for (let t = 1; t < 4; t++) states.push(states[t - 1].mul(w))
 * console.log(await gradientNorms(states[3], states)) // [ 0.125, 0.25, 0.5, 1 ]
 * ```
 */
export async function gradientNorms(loss: Tensor, states: readonly Tensor[]): Promise<number[]> {
  if (loss.numel() !== 1) throw new ShapeError(`gradientNorms: the loss must have one element: got ${loss.numel()}`)
  if (states.length === 0) return []
  const missing = states.findIndex((state) => !state.requiresGrad)
  if (missing >= 0) throw new GradientError(`gradientNorms: state ${missing} does not require gradients`)
  const grads = grad(loss, states, { allowUnused: true, retainGraph: true })
  const found = grads.filter((g) => g !== null && g.numel() > 0) as Tensor[]
  if (found.length === 0) return grads.map(() => 0)
  // Squares of small gradients vanish, those of large ones overflow: norms are taken relative to the largest element.
  const [largest, relative] = noGrad(() => {
    const tops = found.map((g) => g.abs().max())
    const norms = found.map((g, i) => g.div(where(tops[i].gt(0), tops[i], 1)).norm())
    return [tops, norms].map((list) => stack(list.map((x) => x.to(loss.dtype)), 0)) // prettier-ignore
  })
  const [tops, norms] = await Promise.all([largest.tolist(), relative.tolist()])
  let next = 0
  return grads.map((g) => {
    if (!g || g.numel() === 0) return 0
    const [top, norm] = [Number((tops as number[])[next]), Number((norms as number[])[next++])]
    return top === 0 || !Number.isFinite(top) ? top : top * norm
  })
}

/**
 * Measures the norm of dL/dh_t for every time step of every recurrent layer and cell that runs inside `body`: whether
 * gradients vanish or explode on their way back through time. Calls of one cell count as its time steps. Leaves every
 * `grad` alone.
 *
 * Throws a GradientError if nothing recurrent runs inside, or runs without gradients, and a ShapeError unless the loss has
 * one element.
 *
 * @param body - Computes the loss, anew.
 * @returns One entry for each layer and direction of each call, and for each cell, in the order in which they ran.
 * @example
 * ```ts
 * const rnn = new RNN(1, 8)
 * const [flow] = await gradientFlow(() => rnn.forward(randn(20, 4, 1))[1].sum())
 * console.log(flow.norms.length, flow.norms[0] < flow.norms[19]) // 20 true
 * ```
 */
export async function gradientFlow(body: () => Tensor): Promise<GradientFlow[]> {
  const reports: StepReport[] = []
  const loss = listen((step) => reports.push(step), body)
  if (reports.length === 0) throw new GradientError("gradientFlow: nothing recurrent ran inside")
  const norms = await gradientNorms(loss, reports.flatMap((step) => step.states)) // prettier-ignore
  const flows: (GradientFlow & { readonly run: object })[] = []
  let at = 0
  for (const { module, run, layer, reverse, time, states } of reports) {
    const [first, second] = norms.slice(at, (at += states.length)) as (number | undefined)[]
    let flow = flows.find((known) => known.run === run && known.layer === layer && known.reverse === reverse)
    if (!flow) flows.push((flow = { run, module, layer, reverse, norms: [], second: second === undefined ? null : [] }))
    const t = time ?? flow.norms.length
    flow.norms[t] = first as number
    if (flow.second) flow.second[t] = second as number
  }
  return flows.map(({ module, layer, reverse, norms, second }) => ({ module, layer, reverse, norms, second }))
}
