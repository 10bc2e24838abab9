// Reductions over every dtype, layout, dims and size against the reference, and the rules for NaN, ties, empties and accuracy.
import { type DType, e, type Expr, isFloat, type ReduceKernel, type ReduceOperator, sizeOf } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { WasmSimd } from "./backend.js"
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
const random = randomFrom(5)
const keptShape = (shape: readonly number[], dims: readonly number[]) => shape.map((n, d) => (dims.includes(d) ? 1 : n))
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]

/** Runs a reduction of one input into an output of any layout. */
function check(op: ReduceOperator, x: Operand, dims: readonly number[], expr: Expr, to?: DType): void {
  const dtype = to ?? (op.startsWith("arg") ? "int32" : expr.dtype)
  const out = operand(dtype, keptShape(x.shape, dims), pick(layouts), random)
  const kernel: ReduceKernel = { kind: "reduce", op, dims, expr }
  const exact = !isFloat(dtype) || (op !== "sum" && op !== "prod")
  const relative = exact ? 0 : dtype === "float64" ? 1e-14 : 2 ** -22
  agree(`${op} of ${x.dtype} [${x.shape}] strides [${x.strides}] over [${dims}] to [${out.strides}]`, kernel, [x], [out], { relative, scale: 8 })
} // prettier-ignore

const cases: [number[], number[][]][] = [
  [[], [[]]],
  [[7], [[0], []]],
  [[3, 4], [[0], [1], [0, 1]]],
  [[2, 3, 5], [[0], [1], [2], [0, 2], [0, 1], [1, 2], [0, 1, 2]]],
  [[2, 3, 2, 3], [[0, 2], [1, 3], [1], [3, 0]]],
  [[4, 1, 3], [[1], [0, 1], [1, 2]]],
  [[1, 1], [[0], [0, 1]]],
  [[2, 1100], [[0], [1], [0, 1]]],
  [[1100, 2], [[0], [1], [0, 1]]],
  [[37, 75], [[0], [1], [0, 1]]],
  [[9, 5, 41], [[1], [0, 2]]],
] // prettier-ignore

const operators = (dtype: DType): ReduceOperator[] => [
  ...(["sum", "prod", "max", "min", "argmax", "argmin"] as const),
  ...(isFloat(dtype) ? [] : (["any", "all"] as const)),
]

describe("any dims of any layout", () => {
  for (const dtype of laneDTypes) {
    for (const op of operators(dtype)) {
      it(`${op} of ${dtype}`, () => {
        for (const [shape, dimsOf] of cases) {
          for (const dims of dimsOf) {
            if (op.startsWith("arg") && dims.length !== 1) continue
            // Code differs by dtype less than by walk: every layout for one dtype, some for the others.
            for (const layout of dtype === "float32"
              ? layouts
              : ["contiguous" as const, pick(layouts), pick(layouts)]) {
              const x = e.input(0, dtype)
              // Products of many numbers stay in range if the numbers are near 1.
              const near = e.add(e.mul(x, e.like(x, 2 ** -12)), e.like(x, 1))
              const expr = op === "prod" && isFloat(dtype) ? near : x
              check(op, operand(dtype, shape, layout, random), dims, expr)
            }
          }
        }
      })
    }
  }
  it("every number of elements up to 80, in rows and columns", () => {
    for (const dtype of laneDTypes) {
      for (const op of operators(dtype)) {
        if (op === "prod") continue
        for (let n = 1; n <= 80; n += dtype === "float32" ? 1 : 7) {
          check(op, operand(dtype, [n], "stepped", random), [0], e.input(0, dtype))
          check(op, operand(dtype, [3, n], "contiguous", random), [0], e.input(0, dtype))
          check(op, operand(dtype, [3, n], "contiguous", random), [1], e.input(0, dtype))
        }
      }
    }
  })
})

