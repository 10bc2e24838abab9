// Kernels over a whole sequence: a workgroup takes some rows of the batch through all times in one dispatch, a thread for each
// unit; states and gradients pass through workgroup memory, and the weights too where they fit.
import { recurrentCells } from "@rondo/backend"
import { param, type ShaderSource } from "../queue.js"
import {
  type BackwardForm, backwardCell, backwardInputs, backwardResults, backwardWrites, type ForwardForm, forwardCell, forwardInputs, forwardWrites,
} from "./cells.js" // prettier-ignore
import { lines, rounded } from "./operands.js"

/** How rows of the batch are dealt out: `each` to a thread, and so many threads to a unit. */
export interface Deal {
  readonly each: 1 | 2 | 4
  readonly across: number
  /** The weights are copied to workgroup memory once. */
  readonly kept: boolean
}

/** Positions of the parameters; the operands' follow. */
export const sequenceFirst = 2
const [steps, batch] = [param(0), param(1)]

const vector = (each: number): string => (each === 1 ? "f32" : `vec${each}<f32>`)
const part = (name: string, each: number, v: number): string => (each === 1 ? name : `${name}[${v}]`)

/** The entry point up to where the thread knows its unit and its rows. */
const entry = (units: number, { each, across }: Deal): string => `
@compute @workgroup_size(${units * across})
fn main(
  @builtin(local_invocation_index) t: u32,
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let unit = t % ${units}u;
  let lane = t / ${units}u;
  let row0 = ((id.x + id.y * groups.x) * ${across}u + lane) * ${each}u;
`

/** Statements for each row of the thread that exists; `row` is its number. */
const eachRow = (each: number, text: (v: number) => string): string =>
  lines(each, (v) => `{ let row = row0 + ${v}u; if (row < ${batch}) {\n      ${text(v)}\n    } }`)

export function forwardSequence(form: ForwardForm, deal: Deal): ShaderSource {
  const { cell, dtype, units, reverse, operands } = form
  const { each, across, kept } = deal
  const { gates } = recurrentCells[cell]
  const vec = vector(each)
  const wide = gates * units
  const { source, inputs } = forwardCell(form)
  const lstm = cell === "lstm"
  const weight = (g: number): string => kept ? `weights[k * ${wide}u + ${g * units}u + unit]` : operands.read("weight", `${g * units}u + unit`, "k") // prettier-ignore
  const call = (v: number): string => {
    const names = forwardInputs(cell, (g) => part(`p${g}`, each, v), (g) => rounded(dtype, part(`q${g}`, each, v)), part("h", each, v), part("c", each, v)) // prettier-ignore
    return `let result = cell(${inputs.map((i) => names[i]).join(", ")});
      ${forwardWrites(form, "time", "row", "unit")}
      ${part("h", each, v)} = result.y0;${lstm ? ` ${part("c", each, v)} = result.y1;` : ""}`
  }
  const code = `${source}
var<workgroup> state: array<${vec}, ${units * across}>;
${kept ? `var<workgroup> weights: array<f32, ${wide * units}>;` : ""}
${entry(units, deal)}
  var h = ${vec}(0.0);
  var c = ${vec}(0.0);
  ${eachRow(each, (v) => `${part("h", each, v)} = ${operands.read("h", "row", "unit")};${lstm ? ` ${part("c", each, v)} = ${operands.read("c", "row", "unit")};` : ""}`)}
  ${lines(gates, (g) => `let bias${g} = ${operands.has("bias") ? operands.read("bias", `${g * units}u + unit`) : "0.0"};`)}
  ${kept ? `for (var i = t; i < ${wide * units}u; i += ${units * across}u) { weights[(i % ${units}u) * ${wide}u + i / ${units}u] = ${operands.read("weight", `i / ${units}u`, `i % ${units}u`)}; }` : ""}
  state[lane * ${units}u + unit] = h;
  workgroupBarrier();
  for (var s = 0u; s < ${steps}; s++) {
    let time = ${reverse ? `${steps} - 1u - s` : "s"};
    ${lines(gates, (g) => `var p${g} = ${vec}(0.0); var q${g} = ${vec}(0.0);`)}
    ${eachRow(each, (v) => lines(gates, (g) => `${part(`p${g}`, each, v)} = ${operands.read("projected", "time", "row", `${g * units}u + unit`)};`))}
    for (var k = 0u; k < ${units}u; k++) {
      let x = state[lane * ${units}u + k];
      ${lines(gates, (g) => `q${g} += ${weight(g)} * x;`)}
    }
    ${lines(gates, (g) => `q${g} += ${vec}(bias${g});`)}
    workgroupBarrier();
    ${eachRow(each, call)}
    state[lane * ${units}u + unit] = h;
    workgroupBarrier();
  }
}`
  return { name: "recurrent", kinds: operands.bindings.kinds, code }
}

