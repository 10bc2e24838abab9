// Tests of the map kernel against plain loops: operators, dtypes, layouts, fusion, casts, aliasing.
import { byteSize, type DType, dtypes, e, type Expr, kernels, type Operator, type View } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import {
  backend,
  emptyView,
  expanded,
  layouts,
  randomFrom,
  randomView,
  rounded,
  type Value,
  valuesOf,
  viewOf,
} from "./testing.js"

const random = randomFrom(7)
const f = (index: number, dtype: DType = "float32") => e.input(index, dtype)

/** Runs expressions and returns the row-major elements of every output. */
function evaluate(exprs: readonly Expr[], inputs: readonly View[], scalars: readonly number[] = []): Value[][] {
  const outputs = exprs.map((expr) => emptyView(expr.dtype, inputs[0].shape, "contiguous", random))
  backend.run({ kind: "map", exprs }, inputs, outputs, scalars)
  return outputs.map(valuesOf)
}

const list = (exprs: readonly Expr[], values: readonly (readonly Value[])[], dtype: DType): Value[] =>
  evaluate(exprs, values.map((v) => viewOf(dtype, [v.length], v)))[0] // prettier-ignore

describe("layouts", () => {
  const shapes = [[], [1], [5], [0, 3], [3, 4], [2, 1, 3], [7, 300], [3, 2, 2, 5], [1025], [2, 1024]]
  for (const dtype of dtypes) {
    it(`reads and writes every layout of ${dtype}`, () => {
      for (const shape of shapes) {
        for (const layout of layouts) {
          const a = randomView(dtype, shape, layout, random)
          const b = randomView(dtype, shape, layouts[Math.floor(random() * 5)], random)
          const out = emptyView(dtype, shape, layouts[Math.floor(random() * 5)], random)
          backend.run({ kind: "map", exprs: [e.max(f(0, dtype), f(1, dtype))] }, [a.view, b.view], [out])
          expect(valuesOf(out)).toEqual(a.values.map((x, i) => (x > b.values[i] ? x : b.values[i])))
        }
      }
    })

    it(`copies every layout of ${dtype} and nothing beside it`, () => {
      for (const shape of shapes) {
        for (const layout of layouts) {
          const a = randomView(dtype, shape, layout, random)
          const out = emptyView(dtype, shape, layouts[Math.floor(random() * 5)], random)
          backend.run(kernels.copy(dtype, dtype), [a.view], [out])
          expect(valuesOf(out)).toEqual(a.values)
          expect(strangers(out)).toBe(true)
        }
      }
    })
  }

  it("stretches inputs of stride 0", () => {
    const row = randomView("float32", [1, 700], "stepped", random)
    const column = randomView("float32", [3, 1], "flipped", random)
    const single = viewOf("float32", [], [0.5])
    const inputs = [row.view, column.view, single].map((view) => expanded(view, [3, 700]))
    const [got] = evaluate([e.add(e.mul(f(0), f(1)), f(2))], inputs)
    const expected = Array.from({ length: 2100 }, (_, i) => {
      const product = Math.fround(Number(row.values[i % 700]) * Number(column.values[Math.floor(i / 700)]))
      return Math.fround(product + 0.5)
    })
    expect(got).toEqual(expected)
  })

  it("stretches 16-bit inputs too", () => {
    const single = expanded(viewOf("float16", [1], [1.5]), [2000])
    expect(evaluate([e.cast(f(0, "float16"), "float32")], [single])[0]).toEqual(Array(2000).fill(1.5))
  })
})

/** True if all bytes outside the view still have the pattern that `emptyView` wrote. */
function strangers(view: View): boolean {
  const bytes = new Uint8Array(backend.readSync(view.storage, 0, view.storage.bytes))
  const size = byteSize(view.dtype)
  const clean = viewOf("uint8", [bytes.length], Array.from(bytes))
  backend.run(kernels.fill(view.dtype), [], [{ ...view, storage: clean.storage }], [0])
  const zeroed = new Uint8Array(backend.readSync(clean.storage, 0, bytes.length))
  let inside = 0
  for (let i = 0; i < bytes.length; i++) {
    if (zeroed[i] === 0) inside++
    else if (bytes[i] !== 0xa5) return false
  }
  return inside === view.shape.reduce((n, s) => n * s, 1) * size
}

