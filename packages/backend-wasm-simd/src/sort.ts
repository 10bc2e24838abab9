// The sort kernel: stable, along the last dim, with positions. A merge sort of records of a key and a position.
import { byteSize, collapse, type DType, isFloat, type SortKernel, sizeOf, type View } from "@rondo/backend"
import type { FunctionBuilder, Local, Value } from "./assembler/function.js"
import type { ModuleBuilder } from "./assembler/module.js"
import type { Call, Engine } from "./engine.js"
import { signOf } from "./lanes.js"
import { emitNest, LayoutCache, type Ready } from "./nest.js"
import { withScratch } from "./scratch.js"
import { addressOf } from "./storage.js"

/** Bytes of a record: the key, 64 bits that order as signed integers, the position, and four unused ones. */
const record = 16
/** Shorter runs are sorted by insertion. */
const shortRun = 8

const loads = { 1: "i32.load8_u", 4: "i32.load", 8: "i64.load" } as const
const stores = { 1: "i32.store8", 4: "i32.store", 8: "i64.store" } as const

/** What the code depends on. */
interface SortShape {
  readonly dtype: DType
  readonly descending: boolean
  /** Number of dims beside the sorted one. */
  readonly rank: number
}

/** Merges two neighbouring runs of `left` and `right` records at `from` into `to`; of equals the left run's come first. */
function mergeRuns({ module }: FunctionBuilder): FunctionBuilder {
  return module.once("merge runs", () => {
    const f = module.define("merge runs", ["i32", "i32", "i32", "i32"], null, true)
    const [from, to, left, right] = f.args
    const other = f.keep(from.add(left.shl(4)))
    f.while(
      () => f.op("i32.ne", left, 0).and(right.ne(0)),
      () => {
        // No branch on the keys: it would be mispredicted every other time.
        const takeRight = f.keep(f.op("i64.lt_s", f.load("i64.load", other), f.load("i64.load", from)))
        f.store("v128.store", to, f.load("v128.load", f.select(takeRight, other, from)))
        to.inc(record)
        other.inc(takeRight.shl(4))
        right.set(right.sub(takeRight))
        const takeLeft = f.keep(f.op("i32.eqz", takeRight))
        from.inc(takeLeft.shl(4))
        left.set(left.sub(takeLeft))
      },
    )
    f.memoryCopy(to, from, left.shl(4))
    f.memoryCopy(to.add(left.shl(4)), other, right.shl(4))
    return f
  })
}

/** Sorts `count` records at `at` by insertion. */
function insertRun({ module }: FunctionBuilder): FunctionBuilder {
  return module.once("insert run", () => {
    const f = module.define("insert run", ["i32", "i32"], null, true)
    const [at, count] = f.args
    const done = f.keep(f.i32(1))
    f.while(
      () => done.lt(count),
      () => {
        const hole = f.keep(at.add(done.shl(4)))
        const moving = f.keep(f.load("v128.load", hole))
        const key = f.keep(f.load("i64.load", hole))
        const before = f.keep(done)
        const moves = f.local("i32", 1)
        f.while(
          () => before.gt(0).and(moves),
          () => {
            const previous = f.keep(hole.sub(record))
            moves.set(f.op("i64.lt_s", key, f.load("i64.load", previous)))
            f.if(moves, () => {
              f.store("v128.store", hole, f.load("v128.load", previous))
              hole.set(previous)
              before.set(before.sub(1))
            })
          },
        )
        f.store("v128.store", hole, moving)
        done.inc(1)
      },
    )
    return f
  })
}

/** 64 bits that order as signed integers as the elements do; NaN is greatest, and zeros are equal. */
function keyOf(f: FunctionBuilder, { dtype, descending }: SortShape, at: Value): Value {
  let key: Value
  if (isFloat(dtype)) {
    const x = dtype === "float32" ? f.op("f64.promote_f32", f.load("f32.load", at)) : f.load("f64.load", at)
    const value = f.keep(f.op("f64.add", x, f.f64(0)))
    const bits = f.keep(f.op("i64.reinterpret_f64", value))
    const flip = f.op("i64.shr_u", f.op("i64.shr_s", bits, f.i64(63n)), f.i64(1n))
    key = f.select(f.op("f64.eq", value, value), f.op("i64.xor", bits, flip), f.i64(2n ** 63n - 1n))
  } else key = f.op(`i64.extend_i32_${signOf(dtype)}`, f.load(loads[byteSize(dtype) as keyof typeof loads], at))
  return descending ? f.op("i64.xor", key, f.i64(-1n)) : key
}

/** Sorts `n` records at `first`, with as many at `second` to spare, and gives where they then are. */
function sortRecords({ module }: FunctionBuilder): FunctionBuilder {
  return module.once("sort records", () => {
    const f = module.define("sort records", ["i32", "i32", "i32"], "i32", true)
    const [first, second, n] = f.args
    const insert = insertRun(f)
    const merge = mergeRuns(f)
    const source = f.keep(first)
    const target = f.keep(second)
    const least = (a: Value, b: Value): Value => f.select(a.lt(b), a, b)
    /** Runs of `width` records: `each` gets how many lie behind the run's start. */
    const runs = (width: Value, each: (done: Local, left: Local) => void): void => {
      const done = f.local("i32", 0)
      f.while(
        () => done.lt(n),
        () => {
          each(done, f.keep(n.sub(done)))
          done.inc(width)
        },
      )
    }
    runs(f.i32(shortRun), (done, left) => f.call(insert, first.add(done.shl(4)), least(left, f.i32(shortRun))))
    const width = f.keep(f.i32(shortRun))
    f.while(
      () => width.lt(n),
      () => {
        runs(width.shl(1), (done, left) => {
          const mine = f.keep(least(left, width))
          const next = f.keep(least(left.sub(mine), width))
          f.call(merge, source.add(done.shl(4)), target.add(done.shl(4)), mine, next)
        })
        const other = f.keep(source)
        source.set(target)
        target.set(other)
        width.set(width.shl(1))
      },
    )
    f.give(source)
    return f
  })
}

