// The reduce kernel: workgroups of outputs x shares of what is reduced, joined by a tree; large reductions in two passes. Where
// barriers are dear, every thread has a share of its own, and there is no tree.
import {
  byteSize,
  collapse,
  contiguousStrides,
  type Kernel,
  type LoopNest,
  type Program,
  program,
  type ReduceKernel,
  sizeOf,
  type View,
} from "@rondo/backend"
import { bind, type Bindings, type SlotKind } from "./bindings.js"
import { carriedValue, type Fold, loadState, reduceFold, stateWords, storeState } from "./fold.js"
import { librarySource } from "./functions.js"
import type { Gpu } from "./gpu.js"
import { groupsFor, runMap, scalarBits } from "./map.js"
import { type Block, GpuStorage } from "./memory.js"
import { coordinates, powerFrom, teamEntry, teamSize, walked } from "./nest.js"
import { param, paramBytes, type ShaderSource } from "./queue.js"
import { subgroupBuiltin, treeSource } from "./tree.js"
import { readElement, wordFunctions, writeElement } from "./types.js"
import { renderWgsl, WgslTarget } from "./wgsl.js"

interface Plan {
  readonly program: Program
  readonly fold: Fold
  /** Numbers of the inputs that the expression reads. */
  readonly inputs: readonly number[]
  readonly scalars: readonly string[]
}

const plans = new WeakMap<Kernel, Plan>()

function planOf(kernel: ReduceKernel): Plan {
  let plan = plans.get(kernel)
  if (!plan) {
    const compiled = program([kernel.expr])
    const inputs: number[] = []
    const scalars: string[] = []
    for (const node of compiled.nodes) {
      if (node.kind === "input" && !inputs.includes(node.index)) inputs.push(node.index)
      if (node.kind === "scalar") scalars[node.index] = node.dtype
    }
    const fold = reduceFold(kernel.op, kernel.expr.dtype)
    plan = { program: compiled, fold, inputs, scalars: Array.from(scalars, (dtype) => dtype ?? "float32") }
    plans.set(kernel, plan)
  }
  return plan
}

/** How a workgroup is laid out: `across` outputs side by side, with `teamSize / across` threads each. */
interface Layout {
  /** Threads do not join what they found: outputs and shares are numbered through, whatever `across` is. */
  readonly alone: boolean
  readonly across: number
  /** True if neighbouring threads work on neighbouring outputs, false if on neighbouring elements of one output. */
  readonly columns: boolean
  /** Outputs and elements of each. */
  readonly count: number
  readonly length: number
  /** Workgroups that share the elements of an output, and how many elements each of them takes. */
  readonly shares: number
  readonly share: number
}

/** Enough workgroups to fill a large GPU. */
const mostGroups = 1024

/** So many threads keep an adapter busy that is a program, as long as each has so many elements. */
const [wantedAlone, leastAlone] = [64, 32]

function layoutAlone(count: number, length: number, most: number): Layout {
  const wanted = Math.min(Math.floor(wantedAlone / count), Math.floor(length / leastAlone))
  const shares = Math.max(1, Math.min(most, wanted))
  const share = Math.max(1, Math.ceil(length / shares))
  const used = Math.max(1, Math.ceil(length / share))
  return { alone: true, across: teamSize, columns: true, count, length, shares: used, share }
}

/** `length` elements for each of `count` outputs, in one share each where that is the last pass. */
function layoutOf(gpu: Gpu, count: number, length: number, columns: boolean, isLast = false): Layout {
  if (!gpu.barriers) return layoutAlone(count, length, isLast ? 1 : Infinity)
  let across: number
  if (columns) {
    const few = length <= 16 || count >= 16384
    across = few ? teamSize : Math.max(Math.min(32, powerFrom(count)), teamSize / powerFrom(length / 2))
  } else across = teamSize / Math.min(teamSize, powerFrom(length / 4))
  const threads = teamSize / across
  const groups = Math.ceil(count / across)
  const steps = Math.ceil(length / threads)
  let shares = 1
  // A second pass pays where threads would add more than 64 elements each while most of the GPU rests.
  if (steps > 64) shares = Math.max(1, Math.min(Math.ceil(steps / 16), Math.floor(mostGroups / groups)))
  const share = Math.max(1, Math.ceil(steps / shares)) * threads
  return { alone: false, across, columns, count, length, shares: Math.max(1, Math.ceil(length / share)), share }
}

