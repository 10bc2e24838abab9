// Autograd's own promises: accumulation, modes, hooks, versions, in-place changes of windows, depth. Values by hand.
import { CpuJs } from "@rondo/backend-cpu-js"
import { GradientError } from "@rondo/backend"
import { beforeAll, describe, expect, test } from "vitest"
import * as R from "./index.js"
import {
  backward,
  detectAnomaly,
  enableGrad,
  grad,
  gradcheck,
  gradgradcheck,
  noGrad,
  tensor,
  use,
  zeros,
} from "./index.js"
import type { Tensor } from "./index.js"

beforeAll(() => void use(new CpuJs()))
const leaf = (values: R.TensorData): Tensor => tensor(values, { requiresGrad: true })
const list = (x: Tensor | null): R.Nested => (x as Tensor).tolistSync()

describe("backward", () => {
  test("accumulates into leaves", () => {
    const x = leaf([1, 2])
    x.square().sum().backward()
    x.mul(3).sum().backward()
    expect(list(x.grad)).toEqual([5, 7])
  })
  test("a tensor used twice gets both gradients", () => {
    const x = leaf([1, 2])
    const y = x.mul(2)
    y.mul(x).add(y).sum().backward()
    expect(list(x.grad)).toEqual([6, 10])
  })
  test("gradients of two leaves never share memory", () => {
    const [a, b] = [leaf([1, 2]), leaf([3, 4])]
    a.add(b).backward({ gradient: tensor([1, 1]) })
    a.grad?.mul_(10)
    expect(list(b.grad)).toEqual([1, 1])
  })
  test("a given gradient is not taken over", () => {
    const x = leaf([1, 2])
    const g = tensor([1, 1])
    x.backward({ gradient: g })
    x.grad?.zero_()
    expect(list(g)).toEqual([1, 1])
  })
  test("sums over broadcast dims and casts back", () => {
    const row = leaf([1, 2, 3])
    const wide = tensor([[1], [2]], { dtype: "float64", requiresGrad: true })
    row.mul(wide).sum().backward()
    expect(list(row.grad)).toEqual([3, 3, 3])
    expect(row.grad?.dtype).toBe("float32")
    expect(list(wide.grad)).toEqual([[6], [6]])
    expect(wide.grad?.dtype).toBe("float64")
  })
  test("10,000 recurrent steps do not overflow the stack", () => {
    const w = leaf(0.999)
    let h: Tensor = tensor(1)
    for (let t = 0; t < 10_000; t++) h = h.mul(w)
    h.backward()
    expect(w.grad?.itemSync()).toBeCloseTo(10_000 * 0.999 ** 9_999, 4)
  })
  test("a second pass needs the graph kept, if anything was saved", () => {
    const x = leaf([1, 2])
    const y = x.square().sum()
    y.backward({ retainGraph: true })
    y.backward()
    expect(list(x.grad)).toEqual([4, 8])
    expect(() => y.backward()).toThrow(/SquareBackward0 was already passed.*retainGraph/)
    const z = x.add(1).sum()
    z.backward()
    expect(() => z.backward()).not.toThrow()
  })
  test("what cannot be passed says so", () => {
    expect(() => tensor([1]).backward()).toThrow(/has no graph/)
    expect(() => leaf([1, 2]).mul(2).backward()).toThrow(/only for one element, got shape \[2\]/)
    expect(() =>
      leaf([1, 2])
        .mul(2)
        .backward({ gradient: tensor([1]) }),
    ).toThrow(/gradient is \[1\], the tensor \[2\]/)
    expect(() => backward(leaf(1).mul(2).detach())).toThrow(GradientError)
  })
})

describe("grad", () => {
  test("second and third derivatives", () => {
    const x = tensor(2, { dtype: "float64", requiresGrad: true })
    const [d1] = grad(x.pow(4), x, { createGraph: true })
    const [d2] = grad(d1 as Tensor, x, { createGraph: true })
    const [d3] = grad(d2 as Tensor, x)
    expect([d1, d2, d3].map((d) => d?.itemSync())).toEqual([32, 48, 48])
    expect(x.grad).toBeNull()
  })
  test("of intermediates, of unused inputs", () => {
    const [x, other] = [leaf([1, 2]), leaf([5])]
    const y = x.mul(3)
    const z = y.square().sum()
    expect(list(grad(z, y, { retainGraph: true })[0])).toEqual([6, 12])
    expect(() => grad(z, other, { retainGraph: true })).toThrow(/input 0 of shape \[1\] was not used/)
    expect(grad(z, [x, other], { allowUnused: true })[1]).toBeNull()
    expect(() => grad(x.sum(), tensor([1]))).toThrow(/input 0 does not require gradients/)
  })
})

