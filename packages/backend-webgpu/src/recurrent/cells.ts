// What a cell reads and writes for one unit of one sequence at one time, forward and backward: the lines around the call of its
// function that the kernels over a sequence and over a step have in common.
import { type DType, type RecurrentCell, recurrentCells } from "@rondo/backend"
import { cellFunction, type CellFunction, type Operands } from "./operands.js"

/** Operands of the forward kernels. */
export type ForwardName = "projected" | "weight" | "bias" | "h" | "c" | "output" | "cells" | "saved"
/** Operands of the backward kernels; `hidden` are the gradients of the hidden gates of a GRU. */
export type BackwardName =
  "gradOutput" | "weight" | "h" | "c" | "output" | "cells" | "saved" | "projected" | "hidden" | "dh" | "dc"

/** What a forward kernel is made for. */
export interface ForwardForm {
  readonly cell: RecurrentCell
  readonly dtype: DType
  readonly units: number
  readonly reverse: boolean
  readonly operands: Operands<ForwardName>
}

/** What a backward kernel is made for. */
export interface BackwardForm {
  readonly cell: RecurrentCell
  readonly dtype: DType
  readonly units: number
  readonly reverse: boolean
  readonly operands: Operands<BackwardName>
}

/** The forward function; what is not saved is not computed. */
export function forwardCell({ cell, dtype, operands }: ForwardForm): CellFunction {
  const states = cell === "lstm" ? 2 : 1
  return cellFunction(recurrentCells[cell].forward(dtype).slice(0, operands.has("saved") ? undefined : states))
}

/** WGSL names of the forward inputs for one sequence: gates `p`, products `q`, then the states. */
export function forwardInputs(
  cell: RecurrentCell,
  p: (gate: number) => string,
  q: (gate: number) => string,
  h: string,
  c: string,
): string[] {
  const { gates } = recurrentCells[cell]
  const all = Array.from({ length: gates }, (_, g) => g)
  return [...all.map(p), ...all.map(q), h, c]
}

/** Statements that write what the forward function returned as `result`. */
export function forwardWrites({ cell, units, operands }: ForwardForm, time: string, row: string, unit: string): string {
  const list = [operands.write("output", "result.y0", time, row, unit)]
  const states = cell === "lstm" ? 2 : 1
  if (cell === "lstm") list.push(operands.write("cells", "result.y1", time, row, unit))
  const saved = operands.has("saved") ? recurrentCells[cell].saved : 0
  for (let s = 0; s < saved; s++) {
    list.push(operands.write("saved", `result.y${states + s}`, time, row, `${s * units}u + ${unit}`))
  }
  return list.join("\n      ")
}

export function backwardCell({ cell, dtype }: BackwardForm): CellFunction {
  return cellFunction(recurrentCells[cell].backward(dtype))
}

/** Numbers of the backward inputs that are states, by the operand that holds them over time and at the start. */
function stateInputs(cell: RecurrentCell): { next: readonly number[]; old: readonly number[] } {
  const first = 1 + (cell === "lstm" ? 1 : 0) + recurrentCells[cell].saved
  return cell === "lstm"
    ? { next: [first, first + 2], old: [first + 1, first + 3] }
    : { next: [first], old: [first + 1] }
}

/** True for operands that the backward function reads; the others need not be bound. */
export function backwardReads(cell: RecurrentCell, dtype: DType): Record<"h" | "c" | "output" | "cells", boolean> {
  const { inputs } = cellFunction(recurrentCells[cell].backward(dtype))
  const { next, old } = stateInputs(cell)
  const [h, c] = old.map((at) => inputs.includes(at))
  const [output, cells] = next.map((at) => inputs.includes(at))
  return { h, c: c ?? false, output: output || h, cells: (cells ?? false) || (c ?? false) }
}

/**
 * Statements that read the backward inputs into `i<n>` for one sequence: all but the gradients, which are given by name.
 * `isFirst` is true at the sequence's first time, whose old states are the initial ones; `before` is the time before.
 */
export function backwardInputs(
  { cell, units, operands }: BackwardForm,
  { inputs }: CellFunction,
  gradients: readonly string[],
  place: { time: string; before: string; isFirst: string; row: string; unit: string; prefix: string },
): { statements: string; names: string[] } {
  const { time, before, isFirst, row, unit, prefix } = place
  const { next, old } = stateInputs(cell)
  const statements: string[] = []
  const names = inputs.map((index) => {
    if (index < gradients.length) return gradients[index]
    const name = `${prefix}${index}`
    const [overTime, atStart] = next.indexOf(index) === 1 || old.indexOf(index) === 1 ? (["cells", "c"] as const) : (["output", "h"] as const) // prettier-ignore
    if (next.includes(index)) statements.push(`let ${name} = ${operands.read(overTime, time, row, unit)};`)
    else if (old.includes(index)) {
      const [start, later] = [operands.read(atStart, row, unit), operands.read(overTime, before, row, unit)]
      statements.push(`var ${name} = 0.0; if (${isFirst}) { ${name} = ${start}; } else { ${name} = ${later}; }`)
    } else {
      const s = index - gradients.length
      statements.push(`let ${name} = ${operands.read("saved", time, row, `${s * units}u + ${unit}`)};`)
    }
    return name
  })
  return { statements: statements.join("\n      "), names }
}

/** Which fields of the backward function's result are what. */
export function backwardResults(cell: RecurrentCell): { hidden: (gate: number) => string; carried: string | null } {
  const { gates } = recurrentCells[cell]
  if (cell === "gru") return { hidden: (g) => `result.y${gates + g}`, carried: `result.y${2 * gates}` }
  return { hidden: (g) => `result.y${g}`, carried: cell === "lstm" ? `result.y${gates}` : null }
}

/** Statements that write the gradients of the gates. */
export function backwardWrites(
  { cell, units, operands }: BackwardForm,
  time: string,
  row: string,
  unit: string,
): string {
  const { gates } = recurrentCells[cell]
  const { hidden } = backwardResults(cell)
  const list: string[] = []
  for (let g = 0; g < gates; g++) {
    const column = `${g * units}u + ${unit}`
    list.push(operands.write("projected", `result.y${g}`, time, row, column))
    if (operands.has("hidden")) list.push(operands.write("hidden", hidden(g), time, row, column))
  }
  return list.join("\n      ")
}
