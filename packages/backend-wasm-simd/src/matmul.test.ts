// Products of every dtype, shape and layout against the reference: strides, batches, bias, accumulation, epilogues.
import { CpuJs } from "@rondo/backend-cpu-js"
import { type Backend, type DType, e, hostArray, hostView, isFloat, type MatmulKernel, type View } from "@rondo/backend"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { WasmSimd } from "./backend.js"
import { closeDevices, devices, startDevices } from "./testing.js"

const reference = new CpuJs()
beforeAll(startDevices)
afterAll(closeDevices)

/** How a matrix lies: by rows, by columns, spread out, one row or element for all, or backwards. */
const layouts = ["rows", "columns", "spread", "row for all", "column for all", "reversed"] as const
type Layout = (typeof layouts)[number]

interface Placed {
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
  readonly elements: number
}

/** Strides of a batch of matrices, with elements in front and behind that belong to nobody. */
function place(shape: readonly number[], layout: Layout, shared = false): Placed {
  const [m, n] = shape.slice(-2)
  const own: Record<Layout, readonly [number, number]> = {
    rows: [n, 1],
    columns: [1, m],
    spread: [3 * n + 2, 3],
    "row for all": [0, 1],
    "column for all": [1, 0],
    reversed: [-n, -1],
  }
  const [row, column] = own[layout]
  const each = layout === "spread" ? m * (3 * n + 2) : m * n
  const batch: number[] = []
  let count = 1
  for (let d = shape.length - 3; d >= 0; d--) {
    batch.unshift(shared ? 0 : count * each)
    count *= shape[d]
  }
  const first = layout === "reversed" ? Math.max(0, m * n - 1) : 0
  return { shape, strides: [...batch, row, column], offset: 5 + first, elements: 5 + count * each + 9 }
}

/** Numbers whose products and sums float32 holds exactly, so that results do not depend on the order of adding. */
function values(dtype: DType, count: number, seed: number, divisor = 4): ArrayBufferView {
  const data = hostArray(dtype, count)
  let state = seed
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    data[i] = isFloat(dtype) ? ((state >> 8) % 32) / divisor - 4 : (state >> 5) % (dtype === "uint8" ? 256 : 100000)
  }
  return data
}

interface Case {
  readonly dtype?: DType
  readonly batch?: readonly number[]
  readonly size: readonly [m: number, k: number, n: number]
  readonly a?: Layout
  readonly b?: Layout
  readonly out?: Layout
  readonly bias?: Layout
  readonly shared?: "a" | "b"
  readonly accumulate?: boolean
  readonly epilogue?: MatmulKernel["epilogue"]
  /** Views that the epilogue reads. */
  readonly further?: readonly { readonly dtype: DType; readonly layout: Layout }[]
  readonly outDType?: DType
  readonly scalars?: readonly number[]
  /** What values are multiples of the reciprocal of. */
  readonly divisor?: number
}

/** Runs a case and returns everything in the output's storage. */
function outcome(backend: Backend, one: Case): number[] {
  const { size, batch = [], dtype = "float32" } = one
  const [m, k, n] = size
  const make = (of: DType, placed: Placed, seed: number): View => {
    const data = values(of, placed.elements, seed, one.divisor)
    const storage = backend.alloc(data.byteLength)
    backend.write(storage, data)
    return { storage, dtype: of, shape: placed.shape, strides: placed.strides, offset: placed.offset }
  }
  const shape = [...batch, m, n]
  const inputs = [
    make(dtype, place([...batch, m, k], one.a ?? "rows", one.shared === "a"), 1),
    make(dtype, place([...batch, k, n], one.b ?? "rows", one.shared === "b"), 2),
  ]
  if (one.bias) inputs.push(make(dtype, place(shape, one.bias, one.bias === "row for all"), 3))
  one.further?.forEach((x, i) => inputs.push(make(x.dtype, place(shape, x.layout), 4 + i)))
  const output = make(one.outDType ?? dtype, place(shape, one.out ?? "rows"), 9)
  const { bias, accumulate, epilogue } = one
  const kernel: MatmulKernel = { kind: "matmul", bias: bias !== undefined, accumulate, epilogue }
  backend.run(kernel, inputs, [output], one.scalars)
  const result = Array.from(hostView(output.dtype, backend.readSync!(output.storage, 0, output.storage.bytes)), Number)
  for (const { storage } of [...inputs, output]) backend.free(storage)
  return result
}

