// Runs a recurrence over whole sequences: time, layers, directions and dropout between layers. Knows no kind of recurrence.
import { cat, linear, recurrent, stack, type Tensor } from "@rondo/core"
import { dropout } from "../dropout.js"
import { listening, report } from "./probe.js"
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

type States = readonly Tensor[]
const rowsOf = (states: States): number => states[0].shape[0]
const rows = (states: States, start: number, count: number): States =>
  start === 0 && count === rowsOf(states) ? states : states.map((state) => state.narrow(0, start, count))
const joinRows = (parts: readonly States[]): States =>
  parts.length === 1 ? parts[0] : parts[0].map((_, i) => cat(parts.map((part) => part[i]), 0)) // prettier-ignore

/** Time steps with one number of rows. A padded batch is one stretch, a packed one has as many as different lengths. */
interface Stretch {
  /** Its first time step. */
  readonly time: number
  readonly rows: number
  /** `[T', rows, …]` */
  readonly x: Tensor
  /** Whether x is nobody else's. */
  readonly own: boolean
}

/** The stretches of projected inputs `[T, B, …]`, or packed `[N, …]` with the (never rising) rows of every step. */
function stretchesOf(x: Tensor, batchSizes: readonly number[] | null): Stretch[] {
  if (!batchSizes) return [{ time: 0, rows: x.shape[1], x, own: true }]
  const starts = batchSizes.flatMap((size, t) => (size === batchSizes[t - 1] ? [] : [t]))
  const times = starts.map((time, i) => (starts[i + 1] ?? batchSizes.length) - time)
  const parts = x.split(starts.map((time, i) => times[i] * batchSizes[time]), 0) // prettier-ignore
  return starts.map((time, i) => ({
    time,
    rows: batchSizes[time],
    x: parts[i].unflatten(0, [times[i], batchSizes[time]]),
    own: false,
  }))
}

interface Direction {
  readonly recurrence: Recurrence
  readonly hidden: HiddenWeights
  readonly reverse: boolean
  /** Called with each new state, if somebody listens. */
  readonly heard: (time: number, states: States) => void
}

/** One stretch from `state`: outputs `[T', rows, H]` and the state behind it. */
function runStretch(direction: Direction, { time, x, own }: Stretch, state: States): { output: Tensor; last: States } {
  const { recurrence, hidden, reverse, heard } = direction
  if (!hidden.projection && !listening()) {
    const [output, ...last] = recurrent(recurrence.cell, x, hidden.weight, hidden.bias, state, {
      reverse,
      consume: own,
    })
    return { output, last }
  }
  const steps = x.unbind(0)
  const outputs = new Array<Tensor>(steps.length)
  let last = state
  for (let i = 0; i < steps.length; i++) {
    const t = reverse ? steps.length - 1 - i : i
    last = recurrence.step(steps[t], last, hidden)
    heard(time + t, last)
    outputs[t] = last[0]
  }
  return { output: stack(outputs, 0), last }
}

interface Run {
  /** By stretch. */
  readonly outputs: readonly Tensor[]
  readonly last: States
}

/** From the first step to the last: sequences end one after another, from the last row up, and leave their final state. */
function runForwards(direction: Direction, stretches: readonly Stretch[], initial: States): Run {
  const ended: States[] = []
  let state = initial
  const outputs = stretches.map((stretch) => {
    const leaving = rowsOf(state) - stretch.rows
    if (leaving > 0) ended.push(rows(state, stretch.rows, leaving))
    const { output, last } = runStretch(direction, stretch, rows(state, 0, stretch.rows))
    state = last
    return output
  })
  return { outputs, last: joinRows([state, ...ended.reverse()]) }
}

/** From the last step to the first: each sequence joins with its own initial state where it has its last element. */
function runBackwards(direction: Direction, stretches: readonly Stretch[], initial: States): Run {
  const outputs = new Array<Tensor>(stretches.length)
  let state: States | null = null
  for (let i = stretches.length - 1; i >= 0; i--) {
    const going: number = state ? rowsOf(state) : 0
    const joining = rows(initial, going, stretches[i].rows - going)
    const { output, last } = runStretch(direction, stretches[i], state ? joinRows([state, joining]) : joining)
    outputs[i] = output
    state = last
  }
  return { outputs, last: state ?? initial }
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
  const run = {}
  const starts = initial.map((state) => state.unbind(0))
  const lasts: Tensor[][] = initial.map(() => [])
  let output = x
  let row = 0
  layers.forEach((directions, layer) => {
    const input = output
    const sequences = directions.map(({ weightIh, biasIh, hidden }, direction) => {
      const reverse = direction === 1
      const heard = (time: number, states: States) => report({ module, run, layer, reverse, time, states })
      // One tall product for all time steps; only the state's product is left to the loop.
      const stretches = stretchesOf(linear(input, weightIh, biasIh), batchSizes)
      const start = starts.map((states) => states[row])
      const runAll = reverse ? runBackwards : runForwards
      const { outputs, last } = runAll({ recurrence, hidden, reverse, heard }, stretches, start)
      last.forEach((value, i) => lasts[i].push(value))
      row++
      if (!batchSizes) return outputs[0]
      return cat(outputs.map((part) => part.flatten(0, 1)), 0) // prettier-ignore
    })
    output = sequences.length === 1 ? sequences[0] : cat(sequences, -1)
    // Drawn over the time-major sequence, whatever the layout of the caller: PyTorch's order.
    if (p > 0 && layer < layers.length - 1) output = dropout(output, p)
  })
  const finals = lasts.map((states) => (states.length === 1 ? states[0].unsqueeze(0) : stack(states, 0))) // prettier-ignore
  return { output, finals }
}
