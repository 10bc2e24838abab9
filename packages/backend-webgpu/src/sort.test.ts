// Sorting over every dtype, layout and length, both ways, against the reference.
import { isFloat } from "@rondo/backend"
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

const random = randomFrom(17)
const anyLayout = () => layouts[Math.floor(random() * layouts.length)]

describe.skipIf(!device)("webgpu sort", () => {
  const gpu = device as NonNullable<typeof device>
  const agree = device ? agreement(gpu) : () => Promise.resolve()

  async function check(x: Operand): Promise<void> {
    for (const descending of [false, true]) {
      const outputs = [operand(x.dtype, x.shape, anyLayout(), random), operand("int32", x.shape, anyLayout(), random)]
      const note = `${x.dtype} [${x.shape}] strides [${x.strides}] ${descending}`
      await agree(note, { kind: "sort", descending }, [x], outputs)
    }
  }

  describe("any layout, both ways", () => {
    for (const dtype of gpuDTypes) {
      it(`${dtype}`, async () => {
        const shapes = [[], [1], [3, 5], [2, 3, 17], [4, 1, 9], [0], [2, 0], [0, 2], [1, 1000], [17, 33], [2, 1500]]
        for (const shape of shapes) {
          for (const layout of ["contiguous", anyLayout()] as const) {
            const x = operand(dtype, shape, layout, random)
            await check(x)
            if (!isFloat(dtype)) continue
            fill(x.data, dtype, random, true)
            await check(x)
          }
        }
      })
    }
    it("every layout", async () => {
      for (const layout of layouts) await check(operand("float32", [3, 2, 40], layout, random))
    })
    it("every length up to 70, and about powers of two", async () => {
      for (let n = 2; n < 70; n++) await check(operand("float32", [n], "contiguous", random))
      for (const n of [255, 256, 257, 1023, 1024, 1025, 2047, 2048, 2049, 5000]) {
        await check(operand("int32", [n], "contiguous", random))
      }
    })
  })

  describe("details", () => {
    it("the whole range of integers", async () => {
      await check(operandOf("int32", [6], [2 ** 31 - 1, -(2 ** 31), 0, -1, 1, -(2 ** 31)]))
      await check(operandOf("uint8", [4], [255, 0, 128, 127]))
    })
    it("the whole range of floats", async () => {
      const values = [1e-45, -1e-45, 0, -0, 3e38, -3e38, Infinity, -Infinity, NaN, 1e-40, -1e-40]
      await check(operandOf("float32", [values.length], values))
      const bits = [1, 0x8001, 0, 0x8000, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x3ff, 0x83ff]
      await check(operandOf("float16", [bits.length], bits))
    })
    it("equal keys stay in order", async () => {
      for (const n of [40, 3000]) {
        const zeros = Array.from({ length: n }, (_, i) => (i % 2 ? 0 : -0))
        for (const descending of [false, true]) {
          const outputs = [operandOf("float32", [n], []), operandOf("int32", [n], [])]
          const lists = await outcome(gpu, { kind: "sort", descending }, [operandOf("float32", [n], zeros)], outputs)
          expect(lists[1].slice(0, n)).toEqual([...Array(n).keys()])
          expect(Object.is(lists[0][2], -0)).toBe(true)
        }
      }
    })
    it("in place", async () => {
      for (const [dtype, shape] of [["float32", [5, 40]], ["uint8", [5, 41]], ["float32", [2, 3000]]] as const) {
        const x = operand(dtype, shape, "contiguous", random)
        const positions = operand("int32", shape, "contiguous", random)
        await agree("in place", { kind: "sort", descending: false }, [x], [x, positions])
      }
    }) // prettier-ignore
    it("seventy thousand elements", async () => {
      const values = Float32Array.from({ length: 70_000 }, () => Math.floor(random() * 5000) / 8)
      await check(operandOf("float32", [70_000], values))
    })
  })
})
