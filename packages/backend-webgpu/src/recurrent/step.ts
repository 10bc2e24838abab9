// Kernels over one time step, for layers whose weights are too large to be read by every workgroup at every step: a product by
// tiles whose sums go straight into the cell, so that a step is one dispatch.
import { recurrentCells } from "@rondo/backend"
import { param, type ShaderSource } from "../queue.js"
import {
  type BackwardForm, backwardCell, backwardInputs, backwardResults, backwardWrites, type ForwardForm, forwardCell, forwardInputs, forwardWrites,
} from "./cells.js" // prettier-ignore
import { type CellFunction, lines, rounded } from "./operands.js"

/** Positions of the parameters; the operands' follow. `mode`: 0 a step between others, 1 the first one, 2 behind the last. */
export const step = { batch: 0, time: 1, other: 2, mode: 3, isFirst: 4, first: 5 } as const

/** How the product of a step is cut. */
export interface StepForm {
  /** Units of a workgroup, beside each other, and how many such blocks a thread works for. */
  readonly units: number
  readonly blocks: number
  /** Rows of a workgroup. */
  readonly rows: number
  /** Rows of a thread. */
  readonly each: number
  /** Threads that share the terms of one element. */
  readonly parts: number
  /** Terms in a tile. */
  readonly deep: number
  /** Neighbouring terms of the weight lie beside each other. */
  readonly kFast: boolean
}

/** The form for `sums` products a unit, and units of `blocks` blocks a thread: what is read from tiles is used so many times. */
export function stepForm(sums: number, blocks: number, batch: number, kFast: boolean): StepForm {
  const rows = batch >= 128 ? 32 : Math.min(16, 2 ** Math.ceil(Math.log2(batch)))
  const each = Math.min(4, Math.max(1, rows / 4))
  const units = sums * blocks === 1 ? 16 : 8
  const deep = rows === 32 ? 32 : 64
  // Every thread has its cost before it adds a term: more of them only where each ends an element.
  const threads = rows === 32 ? 256 : 128
  const parts = Math.min(deep / 4, threads / (units * (rows / each)))
  return { units, blocks, rows, each, parts, deep, kFast }
}

interface Product {
  /** Sums of each thread and row: one a gate, or one a block of units. */
  readonly sums: number
  /** Terms, as an expression, and whether they always fill the tiles. */
  readonly terms: string
  readonly full: boolean
  readonly allUnits: number
  readonly form: StepForm
  /** Element (row, k) of what is multiplied, and the weight of a sum of a unit for term k: all of them numbers that exist. */
  readonly readRow: string
  readonly readWeight: string
}

const threadsOf = ({ units, rows, each, parts }: StepForm): number => units * (rows / each) * parts
/** Elements that a thread ends. */
const shareOf = (form: StepForm): number => Math.ceil((form.rows * form.units * form.blocks) / threadsOf(form))

/** Statements for each element that a thread ends, `row` and `unit`, if there is such an element. */
const eachElement = (form: StepForm, allUnits: number, text: (i: number) => string): string =>
  lines(shareOf(form), (i) => {
    const wide = form.units * form.blocks
    return `if (${inTile(form, i)}) { let row = row0 + ${elementOf(form, i)} / ${wide}u; let unit = unit0 + ${elementOf(form, i)} % ${wide}u;
    if (row < ${param(step.batch)} && unit < ${allUnits}u) {
      ${text(i)}
    } }`
  })
const elementOf = (form: StepForm, i: number): string => `(t + ${i * threadsOf(form)}u)`
const inTile = (form: StepForm, i: number): string => `${elementOf(form, i)} < ${form.rows * form.units * form.blocks}u`

