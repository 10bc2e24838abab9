// Products of every dtype, shape and layout against the reference: strides, batches, bias, accumulation, epilogues, shares of k.
import { CpuJs } from "@rondo/backend-cpu-js"
import { type Backend, type DType, e, hostArray, hostView, isFloat, type MatmulKernel, type View } from "@rondo/backend"
import { afterAll, describe, expect, it } from "vitest"
import { openForTest } from "../test/testing.js"

const reference = new CpuJs()
const device = await openForTest()
afterAll(() => device?.close())

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

const isHalf = (dtype: DType): boolean => dtype === "float16" || dtype === "bfloat16"
/** The bits of a small multiple of a quarter as a 16-bit float. */
function halfBits(dtype: DType, x: number): number {
  const bits = new Uint32Array(new Float32Array([x]).buffer)[0]
  if (dtype === "bfloat16") return bits >>> 16
  return x === 0 ? 0 : ((bits >>> 16) & 0x8000) | (((bits & 0x7fffffff) - 0x38000000) >>> 13)
}

/** Numbers whose products and sums float32 holds exactly, so that results do not depend on the order of adding. */
function values(dtype: DType, count: number, seed: number): ArrayBufferView {
  const data = hostArray(dtype, count)
  let state = seed
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    const x = ((state >> 8) % 32) / 4 - 4
    data[i] = isHalf(dtype)
      ? halfBits(dtype, x)
      : isFloat(dtype)
        ? x
        : (state >> 5) % (dtype === "uint8" ? 256 : 100000)
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
}

