// The sort kernel: tiles of lines are sorted in workgroup memory (a bitonic network over keys and positions), then merged in
// passes over scratch memory. Where barriers are dear, a thread sorts a few elements by insertion instead of tiles. No two elements are equal, for positions decide: the result is stable and always the same.
import { collapse, type DType, isFloat, type LoopNest, sizeOf, type SortKernel, type View } from "@rondo/backend"
import { bind, type SlotKind } from "./bindings.js"
import type { Gpu } from "./gpu.js"
import { elementEntry, groupsFor } from "./map.js"
import type { Block } from "./memory.js"
import { coordinates, powerFrom, teamEntry, teamSize, walked } from "./nest.js"
import { param } from "./queue.js"
import { perWord } from "./types.js"

/** Elements that a workgroup sorts: their bits and positions take half of the least workgroup memory. */
const tile = 1024
/** Elements that a thread sorts alone. */
const few = 16
/** Elements that a thread merges. */
const run = 8

interface Job {
  readonly gpu: Gpu
  readonly dtype: DType
  readonly descending: boolean
  /** Equal for equal shaders. */
  readonly key: string
  readonly input: View
  readonly outputs: readonly View[]
  /** The lines' nest, over the outputs and then the input. */
  readonly nest: LoopNest
  readonly steps: readonly number[]
  /** Length and number of lines. */
  readonly length: number
  readonly lines: number
}

/** Sorts each line of the last dim. Outputs: values and int32 positions. */
export function runSort(gpu: Gpu, { descending }: SortKernel, input: View, outputs: readonly View[]): void {
  const { dtype, shape } = input
  if (sizeOf(shape) === 0) return
  const last = shape.length - 1
  const views = [...outputs, input]
  const nest = collapse(shape.slice(0, -1), views.map(({ strides }) => strides.slice(0, -1))) // prettier-ignore
  const steps = views.map(({ strides }) => (last < 0 ? 0 : strides[last]))
  const length = last < 0 ? 1 : shape[last]
  const lines = sizeOf(shape) / length
  const key = `sort ${dtype} ${nest.shape.length}`
  const job: Job = { gpu, dtype, descending, key, input, outputs, nest, steps, length, lines }
  const [first, sortFirst] = gpu.barriers ? [tile, sortTiles] : [few, sortAlone]
  if (length <= first) return sortFirst(job, null)
  const scratch = Array.from({ length: 4 }, () => gpu.pool.take(4 * length * lines))
  let [from, to] = [scratch.slice(0, 2), scratch.slice(2)]
  sortFirst(job, from)
  for (let width = first; width < length; width *= 2) {
    mergeRuns(job, width, from, 2 * width < length ? to : null)
    ;[from, to] = [to, from]
  }
  for (const block of scratch) gpu.pool.give(block)
}

// Elements are sorted as 32 bits: 16-bit floats as the upper half of them, small integers as whole ones.

function loadBits(dtype: DType, slot: number, at: string): string {
  if (perWord(dtype) === 1) return `load${slot}(${at})`
  if (isFloat(dtype)) return `(((load${slot}((${at}) >> 1u) >> (((${at}) & 1u) * 16u)) & 0xffffu) << 16u)`
  return `((load${slot}((${at}) >> 2u) >> (((${at}) & 3u) * 8u)) & 0xffu)`
}

function storeBits(dtype: DType, slot: number, at: string, bits: string): string {
  if (perWord(dtype) === 1) return `store${slot}(${at}, ${bits});`
  return isFloat(dtype) ? `put16_${slot}(${at}, ${bits} >> 16u);` : `put8_${slot}(${at}, ${bits});`
}

// Parameters: length, lines, width, what turns keys round, then the sizes of the lines' nest, then offset, step and strides of
// each view.
const [lengthAt, linesAt, widthAt, turnAt, sizesAt] = [0, 1, 2, 3, 4]

/** The WGSL function `key_of(bits)`: unsigned integers in the order that is wanted. NaN is greatest, both zeros are equal. */
function keySource(dtype: DType): string {
  const turn = param(turnAt)
  if (!isFloat(dtype)) {
    const key = dtype === "int32" ? "bits ^ 0x80000000u" : "bits"
    return `fn key_of(bits: u32) -> u32 { return ${key} ^ ${turn}; }`
  }
  const infinity = dtype === "float16" ? "0x7c000000u" : "0x7f800000u"
  return `fn key_of(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > ${infinity}) { return 0xffffffffu ^ ${turn}; }
  let negative = bits > 0x80000000u;
  return select(magnitude | 0x80000000u, ~bits, negative) ^ ${turn};
}`
}

function paramsOf({ length, lines, nest, outputs, input, steps, descending }: Job, width: number): number[] {
  const params = [length, lines, width, descending ? 0xffffffff : 0, ...nest.shape]
  const views = [...outputs, input]
  views.forEach(({ offset }, v) => params.push(offset, steps[v], ...nest.strides[v]))
  return params
}

