// Cases of the recurrent kernels: forward against loops over single units, backward against central differences of those
// loops in float64. Backends with a native kernel and those that loop over products answer to the same numbers.
import { type DType, type RecurrentCell, recurrentCells, type View } from "@rondo/backend"
import { compareValues } from "../../compare.js"
import { type Memory, withMemory } from "../../memory.js"
import { stored } from "../../naive.js"
import type { Case, Context } from "../../suite.js"

interface Sizes {
  readonly steps: number
  readonly batch: number
  readonly size: number
}

interface Setup extends Sizes {
  readonly cell: RecurrentCell
  readonly bias: boolean
  readonly reverse: boolean
  readonly dtype: DType
}

/** Everything that a layer reads, row-major. `q` is added to the hidden gates [T, B, G H]: what their gradient moves. */
interface Operands {
  readonly projected: number[]
  readonly weight: number[]
  readonly bias: number[]
  readonly h: number[]
  readonly c: number[]
  readonly q: number[]
}

interface Results {
  readonly output: number[]
  readonly cells: number[]
  readonly h: number[]
  readonly c: number[]
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** The next state of one unit from its projected gates p and hidden gates q, by PyTorch's documented formulas. */
function unit(cell: RecurrentCell, p: readonly number[], q: readonly number[], h: number, c: number): [number, number] {
  switch (cell) {
    case "tanh":
      return [Math.tanh(p[0] + q[0]), 0]
    case "relu":
      return [Math.max(0, p[0] + q[0]), 0]
    case "lstm": {
      const [i, f, g, o] = p.map((x, k) => x + q[k])
      const next = sigmoid(f) * c + sigmoid(i) * Math.tanh(g)
      return [sigmoid(o) * Math.tanh(next), next]
    }
    case "gru": {
      const [r, z] = [sigmoid(p[0] + q[0]), sigmoid(p[1] + q[1])]
      return [(1 - z) * Math.tanh(p[2] + r * q[2]) + z * h, 0]
    }
    default:
      return cell satisfies never
  }
}

function naive({ cell, reverse, steps, batch, size }: Setup, x: Operands): Results {
  const { gates } = recurrentCells[cell]
  const width = gates * size
  let [h, c] = [x.h, x.c]
  const output = new Array<number>(steps * batch * size)
  const cells = new Array<number>(steps * batch * size)
  for (let s = 0; s < steps; s++) {
    const t = reverse ? steps - 1 - s : s
    const [nextH, nextC] = [h.slice(), c.slice()]
    for (let b = 0; b < batch; b++) {
      for (let j = 0; j < size; j++) {
        const rows = Array.from({ length: gates }, (_, k) => k * size + j)
        const p = rows.map((row) => x.projected[(t * batch + b) * width + row])
        const q = rows.map((row) => {
          let sum = x.bias[row] + x.q[(t * batch + b) * width + row]
          for (let i = 0; i < size; i++) sum += x.weight[row * size + i] * h[b * size + i]
          return sum
        })
        const at = b * size + j
        ;[nextH[at], nextC[at]] = unit(cell, p, q, h[at], c[at])
        output[t * batch * size + at] = nextH[at]
        cells[t * batch * size + at] = nextC[at]
      }
    }
    ;[h, c] = [nextH, nextC]
  }
  return { output, cells, h, c }
}

/** Numbers without a pattern that a transposed index could hide in. */
const numbers = (count: number, salt: number, dtype: DType): number[] =>
  Array.from({ length: count }, (_, i) => stored(Math.sin(i * 12.9898 + salt * 78.233) * 0.9, dtype))

function operandsOf({ cell, bias, steps, batch, size, dtype }: Setup): Operands {
  const width = recurrentCells[cell].gates * size
  return {
    projected: numbers(steps * batch * width, 1, dtype),
    weight: numbers(width * size, 2, dtype),
    bias: bias ? numbers(width, 3, dtype) : new Array<number>(width).fill(0),
    h: numbers(batch * size, 4, dtype),
    c: numbers(batch * size, 5, dtype),
    q: new Array<number>(steps * batch * width).fill(0),
  }
}

/** The views of one layer, and the forward run with everything saved. */
function forward(context: Context, memory: Memory, setup: Setup, x: Operands) {
  const { cell, bias, reverse, steps, batch, size, dtype } = setup
  const { gates, saved } = recurrentCells[cell]
  const place = (values: number[], ...shape: number[]): View => memory.view(dtype, shape, values, "plain")
  const isLSTM = cell === "lstm"
  const weight = place(x.weight, gates * size, size)
  const state = [place(x.h, batch, size), ...(isLSTM ? [place(x.c, batch, size)] : [])]
  const inputs = [place(x.projected, steps, batch, gates * size), weight]
  if (bias) inputs.push(place(x.bias, gates * size))
  const sequences = state.map(() => memory.empty(dtype, [steps, batch, size]))
  const kept = saved > 0 ? [memory.empty(dtype, [steps, batch, saved * size])] : []
  context.backend.run(
    { kind: "recurrent", cell, bias, reverse, save: kept.length > 0 },
    [...inputs, ...state],
    [...sequences, ...kept],
  )
  return { weight, state, sequences, kept }
}

const tolerances = { float32: { rtol: 2e-5, atol: 2e-6 }, float64: { rtol: 1e-11, atol: 1e-12 } } as const
const backTolerance = { float32: { rtol: 1e-4, atol: 2e-5 }, float64: { rtol: 1e-6, atol: 1e-8 } } as const

async function checkForward(context: Context, setup: Setup, tolerance: Parameters<Case["run"]>[0]): Promise<number> {
  const x = operandsOf(setup)
  const want = naive(setup, x)
  return withMemory(context.backend, async (memory) => {
    const { sequences } = forward(context, memory, setup, x)
    const slack = tolerance ?? tolerances[setup.dtype as "float32"]
    let worst = 0
    for (const [i, values] of [want.output, want.cells].slice(0, sequences.length).entries()) {
      const what = i === 0 ? "output" : "cells"
      worst = Math.max(worst, compareValues(await memory.read(sequences[i]), values, setup.dtype, slack, { what }))
    }
    return worst
  })
}

/** Central differences of sum(gOutput output) + sum(gH h) + sum(gC c) in one operand of the loops. */
function differences(
  setup: Setup,
  x: Operands,
  key: keyof Operands,
  weights: readonly [number[], number[], number[]],
): number[] {
  const loss = (values: Operands): number => {
    const { output, h, c } = naive(setup, values)
    const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + v * b[i], 0)
    return dot(output, weights[0]) + dot(h, weights[1]) + (setup.cell === "lstm" ? dot(c, weights[2]) : 0)
  }
  const eps = 1e-5
  return x[key].map((_, i) => {
    const moved = (by: number): Operands => ({ ...x, [key]: x[key].map((v, k) => (k === i ? v + by : v)) })
    return (loss(moved(eps)) - loss(moved(-eps))) / (2 * eps)
  })
}

