// Tests of kernels as cache keys.
import { describe, expect, it } from "vitest"
import { e } from "./expr.js"
import { type Kernel, kernelKey, kernelKinds, kernels } from "./kernel.js"

const x = e.input(0, "float32")
const y = e.input(1, "float32")

describe("kernelKey", () => {
  // Every pair must differ: a key that misses a field would run the wrong code.
  const different: Kernel[] = [
    { kind: "map", exprs: [e.add(x, y)] },
    { kind: "map", exprs: [e.sub(x, y)] },
    { kind: "map", exprs: [e.add(x, y), x] },
    { kind: "reduce", op: "sum", dims: [0], expr: x },
    { kind: "reduce", op: "sum", dims: [1], expr: x },
    { kind: "reduce", op: "sum", dims: [0, 1], expr: x },
    { kind: "reduce", op: "prod", dims: [0], expr: x },
    { kind: "reduce", op: "sum", dims: [0], expr: e.input(0, "float64") },
    { kind: "matmul" },
    { kind: "matmul", bias: true },
    { kind: "matmul", accumulate: true },
    { kind: "matmul", bias: true, accumulate: true },
    { kind: "matmul", epilogue: e.tanh(x) },
    { kind: "matmul", bias: true, epilogue: e.tanh(x) },
    { kind: "gather", dim: 0 },
    { kind: "gather", dim: 1 },
    { kind: "scatter", dim: 0, mode: "add" },
    { kind: "scatter", dim: 0, mode: "replace" },
    { kind: "scan", op: "sum", dim: 0 },
    { kind: "scan", op: "max", dim: 0 },
    { kind: "scan", op: "sum", dim: 1 },
    { kind: "scan", op: "sum", dim: 0, reverse: true },
    { kind: "sort", descending: false },
    { kind: "sort", descending: true },
    { kind: "recurrent", cell: "lstm", bias: true, reverse: false, save: false },
    { kind: "recurrent", cell: "lstm", bias: true, reverse: false, save: true },
    { kind: "recurrent", cell: "lstm", bias: true, reverse: true, save: false },
    { kind: "recurrent", cell: "lstm", bias: false, reverse: false, save: false },
    { kind: "recurrent", cell: "gru", bias: true, reverse: false, save: false },
    { kind: "recurrentBackward", cell: "gru", reverse: false },
    { kind: "recurrentBackward", cell: "gru", reverse: true },
    { kind: "recurrentBackward", cell: "tanh", reverse: false },
  ]

  it("differs for different kernels", () => {
    const keys = different.map(kernelKey)
    expect(new Set(keys).size).toBe(different.length)
    expect(new Set(different.map((kernel) => kernel.kind))).toEqual(new Set(kernelKinds))
  })

  it("is equal for equal kernels that were built apart", () => {
    for (const kernel of different) expect(kernelKey(structuredClone(kernel))).toBe(kernelKey(kernel))
    expect(kernelKey({ kind: "matmul", bias: false })).toBe(kernelKey({ kind: "matmul" }))
  })
})

describe("kernels", () => {
  it("copy without a cast where none is needed", () => {
    expect(kernels.copy("int64", "int64").exprs).toEqual([e.input(0, "int64")])
    expect(kernels.copy("float16", "float32").exprs).toEqual([e.cast(e.input(0, "float16"), "float32")])
  })

  it("fill with scalar 0", () => {
    expect(kernels.fill("bool").exprs).toEqual([e.scalar(0, "bool")])
  })
})
