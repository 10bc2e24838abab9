// Truncated back-propagation through time: training on long sequences in stretches, whose graphs end where they begin.
import { shapeText, ShapeError, ValueError } from "@rondo/backend"
import { cat, checkOptions, type OptionChecks, scope, type Tensor } from "@rondo/core"
import { needTensor } from "../linear.js"
import { mapTensors } from "./tree.js"

/** What {@link tbptt} can train: RNN, LSTM, GRU, and every module with a state that goes in and comes out. */
export interface StatefulModel<S> {
  forward(x: Tensor, state: NoInfer<S> | null): readonly [output: Tensor, state: S, ...rest: unknown[]]
}

/** A sequence and what a model should make of it; both have the same time. */
export interface TrainingSequence {
  readonly input: Tensor
  readonly target: Tensor
}

/** One window, when its gradients are there and its step is taken. */
export interface WindowReport<S> {
  readonly index: number
  /** Time steps of the graph: `start` to `end - 1`. */
  readonly start: number
  readonly end: number
  /** The first time step whose output counted. */
  readonly from: number
  readonly loss: number
  /** The state after the last time step, outside of the graph. */
  readonly state: S
}

/** Options of {@link tbptt}. */
export interface TbpttOptions<S> {
  /** Time steps that gradients go back. */
  readonly window: number
  /** Time steps from window to window, at most `window`. Default `window`. */
  readonly stride?: number
  /** Of outputs and targets of equal time; gives one number. */
  readonly loss: (output: Tensor, target: Tensor) => Tensor
  /** Takes a step after each window, on the gradients of that window alone. Default: gradients add up. */
  readonly optimizer?: { zeroGrad(): void; step(): unknown }
  /** Called before each step of the optimiser, as to clip gradients: `() => clipGradNorm_(model.parameters(), 1)`. */
  readonly clip?: () => unknown
  /** Called after each window, and awaited. */
  readonly onWindow?: (report: WindowReport<S>) => unknown
  /** State before the first time step. Default null: the model's own. */
  readonly state?: S | null
  /** The dim of time: 0, or 1 for sequences `[B, T, …]`. Default 0. */
  readonly timeDim?: number
}

const tbpttChecks: OptionChecks<TbpttOptions<unknown>> = {
  window: "count!",
  stride: "count",
  loss: "function!",
  optimizer: {
    words: "an optimiser (with zeroGrad and step)",
    fits: (x) =>
      typeof x === "object" &&
      x !== null &&
      typeof (x as { step?: unknown }).step === "function" &&
      typeof (x as { zeroGrad?: unknown }).zeroGrad === "function",
  },
  clip: "function",
  onWindow: "function",
  state: "any",
  timeDim: "integer",
}

/** What {@link tbptt} gives. */
export interface TbpttResult<S> {
  /** The loss of each window. */
  readonly losses: number[]
  /** The state after the last time step, outside of the graph: where the next stretch of the same sequence goes on. */
  readonly state: S
}

/** The sequence; throws a ValueError where plain JavaScript handed in none, or no model. */
function needSequence(model: unknown, sequence: TrainingSequence | null | undefined): TrainingSequence {
  if (typeof (model as { forward?: unknown } | null | undefined)?.forward !== "function")
    throw new ValueError(`tbptt: needs a model (with forward), got ${model === null ? "null" : typeof model}`)
  if (typeof sequence !== "object" || sequence === null) {
    throw new ValueError(
      `tbptt: needs a sequence { input, target }, got ${sequence === null ? "null" : typeof sequence}`,
    )
  }
  for (const operand of [sequence.input, sequence.target]) needTensor("tbptt", operand)
  return sequence
}

/**
 * Truncated back-propagation through time, BPTT(window; stride) of Williams and Peng 1990 (TBPTT(k1, k2) with k1 = stride,
 * k2 = window). The state is carried from window to window, the graph is not, so memory does not grow with the sequence.
 * Each output counts once: the first window's all, then the last `stride` of each window. Windows that overlap
 * (stride < window) run their first steps again, from the state that was carried there.
 *
 * With one window as long as the sequence it is plain back-propagation. Each window runs in a `scope`: tensors that the
 * model or the loss makes and stores elsewhere are freed, unless given to `keep`.
 *
 * Throws a ValueError without a model or a sequence, for a window or stride below 1 or a stride above the window, and a ShapeError if input and target
 * differ in time, or the loss is not one number.
 *
 * @example
 * ```ts
 * const model = new GRU(1, 1)
 * const optimizer = new Adam(model.parameters(), { lr: 0.01 })
 * const x = randn(100, 4, 1)
 * const { losses, state } = await tbptt(model, { input: x, target: x.roll(1, 0) }, {
 *   window: 20,
 *   loss: mseLoss,
 *   optimizer,
 *   clip: () => clipGradNorm_(model.parameters(), 1),
 * })
 * console.log(losses.length, state?.shape) // 5 [1, 4, 1]
 * ```
 */
export async function tbptt<S>(
  model: StatefulModel<S>,
  sequence: TrainingSequence,
  options: TbpttOptions<S>,
): Promise<TbpttResult<S>> {
  checkOptions<object>("tbptt", tbpttChecks, options)
  const { window, stride = window, timeDim = 0, optimizer, clip, onWindow } = options
  const { input, target } = needSequence(model, sequence)
  if (stride > window) throw new ValueError(`tbptt: stride must be at most window: got ${stride} for ${window}`)
  const time = input.shape[timeDim]
  if (!time || target.shape[timeDim] !== time) {
    throw new ShapeError(
      `tbptt: got input ${shapeText(input.shape)} and target ${shapeText(target.shape)}, expected the same time along dim ${timeDim}, at least 1`,
    )
  }
  const stretch = (x: Tensor, from: number, to: number) => x.narrow(timeDim, from, to - from)
  const losses: number[] = []
  // The state where the next window starts: set by the window that passes there.
  let carried = (options.state ?? null) as S | null
  let last = carried as S
  for (let index = 0, from = 0; from < time; index++) {
    const start = index * stride
    const end = Math.min(start + window, time)
    optimizer?.zeroGrad()
    const result = scope(() => {
      const lead = Math.min(start + stride, end)
      const [first, middle] = model.forward(stretch(input, start, lead), carried)
      const [rest, after] = lead < end ? model.forward(stretch(input, lead, end), middle) : [null, middle]
      const whole = rest ? cat([first, rest], timeDim) : first
      const loss = options.loss(stretch(whole, from - start, end - start), stretch(target, from, end))
      needTensor("tbptt: the loss", loss)
      if (loss.numel() !== 1) throw new ShapeError(`tbptt: the loss must be one number: got ${shapeText(loss.shape)}`)
      loss.backward()
      clip?.()
      optimizer?.step()
      return { loss: loss.detach(), middle: detached(middle), after: detached(after) }
    })
    losses.push(await result.loss.item())
    carried = result.middle
    last = result.after
    await onWindow?.({ index, start, end, from, loss: losses[index], state: last })
    from = end
  }
  return { losses, state: last }
}

const detached = <S>(state: S): S => mapTensors(state, (x) => x.detach())