describe("modes", () => {
  test("noGrad records nothing, enableGrad records inside of it", () => {
    const x = leaf([1])
    expect(noGrad(() => x.mul(2)).requiresGrad).toBe(false)
    expect(noGrad(() => enableGrad(() => x.mul(2))).requiresGrad).toBe(true)
    expect(() => noGrad(() => Promise.resolve(1))).toThrow(/returned a promise/)
    expect(x.mul(2).requiresGrad).toBe(true)
  })
  test("detach cuts, and shares memory", () => {
    const x = leaf([1, 2])
    const d = x.mul(2).detach()
    expect(d.requiresGrad).toBe(false)
    d.add_(1)
    expect(list(d)).toEqual([3, 5])
  })
  test("only float leaves can be switched", () => {
    expect(() => tensor([1], { dtype: "int32", requiresGrad: true })).toThrow(/only float tensors/)
    expect(() => leaf([1]).mul(2).requiresGrad_(false)).toThrow(/only a leaf/)
  })
  test("anomaly mode shows where the forward of the first NaN stood", () => {
    const culprit = (x: Tensor): Tensor => x.sqrt()
    const x = leaf([0, 1])
    expect(() => detectAnomaly(() => culprit(x.sub(1)).sum().backward())).toThrow(
      /SqrtBackward0 produced a NaN[^]*culprit/,
    )
  })
})

describe("hooks", () => {
  test("see and replace the complete gradient, until removed", () => {
    const x = leaf([1, 2])
    const y = x.mul(2)
    const seen: R.Nested[] = []
    const hook = y.registerHook((g) => {
      seen.push(list(g))
      return g.mul(10)
    })
    y.add(y).sum().backward({ retainGraph: true })
    expect(seen).toEqual([[2, 2]])
    expect(list(x.grad)).toEqual([40, 40])
    hook.remove()
    y.sum().backward()
    expect(list(x.grad)).toEqual([42, 42])
    x.registerHook((g) => g.neg())
    x.mul(1).sum().backward()
    expect(list(x.grad)).toEqual([41, 41])
  })
  test("retainGrad keeps the gradient of an intermediate", () => {
    const x = leaf([1, 2])
    const y = x.mul(3).retainGrad()
    y.square().sum().backward()
    expect(list(y.grad)).toEqual([6, 12])
  })
})

