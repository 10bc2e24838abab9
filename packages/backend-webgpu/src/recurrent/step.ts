// Kernels over one time step, for layers whose weights are too large to be read by every workgroup at every step: a product by
// tiles whose sums go straight into the cell, so that a step is one dispatch.
import { recurrentCells } from "@rondo/backend"
import { param, type ShaderSource } from "../queue.js"
import {
  type BackwardForm, backwardCell, backwardInputs, backwardResults, backwardWrites, type ForwardForm, forwardCell, forwardInputs, forwardWrites,
} from "./cells.js" // prettier-ignore
import { lines, rounded } from "./operands.js"

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
  const parts = Math.min(deep / 4, 256 / (units * (rows / each)))
  return { units, blocks, rows, each, parts, deep, kFast }
}

interface Product {
  /** Sums of each thread and row: one a gate, or one a block of units. */
  readonly sums: number
  /** Terms, as an expression. */
  readonly terms: string
  readonly allUnits: number
  readonly form: StepForm
  /** Element (row, k) of what is multiplied, and the weight of a sum of a unit for term k. */
  readonly readRow: string
  readonly readWeight: string
}

/** Declarations, and the body up to where threads with `lane == 0u` hold `total<sum>_<v>` for their rows. */
function product({ sums, terms, allUnits, form, readRow, readWeight }: Product, prologue: string): string {
  const { units, blocks, rows, each, parts, deep, kFast } = form
  const threads = units * (rows / each) * parts
  const quads = deep / 4
  const stride = quads + 1
  const weightAt = rows * stride
  const count = sums * each
  const packed = Math.ceil(count / 4)
  const size = Math.max((rows + sums * units) * stride, threads * packed)
  const flat = (i: number): string => (i < count ? `sum${Math.floor(i / each)}_${i % each}` : "0.0")
  const fourTerms = (read: string): string =>
    lines(4, (c) => `{ let k = k0 + quad * 4u + ${c}u; if (k < ${terms}) { four[${c}] = ${read}; } }`, " ")
  const [quad, line] = kFast ? [`i % ${quads}u`, `i / ${quads}u`] : [`i / ${sums * units}u`, `i % ${sums * units}u`]
  return `
fn row_at(row: u32, k: u32) -> f32 { ${readRow} }
fn weight_at(gate: u32, unit: u32, k: u32) -> f32 { return ${readWeight}; }
var<workgroup> tiles: array<vec4<f32>, ${size}>;
@compute @workgroup_size(${threads})
fn main(
  @builtin(local_invocation_index) t: u32,
  @builtin(workgroup_id) id: vec3<u32>,
) {
  let own = t % ${units}u;
  let line = (t / ${units}u) % ${rows / each}u;
  let lane = t / ${units * (rows / each)}u;
  let unit = id.x * ${units * blocks}u + own;
  let row0 = id.y * ${rows}u;
  ${prologue}
  ${lines(count, (i) => `var ${flat(i)} = 0.0;`, " ")}
  for (var k0 = 0u; k0 < ${terms}; k0 += ${deep}u) {
    for (var i = t; i < ${rows * quads}u; i += ${threads}u) {
      let quad = i % ${quads}u;
      let row = row0 + i / ${quads}u;
      var four = vec4<f32>(0.0);
      if (row < ${param(step.batch)}) { ${fourTerms("row_at(row, k)")} }
      tiles[(i / ${quads}u) * ${stride}u + quad] = four;
    }
    for (var i = t; i < ${sums * units * quads}u; i += ${threads}u) {
      let quad = ${quad};
      let line = ${line};
      let unit = id.x * ${units * blocks}u + ${blocks > 1 ? "line" : `line % ${units}u`};
      var four = vec4<f32>(0.0);
      if (unit < ${allUnits}u) { ${fourTerms(`weight_at(line / ${units}u, unit, k)`)} }
      tiles[${weightAt}u + line * ${stride}u + quad] = four;
    }
    workgroupBarrier();
    for (var quad = lane; quad < ${quads}u; quad += ${parts}u) {
      ${lines(each, (v) => `let x${v} = tiles[(line + ${(v * rows) / each}u) * ${stride}u + quad];`, " ")}
      ${lines(sums, (s) => `let w${s} = tiles[${weightAt}u + (${s * units}u + own) * ${stride}u + quad];`, " ")}
      ${lines(count, (i) => `${flat(i)} += dot(x${i % each}, w${Math.floor(i / each)});`, " ")}
    }
    workgroupBarrier();
  }
  ${lines(packed, (p) => `tiles[${p * threads}u + t] = vec4<f32>(${[0, 1, 2, 3].map((c) => flat(4 * p + c)).join(", ")});`)}
  workgroupBarrier();
  if (lane != 0u || unit >= ${allUnits}u) { return; }
  ${lines(packed, (p) => `var packed${p} = tiles[${p * threads}u + t]; for (var part = 1u; part < ${parts}u; part++) { packed${p} += tiles[${p * threads}u + part * ${threads / parts}u + t]; }`)}
  ${lines(count, (i) => `let total${Math.floor(i / each)}_${i % each} = packed${i >> 2}[${i & 3}];`)}
`
}

