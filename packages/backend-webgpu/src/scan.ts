// The scan kernel: one thread a line for many short lines, one workgroup a line for longer ones, and for long ones blocks whose
// totals are folded first. Where barriers are dear, a thread a line always: a block's steps cost more than any line.
import { collapse, type LoopNest, type ScanKernel, sizeOf, type View } from "@rondo/backend"
import { bind, type SlotKind } from "./bindings.js"
import { carriedValue, type Fold, loadState, scanFold, stateWords, storeState } from "./fold.js"
import { librarySource } from "./functions.js"
import type { Gpu } from "./gpu.js"
import { elementEntry, groupsFor } from "./map.js"
import type { Block } from "./memory.js"
import { coordinates, teamEntry, teamSize, walked } from "./nest.js"
import { param } from "./queue.js"
import { readElement, wordFunctions, writeElement } from "./types.js"
import { WgslTarget } from "./wgsl.js"

/** Elements that a thread of a workgroup takes, if there are as many. */
const usualSpan = 4

/** A scan over views: the input, then the outputs. */
interface Job {
  readonly gpu: Gpu
  /** Equal for equal shaders. */
  readonly key: string
  readonly fold: Fold
  readonly views: readonly View[]
  /** Slots of the views. */
  readonly slots: readonly number[]
  readonly kinds: readonly SlotKind[]
  readonly blocks: readonly Block[]
  readonly nest: LoopNest
  /** Length and number of lines. */
  readonly length: number
  readonly lines: number
  /** Parameters up to the first share of a line: what {@link firstFree} numbers. */
  readonly params: readonly number[]
}

// Parameters: 0 is zero, then these, then the sizes of the lines' nest, then offset, step and strides of each view.
const [lengthAt, linesAt, firstAt, stepAt, spanAt, blocksAt, sizesAt] = [1, 2, 3, 4, 5, 6, 7]

/** Scans along `dim`, from its end if `reverse`. Positions always count from the start of the dim. */
export function runScan(gpu: Gpu, { op, dim, reverse }: ScanKernel, input: View, outputs: readonly View[]): void {
  const { shape, dtype } = input
  if (sizeOf(shape) === 0) return
  const length = shape[dim]
  const views = [input, ...outputs.slice(0, op === "max" || op === "min" ? 2 : 1)]
  const across = <T>(list: readonly T[]): T[] => list.filter((_, d) => d !== dim)
  const nest = collapse(across(shape), views.map(({ strides }) => across(strides))) // prettier-ignore
  const { slots, kinds, blocks, key } = bind(gpu, views.slice(1), [input])
  const lines = sizeOf(across(shape))
  // Going backwards is going forwards from the last element with steps turned round.
  const params = [0, length, lines, reverse ? length - 1 : 0, reverse ? -1 : 1, 0, 0, ...nest.shape]
  views.forEach(({ strides, offset }, v) => {
    const step = strides[dim]
    params.push(offset + (reverse ? (length - 1) * step : 0), reverse ? -step : step, ...nest.strides[v])
  })
  const job: Job = {
    gpu,
    key: `scan ${op} ${nest.shape.length} ${views.map((view) => view.dtype)} ${key}`,
    fold: scanFold(op, dtype),
    views,
    slots: [slots[slots.length - 1], ...slots.slice(0, -1)],
    kinds,
    blocks,
    nest,
    length,
    lines,
    params,
  }
  if (length <= 64 || lines >= 4096 || !gpu.barriers) return threads(job)
  const span = Math.max(Math.ceil(Math.min(length, usualSpan * teamSize) / teamSize), Math.ceil(length / teamSize ** 2))
  teams(job, span, Math.ceil(length / (span * teamSize)))
}

/** Statements that set `base` of each view for line `line`. */
function bases({ nest, views }: Job): string[] {
  const rank = nest.shape.length
  const at = (v: number): number => sizesAt + rank + v * (2 + rank)
  return [
    ...coordinates("line", "c", rank, sizesAt),
    ...views.map((_, v) => `let base${v} = ${walked(param(at(v)), "c", rank, at(v) + 2)};`),
  ]
}

/** The place of element `j` of the line in view `v`. */
const place = ({ nest }: Job, v: number): string =>
  `(base${v} + j * ${param(sizesAt + v * (2 + nest.shape.length) + nest.shape.length + 1)})`

/** A statement that joins element `j` of the line into `state`. */
function joinElement(job: Job, state: string): string {
  const { dtype } = job.views[0]
  const value = carriedValue(dtype, readElement(dtype, job.slots[0], place(job, 0)))
  return `${state} = join(${state}, lift(${value}, i32(${param(firstAt)} + j * ${param(stepAt)})));`
}

/** Adds to `target` what converts, and gives statements that write `state` as element `j` of the outputs. */
function storeElement(job: Job, target: WgslTarget, state: string): string {
  const { fold, views, slots } = job
  const { dtype } = views[1]
  const values = writeElement(dtype, slots[1], place(job, 1), target.cast(`result(${state})`, fold.result, dtype))
  return views.length === 2
    ? values
    : `${values} ${writeElement(views[2].dtype, slots[2], place(job, 2), `${state}.y`)}`
}

