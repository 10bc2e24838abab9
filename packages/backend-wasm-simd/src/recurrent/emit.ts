// Emits the loops over time of the recurrent kernels: one product with packed weights and one pass over the units a step.
import { byteSize, type DType, type Expr, program, type RecurrentCell, recurrentCells } from "@rondo/backend"
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { ModuleBuilder } from "../assembler/module.js"
import type { Engine } from "../engine.js"
import type { Gemm } from "../gemm/gemm.js"
import { keepLanes, type Lanes, loadLanes, storeLanes, storeSome } from "../lanes.js"
import { renderLanes, VectorCode } from "../vector.js"
import type { ValueType } from "../assembler/instructions.js"

/** What the code of a forward pass depends on. */
export interface ForwardForm {
  readonly cell: RecurrentCell
  readonly dtype: DType
  readonly save: boolean
}

/** What the code of a backward pass depends on. */
export interface BackwardForm {
  readonly cell: RecurrentCell
  readonly dtype: DType
  /** False: the gradient of the output is one zero for all. */
  readonly given: boolean
}

/** Parameters with names: a list for the function's type, and its variables by name. */
function named<N extends string>(
  module: ModuleBuilder,
  name: string,
  params: readonly N[],
  internal = false,
): { f: FunctionBuilder; p: Record<N, Local> } {
  const f = module.define(name, new Array<ValueType>(params.length).fill("i32"), null, internal)
  return { f, p: Object.fromEntries(params.map((param, i) => [param, f.args[i]])) as Record<N, Local> }
}

/** One operand of a pass over the units: `part` of those that lie one after another in each row from `at`. */
interface Part {
  readonly at: Local
  readonly part: number
}

/** A pass over `rows` of `units`: emits `exprs` for every unit. Every operand's rows have a length of so many times `units`. */
interface Pass {
  readonly f: FunctionBuilder
  readonly engine: Engine
  readonly dtype: DType
  readonly rows: Local
  readonly units: Local
  readonly exprs: readonly Expr[]
  /** Base addresses, and how many times `units` their rows are long; 0 for one row that serves all. */
  readonly rowParts: ReadonlyMap<Local, number>
  /** One part, or the sum of two. */
  readonly inputs: readonly (readonly Part[])[]
  readonly outputs: readonly Part[]
  /** Smaller results become zero; 0 for none. */
  readonly flushBelow: number
}

/** Emits the two loops of a pass. Changes the base addresses. */
function emitPass({ f, engine, dtype, rows, units, exprs, rowParts, inputs, outputs, flushBelow }: Pass): void {
  const size = byteSize(dtype)
  const code = new VectorCode(f, engine)
  const compiled = program(exprs)
  const uses = new Map<number, number>()
  compiled.nodes.forEach((node, i) => node.kind === "input" && uses.set(node.index, compiled.uses[i]))
  const width = f.keep(units.mul(size))
  // Distances of the parts from their row's start, once for all rows.
  const most = Math.max(...[...inputs.flat(), ...outputs].map(({ part }) => part))
  const distances = Array.from({ length: most + 1 }, (_, k) => (k === 0 ? null : f.keep(width.mul(k))))
  const offset = f.local("i32")
  const left = f.local("i32")
  const row = f.local("i32", 0)
  const address = ({ at, part }: Part): Value => {
    const distance = distances[part]
    return (distance ? at.add(distance) : at).add(offset)
  }
  const load = (parts: readonly Part[]): Lanes => {
    const [a, b] = parts.map((part) => loadLanes(f, dtype, address(part)))
    if (!b) return a
    const add = dtype === "float64" ? "f64x2.add" : "f32x4.add"
    return a.map((lane, half) => f.op(add, lane, b[half]))
  }
  const flush = (lanes: Lanes): Lanes => {
    if (flushBelow === 0) return lanes
    const limit = code.constant("f32", flushBelow)
    return lanes.map((lane) => {
      const x = f.keep(lane)
      return f.op("v128.andnot", x, f.op("f32x4.lt", f.op("f32x4.abs", x), limit))
    })
  }
  f.while(
    () => row.lt(rows),
    () => {
      offset.set(0)
      left.set(units)
      f.while(
        () => left.gt(0),
        () => {
          const lanes = inputs.map((x, i) => {
            const times = uses.get(i) ?? 0
            if (times === 0) return []
            return times > 1 ? keepLanes(f, load(x)) : load(x)
          })
          const results = renderLanes(code, compiled, lanes, []).map((x) => keepLanes(f, flush(x)))
          f.if(
            left.ge(4),
            () => outputs.forEach((x, i) => storeLanes(f, dtype, address(x), results[i])),
            () => outputs.forEach((x, i) => storeSome(f, dtype, address(x), results[i], left, size)),
          )
          offset.inc(4 * size)
          left.set(left.sub(4))
        },
      )
      for (const [at, parts] of rowParts) at.inc(parts === 0 ? 0 : parts === 1 ? width : width.mul(parts))
      row.inc(1)
    },
  )
}

