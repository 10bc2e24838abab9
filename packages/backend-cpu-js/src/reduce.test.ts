// Tests of the reduce kernel against plain loops: operators, dims, layouts, block borders, ties, NaN, accuracy.
import { type DType, e, type Expr, type ReduceOperator, sizeOf, type View } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import {
  backend,
  emptyView,
  expanded,
  layouts,
  randomFrom,
  randomView,
  rounded,
  type Value,
  valuesOf,
  viewOf,
} from "./testing.js"

const random = randomFrom(5)
const outShape = (shape: readonly number[], dims: readonly number[]) => shape.map((n, d) => (dims.includes(d) ? 1 : n))
const outDType = (op: ReduceOperator, dtype: DType): DType => (op.startsWith("arg") ? "int32" : dtype)

/** The values that go into each result, in row-major order, with the result's position. */
function groups(shape: readonly number[], dims: readonly number[], values: readonly Value[]): Value[][] {
  const kept = outShape(shape, dims)
  const lists: Value[][] = Array.from({ length: sizeOf(kept) }, () => [])
  values.forEach((value, at) => {
    let rest = at
    const index = new Array<number>(shape.length)
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d] = rest % shape[d]
      rest = Math.floor(rest / shape[d])
    }
    lists[kept.reduce((to, n, d) => to * n + (n === 1 ? 0 : index[d]), 0)].push(value)
  })
  return lists
}

const naive: Record<ReduceOperator, (list: Value[], dtype: DType) => Value> = {
  sum: (list, dtype) => list.reduce((s, x) => (dtype === "int64" ? BigInt(s) + BigInt(x) : Number(s) + Number(x)), 0),
  prod: (list, dtype) => list.reduce((s, x) => (dtype === "int64" ? BigInt(s) * BigInt(x) : dtype === "int32" ? Math.imul(Number(s), Number(x)) : dtype === "uint8" ? (Number(s) * Number(x)) % 256 : Number(s) * Number(x)), 1), // prettier-ignore
  max: (list) => list.reduce((s, x) => (x > s ? x : s)),
  min: (list) => list.reduce((s, x) => (x < s ? x : s)),
  argmax: (list) => list.reduce((at: number, x, i) => (x > list[at] ? i : at), 0),
  argmin: (list) => list.reduce((at: number, x, i) => (x < list[at] ? i : at), 0),
  any: (list) => (list.some((x) => x !== 0) ? 1 : 0),
  all: (list) => (list.every((x) => x !== 0) ? 1 : 0),
}

function reduce(op: ReduceOperator, dims: readonly number[], inputs: readonly View[], expr: Expr, out?: View): Value[] {
  const shape = outShape(inputs[0].shape, dims)
  const target = out ?? emptyView(outDType(op, expr.dtype), shape, layouts[Math.floor(random() * 5)], random)
  backend.run({ kind: "reduce", op, dims, expr }, inputs, [target])
  return valuesOf(target)
}

function close(got: Value[], expected: Value[], dtype: DType, note: string): void {
  if (!dtype.startsWith("float")) return expect(got, note).toEqual(expected)
  expect(got.length, note).toBe(expected.length)
  const tolerance = dtype === "float64" ? 1e-14 : 2 ** -23
  got.forEach((x, i) => {
    const y = Number(expected[i])
    if (!(Math.abs(Number(x) - y) <= tolerance * Math.max(8, Math.abs(y)))) expect.fail(`${note}: ${x} and ${y}`)
  })
}

const cases: [number[], number[][]][] = [
  [[7], [[0], []]],
  [[3, 4], [[0], [1], [0, 1]]],
  [[2, 3, 5], [[0], [1], [2], [0, 2], [0, 1], [1, 2], [0, 1, 2]]],
  [[2, 3, 2, 3], [[0, 2], [1, 3], [1], [3, 0]]],
  [[4, 1, 3], [[1], [0, 1], [1, 2]]],
  [[1, 1], [[0], [0, 1]]],
  [[2, 1100], [[0], [1], [0, 1]]],
  [[1100, 2], [[0], [1], [0, 1]]],
  [[2, 300, 2], [[1], [0, 2]]],
  [[2, 2, 1100], [[1], [0, 2]]],
] // prettier-ignore
const numeric: ReduceOperator[] = ["sum", "prod", "max", "min"]

