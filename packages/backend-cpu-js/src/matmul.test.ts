// Tests of the matmul kernel against plain loops: sizes around the tiles, transposes, batches, bias, epilogue, dtypes.
import { type DType, e, type MatmulKernel, type View } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import {
  backend,
  emptyView,
  expanded,
  fillView,
  type Layout,
  layouts,
  randomFrom,
  randomView,
  rounded,
  type Value,
  valuesOf,
  viewOf,
} from "./testing.js"

const random = randomFrom(9)
const anyLayout = (): Layout => layouts[Math.floor(random() * layouts.length)]

/** Row-major a[m, k] @ b[k, n] in double (or BigInt), for one batch after another. */
function naive(batches: number, m: number, k: number, n: number, a: Value[], b: Value[], dtype: DType): Value[] {
  const out: Value[] = []
  for (let z = 0; z < batches; z++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum: Value = dtype === "int64" ? 0n : 0
        for (let p = 0; p < k; p++) {
          const x = a[(z * m + i) * k + p]
          const y = b[(z * k + p) * n + j]
          if (dtype === "int64") sum = (sum as bigint) + (x as bigint) * (y as bigint)
          else sum = (sum as number) + Number(x) * Number(y)
        }
        out.push(sum)
      }
    }
  }
  return out
}

function check(got: Value[], expected: Value[], dtype: DType, k: number, note: string): void {
  if (!dtype.includes("float")) return expect(got, note).toEqual(expected.map((x) => rounded(dtype, x)))
  const unit = { float64: 2 ** -52, float32: 2 ** -23, float16: 2 ** -10, bfloat16: 2 ** -7 }[dtype as "float64"]
  expect(got.length, note).toBe(expected.length)
  got.forEach((x, i) => {
    const y = Number(expected[i])
    // Only float64 sums see their order; the others are rounded once.
    const slack = dtype === "float64" ? 16 * k * unit : unit * Math.abs(y) + 1e-12
    if (!(Math.abs(Number(x) - y) <= slack)) expect.fail(`${note}: element ${i}: ${x} and ${y}`)
  })
}

const transposed = (view: View): View => {
  const last = view.shape.length - 1
  const swap = (list: readonly number[]) => [...list.slice(0, -2), list[last], list[last - 1]]
  return { ...view, shape: swap(view.shape), strides: swap(view.strides) }
}

const sizes: [number, number, number][] = [
  [1, 1, 1], [5, 5, 5], [1, 7, 9], [9, 7, 1], [1, 300, 1], [3, 0, 2], [0, 3, 2], [2, 3, 0], [8, 8, 8], [10, 1000, 10],
  [33, 34, 35], [40, 40, 40], [64, 64, 64], [129, 33, 70], [12, 300, 20], [130, 513, 9], [9, 260, 300], [1000, 2, 10],
] // prettier-ignore

describe("floats", () => {
  for (const [m, k, n] of sizes) {
    it(`[${m}, ${k}] @ [${k}, ${n}] in every layout`, () => {
      for (const dtype of ["float32", "float64"] as const) {
        for (const flip of ["nn", "nt", "tn", "tt", "any"]) {
          const shapeA = flip[0] === "t" ? [k, m] : [m, k]
          const shapeB = flip[1] === "t" ? [n, k] : [k, n]
          const layout = () => (flip === "any" ? anyLayout() : "contiguous")
          const a = randomView(dtype, shapeA, layout(), random).view
          const b = randomView(dtype, shapeB, layout(), random).view
          const [left, right] = [flip[0] === "t" ? transposed(a) : a, flip[1] === "t" ? transposed(b) : b]
          const out = emptyView(dtype, [m, n], layout(), random)
          backend.run({ kind: "matmul" }, [left, right], [out])
          const expected = naive(1, m, k, n, valuesOf(left), valuesOf(right), dtype)
          check(valuesOf(out), expected, dtype, k, `${dtype} ${flip}`)
        }
      }
    })
  }

  it("rounds float32 sums once", () => {
    const a = viewOf("float32", [1, 3], [2 ** 24, 1, 1])
    const b = viewOf("float32", [3, 1], [1, 1, 1])
    const out = emptyView("float32", [1, 1], "contiguous", random)
    backend.run({ kind: "matmul" }, [a, b], [out])
    expect(valuesOf(out)).toEqual([2 ** 24 + 2])
  })

  it("does not let padding turn infinities or NaN of one row into those of others", () => {
    const n = 37
    const a = randomView("float32", [n, n], "contiguous", random)
    const b = randomView("float32", [n, n], "contiguous", random)
    const values = a.values.slice()
    values[5 * n + 3] = Infinity
    values[6 * n + 3] = NaN
    fillView(a.view, values)
    const out = emptyView("float32", [n, n], "contiguous", random)
    backend.run({ kind: "matmul" }, [a.view, b.view], [out])
    const odd = valuesOf(out).flatMap((x, i) => (Number.isFinite(Number(x)) ? [] : [Math.floor(i / n)]))
    expect(odd).toEqual([...Array(n).fill(5), ...Array(n).fill(6)])
  })
})

