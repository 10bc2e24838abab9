// Cases of products: dtypes, sizes and layouts; batches, bias, accumulation, epilogues; memory that is shared or not theirs.
import { type Backend, type DType, e, type Expr, hostArray, isFloat, type MatmulKernel } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import { outcome } from "./agreement.js"
import { encode, type Operand, operandOf, randomFrom } from "./operands.js"
import { combinations, type Subject } from "./subject.js"

/** How a matrix lies: by rows, by columns, spread out, one row or element for all, or backwards. */
const layouts = ["rows", "columns", "spread", "row for all", "column for all", "reversed"] as const
type Layout = (typeof layouts)[number]
/** How what is written may lie. */
const outs = ["rows", "columns", "spread", "reversed"] as const
type Size = readonly [m: number, k: number, n: number]

/** A product, and how its operands lie: by rows where nothing is said. */
export interface Product {
  readonly size: Size
  readonly dtype?: DType
  readonly batch?: readonly number[]
  readonly a?: Layout
  readonly b?: Layout
  readonly out?: Layout
  readonly bias?: Layout
  /** The operand of which there is one for the whole batch. */
  readonly shared?: "a" | "b"
  readonly accumulate?: boolean
  readonly epilogue?: Expr
  /** Operands that the epilogue reads. */
  readonly further?: readonly Layout[]
  readonly outDType?: DType
  readonly scalars?: readonly number[]
  /** Both factors begin at a multiple of four elements. */
  readonly aligned?: boolean
  /** What values are multiples of the reciprocal of: with 4, float32 holds sums exactly, in whatever order. */
  readonly divisor?: number
}

/** A batch of matrices, with elements in front and behind that belong to nobody. */
function matrix(
  dtype: DType,
  shape: readonly number[],
  layout: Layout,
  seed: number,
  { shared = false, divisor = 4, before = 5 } = {},
): Operand {
  const [m, n] = shape.slice(-2)
  const own: Record<Layout, readonly [row: number, column: number]> = {
    rows: [n, 1],
    columns: [1, m],
    spread: [3 * n + 2, 3],
    "row for all": [0, 1],
    "column for all": [1, 0],
    reversed: [-n, -1],
  }
  const each = layout === "spread" ? m * (3 * n + 2) : m * n
  const batch: number[] = []
  let count = 1
  for (let d = shape.length - 3; d >= 0; d--) {
    batch.unshift(shared ? 0 : count * each)
    count *= shape[d]
  }
  const offset = before + (layout === "reversed" ? Math.max(0, m * n - 1) : 0)
  const data = hostArray(dtype, before + count * each + 9)
  const random = randomFrom(seed)
  const most = dtype === "uint8" ? 256 : 100_000
  for (let i = 0; i < data.length; i++)
    data[i] = isFloat(dtype) ? encode(dtype, Math.floor(random() * 32) / divisor - 4) : Math.floor(random() * most)
  return { dtype, shape, strides: [...batch, ...own[layout]], offset, data }
}

/** The kernel of a product, its operands, and its scalars. */
export function product(one: Product): [MatmulKernel, Operand[], Operand[], readonly number[] | undefined] {
  const { size, batch = [], dtype = "float32", bias, accumulate, epilogue, divisor } = one
  const [m, k, n] = size
  const shape = [...batch, m, n]
  const before = one.aligned ? 8 : 5
  const inputs = [
    matrix(dtype, [...batch, m, k], one.a ?? "rows", 1, { shared: one.shared === "a", divisor, before }),
    matrix(dtype, [...batch, k, n], one.b ?? "rows", 2, { shared: one.shared === "b", divisor, before }),
  ]
  if (bias) inputs.push(matrix(dtype, shape, bias, 3, { shared: bias === "row for all", divisor }))
  one.further?.forEach((layout, i) => inputs.push(matrix("float32", shape, layout, 4 + i, { divisor })))
  const output = matrix(one.outDType ?? dtype, shape, one.out ?? "rows", 9, { divisor })
  return [{ kind: "matmul", bias: bias !== undefined, accumulate, epilogue }, inputs, [output], one.scalars]
}

/** Everything that the output's storage holds afterwards. */
export async function runProduct(device: Backend, one: Product): Promise<number[]> {
  const [kernel, inputs, outputs, scalars] = product(one)
  return (await outcome(device, kernel, inputs, outputs, scalars))[0]
}

type Check = (one: Product) => Promise<void>

/** Registers the cases. */
export function describeProducts(subject: Subject): void {
  const check: Check = (one) => {
    const [kernel, inputs, outputs, scalars] = product(one)
    const note = JSON.stringify({ ...one, epilogue: one.epilogue && "given" })
    return subject.agree(note, kernel, inputs, outputs, undefined, scalars)
  }
  // bool has no products.
  const dtypes = subject.dtypes.filter((dtype) => dtype !== "bool")
  const own = { ...subject, dtypes }
  describeSizes(own, check)
  describeLayouts(own, check)
  describeBatches(own, check)
  describeEpilogues(own, check)
  describeMemory(own)
  describeAccuracy(own)
}

