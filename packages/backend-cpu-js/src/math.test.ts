// Tests of floating point operators against C's libm (goldens/math.json), in float64 and float32.
import { e, type Expr, type Operator } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import goldens from "./goldens/math.json"
import { backend, emptyView, randomFrom, valuesOf, viewOf } from "./testing.js"

const table = goldens as Record<string, string[][]>
const words = new DataView(new ArrayBuffer(8))

function double(hex: string): number {
  words.setBigUint64(0, BigInt(`0x${hex}`))
  return words.getFloat64(0)
}

/** A double's place among all doubles: neighbours differ by one. */
function rank(x: number): bigint {
  words.setFloat64(0, x)
  const bits = words.getBigInt64(0)
  return bits < 0n ? -(bits & 0x7fffffffffffffffn) : bits
}

const distance = (a: number, b: number): number => (Object.is(a, b) ? 0 : Math.abs(Number(rank(a) - rank(b))))

/** Applies an operator to columns of operands. */
function apply(op: string, dtype: "float32" | "float64", columns: number[][]): number[] {
  const views = columns.map((column) => viewOf(dtype, [column.length], column))
  const args = columns.map((_, i) => e.input(i, dtype))
  const out = emptyView(dtype, [columns[0].length], "contiguous", randomFrom(1))
  backend.run({ kind: "map", exprs: [(e[op as Operator] as (...x: Expr[]) => Expr)(...args)] }, views, [out])
  return valuesOf(out) as number[]
}

// V8 and glibc may differ in the last bits of transcendental functions; what is exact in C must be exact here.
const exact = ["sqrt", "floor", "ceil", "round", "trunc", "mod"]
const allowed = (op: string): number => (exact.includes(op) ? 0 : op === "erf" ? 1 : 2)

describe("operators on floats agree with C", () => {
  it("covers every float operator that C has", () => {
    expect(Object.keys(table)).toHaveLength(25)
  })

  for (const [op, rows] of Object.entries(table)) {
    const columns = rows[0].map((_, c) => rows.map((row) => double(row[c])))
    const expected = columns.pop()!

    it(`${op} in float64`, () => {
      const got = apply(op, "float64", columns)
      const wrong = got.flatMap((y, i) => {
        const ok = Number.isNaN(expected[i]) ? Number.isNaN(y) : distance(y, expected[i]) <= allowed(op)
        return ok ? [] : [{ x: columns.map((column) => column[i]), got: y, expected: expected[i] }]
      })
      expect(wrong).toEqual([])
    })

    it(`${op} in float32`, () => {
      // Where the operands are float32 already, the golden value is the exact one: at most one float32 away.
      const got = apply(op, "float32", columns)
      const wrong = got.flatMap((y, i) => {
        const operands = columns.map((column) => column[i])
        if (!operands.every((x) => Object.is(Math.fround(x), x))) return []
        const want = Math.fround(expected[i])
        const ok = Number.isNaN(want)
          ? Number.isNaN(y)
          : Object.is(y, want) || Math.abs(y - want) <= 2 ** -23 * Math.abs(want)
        return ok ? [] : [{ x: operands, got: y, expected: want }]
      })
      expect(wrong).toEqual([])
    })
  }

  it("keeps the sign of zero", () => {
    for (const op of [
      "sqrt",
      "sin",
      "tan",
      "atan",
      "sinh",
      "tanh",
      "expm1",
      "log1p",
      "erf",
      "floor",
      "round",
      "trunc",
    ]) {
      expect(apply(op, "float64", [[-0]]), op).toEqual([-0])
      expect(apply(op, "float32", [[-0]]), op).toEqual([-0])
    }
    expect(apply("neg", "float64", [[0, -0]])).toEqual([-0, 0])
    expect(apply("abs", "float64", [[-0, -2, -Infinity, NaN]])).toEqual([0, 2, Infinity, NaN])
  })
})

describe("arithmetic on floats", () => {
  it("is IEEE's", () => {
    const x = [1, -1, 0, Infinity, Infinity, NaN, 0.1, 1e308]
    const y = [0, 0, 0, Infinity, -Infinity, 1, 0.2, 1e308]
    expect(apply("add", "float64", [x, y])).toEqual([1, -1, 0, Infinity, NaN, NaN, 0.30000000000000004, Infinity])
    expect(apply("sub", "float64", [x, y])).toEqual([1, -1, 0, NaN, Infinity, NaN, -0.1, 0])
    expect(apply("mul", "float64", [x, y])).toEqual([
      0,
      -0,
      0,
      Infinity,
      -Infinity,
      NaN,
      0.020000000000000004,
      Infinity,
    ])
    expect(apply("div", "float64", [x, y])).toEqual([Infinity, -Infinity, NaN, NaN, NaN, NaN, 0.5, 1])
  })

  it("hands NaN on through max and min", () => {
    const [x, y] = [[NaN, 1, 3, -Infinity], [1, NaN, 2, Infinity]] // prettier-ignore
    for (const dtype of ["float32", "float64"] as const) {
      expect(apply("max", dtype, [x, y])).toEqual([NaN, NaN, 3, Infinity])
      expect(apply("min", dtype, [x, y])).toEqual([NaN, NaN, 2, -Infinity])
    }
  })
})

describe("tanh in float32", () => {
  it("is within one unit in the last place of the double result everywhere", () => {
    const random = randomFrom(3)
    const x = Array.from({ length: 200_000 }, (_, i) => {
      const sign = i % 2 === 0 ? 1 : -1
      return Math.fround(sign * (i % 3 === 0 ? random() * 12 : 2 ** (random() * 40 - 35)))
    })
    const got = apply("tanh", "float32", [x])
    const worst = Math.max(
      ...Array.from({ length: 100 }, (_, chunk) =>
        Math.max(
          ...got.slice(chunk * 2000, chunk * 2000 + 2000).map((y, i) => {
            const want = Math.tanh(x[chunk * 2000 + i])
            return Math.abs(y - want) / 2 ** (Math.floor(Math.log2(Math.abs(want))) - 23)
          }),
        ),
      ),
    )
    expect(worst).toBeLessThanOrEqual(1)
  })
})
