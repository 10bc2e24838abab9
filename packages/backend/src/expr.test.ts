// Tests of the expression builders and of the program that renderers walk.
import { describe, expect, it } from "vitest"
import type { DType } from "./dtype.js"
import { DTypeError } from "./errors.js"
import { anyUnary, arithmetic, bitwise, comparison, e, floatUnary, operators } from "./expr.js"
import { program, render, type Target } from "./render.js"

const x = e.input(0, "float32")
const y = e.input(1, "float32")
const k = e.input(0, "int32")
const b = e.input(0, "bool")

describe("builders", () => {
  it("cover every operator once", () => {
    expect(new Set(operators).size).toBe(operators.length)
    for (const op of operators) expect(typeof e[op], op).toBe("function")
  })

  it("type their results", () => {
    for (const op of floatUnary) expect(e[op](x)).toEqual({ kind: "op", op, args: [x], dtype: "float32" })
    for (const op of arithmetic) expect(e[op](x, y).dtype).toBe("float32")
    for (const op of comparison) expect(e[op](k, k).dtype).toBe("bool")
    for (const op of bitwise) expect(e[op](k, k).dtype).toBe("int32")
    expect(e.where(b, k, k).dtype).toBe("int32")
    expect(e.like(k, 3)).toEqual({ kind: "const", value: 3, dtype: "int32" })
    expect(e.cast(x, "float32")).toBe(x)
    expect(e.cast(x, "bool").dtype).toBe("bool")
  })

  it("refuse operands that do not fit, saying why", () => {
    for (const op of floatUnary) expect(() => e[op](k), op).toThrow(DTypeError)
    for (const op of bitwise) expect(() => e[op](x, y), op).toThrow(DTypeError)
    for (const op of [...arithmetic, ...comparison]) expect(() => e[op](x, k), op).toThrow(DTypeError)
    for (const op of anyUnary) expect(() => e[op](op === "not" ? x : b), op).toThrow(DTypeError)
    expect(() => e.add(x, k)).toThrow("add: operands differ in dtype: float32 and int32")
    expect(() => e.tanh(k)).toThrow("tanh: needs a float operand, got int32")
    expect(() => e.atan2(k, k)).toThrow("atan2: needs float operands, got int32")
    expect(() => e.where(k, x, y)).toThrow("where: condition must be bool, got int32")
    expect(() => e.where(b, x, k)).toThrow("where: operands differ in dtype: float32 and int32")
  })
})

describe("program", () => {
  it("puts operands first and equal values once, whoever built them", () => {
    const twice = [e.mul(e.add(x, y), e.add(e.input(0, "float32"), e.input(1, "float32")))]
    const { nodes, outputs, uses } = program(twice)
    expect(nodes.map((node) => node.kind)).toEqual(["input", "input", "op", "op"])
    expect(nodes[3]).toEqual({ kind: "op", op: "mul", args: [2, 2], dtype: "float32", from: "float32" })
    expect([outputs, uses]).toEqual([[3], [1, 1, 2, 1]])
  })

  it("tells apart dtypes, signed zeros, NaN, scalars and constants", () => {
    const different = [
      e.const(0, "float32"), e.const(-0, "float32"), e.const(NaN, "float32"), e.const(Infinity, "float32"),
      e.const(0, "int32"), e.scalar(0, "float32"), e.input(0, "float32"), e.input(0, "float64"), e.cast(x, "float64"),
    ] // prettier-ignore
    expect(new Set(different.map((expr) => program([expr]).key)).size).toBe(different.length)
    expect(program(different).outputs).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  })

  it("has equal keys for equal expressions only", () => {
    const key = program([e.sub(x, y), x]).key
    expect(program([e.sub(e.input(0, "float32"), e.input(1, "float32")), e.input(0, "float32")]).key).toBe(key)
    expect(program([e.sub(y, x), x]).key).not.toBe(key)
    expect(program([e.sub(x, y), y]).key).not.toBe(key)
    expect(program([e.sub(x, y)]).key).not.toBe(key)
  })

  it("remembers the dtype of operands where the result's differs", () => {
    const { nodes } = program([e.where(e.lt(x, y), e.cast(x, "int32"), k)])
    const ops = nodes.filter((node) => node.kind === "op")
    expect(ops.map(({ op, from, dtype }) => [op, from, dtype])).toEqual([
      ["lt", "float32", "bool"],
      ["where", "int32", "int32"],
    ])
    expect(nodes.find((node) => node.kind === "cast")).toMatchObject({ from: "float32", dtype: "int32" })
  })

  it("survives a long chain", () => {
    let sum = x
    for (let i = 0; i < 1000; i++) sum = e.add(sum, y)
    expect(program([sum]).nodes.length).toBe(1002)
  })
})

describe("render", () => {
  const text = (shared: string[]): Target<string> => ({
    input: (index) => `x${index}`,
    scalar: (index) => `s${index}`,
    const: (value) => String(value),
    cast: (arg, from, to) => `${from}->${to}(${arg})`,
    op: (op, args, from, dtype: DType) => `${op}${from === dtype ? "" : `:${from}`}(${args.join(", ")})`,
    share: (value, dtype, position) => {
      shared.push(`${dtype} t${position} = ${value}`)
      return `t${position}`
    },
  })

  it("prints nested calls and names what is read twice, once", () => {
    const shared: string[] = []
    const t = e.tanh(x)
    const out = render([e.sub(e.like(t, 1), e.mul(t, t)), e.where(e.gt(t, e.scalar(0, "float32")), t, x)], text(shared))
    expect(shared).toEqual(["float32 t2 = tanh(x0)"])
    expect(out).toEqual(["sub(1, mul(t2, t2))", "where(gt:float32(t2, s0), t2, x0)"])
  })

  it("repeats values where the target does not share, and never shares leaves", () => {
    const { share: _, ...plain } = text([])
    const t = e.cast(x, "int32")
    expect(render([e.mul(t, t)], plain)).toEqual(["mul(float32->int32(x0), float32->int32(x0))"])
    const shared: string[] = []
    expect(render([e.add(x, x)], text(shared))).toEqual(["add(x0, x0)"])
    expect(shared).toEqual([])
  })
})