/**
 * Emits `sort(sizes, n; input, values, positions: address, strides, stride along the line; scratch)`. Scratch holds two lists
 * of records and a line.
 */
function emitSort(module: ModuleBuilder, shape: SortShape): { sort: FunctionBuilder } {
  const { rank, dtype } = shape
  const f = module.define("sort", new Array<"i32">(rank + 1 + 3 * (rank + 2) + 1).fill("i32"))
  const n = f.args[rank]
  const walkers = [0, 1, 2].map((i) => {
    const at = rank + 1 + i * (rank + 2)
    return { at: f.args[at], steps: f.args.slice(at + 1, at + 1 + rank), along: f.args[at + 1 + rank] }
  })
  const scratch = f.args[f.args.length - 1]
  const bytes = byteSize(dtype) as keyof typeof loads
  const [source, values, places] = walkers
  const sort = sortRecords(f)
  emitNest(f, f.args.slice(0, rank), walkers, ([from, toValue, toPlace]) => {
    const line = f.keep(scratch.add(n.shl(5)))
    const at = f.keep(scratch)
    const copy = f.keep(line)
    f.times(n, (i) => {
      f.store("i64.store", at, keyOf(f, shape, from))
      f.store("i32.store", at, i, 8)
      f.store(stores[bytes], copy, f.load(loads[bytes], from))
      at.inc(record)
      copy.inc(bytes)
      from.inc(source.along)
    })
    const sorted = f.keep(f.invoke(sort, scratch, scratch.add(n.shl(4)), n))
    f.times(n, () => {
      const position = f.keep(f.load("i32.load", sorted, 8))
      f.store(stores[bytes], toValue, f.load(loads[bytes], line.add(position.mul(bytes))))
      f.store("i32.store", toPlace, position)
      sorted.inc(record)
      toValue.inc(values.along)
      toPlace.inc(places.along)
    })
  })
  return { sort: f }
}

/** What is ready for one layout: a call, and how many bytes of scratch it needs. */
interface Sorting {
  readonly ready: Ready
  readonly scratch: number
}

function makeSorting(engine: Engine, { descending }: SortKernel, views: readonly View[]): Sorting | null {
  const [{ shape, dtype }] = views
  if (sizeOf(shape) === 0) return null
  const last = shape.length - 1
  const n = last < 0 ? 1 : shape[last]
  const nest = collapse(shape.slice(0, -1), views.map(({ strides }) => strides.slice(0, -1))) // prettier-ignore
  const rank = nest.shape.length
  const fn = engine.compile(`sort ${dtype} ${descending} ${rank}`, (module) =>
    emitSort(module, { dtype, descending, rank }),
  ).sort
  const args = [...nest.shape, n]
  const steps: number[] = []
  const slots = views.map((view, v) => {
    const bytes = byteSize(view.dtype)
    const own = nest.strides[v].map((s) => s * bytes)
    steps.push(own[0])
    return args.push(0, ...own, last < 0 ? 0 : view.strides[last] * bytes) - rank - 2
  })
  args.push(0)
  const work = sizeOf(shape) * 3 * Math.max(1, Math.log2(n))
  const ready: Ready = { fn, args, slots, cut: rank === 0 ? null : { slot: 0, unit: 1, steps }, work }
  return { ready, scratch: Math.ceil((n * (2 * record + byteSize(dtype))) / 16) * 16 }
}

/** Sorts each line of the last dim. Outputs: values and int32 positions. */
export function runSort(engine: Engine, kernel: SortKernel, input: View, outputs: readonly View[]): void {
  const views = [input, ...outputs]
  const layouts = engine.cached(`sort layouts ${kernel.descending}`, () => new LayoutCache<Sorting | null>())
  const sorting = layouts.get(views, [], () => makeSorting(engine, kernel, views))
  if (sorting === null) return
  const { fn, args, slots, cut, work } = sorting.ready
  const lines = cut ? args[cut.slot] : 1
  const step = Math.ceil(lines / Math.min(lines, engine.pieces(work)))
  const pieces = Math.ceil(lines / step)
  // Every piece has scratch of its own.
  withScratch(engine, (memory) => {
    const scratch = memory.take(pieces * sorting.scratch)
    const calls: Call[] = []
    for (let piece = 0; piece < pieces; piece++) {
      const own = [...args]
      const first = piece * step
      slots.forEach((slot, v) => (own[slot] = addressOf(views[v]) + (cut ? first * cut.steps[v] : 0)))
      if (cut) own[cut.slot] = Math.min(step, lines - first)
      own[own.length - 1] = scratch + piece * sorting.scratch
      calls.push({ fn, args: own })
    }
    engine.run(calls)
  })
}
