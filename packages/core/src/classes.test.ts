// Losses of class indices: gradients and second gradients of every form against finite differences, what is saved, bad
// indices. Their values are held against PyTorch's in packages/nn.
import { GradientError, IndexError, type Kernel } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, describe, expect, test } from "vitest"
import {
  type ClassForm,
  classLoss,
  grad,
  gradcheck,
  gradgradcheck,
  manualSeed,
  observers,
  rand,
  randn,
  type Tensor,
  tensor,
  use,
  zeros,
} from "./index.js"

beforeAll(() => void use(new CpuJs()))

const plain: ClassForm = {
  name: "loss",
  dim: 1,
  logits: true,
  ignoreIndex: -100,
  labelSmoothing: 0,
  reduction: "mean",
}
const forms = (["mean", "sum", "none"] as const).flatMap((reduction) =>
  [
    { logits: true, labelSmoothing: 0 },
    { logits: true, labelSmoothing: 0.3 },
    { logits: false, labelSmoothing: 0 },
  ].flatMap((kind) => [-100, 1].map((ignoreIndex) => ({ ...plain, ...kind, reduction, ignoreIndex }))),
)
const int = (values: readonly unknown[], dtype: "int32" | "int64" | "uint8" = "int32"): Tensor =>
  tensor(values as number[], { dtype: "float32" }).to(dtype)
const double = (...shape: number[]): Tensor => randn(shape, { dtype: "float64", requiresGrad: true })

interface Given {
  readonly what: string
  readonly shape: readonly number[]
  readonly target: () => Tensor
  readonly dim?: number
}
const givens: Given[] = [
  { what: "[N, C]", shape: [4, 3], target: () => int([2, 1, 0, 1]) },
  { what: "[N, C, d]", shape: [2, 3, 2], target: () => int([[2, 1], [0, 1]], "int64") }, // prettier-ignore
  { what: "[C]", shape: [3], target: () => int([2]).reshape([]), dim: 0 },
  { what: "one class", shape: [2, 1], target: () => int([0, 0], "uint8") },
]

describe.each(givens)("classLoss of $what", ({ shape, target, dim = 1 }) => {
  test.each(forms)("gradients: $reduction $logits $labelSmoothing $ignoreIndex", async (form) => {
    manualSeed(3)
    const x = double(...shape)
    for (const weight of [null, rand([shape[dim]], { dtype: "float64" }).add(0.5)]) {
      const loss = (y: Tensor): Tensor => classLoss({ x: y, target: target(), weight }, { ...form, dim })
      expect(await gradcheck(loss, [x])).toBe(true)
      expect(await gradgradcheck(loss, [x])).toBe(true)
    }
  })
  test.each(forms)("weights: $reduction $logits $labelSmoothing $ignoreIndex", async (form) => {
    manualSeed(4)
    const [x, weight] = [double(...shape), rand([shape[dim]], { dtype: "float64" }).add(0.5).requiresGrad_()]
    const loss = (y: Tensor, w: Tensor): Tensor => classLoss({ x: y, target: target(), weight: w }, { ...form, dim })
    expect(await gradcheck(loss, [x, weight])).toBe(true)
    // The composition and the kernels give one value.
    const [whole, fused] = [loss(x, weight), loss(x, weight.detach())]
    expect(fused.sub(whole).abs().max().itemSync()).toBeLessThan(1e-12)
  })
})

describe("classLoss", () => {
  test("is one kernel backward", () => {
    const x = randn([8, 5], { requiresGrad: true })
    const loss = classLoss({ x, target: int([0, 1, 2, 3, 4, 0, -100, 2]), weight: null }, plain)
    const seen: Kernel["kind"][] = []
    const observe = ({ kind }: Kernel): void => void seen.push(kind)
    const g = tensor(2)
    observers.add(observe)
    grad(loss, x, { gradOutputs: g })
    observers.delete(observe)
    expect(seen).toEqual(["map"])
  })
  test("has NaN as the mean of nothing, and 0 as its sum", () => {
    const given = { x: zeros(2, 3), target: int([-100, -100]), weight: null }
    expect(classLoss(given, plain).itemSync()).toBeNaN()
    expect(classLoss(given, { ...plain, reduction: "sum" }).itemSync()).toBe(0)
    const none = { x: zeros(0, 3), target: zeros([0], { dtype: "int32" }), weight: null }
    expect(classLoss(none, plain).itemSync()).toBeNaN()
    expect(classLoss(none, { ...plain, reduction: "none" }).shape).toEqual([0])
  })
  test("does not let an ignored position spread what it holds", () => {
    const x = tensor([[Infinity, 0], [0, 0]]) // prettier-ignore
    const [loss] = [classLoss({ x, target: int([-100, 1]), weight: null }, plain)]
    expect(loss.itemSync()).toBeCloseTo(Math.log(2), 6)
  })
  test.each([3, -1, -101])("refuses class %i of three", (index) => {
    const given = { x: zeros(2, 3), target: int([0, index]), weight: null }
    expect(() => classLoss(given, plain)).toThrow(IndexError)
  })
  test("notices changes of what backward reads", () => {
    const [x, target] = [randn([2, 3], { requiresGrad: true }), int([0, 1])]
    const loss = classLoss({ x, target, weight: null }, plain)
    target.add_(1)
    expect(() => loss.backward()).toThrow(GradientError)
  })
})

test.each([
  ["int32", 2 ** 32 + 1, 1.4795253276824951],
  ["int32", -(2 ** 32), 1.4795253276824951],
  ["int32", 2 ** 40, 1.4795253276824951],
  ["uint8", 257, 1.4795253276824951],
  ["uint8", 2 ** 32 + 1, 1.4795253276824951],
  ["int64", 2 ** 32 + 1, 1.4795253276824951],
  ["int64", 2 ** 40, 1.4795253276824951],
  ["int32", 1, 2.4076058864593506],
] as const)("%s targets beside an ignoreIndex of %d, by the kernels and by operations", (dtype, ignoreIndex, loss) => {
  const target = int([0, 1], dtype)
  const x = tensor([[1, 2, 3], [0, 1, 0]]) // prettier-ignore
  const weight = tensor([1, 1, 1])
  expect(classLoss({ x, target, weight: null }, { ...plain, ignoreIndex }).itemSync()).toBeCloseTo(loss, 6)
  const watched = { x, target, weight: weight.requiresGrad_() }
  expect(classLoss(watched, { ...plain, ignoreIndex }).itemSync()).toBeCloseTo(loss, 6)
})
test("int64 targets beyond 32 bits can be ignored", () => {
  const target = tensor([0, 2 ** 40], { dtype: "int64" })
  const x = tensor([[1, 2, 3], [0, 1, 0]]) // prettier-ignore
  const form = { ...plain, ignoreIndex: 2 ** 40 }
  expect(classLoss({ x, target, weight: null }, form).itemSync()).toBeCloseTo(2.4076058864593506, 6)
})
