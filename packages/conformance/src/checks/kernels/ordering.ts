// Cases of scan and sort: running sums, products and extremes both ways along every dim; stable order with NaN greatest.
import { type DType, isFloat, sizeOf } from "@rondo/backend"
import { compareValues, epsilon } from "../../compare.js"
import { type Layout, layoutNames, withMemory } from "../../memory.js"
import { indexesOf, operate, stored } from "../../naive.js"
import type { Case, Context } from "../../suite.js"

type ScanOperator = "sum" | "prod" | "max" | "min"

/** The values along `dim` of each line, and where their positions are in the row-major list. */
function linesAlong(shape: readonly number[], dim: number): number[][] {
  const kept = shape.map((size, d) => (d === dim ? 1 : size))
  const offset = (index: readonly number[]): number => index.reduce((sum, k, d) => sum * shape[d] + k, 0)
  return indexesOf(kept).map((index) =>
    Array.from({ length: shape[dim] }, (_, i) => offset(index.map((k, d) => (d === dim ? i : k)))),
  )
}

// torch.cummax: a NaN is taken over and stays, and of equal values the last counts.
const takesOver = (x: number, best: number, op: ScanOperator): boolean =>
  Number.isNaN(x) || (!Number.isNaN(best) && (op === "max" ? x >= best : x <= best))

function naiveScan(
  op: ScanOperator,
  line: readonly number[],
  reverse: boolean,
  dtype: DType,
): { values: number[]; positions: number[] } {
  const order = line.map((_, i) => (reverse ? line.length - 1 - i : i))
  const values: number[] = new Array(line.length)
  const positions: number[] = new Array(line.length)
  let best = op === "sum" ? 0 : op === "prod" ? 1 : line[order[0]]
  let at = order[0]
  for (const i of order) {
    if (op === "sum") best += line[i]
    else if (op === "prod") best = isFloat(dtype) ? best * line[i] : (operate("mul", [best, line[i]], dtype) as number)
    else if (takesOver(line[i], best, op)) [best, at] = [line[i], i]
    values[i] = best
    positions[i] = at
  }
  return { values, positions }
}

const ordinary = (count: number, dtype: DType): number[] =>
  Array.from({ length: count }, (_, i) =>
    stored((((i * 11 + 3) % 7) - (dtype === "uint8" || dtype === "bool" ? 0 : 2)) * (isFloat(dtype) ? 0.75 : 1), dtype),
  )

interface ScanSetup {
  readonly op: ScanOperator
  readonly shape: readonly number[]
  readonly dim: number
  readonly dtype: DType
  readonly reverse?: boolean
  readonly layout?: Layout
  readonly values?: readonly number[]
}

function scanCase(
  context: Context,
  { op, shape, dim, dtype, reverse = false, layout = "plain", values }: ScanSetup,
): Case {
  const run: Case["run"] = (tolerance) =>
    withMemory(context.backend, async (memory) => {
      const xs = values ?? ordinary(sizeOf(shape), dtype)
      const x = memory.view(dtype, shape, xs, layout)
      const out = memory.empty(dtype, shape)
      const at = op === "max" || op === "min" ? memory.empty("int32", shape) : null
      context.backend.run({ kind: "scan", op, dim, ...(reverse ? { reverse } : {}) }, [x], at ? [out, at] : [out])
      const [want, where] = [new Array<number>(xs.length), new Array<number>(xs.length)]
      for (const line of linesAlong(shape, dim)) {
        const found = naiveScan(op, line.map((k) => xs[k]), reverse, dtype) // prettier-ignore
        line.forEach((k, i) => ([want[k], where[k]] = [stored(found.values[i], dtype), found.positions[i]]))
      }
      if (at) compareValues(await memory.read(at), where, "int32", {}, { what: "positions" })
      const slack = epsilon(dtype) * Math.max(4, shape[dim] / 8)
      return compareValues(await memory.read(out), want, dtype, tolerance ?? (at ? {} : { rtol: slack, atol: slack }))
    })
  return {
    id: `[${shape.join(", ")}] dim ${dim} ${layout}${reverse ? " reverse" : ""}${values ? " special" : ""}`,
    op: `scan.${op}`,
    dtype,
    run,
  }
}

