// Tests of what operations do with bools and integers at the borders of PyTorch's rules: refusals, and limits that are no whole
// numbers. Dtypes and values are those of PyTorch 1.13.1, with int32 where it has int64.
import { DTypeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, describe, expect, test } from "vitest"
import { hardtanh, neg, sub, type Tensor, tensor, use } from "./index.js"

beforeAll(() => void use(new CpuJs()))

const bool = (...values: boolean[]) => tensor(values)

describe("bools", () => {
  const refused = 'sub: got bool and bool, expected a number among them; use logicalXor, or convert one: x.to("int32")'
  test.each([
    ["the method", () => bool(true, false).sub(bool(true, true))],
    ["the function", () => sub(bool(true, false), bool(true, true))],
    ["in place", () => bool(true, false).sub_(bool(true, true))],
    ["with alpha", () => bool(true).sub(bool(true), { alpha: 2 })],
    ["a plain bool behind", () => bool(true, false).sub(true)],
    ["a plain bool in front", () => sub(true, bool(true, false))],
    ["a bool without dims", () => bool(true).sub(tensor(true))],
  ])("are not subtracted: %s", (_, call) => {
    expect(call).toThrow(DTypeError)
    expect(call).toThrow(refused)
  })
  test("count as 0 or 1 beside a number", () => {
    expect(sub(1, bool(true, false)).tolistSync()).toEqual([0, 1])
    expect(tensor([2, 3]).sub(bool(true, false)).tolistSync()).toEqual([1, 3])
  })
  test("have no negative", () => {
    const text = 'neg: got bool, expected a number; use logicalNot, or convert it: x.to("int32")'
    for (const call of [() => neg(bool(true)), () => bool(true).neg(), () => bool(true).neg_()]) {
      expect(call).toThrow(DTypeError)
      expect(call).toThrow(text)
    }
  })
  test("differ from their neighbours by xor", () => {
    expect(bool(true, false, false).diff().tolistSync()).toEqual([true, false])
  })
})

describe("limits", () => {
  const i = (): Tensor => tensor([1, -5], { dtype: "int32" })
  const u = (): Tensor => tensor([1, 200], { dtype: "uint8" })
  test.each<[string, () => Tensor, string, unknown]>([
    ["whole", () => i().clamp(0, 5), "int32", [1, 0]],
    ["none above", () => i().clamp({ min: 0 }), "int32", [1, 0]],
    ["a fraction", () => i().clamp(0.5), "float32", [1, 0.5]],
    ["infinite below", () => i().clamp(Infinity), "float32", [Infinity, Infinity]],
    ["infinite above", () => i().clamp({ max: -Infinity }), "float32", [-Infinity, -Infinity]],
    ["NaN", () => i().clamp(0, NaN), "float32", [NaN, NaN]],
    ["the ends of int32", () => i().clamp(-(2 ** 31), 2 ** 31 - 1), "int32", [1, -5]],
    ["below 0 of uint8, which wraps", () => u().clamp({ max: -1 }), "uint8", [1, 200]],
    ["of bools", () => tensor([true, false]).clamp(0, 1), "int32", [1, 0]],
    ["one of bools", () => tensor([true, false]).clamp({ max: 5 }), "int32", [1, 0]],
    ["fractions of bools", () => tensor([true, false]).clamp(0.5), "float32", [1, 0.5]],
    ["of hardtanh", () => hardtanh(i(), -1, 1), "int32", [1, -1]],
  ])("%s", (_, call, dtype, values) => {
    const y = call()
    expect([y.dtype, y.tolistSync()]).toEqual([dtype, values])
  })
  test.each<[string, () => unknown]>([
    ["uint8 above", () => u().clamp(0, 256)],
    ["uint8 below", () => u().clamp(300)],
    ["int32", () => i().clamp(0, 2 ** 31)],
    ["int32, far", () => i().clamp(0, 2 ** 40)],
    ["int32, in place", () => i().clamp_(0, 2 ** 31)],
  ])("that the dtype does not hold are refused: %s", (_, call) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(/^clamp: a number that (uint8|int32) does not hold: got \d+, expected /)
  })
  test("that make floats are not written into integers, nor numbers into bools", () => {
    for (const call of [() => i().clamp_(0.5), () => i().clamp_(Infinity), () => i().clamp_(0, NaN)])
      expect(call).toThrow(/^clamp_: a float32 result cannot be stored in place into a int32 tensor/)
    expect(() => tensor([true]).clamp_(0, 1)).toThrow(DTypeError)
  })
})
