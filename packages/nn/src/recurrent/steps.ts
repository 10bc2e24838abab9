// What one recurrent layer does at one time step, as pure functions. Sequences, layers and directions are driver.ts's work.
import type { RecurrentCell } from "@rondo/backend"
import { linear, type Tensor } from "@rondo/core"

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

const elman = (cell: RecurrentCell, activate: (x: Tensor) => Tensor): Recurrence => ({
  cell,
  gates: 1,
  states: 1,
  step: (projected, [h], { weight, bias }) => [activate(linear(h, weight, bias).add(projected))],
})

/** The plain recurrences (Elman 1990): h' = f(W_ih x + b_ih + W_hh h + b_hh). */
export const plain = {
  tanh: elman("tanh", (x) => x.tanh()),
  relu: elman("relu", (x) => x.relu()),
} as const satisfies Record<string, Recurrence>

/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates), gates packed as input, forget, cell, output:
 * c' = f c + i g, h' = o tanh(c') (https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html). With a projection,
 * h' = W_hr (o tanh(c')) (Sak et al. 2014, https://arxiv.org/abs/1402.1128).
 */
export const lstm: Recurrence = {
  cell: "lstm",
  gates: 4,
  states: 2,
  step: (projected, [h, c], { weight, bias, projection }) => {
    const [input, forget, cell, output] = linear(h, weight, bias).add(projected).chunk(4, 1)
    const next = forget.sigmoid().mul(c).add(input.sigmoid().mul(cell.tanh()))
    const shown = output.sigmoid().mul(next.tanh())
    return [projection ? linear(shown, projection) : shown, next]
  },
}

/**
 * Gated recurrent unit (Cho et al. 2014), gates packed as reset, update, new; the reset gate acts after the product:
 * n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h
 * (https://pytorch.org/docs/stable/generated/torch.nn.GRU.html).
 */
export const gru: Recurrence = {
  cell: "gru",
  gates: 3,
  states: 1,
  step: (projected, [h], { weight, bias }) => {
    const [inReset, inUpdate, inNew] = projected.chunk(3, 1)
    const [hReset, hUpdate, hNew] = linear(h, weight, bias).chunk(3, 1)
    const reset = hReset.add(inReset).sigmoid()
    const update = hUpdate.add(inUpdate).sigmoid()
    const fresh = inNew.add(hNew.mul(reset)).tanh()
    return [h.sub(fresh).mul(update).add(fresh)]
  },
}