/** Statements that set `base` of each of `views` for line `line`. */
function bases({ nest }: Job, views: readonly number[]): string {
  const rank = nest.shape.length
  const at = (v: number): number => sizesAt + rank + v * (2 + rank)
  const lines = views.map((v) => `let base${v} = ${walked(param(at(v)), "c", rank, at(v) + 2)};`)
  return [...coordinates("line", "c", rank, sizesAt), ...lines].join("\n")
}

/** The place of element `j` of the line in view `v`. */
const place = ({ nest }: Job, v: number, j: string): string =>
  `(base${v} + (${j}) * ${param(sizesAt + nest.shape.length + v * (2 + nest.shape.length) + 1)})`

/** Statements that write `bits` and `position` as element `j` of a line: of the outputs, or of scratch memory. */
function storePair(job: Job, slots: readonly number[], scratch: boolean, j: string, bits: string, position: string) {
  if (scratch) {
    const at = `line * ${param(lengthAt)} + ${j}`
    return `store${slots[0]}(${at}, ${bits}); store${slots[1]}(${at}, ${position});`
  }
  return `${storeBits(job.dtype, slots[0], place(job, 0, j), bits)} store${slots[1]}(${place(job, 1, j)}, ${position});`
}

/** The buffers of a first pass, to the outputs or to scratch memory: slots are those of what is written, then of the input. */
function bindFirst({ gpu, input, outputs }: Job, scratch: readonly Block[] | null) {
  const { kinds, slots, blocks, key } = bind(gpu, scratch ? [] : outputs, [input])
  if (!scratch) return { kinds, slots, blocks, key }
  return {
    kinds: [...kinds, "w", "w"] as SlotKind[],
    slots: [kinds.length, kinds.length + 1, ...slots],
    blocks: [...blocks, ...scratch],
    key: `scratch ${key}`,
  }
}

/** Sorts a few neighbouring elements a thread, to the outputs or to scratch memory. */
function sortAlone(job: Job, scratch: readonly Block[] | null): void {
  const { gpu, length, lines } = job
  const { kinds, slots, blocks, key } = bindFirst(job, scratch)
  const compiled = gpu.queue.program(`${job.key} alone ${key}`, () => ({
    name: "sort",
    kinds,
    code: aloneSource(job, slots, scratch !== null),
  }))
  gpu.queue.dispatch(compiled, blocks, paramsOf(job, few), groupsFor(gpu, lines * Math.ceil(length / few)))
}

const aloneSource = (job: Job, slots: readonly number[], scratch: boolean): string => `${keySource(job.dtype)}
${elementEntry(`${param(linesAt)} * ((${param(lengthAt)} + ${few - 1}u) / ${few}u)`)}
  let shares = (${param(lengthAt)} + ${few - 1}u) / ${few}u;
  let line = i / shares;
  let start = (i % shares) * ${few}u;
  let count = min(${few}u, ${param(lengthAt)} - start);
  ${bases(job, scratch ? [2] : [0, 1, 2])}
  var keys: array<u32, ${few}>;
  var held: array<u32, ${few}>;
  var positions: array<u32, ${few}>;
  for (var e = 0u; e < count; e++) {
    let bits = ${loadBits(job.dtype, slots[2], place(job, 2, "start + e"))};
    let key = key_of(bits);
    var at = e;
    // Equal keys stay in order.
    for (; at > 0u && keys[at - 1u] > key; at--) {
      keys[at] = keys[at - 1u];
      held[at] = held[at - 1u];
      positions[at] = positions[at - 1u];
    }
    keys[at] = key;
    held[at] = bits;
    positions[at] = start + e;
  }
  for (var e = 0u; e < count; e++) {
    let j = start + e;
    ${storePair(job, slots, scratch, "j", "held[e]", "positions[e]")}
  }
}`

/** Sorts tiles, of several lines if they are short, to the outputs or to scratch memory. */
function sortTiles(job: Job, scratch: readonly Block[] | null): void {
  const { gpu, length, lines } = job
  const { kinds, slots, blocks, key } = bindFirst(job, scratch)
  // A line takes `line` places of a tile, or several whole tiles.
  const size = scratch ? tile : Math.max(2, powerFrom(length))
  const tiles = scratch ? lines * Math.ceil(length / tile) : Math.ceil((lines * size) / tile)
  const compiled = gpu.queue.program(`${job.key} tiles ${key}`, () => ({
    name: "sort",
    kinds,
    code: tileSource(job, slots, scratch !== null),
  }))
  gpu.queue.dispatch(compiled, blocks, paramsOf(job, size), groupsFor(gpu, tiles * teamSize))
}