const isMain = (dtype: DType): boolean => dtype === "float32" || dtype === "int32"

function describeSizes({ dtypes, slow }: Subject, check: Check): void {
  describe("sizes", () => {
    const ways = [["rows", "rows"], ["rows", "columns"], ["columns", "rows"]] as const // prettier-ignore
    for (const [dtype, [a, b]] of combinations(1, dtypes, ways)) {
      const all = slow ? [0, 1, 2, 3, 4, 5, 8, 13, 33] : [0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 33]
      const sizes = slow && dtype !== "float32" ? [1, 3, 9] : all
      it(`${dtype}, ${a} times ${b}`, async () => {
        for (const [m, n, k] of combinations(1, sizes, sizes, slow ? [0, 1, 10, 40] : [0, 1, 3, 8, 10, 40]))
          await check({ dtype, size: [m, k, n], a, b })
      })
    }
  })

  describe("blocks, tiles, lines and shares of k", () => {
    const long: readonly Size[] = [
      [7, 513, 9], [31, 1100, 70], [100, 64, 521], [2, 700, 1030], [1, 600, 1100], [1100, 600, 1], [100, 1100, 5], [1, 5000, 1], [3, 5000, 2],
      [65, 130, 200], [20, 3000, 15], [1030, 33, 1050],
    ] // prettier-ignore
    for (const dtype of dtypes.filter((one) => isMain(one) || one === "float64")) {
      for (const size of slow && dtype !== "float32" ? long.slice(0, 3) : long) {
        it(`${dtype} ${size.join(" x ")}`, async () => {
          for (const [a, b] of combinations(1, ["rows", "columns"] as const, ["rows", "columns"] as const)) {
            const huge = size[0] > 1000 && size[2] > 1000
            if (!huge || (a === "rows" && b === "rows")) await check({ dtype, size, a, b, accumulate: a === b })
          }
        })
      }
    }
  })
}

function describeLayouts({ dtypes, slow }: Subject, check: Check): void {
  const few = ["rows", "spread"] as const
  describe("layouts", () => {
    const sizes: readonly Size[] = [[1, 6, 10], [10, 6, 1], [9, 40, 11], [30, 35, 2], [2, 50, 70], [40, 20, 70], [30, 5, 2], [37, 5, 6]] // prettier-ignore
    for (const dtype of dtypes) {
      const chosen: readonly Layout[] = slow && dtype !== "float32" ? few : layouts
      for (const a of chosen) {
        it(`${dtype}: ${a}`, async () => {
          for (const [b, out, size] of combinations(slow ? 5 : 1, chosen, outs, sizes))
            await check({ dtype, size, a, b, out })
          for (const size of sizes) await check({ dtype, size, a, b: "columns" })
        })
      }
    }
  })

  describe("bias and accumulation", () => {
    const sizes: readonly Size[] = [[1, 6, 10], [10, 6, 1], [1, 3, 1], [9, 40, 11], [30, 50, 2], [30, 5, 2], [35, 6, 10], [5, 600, 20]] // prettier-ignore
    for (const dtype of dtypes) {
      const chosen: readonly Layout[] = slow && dtype !== "float32" ? ["row for all", "columns"] : layouts
      for (const bias of chosen) {
        it(`${dtype}: ${bias}`, async () => {
          const places = ["rows", "columns", "spread"] as const
          for (const [size, out, accumulate, batch] of combinations(
            slow ? 5 : 1,
            sizes,
            places,
            [false, true],
            [[], [3]],
          ))
            // prettier-ignore
            await check({ dtype, size, bias, out, accumulate, batch })
        })
      }
    }
  })
}

function describeBatches({ agree, dtypes, slow }: Subject, check: Check): void {
  const sizes: readonly Size[] = [[5, 7, 3], [1, 30, 12], [12, 30, 1], [20, 70, 30], [1, 4, 1]] // prettier-ignore
  const three = ["rows", "columns", "spread"] as const
  const biases = [undefined, "row for all", "columns"] as const
  describe("batches", () => {
    for (const [shared, batch] of combinations(1, [undefined, "a", "b"] as const, [[1], [4], [2, 3], [2, 1, 3], [0, 2]])) {
      it(`${batch.join(" x ")}${shared ? `, one ${shared} for all` : ""}`, async () => {
        for (const dtype of dtypes.filter(isMain)) {
          for (const [size, b, out, bias] of combinations(slow ? 11 : 1, sizes, three, three, biases))
            await check({ dtype, batch, size, shared, b, out, bias })
        }
      })
    } // prettier-ignore
    it("whose strides do not chain", async () => {
      const placed = (seed: number, shape: number[], strides: number[]): Operand => {
        return { ...matrix("float32", [20, 20], "rows", seed), shape, strides, offset: 2 }
      }
      const inputs = [placed(1, [2, 3, 4, 5], [5, 60, 10, 1]), placed(2, [2, 3, 5, 6], [100, 0, 6, 1])]
      await agree("batches", { kind: "matmul" }, inputs, [placed(3, [2, 3, 4, 6], [6, 100, 12, 1])])
    })
  })
}

