// One dispatch of a map: expressions evaluated element by element. A thread computes whole words of small elements where outputs
// lie side by side, so that nothing is written with atomics. What kernels of one thread an element share is here too.
import {
  collapse,
  comparison,
  type DType,
  isContiguous,
  type Kernel,
  type LoopNest,
  type MapKernel,
  type Program as Expressions,
  program,
  sizeOf,
  type View,
} from "@rondo/backend"
import { bind, type Bindings } from "./bindings.js"
import { librarySource } from "./functions.js"
import type { Gpu } from "./gpu.js"
import type { Block } from "./memory.js"
import { param, paramBytes, type Program, type ShaderSource } from "./queue.js"
import { bitsOf, perWord, readElement, wordFunctions, writeElement } from "./types.js"
import { bitsOfFloat, renderWgsl, WgslTarget } from "./wgsl.js"

/** Threads of a workgroup that works on elements one by one. */
export const groupSize = 256

const mostParams = paramBytes / 4

/** The 32 bits of a scalar as its dtype. */
export function scalarBits(dtype: string, value: number): number {
  if (dtype === "bool") return value !== 0 ? 1 : 0
  if (dtype === "int32" || dtype === "uint32") return value | 0
  if (dtype === "uint8") return value & 255
  return bitsOfFloat(value)
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

/** What is known of a kernel before it meets views. */
export interface MapPlan {
  readonly program: Expressions
  /** Numbers of the inputs that are read. */
  readonly inputs: readonly number[]
  /** Dtypes of the scalars. */
  readonly scalars: readonly string[]
  /** Compiled shaders by what they depend on beside the kernel. */
  readonly compiled: WeakMap<Gpu, Map<string, Program>>
}

const plans = new WeakMap<Kernel, MapPlan>()

/** The plan of a kernel: made once, found by identity from then on. */
export function planOf(kernel: MapKernel): MapPlan {
  let plan = plans.get(kernel)
  if (!plan) {
    const compiled = program(kernel.exprs)
    const inputs: number[] = []
    const scalars: string[] = []
    for (const node of compiled.nodes) {
      if (node.kind === "input" && !inputs.includes(node.index)) inputs.push(node.index)
      if (node.kind === "scalar") scalars[node.index] = node.dtype
    }
    const dtypes = Array.from(scalars, (dtype) => dtype ?? "float32")
    plans.set(kernel, (plan = { program: compiled, inputs, scalars: dtypes, compiled: new WeakMap() }))
  }
  return plan
}

/** True if a dispatch over `views` may have more parameters than the queue takes: they need a buffer then. */
export function mayNeedParamBuffer({ scalars }: MapPlan, views: readonly View[]): boolean {
  const rank = views[0].shape.length
  return 1 + rank + views.length * (rank + 1) + scalars.length > mostParams
}

/** How an operand is walked: side by side, one value for all, or by the strides of this number. */
type Walk = "v" | "s" | number

interface Walks {
  readonly shape: readonly number[]
  readonly walks: readonly Walk[]
  /** Different lists of strides: operands that lie alike share the arithmetic. */
  readonly strides: readonly (readonly number[])[]
}

function walksOf(views: readonly View[]): Walks {
  const { shape } = views[0]
  const flat = views.every((view) => isContiguous(shape, view.strides))
  const nest: LoopNest = flat
    ? { shape: [sizeOf(shape)], strides: views.map(() => [1]) }
    : collapse(shape, views.map((view) => view.strides)) // prettier-ignore
  const strides: (readonly number[])[] = []
  const walks = nest.strides.map((own): Walk => {
    if (own.every((stride) => stride === 0)) return "s"
    if (own.length === 1 && own[0] === 1) return "v"
    const known = strides.findIndex((list) => list.every((stride, d) => stride === own[d]))
    return known >= 0 ? known : strides.push(own) - 1
  })
  return { shape: nest.shape, walks, strides }
}

/** How elements are dealt out to threads. */
interface Share {
  /** Elements that a thread computes. */
  readonly each: 1 | 2 | 4
  /** They are neighbours, so that a thread owns whole words of small elements; else they lie a dispatch's threads apart. */
  readonly neighbours: boolean
}

const alone: Share = { each: 1, neighbours: false }
/** Operators that cost no more than reading an operand: for more expensive ones, several elements a thread gain nothing. */
const light: readonly string[] = [
  ...["add", "sub", "mul", "neg", "abs", "max", "min", "and", "or", "xor", "not", "shl", "shr"],
  ...comparison,
  "where",
]
const mostLight = 24

function shareOf(
  { program: { nodes } }: MapPlan,
  size: number,
  outputs: readonly View[],
  walks: readonly Walk[],
  { slots }: Bindings,
): Share {
  if (outputs.every(({ dtype }) => perWord(dtype) === 1)) {
    const strided = walks.some((walk) => typeof walk === "number")
    const heavy = nodes.length > mostLight || nodes.some((node) => node.kind === "op" && !light.includes(node.op))
    return size % 4 || strided || heavy ? alone : { each: 4, neighbours: false }
  }
  let each: Share["each"] = 1
  for (let o = 0; o < outputs.length; o++) {
    const { dtype, offset } = outputs[o]
    const inWord = perWord(dtype)
    // Two outputs in one buffer may meet in a word.
    const shared = slots.some((slot, other) => other !== o && other < outputs.length && slot === slots[o])
    if (walks[o] !== "v" || offset % inWord !== 0 || shared) return alone
    each = Math.max(each, inWord) as Share["each"]
  }
  return { each, neighbours: true }
}

/** Everything a shader is made from. */
interface Layout extends Walks {
  readonly plan: MapPlan
  readonly bindings: Bindings
  readonly views: readonly View[]
  readonly outputs: number
  readonly share: Share
  /** The slot that parameters are read from, or -1 for the queue's. */
  readonly paramSlot: number
}

/** Queues one dispatch. `read` are the inputs that the plan reads, in its order. */
export function dispatchMap(
  gpu: Gpu,
  plan: MapPlan,
  read: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
): void {
  const views = [...outputs, ...read]
  const walked = walksOf(views)
  const { shape, strides, walks } = walked
  const size = sizeOf(shape)
  const bindings = bind(gpu, outputs, read)
  const share = shareOf(plan, size, outputs, walks, bindings)
  const params = [size, ...shape]
  for (const list of strides) params.push(...list)
  for (const { offset } of views) params.push(offset)
  plan.scalars.forEach((dtype, i) => params.push(scalarBits(dtype, scalars[i])))
  const wide = params.length > mostParams
  const paramSlot = wide ? bindings.blocks.length : -1
  const key = `${shape.length} ${walks.join()} ${share.each}${share.neighbours ? "n" : ""} ${paramSlot} ${bindings.key} ${views.map((v) => v.dtype).join()}`
  const layout: Layout = { ...walked, plan, bindings, views, outputs: outputs.length, share, paramSlot }
  const compiled = compiledFor(gpu, layout, key)
  const groups = groupsFor(gpu, Math.ceil(size / share.each))
  if (!wide) return gpu.queue.dispatch(compiled, bindings.blocks, params, groups)
  const block = writtenBlock(gpu, params)
  gpu.queue.dispatch(compiled, [...bindings.blocks, block], [], groups)
  gpu.pool.give(block)
}

function compiledFor(gpu: Gpu, layout: Layout, key: string): Program {
  const { plan } = layout
  let known = plan.compiled.get(gpu)
  if (!known) plan.compiled.set(gpu, (known = new Map()))
  let compiled = known.get(key)
  if (!compiled)
    known.set(key, (compiled = gpu.queue.program(`map ${key} ${plan.program.key}`, () => mapSource(layout))))
  return compiled
}

/** More parameters than the queue takes, in a buffer of their own. */
function writtenBlock(gpu: Gpu, params: readonly number[]): Block {
  const block = gpu.pool.take(params.length * 4)
  // A write overtakes commands that were not submitted yet.
  if (block.lastBatch === gpu.queue.batch) gpu.queue.flush()
  gpu.device.queue.writeBuffer(
    block.buffer,
    0,
    Uint32Array.from(params, (x) => x >>> 0),
  )
  return block
}

function mapSource(layout: Layout): ShaderSource {
  const { bindings, shape, strides, views, share, paramSlot } = layout
  const at = (index: number): string => (paramSlot < 0 ? param(index) : `load${paramSlot}(${index}u)`)
  const firstStride = 1 + shape.length
  const firstOffset = firstStride + strides.length * shape.length
  const text: MapText = {
    ...{ layout, at, firstStride, firstOffset, firstScalar: firstOffset + views.length },
    functions: new Set(),
  }
  const elements = Array.from({ length: share.each }, (_, k) => elementText(text, k))
  // Everything is computed before anything is written: outputs may lie where inputs do.
  const lines = [...elements.flatMap(({ statements }) => statements), ...storesOf(layout, elements)]
  const kinds = bindings.kinds.map((kind) => (share.neighbours && kind === "a" ? "w" : kind))
  if (paramSlot >= 0) kinds.push("r")
  const threads = share.each === 1 ? at(0) : `((${at(0)} + ${share.each - 1}u) / ${share.each}u)`
  const head = `${wordFunctions}${librarySource(text.functions)}${elementEntry(threads)}`
  return { name: "map", kinds, code: `${head}  ${lines.join("\n  ")}\n}` }
}

/** What the text of every element of a thread shares. */
interface MapText {
  readonly layout: Layout
  /** A parameter by number: the size, the shape, the strides, the offsets, the scalars. */
  readonly at: (index: number) => string
  readonly firstStride: number
  readonly firstOffset: number
  readonly firstScalar: number
  /** Functions in use. */
  readonly functions: Set<string>
}

interface ElementText {
  readonly statements: readonly string[]
  /** One a view. */
  readonly positions: readonly string[]
  /** One an output. */
  readonly results: readonly string[]
}

/** The statements that compute a thread's element `k`. */
function elementText(
  { layout, at, firstStride, firstOffset, firstScalar, functions }: MapText,
  k: number,
): ElementText {
  const { plan, bindings, views, outputs, shape, strides, walks, share } = layout
  const { neighbours, each } = share
  const rank = shape.length
  // Neighbours beyond the end are the last element once more: the same thread computes that, so it is written as it is.
  const own = neighbours
    ? `min(i * ${each}u + ${k}u, ${at(0)} - 1u)`
    : k === 0
      ? "i"
      : `i + ${k}u * (${at(0)} / ${each}u)`
  const statements = [`let e${k} = ${own};`]
  if (strides.length > 0) statements.push(...coordinates(`e${k}`, `c${k}_`, rank, 1, at))
  strides.forEach((_, n) => {
    const terms = Array.from({ length: rank }, (_, d) => `c${k}_${d} * ${at(firstStride + n * rank + d)}`)
    statements.push(`let walk${k}_${n} = ${terms.join(" + ")};`)
  })
  const positions = walks.map((walk, v) => {
    const offset = at(firstOffset + v)
    return walk === "s" ? offset : `(${offset} + ${walk === "v" ? `e${k}` : `walk${k}_${walk}`})`
  })
  const read = (index: number): string => {
    const v = outputs + plan.inputs.indexOf(index)
    statements.push(`let at${k}_${v} = ${positions[v]};`)
    return readElement(views[v].dtype, bindings.slots[v], `at${k}_${v}`)
  }
  const target = new WgslTarget(read, (index) => at(firstScalar + index), `v${k}_`, statements)
  const { values } = renderWgsl(plan.program, target)
  for (const name of target.functions) functions.add(name)
  const results = values.map((value, o) => {
    statements.push(`let r${k}_${o} = ${value};`)
    return `r${k}_${o}`
  })
  return { statements, positions, results }
}

function storesOf({ views, outputs, bindings: { slots }, share }: Layout, elements: readonly ElementText[]): string[] {
  return views.slice(0, outputs).flatMap(({ dtype }, o) => {
    const inWord = share.neighbours ? perWord(dtype) : 1
    if (inWord === 1) {
      return elements.map(({ positions, results }) => writeElement(dtype, slots[o], positions[o], results[o]))
    }
    return Array.from({ length: share.each / inWord }, (_, w) =>
      wordStore(dtype, slots[o], o, share.each, w * inWord, elements.slice(w * inWord, (w + 1) * inWord)),
    )
  })
}

/** Writes a word of neighbours. Of the last one only the elements that exist: others may lie behind them. */
function wordStore(
  dtype: DType,
  slot: number,
  o: number,
  each: number,
  from: number,
  elements: readonly ElementText[],
): string {
  const inWord = perWord(dtype)
  const width = 32 / inWord
  const word = `(${elements[0].positions[o]} >> ${Math.log2(inWord)}u)`
  const bits = elements.map(({ results }, k) => `(${bitsOf(dtype, results[o])} << ${k * width}u)`).join(" | ")
  const exist = `e${from + inWord - 1} - e${from} + 1u`
  return (
    `{ let bits = ${bits}; let exist = ${exist}; ` +
    `if (exist == ${inWord}u) { store${slot}(${word}, bits); } ` +
    `else if (i * ${each}u + ${from}u == e${from}) { let others = 0xffffffffu << (exist * ${width}u); ` +
    `store${slot}(${word}, (load${slot}(${word}) & others) | (bits & ~others)); } }`
  )
}

/** Statements that take an element's number apart into coordinates `name0`, …; the sizes are parameters from `first` on. */
function coordinates(
  index: string,
  name: string,
  rank: number,
  first: number,
  at: (index: number) => string,
): string[] {
  const lines = [`var ${name}rest = ${index};`]
  for (let d = rank - 1; d > 0; d--) {
    lines.push(`let ${name}${d} = ${name}rest % ${at(first + d)};`, `${name}rest /= ${at(first + d)};`)
  }
  return [...lines, `let ${name}0 = ${name}rest;`]
}
