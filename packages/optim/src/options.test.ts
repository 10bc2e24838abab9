// Every optimiser, scheduler and function here that takes an object of options, given bad ones: typed errors alone, which
// name the caller, the option and what was probably meant. Groups of parameters keep what is not the optimiser's.
import { RondoError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { ones, type Tensor, tensor, use } from "@rondo/core"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import * as optim from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

const leaf = (): Tensor => tensor([1, 2], { requiresGrad: true })
const sgd = () => new optim.SGD([leaf()], { lr: 1, momentum: 0.9 })

type Call = readonly [name: string, call: (options: never) => unknown, base?: object]
const optimisers = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD", "SparseAdam", "LBFGS"] as const // prettier-ignore
const needed: Readonly<Record<string, object>> = {
  SGD: { lr: 1 },
  StepLR: { stepSize: 2 },
  MultiStepLR: { milestones: [1, 2] },
  ExponentialLR: { gamma: 0.5 },
  CosineAnnealingLR: { tMax: 5 },
  CosineAnnealingWarmRestarts: { t0: 5 },
  LambdaLR: { lrLambda: () => 1 },
  MultiplicativeLR: { lrLambda: () => 1 },
  OneCycleLR: { maxLr: 1, totalSteps: 9 },
  CyclicLR: { baseLr: 0.1, maxLr: 1 },
}
const schedulers = ["StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "LambdaLR", "MultiplicativeLR", "OneCycleLR", "CyclicLR", "ReduceLROnPlateau"] as const // prettier-ignore

const calls: readonly Call[] = [
  ...optimisers.map((name): Call => [name, (o) => new (optim[name] as typeof optim.Adam)([leaf()], o), needed[name]]),
  ...schedulers.map((name): Call => [name, (o) => new (optim[name] as typeof optim.LinearLR)(sgd(), o), needed[name]]),
  [
    "SequentialLR",
    (o) => {
      const optimizer = sgd()
      const parts = [new optim.ConstantLR(optimizer), new optim.LinearLR(optimizer)]
      return new optim.SequentialLR(optimizer, { schedulers: parts, ...spreadable(o) } as never)
    },
    { milestones: [3] },
  ],
  ["clipGradNorm_", (o) => optim.clipGradNorm_(leaf(), 1, o)],
  ["SGD.zeroGrad", (o) => sgd().zeroGrad(o)],
]
/** Hands on what can be spread; the constructor itself is to refuse the rest. */
function spreadable(options: object): object {
  if (options === null || typeof options !== "object" || Array.isArray(options) || options instanceof Date) {
    return new optim.SequentialLR(sgd(), options as never)
  }
  return options
}

function refusal(call: Call[1], options: unknown): unknown {
  try {
    call(options as never)
    return null
  } catch (error) {
    return error
  }
}
function known(call: Call[1], base: object | undefined): string[] {
  const { message } = refusal(call, { ...base, zzzzzz: 1 }) as Error
  return (/: expected (.*)$/.exec(message) as RegExpExecArray)[1].split(", ")
}
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const junk: readonly unknown[] = [null, NaN, Infinity, -Infinity, -1, 0, 1.5, 2, "0.1", "x", true, 1n, Symbol("s"), () => 1, [], ["a"], [NaN], [null], [0.9], [0.9, 1], {}, new Date(), new Float32Array(2)] // prettier-ignore

describe.each(calls.map(([name, call, base]) => ({ name, call, base })))("$name", ({ name, call, base }) => {
  it("refuses anything but a plain object for its options", () => {
    for (const options of [null, 3, "mean", true, [], new Date(), () => 1, 1n]) {
      const error = refusal(call, options)
      expect(error).toBeInstanceOf(ValueError)
      expect((error as Error).message).toMatch(new RegExp(`^${name}: options must be a plain object: got `))
    }
  })
  it("names an unknown option, all that there are, and the one that was meant", () => {
    for (const key of known(call, base)) {
      for (const wrong of new Set([snake(key), key.toUpperCase(), `${key}s`])) {
        if (wrong === key || key === "eps") continue
        const error = refusal(call, { ...base, [wrong]: 1 })
        expect(error).toBeInstanceOf(ValueError)
        const text = (error as Error).message
        expect(text.startsWith(`${name}: unknown option ${wrong}: expected `)).toBe(true)
        expect(text).toContain(`; did you mean ${key}?`)
      }
    }
  })
  it("takes undefined for the default, or says what is missing", () => {
    for (const key of known(call, base)) {
      const error = refusal(call, { ...base, [key]: undefined })
      if ((base && key in base) || key === "schedulers") {
        expect((error as Error).message).toMatch(new RegExp(`^${name}: (${key} must be|needs totalSteps)`))
      } else expect(error).toBe(null)
    }
  })
  it("refuses values that do not fit with typed errors alone", () => {
    const keys = known(call, base)
    let refused = 0
    const value = fc.oneof(
      fc.constantFrom(...junk),
      fc.double({ min: -4, max: 4 }),
      fc.string(),
      fc.array(fc.integer()),
    )
    fc.assert(
      fc.property(fc.constantFrom(...keys), value, (key, given) => {
        const error = refusal(call, { ...base, [key]: given })
        if (error === null) return
        refused++
        if (!(error instanceof RondoError)) throw error
      }),
      { numRuns: 100 },
    )
    expect(refused).toBeGreaterThan(0)
  })
})

describe("messages", () => {
  const adam = "expected lr, betas, eps, weightDecay, amsgrad, maximize"
  it.each<[string, object, string]>([
    ["the whole name of lr", { learningRate: 1 }, `unknown option learningRate: ${adam}; did you mean lr?`],
    ["PyTorch's spelling", { weight_decay: 1 }, `unknown option weight_decay: ${adam}; did you mean weightDecay?`],
    ["the letters swapped", { amsgard: true }, `unknown option amsgard: ${adam}; did you mean amsgrad?`],
    ["nothing of the kind", { nesterov: true }, `unknown option nesterov: ${adam}`],
    ["text for a rate", { lr: "0.1" }, 'lr must be a number of at least 0: got the string "0.1"'],
    ["no number", { lr: NaN }, "lr must be a number of at least 0: got NaN"],
    ["a negative rate", { lr: -0.1 }, "lr must be a number of at least 0: got -0.1"],
    ["a beta of 1", { betas: [1, 0.9] }, "betas must be two numbers in [0, 1): got [1, 0.9]"],
    ["a number for a flag", { amsgrad: 1 }, "amsgrad must be true or false: got 1"],
  ])("%s", (_, options, text) => {
    for (const name of ["Adam", "AdamW"] as const) {
      expect(() => new optim[name]([leaf()], options)).toThrow(expect.objectContaining({ message: `${name}: ${text}` }))
    }
  })
})

describe("groups of parameters", () => {
  it("keep names that are not the optimiser's, through saving and loading", () => {
    const group = { params: [leaf()], lr: 0.1, name: "body" }
    const optimizer = new optim.Adam([group])
    expect(optimizer.paramGroups[0]).toMatchObject({ lr: 0.1, name: "body" })
    const other = new optim.Adam([leaf()])
    other.loadStateDict(optimizer.stateDict())
    expect(other.paramGroups[0]).toMatchObject({ lr: 0.1, name: "body" })
  })
  it("may bring the lr that the optimiser was not given", () => {
    const optimizer = new optim.SGD([{ params: [leaf()], lr: 0.1 }], {} as { lr: number })
    expect(optimizer.paramGroups[0].lr).toBe(0.1)
  })
  it.each<[string, object, RegExp]>([
    ["text for a rate", { lr: "0.1" }, /^Adam: lr must be a number of at least 0: got the string "0.1"$/],
    ["null for a rate", { lr: null }, /^Adam: lr must be/],
    ["a number for a flag", { maximize: 0 }, /^Adam: maximize must be true or false: got 0$/],
    ["a number for parameters", { params: 3 }, /^Adam: params of a group must be a list of tensors, got number$/],
    ["null for parameters", { params: null }, /^Adam: params of a group must be/],
  ])("are held to the same table: %s", (_, options, text) => {
    const call = () => new optim.Adam([{ params: [leaf()], ...options } as never])
    expect(call).toThrow(ValueError)
    expect(call).toThrow(text)
  })
  it("are checked when a state is loaded, and then nothing has changed", () => {
    const optimizer = new optim.Adam([leaf()], { lr: 0.5 })
    const { state, paramGroups } = optimizer.stateDict()
    const bad = { state, paramGroups: [{ ...paramGroups[0], betas: [0.9, 2] as const }] }
    expect(() => optimizer.loadStateDict(bad)).toThrow(/^Adam: betas must be two numbers in \[0, 1\): got \[0.9, 2\]$/)
    expect(optimizer.paramGroups[0].betas).toEqual([0.9, 0.999])
  })
})

it.each(["OneCycleLR", "CyclicLR", "ReduceLROnPlateau"] as const)("%s needs an optimiser", (name) => {
  const call = () => new (optim[name] as unknown as typeof optim.LinearLR)(null as never, needed[name])
  expect(call).toThrow(new RegExp(`^${name}: needs an optimiser: got null`))
})
it("clipping refuses a limit that is no number", () => {
  expect(() => optim.clipGradValue_([ones(1)], "1" as never)).toThrow(ValueError)
})