describe("expressions", () => {
  const f = e.input(0, "float32")
  it("are fused, over broadcast inputs and scalars", () => {
    const difference = e.sub(f, e.mul(e.input(1, "float32"), e.scalar(0, "float32")))
    const heavy = e.exp(e.mul(difference, e.like(f, 2 ** -4)))
    for (const expr of [e.mul(difference, difference), heavy]) {
      for (const shape of [[3, 4], [5, 300], [300, 5], [70, 70]]) {
        for (const stretched of [[0], [1], [0, 1]]) {
          for (const dims of [[0], [1], [0, 1]]) {
            const inputs = [operand("float32", shape, pick(layouts), random), operand("float32", shape, "contiguous", random, stretched)]
            const out = operand("float32", keptShape(shape, dims), "contiguous", random)
            agree(`[${shape}] over [${dims}]`, { kind: "reduce", op: "sum", dims, expr }, inputs, [out], { relative: 1e-6, scale: 8 }, [0.75])
          }
        }
      }
    }
  }) // prettier-ignore
  it("count a broadcast input once for every element", () => {
    check("sum", operand("float32", [3000], "contiguous", random, [0]), [0], f)
    check("sum", operand("int32", [30, 40], "contiguous", random, [0, 1]), [0], e.input(0, "int32"))
  })
  it("may leave out inputs", () => {
    const inputs = [operand("float32", [5, 6], "contiguous", random), operand("int32", [5, 6], "mixed", random)]
    const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims: [1], expr: e.input(1, "int32") }
    agree("only the second", kernel, inputs, [operand("int32", [5, 1], "contiguous", random)])
  })
  it("convert on the way out", () => {
    for (const to of laneDTypes) {
      for (const dims of [[0], [1]]) check("sum", operand("int32", [6, 9], "contiguous", random), dims, e.input(0, "int32"), to)
    }
    check("sum", operandOf("float32", [4], [1, 2.25, 3, 4.5]), [0], f, "int32")
  }) // prettier-ignore
  it("write over an input of the same shape", () => {
    const x = operand("float32", [5, 1, 37], "contiguous", random)
    agree("in place", { kind: "reduce", op: "sum", dims: [1], expr: e.exp(f) }, [x], [x], { relative: 1e-6, scale: 1 })
  })
})