describe("integers", () => {
  const run = (op: Operator, dtype: DType, ...args: Value[][]) =>
    list([(e[op] as (...x: Expr[]) => Expr)(...args.map((_, i) => f(i, dtype)))], args, dtype)

  it("wrap in int32", () => {
    const high = 2 ** 31 - 1
    expect(run("add", "int32", [high, -5], [1, 3])).toEqual([-(2 ** 31), -2])
    expect(run("sub", "int32", [-(2 ** 31)], [1])).toEqual([high])
    expect(run("mul", "int32", [123456789, high], [987654321, high])).toEqual([Math.imul(123456789, 987654321), 1])
    expect(run("neg", "int32", [-(2 ** 31), 4])).toEqual([-(2 ** 31), -4])
    expect(run("abs", "int32", [-(2 ** 31), -4])).toEqual([-(2 ** 31), 4])
    expect(run("pow", "int32", [3, 2, 2, -1, -1, 1, 2, 0, 7], [4, 31, 32, -3, -4, -9, -1, 0, 13])).toEqual([
      81, -(2 ** 31), 0, -1, 1, 1, 0, 1, 7 ** 13 % 2 ** 32 | 0,
    ]) // prettier-ignore
  })

  it("wrap in uint8", () => {
    expect(run("add", "uint8", [250], [10])).toEqual([4])
    expect(run("sub", "uint8", [3], [5])).toEqual([254])
    expect(run("mul", "uint8", [200], [200])).toEqual([64])
    expect(run("neg", "uint8", [1])).toEqual([255])
    expect(run("not", "uint8", [0b10100101])).toEqual([0b01011010])
    expect(run("shl", "uint8", [0b11, 1], [7, 8])).toEqual([128, 1])
    expect(run("shr", "uint8", [0x80], [7])).toEqual([1])
    expect(run("pow", "uint8", [3], [6])).toEqual([729 % 256])
  })

  it("wrap in int64", () => {
    const high = 2n ** 63n - 1n
    expect(run("add", "int64", [high], [1n])).toEqual([-(2n ** 63n)])
    expect(run("mul", "int64", [2n ** 40n + 1n], [2n ** 40n + 1n])).toEqual([BigInt.asIntN(64, (2n ** 40n + 1n) ** 2n)])
    expect(run("neg", "int64", [-(2n ** 63n)])).toEqual([-(2n ** 63n)])
    expect(run("abs", "int64", [-7n])).toEqual([7n])
    expect(run("not", "int64", [5n])).toEqual([-6n])
    expect(run("pow", "int64", [3n, 2n, 5n, -1n], [39n, 63n, -1n, -3n])).toEqual([3n ** 39n, -(2n ** 63n), 0n, -1n])
    expect(run("shl", "int64", [1n, 1n], [63n, 64n])).toEqual([-(2n ** 63n), 1n])
    expect(run("shr", "int64", [-8n], [1n])).toEqual([-4n])
  })

  it("divide as C does, and by zero without a crash", () => {
    const x = [7, -7, 7, -7, 5, 0]
    const y = [2, 2, -2, -2, 0, 0]
    expect(run("div", "int32", x, y)).toEqual([3, -3, -3, 3, 0, 0])
    expect(run("mod", "int32", x, y)).toEqual([1, -1, 1, -1, 0, 0])
    expect(run("div", "int64", x.map(BigInt), y.map(BigInt))).toEqual([3n, -3n, -3n, 3n, 0n, 0n])
    expect(run("mod", "int64", x.map(BigInt), y.map(BigInt))).toEqual([1n, -1n, 1n, -1n, 0n, 0n])
    expect(run("div", "int32", [-(2 ** 31)], [-1])).toEqual([-(2 ** 31)])
    expect(run("div", "uint8", [200, 9], [7, 0])).toEqual([28, 0])
  })

  it("have bitwise operators and shifts", () => {
    expect(run("and", "int32", [12, -1], [10, 7])).toEqual([8, 7])
    expect(run("or", "int32", [12], [10])).toEqual([14])
    expect(run("xor", "int32", [12], [10])).toEqual([6])
    expect(run("shl", "int32", [1, 1, 3], [4, 33, 31])).toEqual([16, 2, -(2 ** 31)])
    expect(run("shr", "int32", [-8, 8], [1, 2])).toEqual([-4, 2])
    expect(run("and", "int64", [12n], [10n])).toEqual([8n])
    expect(run("or", "int64", [12n], [10n])).toEqual([14n])
    expect(run("xor", "int64", [-1n], [10n])).toEqual([-11n])
  })

  it("read bool as logic", () => {
    const [x, y] = [[0, 0, 1, 1], [0, 1, 0, 1]] // prettier-ignore
    for (const op of ["add", "or", "max"] as const) expect(run(op, "bool", x, y), op).toEqual([0, 1, 1, 1])
    for (const op of ["mul", "and", "min"] as const) expect(run(op, "bool", x, y), op).toEqual([0, 0, 0, 1])
    for (const op of ["sub", "xor", "ne"] as const) expect(run(op, "bool", x, y), op).toEqual([0, 1, 1, 0])
    expect(run("not", "bool", x)).toEqual([1, 1, 0, 0])
    expect(() => run("div", "bool", x, y)).toThrow("div: is not defined for bool")
  })
})

