// Making tensors and reading them back: shapes, dtypes, bad data. Expected values are PyTorch's where it has the call.
import { CpuJs } from "@rondo/backend-cpu-js"
import { DTypeError, ShapeError, ValueError } from "@rondo/backend"
import { inspect } from "node:util"
import { beforeAll, describe, expect, test } from "vitest"
import * as R from "./index.js"
import {
  arange,
  Device,
  empty,
  eye,
  fromBytes,
  full,
  linspace,
  logspace,
  ones,
  onesLike,
  tensor,
  use,
  zeros,
} from "./index.js"

beforeAll(() => void use(new CpuJs()))

describe("tensor", () => {
  test("infers shape and dtype", () => {
    const cases: [R.TensorData, number[], R.Tensor["dtype"]][] = [
      [1, [], "float32"],
      [[1, 2], [2], "float32"],
      [[[1], [2]], [2, 1], "float32"],
      [[true, false], [2], "bool"],
      [[1n, 2n], [2], "int64"],
      [[], [0], "float32"],
      [[[], []], [2, 0], "float32"],
      [new Float64Array([1, 2]), [2], "float64"],
      [new Int32Array([1, 2]), [2], "int32"],
      [new Uint8Array([1, 2]), [2], "uint8"],
      [new Int16Array([1, -2]), [2], "float32"],
    ]
    for (const [values, shape, dtype] of cases) {
      const x = tensor(values)
      expect([x.shape, x.dtype]).toEqual([shape, dtype])
    }
  })
  test("copies what it is given", () => {
    const values = new Float32Array([1, 2])
    const x = tensor(values)
    values[0] = 9
    expect(x.tolistSync()).toEqual([1, 2])
  })
  test("refuses ragged arrays, other values and tensors", () => {
    expect(() => tensor([[1, 2], [3]])).toThrow(/ragged: expected 2 at depth 1, got 1/)
    expect(() => tensor([[1, 2], 3] as R.TensorData)).toThrow(ShapeError)
    expect(() => tensor([1, [2]] as R.TensorData)).toThrow(ShapeError)
    expect(() => tensor(["1"] as never)).toThrow(/must be numbers, booleans or bigints, got string/)
    expect(() => tensor([null] as never)).toThrow(/got null/)
    expect(() => tensor(tensor(1) as never)).toThrow(/clone\(\).detach\(\)/)
    expect(() => tensor([1], { dtype: "float8" as never })).toThrow(DTypeError)
    expect(() => tensor([1], { device: "cpu" as never })).toThrow(/device must be a Device .*got the string "cpu"/)
  })
  test("rounds to 16 bits as PyTorch does, and reads them back", () => {
    const values = [0.1, 65504, 65520, 1e-7, -3.14159]
    expect(tensor(values, { dtype: "float16" }).tolistSync()).toEqual([
      0.0999755859375,
      65504,
      Infinity,
      1.1920928955078125e-7,
      -3.140625,
    ])
    expect(tensor(values, { dtype: "bfloat16" }).tolistSync()).toEqual([
      0.10009765625, 65536, 65536, 1.0011717677116394e-7, -3.140625,
    ])
  })
})