describe("in-place changes", () => {
  test("of a saved tensor are caught at backward", () => {
    const x = leaf([1, 2])
    const y = x.exp()
    y.add_(1)
    expect(() => y.sum().backward()).toThrow(
      /exp: a saved float32 tensor of shape \[2\] was changed in place.*version 1, expected 0/,
    )
  })
  test("of a leaf are refused while recording", () => {
    const x = leaf([1, 2])
    expect(() => x.add_(1)).toThrow(/leaf that requires gradients/)
    expect(() => x.reshape(1, 2).add_(1)).toThrow(/view of a leaf/)
    noGrad(() => x.add_(1))
    expect(list(x)).toEqual([2, 3])
    expect(x.isLeaf).toBe(true)
  })
  test("carry the gradient through their own result", () => {
    const x = leaf([0.5, 1])
    x.mul(1).tanh_().sum().backward()
    expect(list(x.grad)).toEqual(list(tensor([0.5, 1]).tanh().square().neg().add(1)))
  })
  test("keep a copy of the old value where a gradient reads it", () => {
    const [x, w] = [leaf([1, 2]), leaf([3, 4])]
    const y = x.mul(2)
    y.mul_(w).sum().backward()
    expect([list(x.grad), list(w.grad)]).toEqual([[6, 8], [2, 4]]) // prettier-ignore
    const z = x.mul(2)
    z.pow_(3).sum().backward()
    expect(list(x.grad)).toEqual([6 + 24, 8 + 96])
  })
  test("of windows become history of the base and of its other windows", () => {
    const w = leaf([1, 2])
    const h = zeros(3, 2)
    const early = h.asStrided([2], [1], 2)
    for (let t = 0; t < 3; t++) h.asStrided([2], [1], 2 * t).add_(w.mul(t + 1))
    expect([h.requiresGrad, early.requiresGrad]).toEqual([true, true])
    h.square().sum().add(early.sum()).backward()
    // d/dw sum ((t+1) w)^2 = 2 w (1 + 4 + 9), plus 2 from the window
    expect(list(w.grad)).toEqual([30, 58])
  })
  test("of windows hold in gradcheck and gradgradcheck", async () => {
    const x = tensor([[1, 2], [3, 4]], { dtype: "float64", requiresGrad: true }) // prettier-ignore
    const w = tensor([0.5, -1], { dtype: "float64", requiresGrad: true })
    const f = (x: Tensor, w: Tensor): Tensor => {
      const y = x.mul(2)
      y.reshape(4).asStrided([2], [2], 1).mul_(w)
      return y.tanh()
    }
    expect(await gradcheck(f, [x, w])).toBe(true)
    expect(await gradgradcheck(f, [x, w])).toBe(true)
  })
  test("reach overlapping and expanded windows made before", () => {
    const w = leaf([1, 2, 3])
    const base = zeros(3)
    const [wide, windows] = [base.expand(2, 3), base.unfold(0, 2, 1)]
    base.add_(w.mul(2))
    wide.sum().add(windows.sum()).backward()
    expect(list(w.grad)).toEqual([6, 8, 6])
  })
  test("of expanded memory are refused", () => {
    expect(() => zeros(1).expand(3).add_(1)).toThrow(/share memory/)
    expect(() => zeros(2).add_(zeros(3, 2))).toThrow(/result of shape \[3, 2\] does not fit/)
    expect(() => tensor([1], { dtype: "int32" }).add_(0.5)).toThrow(/float32 result cannot be stored/)
  })
})

describe("gradients belong to whoever got them", () => {
  test("those of different losses share nothing", () => {
    const [a, b] = [leaf([1]), leaf([2])]
    const [g] = grad(a.add(1).sum(), a)
    const [h] = grad(b.add(2).sum(), b)
    g?.mul_(7)
    expect(list(h)).toEqual([1])
    const [x, y] = [tensor(3, { requiresGrad: true }), tensor(4, { requiresGrad: true })]
    x.add(1).backward({ createGraph: true })
    y.add(1).backward({ createGraph: true })
    x.grad?.detach().mul_(7)
    expect(list(y.grad)).toBe(1)
  })
  test("those of one graph are apart, recorded or not", () => {
    for (const createGraph of [false, true]) {
      const [a, b] = [leaf([1, 1]), leaf([2, 2])]
      a.add(b).mul(3).sum().backward({ createGraph })
      a.grad?.detach().mul_(2)
      expect([list(a.grad), list(b.grad)]).toEqual([[6, 6], [3, 3]]) // prettier-ignore
    }
  })
  test("zeros that are shared cannot be changed, nor one that is not", () => {
    const like = zeros(1)
    expect(() => R.sharedZeros([2, 1], like).add_(5)).toThrow(/share memory/)
    R.sharedZeros([1, 1], like).add_(5)
    expect(list(R.sharedZeros([3], like))).toEqual([0, 0, 0])
  })
})

describe("gradcheck", () => {
  test("finds a wrong gradient and names it", async () => {
    const x = tensor([1, 2], { dtype: "float64", requiresGrad: true })
    // The gradient of the detached factor is missing.
    const wrong = (x: Tensor): Tensor => x.mul(x.detach())
    await expect(gradcheck(wrong, [x])).rejects.toThrow(
      /d output 0\[0\] \/ d input 0\[0\] .*got 1, finite difference 2/,
    )
    expect(await gradcheck(wrong, [x], { raise: false })).toBe(false)
  })
  test("needs something to check", async () => {
    await expect(gradcheck((x: Tensor) => x, [tensor([1])])).rejects.toThrow(/no input requires gradients/)
  })
})
