// Cases of gathers and scatters: dtypes, dims and layouts, repeated indices and bad ones.
import { type DType, IndexError, type Kernel, type ScatterKernel } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import { outcome, Placement } from "./agreement.js"
import { layouts, operand, type Operand, operandOf, pick, type Random, randomFrom } from "./operands.js"
import { combinations, type Subject } from "./subject.js"

// x, index, dim, and the dims that the index is expanded over.
type Case = readonly [shape: number[], indexShape: number[], dim: number, stretched?: number[]]
const cases: readonly Case[] = [
  [[5], [8], 0], [[5, 3], [4, 3], 0], [[5, 3], [5, 6], 1], [[4, 3, 2], [4, 7, 2], 1], [[4, 3, 2], [2, 3, 1], 0],
  [[3, 4], [0, 4], 0], [[1, 4], [9, 2], 0], [[6, 5], [6, 1], 1], [[2, 3, 4, 2], [2, 3, 4, 5], 3],
  [[10, 4], [3, 4], 0, [1]], [[10, 37], [23, 37], 0, [1]], [[10, 130], [5, 130], 0, [1]], [[6, 5, 21], [6, 9, 21], 1, [0, 2]],
  [[7, 50], [4, 50], 0, [0, 1]], [[7, 9], [7, 4], 1, [0]],
] // prettier-ignore
// Lines so long that a backend may sort them first.
const longCases: readonly Case[] = [
  [[7], [300], 0], [[9, 5], [200, 5], 0, [1]], [[3, 6], [3, 150], 1], [[2, 5, 3], [2, 140, 3], 1, [2]], [[700, 3], [1100, 3], 0, [1]],
] // prettier-ignore

/** Indices below `size`, in any layout. */
export function indices(
  shape: readonly number[],
  size: number,
  random: Random,
  stretched: readonly number[] = [],
): Operand {
  const layout = stretched.length > 0 ? "contiguous" : pick(layouts, random)
  const made = operand("int32", shape, layout, random, stretched)
  made.data.forEach((_, i) => (made.data[i] = Math.floor(random() * size)))
  return made
}

interface Setup {
  readonly note: string
  readonly dim: number
  /** The operand on the side of `dim`'s size, that on the side of the index, and the index. */
  readonly x: Operand
  readonly line: Operand
  readonly index: Operand
}

/** The operands of each case in several layouts. */
function* setups(dtype: DType, list: readonly Case[], slow: boolean, random: Random): Generator<Setup> {
  for (const [shape, indexShape, dim, stretched] of list) {
    for (const layout of slow ? (["contiguous", "mixed"] as const) : layouts) {
      // The part of `shape` that the index reaches.
      const reached = indexShape.map((n, d) => (d === dim ? shape[d] : n))
      yield {
        ...{ note: `[${shape}] [${indexShape}] ${dim} ${layout}`, dim },
        x: operand(dtype, reached, layout, random),
        line: operand(dtype, indexShape, stretched ? "contiguous" : pick(layouts, random), random),
        index: indices(indexShape, shape[dim], random, stretched),
      }
    }
  }
}

/** Registers the cases of gathers. */
export function describeGathers(subject: Subject): void {
  const { agree, devices, dtypes, slow } = subject
  const random = randomFrom(3)
  const along: Kernel = { kind: "gather", dim: 0 }
  describe("gather", () => {
    for (const dtype of dtypes) {
      it(`picks ${dtype} along any dim of any layout`, async () => {
        for (const { note, dim, x, line, index } of setups(dtype, cases, slow, random))
          await agree(note, { kind: "gather", dim }, [x, index], [line])
      })
      it(`copies rows of every length of ${dtype}`, async () => {
        for (let n = 1; n < 70; n += slow ? 9 : 1) {
          const inputs = [operand(dtype, [6, n], "contiguous", random), indices([4, n], 6, random, [1])]
          await agree(`${n}`, along, inputs, [operand(dtype, [4, n], "contiguous", random)])
        }
      })
    }
    it("keeps the bits of NaN", async () => {
      const bits = new Uint32Array([0x7fc12345, 0xffc00001, 0x7fa00000, 0x80000001])
      const x: Operand = { ...operandOf("float32", [4], []), data: new Float32Array(bits.buffer) }
      for (const device of devices) {
        const placement = new Placement(device)
        const out = operandOf("float32", [4], [])
        placement.run(along, [x, operandOf("int32", [4], [3, 2, 1, 0])], [out])
        expect([...new Uint32Array(await placement.bytes(out))].slice(0, 4)).toEqual([...bits].reverse())
        placement.free()
      }
    })
    it("may write over what it reads", async () => {
      const [x, index] = [operandOf("int32", [4], [10, 11, 12, 13]), operandOf("int32", [4], [3, 2, 1, 0])]
      await agree("over x", along, [x, index], [x])
      await agree("over the index", along, [x, index], [index])
      const both = operandOf("int32", [4], [3, 0, 1, 2])
      await agree("over both", along, [both, both], [both])
    })
  })
  describeBadIndices(subject, random)
}

