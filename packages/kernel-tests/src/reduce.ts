// Cases of reductions: dtypes, layouts, dims and sizes, expressions, and the rules for NaN, ties, empties and accuracy.
import { computeDType, type DType, e, type Expr, isFloat, type ReduceKernel, type ReduceOperator } from "@rondo/backend"
import { describe, expect, it } from "vitest"
import { outcome } from "./agreement.js"
import {
  decode,
  encode,
  fill,
  type Layout,
  layouts,
  operand,
  type Operand,
  operandOf,
  pick,
  type Random,
  randomFrom,
} from "./operands.js"
import { combinations, type Subject } from "./subject.js"

/** What is left of a shape whose `dims` are reduced and kept. */
export const keptShape = (shape: readonly number[], dims: readonly number[]): number[] =>
  shape.map((n, d) => (dims.includes(d) ? 1 : n))

/** The operators that are defined for a dtype. */
export const reduceOperators = (dtype: DType): ReduceOperator[] => [
  ...(["sum", "prod", "max", "min", "argmax", "argmin"] as const),
  ...(isFloat(dtype) ? [] : (["any", "all"] as const)),
]

const isPosition = (op: ReduceOperator): boolean => op === "argmax" || op === "argmin"
const units: Partial<Record<DType, number>> = {
  float16: 2 ** -10,
  bfloat16: 2 ** -7,
  float32: 2 ** -23,
  float64: 2 ** -47,
}

/** Compares a reduction of one input into an output of any layout. */
export type CheckReduction = (
  op: ReduceOperator,
  x: Operand,
  dims: readonly number[],
  expr?: Expr,
  to?: DType,
) => Promise<void>

/** The comparison of reductions. Sums may be two roundings off; products too, or one with every factor of some hundreds. */
export const reductionCheck =
  ({ agree, doubles }: Subject, random: Random): CheckReduction =>
  (op, x, dims, expr = e.input(0, x.dtype), to = isPosition(op) ? "int32" : expr.dtype) => {
    const out = operand(to, keptShape(x.shape, dims), pick(layouts, random), random)
    const factors = !doubles && to === "float32" ? 512 : 2
    const relative = (units[to] ?? 0) * (op === "sum" ? 2 : op === "prod" ? factors : 0)
    const note = `${op} of ${x.dtype} [${x.shape}] strides [${x.strides}] over [${dims}] to [${out.strides}]`
    return agree(note, { kind: "reduce", op, dims, expr }, [x], [out], { relative, scale: 0.25 })
  }

const cases: readonly [shape: number[], dims: number[][]][] = [
  [[], [[]]],
  [[7], [[0], []]],
  [[3, 4], [[0], [1], [0, 1]]],
  [[2, 3, 5], [[0], [1], [2], [0, 2], [0, 1], [1, 2], [0, 1, 2]]],
  [[2, 3, 2, 3], [[0, 2], [1, 3], [1], [3, 0]]],
  [[4, 1, 3], [[1], [0, 1], [1, 2]]],
  [[1, 1], [[0], [0, 1]]],
  [[2, 1100], [[0], [1], [0, 1]]],
  [[1100, 2], [[0], [1], [0, 1]]],
  [[37, 75], [[0], [1], [0, 1]]],
  [[9, 5, 41], [[1], [0, 2]]],
] // prettier-ignore

/** Registers the cases, but for reductions so large that a backend has ways of its own for them. */
export function describeReductions(subject: Subject): void {
  const random = randomFrom(5)
  const check = reductionCheck(subject, random)
  describeDims(subject, check, random)
  describeExpressions(subject, check, random)
  describeRules(subject, check, random)
  describeAccuracy(subject, random)
}

function describeDims({ dtypes, slow }: Subject, check: CheckReduction, random: Random): void {
  describe("any dims of any layout", () => {
    const chosen = (dtype: DType): readonly Layout[] => {
      // Code differs by dtype less than by walk: every layout for one dtype, some for the others.
      if (!slow) return dtype === "float32" ? layouts : ["contiguous", pick(layouts, random), pick(layouts, random)]
      return ["contiguous", pick(layouts, random)]
    }
    for (const dtype of dtypes) {
      // Dtypes go the way of int32 or float32.
      const few = slow && dtype !== "float32" && dtype !== "int32"
      const own = cases.filter(([shape]) => !few || shape.length === 0 || shape.length === 3 || shape[0] === 37)
      for (const op of reduceOperators(dtype)) {
        // Products of many numbers stay in range if the numbers are near 1.
        const x = e.cast(e.input(0, dtype), computeDType(dtype))
        const near = e.add(e.mul(x, e.like(x, 2 ** -12)), e.like(x, 1))
        it(`${op} of ${dtype}`, async () => {
          for (const [shape, dimsOf] of own) {
            for (const dims of dimsOf) {
              if (isPosition(op) && dims.length !== 1) continue
              for (const layout of chosen(dtype)) {
                const made = operand(dtype, shape, layout, random)
                if (op === "prod" && isFloat(dtype)) await check(op, made, dims, near, dtype)
                else await check(op, made, dims)
              }
            }
          }
        })
      }
    }
    it("every layout of a matrix, in rows, columns and whole", async () => {
      const shapes = [[3, 4], [70, 41]] // prettier-ignore
      for (const [layout, shape, dims] of combinations<[Layout, number[], number[]]>(1, layouts, shapes, [[0], [1], [0, 1]]))
        for (const op of ["sum", "max"] as const) await check(op, operand("float32", shape, layout, random), dims)
    }) // prettier-ignore
    it("every number of elements up to 80, in rows and columns", async () => {
      for (const dtype of slow ? (["float32", "int32"] as const) : dtypes) {
        const step = dtype === "float32" ? (slow ? 3 : 1) : 7
        for (const op of slow ? (["sum", "argmin"] as const) : reduceOperators(dtype)) {
          if (op === "prod") continue
          for (let n = 1; n <= 80; n += step) {
            if (!slow) await check(op, operand(dtype, [n], "stepped", random), [0])
            for (const dims of [[0], [1]]) await check(op, operand(dtype, [3, n], "contiguous", random), dims)
          }
        }
      }
    })
  })
}

