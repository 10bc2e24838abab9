// The door of every call: arguments of another kind are refused by name, before anything happens.
import {
  DeviceError,
  DisposedError,
  DTypeError,
  GradientError,
  OutOfMemoryError,
  RondoError,
  ShapeError,
  ValueError,
} from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, describe, expect, test } from "vitest"
import { argumentReader } from "./arguments.js"
import * as core from "./index.js"
import { arange, Device, eye, grad, linspace, mapInto, noGrad, ones, ops, rand, randint, scope, Tensor, tensor, use, zeros } from "./index.js" // prettier-ignore

beforeAll(() => void use(new CpuJs({ memoryLimit: 2 ** 28 })))

const loose = core as unknown as Record<string, (...args: unknown[]) => unknown>
const junk: readonly unknown[] = [undefined, null, NaN, 1.5, -1, "x", true, 1n, Symbol("s"), () => 1, [], ["a"], [NaN], [null], {}, { bogus: 1 }, new Date(), new Float32Array(2), Promise.resolve(1)] // prettier-ignore

/** Undefined if `f` returned, else what it threw. */
function thrown(f: () => unknown): unknown {
  try {
    const result = f()
    if (result instanceof Promise) result.catch(() => undefined)
    return undefined
  } catch (error) {
    return error
  }
}

describe("argumentReader", () => {
  const read = argumentReader("f", { x: "tensor", dim: "dim?", options: { keepdim: "flag", weight: "tensor|null" } })
  const x = () => ones(2)
  test.each<[string, () => unknown[], RegExp]>([
    ["another kind", () => [3], /^f: x must be a tensor: got 3$/],
    ["nothing", () => [], /^f: x must be a tensor: got undefined$/],
    ["text", () => [x(), "0"], /^f: dim must be a dim \(an integer\): got the string "0"$/],
    ["options of a class", () => [x(), 0, new Date()], /^f: options must be a plain object: got a Date$/],
    ["null for options", () => [x(), 0, null], /^f: options must be a plain object: got null$/],
    [
      "a misspelt option",
      () => [x(), 0, { keepDim: true }],
      /^f: unknown option keepDim: expected keepdim, weight; did you mean keepdim\?$/,
    ],
    ["an option's kind", () => [x(), 0, { keepdim: 1 }], /^f: keepdim must be true or false: got 1$/],
    ["one of two kinds", () => [x(), 0, { weight: [1] }], /^f: weight must be a tensor or null: got \[1\]$/],
    ["too many", () => [x(), 0, {}, 1], /^f: takes at most 3 arguments \(x, dim, options\), got 4$/],
  ])("%s", (_, args, text) => {
    const error = thrown(() => read(args()))
    expect(error).toBeInstanceOf(ValueError)
    expect((error as Error).message).toMatch(text)
  })
  test("lets through what fits", () => {
    read([x()])
    read([x(), undefined, undefined])
    read([x(), -1, { keepdim: true, weight: null }])
    read([x(), 0, Object.assign(Object.create(null) as object, { keepdim: undefined })])
  })
  test("sizes are written one by one or as an array", () => {
    const sizes = argumentReader("g", { sizes: "...sizes" })
    for (const good of [[], [1, 2], [[1, 2]], [[]]]) sizes(good)
    for (const bad of [["1"], [[1], 2], [null], [["1"]]]) expect(() => sizes(bad)).toThrow(/^g: sizes must be integers/)
  })
  test("a disposed tensor and an unknown dtype have errors of their own", () => {
    const gone = ones(1)
    gone.dispose()
    expect(() => read([gone])).toThrow(DisposedError)
    expect(() => argumentReader("h", { dtype: "dtype" })(["float8"])).toThrow(DTypeError)
  })
})

test.each(Object.keys(ops))("%s refuses junk with typed errors alone", (name) => {
  const call = ops[name] as unknown as (...args: unknown[]) => unknown
  let refused = 0
  for (const a of junk) {
    for (const args of [
      [a],
      [a, a],
      [ones(2, 3), a],
      [ones(2, 3), 0, a],
      [ones(2, 3), ones(2, 3), a],
      [[ones(2)], a],
    ]) {
      const error = thrown(() => call(...args))
      if (error === undefined) continue
      refused++
      if (!(error instanceof RondoError)) throw new Error(`${name}: threw ${String(error)}`)
      expect(error.message).toMatch(/^[\w]+: ./)
    }
  }
  expect(refused).toBeGreaterThan(junk.length)
})

const makers = ["tensor", "zeros", "ones", "empty", "full", "arange", "linspace", "logspace", "eye", "fromBytes", "zerosLike", "onesLike", "emptyLike", "fullLike", "rand", "randn", "randint", "randperm", "normal", "randLike", "randnLike", "bernoulli", "multinomial", "uniform_", "normal_", "truncNormal_", "bernoulli_", "exponential_", "random_", "backward", "grad", "gradcheck", "gradgradcheck", "noGrad", "enableGrad", "detectAnomaly", "scope", "use", "setDefaultDType", "mapInto", "upload"] // prettier-ignore
test.each(makers)("%s refuses junk with typed errors alone", async (name) => {
  const before = core.currentDevice()
  const dtype = core.defaultDType()
  for (const a of junk) {
    for (const args of [[a], [a, a], [[2], a], [2, a], [ones(2), a], [[2], 1, a], [1, 2, a], [0, 1, [2], a]]) {
      let error: unknown
      try {
        await loose[name](...args)
      } catch (caught) {
        error = caught
      }
      // The body of noGrad and its kin is the caller's, and may do what it likes.
      if (error !== undefined && !(error instanceof RondoError)) throw new Error(`${name}: threw ${String(error)}`)
    }
  }
  expect([core.currentDevice(), core.defaultDType(), core.isGradEnabled()]).toEqual([before, dtype, true])
})

