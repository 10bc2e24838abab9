// Check: which dtype results have (PyTorch's promotion, and Rondo's int32 in place of its int64), and what integers, bools and
// 16-bit floats do.
import { type DType, isDType, isFloat, RondoError } from "@rondo/backend"
import {
  arange,
  defaultDType,
  type Device,
  encode,
  ops,
  setDefaultDType,
  tensor,
  type Tensor,
  upload,
} from "@rondo/core"
import { compareHosts, compareValues, fail, hold } from "../compare.js"
import type { GoldenPromotion } from "../goldens.js"
import { stored } from "../naive.js"
import { read } from "../read.js"
import type { Case, Check, Context } from "../suite.js"
import { unsignedFacts, unsignedPromotions, unsignedRefusals } from "./unsigned.js"

const made = (
  device: Device,
  dtype: DType,
  values: readonly number[],
  shape: readonly number[] = [values.length],
): Tensor => upload(device, encode(values, dtype), shape, dtype)

const numbers: Readonly<Record<string, number | boolean>> = { b: true, i: 2, f: 1.5 }

/** PyTorch's result, but int32 where it falls back to its default integer, int64, without being given one. */
function expected({ a, b, result }: GoldenPromotion): DType | null {
  return result === "int64" && a !== "int64" && b !== "int64" ? "int32" : (result as DType | null)
}

function promotionCase(context: Context, row: GoldenPromotion): Case {
  const run = (): void => {
    const f = ops[row.op] as unknown as (x: unknown, y: unknown) => Tensor
    const x = made(context.device, row.a as DType, [1, 1])
    const y = isDType(row.b)
      ? made(context.device, row.b, row.zeroDim ? [1] : [1, 1], row.zeroDim ? [] : [2])
      : numbers[row.b]
    const want = expected(row)
    let got: string
    try {
      got = f(x, y).dtype
    } catch (error) {
      if (!(error instanceof RondoError)) throw error
      got = "an error"
    }
    // What PyTorch refuses may be refused or defined here; what it defines must agree.
    if (want !== null) hold(got === want, `got ${got}, PyTorch ${want}`)
  }
  const second = isDType(row.b) ? row.b : `number ${String(numbers[row.b])}`
  return { id: `${row.a}, ${second}${row.zeroDim ? " without dims" : ""}`, op: row.op, dtype: "-", run }
}

/** A call and what it gives. */
export interface Fact {
  readonly op: string
  readonly id: string
  readonly needs: readonly DType[]
  readonly call: (device: Device) => Tensor
  readonly dtype: DType
  readonly values: readonly number[]
}