describe("comparison and choice", () => {
  it("compare every dtype", () => {
    for (const dtype of dtypes) {
      const big = dtype === "int64"
      const [x, y] = [[0, 1, 1], [1, 1, 0]].map((v) => (big ? v.map(BigInt) : v)) // prettier-ignore
      const run = (op: Operator) =>
        list([(e[op] as (a: Expr, b: Expr) => Expr)(f(0, dtype), f(1, dtype))], [x, y], dtype)
      expect([run("eq"), run("ne"), run("lt"), run("le"), run("gt"), run("ge")], dtype).toEqual([
        [0, 1, 0], [1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1],
      ]) // prettier-ignore
    }
  })

  it("compare NaN as false, except under ne", () => {
    const run = (op: Operator) => list([(e[op] as (a: Expr, b: Expr) => Expr)(f(0), f(1))], [[NaN, 1, NaN], [1, NaN, NaN]], "float32") // prettier-ignore
    for (const op of ["eq", "lt", "le", "gt", "ge"] as const) expect(run(op), op).toEqual([0, 0, 0])
    expect(run("ne")).toEqual([1, 1, 1])
  })

  it("choose in every dtype", () => {
    for (const dtype of dtypes) {
      const condition = viewOf("bool", [4], [1, 0, 1, 0])
      const a = randomView(dtype, [4], "flipped", random)
      const b = randomView(dtype, [4], "stepped", random)
      const [got] = evaluate([e.where(f(0, "bool"), f(1, dtype), f(2, dtype))], [condition, a.view, b.view])
      expect(got, dtype).toEqual([a.values[0], b.values[1], a.values[2], b.values[3]])
    }
  })
})

