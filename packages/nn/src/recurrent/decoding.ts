// Running a model on its own outputs: numbers fed back as they are, and tokens chosen greedily or drawn. Beams are beam.ts's.
import { DTypeError, isFloat, shapeText, ShapeError, ValueError } from "@rondo/backend"
import {
  checkOptions,
  emptyLike,
  type Generator,
  noGrad,
  type OptionChecks,
  stack,
  Tensor,
  tensor,
  where,
} from "@rondo/core"
import { mix } from "./forcing.js"

/**
 * One step of a decoder: what follows from the last input and state. States are tensors, nested in arrays and plain objects
 * in any way, or null; what a step needs beside its input (encoder outputs, masks) belongs in the state.
 */
export type DecoderStep<S> = (input: Tensor, state: NoInfer<S>) => readonly [output: Tensor, state: S]

// ---- numbers

/** Options of {@link freeRun}. */
export interface FreeRunOptions<S> {
  /** The state before the first step. Default null: for steps that begin by themselves. */
  readonly state?: S
  /** Steps to take. */
  readonly length: number
  /** Makes the next input of an output, such as `(logits) => logits.argmax(-1)`. Default: the output as it is. */
  readonly feed?: (output: Tensor) => Tensor
  /** The true inputs `[length, B, …]`, the first of them behind `start`: what teacher forcing feeds. Default none. */
  readonly targets?: Tensor | null
  /** Probability of feeding the truth, drawn for every step and sequence; see `forcing`. Default 1. */
  readonly forcing?: number
  /** Default: the process-wide generator. */
  readonly generator?: Generator
}

const freeRunChecks: OptionChecks<FreeRunOptions<unknown>> = {
  state: "any",
  length: "count!",
  feed: "function",
  targets: "tensor|null",
  forcing: "probability",
  generator: "generator",
}

/**
 * Runs `step` on what it gave before, a fixed number of times; differentiable. With `targets`, the truth takes the place of
 * its own outputs, always or with the probability `forcing` (scheduled sampling, Bengio et al. 2015).
 *
 * Throws a ValueError for a length below 1 or a probability outside of 0 to 1, and a ShapeError if the targets do not fit.
 *
 * @param step - Gives an output of any shape `[B, …]` and the next state.
 * @param start - The first input.
 * @returns All outputs, `[length, B, …]`, and the last state.
 * @example
 * ```ts
 * const cell = new RNNCell(2, 2)
 * const step = (x: Tensor, h: Tensor | null): [Tensor, Tensor] => {
 *   const next = cell.forward(x, h)
 *   return [next, next]
 * }
 * const [outputs] = freeRun(step, zeros(3, 2), { length: 10 }) // [10, 3, 2]
 * ```
 */
export function freeRun<S>(
  step: DecoderStep<S>,
  start: Tensor,
  options: FreeRunOptions<S>,
): [outputs: Tensor, state: S] {
  checkOptions("freeRun", freeRunChecks, options)
  const { length, feed = (output: Tensor) => output, targets = null, forcing = 1, generator } = options
  if (targets && targets.shape[0] !== length) {
    throw new ShapeError(`freeRun: got targets ${shapeText(targets.shape)}, expected [${length}, B, ...]`)
  }
  const truth = targets?.unbind(0)
  const outputs: Tensor[] = []
  let input = start
  let state = (options.state ?? null) as S
  for (let t = 0; t < length; t++) {
    const [output, next] = step(input, state)
    outputs.push(output)
    state = next
    if (t + 1 === length) break
    // Where all is forced, nothing need be made of outputs.
    input = truth && forcing === 1 ? truth[t] : truth ? mix(feed(output), truth[t], forcing, generator) : feed(output)
  }
  return [stack(outputs, 0), state]
}

// ---- tokens