/** Compares with the reference, element by element, with those around the output too. */
function check(one: Case): void {
  const expected = outcome(reference, one)
  for (const backend of devices) {
    const got = outcome(backend, one)
    const wrong = got.findIndex((x, i) => x !== expected[i])
    if (wrong >= 0)
      expect.fail(`at ${wrong}: got ${got[wrong]}, expected ${expected[wrong]}, in ${JSON.stringify(one)}`)
  }
}

const dtypes = ["float32", "float64", "int32", "uint8"] as const

describe("sizes", () => {
  const sizes = [0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 33]
  for (const dtype of dtypes) {
    for (const [a, b] of [
      ["rows", "rows"],
      ["rows", "columns"],
      ["columns", "rows"],
    ] as const)
      // prettier-ignore
      it(`${dtype}, ${a} times ${b}`, () => {
        for (const m of sizes) for (const n of sizes) for (const k of [0, 1, 3, 8, 10]) check({ dtype, size: [m, k, n], a, b })
      })
  }
})

describe("blocks", () => {
  const long: readonly (readonly [number, number, number])[] = [
    [7, 513, 9],
    [31, 1100, 70],
    [100, 64, 521],
    [2, 700, 1030],
    [1, 600, 1100],
    [1100, 600, 1],
    [100, 1100, 5],
    [1, 5000, 1],
    [3, 5000, 2],
    [65, 130, 200],
  ]
  for (const dtype of ["float32", "float64", "int32"] as const) {
    for (const size of long) {
      it(`${dtype} ${size.join(" x ")}`, () => {
        for (const a of ["rows", "columns"] as const)
          for (const b of ["rows", "columns"] as const) check({ dtype, size, a, b, accumulate: a === b })
      })
    }
  }
})

describe("layouts", () => {
  const sizes = [[1, 6, 10], [10, 6, 1], [9, 40, 11], [30, 5, 2], [2, 50, 70], [40, 20, 70], [37, 5, 6]] as const // prettier-ignore
  for (const dtype of dtypes) {
    for (const a of layouts) {
      for (const b of layouts) {
        it(`${dtype}: ${a} times ${b}`, () => {
          for (const out of ["rows", "columns", "spread", "reversed"] as const)
            for (const size of sizes) check({ dtype, size, a, b, out })
        })
      }
    }
  }
})

describe("bias and accumulation", () => {
  for (const dtype of dtypes) {
    for (const bias of layouts) {
      for (const accumulate of [false, true]) {
        it(`${dtype}: ${bias}${accumulate ? ", accumulated" : ""}`, () => {
          for (const out of ["rows", "columns", "spread"] as const)
            for (const size of [
              [1, 6, 10],
              [10, 6, 1],
              [1, 3, 1],
              [9, 40, 11],
              [30, 5, 2],
              [35, 6, 10],
              [5, 600, 20],
            ] as const)
              // prettier-ignore
              for (const batch of [[], [3]]) check({ dtype, size, bias, out, accumulate, batch })
        })
      }
    }
  }
})

