// The scatter kernel, in one of two ways. A line is what one list of indices runs along. Short lines, or very many: one thread
// walks each line in order. Long ones, such as the gradient of an embedding: the indices are sorted with their positions, then
// one thread a destination and column adds up what belongs there, in order. Neither depends on scheduling, and both round as
// the step by step sum does.
import { collapse, type DType, type LoopNest, type ScatterKernel, sizeOf, type View } from "@rondo/backend"
import { bind } from "./bindings.js"
import { checkIndices, guard } from "./flags.js"
import type { Gpu } from "./gpu.js"
import { apart, readBits, without, writeBits } from "./indexing.js"
import { elementEntry, groupsFor } from "./map.js"
import { type Block, GpuStorage } from "./memory.js"
import { coordinates, walked } from "./nest.js"
import { param } from "./queue.js"
import { entryBytes, sortIndices } from "./scatter-sort.js"
import { bitsOf, readElement, wgslType, wordFunctions } from "./types.js"

/** Lines of at most so many indices are walked by one thread each. */
const shortLine = 128
/** As many lines keep a GPU busy by themselves. */
const manyLines = 16384

/** How a scatter is taken apart; strides are those of output, source and index, without `dim`. */
export interface ScatterPlan {
  readonly mode: ScatterKernel["mode"]
  readonly dim: number
  /** Indices along a line, and destinations along a line. */
  readonly n: number
  readonly size: number
  /** Where a bad index is noted. */
  readonly word: number
  readonly output: View
  readonly source: View
  readonly index: View
}

/** `out[index[i]] = source[i]`, or `+=`, along `dim`. With a bad index nothing is written; the next read tells. */
export function runScatter(gpu: Gpu, { dim, mode }: ScatterKernel, inputs: readonly View[], output: View): void {
  const count = sizeOf(inputs[0].shape)
  if (count === 0) return
  const scratch: Block[] = []
  const [index, source] = inputs.map((view) => apart(gpu, view, output, scratch))
  const [n, size] = [index.shape[dim], output.shape[dim]]
  const word = checkIndices(gpu, "scatter", index, size, dim)
  const plan: ScatterPlan = { mode, dim, n, size, word, output, source, index }
  if (plan.n <= shortLine || count / plan.n >= manyLines) walkLines(gpu, plan, count / plan.n)
  else sumSorted(gpu, plan)
  for (const block of scratch) gpu.pool.give(block)
}

/** WGSL that adds two values of `dtype` as its own arithmetic does, rounding included. */
function sum(dtype: DType, a: string, b: string): string {
  if (dtype === "bool") return `(${a} || ${b})`
  if (dtype === "uint8") return `((${a} + ${b}) & 255)`
  if (dtype === "float16") return `f16_from(f16_to(${a} + ${b}))`
  if (dtype === "bfloat16") return `bf16_from(bf16_to(${a} + ${b}))`
  return `(${a} + ${b})`
}

function walkLines(gpu: Gpu, { mode, dim, n, word, output, source, index }: ScatterPlan, lines: number): void {
  const { dtype } = output
  const views = [output, source, index]
  const nest = collapse(without(index.shape, dim), views.map(({ strides }) => without(strides, dim))) // prettier-ignore
  const rank = nest.shape.length
  const bindings = bind(gpu, [output], [source, index])
  const [to, from, indices] = bindings.slots
  const flagSlot = bindings.blocks.length
  const key = `scatter lines ${mode} ${rank} ${dtype} ${bindings.key}`
  const program = gpu.queue.program(key, () => {
    const [shapes, offsets, strides] = [6, 6 + rank, 9 + rank]
    const at = (view: number) => walked(param(offsets + view), "c", rank, strides + view * rank)
    const total = sum(dtype, readElement(dtype, to, "to"), readElement(dtype, from, "src"))
    const bits = mode === "add" ? bitsOf(dtype, total) : readBits(dtype, from, "src")
    const code = `${wordFunctions}${elementEntry(param(0))}${guard(flagSlot, indices, param(2))}
  ${coordinates("i", "c", rank, shapes).join("\n  ")}
  let to0 = ${at(0)};
  var src = ${at(1)};
  var at = ${at(2)};
  for (var e = 0u; e < ${param(1)}; e++) {
    let to = to0 + load${indices}(at) * ${param(3)};
    ${writeBits(dtype, to, "to", bits)}
    src += ${param(4)};
    at += ${param(5)};
  }
}`
    return { name: "scatter", kinds: [...bindings.kinds, "a"], code }
  })
  const along = views.map(({ strides }) => strides[dim])
  const head = [lines, n, word, ...along]
  const params = [...head, ...nest.shape, ...views.map(({ offset }) => offset), ...nest.strides.flat()]
  gpu.queue.dispatch(program, [...bindings.blocks, gpu.flags.block], params, groupsFor(gpu, lines))
}