function describeExpressions({ agree, dtypes }: Subject, check: CheckReduction, random: Random): void {
  describe("expressions", () => {
    const f = e.input(0, "float32")
    it("are fused, over broadcast inputs and scalars", async () => {
      const difference = e.sub(f, e.mul(e.input(1, "float32"), e.scalar(0, "float32")))
      const exprs = [e.mul(difference, difference), e.exp(e.mul(difference, e.like(f, 2 ** -4)))]
      const shapes = [[3, 4], [5, 300], [300, 5], [70, 70]] // prettier-ignore
      const some = [[0], [1], [0, 1]]
      const all = combinations<[Expr, number[], number[], number[]]>(1, exprs, shapes, some, some)
      for (const [expr, shape, stretched, dims] of all) {
        const x = operand("float32", shape, pick(layouts, random), random)
        const y = operand("float32", shape, "contiguous", random, stretched)
        const out = operand("float32", keptShape(shape, dims), "contiguous", random)
        const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims, expr }
        await agree(`[${shape}] over [${dims}]`, kernel, [x, y], [out], { relative: 1e-6, scale: 8 }, [0.75])
      }
    })
    it("count a broadcast input once for every element", async () => {
      await check("sum", operand("float32", [3000], "contiguous", random, [0]), [0])
      await check("sum", operand("int32", [30, 40], "contiguous", random, [0, 1]), [0])
    })
    it("may leave out inputs", async () => {
      const inputs = [operand("float32", [5, 6], "contiguous", random), operand("int32", [5, 6], "mixed", random)]
      const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims: [1], expr: e.input(1, "int32") }
      await agree("only the second", kernel, inputs, [operand("int32", [5, 1], "contiguous", random)])
    })
    it("convert on the way out", async () => {
      const x = e.input(0, "int32")
      for (const [to, dims] of combinations<[DType, number[]]>(1, dtypes, [[0], [1]]))
        await check("sum", operand("int32", [6, 9], "contiguous", random), dims, x, to)
      await check("sum", operandOf("float32", [4], [1, 2.25, 3, 4.5]), [0], f, "int32")
    })
    it("write over an input of the same shape", async () => {
      const x = operand("float32", [5, 1, 37], "contiguous", random)
      await agree("in place", { kind: "reduce", op: "sum", dims: [1], expr: e.mul(f, f) }, [x], [x])
    })
  })
}

/** A reduction of all elements of a vector. */
const whole = (op: ReduceOperator, dtype: DType): ReduceKernel => ({
  ...{ kind: "reduce", op, dims: [0], expr: e.input(0, dtype) },
})

