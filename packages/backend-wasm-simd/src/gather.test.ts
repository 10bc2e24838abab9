// Gathers and scatters over every dtype, dim and layout against the reference, with bad indices and repeated ones.
import { type DType, IndexError, isFloat, type ScatterKernel } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { laneDTypes } from "./lanes.js"
import {
  agreement,
  closeDevices,
  devices,
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
const random = randomFrom(3)
const anyLayout = () => layouts[Math.floor(random() * layouts.length)]

/** Indices below `size`, in any layout. */
function indices(shape: readonly number[], size: number, stretched: readonly number[] = []): Operand {
  const made = operand("int32", shape, stretched.length > 0 ? "contiguous" : anyLayout(), random, stretched)
  made.data.forEach((_, i) => (made.data[i] = Math.floor(random() * size)))
  return made
}

// x, index, dim, and the dims that the index is expanded over.
const cases: [number[], number[], number, number[]?][] = [
  [[5], [8], 0], [[5, 3], [4, 3], 0], [[5, 3], [5, 6], 1], [[4, 3, 2], [4, 7, 2], 1], [[4, 3, 2], [2, 3, 1], 0],
  [[3, 4], [0, 4], 0], [[1, 4], [9, 2], 0], [[6, 5], [6, 1], 1], [[2, 3, 4, 2], [2, 3, 4, 5], 3],
  [[10, 4], [3, 4], 0, [1]], [[10, 37], [23, 37], 0, [1]], [[10, 130], [5, 130], 0, [1]], [[6, 5, 21], [6, 9, 21], 1, [0, 2]],
  [[7, 50], [4, 50], 0, [0, 1]], [[7, 9], [7, 4], 1, [0]],
] // prettier-ignore

/** The part of `shape` that an index of `indexShape` reaches along `dim`. */
const reach = (shape: readonly number[], indexShape: readonly number[], dim: number): number[] =>
  indexShape.map((n, d) => (d === dim ? shape[d] : n))

describe("gather", () => {
  for (const dtype of laneDTypes) {
    it(`picks ${dtype} along any dim of any layout`, () => {
      for (const [shape, indexShape, dim, stretched] of cases) {
        for (const layout of layouts) {
          const x = operand(dtype, reach(shape, indexShape, dim), layout, random)
          const index = indices(indexShape, shape[dim], stretched)
          const out = operand(dtype, indexShape, stretched ? "contiguous" : anyLayout(), random)
          agree(`[${shape}] [${indexShape}] ${dim} ${layout}`, { kind: "gather", dim }, [x, index], [out])
        }
      }
    })
  }
  it("copies rows of every length", () => {
    for (const dtype of ["uint8", "float32", "float64"] as const) {
      for (let n = 1; n < 70; n++) {
        const inputs = [operand(dtype, [6, n], "contiguous", random), indices([4, n], 6, [1])]
        agree(`${n}`, { kind: "gather", dim: 0 }, inputs, [operand(dtype, [4, n], "contiguous", random)])
      }
    }
  })
  it("may write over what it reads", () => {
    const x = operandOf("int32", [4], [10, 11, 12, 13])
    agree("over x", { kind: "gather", dim: 0 }, [x, operandOf("int32", [4], [3, 2, 1, 0])], [x])
    const index = operandOf("int32", [4], [3, 2, 1, 0])
    agree("over the index", { kind: "gather", dim: 0 }, [x, index], [index])
    const both = operandOf("int32", [4], [3, 0, 1, 2])
    agree("over both", { kind: "gather", dim: 0 }, [both, both], [both])
  })
})

describe("scatter", () => {
  for (const dtype of laneDTypes) {
    for (const mode of ["add", "replace"] as const) {
      it(`${mode}s ${dtype} in row-major order, along any dim of any layout`, () => {
        for (const [shape, indexShape, dim, stretched] of cases) {
          for (const layout of layouts) {
            const out = operand(dtype, reach(shape, indexShape, dim), layout, random)
            const index = indices(indexShape, shape[dim], stretched)
            const source = operand(dtype, indexShape, stretched ? "contiguous" : anyLayout(), random)
            const kernel: ScatterKernel = { kind: "scatter", dim, mode }
            agree(`[${shape}] [${indexShape}] ${dim} ${layout}`, kernel, [index, source], [out])
          }
        }
      })
    }
  }
  it("rounds every addition of floats in order", () => {
    for (const dtype of ["float32", "float64"] as const) {
      const source = operand(dtype, [500, 5], "contiguous", random)
      source.data.forEach((_, i) => (source.data[i] = random() - 0.5))
      for (const stretched of [[1], undefined]) {
        const inputs = [indices([500, 5], 3, stretched), source]
        agree("in order", { kind: "scatter", dim: 0, mode: "add" }, inputs, [
          operand(dtype, [3, 5], "contiguous", random),
        ])
      }
    }
  })
  it("adds and replaces rows of every length, and from one value", () => {
    for (const dtype of laneDTypes) {
      for (const mode of ["add", "replace"] as const) {
        for (let n = 1; n < 70; n += isFloat(dtype) ? 1 : 5) {
          const out = operand(dtype, [6, n], "contiguous", random)
          const index = indices([9, n], 6, [1])
          const sources = [[], [1], [0, 1]].map((stretched) => operand(dtype, [9, n], "contiguous", random, stretched))
          for (const source of sources) agree(`${n}`, { kind: "scatter", dim: 0, mode }, [index, source], [out])
        }
      }
    }
  })
  it("may write over what it reads", () => {
    const source = operandOf("int32", [4], [3, 1, 1, 0])
    agree("source", { kind: "scatter", dim: 0, mode: "add" }, [operandOf("int32", [4], [3, 2, 1, 1]), source], [source])
    agree(
      "index",
      { kind: "scatter", dim: 0, mode: "replace" },
      [source, operandOf("int32", [4], [9, 8, 7, 6])],
      [source],
    )
  })
})

describe("bad indices", () => {
  const positions: [number[], number][] = [[[1, 3], 2], [[1, 40], 0], [[1, 40], 7], [[1, 40], 39]] // prettier-ignore
  const build = (bad: number, shape: readonly number[], at: number): Operand => {
    const index = operandOf("int32", shape, new Array(shape[1]).fill(1))
    index.data[at] = bad
    return index
  }
  const named = (act: () => unknown, operation: string, bad: number) => {
    expect(act).toThrow(IndexError)
    expect(act).toThrow(`${operation}: index out of range: got ${bad}, expected 0 <= index < 5 at dim 1`)
  }
  for (const bad of [7, 5, -1, -(2 ** 31), 2 ** 31 - 1]) {
    it(`${bad} is named and nothing is written`, () => {
      for (const device of devices) {
        for (const [shape, at] of positions) {
          const index = build(bad, shape, at)
          const run = (kind: "gather" | "scatter", dtype: DType) => {
            const x = operandOf(dtype, [1, 5], [1, 2, 3, 4, 5])
            const lines = operandOf(dtype, shape, new Array(shape[1]).fill(9))
            const [inputs, out] = kind === "gather" ? [[x, index], lines] : [[index, lines], x]
            const kernel = kind === "gather" ? ({ kind, dim: 1 } as const) : ({ kind, dim: 1, mode: "add" } as const)
            // The device's own memory is looked at: the output after the error, read by a kernel that copies it.
            const storage = device.alloc(out.data.byteLength)
            device.write(storage, out.data)
            const view = { storage, dtype, shape: out.shape, strides: out.strides, offset: 0 }
            const views = inputs.map((one) => {
              const own = device.alloc(one.data.byteLength)
              device.write(own, one.data)
              return { storage: own, dtype: one.dtype, shape: one.shape, strides: one.strides, offset: 0 }
            })
            named(() => device.run(kernel, views, [view]), kind, bad)
            expect(new Uint8Array(device.readSync(storage, 0, storage.bytes))).toEqual(new Uint8Array(out.data.buffer))
            for (const one of [view, ...views]) device.free(one.storage)
          }
          for (const dtype of ["float32", "uint8"] as const)
            for (const kind of ["gather", "scatter"] as const) run(kind, dtype)
        }
      }
    })
  }
  it("in an empty dim, and in an expanded index", () => {
    for (const device of devices) {
      const none = operandOf("float32", [0, 3], [])
      const act = (index: Operand, x: Operand) => () => outcome(device, { kind: "gather", dim: 0 }, [x, index], [operandOf("float32", index.shape, [])])
      expect(act(operandOf("int32", [2, 3], [0, 0, 0, 0, 0, 0]), none)).toThrow("got 0, expected 0 <= index < 0 at dim 0")
      const expanded = indices([4, 3], 5, [1])
      expanded.data[2] = 6
      expect(act(expanded, operandOf("float32", [6, 3], []))).toThrow("got 6, expected 0 <= index < 6 at dim 0")
    }
  }) // prettier-ignore
})