/** Walks over the outputs and over the elements of each output. */
interface Nests {
  /** Strides of the output, then of the inputs. */
  readonly kept: LoopNest
  /** Strides of the inputs. */
  readonly reduced: LoopNest
  readonly columns: boolean
}

function nestsOf(shape: readonly number[], output: View, read: readonly View[], dims: readonly number[]): Nests {
  const lead = read.find((view) => view.strides.some((stride) => stride !== 0)) ?? read[0]
  const stride = (d: number): number => (lead && shape[d] > 1 ? Math.abs(lead.strides[d]) : 0)
  const ordered = (list: number[]) => list.sort((a, b) => stride(b) - stride(a) || a - b)
  const nest = (list: readonly number[], views: readonly View[]) =>
    collapse(list.map((d) => shape[d]), views.map(({ strides }) => list.map((d) => strides[d]))) // prettier-ignore
  const all = [...shape.keys()]
  const kept = ordered(all.filter((d) => !dims.includes(d)))
  const reduced = ordered(all.filter((d) => dims.includes(d)))
  const least = (list: readonly number[]) => Math.min(Infinity, ...list.map(stride).filter((step) => step > 0))
  return { kept: nest(kept, [output, ...read]), reduced: nest(reduced, read), columns: least(reduced) > least(kept) }
}

/** What one dispatch needs beyond the layout. */
interface Pass {
  readonly gpu: Gpu
  /** Equal for equal folds. */
  readonly name: string
  readonly fold: Fold
  readonly layout: Layout
}

/** Reduces an expression over some dims; `output` keeps them with size 1. */
export function runReduce(
  gpu: Gpu,
  kernel: ReduceKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  const plan = planOf(kernel)
  const count = sizeOf(output.shape)
  if (count === 0) return
  const read = plan.inputs.map((index) => inputs[index])
  const bindings = bind(gpu, [], read)
  const { shape } = inputs[0]
  const nests = nestsOf(shape, output, read, kernel.dims)
  const rank = nests.kept.shape.length + nests.reduced.shape.length
  const words = sizesAt + (read.length + 2) * (rank + 1) + plan.scalars.length
  // One buffer more is written: the output, or what the first of two passes leaves.
  const crowded = bindings.blocks.length >= gpu.device.limits.maxStorageBuffersPerShaderStage
  if (crowded || words > paramBytes / 4) return reduceEvaluated(gpu, kernel, inputs, output, scalars)
  const layout = layoutOf(gpu, count, sizeOf(kernel.dims.map((d) => shape[d])), nests.columns)
  const pass = { gpu, name: `reduce ${kernel.op} ${kernel.expr.dtype}`, fold: plan.fold, layout }
  const views = [output, ...read]
  if (layout.shares === 1) return elementsPass(pass, plan, nests, views, bind(gpu, [output], read), scalars, null)
  const scratch = gpu.pool.take(stateWords(plan.fold) * 4 * count * layout.shares)
  elementsPass(pass, plan, nests, views, bindings, scalars, scratch)
  statesPass({ ...pass, layout: layoutOf(gpu, count, layout.shares, true, true) }, nests, output, scratch)
  gpu.pool.give(scratch)
}

/** For expressions over more buffers than a shader may have: their values are written down first. */
function reduceEvaluated(
  gpu: Gpu,
  kernel: ReduceKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  const { expr, op, dims } = kernel
  const { shape } = inputs[0]
  const bytes = Math.max(1, sizeOf(shape)) * byteSize(expr.dtype)
  const storage = new GpuStorage(bytes, gpu.pool.take(bytes), gpu)
  const values: View = { storage, dtype: expr.dtype, shape, strides: contiguousStrides(shape), offset: 0 }
  runMap(gpu, { kind: "map", exprs: [expr] }, inputs, [values], scalars)
  runReduce(gpu, { kind: "reduce", op, dims, expr: { kind: "input", index: 0, dtype: expr.dtype } }, [values], output, []) // prettier-ignore
  gpu.pool.give(storage.block as Block)
}

