// Kernels over a whole sequence for adapters on which threads should not wait for each other: every thread takes some rows of the
// batch through all times, with their states in memory of its own, one block of units after the other.
import { type RecurrentCell, recurrentCells } from "@rondo/backend"
import { abreast, blockCost, type Factor, type Quads } from "../matmul/block.js"
import { param, type ShaderSource } from "../queue.js"
import { type BlockCut, blockCut, blocksOf, eachCell, totalsOf, weightsBackward, weightsForward } from "./block-step.js"
import {
  type BackwardForm, backwardCell, backwardInputs, backwardResults, backwardWrites, type ForwardForm, forwardCell, forwardInputs, forwardWrites,
} from "./cells.js" // prettier-ignore
import { lines, rounded } from "./operands.js"

/** Threads of a workgroup. */
export const aloneThreads = 16
/** Words of memory that a thread may have of its own: WGSL promises 8192 bytes. Sums take some of them, up to 16 a row, twice. */
const mostOwnWords = 1984
/** What a dispatch costs, in multiplications with addition of four threads: some 50 us against 4 ns. */
const dispatchCost = 12000

const [steps, batch] = [param(0), param(1)]

const ownWords = (cell: RecurrentCell, units: number, backward: boolean): number => {
  const { gates } = recurrentCells[cell]
  const cells = cell === "lstm" ? 1 : 0
  return units * (backward ? gates + 1 + cells : 2 + cells)
}

/** The block of a thread that runs a layer over a whole sequence, or null if a dispatch a step is faster or its memory too small. */
export function aloneCut(
  cell: RecurrentCell,
  units: number,
  rows: number,
  quads: Quads,
  backward: boolean,
): BlockCut | null {
  const { gates } = recurrentCells[cell]
  const sums = backward ? 1 : gates
  const fits = (own: number): boolean => own * (ownWords(cell, units, backward) + 2 * 16) <= mostOwnWords
  const each = [8, 4, 2, 1].filter(fits)
  if (each.length === 0) return null
  // Only rows go abreast here, units too in a step.
  const cuts = each.map((own) => blockCut(sums, rows, units, quads, [own]))
  const cost = (cut: BlockCut): number =>
    Math.ceil(rows / cut.rows / abreast) * Math.ceil(units / cut.units) * blockCost(cut.rows, sums * cut.units)
  const best = cuts.reduce((least, next) => (cost(next) < cost(least) ? next : least))
  const inStep = blockCut(sums, rows, units, quads)
  const ofStep = Math.ceil(blocksOf(units, rows, inStep) / abreast) * blockCost(inStep.rows, sums * inStep.units)
  const terms = backward ? gates * units : units
  return cost(best) <= ofStep + dispatchCost / terms ? best : null
}

/** The entry point up to where a thread knows its rows. */
const entry = (rows: number): string => `
@compute @workgroup_size(${aloneThreads})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let row0 = (id.x + id.y * groups.x * ${aloneThreads}u) * ${rows}u;
  if (row0 >= ${batch}) { return; }
  let last_row = ${batch} - 1u;
`

/** A loop over all rows and units of the thread: `own` is the element's place in its memory. */
const eachOwn = (rows: number, units: number, text: string): string =>
  `for (var r = 0u; r < min(${rows}u, last_row - row0 + 1u); r++) {
    let row = row0 + r;
    for (var unit = 0u; unit < ${units}u; unit++) {
      let own = r * ${units}u + unit;
      ${text}
    }
  }`

/** Rows of the thread's own memory, `wide` words each, as a factor. */
const ownRows = (name: string, rows: number, wide: number, first: string): Factor => ({
  name: "a",
  lines: rows,
  quads: null,
  start: (i) => `${first} + ${i * wide}u`,
  step: "1u",
  load: (index) => `${name}[${index}]`,
  quad: () => "",
})

