// Where formulas alone do not decide: ties, saturated probabilities, empty batches, hidden places. Numbers of PyTorch 1.13.1.
import { ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { celu, elu, grad, hardsigmoid, hardswish, selu, type Tensor, tensor, use, zeros, zerosLike } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import {
  adaptiveAvgPool1d,
  BatchNorm1d,
  binaryCrossEntropy,
  Conv1d,
  GroupNorm,
  huberLoss,
  MultiheadAttention,
  smoothL1Loss,
} from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

const doubles = (values: number[] | number[][] | number[][][]): Tensor => tensor(values, { dtype: "float64" })

function expectClose(got: Tensor | null, wanted: readonly number[]): void {
  const values = Array.from(got?.detach().dataSync() as Float64Array)
  expect(values).toHaveLength(wanted.length)
  values.forEach((value, i) => {
    if (Number.isFinite(wanted[i]))
      expect(Math.abs(value - wanted[i]) / Math.max(1, Math.abs(wanted[i]))).toBeLessThan(1e-14) // prettier-ignore
    else expect(value).toBe(wanted[i])
  })
}

describe("slopes and their slopes where a formula ends", () => {
  const sum = { reduction: "sum" } as const
  const ends = [2, -2, 1, 3]
  const rows: [string, (x: Tensor) => Tensor, number[], number[], number[]][] = [
    ["smoothL1Loss", (x) => smoothL1Loss(x, zerosLike(x), { beta: 2, ...sum }), ends, [1, -1, 0.5, 1], [0, 0, 0.5, 0]],
    ["huberLoss", (x) => huberLoss(x, zerosLike(x), { delta: 2, ...sum }), ends, [2, -2, 1, 2], [0, 0, 1, 0]],
    ["hardswish", hardswish, [3, -3, 1], [1.5, -0.5, 0.8333333333333333], [0, 0, 0.3333333333333333]],
    ["elu", elu, [1000, 0, -1], [1, 1, 0.36787944117144233], [0, 0, 0.36787944117144233]],
    ["selu", selu, [1000, 0, -1], [1.0507009873554805, 1.7580993408473766, 0.646768603034814], [0, 0, 0.646768603034814]],
    ["celu", (x) => celu(x, 2), [1000, 0, -1], [1, 1, 0.6065306597126334], [0, 0, 0.3032653298563167]],
  ] // prettier-ignore
  it.each(rows)("%s", (_, f, at, first, second) => {
    const x = doubles(at).requiresGrad_()
    const [slope] = grad(f(x).sum(), x, { createGraph: true })
    const [curve] = grad((slope as Tensor).sum(), x)
    expectClose(slope, first)
    expectClose(curve, second)
  })
  it("hardsigmoid's is a sixth in float32, whatever the dtype", () => {
    const x = doubles([1, -3, 3]).requiresGrad_()
    expectClose(grad(hardsigmoid(x).sum(), x)[0], [0.1666666716337204, 0, 0])
  })
  it("binaryCrossEntropy's at probabilities of 0 and 1", () => {
    const [x, y] = [[0, 1, 0.3, 1e-6, 1, 0], [0, 1, 0.4, 0.7, 0, 0.5]].map((row) => doubles(row).requiresGrad_()) // prettier-ignore
    const [slope] = grad(binaryCrossEntropy(x, y, { reduction: "sum" }), x, { createGraph: true })
    expectClose(slope, [0, 0, -0.4761904761904764, -699999.6999997, 1000000003995.8029, -500000001997.9014])
    const [curve, mixed] = grad((slope as Tensor).sum(), [x, y])
    expectClose(curve, [0, 0, 5.668934240308824, 699998600001.0001, 9.999999999979999e23, 4.9999999999899994e23])
    expectClose(mixed, [-1e12, -1e12, -4.761904761904762, -1000001.0000010001, -1e12, -1e12])
  })
})

describe("layers", () => {
  it("BatchNorm1d counts an empty batch, and learns nothing from it", () => {
    const layer = new BatchNorm1d(2, { dtype: "float64" })
    layer.running_mean?.copy_(doubles([0.5, -1]))
    layer.running_var?.copy_(doubles([2, 3]))
    expect(layer.forward(zeros([0, 2], { dtype: "float64" })).shape).toEqual([0, 2])
    expectClose(layer.running_mean, [0.5, -1])
    expectClose(layer.running_var, [2, 3])
    expect(layer.num_batches_tracked?.itemSync()).toBe(1)
  })
  it("GroupNorm refuses groups of one value", () => {
    expect(() => new GroupNorm(3, 3).forward(zeros(1, 3))).toThrow(ValueError)
    expect(new GroupNorm(3, 3).forward(zeros(2, 3)).shape).toEqual([2, 3])
  })
  it("adaptiveAvgPool1d keeps infinities and NaN to their shares", () => {
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number
    expectClose(adaptiveAvgPool1d(doubles([[1, inf, 3, nan, 5]]), 4), [inf, inf, nan, nan])
    expectClose(adaptiveAvgPool1d(doubles([[1, 2, 4, 8, 16]]), 3), [1.5, 4.666666666666667, 12])
  })
  it("Conv1d with a reflecting border of no width takes an empty batch", () => {
    const layer = new Conv1d(2, 3, 2, { paddingMode: "reflect" })
    expect(layer.forward(zeros(0, 2, 5)).shape).toEqual([0, 3, 4])
  })
  it("MultiheadAttention hands no gradient to a float mask where keys are hidden", () => {
    const layer = new MultiheadAttention(2, 1, { bias: false, dtype: "float64" })
    layer.loadStateDict({
      in_proj_weight: doubles([[-5, -4], [-3, -2], [-1, 0], [1, 2], [3, 4], [5, 6]]).div(10),
      "out_proj.weight": doubles([[1, 0], [0, 1]]),
    }) // prettier-ignore
    const x = doubles([[[0.5, -1]], [[1, 2]]])
    const attnMask = doubles([[0.1, 0.2], [0.3, 0.4]]).requiresGrad_() // prettier-ignore
    const run = (hidden: number[]): Tensor =>
      layer.forward(x, x, x, { attnMask, keyPaddingMask: tensor([hidden], { dtype: "bool" }) })[0]
    expectClose(run([1, 0]), [1.1, 1.7000000000000002, 1.1, 1.7000000000000002])
    expectClose(grad(run([1, 0]).sum(), attnMask)[0], [0, 0, 0, 0])
    expectClose(run([1, 1]), [NaN, NaN, NaN, NaN])
    expectClose(grad(run([1, 1]).sum(), attnMask)[0], [0, 0, 0, 0])
  })
})
