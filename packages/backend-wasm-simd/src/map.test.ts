// Maps on every pattern of strides and every operator, against the reference.
import { CpuJs } from "@rondo/backend-cpu-js"
import { describe, expect, it } from "vitest"
import {
  anyUnary,
  arithmetic,
  type Backend,
  bitwise,
  comparison,
  type DType,
  e,
  type Expr,
  floatUnary,
  hostArray,
  hostView,
  isFloat,
  type MapKernel,
  type View,
} from "@rondo/backend"
import { WasmSimd } from "./backend.js"
import { laneDTypes } from "./lanes.js"

const backends: readonly Backend[] = [new CpuJs(), new WasmSimd(), new WasmSimd({ relaxed: false })]

/** Values with zeros, signs, ties and, for floats, infinities and NaN. */
function values(dtype: DType, count: number, seed: number): ArrayBufferView {
  const data = hostArray(dtype, count)
  let state = seed
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    const special = [0, 1, -1, 0.5, 2, Infinity, -Infinity, NaN, -0, 2.5][state % 40]
    const plain = ((state >> 8) % 2000) / 250 - 4
    if (dtype === "bool") data[i] = (state >> 9) & 1
    else if (isFloat(dtype)) data[i] = special ?? plain
    else data[i] = Math.round(plain * 10)
  }
  return data
}

interface Layout {
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset?: number
}

/** Runs a map on one backend and returns all bytes of its outputs' storages as elements. */
function outcome(
  backend: Backend,
  exprs: readonly Expr[],
  dtypes: readonly DType[],
  layouts: readonly Layout[],
  out: Layout,
  scalars: readonly number[],
) {
  const make = (dtype: DType, layout: Layout, seed: number): View => {
    const count = 400
    const data = values(dtype, count, seed)
    const storage = backend.alloc(data.byteLength)
    backend.write(storage, data)
    return { storage, dtype, shape: layout.shape, strides: layout.strides, offset: layout.offset ?? 0 }
  }
  const inputs = dtypes.map((dtype, i) => make(dtype, layouts[i], 7 + i))
  const outputs = exprs.map(({ dtype }) => make(dtype, out, 99))
  const kernel: MapKernel = { kind: "map", exprs }
  backend.run(kernel, inputs, outputs, scalars)
  const result = outputs.map(({ storage, dtype }) =>
    Array.from(hostView(dtype, backend.readSync!(storage, 0, storage.bytes)) as Float64Array),
  )
  for (const { storage } of [...inputs, ...outputs]) backend.free(storage)
  return result
}

function compare(
  exprs: readonly Expr[],
  dtypes: readonly DType[],
  layouts: readonly Layout[],
  out: Layout,
  scalars: readonly number[] = [],
) {
  const [expected, ...others] = backends.map((b) => outcome(b, exprs, dtypes, layouts, out, scalars))
  for (const got of others) {
    got.forEach((list, o) =>
      list.forEach((x, i) => {
        const y = expected[o][i]
        const close = Object.is(x, y) || x === y || Math.abs(x - y) <= 1e-6 * Math.abs(y)
        if (!close) expect.fail(`output ${o} at ${i}: got ${x}, expected ${y}`)
      }),
    )
  }
}

const flat = (n: number, offset = 0): Layout => ({ shape: [n], strides: [1], offset })

describe("every operator", () => {
  for (const dtype of laneDTypes) {
    const [x, y] = [e.input(0, dtype), e.input(1, dtype)]
    const unary = [...floatUnary.filter(() => isFloat(dtype)), ...anyUnary]
    for (const op of unary) {
      if ((op === "not") === isFloat(dtype) || (dtype === "bool" && op !== "not")) continue
      it(`${op} of ${dtype}`, () => compare([e[op](x)], [dtype], [flat(391, 3)], flat(391)))
    }
    for (const op of [...arithmetic, ...bitwise, ...comparison]) {
      let expr: Expr
      try {
        expr = e[op](x, y)
      } catch {
        continue
      }
      it(`${op} of ${dtype}`, () => compare([expr], [dtype, dtype], [flat(391), flat(391, 5)], flat(391, 2)))
    }
    for (const to of laneDTypes) {
      if (isFloat(dtype) && !isFloat(to) && to !== "bool") {
        const finite = e.where(e.lt(e.abs(x), e.like(x, 1e9)), x, e.like(x, 3))
        const positive = to === "uint8" ? e.abs(finite) : finite
        it(`${dtype} to ${to}`, () => compare([e.cast(positive, to)], [dtype], [flat(391)], flat(391)))
      } else it(`${dtype} to ${to}`, () => compare([e.cast(x, to)], [dtype], [flat(391)], flat(391)))
    }
    it(`where of ${dtype}`, () =>
      compare([e.where(e.input(2, "bool"), x, y)], [dtype, dtype, "bool"], [flat(77), flat(77), flat(77, 1)], flat(77)))
    it(`scalars and constants of ${dtype}`, () =>
      compare([e.where(e.eq(x, e.const(1, dtype)), e.scalar(1, dtype), x)], [dtype], [flat(77)], flat(77), [5, 1]))
  }
})

describe("every pattern of strides", () => {
  const layouts: Record<string, Layout> = {
    contiguous: { shape: [5, 7, 3], strides: [21, 3, 1] },
    "row for all": { shape: [5, 7, 3], strides: [0, 0, 1] },
    "column for all": { shape: [5, 7, 3], strides: [7, 1, 0] },
    "one for all": { shape: [5, 7, 3], strides: [0, 0, 0] },
    transposed: { shape: [5, 7, 3], strides: [1, 5, 35] },
    reversed: { shape: [5, 7, 3], strides: [-21, -3, -1], offset: 104 },
    spread: { shape: [5, 7, 3], strides: [70, 9, 2], offset: 4 },
  }
  for (const dtype of laneDTypes) {
    const [x, y] = [e.input(0, dtype), e.input(1, dtype)]
    const expr = dtype === "bool" ? e.xor(x, y) : e.add(x, y)
    for (const [a, first] of Object.entries(layouts)) {
      for (const [b, second] of Object.entries(layouts)) {
        for (const out of ["contiguous", "transposed", "reversed", "spread"]) {
          it(`${dtype}: ${a} with ${b} into ${out}`, () =>
            compare([expr], [dtype, dtype], [first, second], layouts[out]))
        }
      }
    }
  }
  for (let n = 0; n <= 37; n++) {
    it(`${n} elements touch nothing beyond`, () => {
      const x = e.input(0, "float32")
      compare([e.mul(x, x), e.gt(x, e.like(x, 0))], ["float32"], [flat(n, 1)], flat(n, 3))
    })
  }
  for (const dtype of laneDTypes) {
    it(`copies of rows of two ${dtype}`, () => {
      const swapped: Layout = { shape: [5, 7, 2], strides: [2, 10, 1], offset: 3 }
      compare([e.input(0, dtype)], [dtype], [swapped], { shape: [5, 7, 2], strides: [14, 2, 1], offset: 1 })
      compare([e.input(0, dtype)], [dtype], [swapped], { shape: [5, 7, 2], strides: [21, 3, 1] })
    })
  }
})
