// Output recurrence and teacher forcing: relations, schedules and bad input. Values from PyTorch are in goldens.test.ts.
import { DTypeError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { cat, getRngState, manualSeed, ones, randn, type Tensor, use, zeros } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import { forcing, freeRun, Linear, OutputToHiddenRNN, OutputToOutputRNN, RNNCell } from "../index.js"

beforeAll(() => {
  use(new CpuJs())
})

const dtype = "float64"
const apart = (a: Tensor, b: Tensor): number => a.sub(b).abs().max().itemSync()
const kinds = [OutputToHiddenRNN, OutputToOutputRNN] as const

describe.each(kinds.map((Kind) => [Kind.name, Kind] as const))("%s", (name, Kind) => {
  const make = (options: object = {}) => new Kind(3, 4, 2, { dtype, ...options })
  const x = () => randn(6, 5, 3, { dtype })

  it("computes at once what forcing computes step by step, gradients too", () => {
    const layer = make()
    const [inputs, targets] = [x(), randn(6, 5, 2, { dtype })]
    const gradients = (run: () => readonly [Tensor, Tensor, Tensor]) => {
      layer.zeroGrad()
      const [output, last, hidden] = run()
      output.square().sum().add(last.sum()).add(hidden.mul(2).sum()).backward()
      return layer.parameters().map((p) => p.grad as Tensor)
    }
    const atOnce = gradients(() => layer.forward(inputs, null, { targets }))
    const steps = gradients(() => {
      const outputs: Tensor[] = []
      const states: Tensor[] = []
      for (let t = 0; t < 6; t++) {
        const [output, , hidden] = layer.forward(inputs.narrow(0, t, 1), t === 0 ? null : targets.select(0, t - 1))
        outputs.push(output)
        states.push(hidden)
      }
      return [cat(outputs, 0), outputs[5].select(0, 0), cat(states, 0)]
    })
    atOnce.forEach((g, i) => expect(apart(g, steps[i])).toBeLessThan(1e-13))
  })
  it("goes on where it stopped", () => {
    const layer = make()
    const inputs = x()
    const [whole, end] = layer.forward(inputs)
    const [first, middle] = layer.forward(inputs.narrow(0, 0, 2))
    const [second, last] = layer.forward(inputs.narrow(0, 2, 4), middle)
    expect(apart(whole, cat([first, second], 0))).toBeLessThan(1e-15)
    expect(apart(end, last)).toBeLessThan(1e-15)
  })
  it("takes the batch first, and no batch", () => {
    const [layer, turned] = [make(), make({ batchFirst: true })]
    turned.loadStateDict(layer.stateDict())
    const [inputs, o0] = [x(), randn(5, 2, { dtype })]
    const [output, last, hidden] = layer.forward(inputs, o0)
    const [o, l, h] = turned.forward(inputs.transpose(0, 1), o0)
    expect([o.shape, l.shape, h.shape]).toEqual([[5, 6, 2], [5, 2], [5, 6, 4]]) // prettier-ignore
    expect(apart(output, o.transpose(0, 1)) + apart(last, l) + apart(hidden, h.transpose(0, 1))).toBe(0)
    const [one, end, state] = turned.forward(inputs.select(1, 3), o0.select(0, 3))
    expect([one.shape, end.shape, state.shape]).toEqual([[6, 2], [2], [6, 4]]) // prettier-ignore
    expect(apart(one, output.select(1, 3))).toBeLessThan(1e-15)
  })
  it("forces with a probability: never, always, or by coins", () => {
    const layer = make()
    const [inputs, targets] = [x(), randn(6, 5, 2, { dtype }).mul(5)]
    const run = (p: number) => layer.forward(inputs, null, { targets, forcing: p })[0]
    const before = getRngState()
    const [free] = layer.forward(inputs)
    expect(apart(run(0), free)).toBe(0)
    const always = run(1)
    expect(getRngState()).toEqual(before)
    manualSeed(2)
    const sometimes = run(0.5)
    expect(apart(sometimes.select(0, 0), free.select(0, 0))).toBe(0)
    // After the first step, each sequence was fed either its own output or the truth.
    for (let b = 0; b < 5; b++) {
      const [mixed, own, truth] = [sometimes, free, always].map((o) => o.select(0, 1).select(0, b))
      expect(Math.min(apart(mixed, own), apart(mixed, truth))).toBeLessThan(1e-14)
    }
    expect([apart(sometimes, free) > 0.01, apart(sometimes, always) > 0.01]).toEqual([true, true])
    manualSeed(2)
    expect(apart(run(0.5), sometimes)).toBe(0)
  })
  it("starts within ±1/sqrt(hiddenSize) and says what it is", () => {
    const layer = new Kind(3, 16, 2)
    for (const p of layer.parameters()) expect(p.abs().max().itemSync()).toBeLessThanOrEqual(0.25)
    expect(layer.namedParameters().map(([key]) => key)).toHaveLength(5)
    expect(make({ bias: false }).namedParameters()).toHaveLength(3)
    expect(String(new Kind(3, 4, 2, { bias: false, outputNonlinearity: undefined }))).toMatch(
      new RegExp(`^${name}\\(3, 4, 2, bias=False, nonlinearity=tanh, output_nonlinearity=(identity|tanh)\\)$`),
    )
  })
  it.each<[new (...args: never[]) => Error, () => unknown, RegExp]>([
    [ShapeError, () => make().forward(zeros(6, 5, 2, { dtype })), /got x \[6, 5, 2\], expected \[T, B, 3\] or unbatched \[T, 3\]/],
    [ShapeError, () => make().forward(zeros(0, 5, 3, { dtype })), /at least one time step/],
    [ShapeError, () => make().forward(x(), zeros(5, 4, { dtype })), /got o0 \[5, 4\], expected \[5, 2\]/],
    [ShapeError, () => make({ batchFirst: true }).forward(x(), zeros(5, 2, { dtype })), /got o0 \[5, 2\], expected \[6, 2\]/],
    [ShapeError, () => make().forward(x(), null, { targets: zeros(5, 5, 2, { dtype }) }), /got targets \[5, 5, 2\], expected \[6, 5, 2\]/],
    [DTypeError, () => make().forward(zeros(6, 5, 3)), /got x of float32, expected float64/],
    [DTypeError, () => make().forward(x(), zeros(5, 2)), /got o0 of float32/],
    [ValueError, () => make().forward(x(), null, { forcing: 1.5 }), /forcing must be a number from 0 to 1: got 1.5/],
    [ValueError, () => new Kind(3, 0, 2), /hiddenSize must be/],
    [ValueError, () => new Kind(3, 4, 2.5), /outputSize must be/],
    [ValueError, () => make({ nonlinearity: "sine" }), /nonlinearity must be "tanh", "relu", .*: got the string "sine"/],
    [ValueError, () => make({ outputNonlinearity: "toString" }), /outputNonlinearity must be/],
  ])("throws a %o", (type, call, text) => {
    expect(call).toThrow(type)
    expect(call).toThrow(text)
    expect(call).toThrow(new RegExp(`^${name}:`))
  }) // prettier-ignore
})

describe("schedules", () => {
  it("follow the formulas of Bengio et al. 2015", () => {
    expect([0, 1, 7].map(forcing.constant(0.25))).toEqual([0.25, 0.25, 0.25])
    const linear = forcing.linear({ start: 0.9, slope: 0.1, least: 0.2 })
    ;[0.9, 0.8, 0.7].forEach((p, i) => expect(linear(i)).toBeCloseTo(p, 12))
    expect(linear(100)).toBe(0.2)
    expect([0, 1, 3].map(forcing.exponential(0.5))).toEqual([1, 0.5, 0.125])
    const sigmoid = forcing.inverseSigmoid(10)
    expect(sigmoid(0)).toBeCloseTo(10 / 11, 12)
    // k / (k + e^(i/k)) is a half where e^(i/k) = k.
    expect(sigmoid(10 * Math.log(10))).toBeCloseTo(0.5, 12)
    expect(sigmoid(1e9)).toBe(0)
  })
  it.each<[() => unknown, RegExp]>([
    [() => forcing.constant(1.1), /forcing\.constant: the probability of forcing must lie between 0 and 1: got 1\.1/],
    [() => forcing.linear({ slope: -1 }), /forcing\.linear: slope must be a number of at least 0: got -1/],
    [() => forcing.linear({ slope: 0.1, least: 2 }), /forcing\.linear/],
    [() => forcing.exponential(1), /forcing\.exponential: k out of range: got 1/],
    [() => forcing.inverseSigmoid(0.5), /forcing\.inverseSigmoid: k out of range: got 0\.5, expected at least 1/],
    [() => forcing.constant(1)(-1), /training step out of range: got -1/],
    [() => forcing.mix(ones(2), ones(2), NaN), /forcing\.mix: the probability/],
  ])("refuse bad numbers: %o", (call, text) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(text)
  }) // prettier-ignore
  it("mix rows of any shape and dtype, and send gradients where they belong", () => {
    manualSeed(0)
    const [own, truth] = [zeros(400, 2, { requiresGrad: true }), ones(400, 2, { requiresGrad: true })]
    const mixed = forcing.mix(own, truth, 0.3)
    const share = mixed.mean().itemSync()
    expect(Math.abs(share - 0.3)).toBeLessThan(0.07)
    mixed.sum().backward()
    expect((truth.grad as Tensor).mean().itemSync()).toBeCloseTo(share, 6)
    expect((own.grad as Tensor).mean().itemSync()).toBeCloseTo(1 - share, 6)
    expect(forcing.mix(zeros(9, { dtype: "int32" }), ones(9, { dtype: "int32" }), 0.5).dtype).toBe("int32")
    expect(() => forcing.mix(ones(2), ones(3), 0.5)).toThrow(ShapeError)
  })
})

