// Reductions over every dtype, layout, dims and size against the reference, and that it does not matter how work is cut.
import { e, type ReduceKernel, sizeOf } from "@rondo/backend"
import { describeReductions, keptShape, operand, outcome, randomFrom, reduceOperators, reductionCheck } from "@rondo/kernel-tests" // prettier-ignore
import { describe, expect, it } from "vitest"
import { devices, subject } from "../test/devices.js"

const own = subject()
describeReductions(own)

const random = randomFrom(5)
const check = reductionCheck(own, random)
const large: readonly [shape: number[], dims: number[]][] = [
  [[600_001], [0]], [[700, 401], [0, 1]], [[70_000, 5], [0]], [[5, 70_001], [1]], [[300, 7, 200], [0, 2]], [[9001, 33], [0]],
] // prettier-ignore

describe("large reductions in blocks", () => {
  for (const dtype of ["float32", "float64", "int32", "bool"] as const) {
    for (const [shape, dims] of large) {
      it(`${dtype} [${shape}] over [${dims}], however the work is cut`, async () => {
        const x = operand(dtype, shape, "contiguous", random)
        for (const op of reduceOperators(dtype)) {
          if (op === "prod" || (op.startsWith("arg") && dims.length > 1)) continue
          await check(op, x, dims)
          const out = operand(op.startsWith("arg") ? "int32" : dtype, keptShape(shape, dims), "contiguous", random)
          expect(sizeOf(out.shape)).toBeLessThan(100)
          const kernel: ReduceKernel = { kind: "reduce", op, dims, expr: e.input(0, dtype) }
          const [whole, , pieces] = await Promise.all(devices.map((device) => outcome(device, kernel, [x], [out])))
          expect(pieces).toEqual(whole)
        }
      })
    }
  }
})
