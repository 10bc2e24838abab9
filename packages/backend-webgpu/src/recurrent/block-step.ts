// Kernels over one time step for adapters on which threads should not wait for each other: every thread adds the products of a
// block of rows and units in registers, and then goes through the cells of its block.
import { recurrentCells } from "@rondo/backend"
import { blockCost, blockOfSums, type Factor, type Quads } from "../matmul/block.js"
import { param, type ShaderSource } from "../queue.js"
import {
  type BackwardForm, backwardCell, type ForwardForm, forwardCell, forwardInputs, forwardWrites,
} from "./cells.js" // prettier-ignore
import { lines, rounded } from "./operands.js"
import { backwardEnd, step } from "./step.js"

/** Rows and units of a thread, and how the weights are read. */
export interface BlockCut {
  readonly rows: number
  readonly units: number
  readonly quads: Quads
}

/** Threads of a workgroup, each with its own block. */
export const stepThreads = 32
/** Most sums of a row: more of them only where rows are few. */
const [mostSums, mostSumsOfFewRows] = [8, 16]

/** The block for `sums` products a unit; `quads` is how weights could be read four at a time, `rowsOf` which rows it may have. */
export function blockCut(
  sums: number,
  batch: number,
  units: number,
  quads: Quads,
  rowsOf = [16, 8, 4, 2, 1],
): BlockCut {
  const cut = (rows: number): BlockCut => {
    const most = Math.max(1, Math.floor((rows <= 4 ? mostSumsOfFewRows : mostSums) / sums))
    const own = Math.min(most, units)
    return { rows, units: own, quads: quads === "lines" && (sums > 1 || own % 4 > 0) ? null : quads }
  }
  const cost = ({ rows, units: own }: BlockCut): number =>
    Math.ceil(batch / rows) * Math.ceil(units / own) * blockCost(rows, sums * own)
  return rowsOf.map(cut).reduce((best, next) => (cost(next) < cost(best) ? next : best))
}

/** Threads that a step takes. */
export const blocksOf = (units: number, batch: number, cut: BlockCut): number =>
  Math.ceil(units / cut.units) * Math.ceil(batch / cut.rows)

/** The start of an entry point up to where a thread knows the first row and unit of its block. */
const entry = (allUnits: number, { rows, units }: BlockCut): string => `
@compute @workgroup_size(${stepThreads})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let block = id.x + id.y * groups.x * ${stepThreads}u;
  let unit0 = block % ${Math.ceil(allUnits / units)}u * ${units}u;
  let row0 = block / ${Math.ceil(allUnits / units)}u * ${rows}u;
  if (row0 >= ${param(step.batch)}) { return; }
  let last_row = ${param(step.batch)} - 1u;
`

/**
 * The product, then `text` for each row and unit of the block that exist; its sums are `totals[at + n]`. Known before: `row0`,
 * `unit0` and `last_row`; `totals` is declared. `r` is the row within the block.
 */
export function eachCell(a: Factor, b: Factor, terms: string, allUnits: number, cut: BlockCut, text: string): string {
  const { rows, units } = cut
  const block = blockOfSums(a, b, "f32", "0u", terms)
  const sums = b.lines / units
  // The cell is in the text once: what is the loop's is read by number.
  const put = (row: number, col: number): string =>
    `totals[${(row * units + (col % units)) * sums + Math.floor(col / units)}] = ${block.sum(row, col)};`
  return `${block.text}
  ${lines(rows, (r) => lines(b.lines, (c) => put(r, c), " "), "\n  ")}
  // Loops in each other: a division costs more than a read.
  for (var r = 0u; r < min(${rows}u, last_row - row0 + 1u); r++) {
    let row = row0 + r;
    for (var u = 0u; u < min(${units}u, ${allUnits}u - unit0); u++) {
      let unit = unit0 + u;
      let at = (r * ${units}u + u) * ${sums}u;
      ${text}
    }
  }`
}

/** Room for the sums of a block. */
export const totalsOf = ({ rows, units }: BlockCut, sums: number): string =>
  `var totals: array<f32, ${rows * units * sums}>;`

