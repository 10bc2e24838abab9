// Reductions over every dtype, layout, dims and size against the reference, and the rules for NaN, ties, empties and accuracy.
import { type DType, e, type Expr, isFloat, type ReduceKernel, type ReduceOperator } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterAll, describe, expect, it } from "vitest"
import {
  agreement,
  fill,
  layouts,
  openForTest,
  operand,
  type Operand,
  operandOf,
  outcome,
  randomFrom,
} from "../test/testing.js"
import { gpuDTypes } from "./types.js"

const device = await openForTest()
afterAll(() => device?.close())

const random = randomFrom(5)
const keptShape = (shape: readonly number[], dims: readonly number[]) => shape.map((n, d) => (dims.includes(d) ? 1 : n))
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]

const cases: [number[], number[][]][] = [
  [[], [[]]],
  [[7], [[0], []]],
  [[3, 4], [[0], [1], [0, 1]]],
  [[2, 3, 5], [[1], [2], [0, 2], [0, 1, 2]]],
  [[2, 3, 2, 3], [[0, 2], [1, 3], [3, 0]]],
  [[4, 1, 3], [[1], [0, 1]]],
  [[2, 1100], [[0], [1], [0, 1]]],
  [[1100, 2], [[0], [1]]],
  [[37, 75], [[0], [1], [0, 1]]],
] // prettier-ignore

/** Cases that dtypes share with int32 and float32, whose way they go. */
const fewCases = cases.filter(([shape]) => shape.length === 3 || shape.length === 0 || shape[0] === 37)

const operators = (dtype: DType): ReduceOperator[] => [
  ...(["sum", "prod", "max", "min", "argmax", "argmin"] as const),
  ...(isFloat(dtype) ? [] : (["any", "all"] as const)),
]

const rounding: Partial<Record<DType, number>> = { float16: 2 ** -10, bfloat16: 2 ** -7, float32: 2 ** -23 }