describe("the rules", () => {
  const f = e.input(0, "float32")
  it("gives the neutral element for nothing", () => {
    for (const dtype of laneDTypes) {
      for (const op of operators(dtype)) {
        for (const shape of [[2, 0], [0, 3], [0, 0]]) {
          for (const dims of [[0], [1], [0, 1]]) {
            if (op.startsWith("arg") && dims.length > 1) continue
            check(op, operand(dtype, shape, "contiguous", random), dims, e.input(0, dtype))
          }
        }
      }
    }
  }) // prettier-ignore
  it("hands NaN, infinities and zeros on as the reference does", () => {
    for (const dtype of ["float32", "float64"] as const) {
      for (const op of operators(dtype)) {
        for (let round = 0; round < 60; round++) {
          const x = operand(
            dtype,
            [1 + Math.floor(random() * 50), 1 + Math.floor(random() * 50)],
            pick(layouts),
            random,
          )
          fill(x.data, dtype, random, true)
          if (round % 3 === 0) x.data.forEach((v, i) => (x.data[i] = Number(v) > 0 ? -Infinity : Number(v)))
          for (const dims of [[0], [1]]) check(op, x, dims, e.input(0, dtype))
        }
      }
    }
  })
  it("finds the first among equals", () => {
    for (const dtype of laneDTypes) {
      for (const value of [0, 1, ...(isFloat(dtype) ? [NaN, Infinity, -Infinity] : [])]) {
        for (const op of ["argmax", "argmin"] as const) {
          const x = operandOf(dtype, [70], new Array(70).fill(value))
          for (const device of devices) {
            const kernel: ReduceKernel = { kind: "reduce", op, dims: [0], expr: e.input(0, dtype) }
            expect(outcome(device, kernel, [x], [operandOf("int32", [1], [7])])[0][0]).toBe(0)
          }
        }
      }
    }
  })
  it("wraps integers", () => {
    check("sum", operandOf("int32", [2], [2 ** 31 - 1, 1]), [0], e.input(0, "int32"))
    check("sum", operandOf("uint8", [3], [200, 100, 1]), [0], e.input(0, "uint8"))
  })
  it("carries sums so that nothing is lost", () => {
    const sum = (x: Operand) => {
      const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims: [0], expr: e.input(0, x.dtype) }
      const lists = devices.map((device) => outcome(device, kernel, [x], [operandOf(x.dtype, [1], [0])])[0][0])
      expect(new Set(lists).size).toBe(1)
      return lists[0]
    }
    const tenths = sum(operandOf("float32", [100_000], new Array(100_000).fill(0.1)))
    expect(Math.abs(tenths / (1e5 * Math.fround(0.1)) - 1)).toBeLessThan(2 ** -22)
    expect(sum(operandOf("float64", [4], [1, 1e100, 1, -1e100]))).toBe(2)
    expect(sum(operandOf("float64", [3], [Infinity, 1, 2]))).toBe(Infinity)
    // Rounding errors of a running sum of a million terms would be about 1e-3 and 1e-11.
    const many = Float64Array.from({ length: 1_000_000 }, () => random() * 2 - 0.5)
    const exact = (list: ArrayLike<number>) => {
      let high = 0
      let low = 0
      for (let i = 0; i < list.length; i++) {
        const next = high + list[i]
        low += Math.abs(high) >= Math.abs(list[i]) ? high - next + list[i] : list[i] - next + high
        high = next
      }
      return high + low
    }
    const single = Float32Array.from(many)
    expect(Math.abs(sum(operandOf("float32", [1e6], single)) / exact(single) - 1)).toBeLessThan(2 ** -23)
    expect(Math.abs(sum(operandOf("float64", [1e6], many)) / exact(many) - 1)).toBeLessThan(2 ** -52)
  })
  it("refuses any and all of numbers", () => {
    const run = () => check("any", operandOf("float32", [1], [1]), [0], f)
    expect(run).toThrow("reduce: any is not defined for float32")
    const device = new WasmSimd()
    const kernel: ReduceKernel = { kind: "reduce", op: "all", dims: [0], expr: e.input(0, "float64") }
    const act = () => outcome(device, kernel, [operandOf("float64", [1], [1])], [operandOf("bool", [1], [1])])
    expect(act).toThrow("reduce: all is not defined for float64")
  })
})

describe("large reductions in blocks", () => {
  for (const dtype of ["float32", "float64", "int32", "bool"] as const) {
    for (const [shape, dims] of [[[600_001], [0]], [[700, 401], [0, 1]], [[70_000, 5], [0]], [[5, 70_001], [1]], [[300, 7, 200], [0, 2]], [[9001, 33], [0]]] as [number[], number[]][]) {
      it(`${dtype} [${shape}] over [${dims}], however the work is cut`, () => {
        const x = operand(dtype, shape, "contiguous", random)
        for (const op of operators(dtype)) {
          if (op === "prod" || (op.startsWith("arg") && dims.length > 1)) continue
          check(op, x, dims, e.input(0, dtype))
          const out = operand(op.startsWith("arg") ? "int32" : dtype, keptShape(shape, dims), "contiguous", random)
          expect(sizeOf(out.shape)).toBeLessThan(100)
          const kernel: ReduceKernel = { kind: "reduce", op, dims, expr: e.input(0, dtype) }
          const [whole, , pieces] = devices.map((device) => outcome(device, kernel, [x], [out]))
          expect(pieces).toEqual(whole)
        }
      })
    }
  } // prettier-ignore
})
