// Products of every dtype, shape and layout against the reference; how many dispatches they take.
import { e } from "@rondo/backend"
import { describeProducts, product, type Product, runProduct } from "@rondo/kernel-tests"
import { expect, it } from "vitest"
import { openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const subject = subjectOf(device)
  const { queue } = device.gpu
  describeProducts(subject)

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
}
