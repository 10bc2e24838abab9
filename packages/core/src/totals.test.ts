// Sums and means formed at once against those of the elements: values, gradients and second gradients, dtypes, numbers and
// broadcasting; and several tensors together.
import { DTypeError, type Kernel, ShapeError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, describe, expect, test } from "vitest"
import {
  absoluteError,
  bceLogitsError,
  type BinaryOp,
  grad,
  gradcheck,
  gradgradcheck,
  groupAlike,
  huberError,
  klError,
  manualSeed,
  observers,
  ones,
  rand,
  randn,
  sharedZeros,
  squaredError,
  squaredLength,
  tanh,
  type Tensor,
  tensor,
  type TernaryOp,
  totalOf,
  use,
  zeros,
} from "./index.js"

beforeAll(() => void use(new CpuJs()))

const wide = { dtype: "float64", requiresGrad: true } as const
const cases: [string, BinaryOp | TernaryOp, () => (Tensor | number)[], number[]][] = [
  ["two shapes", squaredError, () => [randn([3, 2], wide), randn([2], wide)], []],
  ["a number", squaredError, () => [randn([3], wide), 0.5], []],
  ["no dims", squaredError, () => [randn([], wide), randn([], wide)], []],
  ["a parameter", huberError, () => [randn([4], wide), zeros([4, 1], { dtype: "float64" })], [0.3]],
  ["operands kept apart", klError, () => [randn([4], wide), rand([4], wide)], []],
  ["three operands", bceLogitsError, () => [randn([2, 3], wide), rand([2, 3], wide), 1], []],
  ["a view", absoluteError, () => [randn([2, 3], wide).transpose(0, 1), randn([3, 2], wide)], []],
]

describe.each(["sum", "mean"] as const)("totalOf %s", (total) => {
  test.each(cases)("%s", async (_, op, make, params) => {
    manualSeed(2)
    const operands = make()
    const apart = (op as unknown as (...args: unknown[]) => Tensor)(...operands, ...params)[total]()
    const whole = totalOf(total, op, operands, params)
    expect(whole.shape).toEqual([])
    expect(whole.itemSync()).toBeCloseTo(apart.itemSync(), 12)
    const f = (...args: (Tensor | number)[]): Tensor => totalOf(total, op, args, params)
    const leaves = operands.map((x) => (typeof x === "object" && !x.isLeaf ? x.detach().requiresGrad_() : x))
    expect(await gradcheck(f, leaves)).toBe(true)
    expect(await gradgradcheck(f, leaves)).toBe(true)
  })
  test("is compiled once for all lengths", () => {
    const kernels = new Set<Kernel>()
    const observe = (kernel: Kernel): void =>
      void (kernel.kind === "map" && kernel.exprs.length > 1 && kernels.add(kernel))
    observers.add(observe)
    for (const n of [3, 4, 70]) totalOf(total, squaredError, [randn([n], wide), randn([n], wide)]).backward()
    observers.delete(observe)
    expect(kernels.size).toBe(1)
  })
  test("of nothing", () => {
    const loss = totalOf(total, squaredError, [zeros(0, 2), ones(2)])
    expect(loss.itemSync()).toEqual(total === "sum" ? 0 : NaN)
  })
  test("of halves is formed in float32", () => {
    const x = ones([4096], { dtype: "float16" })
    const loss = totalOf(total, squaredError, [x.mul(4), x])
    expect([loss.dtype, loss.itemSync()]).toEqual(["float16", total === "sum" ? 36864 : 9])
  })
  test("takes integers as the operation does", () => {
    const loss = totalOf(total, squaredError, [tensor([1, 2]).to("int32"), tensor([3, 2]).to("int32")])
    expect([loss.dtype, loss.itemSync()]).toEqual(["float32", total === "sum" ? 4 : 2])
  })
})

describe("totalOf", () => {
  test("is one kernel backward", () => {
    const x = randn([5, 3], { requiresGrad: true })
    const loss = totalOf("mean", squaredError, [x, zeros(5, 3)])
    const seen: Kernel["kind"][] = []
    const observe = ({ kind }: Kernel): void => void seen.push(kind)
    observers.add(observe)
    grad(loss, x, { gradOutputs: tensor(1) })
    observers.delete(observe)
    expect(seen).toEqual(["map"])
  })
  test("refuses what the operation refuses, and what reads its own result", () => {
    expect(() => totalOf("mean", squaredError, [ones(2), ones(3)])).toThrow(ShapeError)
    expect(() => totalOf("mean", tanh, [ones(2)])).toThrow(DTypeError)
  })
})

describe("several tensors together", () => {
  test("in groups of equal shapes that share no memory", () => {
    const x = ones(2)
    const groups = groupAlike([x, ones(3), x, zeros(2), zeros([2], { dtype: "float64" }), ones(2), ones(2)])
    expect(groups.map((group) => group.length)).toEqual([3, 1, 2, 1])
  })
  test.each([
    ["small", [[2, 3], [3], [], [3], [0, 4]]],
    ["cut into sums", [[128, 256], [128, 256], [64, 300], [7]]],
    ["that cannot be cut", [[16387], [5]]],
  ])("squares of those that are %s", (_, shapes) => {
    manualSeed(6)
    const tensors = shapes.map((shape) => randn(shape, { dtype: "float64" }))
    const apart = tensors.reduce((sum, x) => sum + x.square().sum().itemSync(), 0)
    expect(squaredLength(tensors).itemSync()).toBeCloseTo(apart, 8)
    const turned = tensors.map((x) => (x.ndim === 2 ? x.transpose(0, 1) : x))
    expect(squaredLength(turned).itemSync()).toBeCloseTo(apart, 8)
  })
  test("halves do not overflow", () => {
    expect(squaredLength([tensor([300, 400]).to("float16")]).itemSync()).toBe(250000)
  })
})

describe("zeros that are shared", () => {
  test("cannot be changed, and start as zeros for everybody", () => {
    const x = ones([1], { dtype: "float64" })
    const [a, b] = [sharedZeros([2, 3], x), sharedZeros([4], x)]
    expect(() => a.add_(1)).toThrow(ShapeError)
    expect([b.dtype, b.tolistSync()]).toEqual(["float64", [0, 0, 0, 0]])
    a.dispose()
    expect(sharedZeros([2], x).tolistSync()).toEqual([0, 0])
    // The one element of this one can be.
    sharedZeros([1], x).add_(5)
    expect(sharedZeros([2], x).tolistSync()).toEqual([0, 0])
  })
})