export function aloneForward(form: ForwardForm, cut: BlockCut): ShaderSource {
  const { cell, dtype, units, reverse, operands } = form
  const { gates } = recurrentCells[cell]
  const { rows } = cut
  const { source, inputs } = forwardCell(form)
  const lstm = cell === "lstm"
  const read = (g: number): string => operands.read("projected", "time", "row", `${g * units}u + unit`)
  const bias = (g: number): string => (operands.has("bias") ? ` + ${operands.read("bias", `${g * units}u + unit`)}` : "") // prettier-ignore
  const names = forwardInputs(cell, (g) => `p${g}`, (g) => rounded(dtype, `(totals[at + ${g}u]${bias(g)})`), "states[now + own]", "cells[own]") // prettier-ignore
  const text = `let own = r * ${units}u + unit;
      ${lines(gates, (g) => `let p${g} = ${read(g)};`, "\n      ")}
      let result = cell(${inputs.map((n) => names[n]).join(", ")});
      ${forwardWrites(form, "time", "row", "unit")}
      states[next + own] = result.y0;
      ${lstm ? "cells[own] = result.y1;" : ""}`
  const code = `${source}${entry(rows)}
  var states: array<f32, ${2 * rows * units}>;
  ${lstm ? `var cells: array<f32, ${rows * units}>;` : ""}
  ${totalsOf(cut, gates)}
  ${eachOwn(rows, units, `states[own] = ${operands.read("h", "row", "unit")};${lstm ? ` cells[own] = ${operands.read("c", "row", "unit")};` : ""}`)}
  for (var s = 0u; s < ${steps}; s++) {
    let time = ${reverse ? `${steps} - 1u - s` : "s"};
    let now = (s & 1u) * ${rows * units}u;
    let next = ${rows * units}u - now;
    for (var unit0 = 0u; unit0 < ${units}u; unit0 += ${cut.units}u) {
    ${eachCell(ownRows("states", rows, units, "now"), weightsForward(form, cut), `${units}u`, units, cut, text)}
    }
  }
}`
  return { name: "recurrent", kinds: operands.bindings.kinds, code }
}

/** `dh` and `dc` hold the gradients of the last states at the start. */
export function aloneBackward(form: BackwardForm, cut: BlockCut): ShaderSource {
  const { cell, dtype, units, reverse, operands } = form
  const { gates } = recurrentCells[cell]
  const { rows } = cut
  const wide = gates * units
  const compiled = backwardCell(form)
  const { hidden, carried } = backwardResults(cell)
  const lstm = cell === "lstm"
  const states = lstm ? (["dh", "dc"] as const) : (["dh"] as const)
  const place = { time: "time", before: "before", isFirst: `s + 1u == ${steps}`, row: "row", unit: "unit", prefix: "i" } // prettier-ignore
  const { statements, names } = backwardInputs(form, compiled, lstm ? ["g", "dc[own]"] : ["g"], place)
  const gate = (g: number): string => `sent[r * ${wide}u + ${g * units}u + unit] = ${hidden(g)};`
  const ends = `let g = ${rounded(dtype, `(${operands.read("gradOutput", "time", "row", "unit")} + dh[own])`)};
    ${statements}
    let result = cell(${names.join(", ")});
    ${backwardWrites(form, "time", "row", "unit")}
    ${lines(gates, gate)}
    ${carried ? `${lstm ? "dc" : "dh"}[own] = ${carried};` : ""}`
  const carry = cell === "gru" ? " + dh[own]" : ""
  const back = `let own = r * ${units}u + unit;
      dh[own] = ${rounded(dtype, `(totals[at]${carry})`)};`
  const code = `${compiled.source}${entry(rows)}
  ${lines(states.length, (i) => `var ${states[i]}: array<f32, ${rows * units}>;`, " ")}
  var sent: array<f32, ${rows * wide}>;
  ${totalsOf(cut, 1)}
  ${eachOwn(rows, units, states.map((name) => `${name}[own] = ${operands.read(name, "row", "unit")};`).join(" "))}
  for (var s = 0u; s < ${steps}; s++) {
    let time = ${reverse ? "s" : `${steps} - 1u - s`};
    let before = ${reverse ? "time + 1u" : "time - 1u"};
    ${eachOwn(rows, units, ends)}
    for (var unit0 = 0u; unit0 < ${units}u; unit0 += ${cut.units}u) {
    ${eachCell(ownRows("sent", rows, wide, "0u"), weightsBackward(form, cut), `${wide}u`, units, cut, back)}
    }
  }
  ${eachOwn(rows, units, states.map((name) => operands.write(name, `${name}[own]`, "row", "unit")).join(" "))}
}`
  return { name: "recurrentBackward", kinds: operands.bindings.kinds, code }
}
