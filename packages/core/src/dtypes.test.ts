// Tests of what operations do with bools and integers at the borders of PyTorch's rules: refusals, and limits that are no whole
// numbers. Dtypes and values are those of PyTorch 1.13.1, with int32 where it has int64.
import { DTypeError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, describe, expect, test } from "vitest"
import { neg, sub, tensor, use } from "./index.js"

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
