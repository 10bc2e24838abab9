// Cases of the reduce kernel: every operator over sets of dims, dtypes and layouts, empties, NaN, ties, long sums.
import { computeDType, type DType, e, isFloat, type ReduceOperator, sizeOf } from "@rondo/backend"
import { compareValues, epsilon, type Tolerance } from "../../compare.js"
import { type Layout, layoutNames, withMemory } from "../../memory.js"
import { indexesOf, operate, stored } from "../../naive.js"
import type { Case, Context } from "../../suite.js"

const reduceOperators: readonly ReduceOperator[] = ["sum", "prod", "max", "min", "argmax", "argmin", "any", "all"]

/** Strictly better, or the first NaN. */
const beats = (x: number, best: number, sign: number): boolean =>
  !Number.isNaN(best) && (Number.isNaN(x) || (x - best) * sign > 0 || (x === Infinity * sign && best !== x))

function position(list: readonly number[], sign: number): number {
  let at = 0
  list.forEach((x, i) => {
    if (i > 0 && beats(x, list[at], sign)) at = i
  })
  return at
}

function naiveReduce(op: ReduceOperator, list: readonly number[], dtype: DType): number {
  switch (op) {
    case "sum":
      return list.reduce((a, b) => a + b, 0)
    case "prod":
      // Products of integers would leave what doubles hold exactly: they wrap at every step.
      return list.reduce((a, b) => (isFloat(dtype) ? a * b : (operate("mul", [a, b], dtype) as number)), 1)
    case "max":
      return list.reduce((a, b) => Math.max(a, b), -Infinity)
    case "min":
      return list.reduce((a, b) => Math.min(a, b), Infinity)
    case "argmax":
      return position(list, 1)
    case "argmin":
      return position(list, -1)
    case "any":
      return list.some((x) => x !== 0) ? 1 : 0
    case "all":
      return list.every((x) => x !== 0) ? 1 : 0
    default:
      return op satisfies never
  }
}

interface Setup {
  readonly op: ReduceOperator
  readonly shape: readonly number[]
  readonly dims: readonly number[]
  readonly dtype: DType
  readonly layout?: Layout
  readonly values?: readonly number[]
  readonly tolerance?: Tolerance
  readonly label?: string
}

const isArg = (op: ReduceOperator): boolean => op === "argmax" || op === "argmin"

/** The dtypes that core gives to the expression and to the output. */
function typed({ op, dtype }: Setup): { carried: DType; result: DType } {
  if (op === "any" || op === "all") return { carried: "bool", result: "bool" }
  if (isArg(op)) return { carried: computeDType(dtype), result: "int32" }
  const adds = op === "sum" || op === "prod"
  // Sums of uint32 asked for in uint32; by itself core adds it up in int32, as other integers.
  if (adds && !isFloat(dtype) && dtype !== "int64" && dtype !== "uint32") return { carried: "int32", result: "int32" }
  return { carried: computeDType(dtype), result: dtype }
}

function defaults(shape: readonly number[], dtype: DType): number[] {
  const scale = isFloat(dtype) ? 0.37 : 1
  return Array.from({ length: sizeOf(shape) }, (_, i) =>
    stored((((i * 31 + 5) % 17) - (dtype === "uint8" ? 0 : 8)) * scale, dtype),
  )
}

function reduceCase(context: Context, setup: Setup): Case {
  const { op, shape, dims, dtype, layout = "plain" } = setup
  const run: Case["run"] = (tolerance) =>
    withMemory(context.backend, async (memory) => {
      const values = setup.values ?? defaults(shape, dtype)
      const { carried, result } = typed(setup)
      const kept = shape.map((size, d) => (dims.includes(d) ? 1 : size))
      const x = memory.view(dtype, shape, values, layout)
      const out = memory.empty(result, kept)
      context.backend.run({ kind: "reduce", op, dims, expr: e.cast(e.input(0, dtype), carried) }, [x], [out])
      const lists = indexesOf(kept).map((): number[] => [])
      const at = new Map(indexesOf(kept).map((index, i) => [index.join(), i]))
      indexesOf(shape).forEach((index, i) =>
        lists[at.get(index.map((k, d) => (dims.includes(d) ? 0 : k)).join()) as number].push(
          stored(values[i], carried),
        ),
      )
      const want = lists.map((list) => stored(naiveReduce(op, list, carried), result))
      const count = Math.max(1, sizeOf(dims.map((d) => shape[d])))
      // Pairwise summation loses at most log2(n) roundings of the largest partial sum.
      const slack = epsilon(result) * (Math.log2(count) + 2)
      const limit = op === "sum" ? { rtol: slack, atol: slack * 4 } : op === "prod" ? { rtol: slack * count } : {}
      return compareValues(await memory.read(out), want, result, tolerance ?? setup.tolerance ?? limit)
    })
  const text = `[${shape.join(", ")}] over [${dims.join(", ")}] ${layout}`
  return { id: setup.label ? `${setup.label} ${text}` : text, op: `reduce.${op}`, dtype, run }
}

