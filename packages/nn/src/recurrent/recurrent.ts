// The recurrent layers over sequences: their options, weights and the shapes they take. The loop is driver.ts's.
import { DTypeError, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { type Tensor, zeros } from "@rondo/core"
import { checkProbability } from "../dropout.js"
import { uniform_ } from "../init.js"
import { checkSize } from "../linear.js"
import { Module } from "../module.js"
import { emptyParameter, type FactoryOptions, type Parameter } from "../parameter.js"
import { type LayerWeights, runLayers } from "./driver.js"
import { gru, lstm, plain, type Recurrence } from "./steps.js"

/** Options of {@link RNN}, {@link LSTM} and {@link GRU}. */
export interface RecurrentOptions extends FactoryOptions {
  /** Layers stacked on each other. Default 1. */
  readonly numLayers?: number
  /** Learn offsets. Default true. */
  readonly bias?: boolean
  /** Sequences are `[B, T, …]` instead of `[T, B, …]`; states are not touched by it. Default false. */
  readonly batchFirst?: boolean
  /** Probability of zeroing each output of each layer but the last while training. No effect with one layer. Default 0. */
  readonly dropout?: number
  /** Also read backwards; outputs of both directions are joined. Default false. */
  readonly bidirectional?: boolean
}

/** What all recurrent layers share. Weights are fields by PyTorch's names: `layer.weight_ih_l0`, `layer.bias_hh_l1_reverse`. */
export abstract class RecurrentLayer extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bias: boolean
  readonly batchFirst: boolean
  readonly dropout: number
  readonly bidirectional: boolean;
  /** `weight_ih_l0` [gates H, I], `weight_hh_l0` [gates H, H], with `_reverse` for the way back. */
  [name: `weight_${string}`]: Parameter
  /** `bias_ih_l0`, `bias_hh_l0` [gates H]. */
  [name: `bias_${string}`]: Parameter
  readonly #recurrence: Recurrence
  readonly #name: string

  constructor(name: string, recurrence: Recurrence, inputSize: number, hiddenSize: number, options: RecurrentOptions) {
    super()
    const {
      numLayers = 1,
      bias = true,
      batchFirst = false,
      dropout = 0,
      bidirectional = false,
      device,
      dtype,
    } = options
    checkSize(name, "inputSize", inputSize)
    checkSize(name, "hiddenSize", hiddenSize, 1)
    checkSize(name, "numLayers", numLayers, 1)
    checkProbability(name, dropout)
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    this.numLayers = numLayers
    this.bias = bias
    this.batchFirst = batchFirst
    this.dropout = dropout
    this.bidirectional = bidirectional
    this.#recurrence = recurrence
    this.#name = name
    const rows = recurrence.gates * hiddenSize
    for (let layer = 0; layer < numLayers; layer++) {
      const width = layer === 0 ? inputSize : hiddenSize * this.#directions
      for (const suffix of this.#suffixes(layer)) {
        this.registerParameter(`weight_ih_${suffix}`, emptyParameter([rows, width], { device, dtype }))
        this.registerParameter(`weight_hh_${suffix}`, emptyParameter([rows, hiddenSize], { device, dtype }))
        if (!bias) continue
        this.registerParameter(`bias_ih_${suffix}`, emptyParameter([rows], { device, dtype }))
        this.registerParameter(`bias_hh_${suffix}`, emptyParameter([rows], { device, dtype }))
      }
    }
    this.resetParameters()
  }
  get #directions(): number {
    return this.bidirectional ? 2 : 1
  }
  #suffixes(layer: number): string[] {
    return this.bidirectional ? [`l${layer}`, `l${layer}_reverse`] : [`l${layer}`]
  }
  /** Draws all start values anew: uniform within ±1/sqrt(hiddenSize), in PyTorch's order. */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize)
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound)
  }
  #weights(): LayerWeights[][] {
    return Array.from({ length: this.numLayers }, (_, layer) =>
      this.#suffixes(layer).map((suffix) => ({
        weightIh: this[`weight_ih_${suffix}`],
        biasIh: this.bias ? this[`bias_ih_${suffix}`] : null,
        hidden: { weight: this[`weight_hh_${suffix}`], bias: this.bias ? this[`bias_hh_${suffix}`] : null },
      })),
    )
  }

  /** Runs x with the given states, or zeros; states come back in the layout in which x came. */
  protected run(x: Tensor, given: readonly Tensor[] | null): { output: Tensor; finals: Tensor[] } {
    const batched = this.#checkInput(x)
    const timeMajor = !batched ? x.unsqueeze(1) : this.batchFirst ? x.transpose(0, 1) : x
    const initial = this.#initial(x, timeMajor.shape[1], given, batched)
    const plan = {
      recurrence: this.#recurrence,
      layers: this.#weights(),
      dropout: this.training ? this.dropout : 0,
    }
    const { output, finals } = runLayers(plan, timeMajor, initial)
    if (!batched) return { output: output.squeeze(1), finals: finals.map((state) => state.squeeze(1)) }
    return { output: this.batchFirst ? output.transpose(0, 1) : output, finals }
  }
  /** True if x is batched. */
  #checkInput(x: Tensor): boolean {
    const layout = this.batchFirst ? "[B, T, " : "[T, B, "
    if ((x.ndim !== 2 && x.ndim !== 3) || x.shape[x.ndim - 1] !== this.inputSize) {
      throw new ShapeError(
        `${this.#name}: got x ${shapeText(x.shape)}, expected ${layout}${this.inputSize}] or unbatched [T, ${this.inputSize}]`,
      )
    }
    const time = x.ndim === 2 ? x.shape[0] : x.shape[this.batchFirst ? 1 : 0]
    if (time === 0) throw new ShapeError(`${this.#name}: got x ${shapeText(x.shape)}, expected at least one time step`)
    this.#checkDType("x", x)
    return x.ndim === 3
  }
  #checkDType(what: string, x: Tensor): void {
    const { dtype } = this.weight_ih_l0
    if (x.dtype === dtype) return
    throw new DTypeError(
      `${this.#name}: got ${what} of ${x.dtype}, expected ${dtype} as the weights; convert it with .to`,
    )
  }
  /** Start states as [layers * directions, B, H]. */
  #initial(x: Tensor, batch: number, given: readonly Tensor[] | null, batched: boolean): Tensor[] {
    const rows = this.numLayers * this.#directions
    const shape = [rows, batch, this.hiddenSize]
    const names = ["h0", "c0"]
    const count = this.#recurrence.states
    if (!given) {
      const start = zeros(shape, { dtype: x.dtype, device: x.device })
      return Array.from({ length: count }, () => start)
    }
    const expected = batched ? shape : [rows, this.hiddenSize]
    return given.map((state, i) => {
      if (state.ndim !== expected.length || state.shape.some((size, d) => size !== expected[d])) {
        throw new ShapeError(
          `${this.#name}: got ${names[i]} ${shapeText(state.shape)}, expected ${shapeText(expected)} (layers * directions, ${batched ? "batch, " : ""}hidden) for x ${shapeText(x.shape)}`,
        )
      }
      this.#checkDType(names[i], state)
      return batched ? state : state.unsqueeze(1)
    })
  }
  protected override extraRepr(): string {
    const { inputSize, hiddenSize, numLayers, bias, batchFirst, dropout, bidirectional } = this
    return [
      `${inputSize}, ${hiddenSize}`,
      numLayers === 1 ? "" : `num_layers=${numLayers}`,
      bias ? "" : "bias=False",
      batchFirst ? "batch_first=True" : "",
      dropout === 0 ? "" : `dropout=${Number.isInteger(dropout) ? `${dropout}.0` : dropout}`,
      bidirectional ? "bidirectional=True" : "",
    ]
      .filter(Boolean)
      .join(", ")
  }
}

