// Scans over every dtype, dim and layout, both ways, against the reference; long lines in blocks.
import { isFloat, type ScanKernel, sizeOf } from "@rondo/backend"
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

const random = randomFrom(13)
const anyLayout = () => layouts[Math.floor(random() * layouts.length)]

const shapes: [number[], number][] = [
  [[6], 0], [[3, 5], 0], [[3, 5], 1], [[2, 4, 3], 1], [[5, 3, 37], 1], [[40, 19], 0],
  [[0, 3], 0], [[3, 0], 0], [[1], 0], [[300, 2], 0], [[2, 301], 1], [[3, 1030, 2], 1],
] // prettier-ignore

describe.skipIf(!device)("webgpu scan", () => {
  const gpu = device as NonNullable<typeof device>
  const agree = device ? agreement(gpu) : () => Promise.resolve()

  async function check(op: ScanKernel["op"], x: Operand, dim: number, relative = 0): Promise<void> {
    for (const reverse of [false, true]) {
      const outputs = [operand(x.dtype, x.shape, anyLayout(), random)]
      if (op === "max" || op === "min") outputs.push(operand("int32", x.shape, anyLayout(), random))
      const note = `${op} of ${x.dtype} [${x.shape}] strides [${x.strides}] along ${dim}, ${reverse}`
      await agree(note, { kind: "scan", op, dim, reverse }, [x], outputs, { relative, scale: 1 })
    }
  }

  describe("any dim of any layout, both ways", () => {
    for (const dtype of gpuDTypes) {
      for (const op of ["sum", "prod", "max", "min"] as const) {
        // Totals are not of bool: core converts first.
        if (dtype === "bool" && (op === "sum" || op === "prod")) continue
        it(`${op} of ${dtype}`, async () => {
          for (const [shape, dim] of shapes) {
            for (const layout of sizeOf(shape) > 1000 ? [anyLayout()] : (["contiguous", anyLayout()] as const)) {
              const x = operand(dtype, shape, layout, random)
              // Sums of quarters are exact. Products of floats are of few odd numbers and powers of two.
              if (op === "prod" && isFloat(dtype)) {
                const powers = { float32: [1, -1, 2, 0.5], float16: [0x3c00, 0xbc00, 0x4000, 0x3800], bfloat16: [0x3f80, 0xbf80, 0x4000, 0x3f00] }
                const list = powers[dtype as keyof typeof powers]
                x.data.forEach((_, i) => (x.data[i] = list[Math.floor(random() * 4)]))
              }
              await check(op, x, dim)
              if (!isFloat(dtype) || op === "prod") continue
              fill(x.data, dtype, random, true)
              await check(op, x, dim)
            }
          }
        }) // prettier-ignore
      }
    }
    it("every layout", async () => {
      for (const layout of layouts) {
        for (const dim of [0, 1]) {
          await check("max", operand("float32", [7, 90], layout, random), dim)
          await check("sum", operand("int32", [70, 9], layout, random), dim)
        }
      }
    })
  })

  describe("details", () => {
    it("round at every store and carry more", async () => {
      await check("sum", operandOf("float32", [5], [2 ** 24, 1, 1, 1, 1]), 0)
      await check("sum", operandOf("float32", [300], [2 ** 24, ...new Array<number>(299).fill(1)]), 0)
    })
    it("products carry on where what is stored is infinite or zero", async () => {
      await check("prod", operandOf("float32", [4], [2 ** 100, 2 ** 100, 2 ** -100, 0]), 0)
      const line = [0, ...new Array<number>(500).fill(4)]
      const kernel: ScanKernel = { kind: "scan", op: "prod", dim: 0 }
      const [list] = await outcome(gpu, kernel, [operandOf("float32", [501], line)], [operandOf("float32", [501], [])])
      expect(new Set(list.slice(0, 501))).toEqual(new Set([0]))
    })
    it("may write over the input", async () => {
      for (const dtype of ["float32", "uint8"] as const) {
        for (const [shape, dim] of [[[13, 21], 0], [[13, 21], 1], [[2, 300], 1], [[3000], 0]] as [number[], number][]) {
          const x = operand(dtype, shape, "contiguous", random)
          await agree("in place", { kind: "scan", op: "sum", dim }, [x], [x])
        }
      }
    }) // prettier-ignore
    it("read broadcast lines", async () => {
      await check("sum", operand("float32", [7, 9], "contiguous", random, [1]), 0)
      await check("max", operand("int32", [7, 9], "contiguous", random, [0]), 0)
    })
    // torch.cummax and torch.cummin of PyTorch 1.13.1 treat this row as the reference does, whose tests hold the numbers.
    it("take NaN over", async () => {
      const row = [1, 3, 3, NaN, 2, NaN, 5]
      const long = Array.from({ length: 2500 }, (_, i) => (i > 1300 && i % 601 === 0 ? NaN : i % 7))
      for (const op of ["max", "min"] as const) {
        await check(op, operandOf("float32", [7], row), 0)
        await check(op, operandOf("float32", [2500], long), 0)
      }
    })
    it("many lines", async () => {
      await check("sum", operand("float32", [100, 4100], "contiguous", random), 0)
      await check("min", operand("int32", [4100, 70], "contiguous", random), 1)
    })
  })

  describe("a hundred thousand elements", () => {
    it("sums are accurate", async () => {
      const x = operandOf(
        "float32",
        [100_000],
        Float32Array.from({ length: 100_000 }, () => random() * 2 - 0.5),
      )
      // The reference carries doubles: what is stored may round the other way where a sum lies between two numbers.
      await check("sum", x, 0, 2 ** -23)
    })
    it("extremes and integers are the reference's", async () => {
      const x = operandOf(
        "float32",
        [100_000],
        Float32Array.from({ length: 100_000 }, () => random()),
      )
      await check("max", x, 0)
      await check("sum", operand("int32", [2, 5000], "contiguous", random), 1)
      await check("prod", operand("int32", [5000, 2], "contiguous", random), 0)
    })
  })
})
