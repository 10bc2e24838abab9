// Gathers and scatters over dtypes, dims and layouts against the reference, with repeated indices and bad ones.
import { type DType, IndexError, type Kernel, type ScatterKernel, type View } from "@rondo/backend"
import { afterAll, describe, expect, it } from "vitest"
import { agreement, layouts, openForTest, operand, type Operand, operandOf, randomFrom } from "../test/testing.js"
import { gpuDTypes } from "./types.js"

const device = await openForTest()
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
  [[5], [8], 0], [[5, 3], [4, 3], 0], [[4, 3, 2], [4, 7, 2], 1], [[3, 4], [0, 4], 0], [[6, 5], [6, 1], 1],
  [[2, 3, 4, 2], [2, 3, 4, 5], 3], [[10, 37], [23, 37], 0, [1]], [[6, 5, 21], [6, 9, 21], 1, [0, 2]], [[7, 9], [7, 4], 1, [0]],
] // prettier-ignore

// Lines that are too long for one thread: these are sorted. The last has more destinations than one pass tells apart.
const longCases: [number[], number[], number, number[]?][] = [
  [[7], [300], 0], [[9, 5], [200, 5], 0, [1]], [[3, 6], [3, 150], 1], [[2, 5, 3], [2, 140, 3], 1, [2]], [[700, 3], [1100, 3], 0, [1]],
] // prettier-ignore

/** The part of `shape` that an index of `indexShape` reaches along `dim`. */
const reach = (shape: readonly number[], indexShape: readonly number[], dim: number): number[] =>
  indexShape.map((n, d) => (d === dim ? shape[d] : n))