/** Dims over which the index differs, and dims over which one list of indices serves all. */
function splitDims({ dim, output, source, index }: ScatterPlan): { lists: LoopNest; columns: LoopNest } {
  const part = (shared: boolean): LoopNest => {
    const pick = (list: readonly number[]) => list.filter((_, d) => d !== dim && (index.strides[d] === 0) === shared)
    return collapse(pick(index.shape), [pick(output.strides), pick(source.strides), pick(index.strides)])
  }
  return { lists: part(false), columns: part(true) }
}

/** As many indices at a time as one buffer holds sorted: what comes later along the lines is added, or stays, later. */
function sumSorted(gpu: Gpu, plan: ScatterPlan): void {
  const { dim, n, source, index } = plan
  const { lists, columns } = splitDims(plan)
  const most = Math.max(1, Math.floor(gpu.maxBufferBytes / (entryBytes * sizeOf(lists.shape))))
  const part = (view: View, start: number, size: number): View => ({
    ...view,
    shape: view.shape.map((whole, d) => (d === dim ? size : whole)),
    offset: view.offset + start * view.strides[dim],
  })
  for (let start = 0; start < n; start += most) {
    const size = Math.min(most, n - start)
    const one = { ...plan, n: size, source: part(source, start, size), index: part(index, start, size) }
    const scratch: Block[] = []
    addSorted(gpu, one, { lists, columns }, sortIndices(gpu, one, lists, scratch))
    for (const block of scratch) gpu.pool.give(block)
  }
}

/** One thread a sorted position and column; those at the start of a run of equal destinations (for replace: at its end) work. */
function addSorted(
  gpu: Gpu,
  { mode, dim, n, size, word, output, source, index }: ScatterPlan,
  { lists, columns }: { lists: LoopNest; columns: LoopNest },
  sorted: Block,
): void {
  const { dtype } = output
  const entries = n * sizeOf(lists.shape)
  const width = sizeOf(columns.shape)
  const order = new GpuStorage(sorted.bytes, sorted, gpu)
  const orderView: View = { storage: order, dtype: "int32", shape: [2 * entries], strides: [1], offset: 0 }
  const bindings = bind(gpu, [output], [source, orderView, index])
  const [to, from, keys, indices] = bindings.slots
  const flagSlot = bindings.blocks.length
  const [a, b] = [lists.shape.length, columns.shape.length]
  const key = `scatter sorted ${mode} ${a} ${b} ${dtype} ${bindings.key}`
  const program = gpu.queue.program(key, () => {
    // Parameters: ten numbers, then the shape and two strides of lists, then those of columns.
    const [first, second] = [10, 10 + 3 * a]
    const at = (view: number, offset: string) =>
      walked(walked(offset, "l", a, first + (1 + view) * a), "c", b, second + (1 + view) * b)
    const body =
      mode === "replace"
        ? `if (at + 1u < ${param(1)} && load${keys}(at + 1u) == key) { return; }
  let src = src0 + load${keys}(${param(1)} + at) * ${param(7)};
  ${writeBits(dtype, to, "to", readBits(dtype, from, "src"))}`
        : `if (at > 0u && load${keys}(at - 1u) == key) { return; }
  var total: ${wgslType(dtype)} = ${readElement(dtype, to, "to")};
  for (var e = at; e < ${param(1)} && load${keys}(e) == key; e++) {
    let src = src0 + load${keys}(${param(1)} + e) * ${param(7)};
    total = ${sum(dtype, "total", readElement(dtype, from, "src"))};
  }
  ${writeBits(dtype, to, "to", bitsOf(dtype, "total"))}`
    const code = `${wordFunctions}${elementEntry(param(0))}${guard(flagSlot, indices, param(9))}
  let at = i / ${param(2)};
  let column = i % ${param(2)};
  let key = load${keys}(at);
  if (key >= ${param(3)}) { return; }
  let list = key / ${param(4)};
  ${[...coordinates("list", "l", a, first), ...coordinates("column", "c", b, second)].join("\n  ")}
  let to = ${at(0, param(5))} + (key % ${param(4)}) * ${param(6)};
  let src0 = ${at(1, param(8))};
  ${body}
}`
    return { name: "scatter", kinds: [...bindings.kinds, "a"], code }
  })
  const limit = size * sizeOf(lists.shape)
  const numbers = [entries * width, entries, width, limit, size, output.offset, output.strides[dim]]
  const nests = [lists, columns].flatMap(({ shape, strides }) => [...shape, ...strides[0], ...strides[1]])
  const params = [...numbers, source.strides[dim], source.offset, word, ...nests]
  gpu.queue.dispatch(program, [...bindings.blocks, gpu.flags.block], params, groupsFor(gpu, entries * width))
}
