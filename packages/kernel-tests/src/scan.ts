// Cases of scans: dtypes, dims and layouts, both ways; what is rounded and what is carried; long lines.
import { type DType, isFloat, type ScanKernel, sizeOf } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import { outcome } from "./agreement.js"
import { encode, fill, type Layout, layouts, operand, type Operand, operandOf, pick, randomFrom } from "./operands.js"
import { combinations, type Subject } from "./subject.js"

const shapes: readonly [number[], number][] = [
  [[6], 0], [[3, 5], 0], [[3, 5], 1], [[2, 4, 3], 1], [[5, 3, 37], 1], [[37, 3, 5], 2], [[40, 19], 0], [[40, 19], 1],
  [[0, 3], 0], [[3, 0], 0], [[1], 0], [[300, 2], 0], [[1, 4, 1], 1], [[2, 301], 1], [[3, 1030, 2], 1],
] // prettier-ignore

/** Registers the cases. */
export function describeScans({ agree, devices, dtypes, slow, doubles }: Subject): void {
  const random = randomFrom(13)

  const check = async (op: ScanKernel["op"], x: Operand, dim: number, relative = 0): Promise<void> => {
    for (const reverse of [false, true]) {
      const outputs = [operand(x.dtype, x.shape, pick(layouts, random), random)]
      if (op === "max" || op === "min") outputs.push(operand("int32", x.shape, pick(layouts, random), random))
      const note = `${op} of ${x.dtype} [${x.shape}] strides [${x.strides}] along ${dim}, ${reverse}`
      await agree(note, { kind: "scan", op, dim, reverse }, [x], outputs, { relative, scale: 1 })
    }
  }
  const chosen = (shape: readonly number[]): readonly Layout[] => {
    if (!slow) return layouts
    return sizeOf(shape) > 1000 ? [pick(layouts, random)] : ["contiguous", pick(layouts, random)]
  }
  const floats = (list: readonly number[]): Operand => operandOf("float32", [list.length], list)
  const many = (count: number, element: (i: number) => number): Operand => floats(Array.from({ length: count }, (_, i) => element(i))) // prettier-ignore

  describe("any dim of any layout, both ways", () => {
    for (const [dtype, op] of combinations(1, dtypes, ["sum", "prod", "max", "min"] as const)) {
      // Totals are not of bool: core converts first.
      if (dtype === "bool" && (op === "sum" || op === "prod")) continue
      it(`${op} of ${dtype}`, async () => {
        for (const [shape, dim] of shapes) {
          for (const layout of chosen(shape)) {
            const x = operand(dtype, shape, layout, random)
            // Sums of quarters are exact; so are products of these, in whatever order.
            const powers = [1, -1, 2, 0.5].map((value) => encode(dtype, value))
            const rounded = op === "prod" && isFloat(dtype) && !doubles
            if (rounded) x.data.forEach((_, i) => (x.data[i] = pick(powers, random)))
            await check(op, x, dim)
            if (!isFloat(dtype) || rounded) continue
            fill(x, random, true)
            await check(op, x, dim)
          }
        }
      })
    }
    it("every layout", async () => {
      for (const [layout, dim] of combinations(1, layouts, [0, 1])) {
        await check("max", operand("float32", [7, 90], layout, random), dim)
        await check("sum", operand("int32", [70, 9], layout, random), dim)
      }
    })
  })

  describe("details", () => {
    it("round at every store and carry more", async () => {
      for (const count of [5, 300]) await check("sum", many(count, (i) => (i === 0 ? 2 ** 24 : 1)), 0) // prettier-ignore
    })
    it("products carry on where what is stored is infinite or zero", async () => {
      await check("prod", floats([2 ** 100, 2 ** 100, 2 ** -100, 0]), 0)
      const line = many(501, (i) => (i === 0 ? 0 : 4))
      for (const device of devices) {
        const [list] = await outcome(device, { kind: "scan", op: "prod", dim: 0 }, [line], [floats(new Array(501).fill(7))])
        expect(new Set(list.slice(0, 501))).toEqual(new Set([0]))
      }
    }) // prettier-ignore
    it("may write over the input", async () => {
      const places: [number[], number][] = [[[13, 21], 0], [[13, 21], 1], [[2, 300], 1], [[3000], 0]] // prettier-ignore
      for (const [dtype, [shape, dim]] of combinations(1, ["float32", "uint8"] as const, places)) {
        const x = operand(dtype, shape, "contiguous", random)
        await agree("in place", { kind: "scan", op: "sum", dim }, [x], [x])
      }
    })
    it("read broadcast lines", async () => {
      await check("sum", operand(dtypes.includes("float64") ? "float64" : "float32", [7, 9], "contiguous", random, [1]), 0) // prettier-ignore
      await check("max", operand("int32", [7, 9], "contiguous", random, [0]), 0)
    })
    // torch.cummax and torch.cummin of PyTorch 1.13.1 treat this row as the reference does, whose tests hold the numbers.
    it("take NaN over", async () => {
      const row = [1, 3, 3, NaN, 2, NaN, 5]
      const long = many(2500, (i) => (i > 1300 && i % 601 === 0 ? NaN : i % 7))
      for (const [dtype, op] of combinations<[DType, "max" | "min"]>(1, dtypes.filter(isFloat), ["max", "min"])) {
        await check(op, operandOf(dtype, [7], row), 0)
        if (dtype === "float32") await check(op, long, 0)
      }
    })
    it("many lines", async () => {
      await check("sum", operand("float32", [100, 4100], "contiguous", random), 0)
      await check("min", operand("int32", [4100, 70], "contiguous", random), 1)
    })
  })

  describe("a hundred thousand elements", () => {
    it("sums are accurate", async () => {
      // The reference carries doubles: where a sum lies between two numbers, what is stored may round the other way.
      await check("sum", many(100_000, () => random() * 2 - 0.5), 0, doubles ? 0 : 2 ** -23) // prettier-ignore
    })
    it("extremes and integers are the reference's", async () => {
      await check("max", many(100_000, random), 0)
      await check("sum", operand("int32", [2, 5000], "contiguous", random), 1)
      await check("prod", operand("int32", [5000, 2], "contiguous", random), 0)
    })
  })
}
