// Runs a recurrence over whole sequences: time, layers, directions and dropout between layers. Knows no kind of recurrence.
import { cat, linear, stack, type Tensor } from "@rondo/core"
import { dropout } from "../dropout.js"
import { report } from "./probe.js"
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
  /** On whose behalf: named to those who listen. */
  readonly module: object
}

/** How a sequence lies in one tensor: into time steps and back. Rows of a step are sorted, and never more than before. */
interface Layout {
  readonly split: (x: Tensor) => Tensor[]
  readonly join: (steps: readonly Tensor[]) => Tensor
}
const dense: Layout = { split: (x) => x.unbind(0), join: (steps) => stack(steps, 0) }
const packed = (sizes: readonly number[]): Layout => ({
  split: (x) => x.split(sizes, 0),
  join: (steps) => (steps.length === 1 ? steps[0] : cat(steps, 0)),
})

type States = readonly Tensor[]
const rowsOf = (states: States): number => states[0].shape[0]
const rows = (states: States, start: number, count: number): States =>
  start === 0 && count === rowsOf(states) ? states : states.map((state) => state.narrow(0, start, count))
const joinRows = (parts: readonly States[]): States =>
  parts.length === 1 ? parts[0] : parts[0].map((_, i) => cat(parts.map((part) => part[i]), 0)) // prettier-ignore

interface Direction {
  readonly recurrence: Recurrence
  readonly hidden: HiddenWeights
  /** Called with each new state. */
  readonly heard: (time: number, states: States) => void
}
interface Run {
  readonly outputs: Tensor[]
  readonly last: States
}

/** From the first step to the last: sequences end one after another, from the last row up, and leave their final state. */
function runForwards({ recurrence, hidden, heard }: Direction, steps: readonly Tensor[], initial: States): Run {
  const outputs: Tensor[] = []
  const ended: States[] = []
  let state = initial
  steps.forEach((step, time) => {
    const going = step.shape[0]
    if (going < rowsOf(state)) {
      ended.push(rows(state, going, rowsOf(state) - going))
      state = rows(state, 0, going)
    }
    state = recurrence.step(step, state, hidden)
    heard(time, state)
    outputs.push(state[0])
  })
  return { outputs, last: joinRows([state, ...ended.reverse()]) }
}

/** From the last step to the first: each sequence joins with its own initial state where it has its last element. */
function runBackwards({ recurrence, hidden, heard }: Direction, steps: readonly Tensor[], initial: States): Run {
  const outputs = new Array<Tensor>(steps.length)
  let state = rows(initial, 0, steps[steps.length - 1].shape[0])
  for (let time = steps.length - 1; time >= 0; time--) {
    const going = steps[time].shape[0]
    const joining = going - rowsOf(state)
    if (joining > 0) state = joinRows([state, rows(initial, rowsOf(state), joining)])
    state = recurrence.step(steps[time], state, hidden)
    heard(time, state)
    outputs[time] = state[0]
  }
  return { outputs, last: state }
}

/**
 * Runs all layers over `x`, time-major: [T, B, I], or packed [N, I] with the number of rows of every step.
 * `initial` holds the start of each state tensor as [layers * directions, B, H]. Gives the last layer's outputs
 * [T, B, directions * H] or [N, directions * H], and the last states, shaped as `initial`.
 */
export function runLayers(
  { recurrence, layers, dropout: p, module }: Plan,
  x: Tensor,
  initial: readonly Tensor[],
  batchSizes: readonly number[] | null = null,
): { output: Tensor; finals: Tensor[] } {
  const layout = batchSizes ? packed(batchSizes) : dense
  const starts = initial.map((state) => state.unbind(0))
  const lasts: Tensor[][] = initial.map(() => [])
  let output = x
  let row = 0
  layers.forEach((directions, layer) => {
    const input = output
    const sequences = directions.map(({ weightIh, biasIh, hidden }, direction) => {
      const reverse = direction === 1
      const heard = (time: number, states: States) => report({ module, layer, reverse, time, states })
      // One tall product for all time steps; only the state's product is left to the loop.
      const steps = layout.split(linear(input, weightIh, biasIh))
      const start = starts.map((states) => states[row])
      const run = reverse ? runBackwards : runForwards
      const { outputs, last } = run({ recurrence, hidden, heard }, steps, start)
      last.forEach((value, i) => lasts[i].push(value))
      row++
      return layout.join(outputs)
    })
    output = sequences.length === 1 ? sequences[0] : cat(sequences, -1)
    // Drawn over the time-major sequence, whatever the layout of the caller: PyTorch's order.
    if (p > 0 && layer < layers.length - 1) output = dropout(output, p)
  })
  return { output, finals: lasts.map((states) => stack(states, 0)) }
}
