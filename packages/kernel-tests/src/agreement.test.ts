// That the comparison fails where it should: wrong elements, elements beside the output, NaN for a number, what is out of tolerance.
import { e, type Kernel, type View } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { describe, expect, it } from "vitest"
import { agreement } from "./agreement.js"
import { layouts, operand, operandOf, randomFrom } from "./operands.js"
import { combinations } from "./subject.js"

/** The reference, but for one element of the output's storage. */
class Wrong extends CpuJs {
  readonly at: number
  readonly value: number

  constructor(at: number, value: number) {
    super()
    this.at = at
    this.value = value
  }

  override run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars?: readonly number[]): void {
    super.run(kernel, inputs, outputs, scalars)
    this.write(outputs[0].storage, new Float32Array([this.value]), 4 * this.at)
  }
}

const [x, out] = [operandOf("float32", [3], [1, 2, 3]), operandOf("float32", [3], [9, 9, 9])]
const copy: Kernel = { kind: "map", exprs: [e.input(0, "float32")] }
const against = (at: number, value: number, relative = 0) =>
  agreement([new CpuJs(), new Wrong(at, value)], new CpuJs())("copy", copy, [x], [out], { relative, scale: 1 })

describe("agreement", () => {
  it("says which device, where, and what", async () => {
    await expect(against(1, 2.5)).rejects.toThrow("copy: device 1, output 0 at 1: got 2.5, expected 2")
    await expect(against(1, NaN)).rejects.toThrow("got NaN, expected 2")
    await expect(against(5, 1)).rejects.toThrow("output 0 at 5: got 1, expected 0")
  })
  it("keeps to the tolerance", async () => {
    await against(1, 2.5, 0.25)
    await expect(against(1, 2.5, 0.24)).rejects.toThrow("got 2.5")
    await against(1, 2)
  })
})

describe("operands", () => {
  it("have elements of their own in every layout, inside their storage", () => {
    const random = randomFrom(1)
    for (const layout of layouts) {
      for (let round = 0; round < 20; round++) {
        const { shape, strides, offset, data } = operand("int32", [3, 4, 2], layout, random)
        const at = combinations(1, [0, 1, 2], [0, 1, 2, 3], [0, 1]).map((index) =>
          index.reduce((sum, i, d) => sum + i * strides[d], offset),
        )
        expect(new Set(at).size).toBe(shape.reduce((a, b) => a * b))
        expect(Math.min(...at)).toBeGreaterThanOrEqual(0)
        expect(Math.max(...at)).toBeLessThan(data.length)
      }
    }
  })
})

describe("combinations", () => {
  it("are all, or some in which every value is met", () => {
    const [all, some] = [1, 3].map((step) => combinations(step, [1, 2], ["a", "b"]).map((one) => one.join("")))
    expect(all).toEqual(["1a", "1b", "2a", "2b"])
    expect(some).toEqual(["1a", "2b"])
  })
  it("refuse a step that leaves out values", () => {
    expect(() => combinations(2, [1, 2, 3], ["a", "b"])).toThrow("a step of 2 leaves out values of list 1")
  })
})
