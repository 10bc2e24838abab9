// Judging a training run: agreement, disagreement and chaos are told apart.
import { CpuJs } from "@rondo/backend-cpu-js"
import { use } from "rondo"
import { expect, test } from "vitest"
import type { Reference } from "./figures.js"
import { SteppedRNN } from "./models.js"
import { Session } from "./session.js"
import { relativeDifference } from "./text.js"
import { compare, type Curve, type Plan } from "./training.js"

const device = use(new CpuJs())
const streams = { out: { write: () => true }, err: { write: () => true } }
const session = (seed: number) =>
  new Session({ device, seed, full: false, quiet: true, out: "", streams }) // prettier-ignore

// epoch, train, test, spreads: steady at first, chaotic at epoch 2.
const reference: Reference = {
  parameters: 41,
  losses: [
    [0, 4, 5, 0, 0],
    [1, 2, 3, 1e-5, 2e-5],
    [2, 1, 2, 0.3, 0.1],
  ],
  test: [2, 0.1],
}

function judge(curve: readonly [number, number][], { parameters = 41, seed = 1 } = {}) {
  const points = curve.map(([train, test], epoch) => ({ epoch, train, test }))
  const plan = { name: "", model: new SteppedRNN(1, 5, 1), epochs: 3, run: 3, reference: { ...reference, parameters } }
  return compare(session(seed), plan as unknown as Plan, { points, final: 2 } satisfies Curve)
}

test("agreement is judged where PyTorch agrees with itself", () => {
  expect(judge([[4, 5], [2.0003, 3], [9, 9]])).toMatchObject({ ok: true, expected: "test 2.0000; 2 of 2 epochs agree" }) // prettier-ignore
})
test("a loss beyond its tolerance differs", () => {
  expect(judge([[4.0002, 5], [2, 3], [1, 2]]).ok).toBe(false) // prettier-ignore
  expect(judge([[4, 5], [2, 3.001], [1, 2]]).ok).toBe(false) // prettier-ignore
  expect(judge([[4, NaN], [2, 3], [1, 2]]).ok).toBe(false) // prettier-ignore
})
test("a model of the wrong size differs", () => {
  expect(judge([[4, 5], [2, 3], [1, 2]], { parameters: 42 }).ok).toBe(false) // prettier-ignore
})
test("without a reference nothing is claimed", () => {
  expect(judge([[4, 5], [2, 3], [1, 2]], { seed: 2 }).ok).toBeNull() // prettier-ignore
})

test("relativeDifference does not let NaN or a missing value pass", () => {
  expect(relativeDifference([1, 2], [1, 4])).toBe(0.5)
  expect(relativeDifference([1, NaN], [1, 4])).toBe(Infinity)
  expect(relativeDifference([1], [1, 4])).toBe(Infinity)
})
