// What uint32 does, for the check of dtypes: facts by NumPy 1.24, and what it is promoted to. Runs nothing by itself.
import { type DType, DTypeError } from "@rondo/backend"
import { arange, cat, type Device, full, tensor, type Tensor, upload } from "@rondo/core"
import { hold } from "../compare.js"
import type { GoldenPromotion } from "../goldens.js"
import type { Case, Context } from "../suite.js"
import type { Fact } from "./dtypes.js"

const of = (device: Device, ...values: readonly number[]): Tensor =>
  upload(device, Uint32Array.from(values), [values.length], "uint32")

const top = 2 ** 32 - 1
const half = 2 ** 31
const list = [5, top, 0, half, 5, half - 1]

/** An operation on uint32: its result in `dtype`. Numbers are those of numpy.uint32. */
const fact = (op: string, id: string, call: (device: Device) => Tensor, values: readonly number[], dtype: DType = "uint32", from: DType = "uint32"): Fact => ({
  op,
  id: `uint32 ${id}`,
  needs: ["uint32", from],
  call,
  dtype,
  values,
}) // prettier-ignore

const arithmetic: readonly Fact[] = [
  fact("add", "wraps", (d) => of(d, top, 0, half, 3e9).add(of(d, 1, 1, half, 2e9)), [0, 1, 0, 705032704]),
  fact("sub", "wraps below 0", (d) => of(d, 5, 0, half).sub(of(d, 7, 1, 3e9)), [4294967294, top, 3442450944]),
  fact("mul", "wraps exactly", (d) => of(d, 123456789, 65537, top).mul(of(d, 987654321, 65537, top)), [4227814277, 131073, 1]),
  fact("neg", "wraps", (d) => of(d, 0, 1, top, half).neg(), [0, top, 1, half]),
  fact("abs", "changes nothing", (d) => of(d, 0, top, half).abs(), [0, top, half]),
  fact("sign", "is 0 or 1", (d) => of(d, 0, 1, top).sign(), [0, 1, 1]),
  fact("div", "is a float", (d) => of(d, top, 3e9, 1).div(of(d, 2, 3e9, 4)), [half, 1, 0.25], "float32"),
  fact("floorDivide", "without a sign", (d) => of(d, top, 3e9, 7, 5, 9).floorDivide(of(d, 2, top, 2, half, 0)), [half - 1, 0, 3, 0, 0]),
  fact("remainder", "without a sign", (d) => of(d, top, 3e9, 7, 5).remainder(of(d, 10, top, 2, half)), [5, 3e9, 1, 5]),
  fact("pow", "wraps", (d) => of(d, 3, 2, 65537, top).pow(of(d, 21, 31, 3, 3)), [1870418611, half, 196609, top]),
  fact("lt", "without a sign", (d) => of(d, top, 0, half).lt(of(d, 1, half, half - 1)), [0, 1, 0], "bool"),
  fact("maximum", "without a sign", (d) => of(d, top, 0, half).maximum(of(d, 1, half, half - 1)), [top, half, half]),
  fact("minimum", "without a sign", (d) => of(d, top, 0, half).minimum(of(d, 1, half, half - 1)), [1, 0, half - 1]),
  fact("clamp", "without a sign", (d) => of(d, 0, 5, 3e9, top).clamp({ min: 3, max: 3000000001 }), [3, 5, 3e9, 3000000001]),
  fact("bitwiseXor", "of 32 bits", (d) => of(d, top, half, 3e9).bitwiseXor(of(d, 1, half, 2e9)), [top - 1, 0, 3320171008]),
  fact("bitwiseNot", "of 32 bits", (d) => of(d, top, 0, half, 3e9).bitwiseNot(), [0, top, half - 1, 1294967295]),
  fact("matmul", "wraps", (d) => of(d, 65537, 3, top, 2).reshape(2, 2).matmul(of(d, 65537, 1, 2, 3).reshape(2, 2)).reshape(-1), [131079, 65546, 4294901763, 5]),
] // prettier-ignore

const order: readonly Fact[] = [
  // Rondo's int32 in place of PyTorch's int64, unless asked otherwise.
  fact("sum", "is int32", (d) => of(d, top, top, 5).sum(), [3], "int32"),
  fact("sum", "in uint32 if asked for", (d) => of(d, top, 6).sum(null, { dtype: "uint32" }), [5]),
  fact("sum", "in floats if asked for", (d) => of(d, 3e9, 3e9).sum(null, { dtype: "float32" }), [6e9], "float32"),
  fact("prod", "is int32", (d) => of(d, 3e9, 3).prod(), [410065408], "int32"),
  fact("cumsum", "is int32", (d) => of(d, 3e9, 3e9, 1).cumsum(0), [-1294967296, 1705032704, 1705032705], "int32"),
  fact("amax", "without a sign", (d) => of(d, ...list).amax(), [top]),
  fact("amin", "without a sign", (d) => of(d, half, top, half + 1).amin(), [half]),
  fact("argmax", "without a sign", (d) => of(d, ...list).argmax(), [1], "int32"),
  fact("argmin", "without a sign", (d) => of(d, half, top, 7, half - 1).argmin(), [2], "int32"),
  fact("cummax", "without a sign", (d) => of(d, 5, half - 1, half, 0, top, 1).cummax(0)[0], [5, half - 1, half, half, top, top]),
  fact("sort", "without a sign", (d) => of(d, ...list).sort()[0], [0, 5, 5, half - 1, half, top]),
  fact("argsort", "is stable", (d) => of(d, ...list).argsort(), [2, 0, 4, 5, 3, 1], "int32"),
  fact("topk", "without a sign", (d) => of(d, ...list).topk(2)[0], [top, half]),
  fact("median", "without a sign", (d) => of(d, ...list).median(), [5]),
] // prettier-ignore