describe("casts", () => {
  const tricky = [0, -0, 1, 2.5, -2.5, 0.99, -0.99, 255, 100.7, 65504, 1e-3]
  for (const from of dtypes) {
    it(`from ${from} to every dtype`, () => {
      const values = tricky.map((x) => {
        const whole = from === "bool" ? Number(x !== 0) : Math.trunc(x)
        if (from === "int64") return BigInt(whole)
        return rounded(from, ["bool", "uint8", "int32", "uint32"].includes(from) ? whole : x)
      })
      for (const to of dtypes) {
        const got = list([e.cast(f(0, from), to)], [values], from)
        const expected = values.map((x) => {
          if (from === to) return x
          const n = Number(x)
          if (to === "bool") return n !== 0 ? 1 : 0
          return to === "int64" ? BigInt(Math.trunc(n)) : rounded(to, n)
        })
        expect(got, `${from} to ${to}`).toEqual(expected)
      }
    })
  }

  it("never crash on NaN, infinities and numbers out of range", () => {
    const odd = [NaN, Infinity, -Infinity, 1e30, -1e30]
    expect(list([e.cast(f(0, "float64"), "int64")], [odd], "float64")).toHaveLength(5)
    expect(list([e.cast(f(0, "float64"), "int32")], [odd], "float64")[0]).toBe(0)
    expect(list([e.cast(f(0, "float64"), "bool")], [odd], "float64")).toEqual([1, 1, 1, 1, 1])
    expect(list([e.cast(f(0), "uint8")], [[-1, 256, 300.9]], "float32")).toEqual([255, 0, 44])
    expect(list([e.cast(f(0), "float16")], [[1e5, -1e5, 1e-9]], "float32")).toEqual([Infinity, -Infinity, 0])
  })

  it("round int64 to float32 once", () => {
    // 2^60 + 2^36 + 1 is just above the tie between two float32 neighbours; rounding to double first would lose the 1.
    const x = 2n ** 60n + 2n ** 36n + 1n
    const got = list([e.cast(f(0, "int64"), "float32")], [[x, -x, 2n ** 60n + 2n ** 36n, 7n]], "int64")
    expect(got).toEqual([2 ** 60 + 2 ** 37, -(2 ** 60 + 2 ** 37), 2 ** 60, 7])
  })

  it("wrap int64 into narrower integers", () => {
    expect(list([e.cast(f(0, "int64"), "int32")], [[2n ** 32n + 5n, -1n]], "int64")).toEqual([5, -1])
    expect(list([e.cast(f(0, "int64"), "uint8")], [[257n, -1n]], "int64")).toEqual([1, 255])
  })
})

describe("constants and scalars", () => {
  it("fill every dtype", () => {
    for (const dtype of dtypes) {
      for (const shape of [[], [3, 5], [0], [1500]]) {
        const out = emptyView(dtype, shape, "mixed", random)
        backend.run(kernels.fill(dtype), [], [out], [3.7])
        const expected = dtype === "bool" ? 1 : dtype === "int64" ? 3n : rounded(dtype, 3.7)
        expect(new Set(valuesOf(out))).toEqual(new Set(shape.includes(0) ? [] : [expected]))
      }
    }
  })

  it("are rounded to their dtype before use", () => {
    const x = viewOf("float32", [2], [0, 0])
    expect(evaluate([e.add(f(0), e.const(0.1, "float32"))], [x])[0]).toEqual(Array(2).fill(Math.fround(0.1)))
    expect(evaluate([e.cast(e.scalar(1, "int32"), "float32")], [x], [9, 3.9])[0]).toEqual([3, 3])
    const special = [NaN, Infinity, -Infinity, -0]
    const got = special.map((value) => evaluate([e.const(value, "float32")], [x])[0][0])
    expect(got).toEqual(special)
  })

  it("may change between runs of one kernel", () => {
    const kernel = { kind: "map", exprs: [e.mul(f(0), e.scalar(0, "float32"))] } as const
    const x = viewOf("float32", [3], [1, 2, 3])
    const out = emptyView("float32", [3], "contiguous", random)
    for (const scale of [2, -3]) {
      backend.run(kernel, [x], [out], [scale])
      expect(valuesOf(out)).toEqual([scale, 2 * scale, 3 * scale])
    }
  })
})

describe("rounding", () => {
  it("rounds float32 at every operator", () => {
    const third = Math.fround(1 / 3)
    const x = viewOf("float32", [1], [third])
    const got = evaluate([e.sub(e.mul(f(0), e.like(f(0), 3)), e.like(f(0), 1))], [x])[0][0]
    expect(got).toBe(Math.fround(Math.fround(third * 3) - 1))
    expect(got).not.toBe(Math.fround(third * 3 - 1))
  })

  it("rounds 16-bit floats at every operator that stays in them", () => {
    const x = viewOf("float16", [1], [2048])
    const one = e.const(1, "float16")
    expect(evaluate([e.sub(e.add(f(0, "float16"), one), f(0, "float16"))], [x])[0]).toEqual([0])
    const wide = e.cast(f(0, "float16"), "float32")
    expect(evaluate([e.cast(e.sub(e.add(wide, e.const(1, "float32")), wide), "float16")], [x])[0]).toEqual([1])
  })
})