describe("other dtypes", () => {
  for (const dtype of ["int32", "int64", "uint8", "float16", "bfloat16"] as const) {
    it(dtype, () => {
      for (const [m, k, n] of [
        [3, 4, 5],
        [1, 1, 1],
        [40, 33, 41],
        [2, 0, 2],
      ]) {
        const a = randomView(dtype, [m, k], anyLayout(), random)
        const b = randomView(dtype, [k, n], anyLayout(), random)
        const out = emptyView(dtype, [m, n], anyLayout(), random)
        backend.run({ kind: "matmul" }, [a.view, b.view], [out])
        check(valuesOf(out), naive(1, m, k, n, a.values, b.values, dtype), dtype, k, `${m} ${k} ${n}`)
      }
    })
  }

  it("wrap integers", () => {
    const a = viewOf("int32", [1, 2], [2 ** 30, 2 ** 30])
    const b = viewOf("int32", [2, 1], [3, 3])
    const out = emptyView("int32", [1, 1], "contiguous", random)
    backend.run({ kind: "matmul" }, [a, b], [out])
    expect(valuesOf(out)).toEqual([(6 * 2 ** 30) | 0])
  })

  it("write wider or narrower than they read", () => {
    const a = viewOf("bfloat16", [1, 2], [1.5, 2])
    const b = viewOf("bfloat16", [2, 1], [1.5, 0.0078125])
    const wide = emptyView("float32", [1, 1], "contiguous", random)
    backend.run({ kind: "matmul" }, [a, b], [wide])
    expect(valuesOf(wide)).toEqual([2.265625])
  })
})

describe("batches", () => {
  const [m, k, n] = [5, 6, 7]

  it("of any rank, broadcast on either side, in every layout", () => {
    for (const dtype of ["float32", "int32"] as const) {
      for (const batch of [[3], [2, 3], [2, 1, 2], [0], [1]]) {
        const count = batch.reduce((x, y) => x * y, 1)
        for (const layout of layouts) {
          for (const shared of ["none", "a", "b"]) {
            const one = batch.map(() => 1)
            const a = randomView(dtype, [...(shared === "a" ? one : batch), m, k], layout, random).view
            const b = randomView(dtype, [...(shared === "b" ? one : batch), k, n], layout, random).view
            const [left, right] = [expanded(a, [...batch, m, k]), expanded(b, [...batch, k, n])]
            const out = emptyView(dtype, [...batch, m, n], anyLayout(), random)
            backend.run({ kind: "matmul" }, [left, right], [out])
            const expected = naive(count, m, k, n, valuesOf(left), valuesOf(right), dtype)
            check(valuesOf(out), expected, dtype, k, `${dtype} [${batch}] ${layout} ${shared}`)
          }
        }
      }
    }
  })
})

