// Cases of the map kernel: every operator in every dtype, conversions, several outputs, scalars, sharing, layouts, aliasing.
import {
  anyUnary, arithmetic, byteSize, comparison, computeDType, type DType, e, type Expr, floatUnary, isFloat, type Operator, operators, type View,
} from "@rondo/backend" // prettier-ignore
import { compareValues, epsilon, hold, type Tolerance } from "../../compare.js"
import { type Layout, layoutNames, strays, withMemory } from "../../memory.js"
import { operate, stored } from "../../naive.js"
import type { Case, Context } from "../../suite.js"

const exactOperators: readonly Operator[] = [
  "floor", "ceil", "round", "trunc", "neg", "abs", "not", "add", "sub", "mul", "max", "min", "and", "or", "xor", "shl", "shr",
  ...comparison, "where",
] // prettier-ignore
// One rounding each by IEEE 754; a device may be allowed more by a deviation.
const rounded: readonly Operator[] = ["sqrt", "div", "mod"]
const signedZeros: readonly Operator[] = [
  "neg",
  "abs",
  "mul",
  "div",
  "add",
  "sub",
  "sqrt",
  "floor",
  "ceil",
  "trunc",
  "round",
]
const periodic: readonly Operator[] = ["sin", "cos", "tan"]

function toleranceOf(op: Operator, dtype: DType): Tolerance {
  if (!isFloat(dtype) || exactOperators.includes(op) || rounded.includes(op)) return {}
  // Near a multiple of pi the result is the rounding error of the argument's reduction.
  return periodic.includes(op) ? { ulp: 4, atol: epsilon(dtype) / 4 } : { ulp: 4 }
}

const arity = (op: Operator): number =>
  op === "where" ? 3 : ([...floatUnary, ...anyUnary] as readonly string[]).includes(op) ? 1 : 2

function defined(op: Operator, dtype: DType): boolean {
  if (op === "where") return true
  if (dtype === "bool" && (op === "shl" || op === "shr")) return false
  if (dtype === "bool" && (arithmetic as readonly string[]).includes(op) && operate(op, [1, 1], dtype) === undefined)
    return false
  try {
    const x = e.input(0, dtype)
    ;(e as unknown as Record<string, (...args: Expr[]) => Expr>)[op](...[x, x].slice(0, arity(op)))
    return true
  } catch {
    return false
  }
}

const edges = [NaN, Infinity, -Infinity, 0, -0, 1, -1]
const floats = [0.1, -0.1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, -3, 0.999, 7.25, -20, 12.75, 40, 1e-3, -1e-5]

function groups(op: Operator, dtype: DType): Record<string, readonly number[]> {
  if (dtype === "bool") return { values: [0, 1] }
  if (dtype === "uint8") return { values: [0, 1, 2, 3, 7, 100, 200, 255] }
  if (dtype === "uint32")
    return { values: [0, 1, 2, 3, 7, 31, 65537, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 5, 2 ** 32 - 2, 2 ** 32 - 1] }
  if (!isFloat(dtype)) {
    const top = 2 ** (dtype === "int64" ? 53 : 31) - 1
    return op === "pow"
      ? { values: [-3, -1, 0, 1, 2, 3, 5] }
      : { values: [0, 1, -1, 2, -2, 3, 7, -8, 31, 100, -1000, top, -top] }
  }
  const large =
    dtype === "float32"
      ? [1e10, -3.3e38, 3.4e38, 2 ** 24 + 2, 8388609.5]
      : [1e10, -1.7e308, 2 ** 53 + 2, 4503599627370497.5]
  const tiny = dtype === "float32" ? [1e-40, -1e-42, 1.1e-38] : [1e-310, -5e-324, 2.2e-308]
  const all = { values: floats, special: edges }
  return periodic.includes(op) ? { ...all, large: [1000.5, -12345.678, 99999] } : { ...all, large, denormal: tiny }
}

/** All combinations of the list for each operand. */
function combinations(list: readonly number[], operands: number): number[][] {
  const columns = Array.from({ length: operands }, (): number[] => [])
  const n = list.length
  for (let i = 0; i < n ** operands; i++) columns.forEach((column, k) => column.push(list[Math.floor(i / n ** k) % n]))
  return columns
}