const partsOf = (at: Local, count: number, first = 0): Part[] =>
  Array.from({ length: count }, (_, part) => ({ at, part: first + part }))

/** Rows and units of a pass: with one gate all operands lie alike, and the rows are one long row without ends between. */
function passSize(f: FunctionBuilder, gates: number, rows: Local, units: Local): [Local, Local] {
  return gates === 1 ? [f.keep(1), f.keep(rows.mul(units))] : [rows, units]
}

/** Parameters of the forward loop, in the order in which recurrent.ts gives them. Steps are byte distances from one time to the next, negative for reverse. */
const forwardParams = [
  "steps", "rows", "units", "projected", "projectedStep", "weight", "bias", "h", "c",
  "output", "outputStep", "cells", "saved", "savedStep", "hidden", "direct",
] as const // prettier-ignore

/** Emits the forward loop over all times for `rows` sequences. */
export function emitForward(module: ModuleBuilder, engine: Engine, form: ForwardForm, gemm: Gemm): FunctionBuilder {
  const { cell, dtype, save } = form
  const { gates, saved, forward } = recurrentCells[cell]
  const states = cell === "lstm" ? 2 : 1
  const kept = save ? saved : 0
  const exprs = forward(dtype).slice(0, states + kept)
  const pass = named(module, "units", ["rows", "units", "projected", "hidden", "h", "c", "output", "cells", "saved"], true) // prettier-ignore
  {
    const { f, p } = pass
    emitPass({
      f,
      engine,
      dtype,
      rows: p.rows,
      units: p.units,
      exprs,
      rowParts: new Map([[p.projected, gates], [p.hidden, gates], [p.h, 1], [p.c, states - 1], [p.output, 1], [p.cells, states - 1], [p.saved, kept]]), // prettier-ignore
      inputs: [...partsOf(p.projected, gates), ...partsOf(p.hidden, gates), ...partsOf(p.h, 1), ...partsOf(p.c, 1)].map(
        (part) => [part],
      ),
      outputs: [...partsOf(p.output, 1), ...partsOf(p.cells, states - 1), ...partsOf(p.saved, kept)],
      flushBelow: 0,
    })
  }
  const { f, p } = named(module, "forward", forwardParams)
  const size = byteSize(dtype)
  const width = f.keep(p.units.mul(size))
  const wide = f.keep(p.units.mul(gates))
  const row = f.keep(wide.mul(size))
  const [passRows, passUnits] = passSize(f, gates, p.rows, p.units)
  f.while(
    () => p.steps.gt(0),
    () => {
      // The bias is where the sums of the product begin.
      f.if(
        p.direct,
        () => f.call(gemm.products, 1, 0, 0, 0, 0, p.rows, wide, p.units, p.h, width, size, p.weight, size, width, p.hidden, row, p.bias, 0, 0, 0), // prettier-ignore
        () => f.call(gemm.multiplyPacked, p.rows, wide, p.units, p.h, width, p.weight, p.hidden, row, p.bias, 0),
      )
      f.call(pass.f, passRows, passUnits, p.projected, p.hidden, p.h, p.c, p.output, p.cells, p.saved)
      p.h.set(p.output)
      p.c.set(p.cells)
      p.projected.inc(p.projectedStep)
      p.output.inc(p.outputStep)
      if (states === 2) p.cells.inc(p.outputStep)
      p.saved.inc(p.savedStep)
      p.steps.set(p.steps.sub(1))
    },
  )
  return f
}