describe("reduce", () => {
  for (const dtype of ["float32", "float64", "int32", "int64", "uint8"] as const) {
    for (const op of numeric) {
      it(`${op} of ${dtype} over any dims of any layout`, () => {
        for (const [shape, dimsOf] of cases) {
          for (const dims of dimsOf) {
            for (const layout of layouts) {
              // Products of many numbers stay in range if the numbers are near 1.
              const { view, values } = randomView(dtype, shape, layout, random)
              const f = e.input(0, dtype)
              const small = op === "prod" && dtype.startsWith("float")
              const expr = small ? e.add(e.mul(f, e.like(f, 2 ** -12)), e.like(f, 1)) : f
              const list = small ? values.map((x) => rounded(dtype, Number(x) * 2 ** -12 + 1)) : values
              const expected = groups(shape, dims, list).map((group) => rounded(dtype, naive[op](group, dtype)))
              close(reduce(op, dims, [view], expr), expected, dtype, `${op} of [${shape}] over [${dims}], ${layout}`)
            }
          }
        }
      })
    }

    it(`argmax and argmin of ${dtype}, the first of equals`, () => {
      for (const op of ["argmax", "argmin"] as const) {
        for (const [shape, dimsOf] of cases) {
          for (const dims of dimsOf.filter((list) => list.length === 1)) {
            for (const layout of layouts) {
              const { view, values } = randomView(dtype, shape, layout, random)
              const expected = groups(shape, dims, values).map((group) => naive[op](group, dtype))
              expect(reduce(op, dims, [view], e.input(0, dtype)), `[${shape}] over [${dims}]`).toEqual(expected)
            }
          }
        }
      }
    })
  }

  it("any and all of bool", () => {
    for (const op of ["any", "all"] as const) {
      for (const [shape, dimsOf] of cases) {
        for (const dims of dimsOf) {
          const { view, values } = randomView("bool", shape, "mixed", random)
          const expected = groups(shape, dims, values).map((group) => naive[op](group, "bool"))
          expect(reduce(op, dims, [view], e.input(0, "bool")), `${op} of [${shape}] over [${dims}]`).toEqual(expected)
        }
      }
    }
  })
})

describe("expressions", () => {
  it("are fused, over several inputs, broadcast ones among them", () => {
    for (const shape of [
      [3, 4],
      [5, 300],
      [300, 5],
    ]) {
      const a = randomView("float32", shape, "permuted", random)
      const b = randomView("float32", [1, shape[1]], "contiguous", random)
      const difference = e.sub(e.input(0, "float32"), e.input(1, "float32"))
      const list = a.values.map((x, i) => Math.fround(Math.fround(Number(x) - Number(b.values[i % shape[1]])) ** 2))
      for (const dims of [[0], [1], [0, 1]]) {
        const got = reduce("sum", dims, [a.view, expanded(b.view, shape)], e.mul(difference, difference))
        close(
          got,
          groups(shape, dims, list).map((group) => naive.sum(group, "float64")),
          "float32",
          `[${dims}]`,
        )
      }
    }
  })

  it("count a broadcast input once for every element", () => {
    const one = expanded(viewOf("float32", [1], [0.5]), [3000])
    expect(reduce("sum", [0], [one], e.input(0, "float32"))).toEqual([1500])
  })

  it("take scalars and compare", () => {
    const x = viewOf("int32", [5], [1, 5, 2, 7, 3])
    const above = e.cast(e.gt(e.input(0, "int32"), e.scalar(0, "int32")), "int32")
    const out = emptyView("int32", [1], "contiguous", random)
    backend.run({ kind: "reduce", op: "sum", dims: [0], expr: above }, [x], [out], [2])
    expect(valuesOf(out)).toEqual([3])
  })

  it("convert on the way out", () => {
    const x = viewOf("float32", [2, 2], [1, 2.25, 3, 4.5])
    for (const [dtype, expected] of [
      ["float16", [3.25, 7.5]],
      ["bfloat16", [3.25, 7.5]],
      ["int32", [3, 7]],
      ["int64", [3n, 7n]],
    ] as const) {
      // prettier-ignore
      for (const layout of layouts) {
        const out = emptyView(dtype, [2, 1], layout, random)
        expect(reduce("sum", [1], [x], e.input(0, "float32"), out)).toEqual(expected)
      }
    }
    const half = viewOf("float16", [3], [2048, 1, 1])
    const wide = e.cast(e.input(0, "float16"), "float32")
    expect(reduce("sum", [0], [half], wide)).toEqual([2050])
  })
})

