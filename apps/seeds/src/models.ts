// The models of notebooks 002 and 003, and of the forecast: recurrences written out or from the library, with a read-out.
import { type GRU, Linear, type LSTM, Module, RNN, type Tensor, zeros } from "rondo"

/** Sizes of a model: features in, neurons, features out. */
export type Sizes = readonly [inputs: number, neurons: number, outputs: number]

/** A recurrence written out with linear layers, as notebook 002 does: h = tanh(W x + b + U h). */
export class SteppedRNN extends Module {
  readonly neurons: number
  inputWeights: Linear
  recurrentWeights: Linear
  fc: Linear
  constructor(inputs: number, neurons: number, outputs: number) {
    super()
    this.neurons = neurons
    this.inputWeights = new Linear(inputs, neurons)
    this.recurrentWeights = new Linear(neurons, neurons, { bias: false })
    this.fc = new Linear(neurons, outputs)
  }
  /** xs `[B, T]` or `[B, T, inputs]`; gives `[B, outputs]`. */
  forward(xs: Tensor): Tensor {
    const sequence = xs.ndim === 2 ? xs.unsqueeze(2) : xs
    const [batch, time] = sequence.shape
    let h = zeros(batch, this.neurons)
    for (let t = 0; t < time; t++) {
      h = this.inputWeights.forward(sequence.select(1, t)).add(this.recurrentWeights.forward(h)).tanh()
    }
    return this.fc.forward(h)
  }
}

/** The library's layer, read out from its final state. */
export class LastStateRNN extends Module {
  rnn: RNN
  fc: Linear
  constructor(inputs: number, neurons: number, outputs: number) {
    super()
    this.rnn = new RNN(inputs, neurons, { batchFirst: true })
    this.fc = new Linear(neurons, outputs)
  }
  /** xs `[B, T, inputs]`; gives `[B, outputs]`. */
  forward(xs: Tensor): Tensor {
    const h0 = zeros(1, xs.shape[0], this.rnn.hiddenSize)
    const [, hn] = this.rnn.forward(xs, h0)
    return this.fc.forward(hn.squeeze(0))
  }
}

/** Which recurrent layer. */
export type Recurrence = typeof RNN | typeof LSTM | typeof GRU

/** A layer of the library, read out from its last output: notebook 003's classifier, and what gates are compared in. */
export class LastOutputRNN extends Module {
  rnn: RNN | LSTM | GRU
  fc: Linear
  constructor(inputs: number, neurons: number, outputs: number, Layer: Recurrence = RNN) {
    super()
    this.rnn = new Layer(inputs, neurons, { batchFirst: true })
    this.fc = new Linear(neurons, outputs)
  }
  /** x `[B, T, inputs]`; gives `[B, outputs]`. */
  forward(x: Tensor): Tensor {
    const [output] = (this.rnn as RNN).forward(x) // the three differ only in their states
    return this.fc.forward(output.select(1, -1))
  }
}

/** How many numbers a model learns. */
export const parameterCount = (model: Module): number => model.parameters().reduce((sum, p) => sum + p.numel(), 0)