describe.skipIf(!device)("webgpu reduce", () => {
  const gpu = device as NonNullable<typeof device>
  const agree = device ? agreement(gpu) : () => Promise.resolve()

  /** Runs a reduction of one input into an output of any layout. */
  async function check(op: ReduceOperator, x: Operand, dims: readonly number[], expr: Expr, to?: DType): Promise<void> {
    const dtype = to ?? (op.startsWith("arg") ? "int32" : expr.dtype)
    const out = operand(dtype, keptShape(x.shape, dims), pick(layouts), random)
    const kernel: ReduceKernel = { kind: "reduce", op, dims, expr }
    // Halves come out within one rounding; products of float32 lose one with every factor.
    const unit = rounding[dtype] ?? 0
    const relative = op === "sum" ? unit * 2 : op === "prod" ? unit * (dtype === "float32" ? 512 : 2) : 0
    const note = `${op} of ${x.dtype} [${x.shape}] strides [${x.strides}] over [${dims}] to [${out.strides}]`
    await agree(note, kernel, [x], [out], { relative, scale: 0.25 })
  }

  describe("any dims of any layout", () => {
    for (const dtype of gpuDTypes) {
      for (const op of operators(dtype)) {
        it(`${op} of ${dtype}`, async () => {
          const x = e.input(0, dtype)
          // Products of many numbers stay in range if the numbers are near 1.
          const wide = e.cast(x, "float32")
          const near = e.add(e.mul(wide, e.like(wide, 2 ** -12)), e.like(wide, 1))
          const expr = op === "prod" && isFloat(dtype) ? near : x
          for (const [shape, dimsOf] of dtype === "float32" || dtype === "int32" ? cases : fewCases) {
            for (const dims of dimsOf) {
              if (op.startsWith("arg") && dims.length !== 1) continue
              for (const layout of ["contiguous", pick(layouts)] as const) {
                await check(op, operand(dtype, shape, layout, random), dims, expr, op === "prod" ? dtype : undefined)
              }
            }
          }
        })
      }
    }
    it("every layout of a matrix, in rows, columns and whole", async () => {
      for (const layout of layouts) {
        for (const shape of [[3, 4], [70, 41]]) {
          for (const dims of [[0], [1], [0, 1]]) {
            for (const op of ["sum", "max"] as const) await check(op, operand("float32", shape, layout, random), dims, e.input(0, "float32"))
          }
        }
      }
    }) // prettier-ignore
    it("every number of elements up to 70, in rows and columns", async () => {
      for (const dtype of ["float32", "int32"] as const) {
        for (const op of ["sum", "argmin"] as const) {
          for (let n = 1; n <= 70; n += dtype === "float32" ? 3 : 9) {
            await check(op, operand(dtype, [3, n], "contiguous", random), [0], e.input(0, dtype))
            await check(op, operand(dtype, [3, n], "contiguous", random), [1], e.input(0, dtype))
          }
        }
      }
    })
  })

  describe("expressions", () => {
    const f = e.input(0, "float32")
    it("are fused, over broadcast inputs and scalars", async () => {
      const difference = e.sub(f, e.mul(e.input(1, "float32"), e.scalar(0, "float32")))
      const kernel = { kind: "reduce", op: "sum", expr: e.mul(difference, difference) } as const
      for (const shape of [[3, 4], [5, 300], [300, 5]]) {
        for (const stretched of [[0], [1], [0, 1]]) {
          for (const dims of [[0], [1], [0, 1]]) {
            const inputs = [operand("float32", shape, pick(layouts), random), operand("float32", shape, "contiguous", random, stretched)]
            const out = operand("float32", keptShape(shape, dims), "contiguous", random)
            await agree(`[${shape}] over [${dims}]`, { ...kernel, dims }, inputs, [out], { relative: 1e-6, scale: 8 }, [0.75])
          }
        }
      }
    }) // prettier-ignore
    it("count a broadcast input once for every element", async () => {
      await check("sum", operand("float32", [3000], "contiguous", random, [0]), [0], f)
      await check("sum", operand("int32", [30, 40], "contiguous", random, [0, 1]), [0], e.input(0, "int32"))
    })
    it("may leave out inputs", async () => {
      const inputs = [operand("float32", [5, 6], "contiguous", random), operand("int32", [5, 6], "mixed", random)]
      const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims: [1], expr: e.input(1, "int32") }
      await agree("only the second", kernel, inputs, [operand("int32", [5, 1], "contiguous", random)])
    })
    it("convert on the way out", async () => {
      for (const to of gpuDTypes) {
        for (const dims of [[0], [1]]) {
          await check("sum", operand("int32", [6, 9], "contiguous", random), dims, e.input(0, "int32"), to)
        }
      }
      await check("sum", operandOf("float32", [4], [1, 2.25, 3, 4.5]), [0], f, "int32")
    })
    it("write over an input of the same shape", async () => {
      const x = operand("float32", [5, 1, 37], "contiguous", random)
      const expr = e.mul(f, f)
      await agree("in place", { kind: "reduce", op: "sum", dims: [1], expr }, [x], [x])
    })
    it("of more inputs than a shader may have", async () => {
      const count = gpu.gpu.device.limits.maxStorageBuffersPerShaderStage
      const inputs = Array.from({ length: count }, () => operand("int32", [6, 7], "contiguous", random))
      const few = inputs.slice(0, count - 1)
      for (const list of [few, inputs]) {
        const expr = list.map((_, i) => e.input(i, "int32")).reduce((a, b) => e.add(a, b))
        const out = operand("int32", [6, 1], "contiguous", random)
        const act = agree(`${list.length} inputs`, { kind: "reduce", op: "sum", dims: [1], expr }, list, [out])
        await act
      }
    })
  })

  describe("the rules", () => {
    const f = e.input(0, "float32")
    it("gives the neutral element for nothing", async () => {
      for (const dtype of gpuDTypes) {
        for (const op of operators(dtype)) {
          for (const [shape, dims] of [[[2, 0], [1]], [[0, 3], [0]], [[0, 3], [1]]]) {
            await check(op, operand(dtype, shape, "contiguous", random), dims, e.input(0, dtype))
          }
        }
      }
    }) // prettier-ignore
    it("hands NaN, infinities and zeros on as the reference does", async () => {
      for (const dtype of ["float32", "bfloat16", "float16"] as const) {
        for (const op of ["sum", "max", "min", "argmax", "argmin", "prod"] as const) {
          for (let round = 0; round < (dtype === "float32" ? 12 : 4); round++) {
            // Of products, so few that rounding to a half cannot differ.
            const most = op === "prod" ? 5 : 50
            const x = operand(
              dtype,
              [1 + Math.floor(random() * most), 1 + Math.floor(random() * most)],
              pick(layouts),
              random,
            )
            fill(x.data, dtype, random, true)
            if (round % 3 === 0) x.data.forEach((v, i) => (x.data[i] = Number(v) > 0 ? -Infinity : Number(v)))
            for (const dims of [[0], [1]]) await check(op, x, dims, e.input(0, dtype))
          }
        }
      }
    })
    it("finds the first among equals", async () => {
      const kernel = (op: ReduceOperator, dtype: DType): ReduceKernel => ({
        kind: "reduce",
        op,
        dims: [0],
        expr: e.input(0, dtype),
      })
      for (const dtype of ["float32", "int32", "uint8", "bool"] as const) {
        for (const value of [0, 1, ...(isFloat(dtype) ? [NaN, Infinity, -Infinity] : [])]) {
          for (const op of ["argmax", "argmin"] as const) {
            const x = operandOf(dtype, [700], new Array(700).fill(value))
            const [[at]] = await outcome(gpu, kernel(op, dtype), [x], [operandOf("int32", [1], [7])])
            expect(at).toBe(0)
          }
        }
      }
      const zeros = operandOf("float32", [4], [-0, 0, -0, 0])
      expect((await outcome(gpu, kernel("argmax", "float32"), [zeros], [operandOf("int32", [1], [7])]))[0][0]).toBe(0)
    })
    it("wraps integers", async () => {
      await check("sum", operandOf("int32", [2], [2 ** 31 - 1, 1]), [0], e.input(0, "int32"))
      await check("prod", operandOf("int32", [3], [65537, 65537, -3]), [0], e.input(0, "int32"))
      await check("sum", operandOf("uint8", [3], [200, 100, 1]), [0], e.input(0, "uint8"))
      await check("sum", operandOf("bool", [3], [1, 1, 0]), [0], e.input(0, "bool"), "int32")
    })
    it("refuses any and all of numbers", () => {
      const run = (op: ReduceOperator) => () => void gpu.run({ kind: "reduce", op, dims: [0], expr: f }, [], [])
      expect(run("any")).toThrow("reduce: any is not defined for float32")
      expect(run("all")).toThrow("reduce: all is not defined for float32")
    })
  })

  describe("accuracy", () => {
    const f = e.input(0, "float32")
    const single = async (op: ReduceOperator, x: Operand): Promise<number> => {
      const kernel: ReduceKernel = { kind: "reduce", op, dims: [0], expr: f }
      return (await outcome(gpu, kernel, [x], [operandOf("float32", [1], [0])]))[0][0]
    }
    it("carries sums so that nothing is lost", async () => {
      const tenths = await single("sum", operandOf("float32", [100_000], new Array(100_000).fill(0.1)))
      expect(Math.abs(tenths / (1e5 * Math.fround(0.1)) - 1)).toBeLessThan(2 ** -23)
      expect(await single("sum", operandOf("float32", [4], [1, 1e30, 1, -1e30]))).toBe(2)
      expect(await single("sum", operandOf("float32", [3], [Infinity, 1, 2]))).toBe(Infinity)
      // A running sum of so many terms would be off by about 1e-5.
      const many = Float32Array.from({ length: 200_000 }, () => random() * 2 - 0.5)
      const exact = many.reduce((a, b) => a + b, 0)
      expect(Math.abs((await single("sum", operandOf("float32", [200_000], many))) / exact - 1)).toBeLessThan(2 ** -23)
    })
    it("products overflow and vanish as a whole only", async () => {
      expect(await single("prod", operandOf("float32", [5], [1e30, 1e30, 1e-30, 1e-30, 3]))).toBeCloseTo(3, 5)
      expect(await single("prod", operandOf("float32", [3], [1e30, 1e30, 0]))).toBe(0)
      expect(await single("prod", operandOf("float32", [2], [1e30, -1e30]))).toBe(-Infinity)
      expect(await single("prod", operandOf("float32", [2], [Infinity, 0]))).toBe(NaN)
      expect(await single("prod", operandOf("float32", [3], [1e-44, 1e30, 1e10]))).toBeCloseTo(9.809e-5, 7)
      const reference = new CpuJs()
      const near = operandOf(
        "float32",
        [50_000],
        Float32Array.from({ length: 50_000 }, (_, i) => (i % 2 ? 1.5 : 2 / 3)),
      )
      const [[want]] = await outcome(
        reference,
        { kind: "reduce", op: "prod", dims: [0], expr: f },
        [near],
        [operandOf("float32", [1], [0])],
      )
      expect(Math.abs((await single("prod", near)) / want - 1)).toBeLessThan(50_000 * 2 ** -24)
    })
  })

  describe("large reductions in two passes", () => {
    for (const dtype of ["float32", "int32", "bool"] as const) {
      const large: [number[], number[]][] = [
        [[60_001], [0]],
        [
          [200, 301],
          [0, 1],
        ],
        [[20_000, 5], [0]],
        [[5, 20_001], [1]],
        [
          [100, 7, 200],
          [0, 2],
        ],
      ]
      for (const [shape, dims] of large) {
        it(`${dtype} [${shape}] over [${dims}]`, async () => {
          const x = operand(dtype, shape, "contiguous", random)
          const list: ReduceOperator[] = ["sum", "argmax", dtype === "bool" ? "any" : "min"]
          for (const op of list) {
            if (op.startsWith("arg") && dims.length > 1) continue
            const before = gpu.gpu.queue.dispatches
            await check(op, x, dims, e.input(0, dtype))
            expect(gpu.gpu.queue.dispatches - before).toBe(2)
          }
        })
      }
    }
    it("gives the same bits every time", async () => {
      const x = operandOf(
        "float32",
        [50_000],
        Float32Array.from({ length: 50_000 }, () => random() - 0.5),
      )
      const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims: [0], expr: e.input(0, "float32") }
      const sums = new Set<number>()
      for (let i = 0; i < 4; i++) sums.add((await outcome(gpu, kernel, [x], [operandOf("float32", [1], [0])]))[0][0])
      expect(sums.size).toBe(1)
    })
  })
})