const tileSource = (job: Job, slots: readonly number[], scratch: boolean): string => {
  const each = (body: string): string => `
  for (var e = l; e < ${tile}u; e += ${teamSize}u) {
    ${
      scratch
        ? `let tiles = (${param(lengthAt)} + ${tile - 1}u) / ${tile}u;
    let line = team / tiles;
    let j = (team % tiles) * ${tile}u + e;`
        : `let line = team * (${tile}u / places) + e / places;
    let j = e % places;`
    }
    ${body}
  }`
  const { dtype } = job
  return `${keySource(dtype)}
var<workgroup> held: array<u32, ${tile}>;
var<workgroup> positions: array<u32, ${tile}>;
fn precedes(a: u32, b: u32) -> bool {
  // Places that hold no element come last.
  let none = vec2<bool>(positions[a] == 0xffffffffu, positions[b] == 0xffffffffu);
  if (none.x || none.y) { return !none.x; }
  let x = key_of(held[a]);
  let y = key_of(held[b]);
  return x < y || (x == y && positions[a] < positions[b]);
}
${teamEntry()}
  // Places that a line takes.
  let places = ${param(widthAt)};
  ${each(`held[e] = 0u;
    positions[e] = 0xffffffffu;
    if (line < ${param(linesAt)} && j < ${param(lengthAt)}) {
      ${bases(job, [2])}
      held[e] = ${loadBits(dtype, slots[2], place(job, 2, "j"))};
      positions[e] = j;
    }`)}
  for (var size = 2u; size <= places; size *= 2u) {
    for (var apart = size / 2u; apart > 0u; apart /= 2u) {
      workgroupBarrier();
      for (var p = l; p < ${tile / 2}u; p += ${teamSize}u) {
        let a = 2u * p - (p & (apart - 1u));
        let b = a + apart;
        let upwards = (a & (places - 1u) & size) == 0u;
        if (precedes(b, a) == upwards) {
          let bits = held[a];
          held[a] = held[b];
          held[b] = bits;
          let position = positions[a];
          positions[a] = positions[b];
          positions[b] = position;
        }
      }
    }
  }
  workgroupBarrier();
  ${each(`if (line < ${param(linesAt)} && j < ${param(lengthAt)}) {
      ${scratch ? "" : bases(job, [0, 1])}
      ${storePair(job, slots, scratch, "j", "held[e]", "positions[e]")}
    }`)}
}`
}

/** Merges neighbouring runs of `width` elements, to scratch memory or to the outputs. */
function mergeRuns(job: Job, width: number, from: readonly Block[], to: readonly Block[] | null): void {
  const { gpu, outputs, lines, length } = job
  const bound = to ? null : bind(gpu, outputs, [])
  const kinds: SlotKind[] = bound ? [...bound.kinds] : ["w", "w"]
  const first = kinds.length
  kinds.push("r", "r")
  const compiled = gpu.queue.program(`${job.key} merge ${bound ? bound.key : "scratch"}`, () => ({
    name: "sort",
    kinds,
    code: mergeSource(job, bound ? bound.slots : [0, 1], first, bound === null),
  }))
  const threads = lines * Math.ceil(length / run)
  const blocks = [...(to ?? (bound as { blocks: readonly Block[] }).blocks), ...from]
  gpu.queue.dispatch(compiled, blocks, paramsOf(job, width), groupsFor(gpu, threads))
}

/**
 * Each thread finds where its outputs begin in the two runs by bisection along a diagonal (O. Green, R. McColl, D. A. Bader, GPU
 * Merge Path, ICS 2012) and merges from there. Of equal keys the left run, whose positions are lower, comes first.
 */
const mergeSource = (job: Job, slots: readonly number[], from: number, scratch: boolean): string => `
${keySource(job.dtype)}
fn key_at(at: u32) -> u32 { return key_of(load${from}(at)); }
${elementEntry(`${param(linesAt)} * ((${param(lengthAt)} + ${run - 1}u) / ${run}u)`)}
  let length = ${param(lengthAt)};
  let shares = (length + ${run - 1}u) / ${run}u;
  let line = i / shares;
  let start = (i % shares) * ${run}u;
  ${scratch ? "" : bases(job, [0, 1])}
  let row = line * length;
  let left = start - start % (2u * ${param(widthAt)});
  let right = min(left + ${param(widthAt)}, length);
  let end = min(right + ${param(widthAt)}, length);
  let done = start - left;
  var low = select(0u, done - min(done, end - right), done > end - right);
  var high = min(done, right - left);
  while (low < high) {
    let middle = (low + high) / 2u;
    if (key_at(row + left + middle) <= key_at(row + right + done - 1u - middle)) { low = middle + 1u; } else { high = middle; }
  }
  var a = left + low;
  var b = right + done - low;
  for (var j = start; j < min(start + ${run}u, end); j++) {
    var take = a;
    if (a < right && (b >= end || key_at(row + a) <= key_at(row + b))) {
      a += 1u;
    } else {
      take = b;
      b += 1u;
    }
    ${storePair(job, slots, scratch, "j", `load${from}(row + take)`, `load${from + 1}(row + take)`)}
  }
}`
