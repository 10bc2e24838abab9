// Tests of the gather and scatter kernels against plain loops, with bad indices, repeated ones and every dtype.
import { type DType, dtypes, IndexError, sizeOf, type View } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import {
  backend,
  emptyView,
  expanded,
  fillView,
  layouts,
  randomFrom,
  randomView,
  rounded,
  type Value,
  valuesOf,
  viewOf,
} from "./testing.js"

const random = randomFrom(3)
const anyLayout = () => layouts[Math.floor(random() * layouts.length)]

/** Every index of a shape, row-major. */
function indices(shape: readonly number[]): number[][] {
  if (shape.length === 0) return [[]]
  return Array.from({ length: shape[0] }, (_, i) => indices(shape.slice(1)).map((rest) => [i, ...rest])).flat()
}
const flat = (shape: readonly number[], index: readonly number[]) => index.reduce((at, i, d) => at * shape[d] + i, 0)

function randomIndex(
  dtype: "int32" | "int64",
  shape: readonly number[],
  size: number,
): { view: View; values: number[] } {
  const values = Array.from({ length: sizeOf(shape) }, () => Math.floor(random() * size))
  const view = viewOf(dtype, shape, dtype === "int64" ? values.map(BigInt) : values, anyLayout(), random)
  return { view, values }
}

// x, index, dim; the index may be smaller than x in the other dims.
const cases: [number[], number[], number][] = [
  [[5], [8], 0], [[5, 3], [4, 3], 0], [[5, 3], [5, 6], 1], [[4, 3, 2], [4, 7, 2], 1], [[4, 3, 2], [2, 3, 1], 0],
  [[3, 4], [0, 4], 0], [[1, 4], [9, 2], 0], [[6, 5], [6, 1], 1], [[2, 3, 4, 2], [2, 3, 4, 5], 3],
] // prettier-ignore

describe("gather", () => {
  for (const dtype of dtypes) {
    it(`picks ${dtype} along any dim of any layout`, () => {
      for (const [shape, indexShape, dim] of cases) {
        for (const layout of layouts) {
          const x = randomView(dtype, shape, layout, random)
          const index = randomIndex(layout === "mixed" ? "int64" : "int32", indexShape, shape[dim])
          const out = emptyView(dtype, indexShape, anyLayout(), random)
          backend.run({ kind: "gather", dim }, [x.view, index.view], [out])
          const expected = indices(indexShape).map((at, i) => {
            const from = at.slice()
            from[dim] = index.values[i]
            return x.values[flat(shape, from)]
          })
          expect(valuesOf(out), `[${shape}] [${indexShape}] ${dim} ${layout}`).toEqual(expected)
        }
      }
    })
  }

  it("looks up rows through an expanded index", () => {
    const table = randomView("float32", [10, 4], "contiguous", random)
    const index = expanded(viewOf("int64", [3, 1], [7n, 0n, 7n]), [3, 4])
    const out = emptyView("float32", [3, 4], "contiguous", random)
    backend.run({ kind: "gather", dim: 0 }, [table.view, index], [out])
    const row = (i: number) => table.values.slice(4 * i, 4 * i + 4)
    expect(valuesOf(out)).toEqual([...row(7), ...row(0), ...row(7)])
  })

  it("names the bad index and writes nothing", () => {
    const x = viewOf("float32", [2, 5], Array(10).fill(1))
    for (const bad of [7, 5, -1]) {
      for (const dtype of ["int32", "int64"] as const) {
        const list = [0, 1, bad]
        const index = viewOf(dtype, [1, 3], dtype === "int64" ? list.map(BigInt) : list)
        const out = viewOf("float32", [1, 3], [9, 9, 9])
        const act = () => backend.run({ kind: "gather", dim: 1 }, [x, index], [out])
        expect(act).toThrow(IndexError)
        expect(act).toThrow(`gather: index out of range: got ${bad}, expected 0 <= index < 5 at dim 1`)
        expect(valuesOf(out)).toEqual([9, 9, 9])
      }
    }
  })

  it("may write over what it reads", () => {
    const x = viewOf("int32", [4], [10, 11, 12, 13])
    backend.run({ kind: "gather", dim: 0 }, [x, viewOf("int32", [4], [3, 2, 1, 0])], [x])
    expect(valuesOf(x)).toEqual([13, 12, 11, 10])
  })
})

describe("scatter", () => {
  const sum = (dtype: DType, a: Value, b: Value): Value => {
    if (dtype === "int64") return BigInt(a) + BigInt(b)
    return dtype === "bool" ? Number(a) | Number(b) : rounded(dtype, Number(a) + Number(b))
  }
  for (const dtype of dtypes) {
    for (const mode of ["add", "replace"] as const) {
      it(`${mode}s ${dtype} in row-major order, along any dim of any layout`, () => {
        for (const [shape, indexShape, dim] of cases) {
          for (const layout of layouts) {
            const out = randomView(dtype, shape, layout, random)
            const index = randomIndex(layout === "mixed" ? "int64" : "int32", indexShape, shape[dim])
            const source = randomView(dtype, indexShape, anyLayout(), random)
            backend.run({ kind: "scatter", dim, mode }, [index.view, source.view], [out.view])
            const expected = out.values.slice()
            indices(indexShape).forEach((at, i) => {
              const to = at.slice()
              to[dim] = index.values[i]
              const k = flat(shape, to)
              expected[k] = mode === "add" ? sum(dtype, expected[k], source.values[i]) : source.values[i]
            })
            expect(valuesOf(out.view), `[${shape}] [${indexShape}] ${dim} ${layout}`).toEqual(expected)
          }
        }
      })
    }
  }

  it("sums the rows of an expanded index, as an embedding's gradient does", () => {
    const out = fillView(emptyView("float32", [5, 3], "contiguous", random), Array(15).fill(0))
    const index = expanded(viewOf("int32", [4, 1], [1, 4, 1, 1]), [4, 3])
    backend.run(
      { kind: "scatter", dim: 0, mode: "add" },
      [index, viewOf("float32", [4, 3], [...Array(12).keys()])],
      [out],
    )
    expect(valuesOf(out)).toEqual([0, 0, 0, 15, 18, 21, 0, 0, 0, 0, 0, 0, 3, 4, 5])
  })

  it("names the bad index and writes nothing", () => {
    const out = viewOf("float32", [3], [1, 2, 3])
    const act = () =>
      backend.run(
        { kind: "scatter", dim: 0, mode: "replace" },
        [viewOf("int32", [2], [0, 3]), viewOf("float32", [2], [8, 9])],
        [out],
      )
    expect(act).toThrow("scatter: index out of range: got 3, expected 0 <= index < 3 at dim 0")
    expect(valuesOf(out)).toEqual([1, 2, 3])
  })
})
