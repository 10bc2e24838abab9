// The code of a reduction: rows (the vector lies along a reduced dim) or columns (along a kept one). Chooses nothing.
import type { DType, Program, ReduceOperator } from "@rondo/backend"
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { ModuleBuilder } from "../assembler/module.js"
import type { Engine } from "../engine.js"
import { keepLanes, type Lanes, storeLanes, storeOne, storeSome } from "../lanes.js"
import type { Walk } from "../map.js"
import { emitNest } from "../nest.js"
import { type StreamInput, Streams } from "../streams.js"
import { castLanes, renderLanes, scalarLanes, VectorCode } from "../vector.js"
import { type Fold, makeFold } from "./fold.js"

/** What the code of a reduction depends on. */
export interface ReduceShape {
  readonly op: ReduceOperator
  readonly program: Program
  /** The expression's dtype. */
  readonly dtype: DType
  readonly form: "row" | "column"
  /** Numbers of dims; at least one is reduced, and in columns one kept. */
  readonly kept: number
  readonly reduced: number
  readonly output: { readonly dtype: DType; readonly walk: Walk }
  readonly inputs: readonly StreamInput[]
  readonly scalars: readonly DType[]
  /** About how many nanoseconds an element takes. */
  readonly cost: number
}

/** Additions in float32 before a block's sum goes into float64. */
const blockRounds = 16
const lanesInOrder = new Int32Array([0, 1, 2, 3])

/** How many groups of four neighbours are in flight at once; the lesser, the more an element takes. */
export function groupsOf({ op, dtype, cost, form, program }: ReduceShape): number {
  if (cost >= 1) return form === "row" ? 2 : 1
  const wide = dtype === "float64" || op === "prod" || op === "argmax" || op === "argmin"
  return wide || program.nodes.length > 4 ? 4 : 8
}

interface Source {
  readonly at: Local
  readonly kept: readonly Local[]
  readonly reduced: readonly Local[]
}

/** Everything that the loops of one function share. */
class ReduceCode {
  readonly f: FunctionBuilder
  readonly code: VectorCode
  readonly shape: ReduceShape
  readonly keptSizes: readonly Local[]
  readonly reducedSizes: readonly Local[]
  readonly to: { readonly at: Local; readonly kept: readonly Local[] }
  readonly sources: readonly Source[]
  private readonly scalars: readonly Lanes[]

  constructor(module: ModuleBuilder, engine: Engine, shape: ReduceShape) {
    const { kept, reduced, inputs, scalars } = shape
    const integers = kept + reduced + 1 + kept + inputs.length * (1 + kept + reduced)
    const f = module.define("reduce", [...new Array<"i32">(integers).fill("i32"), ...scalars.map(() => "f64" as const)])
    let next = 0
    const take = (count: number): readonly Local[] => f.args.slice(next, (next += count))
    this.f = f
    this.shape = shape
    this.code = new VectorCode(f, engine)
    this.keptSizes = take(kept)
    this.reducedSizes = take(reduced)
    this.to = { at: take(1)[0], kept: take(kept) }
    this.sources = inputs.map(() => ({ at: take(1)[0], kept: take(kept), reduced: take(reduced) }))
    this.scalars = scalars.map((dtype, i) => scalarLanes(this.code, dtype, f.args[integers + i]))
  }

  get positions(): boolean {
    return this.shape.op === "argmax" || this.shape.op === "argmin"
  }
  fold(parts: number, distance: number): Fold {
    return makeFold(this.code, this.shape.op, this.shape.dtype, parts, distance)
  }
  /** The expression's value, as the fold takes it. */
  value(fold: Fold, inputs: readonly Lanes[]): Lanes {
    const [x] = renderLanes(this.code, this.shape.program, inputs, this.scalars)
    return castLanes(this.code, x, this.shape.dtype, fold.takes)
  }
  /** What a fold has found, as the output holds it. */
  result(fold: Fold, found: Lanes): Lanes {
    return keepLanes(this.f, castLanes(this.code, found, fold.gives, this.shape.output.dtype))
  }

  /**
   * `body` while at least `size` of `left` are there, and takes them away. Folds that need it are flushed every few
   * times round, and at the end.
   */
  rounds(left: Local, size: number, folds: readonly Fold[], body: () => void): void {
    const { f } = this
    if (!folds[0].blocks) {
      return f.while(
        () => left.ge(size),
        () => {
          body()
          left.set(left.sub(size))
        },
      )
    }
    f.while(
      () => left.ge(size),
      () => {
        const whole = f.keep(left.div(size))
        const times = f.keep(f.select(whole.lt(blockRounds), whole, blockRounds))
        left.set(left.sub(times.mul(size)))
        f.doWhile(
          () => {
            body()
            times.set(times.sub(1))
          },
          () => times,
        )
        for (const fold of folds) fold.flush()
      },
    )
  }
  /** Adds to a position. */
  step(position: Local | null, by: number): void {
    position?.set(this.f.op("i32x4.add", position, this.code.constant("i32", by)))
  }
}

/** Emits `reduce(kept sizes, reduced sizes, output: address, strides; inputs: address, kept and reduced strides; scalars)`. */
export function emitReduce(module: ModuleBuilder, engine: Engine, shape: ReduceShape): { reduce: FunctionBuilder } {
  const reduction = new ReduceCode(module, engine, shape)
  if (shape.form === "row") emitRows(reduction)
  else emitColumns(reduction)
  return { reduce: reduction.f }
}