const shapeDims: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[7], [0]], [[], []], [[3, 5], [0]], [[3, 5], [1]], [[3, 5], [0, 1]], [[2, 3, 4], [1]], [[2, 3, 4], [0, 2]], [[2, 3, 4], [2, 1]],
  [[2, 1, 3], [1]], [[33, 2], [0]], [[2, 131], [1]],
] // prettier-ignore
const emptyDims: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[0], [0]],
  [[2, 0], [1]],
  [[0, 3], [0]],
]

function special(context: Context, dtype: DType): Case[] {
  const rows = [NaN, 1, 2, 3, NaN, 2, Infinity, -Infinity, 0, 5, 5, 5, -Infinity, -Infinity, -Infinity, 0, -0, 0]
  const ops: readonly ReduceOperator[] = ["sum", "max", "min", "argmax", "argmin"]
  return ops.map((op) =>
    reduceCase(context, { op, shape: [6, 3], dims: [1], dtype, values: rows, label: "NaN, infinities, ties" }),
  )
}

function casesOf(context: Context, dtype: DType): Case[] {
  return reduceOperators.flatMap((op) => {
    const fits = shapeDims.filter(([, dims]) => !isArg(op) || dims.length === 1)
    const some = (op === "any" || op === "all" ? fits.slice(2, 3) : fits.slice(2, 4)).concat(fits.slice(-1))
    // Ways through memory are those of int32.
    if (dtype === "uint32") return some.map(([shape, dims]) => reduceCase(context, { op, shape, dims, dtype }))
    const plain = fits.map(([shape, dims]) => reduceCase(context, { op, shape, dims, dtype }))
    const strided = layoutNames.slice(1).flatMap((layout) =>
      fits.filter(([shape]) => shape.length > 1).slice(0, 4).map(([shape, dims]) => reduceCase(context, { op, shape, dims, dtype, layout }))) // prettier-ignore
    const hasEmpty = op === "sum" || op === "prod" || op === "any" || op === "all"
    return [
      ...plain,
      ...strided,
      ...(hasEmpty ? emptyDims.map(([shape, dims]) => reduceCase(context, { op, shape, dims, dtype })) : []),
    ]
  })
}

export function reduceCases(context: Context): Case[] {
  // A plain running sum in float32 would be off by a hundred times the tolerance here.
  const long = new Array<number>(65536).fill(Math.fround(0.1))
  const longSum = reduceCase(context, {
    op: "sum",
    shape: [65536],
    dims: [0],
    dtype: "float32",
    values: long,
    tolerance: { rtol: 2e-6 },
    label: "long",
  })
  const columns = reduceCase(context, {
    op: "sum",
    shape: [16384, 2],
    dims: [0],
    dtype: "float32",
    values: long.slice(0, 32768),
    tolerance: { rtol: 2e-6 },
    label: "long",
  })
  const floats = context.dtypes.filter((dtype) => dtype === "float32" || dtype === "float64")
  // Maxima of bools are any and all; sums of them are counts.
  const usable = (one: Case): boolean => one.dtype !== "bool" || !/max|min/.test(one.op)
  return [
    ...context.dtypes.flatMap((dtype) => casesOf(context, dtype)).filter(usable),
    ...floats.flatMap((dtype) => special(context, dtype)),
    longSum,
    columns,
  ]
}