async function checkBackward(context: Context, setup: Setup, tolerance: Parameters<Case["run"]>[0]): Promise<number> {
  const { cell, reverse, steps, batch, size, dtype } = setup
  const x = operandsOf(setup)
  const isLSTM = cell === "lstm"
  const width = recurrentCells[cell].gates * size
  const weights = [numbers(steps * batch * size, 6, dtype), numbers(batch * size, 7, dtype), numbers(batch * size, 8, dtype)] as const // prettier-ignore
  return withMemory(context.backend, async (memory) => {
    const { weight, state, sequences, kept } = forward(context, memory, setup, x)
    const place = (values: number[], ...shape: number[]): View => memory.view(dtype, shape, values, "plain")
    const grads = [
      place(weights[0], steps, batch, size),
      place(weights[1], batch, size),
      ...(isLSTM ? [place(weights[2], batch, size)] : []),
    ]
    const order = [sequences[0], state[0], ...(isLSTM ? [sequences[1], state[1]] : [])]
    const gates = [
      memory.empty(dtype, [steps, batch, width]),
      ...(cell === "gru" ? [memory.empty(dtype, [steps, batch, width])] : []),
    ]
    const states = state.map(() => memory.empty(dtype, [batch, size]))
    context.backend.run(
      { kind: "recurrentBackward", cell, reverse },
      [...grads, weight, ...order, ...kept],
      [...gates, ...states],
    )
    const keys: (keyof Operands)[] = [
      "projected",
      ...(cell === "gru" ? (["q"] as const) : []),
      "h",
      ...(isLSTM ? (["c"] as const) : []),
    ]
    const slack = tolerance ?? backTolerance[dtype as "float32"]
    let worst = 0
    for (const [i, out] of [...gates, ...states].entries()) {
      const want = differences(setup, x, keys[i], [...weights])
      worst = Math.max(
        worst,
        compareValues(await memory.read(out), want, dtype, slack, { what: `gradient of ${keys[i]}` }),
      )
    }
    return worst
  })
}

export function recurrentCases(context: Context): Case[] {
  const dtypes = context.dtypes.filter((dtype) => dtype === "float32" || dtype === "float64")
  const sizes: readonly Sizes[] = [
    { steps: 1, batch: 1, size: 1 },
    { steps: 3, batch: 2, size: 3 },
    { steps: 5, batch: 1, size: 4 },
  ]
  const setups = (["tanh", "relu", "lstm", "gru"] as const).flatMap((cell) =>
    dtypes.flatMap((dtype) =>
      [false, true].flatMap((reverse) => sizes.map((s, i): Setup => ({ ...s, cell, reverse, dtype, bias: i !== 2 }))))) // prettier-ignore
  return setups.flatMap((setup) => {
    const { cell, dtype, steps, batch, size, reverse, bias } = setup
    const id = `T ${steps} B ${batch} H ${size}${reverse ? " reverse" : ""}${bias ? "" : " without bias"}`
    return [
      { id, op: `recurrent.${cell}`, dtype, run: (tolerance) => checkForward(context, setup, tolerance) },
      { id, op: `recurrentBackward.${cell}`, dtype, run: (tolerance) => checkBackward(context, setup, tolerance) },
    ] satisfies Case[]
  })
}