if (device) {
  const agree = agreement(device)
  afterAll(() => device.close())

  describe("gather", () => {
    for (const dtype of gpuDTypes) {
      it(`picks ${dtype} along any dim of any layout`, { timeout: 60_000 }, async () => {
        for (const [shape, indexShape, dim, stretched] of cases) {
          for (const layout of ["contiguous", "mixed"] as const) {
            const x = operand(dtype, reach(shape, indexShape, dim), layout, random)
            const index = indices(indexShape, shape[dim], stretched)
            const out = operand(dtype, indexShape, stretched ? "contiguous" : anyLayout(), random)
            await agree(`[${shape}] [${indexShape}] ${dim} ${layout}`, { kind: "gather", dim }, [x, index], [out])
          }
        }
      })
    }
    it("keeps the bits of NaN", async () => {
      const bits = new Uint32Array([0x7fc12345, 0xffc00001, 0x7fa00000, 0x80000001])
      const [x, out] = [device.alloc(16), device.alloc(16)]
      const index = device.alloc(16)
      device.write(x, bits)
      device.write(index, new Int32Array([3, 2, 1, 0]))
      const view = (storage: typeof x, dtype: DType): View => ({ storage, dtype, shape: [4], strides: [1], offset: 0 })
      device.run({ kind: "gather", dim: 0 }, [view(x, "float32"), view(index, "int32")], [view(out, "float32")])
      expect(new Uint32Array(await device.read(out, 0, 16))).toEqual(bits.reverse())
    })
    it("may write over what it reads", async () => {
      const kernel: Kernel = { kind: "gather", dim: 0 }
      const x = operandOf("int32", [4], [10, 11, 12, 13])
      await agree("over x", kernel, [x, operandOf("int32", [4], [3, 2, 1, 0])], [x])
      const index = operandOf("int32", [4], [3, 2, 1, 0])
      await agree("over the index", kernel, [x, index], [index])
      const both = operandOf("int32", [4], [3, 0, 1, 2])
      await agree("over both", kernel, [both, both], [both])
    })
  })

  describe("scatter", () => {
    for (const dtype of gpuDTypes) {
      for (const mode of ["add", "replace"] as const) {
        it(`${mode}s ${dtype} in row-major order, along any dim of any layout`, { timeout: 120_000 }, async () => {
          for (const [shape, indexShape, dim, stretched] of [...cases, ...longCases]) {
            for (const layout of ["contiguous", "mixed"] as const) {
              const out = operand(dtype, reach(shape, indexShape, dim), layout, random)
              const index = indices(indexShape, shape[dim], stretched)
              const source = operand(dtype, indexShape, stretched ? "contiguous" : anyLayout(), random)
              const kernel: ScatterKernel = { kind: "scatter", dim, mode }
              await agree(`[${shape}] [${indexShape}] ${dim} ${layout}`, kernel, [index, source], [out])
            }
          }
        })
      }
    }
    it("rounds every addition of floats in order, in short lines and long", async () => {
      for (const n of [100, 500]) {
        const source = operand("float32", [n, 5], "contiguous", random)
        source.data.forEach((_, i) => (source.data[i] = random() - 0.5))
        const out = operand("float32", [3, 5], "contiguous", random)
        for (const stretched of [[1], undefined])
          await agree(`${n}`, { kind: "scatter", dim: 0, mode: "add" }, [indices([n, 5], 3, stretched), source], [out])
      }
    })
    it("sorts in as many passes as destinations need", { timeout: 60_000 }, async () => {
      const source = operand("float32", [150, 2], "contiguous", random)
      for (const size of [1, 255, 256, 65_535, 65_536, 70_000]) {
        const index = indices([150, 2], size, [1])
        index.data[0] = size - 1
        const out = operand("float32", [size, 2], "contiguous", random)
        for (const mode of ["add", "replace"] as const)
          await agree(`${mode} ${size}`, { kind: "scatter", dim: 0, mode }, [index, source], [out])
      }
    })
    it("adds up one value for all", async () => {
      for (const n of [9, 300]) {
        const source = operand("float32", [n, 4], "contiguous", random, [0, 1])
        const out = operand("float32", [6, 4], "contiguous", random)
        await agree(`${n}`, { kind: "scatter", dim: 0, mode: "add" }, [indices([n, 4], 6, [1]), source], [out])
      }
    })
    it("may write over what it reads", async () => {
      const source = operandOf("int32", [4], [3, 1, 1, 0])
      const add: Kernel = { kind: "scatter", dim: 0, mode: "add" }
      await agree("source", add, [operandOf("int32", [4], [3, 2, 1, 1]), source], [source])
      await agree("index", { ...add, mode: "replace" }, [source, operandOf("int32", [4], [9, 8, 7, 6])], [source])
    })
  })

  describe("bad indices", () => {
    /** Runs with one bad index among good ones; gives what the output holds, after the error was seen. */
    const runWith = async (kind: "gather" | "scatter", dtype: DType, count: number, bad: number, at: number) => {
      const place = (one: Operand): View => {
        const storage = device.alloc(one.data.byteLength)
        device.write(storage, one.data)
        return { storage, dtype: one.dtype, shape: one.shape, strides: one.strides, offset: 0 }
      }
      const index = operandOf("int32", [1, count], new Array(count).fill(1))
      index.data[at] = bad
      const x = place(operandOf(dtype, [1, 5], [1, 2, 3, 4, 5]))
      const lines = place(operandOf(dtype, [1, count], new Array(count).fill(9)))
      if (kind === "gather") device.run({ kind, dim: 1 }, [x, place(index)], [lines])
      else device.run({ kind, dim: 1, mode: "replace" }, [place(index), lines], [x])
      const out = kind === "gather" ? lines : x
      const read = () => device.read(out.storage, 0, out.storage.bytes)
      const failed = read()
      await expect(failed).rejects.toThrow(IndexError)
      await expect(failed).rejects.toThrow(`${kind}: index out of range: got ${bad}, expected 0 <= index < 5 at dim 1`)
      // It comes out once, and nothing was written.
      return new Uint8Array(await read())
    }
    for (const bad of [7, 5, -1, -(2 ** 31), 2 ** 31 - 1]) {
      it(`${bad} is named at the next read, and nothing is written`, async () => {
        expect([...(await runWith("gather", "uint8", 4, bad, 2))].slice(0, 4)).toEqual([9, 9, 9, 9])
        expect([...(await runWith("scatter", "uint8", 4, bad, 2))].slice(0, 5)).toEqual([1, 2, 3, 4, 5])
        expect([...(await runWith("scatter", "uint8", 200, bad, 199))].slice(0, 5)).toEqual([1, 2, 3, 4, 5])
      })
    }
    const view = (dtype: DType, shape: readonly number[]): View => {
      const storage = device.alloc(
        Math.max(
          4,
          shape.reduce((a, b) => a * b, 4),
        ),
      )
      device.write(storage, new Int32Array(storage.bytes / 4))
      return { storage, dtype, shape, strides: shape.map(() => 1), offset: 0 }
    }
    it("in an empty dim", async () => {
      device.run({ kind: "gather", dim: 0 }, [view("float32", [0]), view("int32", [3])], [view("float32", [3])])
      await expect(device.sync()).rejects.toThrow("gather: index out of range: got 0, expected 0 <= index < 0 at dim 0")
      await device.sync()
    })
    it("of the first run, however many kinds of runs there were", { timeout: 60_000 }, async () => {
      const index = view("int32", [1])
      device.write(index.storage, new Int32Array([600]))
      const [source, out] = [view("float32", [700]), view("float32", [1])]
      // Sizes up to 600 are too small; there are more kinds than flags between two reads.
      for (let size = 650; size > 20; size--)
        device.run({ kind: "gather", dim: 0 }, [{ ...source, shape: [size] }, index], [out])
      await expect(device.sync()).rejects.toThrow(/got 600, expected 0 <= index < 600 at dim 0/)
    })
  })
}
