// Tests of the scan and sort kernels against plain loops and against what PyTorch does with NaN and ties.
import { type DType, dtypes, type ScanKernel } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import {
  backend,
  emptyView,
  layouts,
  randomFrom,
  randomView,
  rounded,
  type Value,
  valuesOf,
  viewOf,
} from "./testing.js"

const random = randomFrom(13)
const anyLayout = () => layouts[Math.floor(random() * layouts.length)]

/** Applies `line` to every line along `dim` of row-major values. */
function alongLines<T>(
  shape: readonly number[],
  dim: number,
  values: readonly Value[],
  line: (v: Value[]) => T[],
): T[] {
  const n = shape[dim]
  const inner = shape.slice(dim + 1).reduce((a, b) => a * b, 1)
  const out = new Array<T>(values.length)
  for (let start = 0; start < values.length; start++) {
    if (Math.floor(start / inner) % n !== 0) continue
    const at = Array.from({ length: n }, (_, i) => start + i * inner)
    line(at.map((k) => values[k])).forEach((x, i) => (out[at[i]] = x))
  }
  return out
}

const shapes: [number[], number][] = [[[6], 0], [[3, 5], 0], [[3, 5], 1], [[2, 4, 3], 1], [[0, 3], 0], [[3, 0], 0], [[1], 0], [[1200, 2], 0]] // prettier-ignore
const reversible =
  <T>(reverse: boolean, line: (v: Value[]) => T[]) =>
  (v: Value[]) =>
    reverse ? line(v.slice().reverse()).reverse() : line(v)

describe("sum and prod", () => {
  for (const dtype of ["float32", "float64", "float16", "int32", "int64", "uint8"] as const) {
    it(`of ${dtype}, both ways, along any dim`, () => {
      for (const op of ["sum", "prod"] as const) {
        for (const [shape, dim] of shapes) {
          for (const reverse of [false, true]) {
            const x = randomView(dtype, shape, anyLayout(), random)
            const out = emptyView(dtype, shape, anyLayout(), random)
            backend.run({ kind: "scan", op, dim, reverse }, [x.view], [out])
            const expected = alongLines(
              shape,
              dim,
              x.values,
              reversible(reverse, (line) => running(op, dtype, line)),
            )
            expect(valuesOf(out), `${op} [${shape}] ${dim} ${reverse}`).toEqual(expected)
          }
        }
      }
    })
  }

  function running(op: "sum" | "prod", dtype: DType, line: Value[]): Value[] {
    let s: Value = dtype === "int64" ? BigInt(op === "prod") : Number(op === "prod")
    return line.map((x) => {
      if (dtype === "int64") s = BigInt.asIntN(64, op === "sum" ? BigInt(s) + BigInt(x) : BigInt(s) * BigInt(x))
      else if (dtype === "int32" || dtype === "uint8")
        s = op === "sum" ? (Number(s) + Number(x)) | 0 : Math.imul(Number(s), Number(x))
      else s = op === "sum" ? Number(s) + Number(x) : Number(s) * Number(x)
      return rounded(dtype, s)
    })
  }

  it("run in place", () => {
    const x = viewOf("float32", [4], [1, 2, 3, 4])
    backend.run({ kind: "scan", op: "sum", dim: 0 }, [x], [x])
    expect(valuesOf(x)).toEqual([1, 3, 6, 10])
  })
})