/** Workgroups of a pass: along x and y over outputs, along z over shares. */
function groupsOf({ gpu, layout }: Pass): [number, number, number] {
  if (layout.alone) return groupsFor(gpu, layout.count * layout.shares)
  const [x, y] = groupsFor(gpu, Math.ceil(layout.count / layout.across) * teamSize)
  return [x, y, layout.shares]
}

// Parameters: 0 is zero, then these, then the sizes of the nests, then offset and strides of each view.
const [countAt, lengthAt, shareAt, planeAt, acrossAt, threadsAt, columnsAt, sizesAt] = [1, 2, 3, 4, 5, 6, 7, 8]

/** The first parameters; second words of states in scratch memory begin at `plane`. */
const layoutParams = ({ count, length, share, across, columns }: Layout, plane: number): number[] => [
  0,
  count,
  length,
  share,
  plane,
  across,
  teamSize / across,
  columns ? 1 : 0,
]

/** True if a tree joins threads. */
const joins = ({ across }: Layout): boolean => across < teamSize

/** True if the threads that join stand beside each other, where subgroups have them. */
const shuffles = ({ gpu, layout }: Pass): boolean => gpu.subgroups && joins(layout) && !layout.columns

/** What the shader depends on: does a tree join threads, and how. */
const layoutKey = (pass: Pass): string =>
  pass.layout.alone ? "alone" : !joins(pass.layout) ? "flat" : shuffles(pass) ? "shuffles" : "tree"

/** Reduces elements to the output or, in shares, to states in `scratch`. */
function elementsPass(
  pass: Pass,
  plan: Plan,
  { kept, reduced }: Nests,
  views: readonly View[],
  bindings: Bindings,
  scalars: readonly number[],
  scratch: Block | null,
): void {
  const { gpu, name, layout } = pass
  const ranks = [kept.shape.length, reduced.shape.length] as const
  const kinds: SlotKind[] = scratch ? [...bindings.kinds, "w"] : [...bindings.kinds]
  const dtypes = views.map(({ dtype }) => dtype)
  const key = `${name} ${layoutKey(pass)} ${ranks} ${scratch ? "s" : "o"} ${bindings.key} ${dtypes} ${plan.program.key}`
  // Without the output, the slots are those of the inputs alone.
  const slots = scratch ? [kinds.length - 1, ...bindings.slots] : bindings.slots
  const compiled = gpu.queue.program(key, () => {
    const sink = scratch ? null : views[0]
    return elementsSource(pass, plan, ranks, views, slots, kinds, sink)
  })
  const params = [...layoutParams(layout, layout.count * layout.shares), ...kept.shape, ...reduced.shape]
  views.forEach(({ offset }, v) => {
    params.push(offset, ...kept.strides[v])
    if (v > 0) params.push(...reduced.strides[v - 1])
  })
  plan.scalars.forEach((dtype, i) => params.push(scalarBits(dtype, scalars[i])))
  const blocks = scratch ? [...bindings.blocks, scratch] : bindings.blocks
  gpu.queue.dispatch(compiled, blocks, params, groupsOf(pass))
}

/** Reduces the states that shares have left to the output. */
function statesPass(pass: Pass, { kept }: Nests, output: View, scratch: Block): void {
  const { gpu, name, layout, fold } = pass
  const { kinds, blocks } = bind(gpu, [output], [])
  const rank = kept.shape.length
  const key = `${name} states ${layoutKey(pass)} ${rank} ${output.dtype}`
  const compiled = gpu.queue.program(key, () => {
    const target = new WgslTarget(String, String)
    const parts = {
      setUp: coordinates("k", "c", rank, sizesAt),
      element: [`s = join(s, ${loadState(fold, 1, `(r * ${param(countAt)} + k)`, param(planeAt))});`],
      store: storeResult(target, fold, output, 0, walked(param(sizesAt + rank), "c", rank, sizesAt + rank + 1)),
    }
    return { name: "reduce", kinds: [...kinds, "r"], subgroups: shuffles(pass), code: shader(pass, target, parts) }
  })
  const plane = layout.count * layout.length
  const params = [...layoutParams(layout, plane), ...kept.shape, output.offset, ...kept.strides[0]]
  gpu.queue.dispatch(compiled, [...blocks, scratch], params, groupsOf(pass))
}

/** A statement that writes the result of state `s`, converted. */
function storeResult(target: WgslTarget, { result }: Fold, { dtype }: View, slot: number, at: string): string {
  return writeElement(dtype, slot, at, target.cast("result(s)", result, dtype))
}

