// Tests of uint32 where it meets the host: creation, reading, printing, files, draws, indices, promotion. Arithmetic on every backend
// is the conformance suite's. Numbers are those of numpy.uint32, or of BigInt.asUintN.
import { type DType, DTypeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import {
  arange,
  cat,
  currentDevice,
  empty,
  formatNumpy,
  full,
  Generator,
  loadCheckpoint,
  loadNpy,
  loadSafetensors,
  ones,
  parseSafetensors,
  randint,
  saveCheckpoint,
  saveSafetensors,
  stack,
  Tensor,
  tensor,
  use,
  where,
  zeros,
  zerosLike,
} from "./index.js"

beforeAll(() => void use(new CpuJs()))

const top = 2 ** 32 - 1
const half = 2 ** 31
const u = (...values: number[]): Tensor => tensor(values, { dtype: "uint32" })
const values = (x: Tensor): [string, unknown] => [x.dtype, x.tolistSync()]
const wrapped = (x: bigint): number => Number(BigInt.asUintN(32, x))

describe("creation and reading", () => {
  test("every way", () => {
    const options = { dtype: "uint32" } as const
    expect(values(zeros(2, options))).toEqual(["uint32", [0, 0]])
    expect(values(ones(2, options))).toEqual(["uint32", [1, 1]])
    expect(values(full([2], top, options))).toEqual(["uint32", [top, top]])
    expect(values(full([1], -1, options))).toEqual(["uint32", [top]])
    expect(values(arange(top - 1, top + 1, options))).toEqual(["uint32", [top - 1, top]])
    expect(values(zerosLike(u(5)))).toEqual(["uint32", [0]])
    expect([empty(2, 3, options).dtype, empty(2, 3, options).shape]).toEqual(["uint32", [2, 3]])
    expect(values(tensor(new Uint32Array([top, 7])))).toEqual(["uint32", [top, 7]])
    expect(values(tensor([top, 1.9, true, 3n], options))).toEqual(["uint32", [top, 1, 1, 3]])
  })
  test("refuses what has no place, and counts negative numbers from the end", () => {
    expect(values(u(-1, -half, -top))).toEqual(["uint32", [top, half, 1]])
    for (const bad of [2 ** 32, -(2 ** 32), NaN, Infinity]) expect(() => u(bad)).toThrow(ValueError)
    expect(() => u(0, 2 ** 32)).toThrow(
      "tensor: element 1 cannot be held in uint32: got 4294967296, expected -4294967295 to 4294967295",
    )
  })
  test("gives numbers, and Uint32Arrays", async () => {
    expect(u(top).itemSync()).toBe(top)
    expect(await u(half).item()).toBe(half)
    expect(u(top, half).dataSync()).toEqual(new Uint32Array([top, half]))
    expect(u(0, half, top, 7).reshape(2, 2).flip(0).t().contiguous().dataSync()).toEqual(new Uint32Array([top, 0, 7, half])) // prettier-ignore
  })
  test("prints as PyTorch and NumPy do", () => {
    expect(u(top, 1, half).printSync()).toBe("tensor([4294967295,          1, 2147483648], dtype=torch.uint32)")
    expect(zeros(0, { dtype: "uint32" }).printSync()).toBe("tensor([], dtype=torch.uint32)")
    expect(formatNumpy(u(top, 1).dataSync() as Uint32Array, [2], "uint32")).toBe("[4294967295          1]")
  })
})

describe("conversion", () => {
  test("of integers is modulo 2^32, whatever they are", () => {
    const any = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 20 }), (list) => {
        const x = tensor(list).to("uint32")
        expect(x.tolistSync()).toEqual(list.map(wrapped))
        for (const to of ["int32", "int64", "uint8"] as const) {
          const bits = to === "uint8" ? 8 : 32
          const back = list.map((v) => BigInt.asUintN(32, v)).map((v) => (to === "int64" ? v : Number(to === "int32" ? BigInt.asIntN(bits, v) : BigInt.asUintN(bits, v)))) // prettier-ignore
          expect(x.to(to).tolistSync()).toEqual(back)
        }
      }),
      { numRuns: 50 },
    )
  })
  test("of floats truncates, and wraps below 0", () => {
    const x = tensor([3e9, 0.9, -0.9, -1.5, -half, top], { dtype: "float64" })
    expect(values(x.to("uint32"))).toEqual(["uint32", [3e9, 0, 0, top, half, top]])
    // float32(2^32 - 1) is 2^32; 2^31 + 129 is above the tie of its neighbours 2^31 and 2^31 + 256.
    expect(values(u(top, half + 129, half + 128).float())).toEqual(["float32", [2 ** 32, half + 256, half]])
    expect(values(u(top).double())).toEqual(["float64", [top]])
    expect(values(u(1000, top).to("float16"))).toEqual(["float16", [1000, Infinity]])
  })
})