function describeEpilogues({ agree, dtypes }: Subject, check: Check): void {
  const value = e.input(0, "float32")
  describe("epilogues", () => {
    it("on the finished value, with further inputs and scalars", async () => {
      const epilogue = e.add(e.max(value, e.like(value, 0)), e.mul(e.input(1, "float32"), e.scalar(0, "float32")))
      const sizes: readonly Size[] = [[9, 20, 11], [2, 40, 30], [9, 900, 11]] // prettier-ignore
      const three = ["rows", "columns", "spread"] as const
      for (const [layout, out, size] of combinations(1, layouts, three, sizes))
        await check({ size, epilogue, further: [layout], out, bias: "row for all", scalars: [2] })
    })
    it("of another dtype", async () => {
      const size: Size = [9, 20, 11]
      await check({ size, epilogue: e.gt(value, e.const(0, "float32")), outDType: "bool" })
      await check({ size, epilogue: e.add(e.input(0, "uint8"), e.const(200, "uint8")), dtype: "uint8" })
      if (dtypes.includes("float64")) {
        const epilogue = e.cast(e.mul(e.input(0, "float64"), e.const(3, "float64")), "float32")
        await check({ size, epilogue, dtype: "float64", outDType: "float32" })
      }
      if (dtypes.includes("bfloat16")) {
        await check({ size, epilogue: e.mul(value, value), dtype: "bfloat16", outDType: "float32" })
        const epilogue = e.cast(e.input(0, "bfloat16"), "float32")
        await check({ size, epilogue, dtype: "bfloat16", outDType: "float32" })
      }
    })
    it("that reads what it writes to", async () => {
      const [x, y] = [3, 4].map((seed) => matrix("float32", [4, 4], "rows", seed))
      const epilogue = e.sub(value, e.mul(e.input(1, "float32"), e.like(value, 2)))
      await agree("in place", { kind: "matmul", epilogue }, [y, y, x], [x])
    })
  })
}

function describeMemory({ agree, devices }: Subject): void {
  describe("memory", () => {
    it("may write over its operands and its bias", async () => {
      for (const [which, accumulate] of combinations(1, [0, 1, 2], [false, true])) {
        const inputs = [3, 4, 5].map((seed) => matrix("float32", [20, 20], "rows", seed))
        await agree(`over ${which}`, { kind: "matmul", bias: true, accumulate }, inputs, [inputs[which]])
      }
    })
    it("NaN and infinities stay where they belong", async () => {
      const surrounded = (shape: number[], x: number, first: readonly number[] = []): Operand => {
        const made = operandOf("float32", shape, [])
        made.data.fill(NaN as never).fill(x as never, 0, shape[0] * shape[1])
        first.forEach((value, i) => (made.data[18 + i] = value))
        return made
      }
      for (const [device, n, m] of combinations(1, devices, [1, 2, 3, 5, 6, 7, 9, 10, 13], [5, 35])) {
        const [b, out] = [surrounded([18, n], 2), surrounded([m, n], NaN)]
        for (const [first, odd] of [[[], 36], [[Infinity, 0, NaN], NaN]] as const) {
          const [got] = await outcome(device, { kind: "matmul" }, [surrounded([m, 18], 1, first), b], [out])
          const want = Array.from(got, (_, i) => (i < n || (i >= 2 * n && i < m * n) ? 36 : i < 2 * n ? odd : NaN))
          expect(got, `${n} columns`).toEqual(want)
        }
      } // prettier-ignore
    })
  })
}

function describeAccuracy({ devices, dtypes }: Subject): void {
  const units = { float32: 2 ** -24, float64: 2 ** -53 }
  for (const dtype of (["float32", "float64"] as const).filter((one) => dtypes.includes(one))) {
    it(`${dtype} stays within the bound of plain summation`, async () => {
      const [m, k] = [7, 1500]
      const noise = (shape: number[], seed: number): Operand =>
        operandOf(dtype, shape, Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(seed * 77 + i * i * 1.3))) // prettier-ignore
      for (const [device, n, columns] of combinations(1, devices, [37, 3], [false, true])) {
        const [x, y] = [noise([m, k], 1), noise([k, n], 2)]
        const b = columns ? { ...y, strides: [1, k] } : y
        const [got] = await outcome(device, { kind: "matmul" }, [x, b], [operandOf(dtype, [m, n], [])])
        for (let at = 0; at < m * n; at++) {
          const [i, j] = [Math.floor(at / n), at % n]
          let [sum, size] = [0, 0]
          for (let p = 0; p < k; p++) {
            const term = Number(x.data[i * k + p]) * Number(y.data[columns ? j * k + p : p * n + j])
            sum += term
            size += Math.abs(term)
          }
          // The float64 sum that it is compared with may err by as much again.
          expect(Math.abs(got[at] - sum)).toBeLessThanOrEqual((dtype === "float64" ? 2 : 1) * k * units[dtype] * size)
        }
      }
    })
  }
}