/** Registers the cases of scatters. */
export function describeScatters({ agree, dtypes, slow }: Subject): void {
  const random = randomFrom(3)
  const modes = ["add", "replace"] as const
  const along = (mode: ScatterKernel["mode"]): ScatterKernel => ({ kind: "scatter", dim: 0, mode })
  describe("scatter", () => {
    for (const [dtype, mode] of combinations(1, dtypes, modes)) {
      it(`${mode}s ${dtype} in row-major order, along any dim of any layout`, { timeout: 120_000 }, async () => {
        for (const { note, dim, x, line, index } of setups(dtype, [...cases, ...longCases], slow, random))
          await agree(note, { kind: "scatter", dim, mode }, [index, line], [x])
      })
      it(`${mode}s rows of every length of ${dtype}, and one value for all`, async () => {
        for (let n = 1; n < 70; n += slow ? 23 : 1) {
          for (const count of slow || n % 10 === 1 ? [9, 300] : [9]) {
            const [out, index] = [operand(dtype, [6, n], "contiguous", random), indices([count, n], 6, random, [1])]
            for (const stretched of [[], [1], [0, 1]]) {
              const source = operand(dtype, [count, n], "contiguous", random, stretched)
              await agree(`${count} rows of ${n}`, along(mode), [index, source], [out])
            }
          }
        }
      })
    }
    it("rounds every addition of floats in order, in short lines and long", async () => {
      const wide = dtypes.filter((dtype) => dtype === "float32" || dtype === "float64")
      for (const [dtype, n] of combinations<[DType, number]>(1, wide, [100, 500])) {
        const source = operand(dtype, [n, 5], "contiguous", random)
        source.data.forEach((_, i) => (source.data[i] = random() - 0.5))
        const out = operand(dtype, [3, 5], "contiguous", random)
        for (const stretched of [[1], undefined])
          await agree(`${dtype} ${n}`, along("add"), [indices([n, 5], 3, random, stretched), source], [out])
      }
    })
    it("may write over what it reads", async () => {
      const source = operandOf("int32", [4], [3, 1, 1, 0])
      await agree("source", along("add"), [operandOf("int32", [4], [3, 2, 1, 1]), source], [source])
      await agree("index", along("replace"), [source, operandOf("int32", [4], [9, 8, 7, 6])], [source])
    })
  })
}

function describeBadIndices({ devices }: Subject, random: Random): void {
  const kernels: readonly (Kernel & { kind: "gather" | "scatter" })[] = [
    { kind: "gather", dim: 1 },
    { kind: "scatter", dim: 1, mode: "add" },
    { kind: "scatter", dim: 1, mode: "replace" },
  ]
  const places = [[3, 2], [40, 0], [40, 7], [40, 39], [200, 199]] // prettier-ignore
  const dtypes = ["float32", "uint8"] as const
  describe("bad indices", () => {
    for (const bad of [7, 5, -1, -(2 ** 31), 2 ** 31 - 1]) {
      it(`${bad} is named, and nothing is written`, async () => {
        for (const [device, kernel, [count, at], dtype] of combinations(1, devices, kernels, places, dtypes)) {
          const placement = new Placement(device)
          const index = operandOf("int32", [1, count], new Array(count).fill(1))
          index.data[at] = bad
          const x = operandOf(dtype, [1, 5], [1, 2, 3, 4, 5])
          const line = operandOf(dtype, [1, count], new Array(count).fill(9))
          const [inputs, out] = kernel.kind === "gather" ? [[x, index], line] : [[index, line], x]
          // A device says it at once, or when something is read.
          const act = (async () => {
            placement.run(kernel, inputs, [out])
            await placement.read(out)
          })()
          const text = `${kernel.kind}: index out of range: got ${bad}, expected 0 <= index < 5 at dim 1`
          await expect(act).rejects.toThrow(IndexError)
          await expect(act).rejects.toThrow(text)
          // It is said once.
          expect(await placement.read(out)).toEqual(Array.from(out.data as Float32Array))
          placement.free()
        }
      })
    }
    it("in an empty dim, and in an expanded index", async () => {
      const expanded = indices([4, 3], 5, random, [1])
      expanded.data[2] = 6
      const empty = operandOf("int32", [2, 3], new Array(6).fill(0))
      for (const device of devices) {
        const act = (x: Operand, index: Operand) =>
          outcome(device, { kind: "gather", dim: 0 }, [x, index], [operandOf("float32", index.shape, [])])
        const none = act(operandOf("float32", [0, 3], []), empty)
        await expect(none).rejects.toThrow("got 0, expected 0 <= index < 0 at dim 0")
        const six = act(operandOf("float32", [6, 3], []), expanded)
        await expect(six).rejects.toThrow("got 6, expected 0 <= index < 6 at dim 0")
      }
    })
  })
}
