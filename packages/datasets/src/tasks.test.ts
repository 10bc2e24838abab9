// The tasks against PyTorch 1.13's draws after manual_seed(1), and their bad input.
import { IndexError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { manualSeed, type Tensor, use } from "@rondo/core"
import { beforeEach, describe, expect, test } from "vitest"
import { adding, ramps, trajectories } from "./index.js"

use(new CpuJs())
beforeEach(() => void manualSeed(1))

/** Rounded as torch prints them. */
const rounded = (x: Tensor): unknown => JSON.parse(JSON.stringify(x.tolistSync(), (_, v: unknown) => (typeof v === "number" ? Number(v.toFixed(4)) : v))) // prettier-ignore

describe("ramps", () => {
  test("torch.arange(6).repeat(3, 1) * torch.randn(3, 1), cut before the last column", () => {
    const { inputs, targets } = ramps(3)
    expect(inputs.shape).toEqual([3, 5])
    expect(rounded(inputs)).toEqual([[0, 0.6614, 1.3227, 1.9841, 2.6454], [0, 0.2669, 0.5338, 0.8008, 1.0677], [0, 0.0617, 0.1234, 0.185, 0.2467]]) // prettier-ignore
    expect(rounded(targets)).toEqual([3.3068, 1.3346, 0.3084])
  })
  test("another length", () => {
    expect(ramps(4, 2).inputs.shape).toEqual([4, 1])
  })
  test.each([[0, 6], [-1, 6], [1.5, 6], [NaN, 6], [3, 1]])("count %d and length %d are refused", (count, length) => {
    expect(() => ramps(count, length)).toThrow(ValueError)
  }) // prettier-ignore
})

describe("trajectories", () => {
  test("slopes first, then offsets; x beside y", () => {
    const { inputs, targets } = trajectories(3)
    expect(inputs.shape).toEqual([3, 5, 2])
    expect(rounded(inputs.select(0, 0))).toEqual([[0, 3.1066], [1, 3.7679], [2, 4.4293], [3, 5.0906], [4, 5.752]]) // prettier-ignore
    expect(rounded(targets)).toEqual([[5, 6.4133], [5, -0.9249], [5, -0.5223]]) // prettier-ignore
  })
  test("bad sizes are refused", () => {
    expect(() => trajectories(0)).toThrow(ValueError)
    expect(() => trajectories(3, 1)).toThrow(ValueError)
  })
})

describe("adding", () => {
  test("sums of the marked values", () => {
    const { inputs, targets } = adding(4, { length: 5, positions: [-5, -1] })
    expect(inputs.shape).toEqual([4, 5, 1])
    expect(rounded(inputs.select(0, 0).squeeze(1))).toEqual([-1.5256, -0.7502, -0.654, -1.6095, 0.8657])
    expect(rounded(targets.squeeze(1))).toEqual([-0.6599, 1.4156, 0.9694, 1.5847])
    manualSeed(1)
    const other = adding(4, { length: 5, positions: [-2, 1] }).targets
    expect(rounded(other.squeeze(1))).toEqual([-2.3597, -0.2238, -0.7131, -0.5231])
  })
  test("length 100 and the first and the last value are the default", () => {
    const { inputs, targets } = adding(2)
    expect(inputs.shape).toEqual([2, 100, 1])
    expect(targets.tolistSync()).toEqual(inputs.select(1, 0).add(inputs.select(1, 99)).tolistSync())
  })
  test("positions outside of the sequence are refused", () => {
    expect(() => adding(2, { length: 5, positions: [5, 0] })).toThrow(IndexError)
    expect(() => adding(2, { length: 5, positions: [-6, 0] })).toThrow("adding: position out of range: got -6, expected -5 to 4") // prettier-ignore
    expect(() => adding(2, { length: 5, positions: [0.5, 0] })).toThrow(IndexError)
    expect(() => adding(2, { length: 0 })).toThrow(ValueError)
  })
})