const facts: readonly Fact[] = [
  { op: "add", id: "int32 wraps", needs: ["int32"], call: (d) => made(d, "int32", [2147483647, -2147483648]).add(made(d, "int32", [1, -1])), dtype: "int32", values: [-2147483648, 2147483647] },
  { op: "mul", id: "int32 wraps exactly", needs: ["int32"], call: (d) => made(d, "int32", [123456789, -99999]).mul(made(d, "int32", [987654321, 99999])), dtype: "int32", values: [-67153019, -1409865409] },
  { op: "add", id: "uint8 wraps", needs: ["uint8"], call: (d) => made(d, "uint8", [200, 255]).add(made(d, "uint8", [100, 1])), dtype: "uint8", values: [44, 0] },
  { op: "sub", id: "uint8 wraps below 0", needs: ["uint8"], call: (d) => made(d, "uint8", [5, 0]).sub(made(d, "uint8", [7, 1])), dtype: "uint8", values: [254, 255] },
  { op: "add", id: "int64 beyond 2^31", needs: ["int64"], call: (d) => made(d, "int64", [2 ** 40, -(2 ** 33)]).add(made(d, "int64", [1, -5])), dtype: "int64", values: [2 ** 40 + 1, -(2 ** 33) - 5] },
  { op: "div", id: "of integers is a float", needs: ["int32"], call: (d) => made(d, "int32", [7, -7, 1]).div(made(d, "int32", [2, 2, 4])), dtype: "float32", values: [3.5, -3.5, 0.25] },
  { op: "div", id: "of integers by 0", needs: ["int32"], call: (d) => made(d, "int32", [1, -1, 0]).div(made(d, "int32", [0, 0, 0])), dtype: "float32", values: [Infinity, -Infinity, NaN] },
  { op: "floorDivide", id: "of negative integers", needs: ["int32"], call: (d) => made(d, "int32", [7, -7, 7, -7]).floorDivide(made(d, "int32", [2, 2, -2, -2])), dtype: "int32", values: [3, -4, -4, 3] },
  { op: "remainder", id: "of negative integers", needs: ["int32"], call: (d) => made(d, "int32", [7, -7, 7, -7]).remainder(made(d, "int32", [3, 3, -3, -3])), dtype: "int32", values: [1, 2, -2, -1] },
  { op: "sum", id: "of bools counts", needs: [], call: (d) => made(d, "bool", [1, 0, 1]).sum(), dtype: "int32", values: [2] },
  { op: "sum", id: "of uint8 does not wrap", needs: ["uint8"], call: (d) => made(d, "uint8", [200, 200]).sum(), dtype: "int32", values: [400] },
  { op: "sum", id: "in uint8 if asked for", needs: ["uint8"], call: (d) => made(d, "uint8", [200, 200]).sum(null, { dtype: "uint8" }), dtype: "uint8", values: [144] },
  { op: "sum", id: "in bool if asked for is or", needs: [], call: (d) => made(d, "bool", [0, 1, 1]).sum(null, { dtype: "bool" }), dtype: "bool", values: [1] },
  { op: "sum", id: "of int64 stays", needs: ["int64"], call: (d) => made(d, "int64", [2 ** 40, 1]).sum(), dtype: "int64", values: [2 ** 40 + 1] },
  { op: "argmax", id: "is int32", needs: [], call: (d) => made(d, "float32", [1, 3, 2]).argmax(), dtype: "int32", values: [1] },
  { op: "add", id: "of bools is or", needs: [], call: (d) => made(d, "bool", [0, 1, 1]).add(made(d, "bool", [0, 0, 1])), dtype: "bool", values: [0, 1, 1] },
  { op: "mul", id: "of bools is and", needs: [], call: (d) => made(d, "bool", [0, 1, 1]).mul(made(d, "bool", [0, 0, 1])), dtype: "bool", values: [0, 0, 1] },
  { op: "lt", id: "across categories", needs: ["int32"], call: (d) => made(d, "int32", [1, 2]).lt(made(d, "float32", [1.5, 1.5])), dtype: "bool", values: [1, 0] },
  { op: "exp", id: "of integers is a float", needs: ["int32"], call: (d) => made(d, "int32", [0, 0]).exp(), dtype: "float32", values: [1, 1] },
  { op: "tensor", id: "of numbers is float32", needs: [], call: (d) => tensor([1, 2], { device: d }), dtype: "float32", values: [1, 2] },
  { op: "tensor", id: "of bools is bool", needs: [], call: (d) => tensor([true, false], { device: d }), dtype: "bool", values: [1, 0] },
  { op: "tensor", id: "of bigints is int64", needs: ["int64"], call: (d) => tensor([1n, -2n], { device: d }), dtype: "int64", values: [1, -2] },
  { op: "arange", id: "of whole numbers is int32", needs: [], call: (d) => arange(3, { device: d }), dtype: "int32", values: [0, 1, 2] },
  { op: "arange", id: "of fractions is float32", needs: [], call: (d) => arange(0, 1, 0.25, { device: d }), dtype: "float32", values: [0, 0.25, 0.5, 0.75] },
] // prettier-ignore

function factCase(context: Context, { op, id, call, dtype, values }: Fact): Case {
  const run = async (): Promise<void> => {
    const got = await read(call(context.device))
    compareHosts(
      { ...got, shape: [values.length] },
      { dtype, shape: [values.length], values },
      {},
      { source: "PyTorch" },
    )
  }
  return { id, op, dtype, run }
}