/** Statements that copy the tiles from term `k0` on: neighbouring threads read neighbouring elements where they can. */
function loads({ sums, terms, full, allUnits, form }: Product): string {
  const { units, blocks, rows, each, deep, kFast } = form
  const threads = threadsOf(form)
  const whole = (value: string): string => (full ? value : `select(0.0, ${value}, k < ${terms})`)
  const copy = (count: number, text: (t: string) => string): string =>
    lines(Math.ceil(count / threads), (i) => {
      const guard = (i + 1) * threads > count ? `if (t < ${count - i * threads}u) ` : ""
      return `${guard}{ ${text(`(t + ${i * threads}u)`)} }`
    })
  const term = full ? "k" : `min(k, ${terms} - 1u)`
  const [across, along] = kFast ? [(t: string) => `${t} / ${deep}u`, (t: string) => `${t} % ${deep}u`] : [(t: string) => `${t} % ${units}u`, (t: string) => `${t} / ${units}u`] // prettier-ignore
  const rowTile = copy((rows / each) * deep, (t) => {
    const values = Array.from({ length: each }, (_, v) => whole(`row_at(min(head + ${v}u, last_row), kept)`))
    return `let line = ${t} / ${deep}u; let kk = ${t} % ${deep}u; let k = k0 + kk; let kept = ${term}; let head = row0 + line * ${each}u;
      rows[kk * ${rows / each + 1}u + line] = ${vector(each)}(${values.join(", ")});`
  })
  const weightTile = copy(units * deep, (t) => {
    const unit = (s: number): string => `min(unit0 + ${blocks > 1 ? s * units : 0}u + one, ${allUnits - 1}u)`
    return `let one = ${across(t)}; let kk = ${along(t)}; let k = k0 + kk; let kept = ${term};
      ${lines(sums, (s) => `weights[kk * ${sums * units + 1}u + ${s * units}u + one] = ${whole(`weight_at(${blocks > 1 ? 0 : s}u, ${unit(s)}, kept)`)};`)}`
  })
  return `${rowTile}\n    ${weightTile}`
}

/** Declarations, and the body up to where threads hold `total<sum>_<i>` for the elements that they end. */
function product(all: Product, prologue: string): string {
  const { sums, terms, form, readRow, readWeight } = all
  const { units, blocks, rows, each, parts, deep } = form
  const threads = threadsOf(form)
  const [type, share] = [vector(each), shareOf(form)]
  const perPart = threads / parts
  const place = (i: number): string => `let e = ${elementOf(form, i)}; let place = (e / ${units * blocks * each}u) * ${units}u + e % ${units}u; let v = (e / ${units * blocks}u) % ${each}u;` // prettier-ignore
  const gather = (s: number, i: number): string =>
    `if (${inTile(form, i)}${blocks > 1 ? ` && (${elementOf(form, i)} / ${units}u) % ${blocks}u == ${s}u` : ""}) { ${place(i)}
    ${lines(parts, (p) => `total${blocks > 1 ? 0 : s}_${i} += rows[${p * perPart}u + place]${each > 1 ? "[v]" : ""};`, " ")} }`
  return `
fn row_at(row: u32, k: u32) -> f32 { ${readRow} }
fn weight_at(gate: u32, unit: u32, k: u32) -> f32 { return ${readWeight}; }
var<workgroup> rows: array<${type}, ${Math.max(deep * (rows / each + 1), threads)}>;
var<workgroup> weights: array<f32, ${deep * (sums * units + 1)}>;
@compute @workgroup_size(${threads})
fn main(
  @builtin(local_invocation_index) t: u32,
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let own = t % ${units}u;
  let line = (t / ${units}u) % ${rows / each}u;
  let lane = t / ${perPart}u;
  let unit0 = id.x * ${units * blocks}u;
  let row0 = (id.y + id.z * groups.y) * ${rows}u;
  let last_row = ${param(step.batch)} - 1u;
  ${prologue}
  ${lines(sums, (s) => `var sum${s} = ${type}(0.0);`, " ")}
  for (var k0 = 0u; k0 < ${terms}; k0 += ${deep}u) {
    ${loads(all)}
    workgroupBarrier();
    for (var kk = lane; kk < ${deep}u; kk += ${parts}u) {
      let x = rows[kk * ${rows / each + 1}u + line];
      ${lines(sums, (s) => `sum${s} += x * weights[kk * ${sums * units + 1}u + ${s * units}u + own];`)}
    }
    workgroupBarrier();
  }
  ${lines(share, (i) => lines(blocks > 1 ? 1 : sums, (s) => `var total${s}_${i} = 0.0;`, " "))}
  ${lines(
    sums,
    (s) => `rows[t] = sum${s};
  workgroupBarrier();
  ${lines(share, (i) => gather(s, i))}
  workgroupBarrier();`,
  )}
`
}

const vector = (each: number): string => (each === 1 ? "f32" : `vec${each}<f32>`)

