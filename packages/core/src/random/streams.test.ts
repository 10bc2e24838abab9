// Whole streams against PyTorch's own, draw by draw: goldens/streams.json, made by packages/conformance/goldens/streams.py.
import { createHash } from "node:crypto"
import type { DType } from "@rondo/backend"
import { describe, expect, test } from "vitest"
import type { RealDType } from "./index.js"
import {
  Generator,
  bernoulli,
  bernoulliTensor,
  cauchy,
  dropoutMask,
  exponential,
  geometric,
  logNormal,
  multinomial,
  normal,
  normalEach,
  rand,
  randint,
  randomWhole,
  randperm,
  uniform,
} from "./index.js"
import streams from "./goldens/streams.json" with { type: "json" }

type Step = Record<string, unknown> & { op: string; n: number }

/** Bounds beyond 2^53 are written as text. */
const whole = (value: unknown): number | bigint => (typeof value === "string" ? BigInt(value) : (value as number))

const floats = (values: unknown, dtype: unknown): Float32Array | Float64Array =>
  dtype === "float64" ? new Float64Array(values as number[]) : new Float32Array(values as number[])

function draw(g: Generator, step: Step): ArrayBufferView {
  const { op, n } = step
  // The options of each draw bear the names of its fields; the checks of the draws themselves catch any other.
  const options = step as never as { dtype: RealDType; p: number; mean: number; std: number; samples: number }
  switch (op) {
    case "rand":
      return rand(g, n, options.dtype)
    case "uniform":
      return uniform(g, n, options)
    case "normal":
      return normal(g, n, options)
    case "normalEach":
      return normalEach(g, n, options as never)
    case "randint":
      return randint<DType>(g, n, { ...options, low: whole(step.low ?? 0), high: whole(step.high) })
    case "randomWhole":
      return randomWhole(g, n, options.dtype as DType)
    case "randperm":
      return randperm(g, n)
    case "bernoulli":
      return bernoulli<DType>(g, n, options)
    case "bernoulliTensor":
      return bernoulliTensor(g, floats(step.probs, step.dtype))
    case "dropoutMask":
      return dropoutMask(g, n, options)
    case "exponential":
      return exponential(g, n, options)
    case "logNormal":
      return logNormal(g, n, options)
    case "cauchy":
      return cauchy(g, n, options)
    case "geometric":
      return geometric(g, n, options)
    case "multinomial":
      return multinomial(g, floats(step.weights, step.dtype), options)
    case "state":
      return g.getState()
  }
  throw new Error(`unknown draw ${op}`)
}

const bytesOf = (array: ArrayBufferView): Buffer => Buffer.from(array.buffer, array.byteOffset, array.byteLength)

/** The only inexact draws: float64 results of logarithms and sines, in units of the last place. */
const inexact = new Set(["normal", "normalEach", "exponential", "logNormal", "cauchy"])
const ULPS = 2n

/** Distance of two float64 in units of the last place; their bits, read as integers, are ordered like them. */
function ulps(a: BigInt64Array, b: BigInt64Array): bigint {
  let worst = 0n
  for (let i = 0; i < a.length; i++) {
    const distance = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]
    if (distance > worst) worst = distance
  }
  return worst
}

function compare(step: Step, got: Buffer, label: string): void {
  if (typeof step.sha256 === "string") {
    expect(createHash("sha256").update(got).digest("hex"), label).toBe(step.sha256)
    return
  }
  const want = Buffer.from(step.base64 as string, "base64")
  expect(got.length, label).toBe(want.length)
  if (step.dtype === "float64" && inexact.has(step.op)) {
    const words = (buffer: Buffer) => new BigInt64Array(new Uint8Array(buffer).buffer)
    expect(ulps(words(got), words(want)), label).toBeLessThanOrEqual(ULPS)
  } else expect(got.toString("hex"), label).toBe(want.toString("hex"))
}

describe("PyTorch's streams", () => {
  test.each(streams.map((stream) => [stream.name, stream] as const))("%s", (_, stream) => {
    const g = new Generator(BigInt(stream.seed))
    stream.steps.forEach((step, i) => {
      const { base64: _b, sha256: _s, ...shown } = step as Record<string, unknown>
      compare(step as Step, bytesOf(draw(g, step as Step)), `draw ${i}: ${JSON.stringify(shown)}`)
    })
  })
})

test("float64 normals equal PyTorch's, at least 99 of 100, bit for bit", () => {
  let equal = 0
  let all = 0
  for (const { seed, steps } of streams) {
    const g = new Generator(BigInt(seed))
    for (const step of steps as Step[]) {
      const got = bytesOf(draw(g, step))
      if (step.op !== "normal" || step.dtype !== "float64" || typeof step.base64 !== "string") continue
      const want = Buffer.from(step.base64, "base64")
      for (let i = 0; i < want.length; i += 8) if (want.compare(got, i, i + 8, i, i + 8) === 0) equal++
      all += want.length / 8
    }
  }
  expect(all).toBeGreaterThan(700)
  expect(equal / all).toBeGreaterThan(0.99)
})