describe("batches", () => {
  const shapes = [[1], [4], [2, 3], [2, 1, 3], [0, 2]]
  for (const shared of [undefined, "a", "b"] as const) {
    for (const batch of shapes) {
      it(`${batch.join(" x ")}${shared ? `, one ${shared} for all` : ""}`, () => {
        for (const size of [
          [5, 7, 3],
          [1, 9, 12],
          [12, 9, 1],
          [20, 70, 30],
          [1, 4, 1],
        ] as const)
          // prettier-ignore
          for (const dtype of ["float32", "int32"] as const)
            for (const b of ["rows", "columns", "spread"] as const)
              for (const out of ["rows", "columns", "spread"] as const)
                for (const bias of [undefined, "row for all", "columns"] as const)
                  check({ dtype, batch, size, shared, b, out, bias })
      })
    }
  }

  it("whose strides do not chain", () => {
    for (const backend of devices) {
      const run = (b: Backend) => {
        const data = values("float32", 400, 5)
        const storages = [0, 1, 2].map(() => b.alloc(data.byteLength))
        for (const storage of storages) b.write(storage, data)
        const view = (i: number, shape: number[], strides: number[]): View => {
          return { storage: storages[i], dtype: "float32", shape, strides, offset: 2 }
        }
        const a = view(0, [2, 3, 4, 5], [5, 60, 10, 1])
        const c = view(2, [2, 3, 4, 6], [6, 100, 12, 1])
        b.run({ kind: "matmul" }, [a, view(1, [2, 3, 5, 6], [100, 0, 6, 1])], [c])
        return new Float32Array(b.readSync!(storages[2], 0, data.byteLength))
      }
      const [got, expected] = [run(backend), run(reference)]
      got.forEach((x, i) => expect(x).toBe(expected[i]))
    }
  })
})

describe("epilogues", () => {
  const value = e.input(0, "float32")
  it("on the finished value, with further inputs and scalars", () => {
    const epilogue = e.add(e.max(value, e.like(value, 0)), e.mul(e.input(1, "float32"), e.scalar(0, "float32")))
    for (const layout of layouts)
      for (const out of ["rows", "columns", "spread"] as const)
        check({
          size: [9, 20, 11],
          epilogue,
          further: [{ dtype: "float32", layout }],
          out,
          bias: "row for all",
          scalars: [2],
        })
  })
  it("of another dtype", () => {
    const epilogue = e.cast(e.mul(e.input(0, "float64"), e.const(3, "float64")), "float32")
    check({ size: [9, 20, 11], epilogue, dtype: "float64", outDType: "float32" })
    check({ size: [9, 20, 11], epilogue: e.gt(value, e.const(0, "float32")), outDType: "bool" })
    check({ size: [9, 20, 11], epilogue: e.add(e.input(0, "uint8"), e.const(200, "uint8")), dtype: "uint8" })
  })
  it("that reads what it writes to", () => {
    const results = [reference, ...devices].map((backend) => {
      const storage = backend.alloc(64)
      backend.write(storage, values("float32", 16, 3))
      const x: View = { storage, dtype: "float32", shape: [4, 4], strides: [4, 1], offset: 0 }
      const other = backend.alloc(64)
      backend.write(other, values("float32", 16, 4))
      const y: View = { ...x, storage: other }
      const epilogue = e.sub(value, e.mul(e.input(1, "float32"), e.like(value, 2)))
      backend.run({ kind: "matmul", epilogue }, [y, y, x], [x])
      return new Float32Array(backend.readSync!(storage, 0, 64))
    })
    for (const got of results.slice(1)) got.forEach((x, i) => expect(x).toBe(results[0][i]))
  })
})

it("may write over its operands and its bias", () => {
  for (const which of [0, 1, 2]) {
    const results = [reference, ...devices].map((backend) => {
      const views = [3, 4, 5].map((seed): View => {
        const storage = backend.alloc(1600)
        backend.write(storage, values("float32", 400, seed))
        return { storage, dtype: "float32", shape: [20, 20], strides: [20, 1], offset: 0 }
      })
      backend.run({ kind: "matmul", bias: true }, views, [views[which]])
      return new Float32Array(backend.readSync!(views[which].storage, 0, 1600))
    })
    for (const got of results.slice(1)) got.forEach((x, i) => expect(x).toBe(results[0][i]))
  }
})

