// Cases of sorting: dtypes, layouts and lengths, both ways; the whole range of numbers, ties, and long lines.
import { type DType, isFloat } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import { outcome } from "./agreement.js"
import { fill, layouts, operand, type Operand, operandOf, pick, randomFrom } from "./operands.js"
import { combinations, type Subject } from "./subject.js"

// Beside what all have: what is smallest and largest in each.
const ends: Partial<Record<DType, readonly number[]>> = {
  float64: [5e-324, 1e-310, 1e308],
  float32: [1e-45, 1e-40, 3e38],
  float16: [2 ** -24, 1023 * 2 ** -24, 65504],
  bfloat16: [2 ** -133, 2 ** -127, 3e38],
  int32: [1, 2 ** 31 - 1, 2 ** 31],
  uint32: [1, 2 ** 31 - 1, 2 ** 31],
}

/** Registers the cases. */
export function describeSorts({ agree, devices, dtypes, slow }: Subject): void {
  const random = randomFrom(17)

  const check = async (x: Operand): Promise<void> => {
    for (const descending of [false, true]) {
      const outputs = [x.dtype, "int32" as const].map((to) => operand(to, x.shape, pick(layouts, random), random))
      const note = `${x.dtype} [${x.shape}] strides [${x.strides}] ${descending}`
      await agree(note, { kind: "sort", descending }, [x], outputs)
    }
  }

  describe("any layout, both ways", () => {
    const shapes = [[], [1], [3, 5], [2, 3, 17], [4, 1, 9], [0], [2, 0], [0, 2], [1, 1000], [17, 33], [2, 1500]]
    for (const dtype of dtypes) {
      it(`${dtype}`, async () => {
        for (const shape of shapes) {
          for (const layout of slow ? (["contiguous", pick(layouts, random)] as const) : layouts) {
            const x = operand(dtype, shape, layout, random)
            await check(x)
            if (!isFloat(dtype)) continue
            fill(x, random, true)
            await check(x)
          }
        }
      })
    }
    it("every layout", async () => {
      for (const layout of layouts) await check(operand("float32", [3, 2, 40], layout, random))
    })
    it("every length up to 70, and about powers of two", async () => {
      for (const dtype of slow ? (["float32"] as const) : dtypes)
        for (let n = 2; n < 70; n++) await check(operand(dtype, [n], "contiguous", random))
      for (const n of [255, 256, 257, 1023, 1024, 1025, 2047, 2048, 2049, 5000])
        await check(operand("int32", [n], "contiguous", random))
    })
  })

  describe("details", () => {
    it("the whole range of integers and floats", async () => {
      await check(operandOf("uint8", [4], [255, 0, 128, 127]))
      for (const dtype of dtypes) {
        const list = (ends[dtype] ?? []).flatMap((x) => [x, -x])
        if (isFloat(dtype)) list.push(Infinity, -Infinity, NaN, -0)
        await check(operandOf(dtype, [list.length + 1], [0, ...list]))
      }
    })
    it("equal keys stay in order", async () => {
      for (const [device, n, descending] of combinations(1, devices, [40, 3000], [false, true])) {
        const zeros = Array.from({ length: n }, (_, i) => (i % 2 ? 0 : -0))
        const outputs = [operandOf("float32", [n], []), operandOf("int32", [n], [])]
        const lists = await outcome(device, { kind: "sort", descending }, [operandOf("float32", [n], zeros)], outputs)
        expect(lists[1].slice(0, n)).toEqual([...Array(n).keys()])
        expect(Object.is(lists[0][2], -0)).toBe(true)
      }
    })
    it("in place", async () => {
      for (const [dtype, shape] of [["float32", [5, 40]], ["uint8", [5, 41]], ["float32", [2, 3000]]] as const) {
        const x = operand(dtype, shape, "contiguous", random)
        const positions = operand("int32", shape, "contiguous", random)
        await agree("in place", { kind: "sort", descending: false }, [x], [x, positions])
      }
    }) // prettier-ignore
    it("a hundred thousand elements, with ties and without", async () => {
      const count = slow ? 70_000 : 100_000
      for (const steps of slow ? [5000] : [5000, 2 ** 23])
        await check(operandOf("float32", [count], Float32Array.from({ length: count }, () => Math.floor(random() * steps) / 8))) // prettier-ignore
    })
  })
}
