// Trees through the registers of subgroups: the same numbers as through workgroup memory, over every number of threads.
import { e, isFloat, type Kernel, type ReduceOperator } from "@rondo/backend"
import {
  combinations,
  fill,
  keptShape,
  operand,
  type Operand,
  operandOf,
  outcome,
  product,
  randomFrom,
  reduceOperators,
  reductionCheck,
} from "@rondo/kernel-tests"
import { beforeAll, describe, expect, it } from "vitest"
import type { Gpu } from "./gpu.js"
import { hasOrderedSubgroups } from "./subgroups.js"
import { openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device?.gpu.device.features.has("subgroups" as GPUFeatureName)) {
  const { gpu } = device
  const subject = subjectOf(device)
  const random = randomFrom(11)

  /** Text of the shaders that are made while `act` runs. */
  async function shadersOf(act: () => Promise<unknown>): Promise<string[]> {
    const raw = gpu.device
    const make = raw.createShaderModule.bind(raw)
    const made: string[] = []
    raw.createShaderModule = (descriptor) => (made.push(descriptor.code), make(descriptor))
    try {
      await act()
    } finally {
      raw.createShaderModule = make
    }
    return made
  }

  /** What a kernel gives, which must be the same with subgroups and without. */
  async function same(note: string, kernel: Kernel, inputs: readonly Operand[], outputs: readonly Operand[]) {
    const found: number[][][] = []
    for (const subgroups of [false, true]) {
      gpu.subgroups = subgroups
      found.push(await outcome(device as NonNullable<typeof device>, kernel, inputs, outputs))
    }
    expect(found[1], note).toEqual(found[0])
  }

  beforeAll(() => {
    gpu.barriers = true
    gpu.subgroups = true
  })

  describe("subgroups", () => {
    it("are neighbours in order here, which a kernel finds out", async () => {
      expect(await hasOrderedSubgroups(gpu)).toBe(true)
    })
    it("are not counted on without the feature, or where the device refuses the kernel", async () => {
      const without = { features: new Set() } as unknown as GPUDevice
      expect(await hasOrderedSubgroups({ device: without } as Gpu)).toBe(false)
      const refusing = () => {
        throw new Error("no")
      }
      const queue = { program: refusing, dispatch: refusing } as unknown as Gpu["queue"]
      const { device: raw, pool, transfers } = gpu
      expect(await hasOrderedSubgroups({ device: raw, queue, pool, transfers } as Gpu)).toBe(false)
    })
    it("are not looked for on adapters without cheap barriers", async () => {
      const again = await openForTest()
      expect(again?.gpu.subgroups).toBe(false)
      await again?.close()
    })
  })

  describe("reductions through subgroups", () => {
    // From one thread a result to all of them, with shares in two passes at the end.
    const lengths = [1, 4, 5, 9, 17, 33, 67, 130, 300, 1001, 20_001]
    const check = reductionCheck(subject, random)

    it("use them", async () => {
      const rows = await shadersOf(() => check("max", operand("float32", [3, 40], "contiguous", random), [1]))
      expect(rows.filter((code) => code.includes("subgroupShuffleDown"))).toHaveLength(1)
      expect(rows.filter((code) => code.startsWith("enable subgroups;"))).toHaveLength(1)
      const columns = await shadersOf(() => check("max", operand("float32", [300, 3], "contiguous", random), [0]))
      expect(columns.filter((code) => code.includes("subgroup"))).toHaveLength(0)
    })
    for (const dtype of ["float32", "int32"] as const) {
      for (const op of reduceOperators(dtype)) {
        it(`${op} of ${dtype}`, async () => {
          const kernel: Kernel = { kind: "reduce", op, dims: [1], expr: e.input(0, dtype) }
          const to = op.startsWith("arg") ? "int32" : dtype
          for (const length of lengths) {
            for (const rows of length > 1001 ? [1] : [1, 7]) {
              const x = operand(dtype, [rows, length], "contiguous", random)
              // Numbers whose sums round: an order that differs shows.
              if (isFloat(dtype)) x.data.forEach((_, i) => (x.data[i] = Math.exp(random() - 0.5) * (i % 3 ? 1 : -1)))
              await same(`${rows} rows of ${length}`, kernel, [x], [operandOf(to, keptShape(x.shape, [1]), [])])
            }
          }
          for (const length of lengths.filter((n) => n < 300)) await check(op, whole(op, length), [1])
        })

        /** Elements of which no product leaves the range or rounds. */
        const whole = (by: ReduceOperator, length: number): Operand => {
          const x = operand(dtype, [5, length], "stepped", random)
          if (by === "prod" && isFloat(dtype)) x.data.forEach((v, i) => (x.data[i] = 2 ** (Number(v) % 2)))
          return x
        }
      }
    }
    it("hand NaN, infinities and zeros on", async () => {
      for (const op of reduceOperators("float32")) {
        for (const length of [5, 17, 67, 300]) {
          const x = operand("float32", [9, length], "contiguous", random)
          fill(x, random, true)
          // Rows without NaN too: infinities of one sign, and of both.
          x.data.forEach((v, i) => (x.data[i] = i >= 4 * length && Number.isNaN(v) ? Infinity : v))
          x.data.forEach((v, i) => (x.data[i] = i >= 7 * length && v === -Infinity ? 3 : v))
          if (op !== "prod") await check(op, x, [1])
          const to = op.startsWith("arg") ? "int32" : "float32"
          const kernel: Kernel = { kind: "reduce", op, dims: [1], expr: e.input(0, "float32") }
          await same(`${op} ${length}`, kernel, [x], [operandOf(to, [9, 1], [])])
        }
      }
    })
  })

  describe("narrow products through subgroups", () => {
    it("use them", async () => {
      const [kernel, inputs, outputs] = product({ size: [30, 300, 3] })
      const made = await shadersOf(() => outcome(device, kernel, inputs, outputs))
      expect(made.map((code) => code.includes("subgroupShuffleDown"))).toEqual([true])
    })
    for (const dtype of ["float32", "int32"] as const) {
      it(`of ${dtype}`, async () => {
        // Terms beside each other or rows; lanes from 8 to all threads; shares of k.
        const sizes = [[40, 33, 3], [300, 17, 1], [3, 300, 1], [1, 1000, 4], [70, 257, 2], [2, 9000, 3]] as const // prettier-ignore
        for (const [size, a] of combinations(1, sizes, ["rows", "columns", "reversed"] as const)) {
          const [kernel, inputs, outputs] = product({ size, a, dtype })
          await subject.agree(`[${size}] ${a}`, kernel, inputs, outputs)
          if (isFloat(dtype))
            for (const { data } of inputs) data.forEach((_, i) => (data[i] = i % 97 ? random() - 0.5 : random() * 1e4))
          await same(`[${size}] ${a}`, kernel, inputs, outputs)
        }
      })
    }
    it("hand NaN and infinities on", async () => {
      for (const odd of [NaN, Infinity, -Infinity]) {
        const [kernel, inputs, outputs] = product({ size: [20, 300, 2] })
        inputs[0].data[inputs[0].offset + 300 * 7 + 123] = odd
        await subject.agree(`${odd}`, kernel, inputs, outputs)
      }
    })
  })
} else if (device) {
  it("could not run: the adapter has no subgroups", () => device.close())
}
