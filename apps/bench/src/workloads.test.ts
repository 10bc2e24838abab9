// The workloads' generator against NumPy's, and Rondo's losses against PyTorch's on them.
import { device, use } from "rondo"
import { beforeAll, describe, expect, it } from "vitest"
import { trainingCases } from "./ours/cases.js"
import { build, drawn, timeMajor, transpose, uniforms } from "./workloads.js"

describe("data", () => {
  it("draws what pytorch.py draws with NumPy", () => {
    // python3 -c "from pytorch import *; print(uniforms(11, 3), param(105, [2, 2], 0.5))"
    expect([...uniforms(11, 3)]).toEqual([0.5115870486479253, 0.5299464082345366, 0.6081185641232878])
    expect([...drawn(105, [2, 2], 0.5).data]).toEqual(
      [-0.3689451813697815, -0.18967600166797638, 0.44195446372032166, 0.25545284152030945].map(Math.fround),
    )
  })
  it("sums to what pytorch.py's arrays sum to", () => {
    const sum = (x: ArrayLike<number>) => Array.from(x).reduce((a, b) => a + b, 0)
    expect(sum(build.W1().x)).toBeCloseTo(67.24191653412709, 3)
    expect(sum(build.W1b().y)).toBeCloseTo(6.331643381621689, 4)
    expect(sum(build.W2().y)).toBeCloseTo(978.8065891675651, 3)
    expect(sum(build.W3().targets)).toBe(78012)
    expect(sum(build.W4().ids)).toBe(50237742)
  })
  it("rearranges weights and sequences", () => {
    const weights = { data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] }
    expect(transpose(weights)).toEqual({ data: Float32Array.of(1, 4, 2, 5, 3, 6), shape: [3, 2] })
    expect([...timeMajor(Float32Array.of(1, 2, 3, 4, 5, 6), 3, 2)]).toEqual([1, 3, 5, 2, 4, 6])
    expect([...timeMajor(Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8), 2, 2, 2)]).toEqual([1, 2, 5, 6, 3, 4, 7, 8])
  })
})

describe.each([false, true])("Rondo's losses are PyTorch's, captured %s", (captured) => {
  beforeAll(async () => {
    process.env.BENCH_BUDGET = "0"
    use(await device("cpu-js"))
  })
  const cases = async () => trainingCases({ device: await device("cpu-js"), captured })
  // PyTorch 1.13.1, losses after steps 1, 2, 3, as pytorch.py prints them.
  it.each([
    ["W1", [0.347829, 0.30408, 0.270914]],
    ["W1b", [0.486266, 0.435808, 0.389943]],
    ["W3", [4.55852, 4.53865, 4.51645]],
  ])("%s", async (name, expected) => {
    const { losses } = await (await cases())[name]()
    for (const step of [1, 2, 3]) expect(losses?.[step]).toBeCloseTo(expected[step - 1], 4)
  })
  it("W5", async () => {
    const { check } = await (await cases()).W5()
    expect(check).toBeCloseTo(0.150558, 5)
  })
})