describe("factories", () => {
  test("sizes positional or in an array, options last", () => {
    expect(zeros(2, 3).shape).toEqual([2, 3])
    expect(ones([2, 3], { dtype: "int32" }).tolistSync()).toEqual([[1, 1, 1], [1, 1, 1]]) // prettier-ignore
    expect(zeros().shape).toEqual([])
    expect(empty(0, 2).tolistSync()).toEqual([])
    expect(full([2], true).tolistSync()).toEqual([true, true])
    expect(onesLike(zeros(2, { dtype: "float64" })).dtype).toBe("float64")
  })
  test("sizes that are none", () => {
    for (const size of [-1, 1.5, NaN, Infinity]) expect(() => zeros(2, size)).toThrow(ShapeError)
    expect(() => zeros("2" as never)).toThrow(ShapeError)
  })
  test("arange counts as PyTorch", () => {
    expect([arange(5).tolistSync(), arange(5).dtype]).toEqual([[0, 1, 2, 3, 4], "int32"])
    expect(arange(1, 2, 0.25).tolistSync()).toEqual([1, 1.25, 1.5, 1.75])
    expect(arange(5, 0, -2).tolistSync()).toEqual([5, 3, 1])
    expect(arange(3, { dtype: "float64" }).dtype).toBe("float64")
    expect(arange(0).shape).toEqual([0])
    expect(() => arange(0, 5, 0)).toThrow(ValueError)
    expect(() => arange(0, 5, -1)).toThrow(/does not lead from 0 to 5/)
    expect(() => arange(NaN)).toThrow(ValueError)
  })
  test("linspace, logspace and eye", () => {
    // torch.linspace(-1, 1, 4), torch.linspace(0, 1, 5)
    expect(linspace(-1, 1, 4).tolistSync()).toEqual([-1, -0.3333333134651184, 0.3333333134651184, 1])
    expect(linspace(0, 1, 5).tolistSync()).toEqual([0, 0.25, 0.5, 0.75, 1])
    expect([linspace(3, 9, 1).tolistSync(), linspace(3, 9, 0).shape]).toEqual([[3], [0]])
    expect(logspace(0, 2, 3).tolistSync()).toEqual([1, 10, 100])
    expect(eye(2, 3).tolistSync()).toEqual([[1, 0, 0], [0, 1, 0]]) // prettier-ignore
    expect(() => linspace(0, 1, -1)).toThrow(ValueError)
  })
  test("fromBytes takes bytes at any alignment", () => {
    const bytes = new Uint8Array(9)
    new DataView(bytes.buffer).setFloat32(1, 1.5, true)
    expect(fromBytes(bytes.subarray(1, 5), [1], "float32").tolistSync()).toEqual([1.5])
    expect(() => fromBytes(bytes, [1], "float32")).toThrow(/9 bytes do not fill \[1\]/)
  })
})

describe("reading", () => {
  test("one element as a number, many as nested lists, at once or awaited", async () => {
    const x = arange(6).reshape(2, 3).transpose(0, 1)
    expect(await x.tolist()).toEqual([[0, 3], [1, 4], [2, 5]]) // prettier-ignore
    expect([...((await x.data()) as Int32Array)]).toEqual([0, 3, 1, 4, 2, 5])
    expect([await tensor(2.5).item(), tensor([true]).itemSync()]).toEqual([2.5, 1])
    await expect(x.item()).rejects.toThrow(/needs one element, got shape \[3, 2\]/)
    expect(await zeros(0).data()).toHaveLength(0)
  })
  test("says when the device cannot read at once", () => {
    const backend = new CpuJs()
    Object.defineProperty(backend, "readSync", { value: undefined })
    const x = zeros(2, { device: new Device(backend) })
    expect(() => x.tolistSync()).toThrow(/cannot be read synchronously; use await/)
  })
  test("console.log shows what PyTorch prints, and never waits", () => {
    const x = tensor([[1, 2.5]])
    expect([String(x), inspect(x)]).toEqual(["tensor([[1.0000, 2.5000]])", "tensor([[1.0000, 2.5000]])"])
    x.dispose()
    expect(String(x)).toBe("Tensor(float32[1, 2], disposed)")
  })
  test("to: dtypes at once, devices awaited", async () => {
    const other = new Device(new CpuJs())
    const x = tensor([1.7, -1.7], { requiresGrad: true })
    expect(x.to("int32").tolistSync()).toEqual([1, -1])
    const moved = await x.to(other)
    expect([moved.device, moved.requiresGrad, await moved.tolist()]).toEqual([other, true, await x.tolist()])
    expect(() => x.add(moved)).toThrow(/different devices: cpu-js and cpu-js/)
    expect(await moved.to(other)).toBe(moved)
    expect([x.double().dtype, x.long().dtype, x.bool().dtype]).toEqual(["float64", "int64", "bool"])
  })
})
