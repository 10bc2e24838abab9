// In-place changes, retained gradients and freed graphs where implementations go astray. Values are PyTorch's.
import { CpuJs } from "@rondo/backend-cpu-js"
import { GradientError } from "@rondo/backend"
import { beforeAll, describe, expect, test } from "vitest"
import { grad, type Nested, tensor, type Tensor, type TensorData, use } from "./index.js"

beforeAll(() => void use(new CpuJs()))
const leaf = (values: TensorData): Tensor => tensor(values, { requiresGrad: true })
const list = (x: Tensor | null): Nested => (x as Tensor).tolistSync()

describe("changes in place", () => {
  test("of a total keep what it was made of", () => {
    const x = leaf([1, 2, 3])
    const y = x.sum()
    y.exp_()
    y.backward()
    expect((list(x.grad) as number[]).map((v) => v.toFixed(4))).toEqual(["403.4288", "403.4288", "403.4288"])
  })
  test("of sums over a dim, and of their elements", () => {
    const x = leaf([
      [1, 2],
      [3, 4],
    ])
    const y = x.sum(0)
    y.neg_()
    y.setItem_([0], 5)
    y.mul(y).sum().backward()
    expect(x.grad?.add(0).tolistSync()).toEqual([
      [0, 12],
      [0, 12],
    ])
  })
  test("a window on a sum that became a leaf is a leaf's window", () => {
    const y = tensor([[1, 2]])
      .sum(0)
      .requiresGrad_()
    expect(() => y.slice(0, 0, 1).abs_()).toThrow(GradientError)
  })
  test("what was overwritten gets zeros, not nothing", () => {
    const x = leaf([1, 2])
    const y = x.mul(1)
    y.zero_()
    y.sum().backward()
    expect(list(x.grad)).toEqual([0, 0])
  })
})

describe("retainGrad", () => {
  test("adds up over backward passes", () => {
    const y = leaf([1, 2]).mul(3).retainGrad()
    y.sum().backward({ retainGraph: true })
    y.mul(2).sum().backward()
    expect(list(y.grad)).toEqual([3, 3])
  })
  test("follows a tensor that is changed in place", () => {
    const y = leaf([1, 2]).mul(3).retainGrad()
    y.neg_()
    y.mul(y).sum().backward()
    expect(list(y.grad)).toEqual([-6, -12])
  })
  test("is not served by grad, which hands its gradients back", () => {
    const y = leaf([1, 2]).mul(3).retainGrad()
    grad(y.sum(), y)
    expect(y.grad).toBeNull()
  })
})

describe("backward", () => {
  test("leaves a leaf alone that stopped requiring gradients", () => {
    const x = leaf([1, 2])
    const y = x.exp()
    x.requiresGrad_(false)
    y.sum().backward()
    expect(x.grad).toBeNull()
  })
  test.each([
    ["mul", (x: Tensor) => x.mul(2).sum(), true],
    ["div", (x: Tensor) => x.div(2).sum(), true],
    ["add", (x: Tensor) => x.add(2).sum(), false],
    ["mean", (x: Tensor) => x.mean(), false],
  ] as const)("twice through %s with a number", (_, f, refused) => {
    const y = f(leaf([1, 2]))
    y.backward()
    if (refused) expect(() => y.backward()).toThrow(GradientError)
    else expect(() => y.backward()).not.toThrow()
  })
})

describe("infinite gradients stop where nothing flows", () => {
  test.each([
    ["relu", (x: Tensor) => x.relu()],
    ["clamp", (x: Tensor) => x.clamp({ min: 0 })],
    ["maximum", (x: Tensor) => x.maximum(tensor([0, 0]))],
    ["hardtanh", (x: Tensor) => x.hardtanh(0, 5)],
  ] as const)("log of %s", (_, f) => {
    const x = leaf([-1, 2])
    f(x).log().sum().backward()
    expect(list(x.grad)).toEqual([0, 0.5])
  })
  test("steps give zeros", () => {
    const x = leaf([-0.5, 2])
    x.floor().add(1).log().sum().backward()
    expect(list(x.grad)).toEqual([0, 0])
  })
  test("a quotient's divisor is not squared", () => {
    const y = leaf([1e20, 2, 1e-25])
    tensor([1e20, 1, 1e-25]).div(y).sum().backward()
    const [large, middle, small] = list(y.grad) as number[]
    expect([(large * 1e20).toFixed(5), middle, (small / 1e25).toFixed(5)]).toEqual(["-1.00000", -0.25, "-1.00000"])
  })
})

test("second derivatives of products see two zeros of one line", () => {
  for (const f of [(x: Tensor) => x.prod(0), (x: Tensor) => x.cumprod(0).select(0, 2)]) {
    const x = leaf([1, 0, 0])
    const [g] = grad(f(x), x, { createGraph: true })
    const [h] = grad(g as Tensor, x, { gradOutputs: tensor([1, 2, 3]) })
    expect(h?.add(0).tolistSync()).toEqual([0, 3, 2])
  }
})
