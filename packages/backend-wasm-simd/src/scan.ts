// The scan kernel: running sums, products and extremes. Four neighbouring lines are scanned at once, one in each lane.
import { byteSize, collapse, type DType, isFloat, type ScanKernel, sizeOf, type View } from "@rondo/backend"
import type { FunctionBuilder, Local, Value } from "./assembler/function.js"
import type { ModuleBuilder } from "./assembler/module.js"
import type { Engine } from "./engine.js"
import { keepLanes, type Lanes, signOf, storeLanes, storeSome } from "./lanes.js"
import type { Walk } from "./map.js"
import { emitNest, LayoutCache, type Ready, runReady, walkOf } from "./nest.js"
import { carrierOf, neutralOf } from "./reduce/fold.js"
import { Streams } from "./streams.js"
import { castLanes, VectorCode, VectorTarget } from "./vector.js"

interface Operand {
  readonly dtype: DType
  readonly walk: Walk
}

/** What the code depends on. */
interface ScanShape {
  readonly op: ScanKernel["op"]
  /** Number of dims beside the scanned one, at least 1. */
  readonly rank: number
  readonly input: Operand
  /** Values and, for extremes, positions. */
  readonly outputs: readonly Operand[]
}

/** Groups of four lines that are scanned together: they hide each other's latency. */
const groups = 4

interface Cursor {
  readonly at: Local
  readonly across: readonly Local[]
  readonly along: Local
}

/** The running result of four lines. */
interface Running {
  readonly values: readonly Local[]
  readonly positions: Local | null
}

class ScanCode {
  readonly f: FunctionBuilder
  readonly code: VectorCode
  readonly shape: ScanShape
  readonly sizes: readonly Local[]
  readonly count: Local
  /** Position of the first element of a line, and the step from one to the next. */
  readonly first: Local
  readonly step: Local
  readonly cursors: readonly Cursor[]
  /** The dtype in which results are carried: float32 is rounded at every store, as PyTorch's cumsum on a CPU. */
  readonly carried: DType
  private readonly start: Lanes

  constructor(module: ModuleBuilder, engine: Engine, shape: ScanShape) {
    const { rank, op, input } = shape
    const operands = 1 + shape.outputs.length
    const f = module.define("scan", new Array<"i32">(rank + 3 + operands * (2 + rank)).fill("i32"))
    let next = 0
    const take = (count: number): readonly Local[] => f.args.slice(next, (next += count))
    this.f = f
    this.shape = shape
    this.code = new VectorCode(f, engine)
    this.sizes = take(rank)
    ;[this.count, this.first, this.step] = take(3)
    this.cursors = Array.from({ length: operands }, () => {
      const at = take(1)[0]
      return { at, across: take(rank), along: take(1)[0] }
    })
    const total = op === "sum" || op === "prod"
    this.carried = isFloat(input.dtype) ? (total ? "float64" : input.dtype) : carrierOf(input.dtype)
    this.start = new VectorTarget(this.code, [], []).const(neutralOf(op, this.carried), this.carried)
  }

  begin(): Running {
    const { f, shape } = this
    const positions = shape.outputs.length > 1 ? f.keep(f.zero()) : null
    return { values: keepLanes(f, this.start), positions }
  }

  /** Takes the next element of four lines in. */
  take({ values, positions }: Running, raw: Lanes, position: Value): void {
    const { f, carried, shape } = this
    const { op } = shape
    const x = keepLanes(f, castLanes(this.code, raw, shape.input.dtype, carried))
    const type = carried === "float64" ? "f64x2" : carried === "float32" ? "f32x4" : "i32x4"
    if (!positions) {
      const name = `${type}.${op === "sum" ? "add" : "mul"}`
      return values.forEach((acc, half) => acc.set(f.op(name, acc, x[half])))
    }
    // The last of equals; a NaN is taken over and stays, and each further NaN takes over its position.
    const compare = `${type}.${op === "max" ? "ge" : "le"}${type === "i32x4" ? `_${signOf(carried)}` : ""}`
    const masks = x.map((half, i) => {
      const better = f.op(compare, half, values[i])
      return f.keep(type === "i32x4" ? better : f.op("v128.or", better, f.op(`${type}.ne`, half, half)))
    })
    values.forEach((acc, i) => acc.set(f.op("v128.bitselect", x[i], acc, masks[i])))
    const narrow = masks.length === 2 ? f.shuffle32(masks[0], masks[1], [0, 2, 4, 6]) : masks[0]
    positions.set(f.op("v128.bitselect", f.op("i32x4.splat", position), positions, narrow))
  }
}

/** Emits `scan(sizes, count, first position, its step; input and outputs: address, strides across lines, stride along them)`. */
function emitScan(module: ModuleBuilder, engine: Engine, shape: ScanShape): { scan: FunctionBuilder } {
  const scan = new ScanCode(module, engine, shape)
  const { f, sizes, cursors } = scan
  const last = shape.rank - 1
  const walkers = cursors.map(({ at, across }) => ({ at, steps: across }))
  emitNest(f, sizes.slice(0, last), walkers, (at) => {
    const left = f.keep(sizes[last])
    const chunk = (count: number): void => {
      emitLines(scan, at, count, count === 1 ? left : null)
      cursors.forEach(({ across }, i) => at[i].inc(across[last].mul(4 * count)))
      left.set(left.sub(4 * count))
    }
    f.while(
      () => left.ge(4 * groups),
      () => chunk(groups),
    )
    f.while(
      () => left.gt(0),
      () => chunk(1),
    )
  })
  return { scan: f }
}