/** Parameters of the backward loop, in the order in which recurrent.ts gives them. `beforeH` and `beforeC` are the states before the first time, `first…` those after it. */
const backwardParams = [
  "steps", "rows", "units", "gradOutput", "outputStep", "weight", "output", "cells", "h", "c", "saved", "savedStep",
  "projected", "hidden", "projectedStep", "dh", "dc",
] as const // prettier-ignore

// Gradients that fade over hundreds of steps end among the denormal numbers, of which each costs some processors a hundred
// cycles in every product. What is below 2^-110 becomes zero, so that products with weights stay normal numbers too.
const faded = 2 ** -110

/** Emits the backward loop over all times, from the last that was computed to the first. `dh` and `dc` hold the gradients so far. */
export function emitBackward(module: ModuleBuilder, engine: Engine, form: BackwardForm, gemm: Gemm): FunctionBuilder {
  const { cell, dtype, given } = form
  const { gates, saved, backward } = recurrentCells[cell]
  const isLSTM = cell === "lstm"
  const isGRU = cell === "gru"
  const pass = named(module, "units", ["rows", "units", "gradOutput", "dh", "dc", "saved", "next", "before", "nextC", "beforeC", "projected", "hidden"], true) // prettier-ignore
  {
    const { f, p } = pass
    const one = (at: Local): Part => ({ at, part: 0 })
    emitPass({
      f,
      engine,
      dtype,
      rows: p.rows,
      units: p.units,
      exprs: backward(dtype),
      rowParts: new Map([[p.gradOutput, given ? 1 : 0], [p.dh, 1], [p.dc, isLSTM ? 1 : 0], [p.saved, saved], [p.next, 1], [p.before, 1], [p.nextC, isLSTM ? 1 : 0], [p.beforeC, isLSTM ? 1 : 0], [p.projected, gates], [p.hidden, isGRU ? gates : 0]]), // prettier-ignore
      inputs: [
        given ? [one(p.gradOutput), one(p.dh)] : [one(p.dh)],
        ...[
          ...(isLSTM ? [one(p.dc)] : []),
          ...partsOf(p.saved, saved),
          one(p.next),
          one(p.before),
          ...(isLSTM ? [one(p.nextC), one(p.beforeC)] : []),
        ].map((part) => [part]),
      ],
      outputs: [
        ...partsOf(p.projected, gates),
        ...(isGRU ? [...partsOf(p.hidden, gates), one(p.dh)] : []),
        ...(isLSTM ? [one(p.dc)] : []),
      ],
      flushBelow: dtype === "float32" ? faded : 0,
    })
  }
  const { f, p } = named(module, "backward", backwardParams)
  const size = byteSize(dtype)
  const width = f.keep(p.units.mul(size))
  const wide = f.keep(p.units.mul(gates))
  const [passRows, passUnits] = passSize(f, gates, p.rows, p.units)
  const before = f.local("i32")
  const beforeC = f.local("i32")
  f.while(
    () => p.steps.gt(0),
    () => {
      const first = p.steps.eq(1)
      before.set(f.select(first, p.h, p.output.add(p.outputStep)))
      if (isLSTM) beforeC.set(f.select(first, p.c, p.cells.add(p.outputStep)))
      f.call(pass.f, passRows, passUnits, p.gradOutput, p.dh, p.dc, p.saved, p.output, before, p.cells, beforeC, p.projected, p.hidden) // prettier-ignore
      const [start, startRow] = isGRU ? [p.dh, width] : [0, 0]
      f.call(gemm.multiplyPacked, p.rows, p.units, wide, p.hidden, wide.mul(size), p.weight, p.dh, width, start, startRow) // prettier-ignore
      if (given) p.gradOutput.inc(p.outputStep)
      p.output.inc(p.outputStep)
      if (isLSTM) p.cells.inc(p.outputStep)
      p.saved.inc(p.savedStep)
      p.projected.inc(p.projectedStep)
      p.hidden.inc(p.projectedStep)
      p.steps.set(p.steps.sub(1))
    },
  )
  return f
}