function elementsSource(
  pass: Pass,
  plan: Plan,
  [keptRank, reducedRank]: readonly [number, number],
  views: readonly View[],
  slots: readonly number[],
  kinds: readonly SlotKind[],
  sink: View | null,
): ShaderSource {
  const { fold } = pass
  const subgroups = shuffles(pass)
  let next = sizesAt + keptRank + reducedRank
  const take = (words: number): number => (next += words) - words
  const outputAt = walked(param(take(1)), "c", keptRank, take(keptRank))
  const setUp = coordinates("k", "c", keptRank, sizesAt)
  const element = coordinates("r", "d", reducedRank, sizesAt + keptRank)
  for (let v = 1; v < views.length; v++) {
    setUp.push(`let base${v} = ${walked(param(take(1)), "c", keptRank, take(keptRank))};`)
    element.push(`let at${v} = ${walked(`base${v}`, "d", reducedRank, take(reducedRank))};`)
  }
  const target = new WgslTarget(
    (index) => {
      const v = 1 + plan.inputs.indexOf(index)
      return readElement(views[v].dtype, slots[v], `at${v}`)
    },
    (index) => param(next + index),
  )
  const { statements, values } = renderWgsl(plan.program, target)
  const { dtype } = plan.program.nodes[plan.program.outputs[0]]
  element.push(...statements, `s = join(s, lift(${carriedValue(dtype, values[0])}, i32(r)));`)
  const store = sink
    ? storeResult(target, fold, sink, slots[0], outputAt)
    : storeState(fold, slots[0], `(part * ${param(countAt)} + k)`, param(planeAt), "s")
  return { name: "reduce", kinds, subgroups, code: shader(pass, target, { setUp, element, store }) }
}

/** The parts of a shader in which passes differ. */
interface Parts {
  /** Statements for output `k`, before any element. */
  readonly setUp: readonly string[]
  /** Statements that join element `r` into the state `s`. */
  readonly element: readonly string[]
  /** Stores `s` as output `k`. */
  readonly store: string
}

/** The start of an entry point, up to the output `k`, the share `part` and the thread's place `y` among those of that share. */
const teamPlace = (subgroups: boolean): string => `${teamEntry(subgroups ? subgroupBuiltin : "")}
  let columns = ${param(columnsAt)} != 0u;
  let x = select(l / ${param(threadsAt)}, l % ${param(acrossAt)}, columns);
  let y = select(l % ${param(threadsAt)}, l / ${param(acrossAt)}, columns);
  let k = team * ${param(acrossAt)} + x;
  let part = group.z;
`
const aloneEntry = `
@compute @workgroup_size(${teamSize})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * ${teamSize}u;
  let y = 0u;
  let k = i % ${param(countAt)};
  let part = i / ${param(countAt)};
  if (part > 0u && part * ${param(shareAt)} >= ${param(lengthAt)}) { return; }
`

/** A pass: threads fold every n-th element of their share, and a tree joins the threads of an output. */
function shader(pass: Pass, { functions }: WgslTarget, { setUp, element, store }: Parts): string {
  const { fold, layout } = pass
  const [across, threads] = [param(acrossAt), param(threadsAt)]
  const tree = {
    threads,
    place: "y",
    put: `held[y * ${across} + x] = s;`,
    join: (place: string) => `s = join(s, held[${place} * ${across} + x]);`,
    joinBehind: (behind: (register: string) => string) => `s = join(s, ${behind("s")});`,
  }
  return `${wordFunctions}${librarySource(functions)}${fold.source}
${joins(layout) ? `var<workgroup> held: array<State, ${teamSize}>;` : ""}
${layout.alone ? aloneEntry : teamPlace(shuffles(pass))}  var s = unit();
  ${setUp.join("\n  ")}
  if (k < ${param(countAt)}) {
    let end = min(${param(lengthAt)}, (part + 1u) * ${param(shareAt)});
    for (var r = part * ${param(shareAt)} + y; r < end; r += ${threads}) {
      ${element.join("\n      ")}
    }
  }${joins(layout) ? treeSource(tree, shuffles(pass)) : ""}
  if (y == 0u && k < ${param(countAt)}) {
    ${store}
  }
}`
}
