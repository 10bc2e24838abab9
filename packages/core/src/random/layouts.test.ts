// Draws whose order depends on how a tensor lies in memory, and multinomial's two ways. Values are PyTorch 1.13's.
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, expect, test } from "vitest"
import {
  dropoutMask,
  manualSeed,
  multinomial,
  ones,
  randLike,
  randnLike,
  tensor,
  type Tensor,
  use,
  zeros,
} from "../index.js"

beforeAll(() => void use(new CpuJs()))
const rounded = (x: Tensor): number[] => (x.reshape(-1).tolistSync() as number[]).map((v) => Number(v.toFixed(4)))

test("dropout draws row by row, also over a transposed tensor", () => {
  manualSeed(3)
  const mask = dropoutMask(ones(5, 6).t(), 0.4)
  expect(rounded(mask.slice(0, 0, 2))).toEqual([1.6667, 1.6667, 0, 1.6667, 0, 0, 1.6667, 1.6667, 1.6667, 0])
})
test("randLike fills in the order of memory", () => {
  manualSeed(3)
  expect(rounded(randLike(zeros(2, 3).t()))).toEqual([0.0043, 0.027, 0.1056, 0.4716, 0.2858, 0.0601])
})
test("randnLike draws one by one where memory is not in row-major order", () => {
  manualSeed(3)
  const expected = [
    0.8033, 0.3375, -0.8646, 0.1748, 1.0111, 0.299, 0.089, -1.4352, 0.4192, -0.6137, 0.9774, -0.0799, 0.0462, 0.522,
    0.9264, -1.3683, 1.2379, 0.8157,
  ] // prettier-ignore
  expect(rounded(randnLike(zeros(3, 6).t()))).toEqual(expected)
})
test.each([
  [true, [0, 0, 2]],
  [false, [0, 0, 1]],
])("multinomial of one sample, replacement %s", (replacement, expected) => {
  manualSeed(3)
  const weights = tensor([
    [0.5, 0.2, 0.3],
    [0.6, 0.2, 0.4],
    [0.2, 0.6, 0.4],
  ])
  expect(multinomial(weights, 1, { replacement }).reshape(-1).tolistSync()).toEqual(expected)
})
