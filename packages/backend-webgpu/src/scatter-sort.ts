// Sorts the indices of a scatter with their positions, stably: a radix sort of eight bits a pass. Adds nothing up. Where barriers are
// dear, a thread counts and moves the entries of a share alone; else a workgroup those of a tile, one a thread.
import { type LoopNest, sizeOf } from "@rondo/backend"
import type { Gpu } from "./gpu.js"
import { elementEntry, groupsFor } from "./map.js"
import { type Block, blockOf } from "./memory.js"
import { coordinates, teamEntry, teamSize, walked } from "./nest.js"
import { param, type Program, type ShaderSource } from "./queue.js"
import type { ScatterPlan } from "./scatter.js"

/** Entries that one workgroup sorts in a pass, one a thread. There are as many digits. */
const tile = teamSize

/** Bytes of an entry: a destination and a position. */
export const entryBytes = 8

/** So many shares keep an adapter busy that is a program, as long as each has so many entries. */
const [wantedAlone, leastAlone] = [64, 1024]

/** Parameters of every kernel here: entries, tiles or shares, shift, then what the first pass needs to form keys. */
interface Layout {
  readonly params: readonly number[]
  readonly rank: number
  readonly tiles: number
}

/**
 * The destinations of all entries in ascending order, then their positions along their lines, equal destinations in order of
 * position. A destination is the number of its list of indices times the size of a line plus the index; bad indices come
 * behind all others. The block is in `scratch`, to be given back.
 */
export function sortIndices(gpu: Gpu, plan: ScatterPlan, lists: LoopNest, scratch: Block[]): Block {
  const { n, size, dim, index } = plan
  const entries = n * sizeOf(lists.shape)
  const last = size * sizeOf(lists.shape)
  const { barriers } = gpu
  const tiles = barriers ? Math.ceil(entries / tile) : Math.min(wantedAlone, Math.ceil(entries / leastAlone))
  const counts = gpu.pool.take(tiles * teamSize * 4)
  let [from, to] = [gpu.pool.take(entries * entryBytes), gpu.pool.take(entries * entryBytes)]
  scratch.push(counts, from, to)
  const keyed = [n, size, last, index.offset, index.strides[dim], ...lists.shape, ...lists.strides[2]]
  const indexBlock = blockOf(index.storage, gpu)
  const bits = Math.max(1, Math.ceil(Math.log2(last + 1)))
  for (let shift = 0; shift < bits; shift += 8) {
    const layout: Layout = { params: [entries, tiles, shift, ...keyed], rank: lists.shape.length, tiles }
    const first = shift === 0
    const read = first ? indexBlock : from
    if (barriers) {
      countDigits(gpu, layout, first, read, counts)
      addUp(gpu, layout, counts)
      move(gpu, layout, first, read, counts, to)
    } else passAlone(gpu, layout, first, read, counts, to)
    ;[from, to] = [to, from]
  }
  return from
}

/** `key_at(entry)` and `position_at(entry)`, from slot 0: the indices themselves in the first pass, sorted pairs afterwards. */
function keySource(first: boolean, rank: number): string {
  if (!first) {
    return `
fn key_at(entry: u32) -> u32 { return load0(entry); }
fn position_at(entry: u32) -> u32 { return load0(${param(0)} + entry); }`
  }
  return `
fn index_at(entry: u32) -> u32 {
  let list = entry / ${param(3)};
  ${coordinates("list", "l", rank, 8).join("\n  ")}
  return load0(${walked(param(6), "l", rank, 8 + rank)} + (entry % ${param(3)}) * ${param(7)});
}
fn key_at(entry: u32) -> u32 {
  let index = index_at(entry);
  return select(${param(5)}, (entry / ${param(3)}) * ${param(4)} + index, index < ${param(4)});
}
fn position_at(entry: u32) -> u32 { return entry % ${param(3)}; }`
}

/** The digit of this thread's entry; beyond the end it is 256, which nobody looks for. */
const ownDigit = `
  if (team >= ${param(1)}) { return; }
  let entry = team * ${tile}u + l;
  var digit = 256u;
  if (entry < ${param(0)}) {
    digit = (key_at(entry) >> ${param(2)}) & 255u;
  }`

const teams = (gpu: Gpu, tiles: number): [number, number, number] => {
  const most = gpu.device.limits.maxComputeWorkgroupsPerDimension
  return tiles <= most ? [tiles, 1, 1] : [most, Math.ceil(tiles / most), 1]
}