const rowOf = ({ rows, each }: StepForm, v: number): string => `row0 + line + ${(v * rows) / each}u`

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
  const prologue = lines(cut.each, (v) => `
  ${lines(gates, (g) => `var p${g}_${v} = 0.0;`, " ")} var h_${v} = 0.0; var c_${v} = 0.0;
  if (lane == 0u && unit < ${units}u && ${rowOf(cut, v)} < ${param(step.batch)}) { let row = ${rowOf(cut, v)};
    ${lines(gates, (g) => `p${g}_${v} = ${operands.read("projected", time, "row", `${g * units}u + unit`)};`)}
    h_${v} = row_at(row, unit);
    ${lstm ? either(`c_${v}`, operands.read("c", "row", "unit"), operands.read("cells", before, "row", "unit")) : ""}
  }`) // prettier-ignore
  const readRow = `var x = 0.0; ${either("x", operands.read("h", "row", "k"), operands.read("output", before, "row", "k"))} return x;`
  const readWeight = operands.read("weight", `gate * ${units}u + unit`, "k")
  const body = product({ sums: gates, terms: `${units}u`, allUnits: units, form: cut, readRow, readWeight }, prologue)
  const bias = (g: number): string =>
    operands.has("bias") ? ` + ${operands.read("bias", `${g * units}u + unit`)}` : ""
  const ends = lines(cut.each, (v) => {
    const names = forwardInputs(cell, (g) => `p${g}_${v}`, (g) => rounded(dtype, `(total${g}_${v}${bias(g)})`), `h_${v}`, `c_${v}`) // prettier-ignore
    return `{ let row = ${rowOf(cut, v)}; if (row < ${param(step.batch)}) {
      let result = cell(${inputs.map((i) => names[i]).join(", ")});
      ${forwardWrites(form, time, "row", "unit")}
    } }`
  })
  return { name: "recurrent", kinds: operands.bindings.kinds, code: `${source}${body}${ends}\n}` }
}

/**
 * One step backward: what the gates at time `other`, computed by the step before, send back, then the gates at `time`.
 * `dh` holds the gradient of the last state at first, later what passes by the product (GRU), and at the end the result;
 * `dc` what travels along the cells. At the last time to be computed (`isFirst`) the old states are the initial ones.
 */
export function backwardStep(form: BackwardForm, cut: StepForm): ShaderSource {
  const { cell, dtype, units, reverse, operands } = form
  const { gates } = recurrentCells[cell]
  const compiled = backwardCell(form)
  const { carried } = backwardResults(cell)
  const [time, mode] = [param(step.time), param(step.mode)]
  const gru = cell === "gru"
  const terms = `select(${gates * units}u, 0u, ${mode} == 1u)`
  const readRow = `return ${operands.read(gru ? "hidden" : "projected", param(step.other), "row", "k")};`
  const readWeight = operands.read("weight", "k", "unit")
  const body = product({ sums: cut.blocks, terms: "terms", allUnits: units, form: cut, readRow, readWeight }, `let terms = ${terms};`) // prettier-ignore
  const ends = lines(cut.each * cut.blocks, (at) => {
    const [v, block] = [at % cut.each, Math.floor(at / cut.each)]
    const place = { time, before: `(${time} ${reverse ? "+" : "-"} 1u)`, isFirst: `${param(step.isFirst)} == 1u`, row: "row", unit: "unit", prefix: "i" } // prettier-ignore
    const gradients = cell === "lstm" ? ["g", operands.read("dc", "row", "unit")] : ["g"]
    const { statements, names } = backwardInputs(form, compiled, gradients, place)
    const keep = carried ? operands.write(gru ? "dh" : "dc", carried, "row", "unit") : ""
    const passed = gru ? "true" : `${mode} == 1u`
    return `{ let row = ${rowOf(cut, v)}; let unit = first_unit + ${block * cut.units}u;
      if (row < ${param(step.batch)} && unit < ${units}u) {
      var dh = total${block}_${v};
      if (${passed}) { dh += ${operands.read("dh", "row", "unit")}; }
      dh = ${rounded(dtype, "dh")};
      if (${mode} == 2u) {
        ${operands.write("dh", "dh", "row", "unit")}
      } else {
      let g = ${rounded(dtype, `(dh + ${operands.read("gradOutput", time, "row", "unit")})`)};
      ${statements}
      let result = cell(${names.join(", ")});
      ${backwardWrites(form, time, "row", "unit")}
      ${keep}
      }
    } }`
  })
  return {
    name: "recurrentBackward",
    kinds: operands.bindings.kinds,
    code: `${compiled.source}${body}  let first_unit = unit;
  ${ends}\n}`,
  }
}