function emitRows(r: ReduceCode): void {
  const { f, shape, sources } = r
  const groups = groupsOf(shape)
  const fold = r.fold(groups, 4)
  const last = shape.reduced - 1
  const steps = sources.map(({ reduced }) => reduced[last])
  const streams = new Streams(r.code, shape.inputs, groups)
  const order = r.positions ? f.prologue(() => f.keep(f.v128(lanesInOrder))) : null
  const seen = f.local("i32")
  emitNest(f, r.keptSizes, [{ at: r.to.at, steps: r.to.kept }, ...sources.map(({ at, kept }) => ({ at, steps: kept }))], ([to, ...from]) => {
    fold.start()
    seen.set(0)
    const walkers = sources.map(({ reduced }, i) => ({ at: from[i], steps: reduced }))
    emitNest(f, r.reducedSizes.slice(0, last), walkers, (at) => {
      const left = f.keep(r.reducedSizes[last])
      const position = order && f.keep(f.op("i32x4.add", f.op("i32x4.splat", seen), order))
      streams.prepare(steps)
      const splats = streams.splats(at)
      const take = (count: number): void => {
        for (let k = 0; k < count; k++) fold.fold(k, r.value(fold, streams.read(at, k, splats)), position)
        streams.advance(at, steps, count)
        r.step(position, 4 * count)
      }
      r.rounds(left, 4 * groups, [fold], () => take(groups))
      f.while(
        () => left.ge(4),
        () => {
          take(1)
          left.set(left.sub(4))
        },
      )
      f.if(left, () => {
        streams.prepare(steps, left)
        fold.fold(0, masked(r, fold, r.value(fold, streams.read(at, 0, splats)), left), position)
      })
      fold.flush()
      if (order) seen.inc(r.reducedSizes[last])
    })
    storeOne(f, shape.output.dtype, to, r.result(fold, fold.across()))
  }) // prettier-ignore
}

/** The first `count` lanes of `x`; the others are neutral. */
function masked({ f }: ReduceCode, { neutral, takes }: Fold, x: Lanes, count: Value): Lanes {
  const mask = f.keep(f.op("i32x4.lt_s", f.v128(lanesInOrder), f.op("i32x4.splat", count)))
  const masks = takes === "float64" ? [0, 2].map((i) => f.shuffle32(mask, mask, [i, i, i + 1, i + 1])) : [mask]
  return x.map((half, i) => f.op("v128.bitselect", half, neutral[i], masks[i]))
}

function emitColumns(r: ReduceCode): void {
  const { f, shape, sources, to } = r
  const last = shape.kept - 1
  const groups = groupsOf(shape)
  const steps = sources.map(({ kept }) => kept[last])
  emitNest(
    f,
    r.keptSizes.slice(0, last),
    [{ at: to.at, steps: to.kept }, ...sources.map(({ at, kept }) => ({ at, steps: kept }))],
    ([target, ...from]) => {
      const left = f.keep(r.keptSizes[last])
      const chunk = (count: number): void => {
        const streams = new Streams(r.code, shape.inputs, count)
        streams.prepare(steps, count === 1 ? left : undefined)
        const folds = emitChunk(r, streams, from, count)
        folds.forEach((fold, k) => {
          const result = r.result(fold, fold.lanes())
          storeGroup(r, target, result, count === 1 ? left : null)
          if (k < count - 1) target.inc(to.kept[last].shl(2))
        })
        target.inc(to.kept[last].shl(2))
        streams.advance(from, steps)
        left.set(left.sub(4 * count))
      }
      if (groups > 1) {
        f.while(
          () => left.ge(4 * groups),
          () => chunk(groups),
        )
      }
      f.while(
        () => left.gt(0),
        () => chunk(1),
      )
    },
  )
}

/** Folds all rows of some groups of columns. A single group goes several rows at a time. */
function emitChunk(r: ReduceCode, streams: Streams, from: readonly Local[], groups: number): readonly Fold[] {
  const { f, shape, sources } = r
  const rows = groups > 1 || shape.cost >= 1 ? 1 : 4
  const last = shape.reduced - 1
  const folds = Array.from({ length: groups }, () => r.fold(rows, 1))
  for (const fold of folds) fold.start()
  const position = r.positions ? f.keep(f.zero()) : null
  const walkers = sources.map(({ reduced }, i) => ({ at: from[i], steps: reduced }))
  emitNest(f, r.reducedSizes.slice(0, last), walkers, (at) => {
    const left = f.keep(r.reducedSizes[last])
    const row = (part: number): void => {
      const splats = streams.splats(at)
      folds.forEach((fold, k) => fold.fold(part, r.value(fold, streams.read(at, k, splats)), position))
      at.forEach((address, i) => address.inc(sources[i].reduced[last]))
    }
    const take = (count: number): void => {
      for (let part = 0; part < count; part++) row(part)
      r.step(position, count)
    }
    r.rounds(left, rows, folds, () => take(rows))
    if (rows === 1) return
    f.while(
      () => left,
      () => {
        take(1)
        left.set(left.sub(1))
      },
    )
    for (const fold of folds) fold.flush()
  })
  return folds
}

/** Writes four neighbouring results, or as many as are left. */
function storeGroup({ f, shape, to }: ReduceCode, target: Local, result: Lanes, left: Local | null): void {
  const { dtype, walk } = shape.output
  const step = to.kept[shape.kept - 1]
  const apart = (): void => storeSome(f, dtype, target, result, left ?? f.i32(4), step)
  if (walk !== "v") apart()
  else if (left === null) storeLanes(f, dtype, target, result)
  else f.if(left.ge(4), () => storeLanes(f, dtype, target, result), apart)
}