/** `dh` and `dc` hold the gradients of the last states at the start. */
export function backwardSequence(form: BackwardForm, deal: Deal): ShaderSource {
  const { cell, dtype, units, reverse, operands } = form
  const { each, across, kept } = deal
  const { gates } = recurrentCells[cell]
  const vec = vector(each)
  const wide = gates * units
  const compiled = backwardCell(form)
  const { hidden, carried } = backwardResults(cell)
  const states = cell === "lstm" ? (["dh", "dc"] as const) : (["dh"] as const)
  const own = (name: string, v: number): string => part(name, each, v)
  const place = (v: number) => ({ time: "time", before: "before", isFirst: `s + 1u == ${steps}`, row: "row", unit: "unit", prefix: `i${v}_` }) // prettier-ignore
  const call = (v: number): string => {
    const { statements, names } = backwardInputs(form, compiled, cell === "lstm" ? ["g", own("dc", v)] : ["g"], place(v)) // prettier-ignore
    const keep = carried ? `${own(cell === "gru" ? "carry" : "dc", v)} = ${carried};` : ""
    return `let g = ${rounded(dtype, `(${operands.read("gradOutput", "time", "row", "unit")} + ${own("dh", v)})`)};
      ${statements}
      let result = cell(${names.join(", ")});
      ${backwardWrites(form, "time", "row", "unit")}
      ${lines(gates, (g) => `${own(`d${g}`, v)} = ${hidden(g)};`, " ")} ${keep}`
  }
  const weight = kept ? `weights[k * ${units}u + unit]` : operands.read("weight", "k", "unit")
  const code = `${compiled.source}
var<workgroup> grads: array<${vec}, ${wide * across}>;
${kept ? `var<workgroup> weights: array<f32, ${wide * units}>;` : ""}
${entry(units, deal)}
  var dh = ${vec}(0.0);
  var dc = ${vec}(0.0);
  ${eachRow(each, (v) => states.map((name) => `${own(name, v)} = ${operands.read(name, "row", "unit")};`).join(" "))}
  ${kept ? `for (var i = t; i < ${wide * units}u; i += ${units * across}u) { weights[i] = ${operands.read("weight", `i / ${units}u`, `i % ${units}u`)}; }` : ""}
  for (var s = 0u; s < ${steps}; s++) {
    let time = ${reverse ? "s" : `${steps} - 1u - s`};
    let before = ${reverse ? "time + 1u" : "time - 1u"};
    ${lines(gates, (g) => `var d${g} = ${vec}(0.0);`, " ")}
    var carry = ${vec}(0.0);
    ${eachRow(each, call)}
    ${lines(gates, (g) => `grads[lane * ${wide}u + ${g * units}u + unit] = d${g};`)}
    workgroupBarrier();
    var sum = ${vec}(0.0);
    for (var k = 0u; k < ${wide}u; k++) { sum += ${weight} * grads[lane * ${wide}u + k]; }
    sum += carry;
    ${lines(each, (v) => `${own("dh", v)} = ${rounded(dtype, own("sum", v))};`)}
    workgroupBarrier();
  }
  ${eachRow(each, (v) => states.map((name) => operands.write(name, own(name, v), "row", "unit")).join(" "))}
}`
  return { name: "recurrentBackward", kinds: operands.bindings.kinds, code }
}
