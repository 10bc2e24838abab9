// Reductions over every dtype, layout, dims and size against the reference; large ones in two passes.
import { e, type ReduceKernel, type ReduceOperator, ValueError } from "@rondo/backend"
import { describeReductions, operand, operandOf, randomFrom, reductionCheck } from "@rondo/kernel-tests"
import { describe, expect, it } from "vitest"
import { bothForms, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const random = randomFrom(5)
  const subject = subjectOf(device)
  const check = reductionCheck(subject, random)
  bothForms(device, () => {
    describeReductions(subject)

    it("of more inputs than a shader may have", async () => {
      const count = device.gpu.device.limits.maxStorageBuffersPerShaderStage
      const inputs = Array.from({ length: count }, () => operand("int32", [6, 7], "contiguous", random))
      for (const list of [inputs.slice(0, count - 1), inputs]) {
        const expr = list.map((_, i) => e.input(i, "int32")).reduce((a, b) => e.add(a, b))
        const out = operand("int32", [6, 1], "contiguous", random)
        await subject.agree(`${list.length} inputs`, { kind: "reduce", op: "sum", dims: [1], expr }, list, [out])
      }
    })

    it("of more elements than kernels can count are refused", () => {
      const [x, out] = [device.alloc(4), device.alloc(4)]
      const view = { storage: x, dtype: "float32", shape: [65_536, 65_536], strides: [0, 0], offset: 0 } as const
      const one = { ...view, storage: out, shape: [1, 1] }
      const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims: [0, 1], expr: e.input(0, "float32") }
      expect(() => device.run(kernel, [view], [one])).toThrow(ValueError)
      expect(() => device.run(kernel, [view], [one])).toThrow(/^reduce: too many elements: got 4294967296, /)
      for (const storage of [x, out]) device.free(storage)
    })

    it("products are in range if all factors together are, however they are spread over threads", async () => {
      const factors = Float32Array.from({ length: 50_000 }, (_, i) => (i % 2 ? 1.5 : 2 / 3))
      const kernel: ReduceKernel = { kind: "reduce", op: "prod", dims: [0], expr: e.input(0, "float32") }
      const inputs = [operandOf("float32", [50_000], factors)]
      await subject.agree("near 1", kernel, inputs, [operandOf("float32", [1], [0])], {
        relative: 50_000 * 2 ** -24,
        scale: 0,
      })
    })

    const large: readonly [shape: number[], dims: number[]][] = [
    [[60_001], [0]], [[200, 301], [0, 1]], [[20_000, 5], [0]], [[5, 20_001], [1]], [[100, 7, 200], [0, 2]],
  ] // prettier-ignore
    describe("large reductions in two passes", () => {
      for (const dtype of ["float32", "int32", "bool"] as const) {
        for (const [shape, dims] of large) {
          it(`${dtype} [${shape}] over [${dims}]`, async () => {
            const x = operand(dtype, shape, "contiguous", random)
            const list: ReduceOperator[] = ["sum", "argmax", dtype === "bool" ? "any" : "min"]
            for (const op of list) {
              if (op.startsWith("arg") && dims.length > 1) continue
              const before = device.gpu.queue.dispatches
              await check(op, x, dims)
              expect(device.gpu.queue.dispatches - before).toBe(2)
            }
          })
        }
      }
    })
  })
}
