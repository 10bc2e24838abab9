// Rows that were looked up are multiplied as rows of their table: with the results and gradients of all other rows.
import { CpuJs } from "@rondo/backend-cpu-js"
import { shapeText } from "@rondo/backend"
import fc from "fast-check"
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import {
  capture,
  embedding,
  grad,
  gradcheck,
  gradgradcheck,
  linear,
  noGrad,
  observers,
  randn,
  scope,
  Tensor,
  tensor,
  uncaptured,
  use,
} from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

const float64 = { dtype: "float64", requiresGrad: true } as const
const ids = (values: readonly number[]): Tensor => tensor([...values], { dtype: "int32" })
const apart = (a: Tensor, b: Tensor): number => (a.shape.includes(0) ? 0 : a.sub(b).abs().max().itemSync())

/** Shapes of the products that ran, as texts. */
let products: string[] = []
const observe: Parameters<typeof observers.add>[0] = ({ kind }, _, [out]) => {
  if (kind === "matmul") products.push(shapeText(out.shape))
}
beforeEach(() => {
  products = []
  observers.add(observe)
})
afterEach(() => void observers.delete(observe))

const table = () => randn(4, 16, float64)
const weight = () => randn(3, 16, float64)
const bias = () => randn(3, float64)
const twelve = [0, 3, 1, 1, 0, 3, 3, 0, 1, 0, 0, 1]

/** Gradients of a table, a weight and a bias from `linear` of rows as `look` gives them. */
function gradients(look: (table: Tensor) => Tensor, leaves: readonly Tensor[]): Tensor[] {
  const [rows, w, b] = leaves
  const out = linear(look(rows), w, b)
  const factors = tensor(
    Float64Array.from({ length: out.shape.reduce((n, s) => n * s, 1) }, (_, i) => Math.sin(i)),
  ).reshape(out.shape)
  return grad(out.mul(factors).sum(), leaves) as Tensor[]
}

describe("rows of a table", () => {
  it("have the products and gradients of rows that came from elsewhere", () => {
    const looks = {
      whole: (x: Tensor) => x,
      turned: (x: Tensor) => x.transpose(0, 1),
      narrowed: (x: Tensor) => x.narrow(1, 1, x.shape[1] - 1),
      stepped: (x: Tensor) => x.slice(0, null, null, 2),
      flat: (x: Tensor) => x.reshape(-1, x.shape[2]),
      expanded: (x: Tensor) => x.unsqueeze(0).expand(3, ...x.shape),
    }
    fc.assert(
      fc.property(
        fc.record({
          rows: fc.integer({ min: 1, max: 5 }),
          width: fc.integer({ min: 15, max: 20 }),
          outputs: fc.integer({ min: 0, max: 4 }),
          time: fc.integer({ min: 2, max: 9 }),
          batch: fc.integer({ min: 1, max: 5 }),
          padding: fc.option(fc.integer({ min: 0, max: 4 })),
          hasBias: fc.boolean(),
          dtype: fc.constantFrom("int32", "int64"),
          look: fc.constantFrom(...(Object.keys(looks) as (keyof typeof looks)[])),
          form: fc.constantFrom("embedding", "indexSelect", "turned index"),
          seed: fc.nat(),
        }),
        ({ rows, width, outputs, time, batch, padding, hasBias, dtype, look, form, seed }) => {
          const index = tensor(
            Int32Array.from(
              { length: time * batch },
              (_, i) => Math.floor(Math.abs(Math.sin(seed + i * i)) * rows) % rows,
            ),
          ).to(dtype as "int32")
          const leaves = [
            randn(rows, width, float64),
            randn(outputs, width, float64),
            ...(hasBias ? [randn(outputs, float64)] : []),
          ]
          const paddingIdx = padding === null ? null : padding % rows
          const find = (from: Tensor): Tensor => {
            if (form === "embedding") return embedding(from, index.reshape(time, batch), { paddingIdx })
            if (form === "indexSelect") return from.indexSelect(0, index).reshape(time, batch, width)
            return embedding(from, index.reshape(batch, time).transpose(0, 1), { paddingIdx })
          }
          const got = gradients((from) => looks[look](find(from)), leaves)
          // A copy knows nothing of where it came from.
          const expected = gradients((from) => looks[look](find(from).clone()), leaves)
          got.forEach((g, i) => expect(apart(g, expected[i])).toBeLessThan(1e-12))
          const [from, w, b] = leaves
          noGrad(() => {
            const x = looks[look](find(from))
            expect(apart(linear(x, w, b), linear(x.clone(), w, b))).toBeLessThan(1e-13)
          })
        },
      ),
      { numRuns: 200 },
    )
  })
  it("are multiplied once each, forward and backward", () => {
    gradients((from) => embedding(from, ids(twelve)), [table(), weight(), bias()])
    expect(products).toEqual(["[4, 3]", "[3, 16]", "[4, 16]"])
  })
  it("are multiplied as they are where the table is large, narrow or of 16 bits", () => {
    for (const [rows, width, dtype] of [
      [7, 16, "float32"],
      [4, 15, "float32"],
      [4, 16, "float16"],
    ] as const) {
      products = []
      linear(embedding(randn(rows, width, { dtype }), ids(twelve)), randn(3, width, { dtype }))
      expect(products).toEqual(["[12, 3]"])
    }
  })
})

