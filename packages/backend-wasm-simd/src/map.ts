// The map kernel: expressions over strided operands, one emitted loop nest for each pattern of strides.
import {
  byteSize,
  collapse,
  type DType,
  isContiguous,
  type Kernel,
  kernels,
  type MapKernel,
  type Program,
  program,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { FunctionBuilder, Local, Value } from "./assembler/function.js"
import type { ModuleBuilder } from "./assembler/module.js"
import type { Compiled, Engine } from "./engine.js"
import { gatherLanes, keepLanes, type Lanes, loadLanes, splatLanes, storeLanes, storeSome } from "./lanes.js"
import { LayoutCache, mostCounted, type Ready, runReady, walkOf } from "./nest.js"
import { addressOf } from "./storage.js"
import { renderLanes, scalarLanes, VectorCode } from "./vector.js"

/** How one operand is walked along the innermost dim: side by side, one value for all, or with a stride of its own. */
export type Walk = "v" | "s" | "g"

/** What a map's code depends on: the expressions, the dtypes of outputs and inputs, their walks, and the number of dims. */
interface MapShape {
  readonly program: Program
  readonly rank: number
  readonly outputs: readonly Operand[]
  readonly inputs: readonly Operand[]
  readonly scalars: readonly DType[]
}
interface Operand {
  readonly dtype: DType
  readonly walk: Walk
}

/** Dtypes of what a program reads, by number; a number that it leaves out counts as float32. */
export function readDTypes({ nodes }: Program, kind: "input" | "scalar"): DType[] {
  const found: DType[] = []
  for (const node of nodes) if (node.kind === kind) found[node.index] = node.dtype
  return Array.from(found, (dtype) => dtype ?? "float32")
}

interface Cursor extends Operand {
  /** The address on each level of the nest; the last is that of the inner loop. */
  readonly at: readonly Local[]
  /** Byte strides of the outer dims. */
  readonly outer: readonly Local[]
  /** Byte stride of the innermost dim, if it is walked by one. */
  readonly inner: Local | null
}

const heavy = new Set([
  "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh",
  "sigmoid", "erf", "pow", "mod", "div", "sqrt",
]) // prettier-ignore
/** About how many nanoseconds an element takes, for the decision whether threads pay. */
export const costOf = ({ nodes }: Program): number =>
  nodes.reduce((sum, node) => sum + (node.kind !== "op" ? 0.1 : heavy.has(node.op) ? 1 : 0.15), 0)

/**
 * Emits `map(sizes…, for each operand its address, outer strides, inner stride if walked so, then the scalars)`.
 */
function emitMap(module: ModuleBuilder, engine: Engine, shape: MapShape): { map: FunctionBuilder } {
  const { rank } = shape
  const operands = [...shape.outputs, ...shape.inputs]
  const perOperand = operands.map(({ walk }) => rank + (walk === "g" ? 1 : 0))
  const addresses = rank + perOperand.reduce((a, b) => a + b, 0)
  const f = module.define("map", [
    ...new Array<"i32">(addresses).fill("i32"),
    ...shape.scalars.map(() => "f64" as const),
  ])
  const code = new VectorCode(f, engine)
  const sizes = f.args.slice(0, rank)
  let next = rank
  const cursors = operands.map((operand): Cursor => {
    const first = f.args[next]
    const outer = f.args.slice(next + 1, next + rank)
    next += rank
    const inner = operand.walk === "g" ? f.args[next++] : null
    const at = [first, ...outer.map(() => f.local("i32"))]
    return { ...operand, at, outer, inner }
  })
  const scalars = shape.scalars.map((dtype, i) => scalarLanes(code, dtype, f.args[addresses + i]))
  const inner = (): void => emitInner(code, shape, cursors, sizes[rank - 1], scalars)
  const level = (d: number): void => {
    if (d === rank - 1) return inner()
    const left = f.keep(sizes[d])
    f.doWhile(
      () => {
        for (const { at } of cursors) at[d + 1].set(at[d])
        level(d + 1)
        for (const { at, outer } of cursors) at[d].inc(outer[d])
        left.set(left.sub(1))
      },
      () => left,
    )
  }
  level(0)
  return { map: f }
}

/** One line of the innermost dim. */
function emitInner(
  code: VectorCode,
  shape: MapShape,
  cursors: readonly Cursor[],
  size: Value,
  scalars: readonly Lanes[],
): void {
  const { f } = code
  const count = shape.outputs.length
  const outputs = cursors.slice(0, count)
  const inputs = cursors.slice(count)
  const left = f.keep(size)
  const last = cursors[0].at.length - 1
  const splats = inputs.map(({ dtype, walk, at }) =>
    walk === "s" ? keepLanes(f, splatLanes(f, dtype, at[last])) : null,
  )
  const used = new Set(shape.program.nodes.flatMap((node) => (node.kind === "input" ? [node.index] : [])))
  const distances = inputs.map(({ inner }) => inner && [1, 2, 3].map(() => f.local("i32")))

  const evaluate = (offset: number): Lanes[] => {
    const lanes = inputs.map(({ dtype, walk, at }, i): Lanes => {
      if (!used.has(i)) return []
      if (walk === "s") return splats[i] as Lanes
      if (walk === "g") return keepLanes(f, gatherLanes(f, dtype, at[last], distances[i] as Local[]))
      return keepLanes(f, loadLanes(f, dtype, at[last], offset * byteSize(dtype)))
    })
    // All expressions are computed before anything is stored: outputs may lie where inputs do.
    return renderLanes(code, shape.program, lanes, scalars).map((x) => keepLanes(f, x))
  }
  const advance = (by: number): void => {
    for (const { dtype, walk, at, inner } of cursors) {
      if (walk === "v") at[last].inc(by * byteSize(dtype))
      else if (inner) at[last].inc(by === 4 ? inner.shl(2) : inner.mul(by))
    }
    left.set(left.sub(by))
  }

  // Short expressions on plain vectors go four vectors at a time.
  const plain = cursors.every(({ walk }) => walk !== "g") && cursors.every(({ dtype }) => dtype !== "float64")
  if (plain && shape.program.nodes.length <= 8 && costOf(shape.program) < 1) {
    f.while(
      () => left.ge(16),
      () => {
        const results = [0, 4, 8, 12].map(evaluate)
        results.forEach((lanes, k) =>
          outputs.forEach(({ dtype, at }, i) => storeLanes(f, dtype, at[last], lanes[i], 4 * k * byteSize(dtype))),
        )
        advance(16)
      },
    )
  }
  f.while(
    () => left.gt(0),
    () => {
      // Behind the end the first element is read again, never memory that may not be there.
      distances.forEach((list, i) =>
        list?.forEach((distance, k) => {
          const step = inputs[i].inner as Local
          distance.set(f.select(left.gt(k + 1), k === 0 ? step : step.mul(k + 1), 0))
        }),
      )
      const results = evaluate(0)
      const storeAll = (): void =>
        outputs.forEach(({ dtype, walk, at, inner }, i) => {
          if (walk === "v") storeLanes(f, dtype, at[last], results[i])
          else storeSome(f, dtype, at[last], results[i], left, inner as Local)
        })
      const storeRest = (): void =>
        outputs.forEach(({ dtype, at, inner }, i) =>
          storeSome(f, dtype, at[last], results[i], left, inner ?? byteSize(dtype)),
        )
      f.if(left.ge(4), storeAll, storeRest)
      advance(4)
    },
  )
}

/** A kernel's compiled forms. */
class MapPlan {
  readonly program: Program
  readonly cost: number
  readonly inputs: readonly DType[]
  readonly scalars: readonly DType[]
  private readonly engine: Engine
  /** Calls for operands that are not contiguous, by their layout. */
  readonly layouts = new LayoutCache<Ready>()
  private readonly forms = new Map<string, Compiled>()
  private flat: Compiled | null = null

  constructor(engine: Engine, kernel: MapKernel) {
    this.engine = engine
    this.program = program(kernel.exprs)
    this.cost = costOf(this.program)
    this.inputs = readDTypes(this.program, "input")
    this.scalars = readDTypes(this.program, "scalar")
  }

  /** The code for operands with these walks. */
  form(rank: number, outputs: readonly View[], walks: string): Compiled {
    const key = `${rank}${walks}`
    let made = this.forms.get(key)
    if (!made) {
      const count = outputs.length
      const shape: MapShape = {
        program: this.program,
        rank,
        outputs: outputs.map(({ dtype }, i) => ({ dtype, walk: walks[i] as Walk })),
        inputs: this.inputs.map((dtype, i) => ({ dtype, walk: walks[count + i] as Walk })),
        scalars: this.scalars,
      }
      made = this.engine.compile(`map ${key} ${this.program.key}`, (module) => emitMap(module, this.engine, shape)).map
      this.forms.set(key, made)
    }
    return made
  }

  /** The code for contiguous operands. */
  flatForm(outputs: readonly View[]): Compiled {
    return (this.flat ??= this.form(1, outputs, "v".repeat(outputs.length + this.inputs.length)))
  }
}

const plans = new WeakMap<Engine, WeakMap<Kernel, MapPlan>>()

function planOf(engine: Engine, kernel: MapKernel): MapPlan {
  let own = plans.get(engine)
  if (!own) plans.set(engine, (own = new WeakMap()))
  let plan = own.get(kernel)
  if (!plan) own.set(kernel, (plan = new MapPlan(engine, kernel)))
  return plan
}

/** Evaluates one expression an output for every element. */
export function runMap(
  engine: Engine,
  kernel: MapKernel,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
): void {
  const size = sizeOf(outputs[0].shape)
  if (size === 0) return
  const plan = planOf(engine, kernel)
  const views = [...outputs]
  for (let i = 0; i < plan.inputs.length; i++) views.push(inputs[i])
  for (const { shape, strides } of views) {
    if (isContiguous(shape, strides)) continue
    const ready = plan.layouts.get(inputs, outputs, () => nestOf(engine, plan, views, outputs.length))
    return runReady(engine, ready, views, scalars)
  }
  // Sizes come and go: the code for contiguous operands is the same for all of them.
  const args = [size]
  for (const view of views) args.push(addressOf(view))
  for (let i = 0; i < plan.scalars.length; i++) args.push(scalars[i])
  const fn = plan.flatForm(outputs)
  if (size <= mostCounted && engine.pieces(size * plan.cost) === 1) return engine.call(fn, args)
  const steps = views.map(({ dtype }) => byteSize(dtype))
  const slots = views.map((_, v) => 1 + v)
  runReady(engine, { fn, args, slots, cut: { slot: 0, unit: 64, steps }, work: size * plan.cost, scalarsAt: 1 + views.length }, views, scalars) // prettier-ignore
}

/** Copies a view into another of its shape, converting it. */
export const copyView = (engine: Engine, from: View, to: View): void =>
  runMap(engine, kernels.copy(from.dtype, to.dtype), [from], [to], [])

/** Any strides: few dims, the innermost one emitted for how each operand walks it. */
function nestOf(engine: Engine, plan: MapPlan, views: readonly View[], outputs: number): Ready {
  const nest = collapse(views[0].shape, views.map(({ strides }) => strides)) // prettier-ignore
  const sizes = nest.shape.length === 0 ? [1] : nest.shape
  const strides = nest.strides.map((own, v) => (own.length === 0 ? [1] : own).map((s) => s * byteSize(views[v].dtype)))
  const pairs = pairsOf(plan, views, sizes, strides)
  if (pairs) return readyNest(planOf(engine, pairCopy), sizes.slice(0, -1), strides.map((s) => s.slice(0, -1)), pairs, 1) // prettier-ignore
  return readyNest(plan, sizes, strides, views, outputs)
}

const pairCopy = kernels.copy("float64", "float64")

/** Plain copies of pairs of 32-bit elements move eight bytes at a time: rows of two are too short to be worth a loop. */
function pairsOf(
  plan: MapPlan,
  views: readonly View[],
  sizes: readonly number[],
  strides: readonly (readonly number[])[],
): readonly View[] | null {
  const { nodes } = plan.program
  const last = sizes.length - 1
  const isCopy = nodes.length === 1 && nodes[0].kind === "input" && views.length === 2
  if (!isCopy || last === 0 || sizes[last] !== 2 || views.some(({ dtype }) => byteSize(dtype) !== 4)) return null
  return strides.every((own) => own[last] === 4) ? views.map((view) => ({ ...view, dtype: "float64" })) : null
}

function readyNest(
  plan: MapPlan,
  sizes: readonly number[],
  strides: readonly (readonly number[])[],
  views: readonly View[],
  outputs: number,
): Ready {
  const last = sizes.length - 1
  const walks = views.map(({ dtype }, v): Walk => {
    const walk = walkOf(dtype, strides[v][last])
    return walk === "s" && v < outputs ? "g" : walk
  })
  const args = [...sizes]
  const slots = views.map((_, v) => {
    const slot = args.push(0) - 1
    args.push(...strides[v].slice(0, -1), ...(walks[v] === "g" ? [strides[v][last]] : []))
    return slot
  })
  return {
    fn: plan.form(sizes.length, views.slice(0, outputs), walks.join("")),
    args: [...args, ...plan.scalars.map(() => 0)],
    slots,
    scalarsAt: args.length,
    cut: { slot: 0, unit: last === 0 ? 64 : 1, steps: strides.map((own) => own[0]) },
    work: sizeOf(sizes) * plan.cost * 2,
  }
}