/** Scans `count` groups of four lines; `left` lines if there may be fewer than four. */
function emitLines(scan: ScanCode, starts: readonly Local[], count: number, left: Local | null): void {
  const { f, code, cursors, shape } = scan
  const last = shape.rank - 1
  const streams = new Streams(code, [{ index: 0, ...shape.input }], count)
  streams.prepare([cursors[0].across[last]], left ?? undefined)
  const running = Array.from({ length: count }, () => scan.begin())
  const at = starts.map((start) => f.keep(start))
  const position = f.keep(scan.first)
  const elements = f.keep(scan.count)
  f.doWhile(
    () => {
      // All groups are read before any is stored: the output may be the input.
      const splats = streams.splats(at)
      const lanes = running.map((_, k) => streams.read(at, k, splats)[0])
      running.forEach((one, k) => scan.take(one, lanes[k], position))
      running.forEach((one, k) => storeRunning(scan, one, at, k, left))
      at.forEach((address, i) => address.inc(cursors[i].along))
      position.inc(scan.step)
      elements.set(elements.sub(1))
    },
    () => elements,
  )
}

function storeRunning(
  scan: ScanCode,
  { values, positions }: Running,
  at: readonly Local[],
  group: number,
  left: Local | null,
): void {
  const { f, code, cursors, shape, carried } = scan
  shape.outputs.forEach(({ dtype, walk }, o) => {
    const lanes = keepLanes(f, o === 0 ? castLanes(code, values, carried, dtype) : [positions as Local])
    const step = cursors[1 + o].across[shape.rank - 1]
    const target = at[1 + o].add(group === 0 ? 0 : step.mul(4 * group))
    const apart = (): void => storeSome(f, dtype, target, lanes, left ?? f.i32(4), step)
    const together = (): void => storeLanes(f, dtype, target, lanes)
    if (walk !== "v") apart()
    else if (left === null) together()
    else f.if(left.ge(4), together, apart)
  }) // prettier-ignore
}

/** The call for one layout; null if there is nothing to do. */
function makeScan(engine: Engine, { op, dim, reverse }: ScanKernel, views: readonly View[]): Ready | null {
  const [{ shape }] = views
  if (sizeOf(shape) === 0) return null
  const width = (d: number): number => Math.abs(views[0].strides[d]) || Infinity
  const others = shape.map((_, d) => d).filter((d) => d !== dim && shape[d] !== 1)
  others.sort((a, b) => (width(a) === width(b) ? a - b : width(b) - width(a)))
  const pick = (list: readonly number[]): number[] => others.map((d) => list[d])
  const nest = collapse(pick(shape), views.map(({ strides }) => pick(strides))) // prettier-ignore
  const sizes = nest.shape.length === 0 ? [1] : nest.shape
  const across = views.map(({ dtype }, v) =>
    (nest.shape.length === 0 ? [1] : nest.strides[v]).map((s) => s * byteSize(dtype)),
  )
  const last = sizes.length - 1
  const operands = views.map(({ dtype }, v): Operand => ({ dtype, walk: walkOf(dtype, across[v][last]) }))
  const [input, ...outputs] = operands
  const code: ScanShape = { op, rank: sizes.length, input, outputs }
  const key = `scan ${op} ${sizes.length} ${operands.map(({ dtype, walk }) => dtype + walk).join(" ")}`
  const fn = engine.compile(key, (module) => emitScan(module, engine, code)).scan
  const n = shape[dim]
  const args = [...sizes, n, ...(reverse ? [n - 1, -1] : [0, 1])]
  const offsets: number[] = []
  const slots = views.map(({ dtype, strides }, v) => {
    const along = strides[dim] * byteSize(dtype)
    offsets.push(reverse ? (n - 1) * along : 0)
    return args.push(0, ...across[v], reverse ? -along : along) - across[v].length - 2
  })
  const steps = across.map((own) => own[0])
  const cut = { slot: 0, unit: sizes.length === 1 ? 4 * groups : 1, steps }
  return { fn, args, slots, offsets, cut, work: sizeOf(shape) }
}

/** Scans along `dim`, from its end if `reverse`. Positions always count from the start of the dim. */
export function runScan(engine: Engine, kernel: ScanKernel, input: View, outputs: readonly View[]): void {
  const { op, dim, reverse } = kernel
  const views = [input, ...(op === "max" || op === "min" ? outputs : [outputs[0]])]
  const layouts = engine.cached(`scan layouts ${op} ${dim} ${reverse === true}`, () => new LayoutCache<Ready | null>())
  const ready = layouts.get(views, [], () => makeScan(engine, kernel, views))
  if (ready) runReady(engine, ready, views)
}