describe("promotion", () => {
  const others: readonly DType[] = ["uint8", "int32", "int64"]
  test("meets floats, bools and numbers", () => {
    for (const dtype of ["float16", "bfloat16", "float32", "float64"] as const)
      expect(u(3).add(ones(1, { dtype })).dtype).toBe(dtype)
    expect(values(u(top).add(tensor([true])))).toEqual(["uint32", [0]])
    expect(values(u(top).add(2))).toEqual(["uint32", [1]])
    expect(values(u(0).sub(true))).toEqual(["uint32", [top]])
    expect(values(u(3e9).mul(0.5))).toEqual(["float32", [15e8]])
    expect(values(u(7).div(2))).toEqual(["float32", [3.5]])
    expect(values(cat([u(top), tensor([0.5])]))).toEqual(["float32", [2 ** 32, 0.5]])
    expect(values(where(tensor([true, false]), u(top, 1), 5))).toEqual(["uint32", [top, 5]])
  })
  test("refuses other integers, by the operation's name", () => {
    for (const dtype of others) {
      const x = ones(1, { dtype })
      const text = (op: string, a: DType, b: DType): string =>
        `${op}: Promotion for uint32 is not supported beside other integers: got ${a} and ${b}; convert one with .to(dtype)`
      expect(() => u(1).mul(x)).toThrow(new DTypeError(text("mul", "uint32", dtype)))
      expect(() => x.eq(u(1))).toThrow(new DTypeError(text("eq", dtype, "uint32")))
      expect(() => x.add_(u(1))).toThrow(new DTypeError(text("add", dtype, "uint32")))
      expect(() => where(tensor([true]), x, u(1))).toThrow(new DTypeError(text("where", dtype, "uint32")))
      expect(() => stack([u(1), x])).toThrow(new DTypeError(text("stack", "uint32", dtype)))
      // A float in third place does not help: PyTorch promotes from left to right too.
      expect(() => cat([u(1), x, ones(1)])).toThrow(new DTypeError(text("cat", "uint32", dtype)))
      expect(values(u(1).add(x.to("uint32")))).toEqual(["uint32", [2]])
    }
  })
  test("takes tensors without dims by their category", () => {
    const one = tensor(1, { dtype: "int32" })
    expect(values(u(top).add(one))).toEqual(["uint32", [0]])
    expect(values(ones(1, { dtype: "int32" }).add(u(5).squeeze()))).toEqual(["int32", [6]])
    expect(() => u(5).squeeze().add(one)).toThrow(DTypeError)
  })
})

