// What all optimisers share, clipping against PyTorch 1.13.1 (conformance/goldens/optim.py), and bad input.
import { DeviceError, type DType, GradientError, ShapeError, StateDictError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { capture, type FusedExprs, mapInto, noGrad, ones, type Tensor, tensor, use, zeros } from "@rondo/core"
import { Linear } from "@rondo/nn"
import { beforeAll, describe, expect, it } from "vitest"
import { expectClose, goldens, problem, type Problem } from "./goldens/problem.js"
import {
  Adadelta,
  Adam,
  AdamW,
  ASGD,
  clipGradNorm_,
  clipGradValue_,
  LBFGS,
  LinearLR,
  RMSprop,
  Rprop,
  SGD,
} from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

describe("an optimiser", () => {
  it("calls a closure, hands its loss on, and clears gradients", () => {
    const { w, b, gradients } = problem("float64")
    const optimizer = new SGD([w, b], { lr: 0.01 })
    const first = optimizer.step(() => {
      optimizer.zeroGrad()
      return gradients()
    })
    const second = optimizer.step(() => {
      optimizer.zeroGrad({ setToNone: false })
      return gradients()
    })
    expect(second.itemSync()).toBeLessThan(first.itemSync())
    optimizer.zeroGrad({ setToNone: false })
    expect(b.grad?.tolistSync()).toEqual([0, 0, 0])
    optimizer.zeroGrad()
    expect([w.grad, b.grad]).toEqual([null, null])
    const before = w.tolistSync()
    expect(optimizer.step()).toBeUndefined()
    expect(w.tolistSync()).toEqual(before)
  })
  it("continues from a saved state as if it had never stopped", () => {
    const [one, two] = [problem("float64"), problem("float64")]
    const make = ({ w, b }: Problem) =>
      new Adam([{ params: [w] }, { params: [b], lr: 0.3 }], { amsgrad: true, lr: 0.1 })
    const run = ({ gradients }: Problem, optimizer: Adam, steps: number): void => {
      for (let i = 0; i < steps; i++) {
        optimizer.zeroGrad()
        gradients()
        optimizer.step()
      }
    }
    const first = make(one)
    run(one, first, 3)
    const saved = first.stateDict()
    expect(saved.paramGroups.map(({ params, lr }) => [params, lr])).toEqual([[[0], 0.1], [[1], 0.3]]) // prettier-ignore
    expect(Object.keys(saved.state[1])).toEqual(["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"])
    noGrad(() => {
      two.w.copy_(one.w)
      two.b.copy_(one.b)
    })
    const second = new Adam([{ params: [two.w] }, { params: [two.b] }])
    second.loadStateDict(saved)
    run(one, first, 3)
    run(two, second, 3)
    expect(two.w.tolistSync()).toEqual(one.w.tolistSync())
    expect(two.b.tolistSync()).toEqual(one.b.tolistSync())
  })
  it("takes a rate that a scheduler left below 0", () => {
    const { w, b } = problem("float64")
    const optimizer = new SGD([w, b], { lr: 0.3 })
    const scheduler = new LinearLR(optimizer, { endFactor: 0 })
    for (let i = 0; i < 5; i++) scheduler.step()
    // LinearLR of PyTorch 1.13.1 has the same: not quite 0.
    expect(optimizer.paramGroups[0].lr).toBe(-4.440892098500625e-18)
    const other = new SGD([w, b], { lr: 1 })
    other.loadStateDict(optimizer.stateDict())
    expect(other.paramGroups[0].lr).toBe(-4.440892098500625e-18)
  })
  it("cannot be captured if it reads the loss", async () => {
    const { w, b, gradients } = problem("float64")
    const optimizer = new LBFGS([w, b], { maxIter: 1 })
    let first: Promise<unknown> = Promise.resolve()
    const step = capture(() => void (first = optimizer.step(gradients)))
    step()
    await first
    expect(step).toThrow(/LBFGS.step: cannot be captured: it reads losses/)
  })
  it("takes over an option that is null", () => {
    const { w, b } = problem("float64")
    const searching = new LBFGS([w, b], { lineSearchFn: "strong_wolfe" })
    searching.loadStateDict(new LBFGS([w, b]).stateDict())
    expect(searching.paramGroups[0].lineSearchFn).toBeNull()
  })
  it("refuses a state that does not fit, and keeps its own", () => {
    const { w, b, gradients } = problem("float64")
    const optimizer = new SGD([w, b], { lr: 0.1, momentum: 0.9 })
    gradients()
    optimizer.step()
    const good = optimizer.stateDict()
    const before = good.state[0].momentum_buffer
    const bad = { ...good, state: { 0: { momentum_buffer: zeros(3, 2) } } }
    expect(() => optimizer.loadStateDict(bad)).toThrow(/momentum_buffer of parameter 0: got shape \[3, 2\], expected \[2, 3\]/)
    expect(() => optimizer.loadStateDict({ state: {}, paramGroups: [] })).toThrow(StateDictError)
    const wrong = { ...good, paramGroups: good.paramGroups.map((group) => ({ ...group, momentum: -1 })) }
    expect(() => optimizer.loadStateDict(wrong)).toThrow(ValueError)
    expect(optimizer.state.get(w)?.momentum_buffer).toBe(before)
    expect(optimizer.paramGroups[0].lr).toBe(0.1)
  }) // prettier-ignore
  it("follows a module to another dtype, and says when it cannot follow to a device", async () => {
    const layer = new Linear(2, 1)
    const optimizer = new SGD(layer.parameters(), { lr: 0.1, momentum: 0.9 })
    const step = (dtype: DType): void => {
      layer.zeroGrad()
      layer
        .forward(ones(3, 2, { dtype, device: layer.weight.device }))
        .sum()
        .backward()
      optimizer.step()
    }
    step("float32")
    layer.to("float64")
    step("float64")
    const buffer = optimizer.state.get(layer.weight)?.momentum_buffer as Tensor
    expect([buffer.dtype, buffer.dataSync()[0]]).toEqual(["float64", expect.closeTo(5.7, 6)])
    const home = layer.weight.device
    await layer.to(use(new CpuJs()))
    expect(() => step("float64")).toThrow(DeviceError)
    use(home)
  })
})

describe("bad input", () => {
  const leaf = (): Tensor => tensor([1, 2], { requiresGrad: true })
  it.each<[string, () => unknown, RegExp]>([
    ["no parameters", () => new SGD([], { lr: 1 }), /SGD: got an empty parameter list/],
    ["a tensor for a list", () => new Adam(leaf() as never), /Adam: parameters must be a list/],
    ["a number among parameters", () => new Adam([leaf(), 3 as never]), /can only optimise tensors, got number/],
    ["a non-leaf", () => new Adam([leaf().mul(2)]), /can't optimise a non-leaf tensor: one of shape \[2\] was made by MulBackward0/],
    ["a parameter twice", () => { const x = leaf(); return new Adam([x, x]) }, /appears more than once/],
    ["a parameter in two groups", () => { const x = leaf(); return new Adam([{ params: [x] }, { params: [x] }]) }, /more than once/],
    ["a negative lr", () => new SGD([leaf()], { lr: -1 }), /SGD: lr must be a number of at least 0: got -1/],
    ["no lr", () => new SGD([leaf()], {} as { lr: number }), /SGD: lr must be a number of at least 0: got undefined/],
    ["a NaN lr", () => new Adam([leaf()], { lr: NaN }), /Adam: lr must be .*: got NaN/],
    ["a negative lr in a group", () => new SGD([{ params: [leaf()], lr: -2 }], { lr: 1 }), /got -2/],
    ["a beta of 1", () => new AdamW([leaf()], { betas: [0.9, 1] }), /AdamW: betas must be two numbers in \[0, 1\): got \[0.9, 1\]/],
    ["one beta", () => new Adam([leaf()], { betas: [0.9] as never }), /betas must be two numbers/],
    ["a negative eps", () => new Adam([leaf()], { eps: -1 }), /Adam: eps/],
    ["a rho above 1", () => new Adadelta([leaf()], { rho: 1.5 }), /Adadelta: rho must be a number from 0 to 1: got 1.5/],
    ["a negative alpha", () => new RMSprop([leaf()], { alpha: -1 }), /RMSprop: alpha/],
    ["etas that do not enclose 1", () => new Rprop([leaf()], { etas: [1.1, 1.2] }), /Rprop: etas must be .*: got \[1.1, 1.2\]/],
    ["a NaN t0", () => new ASGD([leaf()], { t0: NaN }), /ASGD: t0 must be a number/],
    ["two groups for L-BFGS", () => new LBFGS([{ params: [leaf()] }, { params: [leaf()] }]), /only one group/],
    ["an unknown line search", () => new LBFGS([leaf()], { lineSearchFn: "armijo" as never }), /lineSearchFn must be/],
    ["no iterations", () => new LBFGS([leaf()], { maxIter: 0 }), /maxIter must be a whole number of at least 1: got 0/],
    ["a negative weight decay", () => new Adam([leaf()], { weightDecay: -1 }), /Adam: weightDecay/],
    ["nesterov without momentum", () => new SGD([leaf()], { lr: 1, nesterov: true }), /nesterov needs a momentum/],
    ["a NaN norm", () => clipGradNorm_([leaf()], NaN), /maxNorm must be a number: got NaN/],
    ["a negative limit", () => clipGradValue_([leaf()], -1), /the limit must be at least 0: got -1/],
  ])("%s is a ValueError", (_, call, text) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(text)
  }) // prettier-ignore
})

describe("clipping", () => {
  const withGradients = (): Tensor[] => {
    const { w, b } = problem("float64")
    w.grad = w.detach().clone()
    b.grad = b.detach().clone()
    return [w, tensor([1], { requiresGrad: true }), b]
  }
  it.each(goldens.clips)("by norm $normType to $maxNorm", ({ normType, maxNorm, total, grads }) => {
    const params = withGradients()
    const norm = clipGradNorm_(params, maxNorm, { normType: Number(normType) })
    expectClose(norm, [total], 1e-12)
    expectClose(params[0].grad as Tensor, grads[0], 1e-12)
    expectClose(params[2].grad as Tensor, grads[1], 1e-12)
    expect(norm.shape).toEqual([])
  })
  it("counts gradients by norm 0, even of one parameter", () => {
    // PyTorch 1.13.1
    const p = zeros(3, { requiresGrad: true })
    p.grad = tensor([1, 0, 2])
    expect(clipGradNorm_([p], 0.5, { normType: 0 }).itemSync()).toBe(1)
    expect(p.grad.tolistSync()).toEqual([0.4999995231628418, 0, 0.9999990463256836])
  })
  it("has nothing to do without gradients, and tells of infinite ones if asked", () => {
    expect(clipGradNorm_([zeros(2)], 1).itemSync()).toBe(0)
    const x = zeros(2)
    x.grad = tensor([Infinity, 1])
    expect(() => clipGradNorm_(x, 1, { errorIfNonfinite: true })).toThrow(GradientError)
    expect(x.grad.tolistSync()).toEqual([Infinity, 1])
  })
  it("by value limits each element", () => {
    const x = zeros(4)
    x.grad = tensor([-3, 0.25, 5, NaN])
    clipGradValue_([x], 0.5)
    expect(x.grad.tolistSync()).toEqual([-0.5, 0.25, 0.5, NaN])
  })
})

describe("mapInto", () => {
  const halve: FusedExprs = ([x], [half]) => [{ kind: "op", op: "mul", args: [x, half], dtype: x.dtype }]
  it("reads overlapping and broadcast inputs, and is seen by the version check", () => {
    const x = tensor([[1, 2], [3, 4]]) // prettier-ignore
    mapInto("halve", [x], [x.transpose(0, 1)], halve, [0.5])
    expect(x.tolistSync()).toEqual([[0.5, 1.5], [1, 2]]) // prettier-ignore
    mapInto("halve", [x], [tensor([10, 20])], halve, [0.1])
    expect(x.tolistSync()).toEqual([[1, 2], [1, 2]]) // prettier-ignore
    const leaf = tensor([1, 2], { requiresGrad: true })
    const y = leaf.mul(leaf)
    noGrad(() => mapInto("halve", [leaf], [leaf], halve, [0.5]))
    expect(() => y.sum().backward()).toThrow(/changed in place/)
  })
  it("checks shapes, devices and leaves", () => {
    const x = zeros(2, 3)
    expect(() => mapInto("halve", [x], [zeros(2)], halve, [1])).toThrow(ShapeError)
    expect(() => mapInto("halve", [x, zeros(3)], [x], halve, [1])).toThrow(ShapeError)
    expect(() => mapInto("halve", [ones(1, { requiresGrad: true })], [x], halve, [1])).toThrow(GradientError)
    const home = x.device
    const far = zeros(2, 3, { device: use(new CpuJs()) })
    use(home)
    expect(() => mapInto("halve", [x], [far], halve, [1])).toThrow(DeviceError)
  })
})
