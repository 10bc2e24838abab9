// The recurrent layers over sequences, as torch.nn has them: RNN, GRU and LSTM. What they share is layer.ts's.
import { ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks, type Tensor } from "@rondo/core"
import { recurrentChecks, RecurrentLayer, type RecurrentOptions } from "./layer.js"
import type { PackedSequence } from "./packed.js"
import { gru, lstm, plain } from "./steps.js"

/** What h turns into: the nonlinearity of {@link RNN} and RNNCell. */
export type RNNNonlinearity = keyof typeof plain

// PyTorch says so too: whoever asks for it means an LSTM, not another option.
function refuseProjection(layer: string, options: object | undefined): void {
  if (typeof options === "object" && options !== null && "projSize" in options)
    throw new ValueError(`${layer}: projSize is an option of LSTM alone, not of RNN or GRU`)
}

/** Options of {@link RNN}. */
export interface RNNOptions extends RecurrentOptions {
  /** Default tanh. */
  readonly nonlinearity?: RNNNonlinearity
}

const rnnChecks: OptionChecks<RNNOptions> = { nonlinearity: ["tanh", "relu"], ...recurrentChecks }

/** A layer with one state tensor. */
abstract class SingleStateLayer extends RecurrentLayer {
  /**
   * @param x - `[T, B, inputSize]`, `[B, T, inputSize]` with batchFirst, or `[T, inputSize]` without a batch; or a
   * {@link PackedSequence} with data `[N, inputSize]`.
   * @param h0 - `[layers * directions, B, hiddenSize]`, without B for x without a batch. Default zeros.
   * @returns Outputs of the last layer at every time, `[T, B, directions * hiddenSize]` in the layout of x (packed if x is),
   * and the last state of every layer, shaped as h0. States of packed sequences are in the order in which the sequences
   * were given, and those of each are its own last.
   */
  forward(x: Tensor, h0?: Tensor | null): [output: Tensor, hn: Tensor]
  forward(x: PackedSequence, h0?: Tensor | null): [output: PackedSequence, hn: Tensor]
  forward<X extends Tensor | PackedSequence>(x: X, h0: Tensor | null = null): [output: X, hn: Tensor] {
    const { output, finals } = this.run(x, h0 === null ? null : [h0])
    return [output, finals[0]]
  }
}

/**
 * A plain recurrent layer (Elman 1990): h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu in tanh's place.
 *
 * Throws a ValueError for bad options; `forward` a ShapeError or DTypeError if x or h0 do not fit.
 *
 * @example
 * ```ts
 * const rnn = new RNN(5, 2, { batchFirst: true })
 * const [output, hn] = rnn.forward(randn(3, 4, 5)) // [3, 4, 2] and [1, 3, 2]
 * ```
 */
export class RNN extends SingleStateLayer {
  readonly nonlinearity: RNNNonlinearity
  constructor(inputSize: number, hiddenSize: number, options?: RNNOptions) {
    refuseProjection("RNN", options)
    const { nonlinearity = "tanh", ...shared } = checkOptions("RNN", rnnChecks, options)
    super({ name: "RNN", recurrence: plain[nonlinearity] }, inputSize, hiddenSize, shared)
    this.nonlinearity = nonlinearity
  }
}

/**
 * A gated recurrent layer (GRU, Cho et al. 2014), with PyTorch's formulas and gate order.
 *
 * Throws a ValueError for bad options; `forward` a ShapeError or DTypeError if x or h0 do not fit.
 *
 * @example
 * ```ts
 * const gru = new GRU(5, 2, { numLayers: 2 })
 * const [output, hn] = gru.forward(randn(4, 3, 5)) // [4, 3, 2] and [2, 3, 2]
 * ```
 */
export class GRU extends SingleStateLayer {
  constructor(inputSize: number, hiddenSize: number, options?: RecurrentOptions) {
    refuseProjection("GRU", options)
    super({ name: "GRU", recurrence: gru }, inputSize, hiddenSize, checkOptions("GRU", recurrentChecks, options))
  }
}

/** Options of {@link LSTM}. */
export interface LSTMOptions extends RecurrentOptions {
  /**
   * Project outputs to this size, smaller than the hidden size (Sak et al. 2014, https://arxiv.org/abs/1402.1128);
   * h has it, c has not. 0 for none. Default 0.
   */
  readonly projSize?: number
}

const lstmChecks: OptionChecks<LSTMOptions> = { ...recurrentChecks, projSize: "size" }

/**
 * A long short-term memory layer (LSTM, Hochreiter and Schmidhuber 1997), with PyTorch's formulas and gate order.
 *
 * Throws a ValueError for bad options; `forward` a ShapeError or DTypeError if x or the states do not fit.
 *
 * @example
 * ```ts
 * const lstm = new LSTM(5, 3, { bidirectional: true, projSize: 2 })
 * const [output, [hn, cn]] = lstm.forward(randn(4, 3, 5)) // [4, 3, 4], [2, 3, 2] and [2, 3, 3]
 * ```
 */
export class LSTM extends RecurrentLayer {
  constructor(inputSize: number, hiddenSize: number, options?: LSTMOptions) {
    const { projSize = 0, ...shared } = checkOptions("LSTM", lstmChecks, options)
    super({ name: "LSTM", recurrence: lstm, projSize }, inputSize, hiddenSize, shared)
  }
  /**
   * @param x - As for {@link RNN.forward}.
   * @param state - `[h0, c0]`, `[layers * directions, B, projSize or hiddenSize]` and `[…, B, hiddenSize]` (without B for
   * x without a batch). Default zeros.
   * @returns Outputs, packed if x is, and `[hn, cn]`.
   */
  forward(
    x: Tensor,
    state?: readonly [h0: Tensor, c0: Tensor] | null,
  ): [output: Tensor, state: [hn: Tensor, cn: Tensor]]
  forward(
    x: PackedSequence,
    state?: readonly [h0: Tensor, c0: Tensor] | null,
  ): [output: PackedSequence, state: [hn: Tensor, cn: Tensor]]
  forward<X extends Tensor | PackedSequence>(
    x: X,
    state: readonly [h0: Tensor, c0: Tensor] | null = null,
  ): [output: X, state: [hn: Tensor, cn: Tensor]] {
    if (state !== null && !(Array.isArray(state) && state.length === 2)) {
      throw new ValueError("LSTM: the state must be a pair [h0, c0]")
    }
    const { output, finals } = this.run(x, state)
    return [output, [finals[0], finals[1]]]
  }
}