function scans(context: Context): Case[] {
  const scanOperators: readonly ScanOperator[] = ["sum", "prod", "max", "min"]
  const geometry: readonly (readonly [readonly number[], number])[] = [
    [[6], 0],
    [[3, 4], 0],
    [[3, 4], 1],
    [[2, 3, 4], 1],
    [[1, 5], 0],
    [[67], 0],
  ]
  const dtypes = context.dtypes.filter((dtype) => dtype !== "bool" && dtype !== "uint8")
  return scanOperators.flatMap((op) => [
    ...dtypes.flatMap((dtype) => geometry.filter(([shape, dim]) => (op !== "prod" || shape[0] < 60) && (dtype !== "uint32" || shape[dim] > 3)).flatMap(([shape, dim]) =>
      [false, true].map((reverse) => scanCase(context, { op, shape, dim, dtype, reverse })))),
    ...layoutNames.slice(1).map((layout) => scanCase(context, { op, shape: [3, 4], dim: 1, dtype: "float32", layout })),
    scanCase(context, { op, shape: [2, 6], dim: 1, dtype: "float32", values: [1, NaN, 3, NaN, Infinity, 2, 5, 5, -Infinity, 5, 1, 1] }),
  ]) // prettier-ignore
}

/** NaN is greatest; equal values keep their order, also when sorting downwards. */
function naiveSort(line: readonly number[], descending: boolean): number[] {
  const rank = (a: number, b: number): number =>
    Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : a < b ? -1 : a > b ? 1 : 0
  return line.map((_, i) => i).sort((i, j) => (descending ? rank(line[j], line[i]) : rank(line[i], line[j])) || i - j)
}

function sortCase(
  context: Context,
  shape: readonly number[],
  descending: boolean,
  dtype: DType,
  layout: Layout,
  values: readonly number[],
  label: string,
): Case {
  const run = (): Promise<void> =>
    withMemory(context.backend, async (memory) => {
      const x = memory.view(dtype, shape, values, layout)
      const [out, at] = [memory.empty(dtype, shape), memory.empty("int32", shape)]
      context.backend.run({ kind: "sort", descending }, [x], [out, at])
      const n = shape.at(-1) as number
      const order = Array.from({ length: sizeOf(shape) / n }, (_, r) =>
        naiveSort(values.slice(r * n, (r + 1) * n), descending),
      )
      compareValues(await memory.read(at), order.flat(), "int32", {}, { what: "positions" })
      const want = order.flatMap((line, r) => line.map((i) => values[r * n + i]))
      compareValues(await memory.read(out), want, dtype, {}, { what: "values" })
    })
  return { id: `[${shape.join(", ")}] ${descending ? "down" : "up"} ${layout} ${label}`, op: "sort", dtype, run }
}

function sorts(context: Context): Case[] {
  const odd = [2, NaN, -Infinity, 2, 0, -0, Infinity, NaN, 2, -3.5, 0, 1e-40]
  const ties = (count: number, dtype: DType): number[] =>
    Array.from({ length: count }, (_, i) => stored(((i * 7) % 5) - (dtype === "uint32" ? 2 : 0), dtype))
  return [false, true].flatMap((descending) => [
    ...context.dtypes.flatMap((dtype) => [[7], [3, 5], [2, 2, 33], [4, 1]].map((shape) =>
      sortCase(context, shape, descending, dtype, "plain", ties(sizeOf(shape), dtype), "ties"))),
    ...context.dtypes.filter(isFloat).map((dtype) =>
      sortCase(context, [12], descending, dtype, "plain", odd.map((x) => stored(x, dtype)), "special")),
    ...layoutNames.slice(1).map((layout) => sortCase(context, [3, 5], descending, "float32", layout, ordinary(15, "float32"), "values")),
    sortCase(context, [1031], descending, "float32", "plain", ordinary(1031, "float32").map((x, i) => Math.fround(x * ((i * 37) % 101))), "long"),
  ]) // prettier-ignore
}

export const orderingCases = (context: Context): Case[] => [...scans(context), ...sorts(context)]
