// Row gradients of sparse embeddings: where backward keeps rows, where it makes them whole, and bad input.
import { DTypeError, e, GradientError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeEach, describe, expect, test } from "vitest"
import { detectAnomaly, embedding, grad, ones, RowGradient, scope, type Tensor, tensor, use, zeros } from "./index.js"

let backend: CpuJs
beforeEach(() => {
  backend = new CpuJs({ track: true })
  use(backend)
})
const int = (values: number[] | number[][]): Tensor => tensor(values, { dtype: "int32" })
const table = (): Tensor => tensor([[1, 2], [3, 4], [5, 6], [7, 8]], { requiresGrad: true }) // prettier-ignore
/** A loss whose gradient differs in every place, and that of the dense form beside it. */
const loss = (w: Tensor, index: Tensor, options: object): Tensor => {
  const rows = embedding(w, index, options)
  return rows.mul(rows).mul(rows).sum()
}
const both = (index: Tensor, options = {}): [Tensor, Tensor] => {
  const [dense, sparse] = [table(), table()]
  loss(dense, index, options).backward()
  loss(sparse, index, { ...options, sparse: true }).backward()
  return [dense.grad as Tensor, sparse]
}

describe("backward", () => {
  test.each([
    ["repeated rows", [3, 1, 3, 3], {}],
    ["several dims", [[0, 2], [2, 0]], {}], // prettier-ignore
    ["one row", [2], {}],
    ["a padding row", [[1, 0], [1, 1]], { paddingIdx: 1 }], // prettier-ignore
    ["nothing but padding", [0, 0], { paddingIdx: -4 }],
    ["no row", [], {}],
  ])("gives the dense gradient as rows: %s", (_, indices, options) => {
    const [dense, sparse] = both(int(indices as number[]), options)
    expect(sparse.grad).toBeNull()
    const rows = sparse.rowGradient as RowGradient
    expect(rows.toDense().tolistSync()).toEqual(dense.tolistSync())
    expect(rows.coalesce().toDense().tolistSync()).toEqual(dense.tolistSync())
    expect(rows.values.shape).toEqual([rows.indices.shape[0], 2])
  })
  test("int64 indices count, and later changes of the index do not", () => {
    const [w, index] = [table(), tensor([1n, 1n])]
    embedding(w, index, { sparse: true }).sum().backward()
    index.zero_()
    expect(w.rowGradient?.indices.dtype).toBe("int32")
    expect(w.rowGradient?.toDense().tolistSync()).toEqual([[0, 0], [2, 2], [0, 0], [0, 0]]) // prettier-ignore
  })
  test("adds up over calls and paths, and outlives scopes", () => {
    const w = table()
    const sum = (index: number[]): Tensor => embedding(w, int(index), { sparse: true }).sum()
    scope(() => sum([0]).backward())
    scope(() =>
      sum([0, 3])
        .add(sum([3]))
        .backward(),
    )
    expect(w.rowGradient?.toDense().tolistSync()).toEqual([[2, 2], [0, 0], [0, 0], [2, 2]]) // prettier-ignore
    w.rowGradient = null
    expect(w.rowGradient).toBeNull()
  })
  test("is cleared and replaced through grad, as in PyTorch, where there is one of the two", () => {
    const w = table()
    const sparse = (): void => embedding(w, int([2]), { sparse: true }).sum().backward() // prettier-ignore
    sparse()
    w.grad = null
    expect(w.rowGradient).toBeNull()
    sparse()
    expect(w.rowGradient?.toDense().tolistSync()).toEqual([[0, 0], [0, 0], [1, 1], [0, 0]]) // prettier-ignore
    w.grad = w.detach().clone()
    expect(w.rowGradient).toBeNull()
  })
  test.each(["rows first", "whole first", "one pass"])("joins a whole gradient: %s", (order) => {
    const w = table()
    const sparse = (): Tensor => embedding(w, int([1, 1]), { sparse: true }).sum()
    const parts = order === "whole first" ? [w.sum(), sparse()] : [sparse(), w.sum()]
    if (order === "one pass") parts[0].add(parts[1]).backward()
    else for (const part of parts) part.backward()
    expect(w.rowGradient).toBeNull()
    expect(w.grad?.tolistSync()).toEqual([[1, 1], [3, 3], [1, 1], [1, 1]]) // prettier-ignore
  })
  test("is whole for grad(), hooks, results of operations and second derivatives", () => {
    const index = int([3, 1, 3])
    const [dense] = both(index)
    const w = table()
    expect(grad(loss(w, index, { sparse: true }), w)[0]?.tolistSync()).toEqual(dense.tolistSync())
    expect([w.grad, w.rowGradient]).toEqual([null, null])
    const hooked = table()
    const hook = hooked.registerHook((g) => g.mul(2))
    loss(hooked, index, { sparse: true }).backward()
    expect(hooked.grad?.tolistSync()).toEqual(dense.mul(2).tolistSync())
    hook.remove()
    hooked.grad = null
    loss(hooked, index, { sparse: true }).backward()
    expect(hooked.rowGradient?.toDense().tolistSync()).toEqual(dense.tolistSync())
    loss(w.mul(1), index, { sparse: true }).backward()
    expect(w.grad?.tolistSync()).toEqual(dense.tolistSync())
    const again = table()
    loss(again, index, { sparse: true }).backward({ createGraph: true })
    const [second] = grad((again.grad as Tensor).sum(), again)
    expect(second?.tolistSync()).toEqual([[0, 0], [18, 24], [0, 0], [84, 96]]) // prettier-ignore
  })
  test("finds NaN in anomaly mode", () => {
    const w = zeros(2, 1, { requiresGrad: true })
    const bad = (): void =>
      embedding(w, int([1]), { sparse: true })
        .sqrt()
        .mul(0)
        .sum()
        .backward()
    expect(() => detectAnomaly(bad)).toThrow(GradientError)
  })
  test("touches no memory of the table's size", () => {
    const w = zeros(100_000, 4, { requiresGrad: true })
    const bytes = 100_000 * 4 * 4
    const index = int([5, 99_999, 5])
    expect(backend.memory().peakBytes).toBeLessThan(1.01 * bytes)
    for (let pass = 0; pass < 2; pass++) embedding(w, index, { sparse: true }).sum().backward()
    w.rowGradient?.coalesce()
    w.rowGradient?.addTo(w, -1)
    w.rowGradient?.updateRows("step", [w], ([, g]) => [g])
    expect(backend.memory().peakBytes).toBeLessThan(1.01 * bytes)
    embedding(w, index).sum().backward()
    expect(backend.memory().peakBytes).toBeGreaterThan(1.9 * bytes)
  })
})

