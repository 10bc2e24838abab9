// The map kernel: one thread an element, specialised for the number of dims and for operands that lie side by side.
import {
  collapse,
  isContiguous,
  type Kernel,
  type MapKernel,
  type Program,
  program,
  sizeOf,
  type View,
} from "@rondo/backend"
import { bind, type Bindings } from "./bindings.js"
import type { Gpu } from "./gpu.js"
import { param, type ShaderSource } from "./queue.js"
import { readElement, wordFunctions, writeElement } from "./types.js"
import { librarySource } from "./functions.js"
import { renderWgsl, WgslTarget } from "./wgsl.js"

/** Threads of a workgroup that works on elements one by one. */
export const groupSize = 256

const floatBits = new Float32Array(1)
const wordBits = new Uint32Array(floatBits.buffer)

/** The 32 bits of a scalar as its dtype. */
export function scalarBits(dtype: string, value: number): number {
  if (dtype === "bool") return value !== 0 ? 1 : 0
  if (dtype === "int32") return value | 0
  if (dtype === "uint8") return value & 255
  floatBits[0] = value
  return wordBits[0]
}

/** Workgroups for `threads` threads, folded into two dims where one does not hold them. */
export function groupsFor(gpu: Gpu, threads: number): [number, number, number] {
  const groups = Math.max(1, Math.ceil(threads / groupSize))
  const most = gpu.device.limits.maxComputeWorkgroupsPerDimension
  if (groups <= most) return [groups, 1, 1]
  return [most, Math.ceil(groups / most), 1]
}

/** The start of an entry point with one thread an element: `i` is its number, `i < count` holds afterwards. */
export const elementEntry = (count: string): string => `
@compute @workgroup_size(${groupSize})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * ${groupSize}u;
  if (i >= ${count}) { return; }
`

interface Plan {
  readonly program: Program
  readonly inputs: readonly number[]
  readonly scalars: readonly string[]
}

const plans = new WeakMap<Kernel, Plan>()

function planOf(kernel: MapKernel): Plan {
  let plan = plans.get(kernel)
  if (!plan) {
    const compiled = program(kernel.exprs)
    const inputs: number[] = []
    const scalars: string[] = []
    for (const node of compiled.nodes) {
      if (node.kind === "input" && !inputs.includes(node.index)) inputs.push(node.index)
      if (node.kind === "scalar") scalars[node.index] = node.dtype
    }
    plan = { program: compiled, inputs, scalars: Array.from(scalars, (dtype) => dtype ?? "float32") }
    plans.set(kernel, plan)
  }
  return plan
}

/** How an operand is walked: side by side, one value for all, or by strides. */
type Walk = "v" | "s" | "g"

/** Evaluates one expression an output for every element. */
export function runMap(
  gpu: Gpu,
  kernel: MapKernel,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
): void {
  const size = sizeOf(outputs[0].shape)
  if (size === 0) return
  const plan = planOf(kernel)
  const read = plan.inputs.map((index) => inputs[index])
  const views = [...outputs, ...read]
  const flat = views.every(({ shape, strides }) => isContiguous(shape, strides))
  const nest = flat ? { shape: [size], strides: views.map(() => [1]) } : collapse(outputs[0].shape, views.map((v) => v.strides)) // prettier-ignore
  const rank = nest.shape.length
  const walks = nest.strides.map((strides): Walk => {
    if (strides.every((stride) => stride === 0)) return "s"
    return rank === 1 && strides[0] === 1 ? "v" : "g"
  })
  const bindings = bind(gpu, outputs, read)
  const key = `map ${rank}${walks.join("")} ${bindings.key} ${views.map((v) => v.dtype).join()} ${plan.program.key}`
  const compiled = gpu.queue.program(key, () => mapSource(plan, bindings, views, outputs.length, rank, walks))
  const params = [size, ...nest.shape]
  views.forEach(({ offset }, v) => {
    params.push(offset)
    if (walks[v] === "g") params.push(...nest.strides[v])
  })
  plan.scalars.forEach((dtype, i) => params.push(scalarBits(dtype, scalars[i])))
  gpu.queue.dispatch(compiled, bindings.blocks, params, groupsFor(gpu, size))
}

function mapSource(
  plan: Plan,
  { kinds, slots }: Bindings,
  views: readonly View[],
  outputs: number,
  rank: number,
  walks: readonly Walk[],
): ShaderSource {
  let next = 1 + rank
  const lines: string[] = []
  if (walks.includes("g")) lines.push(...coordinates(rank))
  const at = walks.map((walk, v) => {
    const offset = param(next++)
    const terms = walk === "v" ? ["i"] : walk === "s" ? [] : Array.from({ length: rank }, (_, d) => `c${d} * ${param(next++)}`) // prettier-ignore
    lines.push(`let at${v} = ${[offset, ...terms].join(" + ")};`)
    return `at${v}`
  })
  const firstScalar = next
  const target = new WgslTarget(
    (index) => {
      const v = outputs + plan.inputs.indexOf(index)
      return readElement(views[v].dtype, slots[v], at[v])
    },
    (index) => param(firstScalar + index),
  )
  const { statements, values } = renderWgsl(plan.program, target)
  // Everything is computed before anything is written: outputs may lie where inputs do.
  const results = values.map((value, o) => `let r${o} = ${value};`)
  const stores = values.map((_, o) => writeElement(views[o].dtype, slots[o], at[o], `r${o}`))
  const body = [...lines, ...statements, ...results, ...stores].join("\n  ")
  const code = `${wordFunctions}${librarySource(target.functions)}${elementEntry(param(0))}  ${body}\n}`
  return { name: "map", kinds, code }
}

/** Coordinates of element `i`; the sizes are parameters from 1 on. */
function coordinates(rank: number): string[] {
  const lines = ["var rest = i;"]
  for (let d = rank - 1; d > 0; d--) {
    lines.push(`let c${d} = rest % ${param(1 + d)};`, `rest = rest / ${param(1 + d)};`)
  }
  return [...lines, "let c0 = rest;"]
}
