// Indexing, gathering and writing against values that PyTorch 1.13 printed, and the errors of bad input.
import { DeviceError, DTypeError, GradientError, IndexError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { describe, expect, test } from "vitest"
import { arange, Device, grad, tensor, Tensor, use, zeros } from "../index.js"
import { embedding } from "./embedding.js"
import { copy_, fill_, maskedFill, maskedFill_, zero_ } from "./fill.js"
import { gather, scatter, scatter_, scatterAdd } from "./gather.js"
import { index, type IndexItem, indexPut, indexPut_, setItem_ } from "./indexing.js"
import { indexAdd, indexFill, indexSelect, take } from "./rows.js"
import { maskedSelect, maskedSelectSync, nonzero, nonzeroSync } from "./selection.js"
import { narrow, s, select, slice } from "./slicing.js"

use(new CpuJs())
const cube = (): Tensor => arange(24).to("float32").reshape(2, 3, 4)
const int = (values: number | number[] | number[][]): Tensor => tensor(values, { dtype: "int32" })
const list = (x: Tensor) => x.tolistSync()

describe("views", () => {
  test("share memory, count from the end and walk backwards", () => {
    const x = arange(12).to("float32").reshape(3, 4)
    expect(list(select(x, -1, -2))).toEqual([2, 6, 10])
    expect(list(slice(x, 1, null, null, -2))).toEqual([
      [3, 1],
      [7, 5],
      [11, 9],
    ])
    expect(list(slice(x, 0, -2, 100))).toEqual(list(narrow(x, 0, 1, 2)))
    expect(slice(x, 0, 2, 1).shape).toEqual([0, 4])
    const row = index(x, 1, "::-1")
    expect(row.storage).toBe(x.storage)
    fill_(row, 9)
    expect(list(index(x, 1))).toEqual([9, 9, 9, 9])
  })
  test("of ranges, new dims and the ellipsis", () => {
    const x = cube()
    expect(index(x, "...", null, s(1, null, 2)).shape).toEqual([2, 3, 1, 2])
    expect(index(x, null, 0, ":", "-3:").shape).toEqual([1, 3, 3])
    expect(list(index(x, "...", 3))).toEqual([
      [3, 7, 11],
      [15, 19, 23],
    ])
  })
  test("refuse what is out of range", () => {
    const x = cube()
    expect(() => select(x, 0, 2)).toThrow(
      new IndexError("select: index out of range: got 2, expected -2 to 1 at dim 0"),
    )
    expect(() => select(x, 3, 0)).toThrow(new IndexError("select: dim out of range: got 3, expected -3 to 2"))
    expect(() => select(tensor(1), 0, 0)).toThrow(IndexError)
    const symbol = [Symbol("first")] as never[]
    expect(() => index(x, symbol)).toThrow(/^index: .*got Symbol\(first\)/)
    expect(() => slice(x, 0, 0, 1, 0)).toThrow(new ValueError("slice: step must not be 0"))
    expect(() => slice(x, 0, 0.5)).toThrow(ValueError)
    expect(() => narrow(x, 1, 1, 3)).toThrow(new IndexError("narrow: start 1 and length 3 exceed dim 1 of [2, 3, 4]"))
    expect(() => index(x, 0, 0, 0, 0)).toThrow(
      new IndexError("index: too many indices: got 4, expected at most 3 for shape [2, 3, 4]"),
    )
    expect(() => index(x, "...", "...")).toThrow(IndexError)
    expect(() => index(x, "1:b")).toThrow(ValueError)
    expect(() => index(x, "3")).toThrow(
      'index: not a slice: got "3", expected "start:stop", "start:stop:step" or "..."',
    )
  })
})

describe("index tensors", () => {
  test("that are neighbours stay in place, others come first", () => {
    const x = cube()
    expect(list(index(x, [0, 1], ":", [1, 3]))).toEqual([
      [1, 5, 9],
      [15, 19, 23],
    ])
    expect(list(index(x, ":", [0, 2], int([1, 3])))).toEqual([
      [1, 11],
      [13, 23],
    ])
    expect(index(x, int([[0], [1]]), "1:", int([0, 1, -1])).shape).toEqual([2, 3, 2])
    // One without dims selects, as an integer does, and separates nothing.
    expect(index(x, int(1), ":", [0, 1]).shape).toEqual([3, 2])
  })
  test("named twice add their gradients up", () => {
    const x = cube().requiresGrad_()
    const weights = arange(9).to("float32").add(1).reshape(3, 3)
    const [g] = grad(index(x, [0, 1, 0], ":", [1, 3, 1]).mul(weights).sum(), x)
    expect(list(select(g as Tensor, 0, 0))).toEqual([
      [0, 8, 0, 0],
      [0, 10, 0, 0],
      [0, 12, 0, 0],
    ])
  })
  test("are checked", () => {
    const x = cube()
    // Kernels name themselves; users hear of the operation.
    const outside = "index out of range: got 7, expected 0 <= index < 2 at dim 0"
    expect(() => x.indexSelect(0, int([0, 7]))).toThrow(new IndexError(`indexSelect: ${outside}`))
    expect(() => embedding(x.reshape(2, -1), int([0, 7]))).toThrow(new IndexError(`embedding: ${outside}`))
    expect(() => index(x, [0, 2])).toThrow(
      new IndexError("index: index out of range: got 2, expected -2 to 1 at dim 0"),
    )
    expect(() => index(x, int([0, -3]))).toThrow(IndexError)
    // 4 lies outside dim 1, though not outside of both dims together.
    expect(() => index(x, int([0]), int([4]))).toThrow(IndexError)
    expect(() => index(x, tensor([0, 1]))).toThrow(
      new DTypeError("index: index tensors must be int32, int64 or bool: got float32"),
    )
    expect(() => index(x, int([0, 1]), int([0, 1, 2]))).toThrow(ShapeError)
    expect(() => index(x, tensor([true, false, true]))).toThrow(
      new IndexError("index: the mask [3] does not match dims 0 on of [2, 3, 4]"),
    )
  })
})

describe("writing", () => {
  const write = (items: IndexItem[], value: Tensor | number): unknown => list(setItem_(zeros(2, 3), items, value))
  test("through views, masks and index tensors", () => {
    expect(write([1, "::-2"], tensor([1, 2]))).toEqual([
      [0, 0, 0],
      [2, 0, 1],
    ])
    expect(
      write(
        [
          tensor([
            [true, false, true],
            [false, true, false],
          ]),
        ],
        5,
      ),
    ).toEqual([
      [5, 0, 5],
      [0, 5, 0],
    ])
    expect(
      write(
        [
          tensor([
            [true, false, true],
            [false, true, false],
          ]),
        ],
        tensor([1, 2, 3]),
      ),
    ).toEqual([
      [1, 0, 2],
      [0, 3, 0],
    ])
    expect(write([tensor([false, true])], tensor([1, 2, 3]))).toEqual([
      [0, 0, 0],
      [1, 2, 3],
    ])
    expect(write([int([0, -1]), "1:3"], tensor([[1], [2]]))).toEqual([
      [0, 1, 1],
      [0, 2, 2],
    ])
    expect(
      write(
        [
          [0, 0],
          [1, 1],
        ],
        tensor([[[7, 8]]]),
      ),
    ).toEqual([
      [0, 8, 0],
      [0, 0, 0],
    ])
    expect(list(indexPut(zeros(3), [int([0, 0, 2])], tensor([1, 2, 3]), { accumulate: true }))).toEqual([3, 0, 3])
    // Dims that cannot be joined in place: the transpose is changed through a copy.
    const x = zeros(2, 3)
    indexPut_(
      x.transpose(0, 1),
      [
        [2, 0],
        [1, 0],
      ],
      tensor([4, 5]),
    )
    expect(list(x)).toEqual([
      [5, 0, 0],
      [0, 0, 4],
    ])
  })
  test("passes gradients on and cuts those of what it overwrote", () => {
    const q = arange(3).to("float32").requiresGrad_()
    const w = tensor([1, 2], { requiresGrad: true })
    const h = q.mul(2)
    copy_(slice(h, 0, 1), w.mul(w))
    h.mul(h).sum().backward()
    expect(list(q.grad as Tensor)).toEqual([0, 0, 0])
    expect(list(w.grad as Tensor)).toEqual([4, 32])
    const value = tensor(5, { requiresGrad: true })
    const k = q.mul(2)
    setItem_(k, [tensor([true, false, true])], value)
    const [dq, dv] = grad(k.mul(tensor([1, 2, 3])).sum(), [q, value])
    expect(list(dq as Tensor)).toEqual([0, 4, 0])
    expect(list(dv as Tensor)).toBe(4)
  })
  test("refuses leaves, misfits and expanded memory, and changes nothing", () => {
    const leaf = tensor([1, 2], { requiresGrad: true })
    expect(() => zero_(leaf)).toThrow(GradientError)
    expect(() => setItem_(leaf, [0], 1)).toThrow(GradientError)
    const x = zeros(2, 3)
    expect(() => copy_(x, zeros(2))).toThrow(ShapeError)
    expect(() => copy_(zeros(3), x)).toThrow(
      new ShapeError("copy_: [2, 3] does not broadcast to the tensor of shape [3]"),
    )
    expect(() => fill_(x, zeros(1))).toThrow(ShapeError)
    expect(() => fill_(zeros(1).expand(4), 1)).toThrow(ShapeError)
    expect(() => setItem_(x, [0], zeros(4))).toThrow(ShapeError)
    expect(() => maskedFill_(x, zeros(2, 3), 1)).toThrow(
      new DTypeError("maskedFill_: the mask must be bool: got float32"),
    )
    expect(list(x)).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ])
  })
  test("survives overlap", () => {
    const x = arange(5).to("float32")
    copy_(slice(x, 0, 1), slice(x, 0, 0, 4))
    expect(list(x)).toEqual([0, 0, 1, 2, 3])
    expect(list(copy_(x, x.flip(0)))).toEqual([3, 2, 1, 0, 0])
  })
})

