// Runs a recurrence over whole sequences: time, layers, directions and dropout between layers. Knows no kind of recurrence.
import { cat, linear, stack, type Tensor } from "@rondo/core"
import { dropout } from "../dropout.js"
import type { HiddenWeights, Recurrence } from "./steps.js"

/** The weights of one layer in one direction. */
export interface LayerWeights {
  /** `[gates * H, layer input]` */
  readonly weightIh: Tensor
  /** `[gates * H]` */
  readonly biasIh: Tensor | null
  readonly hidden: HiddenWeights
}

/** What the driver must know beside the weights. */
export interface Plan {
  readonly recurrence: Recurrence
  /** Per layer, then per direction. */
  readonly layers: readonly (readonly LayerWeights[])[]
  /** Probability of zeroing what passes from one layer to the next; 0 outside of training. */
  readonly dropout: number
}

/** One layer in one direction over `x` [T, B, I]: outputs by time and the last state. */
function runDirection(
  recurrence: Recurrence,
  { weightIh, biasIh, hidden }: LayerWeights,
  x: Tensor,
  initial: readonly Tensor[],
  backwards: boolean,
): { outputs: Tensor[]; last: readonly Tensor[] } {
  // One tall product for all time steps; only the state's product is left to the loop.
  const steps = linear(x, weightIh, biasIh).unbind(0)
  const outputs = new Array<Tensor>(steps.length)
  let state = initial
  for (let i = 0; i < steps.length; i++) {
    const t = backwards ? steps.length - 1 - i : i
    state = recurrence.step(steps[t], state, hidden)
    outputs[t] = state[0]
  }
  return { outputs, last: state }
}

/**
 * Runs all layers over `x` [T, B, I], time-major. `initial` holds the start of each state tensor as [layers * directions, B, H].
 * Gives the last layer's outputs [T, B, directions * H] and the last states, shaped as `initial`.
 */
export function runLayers(
  { recurrence, layers, dropout: p }: Plan,
  x: Tensor,
  initial: readonly Tensor[],
): { output: Tensor; finals: Tensor[] } {
  const starts = initial.map((state) => state.unbind(0))
  const lasts: Tensor[][] = initial.map(() => [])
  let output = x
  let row = 0
  layers.forEach((directions, layer) => {
    const input = output
    const sequences = directions.map((weights, direction) => {
      const state = starts.map((states) => states[row])
      const { outputs, last } = runDirection(recurrence, weights, input, state, direction === 1)
      last.forEach((value, i) => lasts[i].push(value))
      row++
      return stack(outputs, 0)
    })
    output = sequences.length === 1 ? sequences[0] : cat(sequences, 2)
    // Drawn over the time-major sequence, whatever the layout of the caller: PyTorch's order.
    if (p > 0 && layer < layers.length - 1) output = dropout(output, p)
  })
  return { output, finals: lasts.map((states) => stack(states, 0)) }
}