function describeRules({ devices, dtypes, slow }: Subject, check: CheckReduction, random: Random): void {
  describe("the rules", () => {
    it("gives the neutral element for nothing", async () => {
      const shapes = [[2, 0], [0, 3], [0, 0]] // prettier-ignore
      for (const dtype of dtypes) {
        for (const op of reduceOperators(dtype)) {
          for (const [shape, dims] of combinations<[number[], number[]]>(1, shapes, [[0], [1], [0, 1]]))
            if (!isPosition(op) || dims.length === 1) await check(op, operand(dtype, shape, "contiguous", random), dims)
        }
      }
    })
    it("hands NaN, infinities and zeros on as the reference does", async () => {
      for (const dtype of dtypes.filter(isFloat)) {
        for (const op of reduceOperators(dtype)) {
          for (let round = 0; round < (slow ? (dtype === "float32" ? 12 : 4) : 60); round++) {
            // Of products, where each factor is rounded, so few that a rounding cannot show.
            const most = slow && op === "prod" ? 5 : 50
            const shape = [1 + Math.floor(random() * most), 1 + Math.floor(random() * most)]
            const x = operand(dtype, shape, pick(layouts, random), random)
            fill(x, random, true)
            const negative = (v: number) => (decode(dtype, v) > 0 ? encode(dtype, -Infinity) : v)
            if (round % 3 === 0) x.data.forEach((v, i) => (x.data[i] = negative(Number(v))))
            for (const dims of [[0], [1]]) await check(op, x, dims)
          }
        }
      }
    })
    it("finds the first among equals", async () => {
      for (const dtype of dtypes) {
        const lists = [0, 1, ...(isFloat(dtype) ? [NaN, Infinity, -Infinity] : [])].map((x) => [x])
        if (isFloat(dtype)) lists.push([-0, 0])
        for (const [list, op] of combinations<[number[], ReduceOperator]>(1, lists, ["argmax", "argmin"])) {
          const x = operandOf(
            dtype,
            [700],
            Array.from({ length: 700 }, (_, i) => list[i % list.length]),
          )
          for (const device of devices) {
            const [[at]] = await outcome(device, whole(op, dtype), [x], [operandOf("int32", [1], [7])])
            expect(at, `${op} of ${dtype} ${list}`).toBe(0)
          }
        }
      }
    })
    it("wraps integers", async () => {
      await check("sum", operandOf("int32", [2], [2 ** 31 - 1, 1]), [0])
      await check("prod", operandOf("int32", [3], [65537, 65537, -3]), [0])
      await check("sum", operandOf("uint32", [2], [2 ** 32 - 1, 2]), [0])
      await check("prod", operandOf("uint32", [3], [65537, 65537, 3]), [0])
      await check("sum", operandOf("uint8", [3], [200, 100, 1]), [0])
      await check("sum", operandOf("bool", [3], [1, 1, 0]), [0], e.input(0, "bool"), "int32")
    })
    it("refuses any and all of numbers", async () => {
      for (const [device, op, dtype] of combinations(1, devices, ["any", "all"] as const, dtypes.filter(isFloat))) {
        const act = outcome(device, whole(op, dtype), [operandOf(dtype, [1], [1])], [operandOf("bool", [1], [1])])
        await expect(act).rejects.toThrow(`reduce: ${op} is not defined for ${dtype}`)
      }
    })
  })
}

/** A sum in float64 whose roundings are added up and given back (Neumaier). */
function exactSum(list: ArrayLike<number>): number {
  let [high, low] = [0, 0]
  for (let i = 0; i < list.length; i++) {
    const next = high + list[i]
    low += Math.abs(high) >= Math.abs(list[i]) ? high - next + list[i] : list[i] - next + high
    high = next
  }
  return high + low
}

function describeAccuracy({ devices, dtypes, slow }: Subject, random: Random): void {
  /** What each device gives, the same at every run and on all devices. */
  const single = async (op: ReduceOperator, dtype: DType, values: ArrayLike<number>): Promise<number> => {
    const x = operandOf(dtype, [values.length], values)
    const results = new Set<number>()
    for (const device of [...devices, ...devices])
      results.add((await outcome(device, whole(op, dtype), [x], [operandOf(dtype, [1], [0])]))[0][0])
    expect([...results]).toHaveLength(1)
    return [...results][0]
  }
  const accuracy = { float32: 2 ** -23, float64: 2 ** -52 }
  const wide = (["float32", "float64"] as const).filter((dtype) => dtypes.includes(dtype))

  describe("accuracy", () => {
    it("carries sums so that nothing is lost", async () => {
      const tenths = await single("sum", "float32", new Array(100_000).fill(0.1))
      expect(Math.abs(tenths / (1e5 * Math.fround(0.1)) - 1)).toBeLessThan(2 ** -22)
      for (const dtype of wide) {
        const huge = dtype === "float32" ? 1e30 : 1e100
        expect(await single("sum", dtype, [1, huge, 1, -huge])).toBe(2)
        expect(await single("sum", dtype, [Infinity, 1, 2])).toBe(Infinity)
        // The roundings of a running sum would be about 1e-3 and 1e-11 of a million terms, and 1e-5 of the fewer.
        const many = Float64Array.from({ length: slow ? 200_000 : 1_000_000 }, () => random() * 2 - 0.5)
        const terms = dtype === "float32" ? Float32Array.from(many) : many
        expect(Math.abs((await single("sum", dtype, terms)) / exactSum(terms) - 1)).toBeLessThan(accuracy[dtype])
      }
    })
    it("products overflow and vanish as a whole only", async () => {
      const product = (...factors: number[]) => single("prod", "float32", factors)
      expect(await product(1e30, 1e30, 1e-30, 1e-30, 3)).toBeCloseTo(3, 5)
      expect(await product(1e30, 1e30, 0)).toBe(0)
      expect(await product(1e30, -1e30)).toBe(-Infinity)
      expect(await product(Infinity, 0)).toBe(NaN)
      expect(await product(1e-44, 1e30, 1e10)).toBeCloseTo(9.809e-5, 7)
    })
  })
}