describe("freeRun", () => {
  const cell = () => new RNNCell(2, 2, { dtype })
  const stepOf = (c: RNNCell) => (x: Tensor, h: Tensor | null): [Tensor, Tensor] => {
    const next = c.forward(x, h)
    return [next, next]
  } // prettier-ignore
  it("feeds outputs back, differentiably", () => {
    const c = cell()
    const start = randn(3, 2, { dtype })
    const [outputs, last] = freeRun(stepOf(c), start, { length: 3 })
    const one = c.forward(start)
    const two = c.forward(one, one)
    const three = c.forward(two, two)
    expect(apart(outputs, cat([one, two, three].map((o) => o.unsqueeze(0)), 0))).toBe(0) // prettier-ignore
    expect(apart(last, three)).toBe(0)
    outputs.sum().backward()
    const got = (c.weight_hh.grad as Tensor).clone()
    c.zeroGrad()
    one.add(two).add(three).sum().backward()
    expect(apart(got, c.weight_hh.grad as Tensor)).toBeLessThan(1e-14)
  })
  it("feeds the truth, or what feed makes of outputs", () => {
    const c = cell()
    const out = new Linear(2, 5, { dtype })
    const table = randn(5, 2, { dtype })
    const step = (tokens: Tensor, h: Tensor | null): [Tensor, Tensor] => {
      const next = c.forward(table.indexSelect(0, tokens), h)
      return [out.forward(next), next]
    }
    const start = zeros(3, { dtype: "int32" })
    const feed = (logits: Tensor) => logits.argmax(1)
    const [free] = freeRun(step, start, { length: 4, feed })
    const targets = free.argmax(2)
    const [forced] = freeRun(step, start, { length: 4, feed, targets })
    expect(apart(free, forced)).toBe(0)
    const [other] = freeRun(step, start, { length: 4, feed, targets: targets.add(1).remainder(5), forcing: 1 })
    expect(apart(free.select(0, 0), other.select(0, 0))).toBe(0)
    expect(apart(free, other)).toBeGreaterThan(0)
    const [never] = freeRun(step, start, { length: 4, feed, targets: targets.add(1).remainder(5), forcing: 0 })
    expect(apart(free, never)).toBe(0)
  })
  it("refuses bad input", () => {
    const start = zeros(3, 2, { dtype })
    expect(() => freeRun(stepOf(cell()), start, { length: 0 })).toThrow(/freeRun: length must be .*: got 0/)
    expect(() => freeRun(stepOf(cell()), start, { length: 2, forcing: -1 })).toThrow(ValueError)
    expect(() => freeRun(stepOf(cell()), start, { length: 2, targets: zeros(3, 3, 2, { dtype }) })).toThrow(
      /freeRun: got targets \[3, 3, 2\], expected \[2, B, \.\.\.\]/,
    )
  })
})