/** Runs one operator over vectors; 16-bit floats are computed in float32, as core does. */
function operatorCase(
  context: Context,
  op: Operator,
  dtype: DType,
  group: string,
  list: readonly number[],
  shift = 0,
): Case {
  const compute = computeDType(dtype)
  const columns = combinations(list.map((x) => stored(x, dtype)), op === "where" ? 2 : arity(op)) // prettier-ignore
  if (op === "where") columns.unshift(columns[0].map((_, i) => i % 2))
  // `shift` starts the vectors off an aligned address and leaves a tail behind the last whole lane.
  const inputs = columns.map((column) => column.slice(shift))
  const run: Case["run"] = (tolerance) =>
    withMemory(context.backend, async (memory) => {
      const args = inputs.map((_, k) => {
        const own = op === "where" && k === 0 ? "bool" : dtype
        return e.cast(e.input(k, own), own === "bool" && dtype !== "bool" ? "bool" : compute)
      })
      const value = (e as unknown as Record<string, (...args: Expr[]) => Expr>)[op](...args)
      const result = value.dtype === compute ? dtype : value.dtype
      const views = inputs.map((values, k) =>
        memory.view(op === "where" && k === 0 ? "bool" : dtype, [values.length], values),
      )
      const out = memory.empty(result, [inputs[0].length])
      context.backend.run({ kind: "map", exprs: [e.cast(value, result)] }, views, [out])
      const want = inputs[0].map((_, i) => stored(operate(op, inputs.map((column) => column[i]), compute) as number, result)) // prettier-ignore
      const got = await memory.read(out)
      const source = `${op}(${inputs.map((column) => `x${column.length}`).join(", ")})`
      return compareValues(got, want, result, tolerance ?? toleranceOf(op, dtype), {
        source,
        signedZero: signedZeros.includes(op),
      })
    })
  return { id: shift ? `${group} from ${shift}` : group, op: `map.${op}`, dtype, run }
}

function operatorCases(context: Context, dtype: DType): Case[] {
  return operators
    .filter((op) => defined(op, computeDType(dtype)))
    .flatMap((op) => {
      if (computeDType(dtype) !== dtype) return [operatorCase(context, op, dtype, "values", floats)]
      const cases = Object.entries(groups(op, dtype)).map(([group, list]) =>
        operatorCase(context, op, dtype, group, list),
      )
      return [...cases, operatorCase(context, op, dtype, "values", groups(op, dtype).values, 1)]
    })
}

// ---- conversions

function castValues(from: DType, to: DType): number[] {
  const list = [0, 1, 2, 100, 127, 200, 255]
  if (from === "bool") return [0, 1]
  const unsigned = from === "uint8" || from === "uint32"
  const negative = !unsigned && !(isFloat(from) && to === "uint8")
  if (negative) list.push(-1, -3, -100)
  if (!isFloat(from) && from !== "uint8") list.push(300, 70000, 2 ** 31 - 1, 16777217)
  // On both sides of ties between floats, also of those that rounding with a sign would see.
  if (from === "uint32")
    list.push(2 ** 31 + 128, 2 ** 31 + 384, 2 ** 32 - 385, 2 ** 32 - 384, 2 ** 32 - 128, 2 ** 32 - 1)
  if (isFloat(from) && to === "uint32")
    list.push(65504, ...(from === "float16" ? [] : [2 ** 31, 2 ** 32 - 2 ** 24, -(2 ** 31)]))
  if (from === "int64") list.push(2 ** 40 + 3, -(2 ** 33))
  if (isFloat(from)) list.push(0.5, 1.9, 2.5, 0.1, ...(negative ? [-1.9, -0.25] : []))
  if (isFloat(from) && (isFloat(to) || to === "bool"))
    list.push(NaN, Infinity, -Infinity, -0, 65520, 1e-7, 3.3e38, 1 + 2 ** -9, 1 + 3 * 2 ** -9, 1 + 2 ** -12)
  return list.map((x) => stored(x, from))
}

function castCase(context: Context, from: DType, to: DType): Case {
  const run: Case["run"] = (tolerance) =>
    withMemory(context.backend, async (memory) => {
      const values = castValues(from, to)
      const out = memory.empty(to, [values.length])
      const x = memory.view(from, [values.length], values)
      context.backend.run({ kind: "map", exprs: [e.cast(e.input(0, from), to)] }, [x], [out])
      const want = values.map((v) => stored(Number.isNaN(v) && to === "bool" ? 1 : v, to))
      return compareValues(await memory.read(out), want, to, tolerance ?? {}, { source: `${from} to ${to}` })
    })
  return { id: `from ${from}`, op: "map.cast", dtype: to, run }
}

// ---- structure: what holds for every expression

const x32 = e.input(0, "float32")
const y32 = e.input(1, "float32")
const numbers = (n: number, seed = 1): number[] =>
  Array.from({ length: n }, (_, i) => Math.fround((((i * 37 + seed * 11) % 101) - 50) / 16))

function outputsAndScalars(context: Context): Case {
  const run: Case["run"] = (tolerance) =>
    withMemory(context.backend, async (memory) => {
      const [a, b] = [numbers(37), numbers(37, 2)]
      const [x, y, s, d] = [
        memory.view("float32", [37], a),
        memory.view("float32", [37], b),
        memory.empty("float32", [37]),
        memory.empty("int32", [37]),
      ]
      const shared = e.add(e.mul(x32, e.scalar(1, "float32")), y32)
      const exprs = [e.mul(shared, shared), e.add(e.cast(shared, "int32"), e.scalar(0, "int32"))]
      // Twice with other scalars: nothing may stay behind in what was compiled.
      for (const [k, f] of [
        [3, 0.5],
        [-4, 2],
      ]) {
        // prettier-ignore
        context.backend.run({ kind: "map", exprs }, [x, y], [s, d], [k, f])
        const inner = a.map((v, i) => Math.fround(Math.fround(v * f) + b[i]))
        compareValues(
          await memory.read(s),
          inner.map((v) => Math.fround(v * v)),
          "float32",
          tolerance ?? { ulp: 2 },
          { what: "output 0" },
        )
        compareValues(
          await memory.read(d),
          inner.map((v) => Math.trunc(v) + k),
          "int32",
          {},
          { what: "output 1" },
        )
      }
    })
  return { id: "two outputs, shared sub-expressions, scalars", op: "map.structure", dtype: "float32", run }
}