it("NaN and infinities of unused memory stay out of the results", () => {
  for (const backend of devices) {
    for (const m of [3, 35])
      for (const n of [1, 2, 3, 5, 6, 7, 9, 10, 13]) {
        const fill = (count: number, used: number, x: number): View["storage"] => {
          const storage = backend.alloc(4 * count)
          backend.write(storage, new Float32Array(count).fill(NaN).fill(x, 0, used))
          return storage
        }
        const view = (storage: View["storage"], shape: readonly [number, number]): View => {
          return { storage, dtype: "float32", shape, strides: [shape[1], 1], offset: 0 }
        }
        const [a, b] = [view(fill(300, 7 * m, 1), [m, 7]), view(fill(200, 7 * n, 2), [7, n])]
        const out = view(fill(600, 0, 0), [m, n])
        backend.run({ kind: "matmul" }, [a, b], [out])
        const got = new Float32Array(backend.readSync!(out.storage, 0, 2400))
        expect([...got.subarray(0, m * n)]).toEqual(new Array(m * n).fill(14))
        expect(got.subarray(m * n).every(Number.isNaN)).toBe(true)
      }
  }
})

it("is the same in every way that it is cut", () => {
  for (const dtype of ["float32", "float64"] as const) {
    const whole = new WasmSimd({ threads: false })
    for (const pieces of [2, 5]) {
      const cut = new WasmSimd({ threads: false })
      cut.engine.pieces = () => pieces
      for (const size of [
        [64, 600, 70],
        [7, 30, 100],
        [100, 30, 7],
        [1, 50, 300],
        [300, 50, 1],
        [5, 600, 30],
      ] as const)
        // prettier-ignore
        for (const a of ["rows", "columns"] as const)
          for (const b of ["rows", "columns"] as const)
            for (const batch of [[], [3]]) {
              const one: Case = { dtype, size, a, b, batch, bias: "row for all", divisor: 7 }
              expect(outcome(cut, one)).toEqual(outcome(whole, one))
            }
    }
  }
})

describe("accuracy", () => {
  for (const dtype of ["float32", "float64"] as const) {
    it(`${dtype} stays within the bound of plain summation`, () => {
      const unit = dtype === "float32" ? 2 ** -24 : 2 ** -53
      const [m, k, n] = [7, 1500, 37]
      const real = (count: number, seed: number) => {
        const whole = values("int32", count, seed) as Int32Array
        const data = hostArray(dtype, count)
        whole.forEach((x, i) => (data[i] = Math.fround(Math.sin(x))))
        return data as Float64Array
      }
      const [x, y] = [real(m * k, 1), real(k * n, 2)]
      for (const backend of devices) {
        for (const columns of [false, true]) {
          const view = (data: ArrayBufferView, shape: number[], strides: number[]): View => {
            const storage = backend.alloc(data.byteLength)
            backend.write(storage, data)
            return { storage, dtype, shape, strides, offset: 0 }
          }
          const b = columns ? view(y, [k, n], [1, k]) : view(y, [k, n], [n, 1])
          const out = view(hostArray(dtype, m * n), [m, n], [n, 1])
          backend.run({ kind: "matmul" }, [view(x, [m, k], [k, 1]), b], [out])
          const got = hostView(dtype, backend.readSync!(out.storage, 0, out.storage.bytes)) as Float64Array
          got.forEach((result, at) => {
            const [i, j] = [Math.floor(at / n), at % n]
            let [sum, size] = [0, 0]
            for (let p = 0; p < k; p++) {
              const term = x[i * k + p] * y[columns ? j * k + p : p * n + j]
              sum += term
              size += Math.abs(term)
            }
            // The float64 sum that it is compared with errs by as much again.
            expect(Math.abs(result - sum)).toBeLessThanOrEqual(2 * k * unit * size)
          })
        }
      }
    })
  }
})

it("gives back its scratch", () => {
  const backend = new WasmSimd({ threads: false })
  const one: Case = { dtype: "uint8", size: [50, 600, 700], a: "columns", b: "spread", out: "spread", bias: "spread" }
  outcome(backend, one)
  const { heap } = backend.engine
  const [alloc, free] = [heap.alloc.bind(heap), heap.free.bind(heap)]
  const live = new Set<number>()
  heap.alloc = (bytes) => {
    const address = alloc(bytes)
    live.add(address)
    return address
  }
  heap.free = (address) => {
    live.delete(address)
    free(address)
  }
  outcome(backend, one)
  expect([...live]).toEqual([])
})