describe("bias, accumulation, epilogue", () => {
  const run = (kernel: MatmulKernel, dtype: DType, batch: number[], mkn: readonly [number, number, number]) => {
    const [m, k, n] = mkn
    const a = randomView(dtype, [...batch, m, k], anyLayout(), random)
    const b = randomView(dtype, [...batch, k, n], anyLayout(), random)
    const bias = randomView(dtype, [n], anyLayout(), random)
    const gate = randomView(dtype, [...batch, m, n], anyLayout(), random)
    const out = randomView(dtype, [...batch, m, n], anyLayout(), random)
    const inputs = [a.view, b.view]
    if (kernel.bias) inputs.push(expanded(bias.view, [...batch, m, n]))
    if (kernel.epilogue) inputs.push(gate.view)
    backend.run(kernel, inputs, [out.view], [2])
    const count = batch.reduce((x, y) => x * y, 1)
    const expected = naive(count, m, k, n, a.values, b.values, dtype).map((x, i) => {
      let y = Number(x)
      if (kernel.bias) y += Number(bias.values[i % n])
      if (kernel.accumulate) y += Number(out.values[i])
      return kernel.epilogue ? Math.max(Number(rounded(dtype, y)) * Number(gate.values[i]), -2) : y
    })
    check(valuesOf(out.view), expected, dtype, k + 4, `${dtype} [${batch}] [${mkn}] ${Object.keys(kernel)}`)
  }

  it("combine in every way, small and large", () => {
    for (const dtype of ["float32", "float64", "int32"] as const) {
      const value = e.input(0, dtype)
      const epilogue = e.max(e.mul(value, e.input(1, dtype)), e.neg(e.scalar(0, dtype)))
      for (const mkn of [
        [4, 3, 5],
        [34, 33, 35],
        [130, 9, 33],
      ] as const) {
        for (const batch of [[], [3]]) {
          for (let bits = 1; bits < 8; bits++) {
            const kernel = { kind: "matmul", bias: !!(bits & 1), accumulate: !!(bits & 2), epilogue: bits & 4 ? epilogue : undefined } as const // prettier-ignore
            run(kernel, dtype, batch, mkn)
          }
        }
      }
    }
  })

  it("change the dtype in the epilogue", () => {
    const a = viewOf("float32", [2, 1], [1, 2])
    const b = viewOf("float32", [1, 2], [1.5, 3])
    const out = emptyView("bool", [2, 2], "flipped", random)
    const above = e.gt(e.input(0, "float32"), e.const(2, "float32"))
    backend.run({ kind: "matmul", epilogue: above }, [a, b], [out])
    expect(valuesOf(out)).toEqual([0, 1, 1, 1])
  })

  it("work for 16-bit floats", () => {
    const a = viewOf("float16", [2, 2], [1, 2, 3, 4], "stepped", random)
    const bias = expanded(viewOf("float16", [2], [0.5, -0.5]), [2, 2])
    const out = viewOf("float16", [2, 2], [10, 20, 30, 40], "permuted", random)
    const epilogue = e.neg(e.input(0, "float16"))
    backend.run({ kind: "matmul", bias: true, accumulate: true, epilogue }, [a, a, bias], [out])
    expect(valuesOf(out)).toEqual([-17.5, -29.5, -45.5, -61.5])
  })

  it("may write over an operand", () => {
    // 260 takes several blocks in every dim: later ones read what earlier ones have written, unless that is kept apart.
    for (const n of [3, 40, 260]) {
      const a = randomView("float32", [n, n], "contiguous", random)
      const b = randomView("float32", [n, n], "contiguous", random)
      const expected = naive(1, n, n, n, a.values, b.values, "float32")
      backend.run({ kind: "matmul" }, [a.view, b.view], [b.view])
      check(valuesOf(b.view), expected, "float32", n, "over b")
      const c = randomView("float32", [n, n], "contiguous", random)
      const old = c.values
      const scaled = e.mul(e.input(0, "float32"), e.input(1, "float32"))
      backend.run({ kind: "matmul", epilogue: scaled }, [a.view, a.view, c.view], [c.view])
      const product = naive(1, n, n, n, a.values, a.values, "float32").map((x, i) => Number(x) * Number(old[i]))
      valuesOf(c.view).forEach((x, i) => expect(Number(x)).toBeCloseTo(product[i], 2))
    }
  })
})
