// The matmul kernel: which of the kernels in matmul/ a product gets, in how many shares, and scratch memory.
import {
  byteSize,
  computeDType,
  contiguousStrides,
  type DType,
  type Kernel,
  kernels,
  type MapKernel,
  type MatmulKernel,
  program,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { Gpu } from "./gpu.js"
import { groupsFor, groupSize, runMap } from "./map.js"
import { blockOf, GpuStorage } from "./memory.js"
import { paramBytes, type ShaderSource } from "./queue.js"
import type { Quads } from "./matmul/block.js"
import { blockForm, blocksSource, blockThreads } from "./matmul/blocks.js"
import { directSource, gatherSource } from "./matmul/direct.js"
import { type Bound, bound, type Cut, type Finish, paramCount, paramsOf, sumType } from "./matmul/finish.js"
import { lineCut, lineForm, lineSource, mostColumns } from "./matmul/line.js"
import { type Problem, problemOf, transpose } from "./matmul/problem.js"
import { tiledSource, tileForm } from "./matmul/tiled.js"

/** Contiguous scratch memory as a view; `give` it back once everything that uses it is queued. */
export function scratch(gpu: Gpu, shape: readonly number[], dtype: DType): View {
  const bytes = sizeOf(shape) * byteSize(dtype)
  const storage = new GpuStorage(bytes, gpu.pool.take(bytes), gpu)
  return { storage, dtype, shape, strides: contiguousStrides(shape), offset: 0 }
}

/** Gives scratch memory back. */
export function give(gpu: Gpu, view: View): void {
  gpu.pool.give(blockOf(view.storage, gpu))
}

interface Plan {
  readonly epilogue: Finish["epilogue"]
  readonly scalars: readonly string[]
  /** The dtype of the finished value, if the epilogue reads it. */
  readonly value: DType | null
  /** The epilogue on its own. */
  readonly map: MapKernel | null
}
const plans = new WeakMap<Kernel, Plan>()

function planOf(kernel: MatmulKernel): Plan {
  let plan = plans.get(kernel)
  if (!plan) {
    const epilogue = kernel.epilogue ? program([kernel.epilogue]) : null
    const scalars: string[] = []
    let value: DType | null = null
    for (const node of epilogue?.nodes ?? []) {
      if (node.kind === "scalar") scalars[node.index] = node.dtype
      if (node.kind === "input" && node.index === 0) value = node.dtype
    }
    const map: MapKernel | null = kernel.epilogue ? { kind: "map", exprs: [kernel.epilogue] } : null
    plan = { epilogue, scalars: Array.from(scalars, (dtype) => dtype ?? "float32"), value, map }
    plans.set(kernel, plan)
  }
  return plan
}

/** First and last element of a view. */
function extent({ shape, strides, offset }: View): [number, number] {
  let [low, high] = [offset, offset]
  shape.forEach((size, d) => {
    const reach = (size - 1) * strides[d]
    if (reach < 0) low += reach
    else high += reach
  })
  return [low, high]
}

/** True if elements of one view may be elements of the other. */
function touches(x: View, y: View): boolean {
  if (x.storage !== y.storage) return false
  const [[low, high], [first, last]] = [extent(x), extent(y)]
  return low <= last && first <= high
}

function copy(gpu: Gpu, from: View, to: View): void {
  runMap(gpu, kernels.copy(from.dtype, to.dtype), [from], [to], [])
}

/** Multiplies the last two dims of a and b. */
export function runMatmul(
  gpu: Gpu,
  kernel: MatmulKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  if (sizeOf(output.shape) === 0) return
  const [a, b, ...rest] = inputs
  const plan = planOf(kernel)
  // Threads read rows and columns that others are about to write.
  if (touches(output, a) || touches(output, b)) {
    const own = scratch(gpu, output.shape, output.dtype)
    if (kernel.accumulate) copy(gpu, output, own)
    runMatmul(gpu, kernel, inputs, own, scalars)
    copy(gpu, own, output)
    return give(gpu, own)
  }
  const bias = kernel.bias ?? false
  const blocks = new Set([output, ...inputs].map((view) => blockOf(view.storage, gpu)))
  const words = paramCount(problemOf(a, b, [output, ...rest]), plan.scalars.length)
  if (blocks.size > gpu.device.limits.maxStorageBuffersPerShaderStage || words > paramBytes / 4) {
    return inPieces(gpu, kernel, inputs, output, scalars)
  }
  const value = plan.value ?? output.dtype
  const { epilogue } = plan
  const finish = { bias, accumulate: kernel.accumulate ?? false, epilogue, scalars: plan.scalars, value }
  multiply(gpu, problemOf(a, b, [output, ...rest]), finish, scalars)
}

/** The product first, then the epilogue as a map: more buffers or parameters than one kernel may have. */
function inPieces(
  gpu: Gpu,
  kernel: MatmulKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  const { value, map } = planOf(kernel)
  const split = kernel.bias ? 3 : 2
  const own = scratch(gpu, output.shape, value ?? output.dtype)
  if (kernel.accumulate) copy(gpu, output, own)
  const { accumulate, bias } = kernel
  runMatmul(gpu, { kind: "matmul", bias, accumulate }, inputs.slice(0, split), own, [])
  if (map) runMap(gpu, map, [own, ...inputs.slice(split)], [output], scalars)
  else copy(gpu, own, output)
  give(gpu, own)
}

// Up to so many terms, or operations in all, each thread adds one element alone; without barriers it adds more of them anyway.
const fewTerms = 16
const fewOperations = 4096

function multiply(gpu: Gpu, given: Problem, finish: Finish, scalars: readonly number[]): void {
  const problem = given.m <= mostColumns && given.n > given.m ? transpose(given) : given
  const { m, n, k, batches } = problem
  if ((k <= fewTerms && gpu.barriers) || m * n * k * batches <= fewOperations) {
    const total = m * n * batches
    const cut = { rows: 1, cols: 1, splits: 1, share: k, total }
    const one = bound(gpu, given, finish, null, "all")
    return launch(gpu, `direct ${one.key}`, one, cut, groupsFor(gpu, total), directSource, scalars)
  }
  if (!gpu.barriers) {
    const { form, cut } = blockForm(given)
    const name = `blocks ${form.rows} ${form.cols}`
    return shares(gpu, given, finish, name, cut, (one) => blocksSource(one, form), scalars, {
      perGroup: blockThreads,
      inFours: ["terms", "lines"],
    })
  }
  if (n <= mostColumns) {
    const form = lineForm(problem)
    const { subgroups } = gpu
    const name = `line ${form.cols} ${form.lanes} ${form.along} ${subgroups}`
    const source = (one: Bound) => lineSource(one, form, subgroups)
    return shares(gpu, problem, finish, name, lineCut(problem, form), source, scalars)
  }
  const { form, cut } = tileForm(problem)
  const { a, b } = problem
  const ways = `${Math.abs(a.col) <= Math.abs(a.row)} ${Math.abs(b.row) < Math.abs(b.col)}`
  const name = `tiled ${form.rows} ${form.cols} ${form.each} ${ways}`
  shares(gpu, problem, finish, name, cut, (one) => tiledSource(one, form), scalars, { inFours: ["lines"] })
}

/** How a kernel reads, and how many parts of the cut a workgroup does. */
interface Reading {
  readonly perGroup?: number
  readonly inFours?: readonly Quads[]
}

/** One pass, or a pass for each share of k at once and a second that adds what they found. */
function shares(
  gpu: Gpu,
  problem: Problem,
  finish: Finish,
  name: string,
  cut: Cut,
  source: (one: Bound) => ShaderSource,
  scalars: readonly number[],
  { perGroup = 1, inFours = [] }: Reading = {},
): void {
  const groups = groupsFor(gpu, Math.ceil(cut.total / perGroup) * groupSize)
  if (cut.splits === 1) {
    const one = bound(gpu, problem, finish, null, "all", inFours)
    return launch(gpu, `${name} ${one.key}`, one, cut, groups, source, scalars)
  }
  const { m, n, batches } = problem
  const dtype = sumType(problem.a.view.dtype) === "f32" ? "float32" : "int32"
  const partial = scratch(gpu, [cut.splits, batches, m, n], dtype)
  const put = bound(gpu, problem, finish, partial, "put", inFours)
  launch(gpu, `${name} ${put.key}`, put, cut, groups, source, scalars)
  const total = batches * m * n
  const take = bound(gpu, problem, finish, partial, "take")
  launch(gpu, `gather ${take.key}`, take, { ...cut, total }, groupsFor(gpu, total), gatherSource, scalars)
  give(gpu, partial)
}

function launch(
  gpu: Gpu,
  key: string,
  one: Bound,
  cut: Cut,
  groups: readonly [number, number, number],
  source: (one: Bound) => ShaderSource,
  scalars: readonly number[],
): void {
  const dtype = computeDType(one.problem.a.view.dtype)
  const compiled = gpu.queue.program(`matmul ${dtype} ${key}`, () => source(one))
  gpu.queue.dispatch(compiled, one.bindings.blocks, paramsOf(one, cut, scalars), groups)
}
