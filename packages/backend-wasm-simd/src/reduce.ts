// The reduce kernel: chooses how to walk a layout, cuts large reductions into blocks, and calls the code of reduce/emit.ts.
import {
  byteSize,
  cachedKernel,
  collapse,
  contiguousStrides,
  type DType,
  e,
  type Expr,
  kernelKey,
  type Program,
  program,
  type ReduceKernel,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { Compiled, Engine } from "./engine.js"
import { costOf, readDTypes, type Walk } from "./map.js"
import { type Cut, LayoutCache, type Ready, runReady, walkOf } from "./nest.js"
import { withScratch } from "./scratch.js"
import { emitReduce, groupsOf, type ReduceShape } from "./reduce/emit.js"
import { foldDTypes, neutralOf } from "./reduce/fold.js"

/** What is known of a kernel before any views are. */
class ReducePlan {
  readonly kernel: ReduceKernel
  readonly program: Program
  readonly cost: number
  /** Numbers and dtypes of the inputs that the expression reads. */
  readonly used: readonly number[]
  readonly dtypes: readonly DType[]
  readonly scalars: readonly DType[]
  readonly gives: DType
  readonly layouts = new LayoutCache<Reduction>()
  private readonly engine: Engine

  constructor(engine: Engine, kernel: ReduceKernel) {
    this.engine = engine
    this.kernel = kernel
    this.program = program([kernel.expr])
    this.cost = costOf(this.program)
    this.dtypes = readDTypes(this.program, "input")
    const read = this.program.nodes.flatMap((node) => (node.kind === "input" ? [node.index] : []))
    this.used = [...new Set(read)].sort((a, b) => a - b)
    this.scalars = readDTypes(this.program, "scalar")
    this.gives = foldDTypes(kernel.op, kernel.expr.dtype).gives
  }

  /** What the code depends on. */
  shape({ form, kept, reduced, walks }: Nest, dtype: DType): ReduceShape {
    return {
      op: this.kernel.op,
      program: this.program,
      dtype: this.kernel.expr.dtype,
      form,
      kept: kept.shape.length,
      reduced: reduced.shape.length,
      output: { dtype, walk: walks[0] },
      inputs: this.used.map((index, i) => ({ index, dtype: this.dtypes[index], walk: walks[1 + i] })),
      scalars: this.scalars,
      cost: this.cost,
    }
  }

  code(shape: ReduceShape): Compiled {
    const walks = [shape.output, ...shape.inputs].map(({ walk }) => walk).join("")
    const key = `${shape.op} ${shape.form} ${shape.kept} ${shape.reduced} ${walks} ${shape.output.dtype}`
    return this.engine.compile(`reduce ${key} ${this.program.key}`, (module) => emitReduce(module, this.engine, shape))
      .reduce
  }
}

/** Dims, and the byte strides of the output (0 along reduced dims) and of the inputs that are read. */
interface Dims {
  readonly shape: readonly number[]
  readonly steps: readonly (readonly number[])[]
}
interface Nest {
  readonly form: "row" | "column"
  readonly kept: Dims
  readonly reduced: Dims
  /** How the vector's dim is walked by the output and the inputs. */
  readonly walks: readonly Walk[]
}

/** What is ready for one layout. */
type Reduction = (views: readonly View[], output: View, scalars: readonly number[]) => void

const last = <T>(list: readonly T[]): T => list[list.length - 1]

/** Some dims of the views as one nest, the widest strides outermost. */
function dimsOf(
  dims: readonly number[],
  shape: readonly number[],
  views: readonly View[],
  lead: View | undefined,
  sort: boolean,
): Dims {
  const order = [...dims]
  const width = (d: number): number => Math.abs(lead ? lead.strides[d] : 0) || Infinity
  if (sort) order.sort((a, b) => (width(a) === width(b) ? a - b : width(b) - width(a)))
  const strides = views.map((view) => order.map((d) => view.strides[d] * byteSize(view.dtype)))
  const nest = collapse(order.map((d) => shape[d]), strides) // prettier-ignore
  return { shape: nest.shape, steps: nest.strides }
}

/** About how much a vector costs to read: side by side, one value for all, gathered. */
const readCost: Record<Walk, number> = { v: 1, s: 0.3, g: 5 }

/** Chooses between rows and columns, by what an element costs. */
function nestOf(
  { kernel, used, dtypes }: ReducePlan,
  shape: readonly number[],
  inputs: readonly View[],
  output: View,
): Nest {
  const views = used.map((i) => inputs[i])
  const spread = (view: View): number => view.strides.filter((stride, d) => stride !== 0 && shape[d] !== 1).length
  const lead = [...views].sort((a, b) => spread(b) - spread(a))[0] as View | undefined
  const all = shape.map((_, d) => d)
  const isReduced = (d: number): boolean => kernel.dims.includes(d)
  const positions = kernel.op === "argmax" || kernel.op === "argmin"
  const target = { ...output, strides: output.strides.map((stride, d) => (isReduced(d) ? 0 : stride)) }
  const nests = [target, ...views]
  const kept = dimsOf(all.filter((d) => !isReduced(d)), shape, nests, lead, true) // prettier-ignore
  let reduced = dimsOf(all.filter(isReduced), shape, nests, lead, !positions) // prettier-ignore
  if (reduced.shape.length === 0) {
    reduced = { shape: [1], steps: [[0], ...used.map((i) => [byteSize(dtypes[i])])] }
  }
  const walks = ({ steps }: Dims): Walk[] => [
    steps[0].length > 0 && last(steps[0]) === byteSize(output.dtype) ? "v" : "g",
    ...used.map((i, v) => walkOf(dtypes[i], last(steps[1 + v]))),
  ]
  if (kept.shape.length === 0) return { form: "row", kept, reduced, walks: walks(reduced) }
  // A line's vectors, and what comes on top for each line: the step across lanes, or storing.
  const costs = [reduced, kept].map((dims, column) => {
    const reads = walks(dims).slice(1)
    const n = last(dims.shape)
    const each = reads.reduce((sum, walk) => sum + readCost[walk], 0.5)
    const line = column ? 2 + (10 * Math.ceil(n / 4)) / sizeOf(reduced.shape) : 10
    return (each * Math.ceil(n / 4) + line) / n
  })
  const form = costs[0] <= costs[1] ? "row" : "column"
  return { form, kept, reduced, walks: walks(form === "row" ? reduced : kept) }
}

/** A call over a nest; `offsets` are bytes behind the start of each view. */
function readyOf(plan: ReducePlan, nest: Nest, dtype: DType, offsets?: readonly number[]): Ready {
  const { kept, reduced, form } = nest
  const shape = plan.shape(nest, dtype)
  const slots: number[] = []
  const args = [...kept.shape, ...reduced.shape]
  kept.steps.forEach((steps, v) => {
    slots.push(args.length)
    args.push(0, ...steps, ...(v === 0 ? [] : reduced.steps[v]))
  })
  const scalarsAt = args.length
  for (let i = 0; i < plan.scalars.length; i++) args.push(0)
  const columns = form === "column" && kept.shape.length === 1
  const steps = kept.steps.map((own) => own[0])
  const cut: Cut | null = kept.shape.length === 0 ? null : { slot: 0, unit: columns ? 4 * groupsOf(shape) : 1, steps }
  const work = sizeOf(kept.shape) * sizeOf(reduced.shape) * Math.max(0.05, plan.cost)
  return { fn: plan.code(shape), args, slots, offsets, scalarsAt, cut, work }
}

const leastCut = 2 ** 18
const blockSize = 2 ** 16
/** With more results than this there is enough to cut without blocks. Columns profit from blocks that stay in the cache. */
const mostResults = { row: 64, column: 2048 }

/**
 * Indices of the outermost reduced dim in a block: large reductions with few results are cut into blocks of a size that
 * depends on nothing but the shape, so that results do not depend on threads. 0: no blocks.
 */
function blockOf({ kernel }: ReducePlan, { form, kept, reduced }: Nest): number {
  const results = sizeOf(kept.shape)
  const size = results * sizeOf(reduced.shape)
  if (size < leastCut || results > mostResults[form] || kernel.op === "argmax" || kernel.op === "argmin") return 0
  const block = Math.floor(blockSize / (size / reduced.shape[0]))
  return block >= 8 && block < reduced.shape[0] ? block : 0
}

/** A reduction that goes through partial results of blocks. */
function inBlocks(engine: Engine, plan: ReducePlan, nest: Nest, block: number, output: View): Reduction {
  const { kept, reduced } = nest
  const { gives, kernel } = plan
  const results = sizeOf(kept.shape)
  const [n, ...inner] = reduced.shape
  const whole = Math.floor(n / block)
  const rest = n - whole * block
  const bytes = byteSize(gives)
  const spread = contiguousStrides(kept.shape)
  const part = (blocks: number, size: number, first: number): Ready => {
    const steps = kept.steps.map((own, v) =>
      v === 0 ? [results * bytes, ...spread.map((s) => s * bytes)] : [reduced.steps[v][0] * block, ...own],
    )
    const walks: Walk[] = [nest.form === "row" ? "g" : "v", ...nest.walks.slice(1)]
    const partial = { ...nest, kept: { shape: [blocks, ...kept.shape], steps }, reduced: { ...reduced, shape: [size, ...inner] }, walks } // prettier-ignore
    return readyOf(plan, partial, gives, steps.map((own) => first * own[0])) // prettier-ignore
  }
  const parts = [part(whole, block, 0), ...(rest > 0 ? [part(1, rest, whole)] : [])]
  const shape = [whole + (rest > 0 ? 1 : 0), ...kept.shape]
  const together = cachedKernel<ReduceKernel>(`wasm-simd reduce blocks ${kernel.op} ${gives}`, () => {
    return { kind: "reduce", op: kernel.op, dims: [0], expr: e.input(0, gives) }
  })
  const outShape = [1, ...kept.shape]
  const outStrides = [0, ...kept.steps[0].map((step) => step / byteSize(output.dtype))]
  return (views, to, scalars) =>
    withScratch(engine, (scratch) => {
      const partial = scratch.view(shape, gives)
      for (const ready of parts) runReady(engine, ready, [partial, ...views], scalars)
      runReduce(engine, together, [partial], { ...to, shape: outShape, strides: outStrides }, [])
    })
}

/** An empty sum, product and so on, wherever the output has elements. */
function emptyReduction(engine: Engine, { kernel, gives }: ReducePlan): Reduction {
  const position = kernel.op === "argmax" || kernel.op === "argmin"
  const value = position ? -1 : neutralOf(kernel.op, gives)
  const fill = cachedKernel<ReduceKernel>(`wasm-simd reduce nothing ${value} ${gives}`, () => {
    return { kind: "reduce", op: "max", dims: [], expr: e.const(value, gives) }
  })
  return (_, output) => runReduce(engine, fill, [output], output, [])
}

function makeReduction(engine: Engine, plan: ReducePlan, inputs: readonly View[], output: View): Reduction {
  if (sizeOf(output.shape) === 0) return () => {}
  const { shape } = inputs[0]
  if (sizeOf(shape) === 0) return emptyReduction(engine, plan)
  const nest = nestOf(plan, shape, inputs, output)
  const block = blockOf(plan, nest)
  if (block > 0) return inBlocks(engine, plan, nest, block, output)
  const ready = readyOf(plan, nest, output.dtype)
  return (views, to, scalars) => runReady(engine, ready, [to, ...views], scalars)
}

const plans = new WeakMap<Engine, WeakMap<Expr, ReducePlan[]>>()

const sameDims = (a: readonly number[], b: readonly number[]): boolean =>
  a === b || (a.length === b.length && a.every((d, i) => d === b[i]))

/** Found by the expression first: kernels are often made anew around one that is kept. */
function planOf(engine: Engine, kernel: ReduceKernel): ReducePlan {
  const { op, dims, expr } = kernel
  let own = plans.get(engine)
  if (!own) plans.set(engine, (own = new WeakMap()))
  let list = own.get(expr)
  if (!list) own.set(expr, (list = []))
  for (const plan of list) if (plan.kernel.op === op && sameDims(plan.kernel.dims, dims)) return plan
  const plan = engine.cached(`plan ${kernelKey(kernel)}`, () => new ReducePlan(engine, kernel))
  list.push(plan)
  return plan
}

/** Reduces an expression over some dims; `output` keeps them with size 1. */
export function runReduce(
  engine: Engine,
  kernel: ReduceKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  const plan = planOf(engine, kernel)
  const reduction = plan.layouts.get(inputs, [output], () => makeReduction(engine, plan, inputs, output))
  const { used } = plan
  const views = used.length === inputs.length ? inputs : used.map((i) => inputs[i])
  reduction(views, output, scalars)
}