/** How often each digit occurs in each tile: counts lie digit by digit. */
function countDigits(gpu: Gpu, { params, rank, tiles }: Layout, first: boolean, read: Block, counts: Block): void {
  const program = gpu.queue.program(`scatter count ${first} ${rank}`, (): ShaderSource => {
    const code = `${keySource(first, rank)}
var<workgroup> found: array<atomic<u32>, ${tile}>;
${teamEntry()}${ownDigit}
  atomicStore(&found[l], 0u);
  workgroupBarrier();
  // Counts of integers do not depend on order.
  if (digit < 256u) { atomicAdd(&found[digit], 1u); }
  workgroupBarrier();
  store1(l * ${param(1)} + team, atomicLoad(&found[l]));
}`
    return { name: "scatter", kinds: ["r", "w"], code }
  })
  gpu.queue.dispatch(program, [read, counts], params, teams(gpu, tiles))
}

/** Turns counts into the places where each tile's digits go: sums of all before. */
function addUp(gpu: Gpu, { params }: Layout, counts: Block): void {
  const program: Program = gpu.queue.program("scatter add up", () => ({
    name: "scatter",
    kinds: ["w"],
    code: `
var<workgroup> totals: array<u32, ${teamSize}>;
${teamEntry()}
  let start = (l + team) * ${param(1)};
  var total = 0u;
  for (var t = 0u; t < ${param(1)}; t++) { total += load0(start + t); }
  totals[l] = total;
  workgroupBarrier();
  var place = 0u;
  for (var d = 0u; d < l; d++) { place += totals[d]; }
  for (var t = 0u; t < ${param(1)}; t++) {
    let count = load0(start + t);
    store0(start + t, place);
    place += count;
  }
}`,
  }))
  gpu.queue.dispatch(program, [counts], params, [1, 1, 1])
}

/** Moves every entry to its place: behind those of smaller digits, of earlier tiles, and of earlier threads of its tile. */
function move(gpu: Gpu, layout: Layout, first: boolean, read: Block, counts: Block, to: Block): void {
  const { params, rank, tiles } = layout
  const program = gpu.queue.program(`scatter move ${first} ${rank}`, () => ({
    name: "scatter",
    kinds: ["r", "r", "w"],
    code: `${keySource(first, rank)}
var<workgroup> digits: array<u32, ${tile}>;
${teamEntry()}${ownDigit}
  digits[l] = digit;
  workgroupBarrier();
  if (digit == 256u) { return; }
  var place = load1(digit * ${param(1)} + team);
  for (var j = 0u; j < l; j++) { place += select(0u, 1u, digits[j] == digit); }
  store2(place, key_at(entry));
  store2(${param(0)} + place, position_at(entry));
}`,
  }))
  gpu.queue.dispatch(program, [read, counts, to], params, teams(gpu, tiles))
}

/** The start of a kernel in which thread `i` goes through the entries of a share, in their order. */
const aloneEntry = `${elementEntry(param(1))}
  let share = (${param(0)} + ${param(1)} - 1u) / ${param(1)};
  let end = min((i + 1u) * share, ${param(0)});
`
/** Goes through them: `at` is the place of the digit's count, which belongs to this thread. */
const eachEntry = (body: string): string => `
  for (var entry = i * share; entry < end; entry++) {
    let key = key_at(entry);
    let at = ((key >> ${param(2)}) & 255u) * ${param(1)} + i;
    ${body}
  }`

/** The same three steps without barriers. */
function passAlone(gpu: Gpu, layout: Layout, first: boolean, read: Block, counts: Block, to: Block): void {
  const { params, rank, tiles } = layout
  const source = (kinds: ShaderSource["kinds"], code: string) => (): ShaderSource => ({ name: "scatter", kinds, code })
  const groups = groupsFor(gpu, tiles)
  const count = `${keySource(first, rank)}${aloneEntry}
  for (var d = 0u; d < 256u; d++) { store1(d * ${param(1)} + i, 0u); }${eachEntry("store1(at, load1(at) + 1u);")}
}`
  gpu.queue.dispatch(
    gpu.queue.program(`scatter count alone ${first} ${rank}`, source(["r", "w"], count)),
    [read, counts],
    params,
    groups,
  )
  const add = `
@compute @workgroup_size(1)
fn main() {
  var place = 0u;
  for (var at = 0u; at < 256u * ${param(1)}; at++) {
    let count = load0(at);
    store0(at, place);
    place += count;
  }
}`
  gpu.queue.dispatch(gpu.queue.program("scatter add up alone", source(["w"], add)), [counts], params, [1, 1, 1])
  const moves = `${keySource(first, rank)}${aloneEntry}${eachEntry(`let place = load1(at);
    store1(at, place + 1u);
    store2(place, key);
    store2(${param(0)} + place, position_at(entry));`)}
}`
  gpu.queue.dispatch(
    gpu.queue.program(`scatter move alone ${first} ${rank}`, source(["r", "w", "w"], moves)),
    [read, counts, to],
    params,
    groups,
  )
}