/** Options of {@link greedySearch}, and of what else chooses tokens. */
export interface DecodingOptions<S> {
  /** The state before the first step. Default null: for steps that begin by themselves. */
  readonly state?: S
  /** Steps at most. */
  readonly maxLength: number
  /** The token that ends a sequence. Default: none does. */
  readonly endToken?: number
}

/** What fits them. */
export const decodingChecks: OptionChecks<DecodingOptions<unknown>> = {
  state: "any",
  maxLength: "count!",
  endToken: "size",
}

/** A sequence that a search found. */
export interface Hypothesis {
  /** The tokens, without the start and the end token. */
  readonly tokens: number[]
  /** Sum of the logarithms of their probabilities, with that of the end token. */
  readonly logProb: number
  /** What hypotheses are ranked by: `logProb`, divided by the length penalty if there is one. */
  readonly score: number
  /** False if the search stopped before the end token. */
  readonly ended: boolean
}

/** Options of {@link sampleTokens}. */
export interface SampleOptions<S> extends DecodingOptions<S> {
  /** Logits are divided by it: below 1 sharpens, above 1 flattens. Default 1. */
  readonly temperature?: number
  /** Draw from so many of the likeliest tokens alone (and those as likely as the last of them). Default: all. */
  readonly topK?: number
  /** Default: the process-wide generator. */
  readonly generator?: Generator
}

const sampleChecks: OptionChecks<SampleOptions<unknown>> = {
  ...decodingChecks,
  temperature: {
    words: "a finite number above 0",
    fits: (x) => typeof x === "number" && x > 0 && x < Infinity,
  },
  topK: "count",
  generator: "generator",
}

/** Start tokens: one a sequence of the batch. */
export type StartTokens = readonly number[] | Tensor

/** @internal Gives the start tokens as int tensor `[B]`. */
export function readStart(name: string, start: StartTokens): Tensor {
  if (!(start instanceof Tensor)) {
    if (!Array.isArray(start)) throw new ValueError(`${name}: start must be a list of tokens or a tensor: got ${String(start)}`) // prettier-ignore
    const bad = start.find((token) => !Number.isInteger(token))
    if (bad !== undefined) throw new ValueError(`${name}: start tokens must be whole numbers: got ${String(bad)}`)
  }
  const tokens = start instanceof Tensor ? start : tensor([...start], { dtype: "int32" })
  if (isFloat(tokens.dtype)) throw new DTypeError(`${name}: start tokens must be whole numbers: got ${tokens.dtype}`)
  if (tokens.ndim !== 1 || tokens.shape[0] === 0) {
    throw new ShapeError(`${name}: got start ${shapeText(tokens.shape)}, expected [B], one token a sequence`)
  }
  return tokens
}

/** @internal One step outside of the graph: logits `[rows, V]`, checked, and the next state. */
export function stepLogits<S>(name: string, step: DecoderStep<S>, tokens: Tensor, state: S): readonly [Tensor, S] {
  const [logits, next] = noGrad(() => step(tokens, state))
  const rows = tokens.shape[0]
  if (logits.ndim !== 2 || logits.shape[0] !== rows || logits.shape[1] === 0) {
    throw new ShapeError(`${name}: the step must give logits [${rows}, V]: got ${shapeText(logits.shape)}`)
  }
  if (!isFloat(logits.dtype)) throw new DTypeError(`${name}: the step must give float logits: got ${logits.dtype}`)
  return [logits, next]
}

/** @internal Throws a ValueError for probabilities that are no numbers. */
export function checkLogProbs(name: string, values: ArrayLike<number | bigint>, t: number): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(Number(values[i]))) throw new ValueError(`${name}: the logits of step ${t} hold NaN`)
  }
}