describe("the rules", () => {
  const f = e.input(0, "float32")

  it("gives the neutral element for nothing", () => {
    const none = viewOf("float32", [2, 0], [])
    expect(reduce("sum", [1], [none], f)).toEqual([0, 0])
    expect(reduce("prod", [1], [none], f)).toEqual([1, 1])
    expect(reduce("sum", [0], [none], f)).toEqual([])
    const nobody = viewOf("bool", [0], [])
    expect(reduce("any", [0], [nobody], e.input(0, "bool"))).toEqual([0])
    expect(reduce("all", [0], [nobody], e.input(0, "bool"))).toEqual([1])
    expect(reduce("sum", [0], [viewOf("int64", [0], [])], e.input(0, "int64"))).toEqual([0n])
  })

  it("hands NaN on", () => {
    const rows = [[1, NaN, 3], [NaN, 1, NaN], [-1, Infinity, -Infinity]] // prettier-ignore
    for (const layout of layouts) {
      const x = viewOf("float32", [3, 3], rows.flat(), layout, random)
      expect(reduce("max", [1], [x], f)).toEqual([NaN, NaN, Infinity])
      expect(reduce("min", [1], [x], f)).toEqual([NaN, NaN, -Infinity])
      expect(reduce("max", [0], [x], f)).toEqual([NaN, NaN, NaN])
      expect(reduce("argmax", [1], [x], f)).toEqual([1, 0, 1])
      expect(reduce("argmin", [1], [x], f)).toEqual([1, 0, 2])
      expect(reduce("argmax", [0], [x], f)).toEqual([1, 0, 1])
      expect(reduce("sum", [1], [x], f)).toEqual([NaN, NaN, NaN])
    }
  })

  it("finds extremes among infinities and equals", () => {
    const x = viewOf("float64", [4], [-Infinity, -Infinity, -Infinity, -Infinity])
    expect(reduce("argmax", [0], [x], e.input(0, "float64"))).toEqual([0])
    expect(reduce("argmin", [0], [viewOf("int32", [4], [3, 1, 1, 3])], e.input(0, "int32"))).toEqual([1])
    expect(reduce("argmax", [0], [viewOf("uint8", [4], [0, 0, 9, 9])], e.input(0, "uint8"))).toEqual([2])
  })

  it("wraps integer sums in their dtype", () => {
    expect(reduce("sum", [0], [viewOf("int32", [2], [2 ** 31 - 1, 1])], e.input(0, "int32"))).toEqual([-(2 ** 31)])
    expect(reduce("sum", [0], [viewOf("uint8", [3], [200, 100, 1])], e.input(0, "uint8"))).toEqual([45])
    expect(reduce("sum", [0], [viewOf("int64", [2], [2n ** 63n - 1n, 1n])], e.input(0, "int64"))).toEqual([
      -(2n ** 63n),
    ])
  })

  it("sums float32 in double and float64 with compensation", () => {
    const x = viewOf("float32", [3], [2 ** 24, 1, 1])
    expect(reduce("sum", [0], [x], f)).toEqual([2 ** 24 + 2])
    const many = viewOf("float32", [100_000], Array(100_000).fill(0.1))
    expect(reduce("sum", [0], [many], f)).toEqual([Math.fround(100_000 * Math.fround(0.1))])
    const wide = viewOf("float64", [4], [1, 1e100, 1, -1e100])
    expect(reduce("sum", [0], [wide], e.input(0, "float64"))).toEqual([2])
    const infinite = viewOf("float64", [3], [Infinity, 1, 2])
    expect(reduce("sum", [0], [infinite], e.input(0, "float64"))).toEqual([Infinity])
  })

  it("refuses any and all of numbers", () => {
    expect(() => reduce("any", [0], [viewOf("float32", [1], [1])], f)).toThrow("reduce: any is not defined for float32")
  })
})
