// The reader of option tables, and the guess at what a wrong name means.
import { DisposedError, DTypeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { checkKnownOptions, checkOptions, ones, type OptionChecks, type Tensor, use } from "./index.js"
import { nearest } from "./names.js"

beforeAll(() => void use(new CpuJs()))

interface Some {
  readonly steps: number
  readonly mode?: "soft" | "hard" | null
  readonly even?: number
  readonly mask?: Tensor | null
  readonly dtype?: string
}
const checks: OptionChecks<Some> = {
  steps: "count!",
  mode: ["soft", "hard", null],
  even: { words: "an even number", fits: (x) => typeof x === "number" && x % 2 === 0 },
  mask: "tensor|null",
  dtype: "dtype",
}
const read = (options: unknown) => checkOptions("f", checks, options as Some)

describe("checkOptions", () => {
  it("gives back what fits", () => {
    const options = { steps: 1, mode: null, even: undefined, mask: ones(1) }
    expect(read(options)).toBe(options)
    expect(checkOptions("g", { mode: ["soft"] } as OptionChecks<{ mode?: "soft" }>, undefined)).toEqual({})
  })
  it.each<[unknown, string]>([
    [{}, "f: steps must be a whole number of at least 1: got undefined"],
    [undefined, "f: steps must be a whole number of at least 1: got undefined"],
    [{ steps: 1, mode: "loud" }, 'f: mode must be "soft", "hard" or null: got the string "loud"'],
    [{ steps: 1, even: 3 }, "f: even must be an even number: got 3"],
    [{ steps: 1, mask: 3 }, "f: mask must be a tensor or null: got 3"],
    [{ steps: 1, step: 3 }, "f: unknown option step: expected steps, mode, even, mask, dtype; did you mean steps?"],
    [{ steps: 1, constructor: 3 }, "f: unknown option constructor: expected steps, mode, even, mask, dtype"],
  ])("refuses %o", (options, message) => {
    expect(() => read(options)).toThrow(ValueError)
    expect(() => read(options)).toThrow(expect.objectContaining({ message }))
  })
  it("has errors of their own for dtypes and disposed tensors", () => {
    const gone = ones(1)
    gone.dispose()
    expect(() => read({ steps: 1, mask: gone })).toThrow(DisposedError)
    expect(() => read({ steps: 1, dtype: "float8" })).toThrow(DTypeError)
  })
  it("knows each caller by its own name", () => {
    expect(() => checkOptions("other", checks, { steps: 0 })).toThrow(/^other: steps/)
    expect(() => read({ steps: 0 })).toThrow(/^f: steps/)
  })
  it("lets strangers pass where it is told to, and them alone", () => {
    checkKnownOptions("f", checks, { steps: 1, colour: "red" })
    expect(() => checkKnownOptions("f", checks, { steps: 0, colour: "red" })).toThrow(/^f: steps/)
  })
})

describe("the nearest name", () => {
  const known = ["numLayers", "weightDecay", "lr", "batchFirst", "dropout", "bias"]
  it.each([
    ["num_layers", "numLayers"],
    ["NumLayers", "numLayers"],
    ["layers", "numLayers"],
    ["numLayer", "numLayers"],
    ["wd", "weightDecay"],
    ["learningRate", "lr"],
    ["learning_rate", "lr"],
    ["bais", "bias"],
    ["dropoutProbability", "dropout"],
    ["batch-first", "batchFirst"],
    ["nesterov", null],
    ["x", null],
    ["", null],
  ])("to %s is %s", (given, meant) => {
    expect(nearest(given, known)).toBe(meant)
  })
  it("is the name itself in any spelling, and one edit away still", () => {
    const word = fc.stringMatching(/^[a-z]{5,9}$/)
    fc.assert(
      fc.property(fc.uniqueArray(word, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat(), (names, which, at) => {
        const name = names[which % names.length]
        expect(nearest(name.toUpperCase(), names)).toBe(name)
        const place = at % name.length
        expect(nearest(name.slice(0, place) + name.slice(place + 1), [name])).toBe(name)
      }),
    )
  })
})
