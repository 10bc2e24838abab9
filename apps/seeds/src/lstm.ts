// Notebook 004: the three steps of an LSTM, written out gate by gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
import { cat, linear, type LSTMCell, type Tensor } from "rondo"

/** The state between steps: what is shown and what is remembered, `[B, H]` each. */
export interface LSTMState {
  readonly h: Tensor
  readonly c: Tensor
}

/** Every quantity of one step, `[B, H]` each. */
export interface LSTMGates {
  readonly forget: Tensor
  readonly input: Tensor
  readonly candidate: Tensor
  readonly output: Tensor
  readonly cell: Tensor
  readonly hidden: Tensor
}

/** W · [h, x] + b for one gate: PyTorch keeps the rows of the gates i, f, g, o on top of each other. */
function gate(cell: LSTMCell, index: number, x: Tensor, h: Tensor): Tensor {
  const rows = (p: Tensor): Tensor => p.narrow(0, index * cell.hiddenSize, cell.hiddenSize)
  const weight = cat([rows(cell.weight_hh), rows(cell.weight_ih)], 1) // [H, H + I]
  const bias = rows(cell.bias_ih!).add(rows(cell.bias_hh!))
  return linear(cat([h, x], 1), weight, bias)
}

/** One step by hand with the weights of `cell`, and the same step by the cell itself. */
export function lstmSteps(cell: LSTMCell, x: Tensor, { h, c }: LSTMState): { gates: LSTMGates; library: LSTMState } {
  // Step 1: how much of the past to keep.
  const forget = gate(cell, 1, x, h).sigmoid()
  // Step 2: what to add to it, and how much.
  const input = gate(cell, 0, x, h).sigmoid()
  const candidate = gate(cell, 2, x, h).tanh()
  const next = forget.mul(c).add(input.mul(candidate))
  // Step 3: what of it to show.
  const output = gate(cell, 3, x, h).sigmoid()
  const hidden = output.mul(next.tanh())
  const [libraryH, libraryC] = cell.forward(x, [h, c])
  return { gates: { forget, input, candidate, output, cell: next, hidden }, library: { h: libraryH, c: libraryC } }
}
