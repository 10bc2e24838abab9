// Beam search over a step function. Scores are kept on the host; states stay on the device.
import { ShapeError, shapeText } from "@rondo/backend"
import { checkOptions, noGrad, type OptionChecks, type Tensor, tensor } from "@rondo/core"
import {
  checkLogProbs,
  decodingChecks,
  type DecoderStep,
  type Hypothesis,
  readStart,
  type DecodingOptions,
  type StartTokens,
  stepLogits,
} from "./decoding.js"
import { mapTensors, tensorsOf } from "./tree.js"

/** Options of {@link beamSearch}. */
export interface BeamOptions<S> extends DecodingOptions<S> {
  /** Hypotheses kept for each sequence. Default 4. */
  readonly beamWidth?: number
  /**
   * alpha of ((5 + length) / 6)^alpha, by which the logarithm of the probability is divided (Wu et al. 2016, equation 14,
   * https://arxiv.org/abs/1609.08144); the length counts the end token. Above 0 favours long sequences. Default 0.
   */
  readonly lengthPenalty?: number
  /**
   * The dim of a state tensor that numbers the sequences. Default: 1 for tensors of 3 dims, as recurrent layers have their
   * states, else 0.
   */
  readonly batchDim?: number | ((state: Tensor) => number)
}

const beamChecks: OptionChecks<BeamOptions<unknown>> = {
  ...decodingChecks,
  beamWidth: "count",
  lengthPenalty: "rate",
  batchDim: "integer|function",
}

interface Candidate extends Hypothesis {
  /** The row it continues; -1 for one that had ended before. */
  readonly row: number
  /** Its last token. */
  readonly token: number
}

/** A hypothesis still running, and the sequence of the batch that it belongs to. */
interface Row {
  readonly b: number
  readonly tokens: readonly number[]
  readonly logProb: number
}

/**
 * Keeps the `beamWidth` best hypotheses of each sequence at every step, ended or not, until all of them have ended. Of equal
 * ones, the earlier token wins: with a width of 1 it finds what {@link greedySearch} finds. Runs outside of the graph.
 *
 * The number of rows that `step` is given changes: it must take everything that belongs to a sequence from its state.
 *
 * Throws as {@link greedySearch} does, a ValueError for a width below 1 or a negative penalty, and a ShapeError for state
 * tensors whose `batchDim` has another size than the batch.
 *
 * @param step - From tokens `[rows]` and a state to logits `[rows, V]` and the next state.
 * @param start - One start token a sequence.
 * @returns For each sequence, its hypotheses, the best first; fewer than `beamWidth` where no more are possible.
 * @example
 * ```ts
 * const gru = new GRUCell(6, 8)
 * const [embedding, out] = [randn(6, 6), new Linear(8, 6)]
 * const step = (tokens: Tensor, h: Tensor | null): [Tensor, Tensor] => {
 *   const next = gru.forward(embedding.indexSelect(0, tokens), h)
 *   return [out.forward(next), next]
 * }
 * const [best, second] = (await beamSearch(step, [0], { maxLength: 8, endToken: 5, beamWidth: 3 }))[0]
 * console.log(best.score >= second.score) // true
 * ```
 */
export async function beamSearch<S>(
  step: DecoderStep<S>,
  start: StartTokens,
  options: BeamOptions<S>,
): Promise<Hypothesis[][]> {
  checkOptions("beamSearch", beamChecks, options)
  const { maxLength, endToken, beamWidth = 4, lengthPenalty = 0 } = options
  const score = (logProb: number, length: number) => logProb / ((5 + length) / 6) ** lengthPenalty
  let tokens = readStart("beamSearch", start)
  let state = (options.state ?? null) as S
  let rows: Row[] = Array.from({ length: tokens.shape[0] }, (_, b) => ({ b, tokens: [], logProb: 0 }))
  let beams: Candidate[][] = rows.map(() => [])
  for (let t = 0; t < maxLength; t++) {
    const [logits, next] = stepLogits("beamSearch", step, tokens, state)
    const picks = await likeliest(logits, beamWidth, t)
    // Those that ended before stay in the beam as long as they are good enough.
    const pools = beams.map((beam) => beam.filter(({ ended }) => ended).map((done) => ({ ...done, row: -1 })))
    rows.forEach(({ b, tokens: before, logProb }, row) => {
      for (const pick of picks[row]) {
        const total = logProb + pick.logProb
        const ended = pick.token === endToken
        const written = ended ? [...before] : [...before, pick.token]
        pools[b].push({ tokens: written, logProb: total, score: score(total, t + 1), ended, row, token: pick.token })
      }
    })
    // Sorting is stable: equal scores keep the order of beam and token.
    beams = pools.map((pool) => pool.sort((a, b) => b.score - a.score).slice(0, beamWidth))
    const going = beams.flatMap((beam, b) => beam.filter(({ ended }) => !ended).map((live) => ({ ...live, b })))
    if (going.length === 0 || t + 1 === maxLength) break
    const from = going.map(({ row }) => row)
    state = regrouped(next, from, rows.length, options.batchDim)
    tokens = tensor(going.map(({ token }) => token), { dtype: tokens.dtype, device: logits.device }) // prettier-ignore
    rows = going
  }
  return beams.map((beam) => beam.map(({ tokens, logProb, score, ended }) => ({ tokens, logProb, score, ended })))
}

/** The likeliest tokens of each row; impossible ones are left out. */
async function likeliest(logits: Tensor, width: number, t: number): Promise<{ token: number; logProb: number }[][]> {
  const [top, positions] = noGrad(() => logits.logSoftmax(1).topk(Math.min(width, logits.shape[1]), 1))
  const [values, ids] = (await Promise.all([top.tolist(), positions.tolist()])) as [number[][], number[][]]
  return values.map((row, i) => {
    checkLogProbs("beamSearch", row, t)
    return row
      .map((logProb, k) => ({ token: ids[i][k], logProb }))
      .filter(({ logProb }) => logProb > -Infinity)
  }) // prettier-ignore
}

/** The states of the rows `from`, in that order. */
function regrouped<S>(state: S, from: readonly number[], rows: number, batchDim: BeamOptions<S>["batchDim"]): S {
  if (tensorsOf(state).length === 0 || (from.length === rows && from.every((row, i) => row === i))) return state
  return noGrad(() =>
    mapTensors(state, (x) => {
      const dim = typeof batchDim === "function" ? batchDim(x) : (batchDim ?? (x.ndim === 3 ? 1 : 0))
      if (x.shape[dim] !== rows) {
        throw new ShapeError(
          `beamSearch: got a state ${shapeText(x.shape)}, expected ${rows} sequences along dim ${dim}; say which dim it is with batchDim`,
        )
      }
      return x.indexSelect(dim, tensor([...from], { dtype: "int32", device: x.device }))
    }),
  )
}