const conversions: readonly Fact[] = [
  // By way of int64, as PyTorch converts on x86: NumPy's own conversion of negative floats is undefined.
  fact("toDType", "from floats truncates, and wraps below 0", (d) => upload(d, new Float32Array([3e9, 0.9, 4294967040, -1.5, -half]), [5], "float32").to("uint32"), [3e9, 0, 4294967040, top, half]),
  fact("toDType", "from int32 wraps", (d) => upload(d, new Int32Array([-1, -half, 5]), [3], "int32").to("uint32"), [top, half, 5]),
  fact("toDType", "to int32 wraps", (d) => of(d, top, half, 5).to("int32"), [-1, -half, 5], "int32"),
  fact("toDType", "to float32 rounds once", (d) => of(d, top, 16777217, 2147483777, 4294967040).to("float32"), [4294967296, 16777216, 2147483904, 4294967040], "float32"),
  fact("toDType", "from int64 wraps", (d) => upload(d, new BigInt64Array([2n ** 32n + 5n, -1n]), [2], "int64").to("uint32"), [5, top], "uint32", "int64"),
  fact("toDType", "to int64", (d) => of(d, top, 7).to("int64"), [top, 7], "int64"),
  fact("toDType", "to bool", (d) => of(d, 0, half, 1).to("bool"), [0, 1, 1], "bool"),
  fact("tensor", "of a Uint32Array", (d) => tensor(new Uint32Array([top, 0]), { device: d }), [top, 0]),
  fact("full", "of its largest number", (d) => full([2], top, { device: d, dtype: "uint32" }), [top, top]),
  fact("arange", "beyond 2^31", (d) => arange(half - 1, half + 2, { device: d, dtype: "uint32" }), [half - 1, half, half + 1]),
  fact("add", "and a number", (d) => of(d, top, 3e9).add(2), [1, 3000000002]),
  fact("mul", "and a fraction", (d) => of(d, 3e9, 1).mul(0.5), [15e8, 0.5], "float32"),
  fact("cat", "with bools", (d) => cat([tensor([true], { device: d }), of(d, top)]), [1, top]),
] // prettier-ignore

/** What operations on uint32 give; those that meet dtypes that a device lacks are left out by their `dtype`. */
export const unsignedFacts: readonly Fact[] = [...arithmetic, ...order, ...conversions]

const others = ["float16", "bfloat16", "float32", "float64", "bool"] as const

/** promoteTypes of PyTorch 2.5 (c10/core/ScalarType.cpp) gives the float; bool, which it refuses, is Rondo's own. */
export const unsignedPromotions: readonly GoldenPromotion[] = [
  ...others.map((b) => ({ op: "add", a: "uint32", b, result: b === "bool" ? "uint32" : b })),
  { op: "add", a: "uint32", b: "uint32", result: "uint32" },
  // Of tensors without dims only the category counts.
  { op: "add", a: "uint32", b: "int32", zeroDim: true, result: "uint32" },
  { op: "add", a: "int32", b: "uint32", zeroDim: true, result: "int32" },
]

/** Beside another integer there is no promotion, in any operation of two operands. */
export function unsignedRefusals({ device, dtypes }: Context): Case[] {
  const refused = (op: string, other: DType, call: (x: Tensor, y: Tensor) => unknown): Case => ({
    id: `uint32 beside ${other} is refused`,
    op,
    dtype: "uint32",
    run: () => {
      const text = `${op}: Promotion for uint32 is not supported beside other integers: got uint32 and ${other}; convert one with .to(dtype)`
      let got = "no error"
      try {
        call(of(device, 1), of(device, 2).to(other))
      } catch (error) {
        got = error instanceof DTypeError ? error.message : String(error)
      }
      hold(got === text, `got ${got}, expected ${text}`)
    },
  })
  const integers = (["uint8", "int32", "int64"] as const).filter((dtype) => dtypes.includes(dtype))
  return integers.flatMap((other) => [
    refused("cat", other, (x, y) => cat([x, y])),
    refused("add", other, (x, y) => x.add(y)),
    refused("lt", other, (x, y) => x.lt(y)),
  ])
}