/** The weights of the gates of a block's units, unit by unit within a gate. */
export function weightsForward({ cell, units, operands }: ForwardForm, cut: BlockCut): Factor {
  const last = cut.quads === "lines" ? 4 : 1
  return {
    name: "b",
    lines: recurrentCells[cell].gates * cut.units,
    quads: cut.quads,
    start: (i) => {
      const unit = `min(unit0 + ${i % cut.units}u, ${Math.max(0, units - last)}u)`
      return operands.index("weight", [`${Math.floor(i / cut.units) * units}u + ${unit}`, "0u"])
    },
    step: operands.step("weight", 1),
    load: (index) => operands.load("weight", index),
    quad: (index) => operands.quad("weight", index),
  }
}

/** The weights by which all gates act on a block's units. */
export function weightsBackward({ units, operands }: BackwardForm, cut: BlockCut): Factor {
  const last = cut.quads === "lines" ? 4 : 1
  return {
    name: "b",
    lines: cut.units,
    quads: cut.quads,
    start: (i) => operands.index("weight", ["0u", `min(unit0 + ${i}u, ${Math.max(0, units - last)}u)`]),
    step: operands.step("weight", 0),
    load: (index) => operands.load("weight", index),
    quad: (index) => operands.quad("weight", index),
  }
}

const rowAt = (i: number): string => `min(row0 + ${i}u, last_row)`

/** One step forward. `isFirst`: the states before are the initial ones, not those at time `other`. */
export function blockForward(form: ForwardForm, cut: BlockCut, isFirst: boolean): ShaderSource {
  const { cell, dtype, units, operands } = form
  const { gates } = recurrentCells[cell]
  const { source, inputs } = forwardCell(form)
  const [time, before] = [param(step.time), param(step.other)]
  const [from, at] = isFirst ? (["h", []] as const) : (["output", [before]] as const)
  const state: Factor = {
    name: "a",
    lines: cut.rows,
    quads: null,
    start: (i) => operands.index(from, [...at, rowAt(i), "0u"]),
    step: operands.step(from, at.length + 1),
    load: (index) => operands.load(from, index),
    quad: () => "",
  }
  const weight = weightsForward(form, cut)
  const read = (g: number): string => operands.read("projected", time, "row", `${g * units}u + unit`)
  const bias = (g: number): string => (operands.has("bias") ? ` + ${operands.read("bias", `${g * units}u + unit`)}` : "") // prettier-ignore
  const cellsBefore = (): string =>
    isFirst ? operands.read("c", "row", "unit") : operands.read("cells", before, "row", "unit")
  const names = forwardInputs(cell, (g) => `p${g}`, (g) => rounded(dtype, `(totals[at + ${g}u]${bias(g)})`), "h", "c") // prettier-ignore
  const text = `${lines(gates, (g) => `let p${g} = ${read(g)};`, "\n      ")}
      let h = ${operands.read(from, ...at, "row", "unit")};
      ${cell === "lstm" ? `let c = ${cellsBefore()};` : ""}
      let result = cell(${inputs.map((n) => names[n]).join(", ")});
      ${forwardWrites(form, time, "row", "unit")}`
  const code = `${source}${entry(units, cut)}  ${totalsOf(cut, gates)}
  ${eachCell(state, weight, `${units}u`, units, cut, text)}
}`
  return { name: "recurrent", kinds: operands.bindings.kinds, code }
}

/** One step backward, as in the kernel with barriers (step.ts). */
export function blockBackward(form: BackwardForm, cut: BlockCut): ShaderSource {
  const { cell, units, operands } = form
  const { gates } = recurrentCells[cell]
  const compiled = backwardCell(form)
  const mode = param(step.mode)
  const gru = cell === "gru"
  const from = gru ? "hidden" : "projected"
  const sent: Factor = {
    name: "a",
    lines: cut.rows,
    quads: null,
    start: (i) => operands.index(from, [param(step.other), rowAt(i), "0u"]),
    step: operands.step(from, 2),
    load: (index) => operands.load(from, index),
    quad: () => "",
  }
  const weight = weightsBackward(form, cut)
  const text = backwardEnd(form, compiled, "totals[at]")
  const code = `${compiled.source}${entry(units, cut)}  let terms = select(${gates * units}u, 0u, ${mode} == 1u);
  ${totalsOf(cut, 1)}
  ${eachCell(sent, weight, "terms", units, cut, text)}
}`
  return { name: "recurrentBackward", kinds: operands.bindings.kinds, code }
}
