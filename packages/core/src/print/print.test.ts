// Printing against what PyTorch and NumPy printed (goldens/print.json, written by conformance/goldens/print.py), and
// what those cannot say: options, int64 beyond doubles, bad input.
import { DTypeError, ShapeError, ValueError, type DType } from "@rondo/backend"
import { afterEach, describe, expect, test } from "vitest"

import golden from "../goldens/print.json" with { type: "json" }
import { formatNumpy, formatTensor, getPrintOptions, setPrintOptions, type PrintSettings } from "./index.js"

interface Case {
  data: (number | string)[] | { start: number; step: number; count: number }
  shape: number[]
  dtype: string
  text: string
  options?: Record<string, unknown>
  suffix?: { device?: string; requiresGrad?: boolean; gradFn?: string }
}

function elements({ data, dtype }: Case): ArrayLike<number> | BigInt64Array {
  const list = Array.isArray(data) ? data : Array.from({ length: data.count }, (_, i) => data.start + data.step * i)
  if (dtype === "int64") return BigInt64Array.from(list, BigInt)
  const words: Record<string, number> = { nan: NaN, inf: Infinity, "-inf": -Infinity, "-0.0": -0 }
  return list.map((value) => (typeof value === "string" ? words[value] : value))
}

function settings(options: Record<string, unknown> = {}): PrintSettings {
  return { ...options, ...(options.threshold === "Infinity" ? { threshold: Infinity } : {}) }
}

const title = (c: Case, i: number): string =>
  `${i}: ${c.dtype} [${c.shape.join(", ")}] ${JSON.stringify(c.data).slice(0, 50)} ${JSON.stringify(c.options ?? {})}`

afterEach(() => setPrintOptions({ profile: "default" }))

describe("formatTensor prints what PyTorch prints", () => {
  const cases = golden.torch as Case[]
  test("there are cases", () => expect(cases.length).toBeGreaterThan(250))
  test.each(cases.map((c, i) => [title(c, i), c] as const))("%s", (_, c) => {
    const text = formatTensor(elements(c), c.shape, c.dtype as DType, settings(c.options), c.suffix)
    expect(text).toBe(c.text)
  })
})

describe("formatNumpy prints what NumPy prints", () => {
  const cases = golden.numpy as Case[]
  test("there are cases", () => expect(cases.length).toBeGreaterThan(250))
  test.each(cases.map((c, i) => [title(c, i), c] as const))("%s", (_, c) => {
    expect(formatNumpy(elements(c), c.shape, c.dtype as DType)).toBe(c.text)
  })
})

describe("options", () => {
  test("start as PyTorch's", () => {
    const expected = { precision: 4, threshold: 1000, edgeitems: 3, linewidth: 80, sciMode: undefined }
    expect(getPrintOptions()).toEqual(expected)
  })

  test("stay in force until changed; single options win over the profile", () => {
    setPrintOptions({ profile: "short", precision: 3 })
    expect(getPrintOptions()).toMatchObject({ precision: 3, edgeitems: 2 })
    expect(formatTensor([0.5], [1], "float32")).toBe("tensor([0.500])")
    setPrintOptions({ linewidth: 100 })
    expect(getPrintOptions()).toMatchObject({ precision: 3, edgeitems: 2, linewidth: 100 })
  })

  test("sciMode returns to automatic when a call leaves it out, as in PyTorch", () => {
    setPrintOptions({ sciMode: true })
    expect(formatTensor([0.5], [1], "float32")).toBe("tensor([5.0000e-01])")
    setPrintOptions({ precision: 2 })
    expect(formatTensor([0.5], [1], "float32")).toBe("tensor([0.50])")
  })

  test("a single call's options are not stored", () => {
    formatTensor([0.5], [1], "float32", { precision: 9 })
    expect(getPrintOptions().precision).toBe(4)
  })

  test("the returned options are a copy", () => {
    getPrintOptions().precision = 1
    expect(getPrintOptions().precision).toBe(4)
  })

  test.each([
    [{ precision: -1 }],
    [{ precision: 1.5 }],
    [{ threshold: NaN }],
    [{ edgeitems: 0 }],
    [{ linewidth: 0 }],
    [{ sciMode: "yes" }],
    [{ profile: "tiny" }],
    [{ presicion: 3 }],
  ])("%j is refused and changes nothing", (bad) => {
    expect(() => setPrintOptions(bad as PrintSettings)).toThrow(ValueError)
    expect(() => formatTensor([1], [1], "float32", bad as PrintSettings)).toThrow(ValueError)
    expect(getPrintOptions()).toEqual({
      precision: 4,
      threshold: 1000,
      edgeitems: 3,
      linewidth: 80,
      sciMode: undefined,
    })
  })
})

describe("bad input", () => {
  test("data must fill the shape", () => {
    expect(() => formatTensor([1, 2, 3], [2, 2], "float32")).toThrow(ShapeError)
    expect(() => formatTensor([1, 2, 3], [2, 2], "float32")).toThrow("got 3 elements, expected 4 for [2, 2]")
    expect(() => formatNumpy([1], [], "float32")).not.toThrow()
    expect(() => formatNumpy([], [], "float32")).toThrow(ShapeError)
  })

  test("NumPy has no bfloat16", () => {
    expect(() => formatNumpy([1], [1], "bfloat16")).toThrow(DTypeError)
  })
})