/** What h turns into: the nonlinearity of {@link RNN} and RNNCell. */
export type RNNNonlinearity = keyof typeof plain

/** Throws a ValueError for anything but tanh and relu. */
export function plainRecurrence(layer: string, nonlinearity: string): Recurrence {
  if (Object.hasOwn(plain, nonlinearity)) return plain[nonlinearity as RNNNonlinearity]
  throw new ValueError(`${layer}: unknown nonlinearity: got "${nonlinearity}", expected "tanh" or "relu"`)
}

/** Options of {@link RNN}. */
export interface RNNOptions extends RecurrentOptions {
  /** Default tanh. */
  readonly nonlinearity?: RNNNonlinearity
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
export class RNN extends RecurrentLayer {
  readonly nonlinearity: RNNNonlinearity
  constructor(inputSize: number, hiddenSize: number, { nonlinearity = "tanh", ...options }: RNNOptions = {}) {
    super("RNN", plainRecurrence("RNN", nonlinearity), inputSize, hiddenSize, options)
    this.nonlinearity = nonlinearity
  }
  /**
   * @param x - `[T, B, inputSize]`, `[B, T, inputSize]` with batchFirst, or `[T, inputSize]` without a batch.
   * @param h0 - `[layers * directions, B, hiddenSize]`, without B for x without a batch. Default zeros.
   * @returns Outputs of the last layer at every time, `[T, B, directions * hiddenSize]` in the layout of x, and the last state of every layer, shaped as h0.
   */
  forward(x: Tensor, h0: Tensor | null = null): [output: Tensor, hn: Tensor] {
    const { output, finals } = this.run(x, h0 && [h0])
    return [output, finals[0]]
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
export class GRU extends RecurrentLayer {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super("GRU", gru, inputSize, hiddenSize, options)
  }
  /** As {@link RNN.forward}. */
  forward(x: Tensor, h0: Tensor | null = null): [output: Tensor, hn: Tensor] {
    const { output, finals } = this.run(x, h0 && [h0])
    return [output, finals[0]]
  }
}

/**
 * A long short-term memory layer (LSTM, Hochreiter and Schmidhuber 1997), with PyTorch's formulas and gate order.
 *
 * Throws a ValueError for bad options; `forward` a ShapeError or DTypeError if x or the states do not fit.
 *
 * @example
 * ```ts
 * const lstm = new LSTM(5, 2, { bidirectional: true })
 * const [output, [hn, cn]] = lstm.forward(randn(4, 3, 5)) // [4, 3, 4], [2, 3, 2] and [2, 3, 2]
 * ```
 */
export class LSTM extends RecurrentLayer {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super("LSTM", lstm, inputSize, hiddenSize, options)
  }
  /**
   * @param x - As for {@link RNN.forward}.
   * @param state - `[h0, c0]`, each `[layers * directions, B, hiddenSize]` (without B for x without a batch). Default zeros.
   * @returns Outputs, and `[hn, cn]`.
   */
  forward(
    x: Tensor,
    state: readonly [h0: Tensor, c0: Tensor] | null = null,
  ): [output: Tensor, state: [hn: Tensor, cn: Tensor]] {
    if (state && !(Array.isArray(state) && state.length === 2)) {
      throw new ValueError("LSTM: the state must be a pair [h0, c0]")
    }
    const { output, finals } = this.run(x, state)
    return [output, [finals[0], finals[1]]]
  }
}
