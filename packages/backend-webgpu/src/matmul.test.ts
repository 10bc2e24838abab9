// Products of every dtype, shape and layout against the reference; how many dispatches they take.
import { e, type View } from "@rondo/backend"
import { combinations, describeProducts, operandOf, product, type Product, runProduct } from "@rondo/kernel-tests"
import { describe, expect, it } from "vitest"
import { blockForm } from "./matmul/blocks.js"
import { problemOf } from "./matmul/problem.js"
import { bothForms, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const subject = subjectOf(device)
  const { queue } = device.gpu
  bothForms(device, () => {
    describeProducts(subject)

    describe("factors that are read four elements at a time", () => {
      // Along terms, along rows or columns, or only one of the factors; ends that are no multiple of a block, or of four.
      const sizes = [[36, 32, 20], [20, 33, 44], [19, 36, 36], [32, 36, 35], [4, 600, 8], [17, 40, 9], [140, 24, 132]] as const // prettier-ignore
      const ways = ["rows", "columns", "row for all", "column for all"] as const
      for (const [dtype, a] of combinations(1, ["float32", "int32"] as const, ways))
        it(`${dtype}: ${a}`, async () => {
          for (const [b, [i, size]] of combinations(1, ways, [...sizes.entries()])) {
            const one: Product = { dtype, size, a, b, aligned: true, batch: i % 3 === 1 ? [2] : [], out: i % 2 ? "columns" : "rows" } // prettier-ignore
            const [kernel, inputs, outputs] = product(one)
            await subject.agree(JSON.stringify(one), kernel, inputs, outputs)
          }
        })
      it("of one storage, or of the storage that a bias lies in", async () => {
        const values = Array.from({ length: 1600 }, (_, i) => ((i * 29) % 19) / 4 - 2)
        const [whole, out] = [operandOf("float32", [1600], values), operandOf("float32", [20, 20], [])]
        const at = (offset: number) => ({ ...whole, shape: [20, 20], strides: [20, 1], offset })
        for (const offsets of [
          [0, 400],
          [400, 401],
          [0, 400, 800],
        ])
          await subject.agree(`${offsets}`, { kind: "matmul", bias: offsets.length > 2 }, offsets.map(at), [out])
      })
    })

    it("blocks of every form, where blocks are", async () => {
      const sizes = [[20, 20, 20], [64, 100, 4], [4, 100, 64], [64, 36, 63], [140, 24, 132]] as const // prettier-ignore
      const forms = sizes.map((size) => {
        const [, [a, b], [out]] = product({ size }).slice(0, 3) as [unknown, View[], View[]]
        const { rows, cols } = blockForm(problemOf(a, b, [out])).form
        return `${rows} x ${cols}`
      })
      expect(forms).toEqual(["4 x 4", "8 x 4", "4 x 8", "8 x 8", "16 x 8"])
      for (const [size, [a, b]] of combinations(1, sizes, [
        ["rows", "rows"],
        ["columns", "spread"],
      ] as const)) {
        const [kernel, inputs, outputs] = product({ size, a, b, aligned: true })
        await subject.agree(`[${size}] ${a} ${b}`, kernel, inputs, outputs)
      }
    })

    it("shares of k take two dispatches, and are gathered in their order", async () => {
      const before = queue.dispatches
      const one: Product = { size: [20, 9000, 15], a: "columns", bias: "row for all" }
      const first = await runProduct(device, one)
      expect(queue.dispatches - before).toBe(2)
      for (let i = 0; i < 3; i++) expect(await runProduct(device, one)).toEqual(first)
    })
    it("epilogues may have more inputs than a kernel may have buffers", async () => {
      const count = device.gpu.device.limits.maxStorageBuffersPerShaderStage - 3
      const inputs = Array.from({ length: count + 1 }, (_, i) => e.input(i, "float32"))
      const before = queue.dispatches
      // The map that comes after may be as large as a map can be; the product needs no buffer for its epilogue.
      const further = new Array<"rows">(count).fill("rows")
      const epilogue = inputs.reduce((a, b) => e.add(a, b))
      const [kernel, operands, outputs] = product({ size: [9, 20, 11], epilogue, further, bias: "rows" })
      await subject.agree("epilogue", kernel, operands, outputs)
      expect(queue.dispatches - before).toBeGreaterThanOrEqual(2)
    })
  })
}