describe("gradients of the rows themselves", () => {
  const setting = () => {
    const leaves = [table(), weight(), bias()] as const
    const x = embedding(leaves[0], ids(twelve))
    const copy = embedding(leaves[0], ids(twelve)).clone()
    return {
      leaves,
      x,
      y: linear(x, leaves[1], leaves[2]),
      expected: grad(linear(copy, leaves[1], leaves[2]).square().sum(), [copy, ...leaves]) as Tensor[],
    }
  }
  it("reach those who ask for them", () => {
    const { leaves, x, y, expected } = setting()
    const got = grad(y.square().sum(), [x, ...leaves]) as Tensor[]
    got.forEach((g, i) => expect(apart(g, expected[i])).toBeLessThan(1e-12))
  })
  it("are kept by retainGrad", () => {
    const { leaves, x, y, expected } = setting()
    x.retainGrad()
    y.square().sum().backward()
    ;[x, ...leaves].forEach((leaf, i) => expect(apart(leaf.grad as Tensor, expected[i])).toBeLessThan(1e-12))
  })
  it("pass hooks, which may change them, until the hooks are removed", () => {
    const { leaves, x, y, expected } = setting()
    const hook = x.registerHook((g) => g.mul(2))
    const gradient = (): Tensor => grad(y.square().sum(), leaves[0], { retainGraph: true })[0] as Tensor
    expect(apart(gradient(), expected[1].mul(2))).toBeLessThan(1e-12)
    hook.remove()
    expect(apart(gradient(), expected[1])).toBeLessThan(1e-12)
  })
  it("pass hooks on windows between", () => {
    const rows = table()
    const turned = embedding(rows, ids(twelve).reshape(3, 4)).transpose(0, 1)
    const seen: Tensor[] = []
    turned.registerHook((g) => void seen.push(g))
    linear(turned, weight()).sum().backward()
    expect(seen[0].shape).toEqual([4, 3, 16])
    expect(rows.grad?.shape).toEqual([4, 16])
  })
  it("add up with those of other users", () => {
    const [rows, w] = [table(), weight()]
    const run = (x: Tensor) => grad(linear(x, w).square().sum().add(x.pow(3).sum()), [rows, w]) as Tensor[]
    const expected = run(embedding(rows, ids(twelve)).clone())
    run(embedding(rows, ids(twelve))).forEach((g, i) => expect(apart(g, expected[i])).toBeLessThan(1e-12))
  })
  it("do not come from rows that nobody asked for, whatever lies there", () => {
    const [rows, w, b] = [table(), weight(), bias()]
    noGrad(() => rows.select(0, 2).fill_(NaN))
    const gradientOf = (x: Tensor) => grad(linear(x, w, b).square().sum(), [rows, w, b]) as Tensor[]
    const expected = gradientOf(embedding(rows, ids(twelve)).clone())
    gradientOf(embedding(rows, ids(twelve))).forEach((g, i) => expect(apart(g, expected[i])).toBeLessThan(1e-12))
  })
  it("come after the end of a scope around the forward", () => {
    const [rows, w, b] = [table(), weight(), bias()]
    const x = embedding(rows, ids(twelve))
    const y = scope(() => linear(x, w, b))
    const expected = grad(linear(x.clone(), w, b).square().sum(), [rows, w, b], { retainGraph: true }) as Tensor[]
    const got = grad(y.square().sum(), [rows, w, b]) as Tensor[]
    got.forEach((g, i) => expect(apart(g, expected[i])).toBeLessThan(1e-12))
  })
  it("end where the rows were detached", () => {
    const [rows, w] = [table(), weight()]
    const x = embedding(rows, ids(twelve)).detach()
    expect(linear(x, w.detach()).requiresGrad).toBe(false)
    linear(x, w).sum().backward()
    expect(rows.grad).toBeNull()
    expect(w.grad?.shape).toEqual([3, 16])
    const leaf = embedding(rows, ids(twelve)).detach().requiresGrad_()
    linear(leaf, w).sum().backward()
    expect(rows.grad).toBeNull()
    expect(leaf.grad?.shape).toEqual([12, 16])
  })
  it("come without a gradient of the weight, and of a frozen table none", () => {
    const [rows, w, b] = [table(), weight(), bias()]
    const expected = grad(
      linear(embedding(rows, ids(twelve)).clone(), w, b)
        .square()
        .sum(),
      [rows, w, b],
    ) as Tensor[]
    const run = (...leaves: Tensor[]) => {
      linear(embedding(leaves[0], ids(twelve)), leaves[1], leaves[2])
        .square()
        .sum()
        .backward()
      return leaves.map((leaf) => leaf.grad)
    }
    ;[0, 1, 2].forEach((frozen) => {
      const leaves = [rows, w, b].map((x, i) =>
        x
          .detach()
          .clone()
          .requiresGrad_(i !== frozen),
      )
      run(...leaves).forEach((g, i) => {
        if (i === frozen) expect(g).toBeNull()
        else expect(apart(g as Tensor, expected[i])).toBeLessThan(1e-12)
      })
    })
  })
  it("have gradients themselves", async () => {
    const index = ids(twelve)
    const f = (...[rows, w, b]: Tensor[]) => linear(embedding(rows, index), w, b).tanh()
    const small = () => [randn(4, 16, float64), randn(2, 16, float64), randn(2, float64)]
    expect(await gradcheck(f, small())).toBe(true)
    expect(await gradgradcheck(f, small())).toBe(true)
  })
})

