// Recurrent cells: one time step as a layer, for loops that a user writes.
import { DTypeError, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, linear, type OptionChecks, sharedZeros, type Tensor } from "@rondo/core"
import { uniform_ } from "../init.js"
import { checkSize, needTensor } from "../linear.js"
import { Module } from "../module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "../parameter.js"
import { report } from "./probe.js"
import type { RNNNonlinearity } from "./recurrent.js"
import { gru, lstm, plain, type Recurrence } from "./steps.js"

/** Options of {@link LSTMCell} and {@link GRUCell}. */
export interface CellOptions extends FactoryOptions {
  /** Learn offsets. Default true. */
  readonly bias?: boolean
}

const cellChecks: OptionChecks<CellOptions> = { bias: "flag", ...factoryChecks }

/** What all cells share. */
export abstract class RecurrentCell extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly bias: boolean
  /** `[gates * hiddenSize, inputSize]` */
  weight_ih: Parameter
  /** `[gates * hiddenSize, hiddenSize]` */
  weight_hh: Parameter
  /** `[gates * hiddenSize]` */
  bias_ih: Parameter | null
  /** `[gates * hiddenSize]` */
  bias_hh: Parameter | null
  readonly #recurrence: Recurrence
  readonly #name: string

  constructor(name: string, recurrence: Recurrence, inputSize: number, hiddenSize: number, options?: CellOptions) {
    super()
    const { bias = true, ...factory } = checkOptions(name, cellChecks, options)
    checkSize(name, "inputSize", inputSize)
    checkSize(name, "hiddenSize", hiddenSize, 1)
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    this.bias = bias
    this.#recurrence = recurrence
    this.#name = name
    const rows = recurrence.gates * hiddenSize
    this.weight_ih = emptyParameter([rows, inputSize], factory)
    this.weight_hh = emptyParameter([rows, hiddenSize], factory)
    this.bias_ih = bias ? emptyParameter([rows], factory) : null
    this.bias_hh = bias ? emptyParameter([rows], factory) : null
    this.resetParameters()
  }
  /** Draws all start values anew: uniform within ±1/sqrt(hiddenSize). */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize)
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound)
  }

  /** One step from the given states, or zeros. */
  protected step(x: Tensor, given: readonly Tensor[] | null): Tensor[] {
    this.#check(x, given ?? [])
    const batched = x.ndim === 2
    const rows = batched ? x : x.unsqueeze(0)
    const start = given ? given.map((state) => (batched ? state : state.unsqueeze(0))) : this.#zeros(rows.shape[0], x)
    const projected = linear(rows, this.weight_ih, this.bias_ih)
    const next = this.#recurrence.step(projected, start, { weight: this.weight_hh, bias: this.bias_hh })
    report({ module: this, run: this, layer: 0, reverse: false, time: null, states: next })
    return batched ? next : next.map((state) => state.squeeze(0))
  }
  #zeros(batch: number, x: Tensor): Tensor[] {
    const start = sharedZeros([batch, this.hiddenSize], x)
    return Array.from({ length: this.#recurrence.states }, () => start)
  }
  #check(x: Tensor, states: readonly Tensor[]): void {
    for (const value of [x, ...states]) needTensor(this.#name, value)
    if ((x.ndim !== 1 && x.ndim !== 2) || x.shape[x.ndim - 1] !== this.inputSize) {
      throw new ShapeError(
        `${this.#name}: got x ${shapeText(x.shape)}, expected [B, ${this.inputSize}] or [${this.inputSize}]`,
      )
    }
    const expected = [...x.shape.slice(0, -1), this.hiddenSize]
    states.forEach((state, i) => {
      if (state.ndim === expected.length && state.shape.every((size, d) => size === expected[d])) return
      throw new ShapeError(
        `${this.#name}: got ${i === 0 ? "h" : "c"} ${shapeText(state.shape)}, expected ${shapeText(expected)} for x ${shapeText(x.shape)}`,
      )
    })
    const other = [x, ...states].find((value) => value.dtype !== this.weight_ih.dtype)
    if (other) {
      throw new DTypeError(
        `${this.#name}: got x or state of ${other.dtype}, expected ${this.weight_ih.dtype} as the weights; convert it with .to`,
      )
    }
  }
  protected override extraRepr(): string {
    return `${this.inputSize}, ${this.hiddenSize}${this.bias ? "" : ", bias=False"}`
  }
}

/** Options of {@link RNNCell}. */
export interface RNNCellOptions extends CellOptions {
  /** Default tanh. */
  readonly nonlinearity?: RNNNonlinearity
}

const rnnCellChecks: OptionChecks<RNNCellOptions> = { nonlinearity: ["tanh", "relu"], ...cellChecks }

/**
 * One step of a plain recurrence: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu in tanh's place.
 *
 * Throws a ValueError for bad options; `forward` a ShapeError or DTypeError if x or h do not fit.
 *
 * @example
 * ```ts
 * const cell = new RNNCell(3, 5)
 * let h = zeros(2, 5)
 * for (const x of randn(4, 2, 3).unbind(0)) h = cell.forward(x, h)
 * console.log(h.shape) // [2, 5]
 * ```
 */
export class RNNCell extends RecurrentCell {
  readonly nonlinearity: RNNNonlinearity
  constructor(inputSize: number, hiddenSize: number, options?: RNNCellOptions) {
    const { nonlinearity = "tanh", ...shared } = checkOptions("RNNCell", rnnCellChecks, options)
    super("RNNCell", plain[nonlinearity], inputSize, hiddenSize, shared)
    this.nonlinearity = nonlinearity
  }
  /** x `[B, inputSize]` or `[inputSize]`, h `[B, hiddenSize]` or `[hiddenSize]` (default zeros); gives the next h. */
  forward(x: Tensor, h: Tensor | null = null): Tensor {
    return this.step(x, h === null ? null : [h])[0]
  }
  protected override extraRepr(): string {
    return super.extraRepr() + (this.nonlinearity === "tanh" ? "" : `, nonlinearity=${this.nonlinearity}`)
  }
}

/**
 * One step of a GRU: see {@link GRU}.
 *
 * @example
 * ```ts
 * const h = new GRUCell(3, 5).forward(randn(2, 3)) // [2, 5]
 * ```
 */
export class GRUCell extends RecurrentCell {
  constructor(inputSize: number, hiddenSize: number, options?: CellOptions) {
    super("GRUCell", gru, inputSize, hiddenSize, options)
  }
  /** As {@link RNNCell.forward}. */
  forward(x: Tensor, h: Tensor | null = null): Tensor {
    return this.step(x, h === null ? null : [h])[0]
  }
}

/**
 * One step of an LSTM: see {@link LSTM}.
 *
 * @example
 * ```ts
 * const [h, c] = new LSTMCell(3, 5).forward(randn(2, 3)) // [2, 5] each
 * ```
 */
export class LSTMCell extends RecurrentCell {
  constructor(inputSize: number, hiddenSize: number, options?: CellOptions) {
    super("LSTMCell", lstm, inputSize, hiddenSize, options)
  }
  /** x `[B, inputSize]` or `[inputSize]`, state `[h, c]` (default zeros); gives the next `[h, c]`. */
  forward(x: Tensor, state: readonly [h: Tensor, c: Tensor] | null = null): [h: Tensor, c: Tensor] {
    if (state !== null && !(Array.isArray(state) && state.length === 2)) {
      throw new ValueError("LSTMCell: the state must be a pair [h, c]")
    }
    const [h, c] = this.step(x, state)
    return [h, c]
  }
}
