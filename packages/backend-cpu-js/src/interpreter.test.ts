// Tests of whole expressions: fused, shared, many outputs, written over their inputs; and random ones against JavaScript.
import { type DType, e, type Expr, render, roundHalfEven, type Target, type View } from "@rondo/backend"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { backend, emptyView, layouts, randomFrom, randomView, valuesOf, viewOf } from "./testing.js"

const random = randomFrom(11)
const f = (index: number, dtype: DType = "float32") => e.input(index, dtype)
const sizes = [1, 3, 1024, 1025, 5000]

describe("outputs over inputs", () => {
  it("updates in place", () => {
    for (const n of sizes) {
      for (const layout of layouts) {
        const { view, values } = randomView("float32", [n], layout, random)
        backend.run({ kind: "map", exprs: [e.add(e.mul(f(0), f(0)), f(0))] }, [view], [view])
        expect(valuesOf(view)).toEqual(values.map((x) => Math.fround(Math.fround(Number(x) * Number(x)) + Number(x))))
      }
    }
  })

  it("swaps two tensors", () => {
    for (const n of sizes) {
      for (const dtype of ["float32", "float16", "int64"] as const) {
        const a = randomView(dtype, [n], "contiguous", random)
        const b = randomView(dtype, [n], "stepped", random)
        backend.run({ kind: "map", exprs: [f(1, dtype), f(0, dtype)] }, [a.view, b.view], [a.view, b.view])
        expect([valuesOf(a.view), valuesOf(b.view)]).toEqual([b.values, a.values])
      }
    }
  })

  it("reads all inputs of a block before it writes any output", () => {
    // As an optimiser does it: new momentum and new parameter from the old ones, each written over itself.
    const momentum = e.add(e.mul(f(1), e.scalar(0, "float32")), f(2))
    const exprs = [e.add(f(0), f(1)), momentum, e.sub(f(0), e.mul(f(1), f(2)))]
    for (const n of sizes) {
      const views = [0, 1, 2].map(() => randomView("float32", [n], "contiguous", random))
      const [p, m, g] = views.map(({ values }) => values.map(Number))
      const inputs = views.map(({ view }) => view)
      backend.run({ kind: "map", exprs }, inputs, inputs, [0.5])
      expect(valuesOf(inputs[0])).toEqual(p.map((x, i) => Math.fround(x + m[i])))
      expect(valuesOf(inputs[1])).toEqual(p.map((_, i) => Math.fround(Math.fround(m[i] * 0.5) + g[i])))
      expect(valuesOf(inputs[2])).toEqual(p.map((x, i) => Math.fround(x - Math.fround(m[i] * g[i]))))
    }
  })

  it("writes one value to several outputs of several kinds", () => {
    for (const n of sizes) {
      const x = randomView("float32", [n], "contiguous", random)
      const t = e.mul(f(0), f(0))
      const outputs = [
        emptyView("float32", [n], "contiguous", random),
        emptyView("float32", [n], "stepped", random),
        emptyView("float32", [n], "contiguous", random),
        emptyView("bfloat16", [n], "flipped", random),
      ]
      backend.run({ kind: "map", exprs: [t, t, e.neg(t), e.cast(t, "bfloat16")] }, [x.view], outputs)
      const [first, second, third, fourth] = outputs.map(valuesOf)
      const square = x.values.map((v) => Math.fround(Number(v) ** 2))
      expect(first).toEqual(square)
      expect(second).toEqual(square)
      expect(third).toEqual(square.map((v) => -v))
      fourth.forEach((v, i) => expect(Math.abs(Number(v) - square[i])).toBeLessThanOrEqual(square[i] / 256))
    }
  })

  it("keeps no hold on the views of the last run", () => {
    const kernel = { kind: "map", exprs: [e.add(f(0), f(1))] } as const
    for (const n of [2000, 3, 1500]) {
      const a = randomView("float32", [n], "contiguous", random)
      const b = randomView("float32", [n], n === 3 ? "stepped" : "contiguous", random)
      const out = emptyView("float32", [n], n === 3 ? "flipped" : "contiguous", random)
      backend.run(kernel, [a.view, b.view], [out])
      expect(valuesOf(out)).toEqual(a.values.map((x, i) => Math.fround(Number(x) + Number(b.values[i]))))
    }
  })
})

/** JavaScript source of an expression on float64, int32 and bool. Test only: shipped code never builds functions from text. */
const javascript = (lines: string[]): Target<string> => ({
  input: (index) => `x[${index}]`,
  scalar: (index, dtype) => (dtype === "int32" ? `(s[${index}] | 0)` : `s[${index}]`),
  const: (value, dtype) => (dtype === "int32" ? `(${value} | 0)` : Object.is(value, -0) ? "-0" : `(${value})`),
  cast: (arg, _, to) => (to === "bool" ? `(${arg} !== 0 ? 1 : 0)` : to === "int32" ? `(${arg} | 0)` : arg),
  op(op, args, from) {
    const [a, b, c] = args
    const infix: Record<string, string> = { eq: "===", ne: "!==", lt: "<", le: "<=", gt: ">", ge: ">=" }
    if (op in infix) return `(${a} ${infix[op]} ${b} ? 1 : 0)`
    const signs: Record<string, string> = {
      add: "+",
      sub: "-",
      div: "/",
      mul: "*",
      mod: "%",
      and: "&",
      or: "|",
      xor: "^",
    }
    if (op === "mul" && from === "int32") return `Math.imul(${a}, ${b})`
    if (op in signs) return from === "int32" ? `((${a} ${signs[op]} ${b}) | 0)` : `(${a} ${signs[op]} ${b})`
    if (op === "where") return `(${a} ? ${b} : ${c})`
    if (op === "neg") return from === "int32" ? `(-(${a}) | 0)` : `(-(${a}))`
    if (op === "not") return from === "bool" ? `(${a} ? 0 : 1)` : `(~${a})`
    if (op === "round") return `round(${a})`
    return from === "int32" ? `(Math.${op}(${args.join(", ")}) | 0)` : `Math.${op}(${args.join(", ")})`
  },
  share(value, _, position) {
    lines.push(`const t${position} = ${value}`)
    return `t${position}`
  },
})