describe("max and min", () => {
  const run = (kernel: Omit<ScanKernel, "kind">, dtype: DType, shape: number[], values: Value[]) => {
    const x = viewOf(dtype, shape, values, anyLayout(), random)
    const outputs = [emptyView(dtype, shape, anyLayout(), random), emptyView("int32", shape, anyLayout(), random)]
    backend.run({ kind: "scan", ...kernel }, [x], outputs)
    return outputs.map(valuesOf)
  }

  it("of every dtype, the last of equals", () => {
    for (const dtype of dtypes) {
      for (const op of ["max", "min"] as const) {
        for (const [shape, dim] of shapes) {
          const { values } = randomView(dtype, shape, "contiguous", random)
          const [got, at] = run({ op, dim }, dtype, shape, values)
          const positions = alongLines(shape, dim, values, (line) => {
            let best = 0
            return line.map((x, i) => (best = (op === "max" ? x >= line[best] : x <= line[best]) ? i : best))
          })
          expect(at, `${op} ${dtype} [${shape}] ${dim}`).toEqual(positions)
          const expected = alongLines(shape, dim, values, (line) => {
            let best = line[0]
            return line.map((x) => (best = (op === "max" ? x >= best : x <= best) ? x : best))
          })
          expect(got).toEqual(expected)
        }
      }
    }
  })

  // torch.cummax and torch.cummin of PyTorch 1.13.1 on this row, and with flip before and after.
  const row = [1, 3, 3, NaN, 2, NaN, 5]
  it("treat NaN as PyTorch does", () => {
    expect(run({ op: "max", dim: 0 }, "float32", [7], row)).toEqual([[1, 3, 3, NaN, NaN, NaN, NaN], [0, 1, 2, 3, 3, 5, 5]]) // prettier-ignore
    expect(run({ op: "min", dim: 0 }, "float32", [7], row)).toEqual([[1, 1, 1, NaN, NaN, NaN, NaN], [0, 0, 0, 3, 3, 5, 5]]) // prettier-ignore
  })

  it("count positions from the start when reversed", () => {
    const [values, at] = run({ op: "max", dim: 0, reverse: true }, "int32", [5], [4, 1, 3, 3, 0])
    expect([values, at]).toEqual([[4, 3, 3, 3, 0], [0, 2, 2, 3, 4]]) // prettier-ignore
  })
})

describe("sort", () => {
  const run = (descending: boolean, dtype: DType, shape: number[], values: Value[]) => {
    const x = viewOf(dtype, shape, values, anyLayout(), random)
    const outputs = [emptyView(dtype, shape, anyLayout(), random), emptyView("int32", shape, anyLayout(), random)]
    backend.run({ kind: "sort", descending }, [x], outputs)
    return outputs.map(valuesOf)
  }

  for (const dtype of dtypes) {
    it(`${dtype}, stably, both ways`, () => {
      for (const shape of [[], [1], [7], [3, 5], [2, 3, 17], [0], [2, 0], [0, 2], [1, 1000]]) {
        for (const descending of [false, true]) {
          const { values } = randomView(dtype, shape, "contiguous", random)
          const n = shape.length === 0 ? 1 : shape[shape.length - 1]
          const sorted: number[] = []
          for (let start = 0; start < values.length; start += n) {
            const order = Array.from({ length: n }, (_, i) => i)
            const sign = descending ? -1 : 1
            order.sort((a, b) => {
              const [x, y] = [values[start + a], values[start + b]]
              return x < y ? -sign : x > y ? sign : a - b
            })
            sorted.push(...order)
          }
          const [got, at] = run(descending, dtype, shape, values)
          expect(at, `[${shape}] ${descending}`).toEqual(sorted)
          expect(got).toEqual(sorted.map((p, i) => values[Math.floor(i / n) * n + p]))
        }
      }
    })
  }

  // torch.sort(stable=True) of PyTorch 1.13.1.
  it("takes NaN for the greatest", () => {
    const row = [3, NaN, -Infinity, 0, Infinity, NaN, 3, -1]
    for (const dtype of ["float32", "float64", "float16"] as const) {
      expect(run(false, dtype, [8], row)).toEqual([[-Infinity, -1, 0, 3, 3, Infinity, NaN, NaN], [2, 7, 3, 0, 6, 4, 1, 5]]) // prettier-ignore
      expect(run(true, dtype, [8], row)).toEqual([[NaN, NaN, Infinity, 3, 3, 0, -1, -Infinity], [1, 5, 4, 0, 6, 3, 7, 2]]) // prettier-ignore
    }
  })

  it("sorts in place", () => {
    const x = viewOf("int32", [4], [3, 1, 2, 0])
    backend.run({ kind: "sort", descending: false }, [x], [x, emptyView("int32", [4], "contiguous", random)])
    expect(valuesOf(x)).toEqual([0, 1, 2, 3])
  })
})
