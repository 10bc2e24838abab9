// Notebook 004's models: a layer of neurons for two time steps, and a cell that keeps its state from call to call.
import { matmul, Module, randn, RNNCell, type Tensor, zeros } from "rondo"

/** A layer of neurons, unrolled for two steps. Its weights are drawn from a normal distribution and are not trained. */
export class TwoStepRNN extends Module {
  readonly #wx: Tensor
  readonly #wy: Tensor
  readonly #b: Tensor
  constructor(inputs: number, neurons: number) {
    super()
    this.#wx = randn(inputs, neurons)
    this.#wy = randn(neurons, neurons)
    this.#b = zeros(1, neurons)
  }
  /** Two inputs `[B, inputs]`; gives the outputs at both times, `[B, neurons]` each. */
  forward(x0: Tensor, x1: Tensor): [Tensor, Tensor] {
    const y0 = matmul(x0, this.#wx).add(this.#b).tanh()
    const y1 = matmul(y0, this.#wy).add(matmul(x1, this.#wx)).add(this.#b).tanh()
    return [y0, y1]
  }
}

/** A cell in a loop, with a random first state, that goes on from its last state at the next call. */
export class CarryingRNN extends Module {
  rnn: RNNCell
  /** `[batch, neurons]`; moves on with every call. */
  hx: Tensor
  constructor(batch: number, inputs: number, neurons: number) {
    super()
    this.rnn = new RNNCell(inputs, neurons)
    this.hx = randn(batch, neurons)
  }
  /** x `[T, batch, inputs]`; gives the states after every step, and the last. */
  forward(x: Tensor): [outputs: Tensor[], last: Tensor] {
    const outputs: Tensor[] = []
    for (let t = 0; t < x.shape[0]; t++) {
      this.hx = this.rnn.forward(x.select(0, t), this.hx)
      outputs.push(this.hx)
    }
    return [outputs, this.hx]
  }
}