/** Random expressions over two float64 inputs, an int32 input and a bool input; sub-expressions are shared at random. */
const expressions = fc.letrec<{ real: Expr; whole: Expr; truth: Expr }>((tie) => {
  const deep = { depthIdentifier: "expression", maxDepth: 6 }
  const [real, whole, truth] = [tie("real"), tie("whole"), tie("truth")]
  const odd = fc.constantFrom(NaN, Infinity, -Infinity, -0, 0, 1, 0.5, -2.5, 1e-300, 3)
  const twice = (arb: fc.Arbitrary<Expr>, build: (x: Expr) => Expr) => arb.map(build)
  return {
    real: fc.oneof(
      deep,
      fc.constantFrom(f(0, "float64"), f(1, "float64"), e.scalar(0, "float64")),
      odd.map((value) => e.const(value, "float64")),
      fc.tuple(fc.constantFrom("neg", "abs", "sqrt", "exp", "tanh", "floor", "round", "trunc", "log1p"), real).map(([op, x]) => e[op as "neg"](x)), // prettier-ignore
      fc.tuple(fc.constantFrom("add", "sub", "mul", "div", "mod", "max", "min", "atan2"), real, real).map(([op, x, y]) => e[op as "add"](x, y)), // prettier-ignore
      fc.tuple(truth, real, real).map(([c, x, y]) => e.where(c, x, y)),
      twice(real, (x) => e.mul(x, e.sub(x, e.like(x, 1)))),
      whole.map((x) => e.cast(x, "float64")),
      truth.map((x) => e.cast(x, "float64")),
    ),
    whole: fc.oneof(
      deep,
      fc.constantFrom(f(2, "int32"), e.scalar(1, "int32"), e.const(7, "int32")),
      fc.tuple(fc.constantFrom("add", "sub", "mul", "div", "mod", "max", "min", "and", "or", "xor"), whole, whole).map(([op, x, y]) => e[op as "add"](x, y)), // prettier-ignore
      fc.tuple(fc.constantFrom("neg", "abs", "not"), whole).map(([op, x]) => e[op as "neg"](x)),
      twice(whole, (x) => e.add(e.mul(x, x), x)),
      fc.tuple(truth, whole, whole).map(([c, x, y]) => e.where(c, x, y)),
      real.map((x) => e.cast(x, "int32")),
    ),
    truth: fc.oneof(
      deep,
      fc.constantFrom(f(3, "bool"), e.const(1, "bool")),
      fc
        .tuple(fc.constantFrom("eq", "ne", "lt", "le", "gt", "ge"), real, real)
        .map(([op, x, y]) => e[op as "lt"](x, y)),
      fc.tuple(fc.constantFrom("and", "or", "xor"), truth, truth).map(([op, x, y]) => e[op as "and"](x, y)),
      truth.map((x) => e.not(x)),
      whole.map((x) => e.cast(x, "bool")),
    ),
  }
})

describe("random expressions", () => {
  const special = [0, -0, 1, -1.5, 2.5, NaN, Infinity, -Infinity, 1e300, 5e-324]
  const columns: number[][] = [
    special,
    special.slice().reverse(),
    [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 7, -7, 12345, 3, 2],
    [0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
  ]
  const kinds: DType[] = ["float64", "float64", "int32", "bool"]
  const inputs: View[] = columns.map((column, i) => viewOf(kinds[i], [column.length], column))

  it("equal the same expressions as JavaScript source", () => {
    fc.assert(
      fc.property(expressions.real, expressions.whole, expressions.truth, (real, whole, truth) => {
        const exprs = [real, whole, truth]
        const scalars = [0.75, -3]
        const lines: string[] = []
        const texts = render(exprs, javascript(lines))
        const source = `${lines.join("\n")}\nreturn [${texts.join(", ")}]`
        // eslint-disable-next-line no-restricted-syntax -- a test may; shipped code may not
        const compiled = new Function("x", "s", "round", source)
        const outputs = exprs.map((expr) => emptyView(expr.dtype, [special.length], "contiguous", random))
        backend.run({ kind: "map", exprs }, inputs, outputs, scalars)
        const got = outputs.map(valuesOf)
        special.forEach((_, i) => {
          const expected = compiled(columns.map((column) => column[i]), scalars, roundHalfEven) // prettier-ignore
          // Adding 0 makes the integers' -0 of JavaScript the 0 that it is.
          expect([got[0][i], got[1][i], got[2][i]], source).toEqual([expected[0], expected[1] + 0, expected[2]])
        })
      }),
      { numRuns: 500 },
    )
  })
})