describe("what changed after the lookup", () => {
  const plain = (x: Tensor, w: Tensor) => linear(x.clone(), w)
  it.each(["table", "index", "rows"])("is noticed: %s", (what) => {
    const [rows, w, index] = [randn(4, 16), randn(3, 16), ids(twelve)]
    const x = embedding(rows, index)
    const changed = { table: rows, index, rows: x }[what] as Tensor
    changed.zero_()
    expect(apart(linear(x, w), plain(x, w))).toBe(0)
    expect(products[0]).toBe("[12, 3]")
  })
  it("is noticed between forward and backward, where PyTorch needs the rows alone", () => {
    const [rows, w] = [table(), weight()]
    const x = embedding(rows, ids(twelve))
    const loss = linear(x, w).square().sum()
    const expected = grad(plain(x, w).square().sum(), [rows, w], { retainGraph: true }) as Tensor[]
    noGrad(() => rows.mul_(2))
    ;(grad(loss, [rows, w]) as Tensor[]).forEach((g, i) => expect(apart(g, expected[i])).toBeLessThan(1e-12))
  })
  it("is noticed if it was freed", () => {
    const w = randn(3, 16)
    const [kept, freed] = [ids(twelve), ids(twelve)]
    const x = embedding(randn(4, 16), freed)
    freed.dispose()
    expect(linear(x, w).shape).toEqual([12, 3])
    const inside = scope(() => embedding(randn(4, 16), kept))
    expect(apart(linear(inside, w), plain(inside, w))).toBe(0)
  })
  it("is noticed if the table moved to other memory", () => {
    const [rows, w] = [randn(4, 16), randn(3, 16)]
    const x = embedding(rows, ids(twelve))
    rows.rehome(randn(4, 16))
    expect(apart(linear(x, w), plain(x, w))).toBe(0)
  })
  it("is noticed if the table was a gradient that a replay overwrote", () => {
    const [rows, w] = [table(), randn(3, 16, { dtype: "float64" })]
    const factor = randn(4, 16, { dtype: "float64" })
    const step = capture(() => {
      rows.grad = null
      rows.mul(factor).sum().backward()
    })
    for (let i = 0; i < 3; i++) step()
    const x = embedding(rows.grad as Tensor, ids(twelve))
    factor.mul_(2)
    step()
    expect(apart(linear(x, w), plain(x, w))).toBe(0)
  })
  it("is noticed by a captured step that began after the lookup", () => {
    const [rows, w, index] = [randn(4, 16), randn(3, 16), ids(twelve)]
    const x = embedding(rows, index)
    let y = w
    const step = capture(() => {
      y = linear(x, w)
      return y
    })
    for (let i = 0; i < 4; i++) {
      x.add_(1)
      expect(apart(step(), plain(x, w))).toBeLessThan(1e-5)
    }
  })
  it("is noticed by a captured step, though an uncaptured part changes it at some calls only", () => {
    const [rows, w, index] = [table(), weight(), ids(twelve)]
    let factor = 1
    const step = capture(() => {
      const x = embedding(rows, index)
      uncaptured(() => factor !== 1 && noGrad(() => rows.mul_(factor)))
      return linear(x, w)
    })
    for (factor of [1, 1, 2, 3]) {
      const expected = plain(embedding(rows, index), w)
      expect(apart(step(), expected)).toBeLessThan(1e-12)
    }
  })
  it("is followed by a captured step", () => {
    const [rows, w, index] = [randn(4, 16, { requiresGrad: true }), randn(3, 16, { requiresGrad: true }), ids(twelve)]
    const loss = (look: (x: Tensor) => Tensor) =>
      linear(look(embedding(rows, index)), w)
        .square()
        .mean()
    const step = capture(() => {
      rows.grad = w.grad = null
      const value = loss((x) => x)
      value.backward()
      uncaptured(() => noGrad(() => [rows, w].forEach((x) => x.sub_((x.grad as Tensor).mul(0.1)))))
      return value
    })
    for (let i = 0; i < 5; i++) {
      index.copy_(index.add(1).remainder(4))
      const expected = loss((x) => x.clone()).itemSync()
      expect(step().itemSync()).toBeCloseTo(expected, 5)
    }
  })
})

describe("what is held", () => {
  it("is no recording", () => {
    const [rows, index] = [table(), ids(twelve)]
    const step = capture(() => embedding(rows, index))
    step()
    expect(step().handle.origin).toBeNull()
  })
  const thirtyTwo = Array.from({ length: 32 }, (_, i) => i % 8)
  it("is no graph: not by rows that were detached from it", () => {
    const computed = table().mul(2)
    expect(embedding(computed, ids(twelve)).detach().handle.origin).toBeNull()
  })
  it("is no chain of memory that was looked up, window after window", () => {
    const index = ids(thirtyTwo)
    let rows = randn(32, 16)
    for (let i = 0; i < 4; i++) rows = rows.narrow(0, 0, 8).indexSelect(0, index)
    expect(rows.handle.origin).toBeNull()
    expect(embedding(randn(8, 16), index).handle.origin).not.toBeNull()
  })
})