function constants(context: Context): Case {
  const run = (): Promise<void> =>
    withMemory(context.backend, async (memory) => {
      const values = [NaN, Infinity, -Infinity, -0, 1e-45, 3.4028234663852886e38, 0.1]
      const outs = values.map(() => memory.empty("float32", [3]))
      context.backend.run({ kind: "map", exprs: values.map((v) => e.const(v, "float32")) }, [], outs)
      for (const [i, out] of outs.entries()) {
        const want = new Array<number>(3).fill(Math.fround(values[i]))
        compareValues(await memory.read(out), want, "float32", {}, { what: `constant ${values[i]}`, signedZero: true })
      }
    })
  return { id: "constants, without inputs", op: "map.structure", dtype: "float32", run }
}

function layoutCase(context: Context, shape: readonly number[], layout: Layout, outLayout: Layout, dtype: DType): Case {
  const run = (): Promise<void> =>
    withMemory(context.backend, async (memory) => {
      const size = shape.reduce((n, s) => n * s, 1)
      const a = numbers(size).map((v) => stored(Math.abs(v) * 4, dtype))
      const x = memory.view(dtype, shape, a, layout)
      const row = memory.view(
        dtype,
        [shape.at(-1) ?? 1],
        numbers(shape.at(-1) ?? 1, 5).map((v) => stored(Math.abs(v) * 4, dtype)),
        layout,
      )
      const wide: View = { ...row, shape, strides: shape.map((_, d) => (d === shape.length - 1 ? row.strides[0] : 0)) }
      const out = memory.empty(dtype, shape, outLayout)
      const before = await memory.read(row)
      const compute = computeDType(dtype)
      const expr = e.max(e.cast(e.input(0, dtype), compute), e.cast(e.input(1, dtype), compute))
      context.backend.run({ kind: "map", exprs: [e.cast(expr, dtype)] }, [x, wide], [out])
      const want = a.map((v, i) => Math.max(v, before[i % before.length]))
      compareValues(await memory.read(out), want, dtype, {})
      const outside = strays(out, await memory.all(out))
      hold(outside.length === 0, `elements outside of the output were written: ${outside.join(", ")}`)
    })
  return { id: `[${shape.join(", ")}] ${layout} into ${outLayout}`, op: "map.layout", dtype, run }
}

function inPlace(context: Context, n: number, layout: Layout): Case {
  const run = (): Promise<void> =>
    withMemory(context.backend, async (memory) => {
      const a = numbers(n)
      const x = memory.view("float32", [n], a, layout)
      const y = memory.view("float32", [n], numbers(n, 3))
      const b = numbers(n, 3)
      // Both outputs are inputs: each must be read before either is written.
      context.backend.run({ kind: "map", exprs: [e.add(x32, y32), e.sub(x32, y32)] }, [x, y], [x, y])
      compareValues(
        await memory.read(x),
        a.map((v, i) => Math.fround(v + b[i])),
        "float32",
        {},
        { what: "sum" },
      )
      compareValues(
        await memory.read(y),
        a.map((v, i) => Math.fround(v - b[i])),
        "float32",
        {},
        { what: "difference" },
      )
    })
  return { id: `outputs are inputs, ${n} ${layout}`, op: "map.structure", dtype: "float32", run }
}

const layoutShapes: readonly (readonly number[])[] = [[7], [3, 5], [2, 3, 4], [1, 6, 1], [2, 1, 3, 2, 2], [3, 0, 2]]

export function mapCases(context: Context): Case[] {
  const { dtypes } = context
  const pairs = dtypes.flatMap((from) => dtypes.filter((to) => to !== from).map((to) => castCase(context, from, to)))
  const narrow = dtypes.filter(
    (dtype) => byteSize(dtype) <= 4 && dtype !== "int32" && dtype !== "uint32" && dtype !== "bool",
  )
  const layouts = narrow.flatMap((dtype) =>
    layoutShapes.flatMap((shape) => layoutNames.flatMap((layout) => [
      layoutCase(context, shape, layout, "plain", dtype),
      ...(dtype === "float32" ? [layoutCase(context, shape, "plain", layout, dtype)] : []),
    ])).filter((one, i, all) => all.findIndex((other) => other.id === one.id) === i),
  ) // prettier-ignore
  return [
    ...dtypes.flatMap((dtype) => operatorCases(context, dtype)),
    ...pairs,
    outputsAndScalars(context),
    constants(context),
    ...layouts,
    layoutCase(context, [5003], "plain", "plain", "float32"),
    layoutCase(context, [67, 41], "permuted", "plain", "float32"),
    ...[1, 4, 33].flatMap((n) => (["plain", "reversed"] as const).map((layout) => inPlace(context, n, layout))),
  ]
}
