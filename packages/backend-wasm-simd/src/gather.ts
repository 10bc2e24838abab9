// The gather and scatter kernels: indexing along one dim, with every index checked before anything is written.
import {
  byteSize,
  collapse,
  type DType,
  type GatherKernel,
  IndexError,
  type ScatterKernel,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { FunctionBuilder, Local, Value } from "./assembler/function.js"
import type { ModuleBuilder } from "./assembler/module.js"
import type { Engine } from "./engine.js"
import { loadLanes, storeLanes, storeSome } from "./lanes.js"
import { type Cut, emitNest, LayoutCache, type Ready, runReady } from "./nest.js"
import { withScratch } from "./scratch.js"
import { addressOf } from "./storage.js"
import { VectorCode, VectorTarget } from "./vector.js"

type Mode = "gather" | ScatterKernel["mode"]

/** What the code depends on. Elements that are only moved are named by their size. */
interface MoveShape {
  readonly mode: Mode
  readonly dtype: DType
  readonly rank: number
  /** Lines share one index, and lie side by side in both places. */
  readonly rows: boolean
}

// ---- indices

/** Emits `check(sizes, address, strides, limit)`: the address of the first index outside `0 … limit-1`, or 0. */
function emitCheck(module: ModuleBuilder, rank: number, plain: boolean): { check: FunctionBuilder } {
  const f = module.define("check", new Array<"i32">(2 * rank + 2).fill("i32"), "i32")
  const sizes = f.args.slice(0, rank)
  const steps = f.args.slice(rank + 1, 2 * rank + 1)
  const limit = f.args[2 * rank + 1]
  const limits = f.prologue(() => f.keep(f.op("i32x4.splat", limit)))
  emitNest(f, sizes.slice(0, -1), [{ at: f.args[rank], steps }], ([at]) => {
    const left = f.keep(sizes[rank - 1])
    if (plain) {
      const bad = f.local("i32")
      f.while(
        () => left.ge(4).and(f.op("i32.eqz", bad)),
        () => {
          bad.set(f.op("v128.any_true", f.op("i32x4.ge_u", f.load("v128.load", at), limits)))
          f.if(f.op("i32.eqz", bad), () => {
            at.inc(16)
            left.set(left.sub(4))
          })
        },
      )
    }
    f.while(
      () => left,
      () => {
        f.if(f.op("i32.ge_u", f.load("i32.load", at), limit), () => f.return(at))
        at.inc(steps[rank - 1])
        left.set(left.sub(1))
      },
    )
  })
  f.give(0)
  return { check: f }
}

/** The call that checks an index view; dims of stride 0 (an expanded index) are read once. */
function checkOf(engine: Engine, view: View, limit: number): Ready {
  const shape = view.shape.map((n, d) => (view.strides[d] === 0 ? Math.min(n, 1) : n))
  const nest = collapse(shape, [view.strides])
  const flat = nest.shape.length === 0
  const sizes = flat ? [1] : nest.shape
  const steps = (flat ? [1] : nest.strides[0]).map((s) => 4 * s)
  const plain = steps[steps.length - 1] === 4
  const key = `check indices ${sizes.length} ${plain}`
  const fn = engine.compile(key, (module) => emitCheck(module, sizes.length, plain)).check
  return { fn, args: [...sizes, 0, ...steps, limit], slots: [sizes.length], cut: null, work: 0 }
}

/** Throws unless all indices are in range. */
function checkIndices(engine: Engine, operation: string, { fn, args, slots }: Ready, view: View, dim: number): void {
  args[slots[0]] = addressOf(view)
  const bad = fn.call(...args) >>> 0
  if (bad === 0) return
  const index = new Int32Array(engine.memory.buffer, bad, 1)[0]
  throw new IndexError(
    `${operation}: index out of range: got ${index}, expected 0 <= index < ${args[args.length - 1]} at dim ${dim}`,
  )
}

// ---- moving

const loads = { 1: "i32.load8_u", 4: "i32.load", 8: "i64.load" } as const
const stores = { 1: "i32.store8", 4: "i32.store", 8: "i64.store" } as const
type Bytes = keyof typeof loads

/**
 * Emits `move(sizes; to: address, strides; from: address, strides; index: address, strides; stride along the indexed dim)`.
 * Gathering, the index moves `from`, else `to`.
 */
function emitMove(module: ModuleBuilder, engine: Engine, shape: MoveShape): { move: FunctionBuilder } {
  const { rank, mode, rows } = shape
  const f = module.define("move", new Array<"i32">(4 * rank + 4).fill("i32"))
  const sizes = f.args.slice(0, rank)
  const walkers = [0, 1, 2].map((i) => {
    const at = rank + i * (rank + 1)
    return { at: f.args[at], steps: f.args.slice(at + 1, at + 1 + rank) }
  })
  const along = f.args[4 * rank + 3]
  const code = new VectorCode(f, engine)
  emitNest(f, sizes.slice(0, -1), walkers, ([to, from, index]) => {
    const left = f.keep(sizes[rank - 1])
    if (rows) {
      const indexed = mode === "gather" ? from : to
      indexed.inc(f.load("i32.load", index).mul(along))
      if (mode === "add") emitAddRow(code, shape.dtype, to, from, left)
      else emitCopyRow(f, byteSize(shape.dtype) as Bytes, to, from, left)
      return
    }
    const last = walkers.map(({ steps }) => steps[rank - 1])
    f.doWhile(
      () => {
        const away = f.load("i32.load", index).mul(along)
        if (mode === "gather") moveOne(f, shape, to, from.add(away))
        else moveOne(f, shape, f.keep(to.add(away)), from)
        ;[to, from, index].forEach((at, i) => at.inc(last[i]))
        left.set(left.sub(1))
      },
      () => left,
    )
  })
  return { move: f }
}

/** One element. */
function moveOne(f: FunctionBuilder, { mode, dtype }: MoveShape, to: Local, from: Value): void {
  const bytes = byteSize(dtype) as Bytes
  if (mode !== "add") return f.store(stores[bytes], to, f.load(loads[bytes], from))
  if (dtype === "float32" || dtype === "float64") {
    const type = dtype === "float32" ? "f32" : "f64"
    const sum = f.op(`${type}.add`, f.load(`${type}.load`, to), f.load(`${type}.load`, from))
    return f.store(`${type}.store`, to, sum)
  }
  const [a, b] = [to, from].map((at) => f.load(loads[bytes], at))
  f.store(stores[bytes], to, dtype === "bool" ? a.or(b) : a.add(b))
}

/** Copies `count` elements that lie side by side. */
function emitCopyRow(f: FunctionBuilder, bytes: Bytes, to: Local, from: Local, count: Local): void {
  const left = f.keep(count.mul(bytes))
  const chunk = (size: number): void => {
    for (let at = 0; at < size; at += 16) f.store("v128.store", to, f.load("v128.load", from, at), at)
    to.inc(size)
    from.inc(size)
    left.set(left.sub(size))
  }
  for (const size of [64, 16]) {
    f.while(
      () => left.ge(size),
      () => chunk(size),
    )
  }
  f.while(
    () => left,
    () => {
      f.store(stores[bytes], to, f.load(loads[bytes], from))
      to.inc(bytes)
      from.inc(bytes)
      left.set(left.sub(bytes))
    },
  )
}

/** Adds `count` elements that lie side by side to as many others. */
function emitAddRow(code: VectorCode, dtype: DType, to: Local, from: Local, left: Local): void {
  const { f } = code
  const target = new VectorTarget(code, [], [])
  const bytes = byteSize(dtype)
  const sum = (offset: number) =>
    target.op("add", [loadLanes(f, dtype, to, offset), loadLanes(f, dtype, from, offset)], dtype).map((x) => f.keep(x))
  const advance = (by: number): void => {
    to.inc(by * bytes)
    from.inc(by * bytes)
    left.set(left.sub(by))
  }
  for (const groups of [4, 1]) {
    f.while(
      () => left.ge(4 * groups),
      () => {
        const sums = Array.from({ length: groups }, (_, k) => sum(4 * k * bytes))
        sums.forEach((lanes, k) => storeLanes(f, dtype, to, lanes, 4 * k * bytes))
        advance(4 * groups)
      },
    )
  }
  f.if(left, () => storeSome(f, dtype, to, sum(0), left, f.i32(bytes)))
}

// ---- calls

/** What is ready for one layout. */
interface Moves {
  readonly check: Ready
  readonly move: Ready
}

/** `to`, `from`, `index`, in the index's shape; the indexed one of the first two is walked by the index along `dim`. */
function makeMoves(engine: Engine, mode: Mode, dim: number, to: View, from: View, index: View): Moves {
  const indexed = mode === "gather" ? from : to
  const views = [to, from, index]
  const strides = views.map((view) =>
    view === indexed ? view.strides.map((stride, d) => (d === dim ? 0 : stride)) : view.strides,
  )
  const nest = collapse(index.shape, strides)
  const flat = nest.shape.length === 0
  const sizes = flat ? [1] : nest.shape
  const steps = views.map(({ dtype }, v) => (flat ? [0] : nest.strides[v]).map((s) => s * byteSize(dtype)))
  const rank = sizes.length
  const last = steps.map((own) => own[rank - 1])
  const bytes = byteSize(to.dtype)
  const rows = last[0] === bytes && last[1] === bytes && last[2] === 0
  const dtype = mode === "add" ? to.dtype : moved[bytes as Bytes]
  const fn = engine.compile(`move ${mode} ${dtype} ${rank} ${rows}`, (module) =>
    emitMove(module, engine, { mode, dtype, rank, rows }),
  ).move
  const args = [...sizes]
  const slots = steps.map((own) => args.push(0, ...own) - rank - 1)
  args.push(indexed.strides[dim] * bytes)
  const move: Ready = { fn, args, slots, cut: cutOf(sizes, steps), work: sizeOf(sizes) * (rows ? 0.2 : 1) }
  return { check: checkOf(engine, index, indexed.shape[dim]), move }
}

/** The dtype that stands for all of one size where elements are only moved. */
const moved: Record<Bytes, DType> = { 1: "uint8", 4: "int32", 8: "float64" }

/** A dim whose elements go to different places, whatever the indices are: the largest. */
function cutOf(sizes: readonly number[], steps: readonly (readonly number[])[]): Cut | null {
  let slot = -1
  sizes.forEach((size, d) => {
    if (steps[0][d] !== 0 && (slot < 0 || size > sizes[slot])) slot = d
  })
  // Pieces of whole vectors, so that rows stay rows.
  return slot < 0 ? null : { slot, unit: slot === sizes.length - 1 ? 64 : 1, steps: steps.map((own) => own[slot]) }
}

/** Calls `use` with a view that shares no memory with `output`: the view itself, or a copy. */
function apart(engine: Engine, view: View, output: View, use: (view: View) => void): void {
  if (view.storage !== output.storage || sizeOf(view.shape) === 0) return use(view)
  withScratch(engine, (scratch) => use(scratch.copy(view)))
}

function run(engine: Engine, mode: Mode, dim: number, to: View, from: View, index: View): void {
  if (sizeOf(index.shape) === 0) return
  const layouts = engine.cached(`move layouts ${mode} ${dim}`, () => new LayoutCache<Moves>())
  const views = [to, from, index]
  const { check, move } = layouts.get(views, [], () => makeMoves(engine, mode, dim, to, from, index))
  checkIndices(engine, mode === "gather" ? "gather" : "scatter", check, index, dim)
  runReady(engine, move, views)
}

/** `out[i] = x[index[i]]` along `dim`. */
export function runGather(engine: Engine, { dim }: GatherKernel, inputs: readonly View[], output: View): void {
  const [x, index] = inputs
  apart(engine, index, output, (i) => apart(engine, x, output, (from) => run(engine, "gather", dim, output, from, i)))
}

/** `out[index[i]] = source[i]`, or `+=`, along `dim`, in row-major order of the source: the last of equal indices stays. */
export function runScatter(engine: Engine, { dim, mode }: ScatterKernel, inputs: readonly View[], output: View): void {
  const [index, source] = inputs
  apart(engine, index, output, (i) => apart(engine, source, output, (from) => run(engine, mode, dim, output, from, i)))
}