test("updateRows changes named rows only, each once and by its whole gradient", () => {
  const [a, b] = [zeros(4, 2), ones(4, 2)]
  const rows = new RowGradient([4, 2], int([3, 1, 3]), tensor([[1, 2], [3, 4], [5, 6]])) // prettier-ignore
  rows.updateRows("step", [a, b], ([x, g, y], [rate]) => [e.sub(x, e.mul(rate, g)), e.add(y, g)], [2])
  expect(a.tolistSync()).toEqual([[0, 0], [-6, -8], [0, 0], [-12, -16]]) // prettier-ignore
  expect(b.tolistSync()).toEqual([[1, 1], [4, 5], [1, 1], [7, 9]]) // prettier-ignore
  expect(() => rows.updateRows("step", [a, ones(4, 3)], ([x]) => [x])).toThrow(/step: a row gradient of \[4, 2\]/)
})

describe("bad input", () => {
  const rows = (): RowGradient => new RowGradient([4, 2], int([1, 1, 3]), ones(3, 2))
  test("is refused with names and shapes", () => {
    const make = (indices: Tensor, values: Tensor) => () => new RowGradient([4, 2], indices, values)
    expect(make(tensor([1]), ones(1, 2))).toThrow(DTypeError)
    expect(make(int([1]), ones(1, 3))).toThrow(/indices \[1\] and values \[1, 3\] for a table \[4, 2\]/)
    expect(make(int([1, 2]), ones(1, 2))).toThrow(ShapeError)
    expect(make(int([[1]]), ones(1, 2))).toThrow(ShapeError)
    expect(() => rows().addTo(zeros(3, 2))).toThrow(/addTo: a row gradient of \[4, 2\] does not fit \[3, 2\]/)
    expect(() => rows().addTo(zeros(4, 2, { dtype: "float64" }))).toThrow(DTypeError)
    expect(() => embedding(table(), int([0]), { sparse: true, scaleGradByFreq: true })).toThrow(ValueError)
  })
  test("steps count as changes in place", () => {
    const w = table()
    const saved = w.mul(w).sum()
    rows().addTo(w)
    expect(() => saved.backward()).toThrow(/changed in place/)
    expect(w.tolistSync()).toEqual([[1, 2], [5, 6], [5, 6], [8, 9]]) // prettier-ignore
  })
})
