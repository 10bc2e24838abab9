// What one recurrent layer does at one time step, as pure functions. Sequences, layers and directions are driver.ts's work.
import { type RecurrentCell, recurrentCells } from "@rondo/backend"
import { linear, recurrentStep, recurrentSteps, type Tensor } from "@rondo/core"
import { listening } from "./probe.js"

/** The weights that a step applies to the state. */
export interface HiddenWeights {
  /** `[gates * H, H]` */
  readonly weight: Tensor
  /** `[gates * H]` */
  readonly bias: Tensor | null
  /** `[P, H]`: what an LSTM multiplies its output with before it is handed on. Default none. */
  readonly projection?: Tensor | null
}

/** One kind of recurrence. The first of its state tensors is also its output. Every step makes new state tensors. */
export interface Recurrence {
  /** What the kernels over whole sequences call it. They know no projection. */
  readonly cell: RecurrentCell
  /** Rows of the weights per hidden unit: packed gates in PyTorch's order. */
  readonly gates: number
  /** State tensors, each `[B, H]`: (h) or (h, c). */
  readonly states: number
  /** The next state from the projected input `[B, gates * H]` (weight_ih x + bias_ih) and the last state. */
  readonly step: (projected: Tensor, state: readonly Tensor[], hidden: HiddenWeights) => Tensor[]
}

const recurrence = (cell: RecurrentCell): Recurrence => ({
  cell,
  gates: recurrentCells[cell].gates,
  states: cell === "lstm" ? 2 : 1,
  step: (projected, state, { weight, bias, projection }) => {
    // Who watches gradients wants those of a state along all its paths, also those inside the step.
    if (!projection && !listening()) return recurrentStep(cell, projected, weight, bias, state)
    const [h, ...others] = recurrentSteps[cell](projected, linear(state[0], weight, bias), state)
    return [projection ? linear(h, projection) : h, ...others]
  },
})

/** The plain recurrences (Elman 1990): h' = f(W_ih x + b_ih + W_hh h + b_hh). */
export const plain = { tanh: recurrence("tanh"), relu: recurrence("relu") } as const

/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates), gates packed as input, forget, cell, output.
 * With a projection, h' = W_hr (o tanh(c')) (Sak et al. 2014, https://arxiv.org/abs/1402.1128).
 */
export const lstm: Recurrence = recurrence("lstm")

/** Gated recurrent unit (Cho et al. 2014), gates packed as reset, update, new; the reset gate acts after the product. */
export const gru: Recurrence = recurrence("gru")
