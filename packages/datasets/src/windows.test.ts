// Windows and spans of time: against torch's unfold, and against leaks from later spans.
import { ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { arange, use, zeros } from "@rondo/core"
import { describe, expect, test } from "vitest"
import { splitByTime, windows } from "./index.js"

use(new CpuJs())

describe("windows", () => {
  test("of a plain series", () => {
    const { inputs, targets } = windows(arange(5), 3)
    expect(inputs.tolistSync()).toEqual([[0, 1, 2], [1, 2, 3]]) // prettier-ignore
    expect(targets.tolistSync()).toEqual([3, 4])
  })
  test("of a series with features: time before features, as torch's unfold(0, 2, 1).transpose(1, 2)", () => {
    const { inputs, targets } = windows(arange(8).reshape(4, 2), 2)
    expect(inputs.tolistSync()).toEqual([[[0, 1], [2, 3]], [[2, 3], [4, 5]]]) // prettier-ignore
    expect(targets.tolistSync()).toEqual([[4, 5], [6, 7]]) // prettier-ignore
  })
  test("gradients of overlapping windows add up", () => {
    const series = arange(4, { dtype: "float32", requiresGrad: true })
    windows(series, 2).inputs.sum().backward()
    expect(series.grad!.tolistSync()).toEqual([1, 2, 1, 0])
  })
  test("bad input is refused", () => {
    expect(() => windows(arange(3), 3)).toThrow("windows: series too short: got 3 steps, expected more than 3")
    expect(() => windows(zeros(2, 2, 2), 1)).toThrow(ShapeError)
    expect(() => windows(arange(3), 0)).toThrow(ValueError)
    expect(() => windows(arange(3), 1.5)).toThrow(ValueError)
  })
})

describe("splitByTime", () => {
  const years = [2011, 2012, 2012, 2013, 2014, 2015]
  const same = (year: number) => year
  test("cuts at the moments; equal times stay together", () => {
    const split = splitByTime(years, same, { validationFrom: 2012, testFrom: 2014 })
    expect(split).toEqual({ train: [2011], validation: [2012, 2012, 2013], test: [2014, 2015] })
  })
  test("rows out of order are refused, for they would leak", () => {
    expect(() => splitByTime([1, 3, 2], same, { validationFrom: 2, testFrom: 3 })).toThrow("got 2 after 3; sort them first") // prettier-ignore
    expect(() => splitByTime([1, NaN, 2], same, { validationFrom: 2, testFrom: 3 })).toThrow(ValueError)
  })
  test("empty spans are refused", () => {
    expect(() => splitByTime(years, same, { validationFrom: 2000, testFrom: 2014 })).toThrow("the train span is empty")
    expect(() => splitByTime(years, same, { validationFrom: 2014, testFrom: 2014 })).toThrow("the validation span is empty") // prettier-ignore
    expect(() => splitByTime(years, same, { validationFrom: 2012, testFrom: 2020 })).toThrow("the test span is empty")
  })
})