/** One step forward; the state before is the output at time `other`, or at the first step the initial one. */
export function forwardStep(form: ForwardForm, cut: StepForm): ShaderSource {
  const { cell, dtype, units, operands } = form
  const { gates } = recurrentCells[cell]
  const { source, inputs } = forwardCell(form)
  const [time, before, mode] = [param(step.time), param(step.other), param(step.mode)]
  const either = (name: string, start: string, later: string): string =>
    `if (${mode} == 1u) { ${name} = ${start}; } else { ${name} = ${later}; }`
  const lstm = cell === "lstm"
  // What the cell reads besides the products is on its way while these are computed.
  const prologue = `${lines(shareOf(cut), (i) => `${lines(gates, (g) => `var p${g}_${i} = 0.0;`, " ")} var h_${i} = 0.0; var c_${i} = 0.0;`)}
  ${eachElement(cut, units, (i) => `${lines(gates, (g) => `p${g}_${i} = ${operands.read("projected", time, "row", `${g * units}u + unit`)};`)}
    h_${i} = row_at(row, unit);
    ${lstm ? either(`c_${i}`, operands.read("c", "row", "unit"), operands.read("cells", before, "row", "unit")) : ""}`)}` // prettier-ignore
  const readRow = `var x = 0.0; ${either("x", operands.read("h", "row", "k"), operands.read("output", before, "row", "k"))} return x;`
  const readWeight = operands.read("weight", `gate * ${units}u + unit`, "k")
  const body = product(
    { sums: gates, terms: `${units}u`, full: units % cut.deep === 0, allUnits: units, form: cut, readRow, readWeight },
    prologue,
  )
  const bias = (g: number): string =>
    operands.has("bias") ? ` + ${operands.read("bias", `${g * units}u + unit`)}` : ""
  const ends = eachElement(cut, units, (i) => {
    const names = forwardInputs(cell, (g) => `p${g}_${i}`, (g) => rounded(dtype, `(total${g}_${i}${bias(g)})`), `h_${i}`, `c_${i}`) // prettier-ignore
    return `let result = cell(${inputs.map((n) => names[n]).join(", ")});
      ${forwardWrites(form, time, "row", "unit")}`
  })
  return { name: "recurrent", kinds: operands.bindings.kinds, code: `${source}${body}${ends}\n}` }
}

/** Statements that end an element of a step backward, whose product is `total`. */
export function backwardEnd(form: BackwardForm, compiled: CellFunction, total: string): string {
  const { cell, dtype, reverse, operands } = form
  const { carried } = backwardResults(cell)
  const [time, mode] = [param(step.time), param(step.mode)]
  const gru = cell === "gru"
  const place = { time, before: `(${time} ${reverse ? "+" : "-"} 1u)`, isFirst: `${param(step.isFirst)} == 1u`, row: "row", unit: "unit", prefix: "i" } // prettier-ignore
  const gradients = cell === "lstm" ? ["g", operands.read("dc", "row", "unit")] : ["g"]
  const { statements, names } = backwardInputs(form, compiled, gradients, place)
  return `var dh = ${total};
      if (${gru ? "true" : `${mode} == 1u`}) { dh += ${operands.read("dh", "row", "unit")}; }
      dh = ${rounded(dtype, "dh")};
      if (${mode} == 2u) {
        ${operands.write("dh", "dh", "row", "unit")}
      } else {
        let g = ${rounded(dtype, `(dh + ${operands.read("gradOutput", time, "row", "unit")})`)};
        ${statements}
        let result = cell(${names.join(", ")});
        ${backwardWrites(form, time, "row", "unit")}
        ${carried ? operands.write(gru ? "dh" : "dc", carried, "row", "unit") : ""}
      }`
}

/**
 * One step backward: what the gates at time `other`, computed by the step before, send back, then the gates at `time`.
 * `dh` holds the gradient of the last state at first, later what passes by the product (GRU), and at the end the result;
 * `dc` what travels along the cells. At the last time to be computed (`isFirst`) the old states are the initial ones.
 */
export function backwardStep(form: BackwardForm, cut: StepForm): ShaderSource {
  const { cell, units, operands } = form
  const { gates } = recurrentCells[cell]
  const compiled = backwardCell(form)
  const mode = param(step.mode)
  const gru = cell === "gru"
  const terms = `select(${gates * units}u, 0u, ${mode} == 1u)`
  const readRow = `return ${operands.read(gru ? "hidden" : "projected", param(step.other), "row", "k")};`
  const readWeight = operands.read("weight", "k", "unit")
  const body = product({ sums: cut.blocks, terms: "terms", full: (gates * units) % cut.deep === 0, allUnits: units, form: cut, readRow, readWeight }, `let terms = ${terms};`) // prettier-ignore
  const ends = eachElement(cut, units, (i) => backwardEnd(form, compiled, `total0_${i}`))
  return {
    name: "recurrentBackward",
    kinds: operands.bindings.kinds,
    code: `${compiled.source}${body}${ends}\n}`,
  }
}