// Values between neighbours of both 16-bit formats, ties to even among them, overflow and subnormals.
const halves = [
  1,
  1 + 2 ** -11,
  1 + 3 * 2 ** -11,
  1 + 2 ** -8,
  1 + 3 * 2 ** -8,
  0.1,
  -0.3,
  65504,
  65519,
  65520,
  1e5,
  6e-8,
  3e-8,
  1e-40,
  3.4e38,
  -0,
  NaN,
  Infinity,
]

function halfCases(context: Context, dtype: DType): Case[] {
  const conversion: Case = {
    id: "storage rounds to nearest, ties to even",
    op: "toDType",
    dtype,
    run: async () => {
      const half = made(context.device, "float32", halves.map(Math.fround)).to(dtype)
      const want = halves.map((x) => stored(Math.fround(x), dtype))
      compareValues((await read(half)).values, want, dtype, {}, { signedZero: true })
      compareValues((await read(half.to("float32"))).values, want, "float32", {}, { what: "back to float32" })
    },
  }
  const arithmetic: Case = {
    id: "arithmetic is float32's, rounded once",
    op: "add",
    dtype,
    run: async () => {
      const [a, b] = [
        [1, 0.1, 300, -2],
        [2 ** -9, 0.2, 0.7, 2.001],
      ].map((list) => list.map((x) => stored(x, dtype)))
      const sum = made(context.device, dtype, a).add(made(context.device, dtype, b))
      const want = a.map((x, i) => stored(Math.fround(x + b[i]), dtype))
      compareHosts(await read(sum), { dtype, shape: [4], values: want }, {})
    },
  }
  const total: Case = {
    id: "sums are carried in float32",
    op: "sum",
    dtype,
    run: async () => {
      // Carried in 16 bits the sum would stop growing at 256 (bfloat16) or 2048 (float16).
      const got = await read(made(context.device, dtype, new Array<number>(4096).fill(1)).sum())
      compareHosts(got, { dtype, shape: [], values: [4096] }, {})
    },
  }
  return [conversion, arithmetic, total]
}

function defaultCase(context: Context, dtype: DType): Case {
  const run = (): void => {
    const before = defaultDType()
    setDefaultDType(dtype)
    try {
      const { device } = context
      hold(tensor([1], { device }).dtype === dtype, `tensor([1]) is not ${dtype}`)
      hold(made(device, "int32", [1]).div(2).dtype === dtype, `an integer divided is not ${dtype}`)
      hold(made(device, "float32", [1]).add(1.5).dtype === "float32", "a number changed the dtype of a float tensor")
    } finally {
      setDefaultDType(before)
    }
  }
  return { id: `default ${dtype}`, op: "setDefaultDType", dtype, run }
}

export const dtypesCheck: Check = {
  name: "dtypes",
  about:
    "Result dtypes are PyTorch's (int32 standing in for its default int64); integers wrap, bools are logical, 16-bit floats round once.",
  cases: (context) => {
    const { goldens, dtypes } = context
    const has = (dtype: string): boolean => !isDType(dtype) || dtypes.includes(dtype)
    const rows =
      goldens &&
      [...goldens.promotions, ...unsignedPromotions].filter(
        (row) => has(row.a) && has(row.b) && has(expected(row) ?? ""),
      )
    const missing: Case = {
      id: "file",
      op: "promotion",
      dtype: "-",
      run: () => fail("no golden values were given: pass options.goldens"),
    }
    return [
      ...(rows ? rows.map((row) => promotionCase(context, row)) : [missing]),
      ...(has("uint32") ? unsignedRefusals(context) : []),
      ...[...facts, ...unsignedFacts]
        .filter((fact) => [...fact.needs, fact.dtype].every(has))
        .map((fact) => factCase(context, fact)),
      ...(["float16", "bfloat16"] as const).filter(has).flatMap((dtype) => halfCases(context, dtype)),
      ...dtypes.filter((dtype) => isFloat(dtype)).map((dtype) => defaultCase(context, dtype)),
    ]
  },
}