/** What every scan needs at the top of its shader. */
const library = ({ fold }: Job, target: WgslTarget): string =>
  `${wordFunctions}${librarySource(target.functions)}${fold.source}`

function threads(job: Job): void {
  const { gpu, key, kinds, blocks, lines, params } = job
  const compiled = gpu.queue.program(`${key} threads`, () => ({ name: "scan", kinds, code: scanThreads(job) }))
  gpu.queue.dispatch(compiled, blocks, params, groupsFor(gpu, lines))
}

function scanThreads(job: Job): string {
  const target = new WgslTarget(String, String)
  const store = storeElement(job, target, "s")
  return `${library(job, target)}${elementEntry(param(linesAt))}
  let line = i;
  ${bases(job).join("\n  ")}
  var s = unit();
  for (var j = 0u; j < ${param(lengthAt)}; j++) {
    ${joinElement(job, "s")}
    ${store}
  }
}`
}

/** Workgroups of `span` elements a thread, `count` of them a line; beyond one, their totals are found first. */
function teams(job: Job, span: number, count: number): void {
  const { gpu, key, fold, kinds, blocks, lines } = job
  const params = [...job.params]
  params[spanAt] = span
  params[blocksAt] = count
  const [x, y] = groupsFor(gpu, lines * teamSize)
  const groups = [x, y, count] as const
  if (count === 1) {
    const compiled = gpu.queue.program(`${key} teams`, () => ({ name: "scan", kinds, code: scanTeams(job, false) }))
    return gpu.queue.dispatch(compiled, blocks, params, groups)
  }
  const scratch = gpu.pool.take(stateWords(fold) * 4 * lines * count)
  const totals = gpu.queue.program(`${key} totals`, () => ({
    name: "scan",
    kinds: [...kinds, "w"],
    code: totalTeams(job),
  }))
  gpu.queue.dispatch(totals, [...blocks, scratch], params, groups)
  const blocked = gpu.queue.program(`${key} blocks`, () => ({
    name: "scan",
    kinds: [...kinds, "r"],
    code: scanTeams(job, true),
  }))
  gpu.queue.dispatch(blocked, [...blocks, scratch], params, groups)
  gpu.pool.give(scratch)
}

/** The start of a workgroup's work: its line and block, the elements from `first` up to `last` of this thread, and their fold `t`. */
const teamStart = (job: Job, target: WgslTarget): string => `${library(job, target)}
var<workgroup> held: array<State, ${teamSize}>;
${teamEntry()}
  let line = team;
  if (line >= ${param(linesAt)}) { return; }
  ${bases(job).join("\n  ")}
  let first = min((group.z * ${teamSize}u + l) * ${param(spanAt)}, ${param(lengthAt)});
  let last = min(first + ${param(spanAt)}, ${param(lengthAt)});
  var t = unit();
  for (var j = first; j < last; j++) { ${joinElement(job, "t")} }
`

/** Folds all of `held` into its first state, keeping the order. */
const tree = `
  for (var h = 1u; h < ${teamSize}u; h *= 2u) {
    workgroupBarrier();
    if (l % (2u * h) == 0u) { held[l] = join(held[l], held[l + h]); }
  }
  workgroupBarrier();`

const totalTeams = (job: Job): string => `${teamStart(job, new WgslTarget(String, String))}
  held[l] = t;${tree}
  if (l == 0u) {
    let at = line * ${param(blocksAt)} + group.z;
    ${storeState(job.fold, job.kinds.length, "at", `${param(linesAt)} * ${param(blocksAt)}`, "held[0]")}
  }
}`

/** What the blocks before this one come to, joined before `s`. There are at most as many blocks as threads. */
const earlier = (job: Job): string => `
  workgroupBarrier();
  held[l] = unit();
  if (l < group.z) {
    let at = line * ${param(blocksAt)} + l;
    held[l] = ${loadState(job.fold, job.kinds.length, "at", `${param(linesAt)} * ${param(blocksAt)}`)};
  }${tree}
  s = join(held[0], s);`

function scanTeams(job: Job, blocked: boolean): string {
  const target = new WgslTarget(String, String)
  const store = storeElement(job, target, "s")
  return `${teamStart(job, target)}
  held[l] = t;
  for (var h = 1u; h < ${teamSize}u; h *= 2u) {
    workgroupBarrier();
    var sum = held[l];
    if (l >= h) { sum = join(held[l - h], sum); }
    workgroupBarrier();
    held[l] = sum;
  }
  workgroupBarrier();
  var s = unit();
  if (l > 0u) { s = held[l - 1u]; }${blocked ? earlier(job) : ""}
  for (var j = first; j < last; j++) {
    ${joinElement(job, "s")}
    ${store}
  }
}`
}
