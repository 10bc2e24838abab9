// Rows and tables of the GPU benchmark from made-up runs, and what counting calls counts.
import { expect, it } from "vitest"
import { gpuCaseNames, gpuCases } from "./cases.js"
import { counts, since, startCounting } from "./counters.js"
import type { GpuRun } from "./run.js"
import { agrees, gpuTables, summariseGpu } from "./summary.js"

const run = (over: Partial<GpuRun>): GpuRun => ({
  workload: "W1",
  peer: "a",
  round: 1,
  load: 0,
  wall_s: 1,
  median_ms: 2,
  min_ms: 1,
  first_ms: 9,
  losses: { 3: 0.270914 },
  steps: 5,
  spread: 0.5,
  ...over,
})

it("expects the sums of the matrices' first row and column, and PyTorch's losses", () => {
  const cases = gpuCases()
  expect(cases.map(({ name }) => name)).toEqual(gpuCaseNames)
  // python3 -c "from pytorch import *; a = param(1, [1024] * 2, 1); b = param(2, [1024] * 2, (3 / 1024) ** .5);
  //   print((a[0].double() @ b[:, 0].double()).item())"
  expect(cases.find(({ name }) => name === "matmul 1024")?.expected).toBeCloseTo(0.22132084243635783, 9)
})

it("compares to four digits", () => {
  expect(agrees(0.270914, 0.27095)).toBe(true)
  expect(agrees(0.270914, 0.27111)).toBe(false)
  expect(agrees(4.51645, 4.5171)).toBe(true)
  expect(agrees(4.51645, 4.5191)).toBe(false)
  expect(agrees(NaN, 1)).toBe(false)
})

it("takes medians over rounds, and the spread of the steps where there is one round only", () => {
  const [one] = summariseGpu([run({})])
  expect(one).toMatchObject({ median_ms: 2, first_ms: 9, rounds: 1, spread: 0.5, right: true })
  expect(summariseGpu([run({ steps: 1, spread: 0 })])[0].spread).toBeUndefined()
  const [three] = summariseGpu([run({}), run({ median_ms: 4, min_ms: 0.5 }), run({ median_ms: 3, first_ms: 10 })])
  expect(three).toMatchObject({ median_ms: 3, min_ms: 0.5, first_ms: 10, rounds: 3, spread: 2 / 3 })
})

it("drops failures where a round went well, and tells of them where none did", () => {
  const [row] = summariseGpu([run({ error: "lost" }), run({})])
  expect(row).toMatchObject({ rounds: 1, median_ms: 2 })
  const results = summariseGpu([run({}), run({ peer: "b", error: "lost" }), run({ peer: "c", losses: { 3: 0.3 } })])
  const text = gpuTables(results, "a")
  expect(text).toContain("- b fails: lost")
  expect(text).toMatch(/\| c .*0\.3 ≠/)
})

it("counts calls, and what they were for stays as it was", () => {
  class Owner {
    calls: unknown[][] = []
    dispatchWorkgroups(...args: unknown[]): number {
      return this.calls.push(args)
    }
  }
  const names = ["GPUComputePassEncoder", "GPUQueue", "GPUCommandEncoder", "GPUDevice"]
  const none = () => {}
  const others = ["dispatchWorkgroupsIndirect", "submit", "writeBuffer", "copyBufferToBuffer", "clearBuffer"]
  others.push("beginComputePass", "createBuffer", "createBindGroup", "createComputePipeline")
  others.push("createComputePipelineAsync")
  Object.assign(Owner.prototype, Object.fromEntries(others.map((name) => [name, none])))
  Object.assign(globalThis, Object.fromEntries(names.map((name) => [name, class extends Owner {}])))
  startCounting()
  const Encoder = (globalThis as unknown as Record<string, typeof Owner>).GPUComputePassEncoder
  const before = counts()
  const encoder = new Encoder()
  expect(encoder.dispatchWorkgroups(1, 2)).toBe(1)
  expect(encoder.calls).toEqual([[1, 2]])
  expect(since(before)).toMatchObject({ dispatches: 1, submits: 0 })
  for (const name of names) Reflect.deleteProperty(globalThis, name)
})