describe("as elements and as indices", () => {
  test("moves, adds up and takes its place", () => {
    const x = u(top, half, 3, 0)
    const index = tensor([1, 0, 1, 3], { dtype: "int32" })
    expect(values(x.gather(0, index))).toEqual(["uint32", [half, top, half, 0]])
    expect(values(zeros(4, { dtype: "uint32" }).scatterAdd(0, index, x))).toEqual(["uint32", [half, wrapped(2n ** 32n - 1n + 3n), 0, 0]]) // prettier-ignore
    expect(values(x.index(tensor([true, false, true, false])))).toEqual(["uint32", [top, 3]])
    expect(values(x.clone().add_(2))).toEqual(["uint32", [1, half + 2, 5, 2]])
    expect(values(x.maskedFill(x.gt(half), 1))).toEqual(["uint32", [1, half, 3, 0]])
  })
  test("is no index", () => {
    const x = tensor([1, 2, 3])
    expect(() => x.gather(0, u(1))).toThrow("gather: the index must be int32 or int64: got uint32")
    expect(() => x.index(u(1))).toThrow("index: index tensors must be int32, int64 or bool: got uint32")
    expect(() => x.indexSelect(0, u(1))).toThrow(DTypeError)
    expect(() => x.scatterAdd(0, u(1), x)).toThrow(DTypeError)
  })
  test("has no gradient", () => {
    expect(() => u(1).requiresGrad_()).toThrow(/^requiresGrad_: .*uint32/)
    expect(() => u(1).mean()).toThrow(/^mean: .*uint32/)
  })
})

describe("files", () => {
  test("safetensors has it as U32", async () => {
    const file = await saveSafetensors({ x: u(top, 258) })
    const { x } = await loadSafetensors(file)
    expect(values(x)).toEqual(["uint32", [top, 258]])
    const header = new TextDecoder().decode(file.subarray(8, file.length - 8))
    expect(header.trim()).toBe('{"x":{"dtype":"U32","shape":[2],"data_offsets":[0,8]}}')
    expect([...file.subarray(-8)]).toEqual([255, 255, 255, 255, 2, 1, 0, 0])
    expect(parseSafetensors(file).tensors.get("x")?.dtype).toBe("uint32")
  })
  test("checkpoints keep it", async () => {
    const part = {
      state: { x: u(top) } as Record<string, unknown>,
      stateDict() {
        return this.state
      },
      loadStateDict(state: Record<string, unknown>) {
        this.state = state
      },
    }
    const file = await saveCheckpoint({ others: { part } })
    part.state = { x: u(0) }
    await loadCheckpoint(file, { others: { part } })
    expect(values(part.state.x as Tensor)).toEqual(["uint32", [top]])
  })
  test(".npy has it in both byte orders", async () => {
    const npy = (descr: string, bytes: readonly number[]): Uint8Array => {
      const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (2,), }`.padEnd(117) + "\n"
      return Uint8Array.from([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, 118, 0, ...new TextEncoder().encode(header), ...bytes]) // prettier-ignore
    }
    expect(values(await loadNpy(npy("<u4", [255, 255, 255, 255, 2, 1, 0, 0])))).toEqual(["uint32", [top, 258]])
    expect(values(await loadNpy(npy(">u4", [255, 255, 255, 255, 0, 0, 1, 2])))).toEqual(["uint32", [top, 258]])
  })
})

describe("draws", () => {
  test("are those of wider integers", () => {
    const draw = (dtype: DType, low: number, high: number): unknown =>
      Array.from(randint(low, high, [50], { dtype, generator: new Generator(3) }).dataSync() as never, Number)
    for (const [low, high] of [
      [0, 10],
      [half - 5, half + 5],
      [0, top],
      [0, 2 ** 32],
    ] as const)
      // prettier-ignore
      expect(draw("uint32", low, high)).toEqual(draw("int64", low, high))
    expect(() => draw("uint32", -1, 5)).toThrow(/low: got -1, expected at least 0 for uint32/)
    expect(() => draw("uint32", 0, 2 ** 32 + 1)).toThrow(/at most 4294967295 for uint32/)
    expect(values(zeros(2, { dtype: "uint32" }).bernoulli_(1))).toEqual(["uint32", [1, 1]])
  })
})

test("a device without it says so", () => {
  const backend = new CpuJs()
  const poor = Object.assign(Object.create(backend) as CpuJs, {
    capabilities: { ...backend.capabilities, dtypes: ["float32", "int32", "bool"] as const },
  })
  const before = currentDevice()
  try {
    use(poor)
    expect(() => u(1)).toThrow("upload: cpu-js has no uint32: it has float32, int32, bool")
  } finally {
    use(before)
  }
})