test("options misspelt or of another kind", () => {
  expect(() => zeros([2], { dType: "int32" } as never)).toThrow(/^zeros: unknown option dType/)
  expect(() => tensor([1], { requiresGrad: 1 } as never)).toThrow(/^tensor: requiresGrad must be true or false/)
  expect(() => rand([2], { generator: 1 } as never)).toThrow(/^rand: generator must be a Generator/)
  expect(() => randint(0, 5, [2], { device: "cpu" } as never)).toThrow(/^randint: device must be a Device/)
  expect(() => ones(2).sum(0, { keepDim: true } as never)).toThrow(/^sum: unknown option keepDim/)
  expect(() => ones(2).sum(0, true as never)).toThrow(/^sum: options must be a plain object: got true/)
  expect(() => ones(2).backward({ retain: true } as never)).toThrow(/^backward: unknown option retain/)
  expect(() => ones(2).clamp(0, 1, 2)).toThrow(/^clamp: takes at most 3 arguments, got 4/)
  expect(() => mapInto("decay", [], [], () => [])).toThrow(/^decay: needs at least one tensor/)
})

test("integers hold what they can hold", async () => {
  const int = (x: number) => tensor([x], { dtype: "int32" })
  for (const x of [NaN, Infinity, 2 ** 31, -(2 ** 31) - 1]) expect(() => int(x)).toThrow(/^tensor: element 0 cannot/)
  expect(() => tensor([2n ** 63n], { dtype: "int64" })).toThrow(ValueError)
  expect(() => tensor(new Float32Array([1, NaN]), { dtype: "int64" })).toThrow(/element 1 cannot be held in int64/)
  expect(() => tensor([256], { dtype: "uint8" })).toThrow(ValueError)
  expect(await tensor([-1, 255], { dtype: "uint8" }).tolist()).toEqual([255, 255])
  expect(await tensor([1.9, -1.9, true], { dtype: "int32" }).tolist()).toEqual([1, -1, 1])
})

test("what is too large is out of memory, and the next call works", async () => {
  const large = [() => zeros(1e6, 1e6), () => zeros(2 ** 40, 2 ** 40), () => ones(1e5, 1).matmul(ones(1, 1e5)), () => arange(1e12), () => eye(1e6), () => rand(1e12), () => linspace(0, 1, 1e12), () => ones(2).expand(1e12, 2).contiguous()] // prettier-ignore
  for (const make of large) {
    expect(make).toThrow(OutOfMemoryError)
    expect(await ones(2).add(1).tolist()).toEqual([2, 2])
  }
  expect(ones(5).diff(1e12).shape).toEqual([0])
})

describe("reads", () => {
  test("show the moment of the call, whatever is done next", async () => {
    const x = zeros(2)
    const first = x.tolist()
    x.add_(1)
    const second = x.tolist()
    x.dispose()
    expect(await Promise.all([first, second])).toEqual([[0, 0], [1, 1]]) // prettier-ignore
  })
  test("of a closed device are device errors", async () => {
    const backend = new CpuJs()
    const x = ones([2], { device: new Device(backend) })
    await backend.close()
    expect(() => x.tolistSync()).toThrow(DeviceError)
    await expect(x.tolist()).rejects.toThrow(DeviceError)
    expect(() => x.add(1)).toThrow(DeviceError)
    x.dispose()
  })
})

describe("backward", () => {
  const leaf = () => tensor([1, 2], { requiresGrad: true })
  test("a hook that throws leaves the switches as they were, and what came before it stays", async () => {
    const [a, b] = [leaf(), leaf()]
    const y = a.exp()
    y.registerHook(() => {
      throw new Error("mine")
    })
    expect(() => y.mul(b).sum().backward()).toThrow("mine")
    expect([core.isGradEnabled(), a.grad]).toEqual([true, null])
    expect(await b.grad!.sum().item()).toBeCloseTo(Math.E + Math.E ** 2, 5)
    const c = leaf()
    c.mul(2).sum().backward()
    expect(await c.grad!.tolist()).toEqual([2, 2])
  })
  test("a hook may return a tensor of the same shape, or nothing", () => {
    for (const [bad, kind] of [[1, ValueError], [ones(3), ShapeError]] as const) {
      const y = leaf().mul(2)
      y.registerHook(() => bad as Tensor)
      expect(() => y.sum().backward()).toThrow(kind)
    } // prettier-ignore
    expect(() => leaf().registerHook("x" as never)).toThrow(ValueError)
  })
  test("refuses gradients that do not fit", () => {
    const x = leaf()
    const y = x.mul(2)
    const twin = ones([2], { device: new Device(new CpuJs()) })
    expect(() => y.backward({ gradient: 1 as never })).toThrow(/^backward: gradient must be a tensor or null: got 1/)
    expect(() => y.backward({ gradient: twin })).toThrow(DeviceError)
    expect(() => y.backward({ gradient: tensor([1, 1], { dtype: "int32" }) })).toThrow(DTypeError)
    expect(() => grad(y, x, { gradOutputs: ["x"] as never })).toThrow(ValueError)
    expect(() => grad([], 1 as never)).toThrow(ValueError)
    expect(() => x.add_(1)).toThrow(GradientError)
    expect(x.grad).toBe(null)
  })
  test("an error inside scopes and switches restores both", async () => {
    const inner = () => scope(() => zeros(2).add(zeros(3)))
    expect(() => scope(() => noGrad(inner))).toThrow(ShapeError)
    expect(core.isGradEnabled()).toBe(true)
    const kept = ones(2)
    expect(await kept.add(1).tolist()).toEqual([2, 2])
  })
})