describe("gather and scatter", () => {
  test("agree with PyTorch", () => {
    const x = tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ])
    expect(list(gather(x, 1, int([[1], [0]])))).toEqual([[2], [3]])
    expect(
      list(
        scatterAdd(
          zeros(3, 2),
          0,
          int([
            [0, 2],
            [0, 1],
          ]),
          tensor([
            [1, 2],
            [3, 4],
          ]),
        ),
      ),
    ).toEqual([
      [4, 0],
      [0, 4],
      [0, 2],
    ])
    expect(list(scatter(x, 1, int([[1], [0]]), 9))).toEqual([
      [1, 9],
      [9, 4],
      [5, 6],
    ])
    expect(list(take(x, int([[0, -1]])))).toEqual([[1, 6]])
    expect(list(indexSelect(x, 0, tensor([2n, 0n])))).toEqual([
      [5, 6],
      [1, 2],
    ])
    expect(list(indexAdd(x, 0, int([0, 0]), x.mul(0).add(1).narrow(0, 0, 2), { alpha: 2 }))).toEqual([
      [5, 6],
      [3, 4],
      [5, 6],
    ])
    expect(list(indexFill(x, 1, int([1, 1]), 0))).toEqual([
      [1, 0],
      [3, 0],
      [5, 0],
    ])
    expect(list(maskedFill(tensor([1, 2], { dtype: "int32" }), tensor([true, false]), 1.7))).toEqual([1, 2])
  })
  test("refuse bad operands", () => {
    const x = zeros(3, 2)
    expect(() => gather(x, 0, tensor([[0]]))).toThrow(
      new DTypeError("gather: the index must be int32 or int64: got float32"),
    )
    expect(() => gather(x, 0, int([0]))).toThrow(
      new ShapeError("gather: index must have as many dims as the input: got [1] for [3, 2]"),
    )
    expect(() => gather(x, 0, int([[0, 0, 0]]))).toThrow(
      new ShapeError("gather: the index [1, 3] exceeds the input [3, 2] outside dim 0"),
    )
    expect(() => gather(x, 0, int([[3]]))).toThrow(IndexError)
    expect(() => scatter(x, 0, int([[0]]), zeros(1, 1, { dtype: "float64" }))).toThrow(DTypeError)
    expect(() => scatter_(x, 0, int([[0, 1]]), zeros(1, 1))).toThrow(ShapeError)
    expect(() => indexSelect(x, 0, int([[0]]))).toThrow(ShapeError)
    expect(() => indexSelect(x, 0, int([-1]))).toThrow(IndexError)
    expect(() => indexAdd(x, 0, int([0]), zeros(2, 2))).toThrow(
      new ShapeError("indexAdd: the source must be [1, 2]: got [2, 2]"),
    )
  })
})

