// Scans over every dtype, dim and layout, both ways, against the reference.
import { isFloat, type ScanKernel } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterAll, beforeAll, describe, it } from "vitest"
import { laneDTypes } from "./lanes.js"
import {
  agreement,
  closeDevices,
  fill,
  layouts,
  operand,
  type Operand,
  operandOf,
  randomFrom,
  startDevices,
} from "./testing.js"

beforeAll(startDevices)
afterAll(closeDevices)

const agree = agreement(new CpuJs())
const random = randomFrom(13)
const anyLayout = () => layouts[Math.floor(random() * layouts.length)]

const shapes: [number[], number][] = [
  [[6], 0], [[3, 5], 0], [[3, 5], 1], [[2, 4, 3], 1], [[5, 3, 37], 1], [[37, 3, 5], 2], [[40, 19], 0], [[40, 19], 1],
  [[0, 3], 0], [[3, 0], 0], [[1], 0], [[300, 2], 0], [[1, 4, 1], 1],
] // prettier-ignore

function check(op: ScanKernel["op"], x: Operand, dim: number, relative = 0): void {
  for (const reverse of [false, true]) {
    const outputs = [operand(x.dtype, x.shape, anyLayout(), random)]
    if (op === "max" || op === "min") outputs.push(operand("int32", x.shape, anyLayout(), random))
    const note = `${op} of ${x.dtype} [${x.shape}] strides [${x.strides}] along ${dim}, ${reverse}`
    agree(note, { kind: "scan", op, dim, reverse }, [x], outputs, { relative, scale: 1 })
  }
}

describe("any dim of any layout, both ways", () => {
  for (const dtype of laneDTypes) {
    for (const op of ["sum", "prod", "max", "min"] as const) {
      // Totals are not of bool: core converts first.
      if (dtype === "bool" && (op === "sum" || op === "prod")) continue
      it(`${op} of ${dtype}`, () => {
        for (const [shape, dim] of shapes) {
          for (const layout of layouts) {
            const x = operand(dtype, shape, layout, random)
            // Bit for bit: the order of operations is that of the reference.
            check(op, x, dim)
            if (!isFloat(dtype)) continue
            fill(x.data, dtype, random, true)
            check(op, x, dim)
          }
        }
      })
    }
  }
})

describe("details", () => {
  it("round at every store and carry more", () => {
    const x = operandOf("float32", [5], [2 ** 24, 1, 1, 1, 1])
    check("sum", x, 0)
  })
  it("may write over the input", () => {
    for (const dim of [0, 1]) {
      const x = operand("float32", [13, 21], "contiguous", random)
      agree("in place", { kind: "scan", op: "sum", dim }, [x], [x])
    }
  })
  it("read broadcast lines", () => {
    check("sum", operand("float64", [7, 9], "contiguous", random, [1]), 0)
    check("max", operand("int32", [7, 9], "contiguous", random, [0]), 0)
  })
  // torch.cummax and torch.cummin of PyTorch 1.13.1 treat this row as the reference does, whose tests hold the numbers.
  it("take NaN over", () => {
    const row = [1, 3, 3, NaN, 2, NaN, 5]
    for (const dtype of ["float32", "float64"] as const) {
      for (const op of ["max", "min"] as const) check(op, operandOf(dtype, [7], row), 0)
    }
  })
})
