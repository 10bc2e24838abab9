// Joining, splitting, moving, scanning, sorting, softmax and einsum against values that PyTorch 1.13 printed; bad
// input.
import { DTypeError, IndexError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { describe, expect, test } from "vitest"
import { arange, full, grad, tensor, type Tensor, use, zeros } from "../index.js"
import { diag, flip, pad, roll, rot90, tril } from "./arranging.js"
import { einsum } from "./einsum.js"
import { asStrided } from "./movement.js"
import { meshgrid, repeat, repeatInterleave } from "./repeating.js"
import { cummax, cumprod, cumsum, diff, logcumsumexp } from "./scan.js"
import { cat, chunk, split, stack, unbind } from "./shaping.js"
import { logSoftmax, softmax } from "./softmax.js"
import { kthvalue, median, searchsorted, sort, topk } from "./sort.js"

use(new CpuJs())
const list = (x: Tensor) => x.tolistSync()
const count = (...shape: number[]): Tensor =>
  arange(shape.reduce((a, b) => a * b, 1))
    .to("float32")
    .reshape(shape)
const double = (values: number[] | number[][]): Tensor => tensor(values, { dtype: "float64", requiresGrad: true })
/** Gradient of the sum of the result times 1, 2, 3, … */
function weighted(out: Tensor, x: Tensor): Tensor {
  const weights = arange(out.numel()).to(out.dtype).add(1).reshape(out.shape)
  return grad(out.mul(weights).sum(), x)[0] as Tensor
}
const near = (x: Tensor, expected: readonly number[]) =>
  Array.from(x.dataSync() as Float64Array).forEach((value, i) => expect(value).toBeCloseTo(expected[i], 12))

describe("joining and splitting", () => {
  test("promotes, skips empty vectors, and gives views", () => {
    expect(cat([tensor([1], { dtype: "int32" }), tensor([0.5])]).dtype).toBe("float32")
    expect(cat([zeros(0), zeros(2, 3)], 1).shape).toEqual([2, 3])
    expect(list(stack([tensor([1, 2]), tensor([3, 4])], -1))).toEqual([
      [1, 3],
      [2, 4],
    ])
    const x = count(5, 2)
    expect(chunk(x, 4).map((part) => part.shape[0])).toEqual([2, 2, 1])
    expect(split(x, [1, 0, 4]).map((part) => part.shape[0])).toEqual([1, 0, 4])
    expect(unbind(x, 1)[1].storage).toBe(x.storage)
  })
  test("unbind joins gradients once, missing ones as zeros", () => {
    const x = count(4, 2).requiresGrad_()
    const [a, , c] = unbind(x)
    const [g] = grad(a.sum().add(c.mul(3).sum()), x)
    expect(list(g as Tensor)).toEqual([
      [1, 1],
      [0, 0],
      [3, 3],
      [0, 0],
    ])
    // One gradient of this size for each position would be 40 GB in all.
    const long = zeros(100_000, 1).requiresGrad_()
    const total = stack(unbind(long)).sum()
    expect((grad(total, long)[0] as Tensor).sum().itemSync()).toBe(100_000)
  })
  test("an in-place change of a part reaches the whole", () => {
    const x = count(3).requiresGrad_()
    const y = x.mul(1)
    unbind(y)[1].mul_(5)
    expect(list(grad(y.sum(), x)[0] as Tensor)).toEqual([1, 5, 1])
  })
  test("refuses misfits", () => {
    expect(() => cat([zeros(2, 3), zeros(2, 4)])).toThrow(
      new ShapeError("cat: sizes differ outside dim 0: [2, 3] and [2, 4]"),
    )
    expect(() => cat([])).toThrow(new ValueError("cat: needs at least one tensor, got none"))
    expect(() => cat([tensor(1), tensor(2)])).toThrow(ShapeError)
    expect(() => cat([zeros(2)], 1)).toThrow(IndexError)
    expect(() => stack([zeros(2), zeros(3)])).toThrow(new ShapeError("stack: shapes differ: [2] and [3]"))
    expect(() => split(zeros(5), [2, 2])).toThrow(
      "split: the sizes must add up to dim 0 of [5]: got [2, 2], expected a sum of 5",
    )
    expect(() => split(zeros(5), 0)).toThrow(ValueError)
    expect(() => chunk(zeros(5), 0)).toThrow(ValueError)
    expect(() => unbind(tensor(1))).toThrow(ShapeError)
  })
})

describe("moving and repeating", () => {
  test("agrees with PyTorch", () => {
    const x = count(2, 3)
    expect(list(flip(x, 0, 1))).toEqual([
      [5, 4, 3],
      [2, 1, 0],
    ])
    expect(list(roll(x, [1, 1], [0, 1]))).toEqual([
      [5, 3, 4],
      [2, 0, 1],
    ])
    expect(list(rot90(x))).toEqual([
      [2, 5],
      [1, 4],
      [0, 3],
    ])
    expect(list(repeat(count(2), 2, 2))).toEqual([
      [0, 1, 0, 1],
      [0, 1, 0, 1],
    ])
    expect(list(repeatInterleave(tensor([1, 2, 3]), tensor([1, 0, 2], { dtype: "int32" })))).toEqual([1, 3, 3])
    expect(meshgrid([count(2), count(3)], { indexing: "xy" }).map(list)).toEqual([
      [
        [0, 1],
        [0, 1],
        [0, 1],
      ],
      [
        [0, 0],
        [1, 1],
        [2, 2],
      ],
    ])
    expect(list(diag(tensor([1, 2]), -1))).toEqual([
      [0, 0, 0],
      [1, 0, 0],
      [0, 2, 0],
    ])
    expect(
      list(
        tril(
          tensor([
            [true, true],
            [true, true],
          ]),
        ),
      ),
    ).toEqual([
      [true, false],
      [true, true],
    ])
  })
  test("pads in every mode", () => {
    expect(list(pad(count(4), [3, 2], "reflect"))).toEqual([3, 2, 1, 0, 1, 2, 3, 2, 1])
    expect(list(pad(count(5), [-1, 2], "circular"))).toEqual([1, 2, 3, 4, 1, 2])
    const x = count(2, 3).requiresGrad_()
    const out = pad(x, [1, -1, 0, 1], "constant", 7)
    expect(list(out)).toEqual([
      [7, 0, 1],
      [7, 3, 4],
      [7, 7, 7],
    ])
    expect(list(weighted(out, x))).toEqual([
      [2, 3, 0],
      [5, 6, 0],
    ])
    expect(() => pad(count(4), [4, 0], "reflect")).toThrow(
      new ShapeError("pad: a reflect border may be at most 3 wide at dim 0 of [4]: got [4, 0]"),
    )
    expect(() => pad(count(4), [1])).toThrow(ShapeError)
    expect(() => pad(count(4), [1, 1], "mirror" as never)).toThrow(ValueError)
    expect(() => pad(count(4), [-3, -2])).toThrow(ShapeError)
  })
  test("windows that show an element several times add its gradients up", () => {
    const x = count(4).requiresGrad_()
    expect(list(grad(asStrided(x, [3, 2], [1, 1]).sum(), x)[0] as Tensor)).toEqual([1, 2, 2, 1])
    expect(list(grad(asStrided(x, [2, 3], [2, 0]).sum(), x)[0] as Tensor)).toEqual([3, 0, 3, 0])
  })
  test("refuses bad arguments", () => {
    expect(() => roll(count(3), [1, 2], 0)).toThrow(ValueError)
    expect(() => repeat(count(2, 3), 2)).toThrow(
      new ShapeError("repeat: needs a count from 0 for each dim of [2, 3]: got [2]"),
    )
    expect(() => repeatInterleave(count(3), [1, 2])).toThrow(ShapeError)
    expect(() => repeatInterleave(count(3), -1)).toThrow(ValueError)
    expect(() => meshgrid([count(2, 2)])).toThrow(ShapeError)
    expect(() => tril(count(3))).toThrow(new ShapeError("tril: needs at least 2 dims, got [3]"))
  })
})

describe("running values", () => {
  test("cumprod has right gradients at zeros", () => {
    const x = double([2, 0, 3, 0, 5])
    const out = cumprod(x, 0)
    expect(list(out)).toEqual([2, 0, 0, 0, 0])
    near(weighted(out, x), [1, 22, 0, 0, 0])
  })
  test("cummax keeps NaN, the last of equals wins", () => {
    const [values, positions] = cummax(tensor([1, 3, 3, NaN, 2]), 0)
    expect(list(values)).toEqual([1, 3, 3, NaN, NaN])
    expect(list(positions)).toEqual([0, 1, 2, 3, 3])
  })
  test("logcumsumexp neither over- nor underflows; cumsum of bools counts", () => {
    expect(list(logcumsumexp(tensor([-1000, 0, 1000]), 0))).toEqual([-1000, 0, 1000])
    const counted = cumsum(tensor([true, false, true]), 0)
    expect([counted.dtype, list(counted)]).toEqual(["int32", [1, 1, 2]])
    expect(list(diff(tensor([true, true, false])))).toEqual([false, true])
    expect(() => cumsum(zeros(2), 1)).toThrow(new IndexError("cumsum: dim out of range: got 1, expected -1 to 0"))
    expect(() => diff(zeros(2), -1)).toThrow(ValueError)
  })
})

describe("order", () => {
  test("puts NaN last and keeps equals in order", () => {
    const [values, positions] = sort(tensor([1, 3, 3, NaN, 2]), -1, { descending: true })
    expect(list(values)).toEqual([NaN, 3, 3, 2, 1])
    expect([positions.dtype, list(positions)]).toEqual(["int32", [3, 1, 2, 4, 0]])
    expect(topk(tensor([4, 1, 3]), 2, 0, { largest: false }).map(list)).toEqual([
      [1, 3],
      [1, 2],
    ])
    expect(kthvalue(tensor([4, 1, 3]), 3).map(list)).toEqual([4, 0])
  })
  test("median is the lower one, or NaN", () => {
    expect(median(tensor([4, 1, 3, 2]), 0).map(list)).toEqual([2, 3])
    expect(median(tensor([1, 3, NaN, 2]), 0).map(list)).toEqual([NaN, 2])
    expect(list(median(tensor([4, 1, 3, 2])))).toBe(2)
    expect(median(zeros(0)).itemSync()).toBeNaN()
    expect(() => median(zeros(0, 2), 0)).toThrow(ShapeError)
  })
  test("refuses bad ranks", () => {
    expect(() => topk(zeros(3), 4)).toThrow(new ValueError("topk: k out of range: got 4, expected 0 to 3"))
    expect(() => kthvalue(zeros(3), 0)).toThrow(ValueError)
    expect(() => searchsorted(zeros(2, 3), zeros(3, 1))).toThrow(ShapeError)
    expect(list(searchsorted(tensor([1, 3, 3, 5]), tensor([3, 0, 6]), { right: true }))).toEqual([3, 0, 4])
  })
})

describe("dtypes and roundings that fall out of the row", () => {
  test("logcumsumexp of whole numbers is a float, whatever their number", () => {
    const whole = (values: number | number[]) => tensor(values, { dtype: "int32" })
    // torch.logcumsumexp(torch.tensor([1., 2.]), 0) of PyTorch 1.13.1: 2.3133
    expect(
      logcumsumexp(whole([1, 2]), 0)
        .select(0, 1)
        .itemSync(),
    ).toBeCloseTo(2.3132617, 6)
    for (const x of [whole(3), whole([3]), whole([])]) expect(logcumsumexp(x, 0).dtype).toBe("float32")
  })
  test("any and all of uint8 are uint8, of all others bool", () => {
    // torch.tensor([0, 3], dtype=torch.uint8).any(): tensor(1, dtype=torch.uint8)
    const x = tensor([[0, 3]], { dtype: "uint8" })
    expect([x.any().dtype, list(x.any())]).toEqual(["uint8", 1])
    expect([x.all(0).dtype, list(x.all(0))]).toEqual(["uint8", [0, 1]])
    for (const y of [x.bool(), x.int(), x.float()]) expect([y.any().dtype, y.all(1).dtype]).toEqual(["bool", "bool"])
  })
  test("numbers that an integer dtype does not hold are refused, not turned into others", () => {
    // PyTorch 1.13.1: "value cannot be converted to type int without overflow", for uint8 also of -256 and 255.5
    const [at, index] = [tensor([true, false]), tensor([0], { dtype: "int32" })]
    const fills: ((x: Tensor, value: number) => Tensor)[] = [
      (x, value) => x.fill_(value),
      (x, value) => x.maskedFill(at, value),
      (x, value) => x.maskedFill_(at, value),
      (x, value) => x.indexFill(0, index, value),
      (x, value) => x.setItem_([0], value),
      (x, value) => x.indexPut([[0]], value),
      (x, value) => x.scatter(0, index, value),
      (x, value) => x.pad([1, 0], "constant", value),
      (x, value) => full([2], value, { dtype: x.dtype }),
    ]
    const whole = (dtype: "int32" | "uint8") => zeros(2, { dtype })
    for (const fill of fills) {
      for (const value of [NaN, Infinity, -Infinity, 2 ** 31]) expect(() => fill(whole("int32"), value)).toThrow(ValueError) // prettier-ignore
      for (const value of [NaN, 256, 255.5, -256, -0.5]) expect(() => fill(whole("uint8"), value)).toThrow(/uint8 does not hold/) // prettier-ignore
      const first = (x: Tensor): unknown => x.select(0, 0).itemSync()
      expect([fill(whole("int32"), -3.7), fill(whole("uint8"), -255), fill(zeros(2).bool(), NaN)].map(first)).toEqual([-3, 1, 1]) // prettier-ignore
    }
  })
  test("addcmul and addcdiv multiply by the number first", () => {
    // torch.addcmul(torch.zeros(1), torch.tensor([1e20]), torch.tensor([2e19]), value=0.125): 2.5e38, not infinite
    const [first, second] = [tensor([1e20]), tensor([2e19])]
    expect(zeros(1).addcmul(first, second, { value: 0.125 }).itemSync()).toBeCloseTo(2.5e38, -33)
    // torch.addcdiv(torch.zeros(1), torch.tensor([1e38]), torch.tensor([.25]), value=0.125): 5e37
    expect(
      zeros(1)
        .addcdiv(tensor([1e38]), tensor([0.25]), { value: 0.125 })
        .itemSync(),
    ).toBeCloseTo(5e37, -32)
  })
})

describe("softmax", () => {
  test("values and gradients", () => {
    const x = double([[1, 2, 3]])
    near(softmax(x, 1), [0.09003057317038045, 0.2447284710547976, 0.6652409557748218])
    near(weighted(softmax(x, 1), x), [-0.1418170936098121, -0.14077035746962996, 0.28258745107944266])
    near(logSoftmax(x, 1), [-2.4076059644443806, -1.4076059644443804, -0.4076059644443804])
    near(weighted(logSoftmax(x, 1), x), [0.4598165609777174, 0.5316291736712142, -0.9914457346489307])
    expect(softmax(x, 1).gradFn?.name).toBe("SoftmaxBackward0")
  })
  test("of extremes and integers", () => {
    expect(list(softmax(tensor([1000, 0]), 0))).toEqual([1, 0])
    expect(list(softmax(tensor([-Infinity, -Infinity]), 0))).toEqual([NaN, NaN])
    expect(list(softmax(tensor([2, 2]).to("float16"), 0))).toEqual([0.5, 0.5])
    expect(() => softmax(zeros(2, { dtype: "int32" }), 0)).toThrow(DTypeError)
  })
  test.each(["float32", "float64", "float16"] as const)("lines of a large %s tensor are as lines alone", (dtype) => {
    const x = count(70, 64).mul(0.37).sin().mul(9).to(dtype)
    x.index(3, ":").fill_(-Infinity)
    x.index(4, 5).fill_(NaN)
    x.index(5, "2:9").fill_(-Infinity)
    for (const view of [x, x.t(), x.flip([1]), x.unsqueeze(1)]) {
      const whole = softmax(view, -1)
      for (const line of [0, 3, 4, 5, 63])
        expect(list(whole.select(0, line))).toEqual(list(softmax(view.select(0, line), -1)))
    }
  })
  test("of many elements as PyTorch's", () => {
    // torch.softmax(torch.arange(4900).reshape(70, 70).double().mul(0.37).sin(), d)[3, :2] for d = 0, 1
    const x = arange(4900).reshape(70, 70).to("float64").mul(0.37).sin()
    near(softmax(x, 0).index(3, ":2"), [0.023036718268078193, 0.017199217314429787])
    near(softmax(x, 1).index(3, ":2"), [0.023452797066128163, 0.017517349270490302])
  })
})

describe("einsum", () => {
  test("agrees with PyTorch", () => {
    const x = count(2, 2, 2)
    expect(list(einsum("bij,bjk->bik", x, x))).toEqual([
      [
        [2, 3],
        [6, 11],
      ],
      [
        [46, 55],
        [66, 79],
      ],
    ])
    expect(list(einsum("iij->ji", x))).toEqual([
      [0, 6],
      [1, 7],
    ])
    expect(einsum("aB", zeros(2, 3)).shape).toEqual([3, 2])
  })
  test("names the operand and the index", () => {
    const [a, b] = [zeros(2, 3), zeros(4, 5)]
    expect(() => einsum("ij,jk->ik", a, b)).toThrow(
      new ShapeError('einsum: index "j" has size 3 in operand 0 and 4 in operand 1'),
    )
    expect(() => einsum("ijk->i", a)).toThrow(
      new ShapeError('einsum: operand 0 ("ijk") has the shape [2, 3], expected 3 dims'),
    )
    expect(() => einsum("ii", a)).toThrow(
      new ShapeError('einsum: index "i" is repeated in operand 0 with sizes 2 and 3'),
    )
    expect(() => einsum("ij->ik", a)).toThrow(
      new ValueError('einsum: index "k" of the output is in no operand of "ij->ik"'),
    )
    expect(() => einsum("ij->ii", a)).toThrow(ValueError)
    expect(() => einsum("ij", a, b)).toThrow(new ValueError('einsum: "ij" names 1 operands, got 2 tensors'))
    expect(() => einsum("i1", a)).toThrow(ValueError)
    expect(() => einsum("ij,ij", a, a.to("float64"))).toThrow(DTypeError)
  })
})