/** Runs `step` on the tokens that `choose` picks from its logits, until all sequences have ended. */
async function decodeWith<S>(
  name: string,
  step: DecoderStep<S>,
  start: StartTokens,
  options: DecodingOptions<S>,
  choose: (logits: Tensor) => Tensor,
): Promise<Hypothesis[]> {
  const { maxLength, endToken } = options
  let tokens = readStart(name, start)
  let state = (options.state ?? null) as S
  const found = Array.from({ length: tokens.shape[0] }, () => ({ tokens: [] as number[], logProb: 0, ended: false }))
  for (let t = 0; t < maxLength && found.some(({ ended }) => !ended); t++) {
    const [logits, next] = stepLogits(name, step, tokens, state)
    const [chosen, logProbs] = noGrad(() => {
      const picked = choose(logits)
      return [picked, logits.logSoftmax(1).gather(1, picked.unsqueeze(1)).squeeze(1)]
    })
    const [ids, values] = await Promise.all([chosen.tolist(), logProbs.tolist()])
    checkLogProbs(name, values as number[], t)
    found.forEach((sequence, b) => {
      if (sequence.ended) return
      const token = (ids as number[])[b]
      sequence.logProb += (values as number[])[b]
      if (token === endToken) sequence.ended = true
      else sequence.tokens.push(token)
    })
    // Sequences that ended keep their row, and what they are fed no longer matters.
    tokens = chosen.to(tokens.dtype)
    state = next
  }
  return found.map((sequence) => ({ ...sequence, score: sequence.logProb }))
}

/**
 * Feeds back the likeliest token, step by step (of equal ones the first). Runs outside of the graph, and reads every
 * token, so it is awaited.
 *
 * Throws a ValueError for options out of range and for logits that are NaN, and a ShapeError or DTypeError if the start or
 * the logits do not fit.
 *
 * @param step - From tokens `[B]` and a state to logits `[B, V]` and the next state.
 * @param start - One start token a sequence.
 * @returns One hypothesis a sequence.
 * @example
 * ```ts
 * // After token i comes i + 1, and 4 ends.
 * const step = (tokens: Tensor): [Tensor, null] => [eye(5).roll(1, 1).indexSelect(0, tokens).mul(9), null]
 * const [best] = await greedySearch(step, [0], { maxLength: 10, endToken: 4 })
 * console.log(best.tokens, best.ended) // [ 1, 2, 3 ] true
 * ```
 */
export async function greedySearch<S>(
  step: DecoderStep<S>,
  start: StartTokens,
  options: DecodingOptions<S>,
): Promise<Hypothesis[]> {
  checkOptions("greedySearch", decodingChecks, options)
  return decodeWith("greedySearch", step, start, options, (logits) => logits.argmax(1))
}

/**
 * Feeds back tokens drawn by their probabilities: those of `torch.multinomial(probabilities, 1)` after the same seed.
 * Otherwise as {@link greedySearch}; throws a ValueError also for a temperature that is not positive and a topK below 1.
 *
 * @example
 * ```ts
 * const step = (tokens: Tensor): [Tensor, null] => [zeros(tokens.shape[0], 9), null]
 * const [drawn] = await sampleTokens(step, [0], { maxLength: 4, temperature: 0.8, topK: 5 })
 * console.log(drawn.tokens.length) // 4
 * ```
 */
export async function sampleTokens<S>(
  step: DecoderStep<S>,
  start: StartTokens,
  options: SampleOptions<S>,
): Promise<Hypothesis[]> {
  checkOptions("sampleTokens", sampleChecks, options)
  const { temperature = 1, topK, generator } = options
  return decodeWith("sampleTokens", step, start, options, (logits) => {
    const scaled = logits.div(temperature)
    const count = Math.min(topK ?? Infinity, logits.shape[1])
    const least = topK === undefined ? null : scaled.topk(count, 1)[0].narrow(1, count - 1, 1)
    const weights = (least ? where(scaled.lt(least), -Infinity, scaled) : scaled).softmax(1)
    // A race: the smallest of Exp(1) / p wins with probability p. PyTorch draws one sample in this way.
    return weights.div(emptyLike(weights).exponential_(1, generator)).argmax(1)
  })
}