/** Runs a case and returns everything in the output's storage, as numbers or, for 16-bit floats, bits. */
async function outcome(backend: Backend, one: Case): Promise<number[]> {
  const { size, batch = [], dtype = "float32" } = one
  const [m, k, n] = size
  const make = (of: DType, placed: Placed, seed: number): View => {
    const data = values(of, placed.elements, seed)
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
  const bytes = await backend.read(output.storage, 0, output.storage.bytes)
  for (const { storage } of [...inputs, output]) backend.free(storage)
  return Array.from(hostView(output.dtype, bytes), Number)
}

/** Compares with the reference, element by element, with those around the output too. */
async function check(one: Case): Promise<void> {
  const [got, expected] = await Promise.all([outcome(device!, one), outcome(reference, one)])
  const wrong = got.findIndex((x, i) => x !== expected[i])
  if (wrong >= 0) expect.fail(`at ${wrong}: got ${got[wrong]}, expected ${expected[wrong]}, in ${JSON.stringify(one)}`)
}

type Size = Case["size"]
const dtypes = ["float32", "int32", "uint8", "float16", "bfloat16"] as const

describe.runIf(device)("sizes", () => {
  const ways = [["rows", "rows"], ["rows", "columns"], ["columns", "rows"]] as const // prettier-ignore
  for (const dtype of ["float32", "int32", "uint8"] as const)
    for (const [a, b] of ways)
      it(`${dtype}, ${a} times ${b}`, async () => {
        const sizes = dtype === "float32" ? [0, 1, 2, 3, 4, 5, 8, 13, 33] : [1, 3, 9]
        for (const m of sizes)
          for (const n of sizes) for (const k of [0, 1, 10, 40]) await check({ dtype, size: [m, k, n], a, b })
      })
})

describe.runIf(device)("tiles, lines and shares of k", () => {
  const long: readonly Size[] = [
    [7, 513, 9],
    [31, 1100, 70],
    [100, 64, 521],
    [2, 700, 1030],
    [1, 600, 1100],
    [1100, 600, 1],
    [1, 5000, 1],
    [3, 5000, 2],
    [65, 130, 200],
    [20, 3000, 15],
    [1030, 33, 1050],
  ]
  for (const dtype of ["float32", "int32"] as const)
    for (const size of dtype === "float32" ? long : long.slice(0, 3))
      it(`${dtype} ${size.join(" x ")}`, async () => {
        for (const a of ["rows", "columns"] as const)
          for (const b of ["rows", "columns"] as const) {
            const huge = size[0] > 1000 && size[2] > 1000
            if (!huge || (a === "rows" && b === "rows")) await check({ dtype, size, a, b, accumulate: a === b })
          }
      })
  it("shares take two dispatches, and are gathered in their order", async () => {
    const { queue } = device!.gpu
    const before = queue.dispatches
    const one: Case = { size: [20, 9000, 15], a: "columns", bias: "row for all" }
    const first = await outcome(device!, one)
    expect(queue.dispatches - before).toBe(2)
    for (let i = 0; i < 3; i++) expect(await outcome(device!, one)).toEqual(first)
  })
})

describe.runIf(device)("layouts", () => {
  const sizes: readonly Size[] = [[1, 6, 10], [9, 40, 11], [30, 35, 2], [2, 50, 70], [40, 20, 70]] // prettier-ignore
  for (const dtype of dtypes)
    for (const a of dtype === "float32" ? layouts : (["rows", "spread"] as const))
      it(`${dtype}: ${a}`, async () => {
        for (const b of dtype === "float32" ? layouts : (["rows", "spread"] as const))
          for (const out of ["rows", "columns", "spread", "reversed"] as const)
            await check({ dtype, size: sizes[(layouts.indexOf(b) + out.length) % sizes.length], a, b, out })
        for (const size of sizes) await check({ dtype, size, a, b: "columns" })
      })
})

describe.runIf(device)("bias and accumulation", () => {
  const sizes: readonly Size[] = [[1, 6, 10], [10, 6, 1], [9, 40, 11], [30, 50, 2], [5, 600, 20]] // prettier-ignore
  for (const dtype of dtypes)
    for (const bias of dtype === "float32" ? layouts : (["row for all", "columns"] as const))
      it(`${dtype}: ${bias}`, async () => {
        for (const [i, size] of sizes.entries())
          for (const batch of [[], [3]]) {
            const out = (["rows", "columns", "spread"] as const)[(i + batch.length) % 3]
            await check({ dtype, size, bias, out, accumulate: (i + batch.length) % 2 === 0, batch })
          }
      })
})

describe.runIf(device)("batches", () => {
  const sizes: readonly Size[] = [[5, 7, 3], [1, 30, 12], [12, 30, 1], [20, 70, 30], [1, 4, 1]] // prettier-ignore
  for (const shared of [undefined, "a", "b"] as const)
    for (const batch of [[1], [4], [2, 3], [2, 1, 3], [0, 2]])
      it(`${batch.join(" x ")}${shared ? `, one ${shared} for all` : ""}`, async () => {
        for (const [i, size] of sizes.entries())
          for (const [j, b] of (["rows", "columns", "spread"] as const).entries()) {
            const out = (["rows", "columns", "spread"] as const)[(i + j) % 3]
            const bias = ([undefined, "row for all", "columns"] as const)[(i + 2 * j) % 3]
            await check({ batch, size, shared, b, out, bias })
          }
      })

  it("whose strides do not chain", async () => {
    const run = async (b: Backend) => {
      const data = values("float32", 400, 5)
      const storages = [0, 1, 2].map(() => b.alloc(data.byteLength))
      for (const storage of storages) b.write(storage, data)
      const view = (i: number, shape: number[], strides: number[]): View => {
        return { storage: storages[i], dtype: "float32", shape, strides, offset: 2 }
      }
      const a = view(0, [2, 3, 4, 5], [5, 60, 10, 1])
      const c = view(2, [2, 3, 4, 6], [6, 100, 12, 1])
      b.run({ kind: "matmul" }, [a, view(1, [2, 3, 5, 6], [100, 0, 6, 1])], [c])
      return [...new Float32Array(await b.read(storages[2], 0, data.byteLength))]
    }
    expect(await run(device!)).toEqual(await run(reference))
  })
})

describe.runIf(device)("epilogues", () => {
  const value = e.input(0, "float32")
  const scaled = e.add(e.max(value, e.like(value, 0)), e.mul(e.input(1, "float32"), e.scalar(0, "float32")))
  it("on the finished value, with further inputs and scalars", async () => {
    for (const layout of layouts)
      for (const [i, out] of (["rows", "columns", "spread"] as const).entries()) {
        const size = ([[9, 20, 11], [2, 40, 30], [9, 900, 11]] as const)[i] // prettier-ignore
        const further = [{ dtype: "float32", layout }] as const
        await check({ size, epilogue: scaled, further, out, bias: "row for all", scalars: [2] })
      }
  })
  it("of another dtype", async () => {
    const positive = e.gt(value, e.const(0, "float32"))
    await check({ size: [9, 20, 11], epilogue: positive, outDType: "bool" })
    await check({ size: [9, 20, 11], epilogue: e.add(e.input(0, "uint8"), e.const(200, "uint8")), dtype: "uint8" })
    await check({ size: [9, 20, 11], epilogue: e.mul(value, value), dtype: "bfloat16", outDType: "float32" })
    const rounded = e.cast(e.input(0, "bfloat16"), "float32")
    await check({ size: [9, 20, 11], epilogue: rounded, dtype: "bfloat16", outDType: "float32" })
  })
  it("with more inputs than a kernel may have buffers", async () => {
    const count = device!.gpu.device.limits.maxStorageBuffersPerShaderStage - 3
    let sum = value
    for (let i = 1; i <= count; i++) sum = e.add(sum, e.input(i, "float32"))
    const { queue } = device!.gpu
    const before = queue.dispatches
    const further = Array.from({ length: count }, () => ({ dtype: "float32", layout: "rows" }) as const)
    // The map that comes after may be as large as a map can be; the product needs no buffer for its epilogue.
    const one: Case = { size: [9, 20, 11], epilogue: sum, further, bias: "rows" }
    await check(one)
    expect(queue.dispatches - before).toBeGreaterThanOrEqual(2)
  })
  it("that reads what it writes to", async () => {
    const run = async (backend: Backend) => {
      const storage = backend.alloc(64)
      backend.write(storage, values("float32", 16, 3))
      const x: View = { storage, dtype: "float32", shape: [4, 4], strides: [4, 1], offset: 0 }
      const other = backend.alloc(64)
      backend.write(other, values("float32", 16, 4))
      const y: View = { ...x, storage: other }
      const epilogue = e.sub(value, e.mul(e.input(1, "float32"), e.like(value, 2)))
      backend.run({ kind: "matmul", epilogue }, [y, y, x], [x])
      return [...new Float32Array(await backend.read(storage, 0, 64))]
    }
    expect(await run(device!)).toEqual(await run(reference))
  })
})

describe.runIf(device)("memory", () => {
  it("may write over its operands and its bias", async () => {
    for (const which of [0, 1, 2]) {
      const run = async (backend: Backend) => {
        const views = [3, 4, 5].map((seed): View => {
          const storage = backend.alloc(1600)
          backend.write(storage, values("float32", 400, seed))
          return { storage, dtype: "float32", shape: [20, 20], strides: [20, 1], offset: 0 }
        })
        backend.run({ kind: "matmul", bias: true, accumulate: true }, views, [views[which]])
        return [...new Float32Array(await backend.read(views[which].storage, 0, 1600))]
      }
      expect(await run(device!)).toEqual(await run(reference))
    }
  })

  it("NaN and infinities stay where they belong", async () => {
    const backend = device!
    for (const n of [1, 2, 5, 13]) {
      const fill = (count: number, used: number, x: number): View["storage"] => {
        const storage = backend.alloc(4 * count)
        backend.write(storage, new Float32Array(count).fill(NaN).fill(x, 0, used))
        return storage
      }
      const a: View = { storage: fill(140, 90, 1), dtype: "float32", shape: [5, 18], strides: [18, 1], offset: 0 }
      const b: View = { storage: fill(300, 18 * n, 2), dtype: "float32", shape: [18, n], strides: [n, 1], offset: 0 }
      const out: View = { storage: fill(100, 0, 0), dtype: "float32", shape: [5, n], strides: [n, 1], offset: 0 }
      backend.run({ kind: "matmul" }, [a, b], [out])
      const got = new Float32Array(await backend.read(out.storage, 0, 400))
      expect([...got.subarray(0, 5 * n)]).toEqual(new Array(5 * n).fill(36))
      expect(got.subarray(5 * n).every(Number.isNaN)).toBe(true)
      const first = new Float32Array(90).fill(1)
      first.set([Infinity, 0, NaN], 18)
      backend.write(a.storage, first)
      backend.run({ kind: "matmul" }, [a, b], [out])
      const odd = new Float32Array(await backend.read(out.storage, 0, 400))
      expect([...odd.subarray(0, 5 * n)]).toEqual(Array.from({ length: 5 * n }, (_, i) => Math.floor(i / n) === 1 ? NaN : 36)) // prettier-ignore
    }
  })
})

it.runIf(device)("stays within the bound of plain summation", async () => {
  const [m, k, n] = [7, 1500, 37]
  const real = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed * 77 + i * i * 1.3)) // prettier-ignore
  const [x, y] = [real(m * k, 1), real(k * n, 2)]
  for (const cols of [37, 3]) {
    const view = (data: Float32Array, shape: number[]): View => {
      const storage = device!.alloc(data.byteLength)
      device!.write(storage, data)
      return { storage, dtype: "float32", shape, strides: [shape[1], 1], offset: 0 }
    }
    const out = view(new Float32Array(m * cols), [m, cols])
    const b = { ...view(y, [k, n]), shape: [k, cols] }
    device!.run({ kind: "matmul" }, [view(x, [m, k]), b], [out])
    const got = new Float32Array(await device!.read(out.storage, 0, out.storage.bytes))
    got.forEach((result, at) => {
      const [i, j] = [Math.floor(at / cols), at % cols]
      let [sum, size] = [0, 0]
      for (let p = 0; p < k; p++) {
        const term = x[i * k + p] * y[p * n + j]
        sum += term
        size += Math.abs(term)
      }
      expect(Math.abs(result - sum)).toBeLessThanOrEqual(k * 2 ** -24 * size)
    })
  }
})