describe("sizes that depend on data", () => {
  test("come awaited or at once", async () => {
    const x = tensor([
      [1, 0],
      [0, 2],
    ])
    expect(list(await nonzero(x))).toEqual([
      [0, 0],
      [1, 1],
    ])
    expect(nonzeroSync(tensor(3)).shape).toEqual([1, 0])
    expect(list(await maskedSelect(x, x.gt(0)))).toEqual([1, 2])
    expect(list(maskedSelectSync(x, tensor([true, false])))).toEqual([1, 0])
  })
  test("need a device that reads at once, or say what to await", async () => {
    const eager = new CpuJs()
    const readSync = eager.readSync.bind(eager)
    const asleep = Object.assign(eager, {
      readSync: undefined,
      read: async (...at: Parameters<CpuJs["read"]>) => readSync(...at),
    })
    const x = tensor([1, 0], { device: new Device(asleep as never) })
    const message = "nonzeroSync: cpu-js cannot be read synchronously; use await nonzero(x)"
    expect(() => nonzeroSync(x)).toThrow(new DeviceError(message))
    expect(() => maskedSelectSync(x, x.gt(0))).toThrow(DeviceError)
    expect(() => index(x, x.gt(0))).toThrow(DeviceError)
    expect((await nonzero(x)).shape).toEqual([1, 1])
    // A value that is the same everywhere needs no reading.
    expect(await setItem_(x, [x.gt(0)], 7).tolist()).toEqual([7, 0])
  })
})
