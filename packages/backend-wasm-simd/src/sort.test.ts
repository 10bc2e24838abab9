// Sorting over every dtype, layout and length, both ways, against the reference.
import { isFloat } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { laneDTypes } from "./lanes.js"
import {
  agreement,
  closeDevices,
  devices,
  fill,
  layouts,
  operand,
  type Operand,
  operandOf,
  outcome,
  randomFrom,
  startDevices,
} from "./testing.js"

beforeAll(startDevices)
afterAll(closeDevices)

const agree = agreement(new CpuJs())
const random = randomFrom(17)
const anyLayout = () => layouts[Math.floor(random() * layouts.length)]

function check(x: Operand): void {
  for (const descending of [false, true]) {
    const outputs = [operand(x.dtype, x.shape, anyLayout(), random), operand("int32", x.shape, anyLayout(), random)]
    agree(`${x.dtype} [${x.shape}] strides [${x.strides}] ${descending}`, { kind: "sort", descending }, [x], outputs)
  }
}

describe("any layout, both ways", () => {
  for (const dtype of laneDTypes) {
    it(`${dtype}`, () => {
      for (const shape of [[], [1], [3, 5], [2, 3, 17], [4, 1, 9], [0], [2, 0], [0, 2], [1, 1000], [17, 33]]) {
        for (const layout of layouts) {
          const x = operand(dtype, shape, layout, random)
          check(x)
          if (!isFloat(dtype)) continue
          fill(x.data, dtype, random, true)
          check(x)
        }
      }
      for (let n = 2; n < 70; n++) check(operand(dtype, [n], "contiguous", random))
    })
  }
})

describe("details", () => {
  it("the whole range of integers", () => {
    check(operandOf("int32", [6], [2 ** 31 - 1, -(2 ** 31), 0, -1, 1, -(2 ** 31)]))
    check(operandOf("uint8", [4], [255, 0, 128, 127]))
  })
  it("the whole range of floats", () => {
    const values = [1e-45, -1e-45, 0, -0, 3e38, -3e38, Infinity, -Infinity, NaN, 1e-310, -1e-310, 1e308, -1e308]
    for (const dtype of ["float32", "float64"] as const) check(operandOf(dtype, [values.length], values))
  })
  it("equal keys stay in order", () => {
    const x = operandOf(
      "float32",
      [40],
      Array.from({ length: 40 }, (_, i) => (i % 2 ? 0 : -0)),
    )
    for (const device of devices) {
      for (const descending of [false, true]) {
        const outputs = [operandOf("float32", [40], []), operandOf("int32", [40], [])]
        const positions = outcome(device, { kind: "sort", descending }, [x], outputs)[1].slice(0, 40)
        expect(positions).toEqual([...Array(40).keys()])
      }
    }
  })
  it("in place", () => {
    const x = operand("float32", [5, 40], "contiguous", random)
    agree("in place", { kind: "sort", descending: false }, [x], [x, operand("int32", [5, 40], "contiguous", random)])
  })
  it("a hundred thousand elements", () => {
    const x = operand("float32", [100_000], "contiguous", random)
    x.data.forEach((_, i) => (x.data[i] = random()))
    check(x)
  })
})
