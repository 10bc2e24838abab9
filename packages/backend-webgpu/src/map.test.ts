// Maps on every operator, conversion and pattern of strides against the reference, and with more buffers or parameters than a
// kernel may have.
import {
  anyUnary,
  arithmetic,
  bitwise,
  comparison,
  type DType,
  e,
  type Expr,
  floatUnary,
  type HostArray,
  hostArray,
  isFloat,
  type Operator,
  toBfloat16,
  toFloat16,
} from "@rondo/backend"
import { afterAll, describe, expect, it } from "vitest"
import { groupsFor } from "./map.js"
import { agreement, openForTest, type Operand, type Tolerance } from "../test/testing.js"
import { gpuDTypes } from "./types.js"

const device = await openForTest()

/** Values with zeros, signs, ties and, for floats, infinities and NaN; as they lie in memory. */
function values(dtype: DType, count: number, seed: number): HostArray {
  const data = hostArray(dtype, count)
  let state = seed
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    const special = [0, 1, -1, 0.5, 2, Infinity, -Infinity, NaN, -0, 2.5, 3e4, -1e-3][state % 40]
    const plain = special ?? ((state >> 8) % 2000) / 250 - 4
    if (dtype === "bool") data[i] = (state >> 9) & 1
    else if (dtype === "float16") data[i] = toFloat16(plain)
    else if (dtype === "bfloat16") data[i] = toBfloat16(plain)
    else if (dtype === "float32") data[i] = plain
    else data[i] = state % 11 === 0 ? [2147483647, -2147483648, 65536][state % 3] : ((state >> 8) % 80) - 40
  }
  return data
}

interface Geometry {
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset?: number
}

const place = (dtype: DType, { shape, strides, offset = 0 }: Geometry, seed: number): Operand => ({
  ...{ dtype, shape, strides, offset },
  data: values(dtype, 400, seed),
})
const flat = (n: number, offset = 0): Geometry => ({ shape: [n], strides: [1], offset })

const exact: Tolerance = { relative: 0, scale: 0 }
const inexact: readonly Operator[] = [
  ...floatUnary.filter((op) => !["sqrt", "floor", "ceil", "round", "trunc"].includes(op)),
  ...(["pow", "atan2"] as const),
]
/** Four units in the last place, or the next number of a 16-bit float. */
const toleranceOf = (op: Operator, dtype: DType): Tolerance =>
  !inexact.includes(op) || !isFloat(dtype)
    ? exact
    : {
        relative: dtype === "float32" ? 5e-7 : dtype === "float16" ? 1e-3 : 8e-3,
        scale: dtype === "float32" ? 0 : 1e-4,
      }

if (device) {
  const agree = agreement(device)
  afterAll(() => device.close())

  const compare = (
    exprs: readonly Expr[],
    dtypes: readonly DType[],
    layouts: readonly Geometry[],
    out: Geometry,
    { tolerance = exact, scalars = [] }: { tolerance?: Tolerance; scalars?: readonly number[] } = {},
  ): Promise<void> => {
    const inputs = dtypes.map((dtype, i) => place(dtype, layouts[i], 7 + i))
    const outputs = exprs.map(({ dtype }) => place(dtype, out, 99))
    return agree("map", { kind: "map", exprs }, inputs, outputs, tolerance, scalars)
  }

  describe("every operator", () => {
    for (const dtype of gpuDTypes) {
      const [x, y] = [e.input(0, dtype), e.input(1, dtype)]
      for (const op of [...floatUnary, ...anyUnary, ...arithmetic, ...bitwise, ...comparison]) {
        const unary = ([...floatUnary, ...anyUnary] as readonly string[]).includes(op)
        let expr: Expr
        try {
          expr = unary ? e[op as "neg"](x) : e[op as "add"](x, y)
        } catch {
          continue
        }
        const tolerance = toleranceOf(op, dtype)
        it(`${op} of ${dtype}`, async () => {
          await compare([expr], [dtype, dtype], [flat(391), flat(391, 5)], flat(391, 4), { tolerance })
          await compare([expr], [dtype, dtype], [flat(9, 3), flat(9)], flat(9, 3), { tolerance })
        })
      }
      for (const to of gpuDTypes) {
        // Only what the contract defines: integers from floats that fit.
        const whole = isFloat(dtype) && !isFloat(to) && to !== "bool"
        const fitting = (): Expr => e.where(e.lt(e.abs(x), e.like(x, 200)), x, e.like(x, 3))
        const value = !whole ? x : to === "uint8" ? e.abs(fitting()) : fitting()
        it(`${dtype} to ${to}`, () => compare([e.cast(value, to)], [dtype], [flat(391)], flat(391)))
      }
      it(`where of ${dtype}`, () =>
        compare(
          [e.where(e.input(2, "bool"), x, y)],
          [dtype, dtype, "bool"],
          [flat(77), flat(77), flat(77, 1)],
          flat(77),
        ))
      it(`scalars and constants of ${dtype}`, () =>
        compare([e.where(e.eq(x, e.const(1, dtype)), e.scalar(1, dtype), x)], [dtype], [flat(77)], flat(77), {
          scalars: [5, 1],
        }))
    }
    it("constants that are no ordinary numbers", () => {
      const list = [NaN, Infinity, -Infinity, -0, 1e-45, 3.4028234663852886e38, 2 ** -126, 0.1]
      return compare(list.map((value) => e.const(value, "float32")), [], [], flat(5)) // prettier-ignore
    })
    it("all integers that floats round", () =>
      compare(
        [e.cast(e.add(e.input(0, "int32"), e.const(16777216, "int32")), "float32")],
        ["int32"],
        [flat(391)],
        flat(391),
      ))
  })

  describe("every pattern of strides", () => {
    const layouts: Record<string, Geometry> = {
      contiguous: { shape: [5, 7, 3], strides: [21, 3, 1] },
      "row for all": { shape: [5, 7, 3], strides: [0, 0, 1] },
      "column for all": { shape: [5, 7, 3], strides: [7, 1, 0] },
      "one for all": { shape: [5, 7, 3], strides: [0, 0, 0] },
      transposed: { shape: [5, 7, 3], strides: [1, 5, 35] },
      reversed: { shape: [5, 7, 3], strides: [-21, -3, -1], offset: 104 },
      spread: { shape: [5, 7, 3], strides: [70, 9, 2], offset: 4 },
    }
    for (const dtype of gpuDTypes) {
      const [x, y] = [e.input(0, dtype), e.input(1, dtype)]
      const expr = dtype === "bool" ? e.xor(x, y) : e.max(x, y)
      for (const out of ["contiguous", "transposed", "reversed", "spread"]) {
        it(`${dtype} into ${out}`, async () => {
          for (const first of Object.values(layouts)) {
            for (const second of [layouts["row for all"], layouts.transposed, first]) {
              await compare([expr], [dtype, dtype], [first, second], layouts[out])
            }
          }
        })
      }
    }
    it("touches nothing beyond, for every number of elements and every offset in a word", async () => {
      for (const dtype of gpuDTypes) {
        const x = e.input(0, dtype)
        for (let n = 0; n <= 21; n++) await compare([e.cast(x, dtype)], [dtype], [flat(n, n % 3)], flat(n, n % 5))
      }
    })
    it("writes outputs of all sizes at once", async () => {
      const x = e.input(0, "float32")
      const exprs = [e.gt(x, e.like(x, 0)), e.cast(x, "float16"), e.mul(x, x), e.cast(x, "bfloat16"), e.ne(x, x)]
      for (const n of [1, 2, 3, 4, 5, 6, 7, 16, 391]) {
        await compare(exprs, ["float32"], [flat(n, 1)], flat(n, 4))
        await compare(exprs, ["float32"], [flat(n, 1)], flat(n, 3))
      }
    })
  })

  describe("operands that share memory", () => {
    it("may swap places", async () => {
      for (const dtype of ["float32", "float16", "uint8"] as const) {
        for (const n of [1, 4, 33, 64]) {
          const [a, b] = [place(dtype, flat(n), 1), place(dtype, flat(n), 2)]
          await agree(dtype, { kind: "map", exprs: [e.input(1, dtype), e.input(0, dtype)] }, [a, b], [a, b])
        }
      }
    })
    it("may meet in a word", async () => {
      const [storage, source] = [device.alloc(8), device.alloc(8)]
      device.write(storage, new Uint8Array(8).fill(9))
      device.write(source, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]))
      const view = (of: typeof storage, offset: number) =>
        ({ storage: of, dtype: "uint8", shape: [3], strides: [1], offset }) as const
      const x = e.input(0, "uint8")
      device.run({ kind: "map", exprs: [x, e.neg(x)] }, [view(source, 1)], [view(storage, 0), view(storage, 4)])
      expect([...new Uint8Array(await device.read(storage, 0, 8))]).toEqual([2, 3, 4, 9, 254, 253, 252, 9])
      for (const one of [storage, source]) device.free(one)
    })
  })

  describe("limits", () => {
    /** Runs `body` as if the adapter had other limits. */
    const limited = async (limits: object, body: () => Promise<void>): Promise<void> => {
      const own = device.gpu.device
      const before = own.limits
      const set = (value: object) => Object.defineProperty(own, "limits", { configurable: true, writable: true, value })
      set(limits)
      try {
        await body()
      } finally {
        set(before)
      }
    }
    const few = { maxStorageBuffersPerShaderStage: 4, maxComputeWorkgroupsPerDimension: 65535 }
    const input = (i: number): Expr => e.input(i, "float32")
    const sum = (n: number): Expr => Array.from({ length: n }, (_, i) => input(i)).reduce((a, b) => e.add(a, b))
    const small = (seed: number, layout: Geometry = flat(37)): Operand => {
      const made = place("float32", layout, seed)
      made.data.forEach((_, i) => (made.data[i] = ((i * seed) % 17) - 8))
      return made
    }

    it("an output may read more buffers than a kernel", () =>
      limited(few, async () => {
        const inputs = Array.from({ length: 11 }, (_, i) => small(i + 1, flat(37, i % 4)))
        await agree("11 inputs", { kind: "map", exprs: [sum(11)] }, inputs, [small(99)])
        const bytes = [place("uint8", flat(37, 3), 1), place("bool", flat(37, 5), 2), place("float16", flat(37, 1), 3)]
        const exprs = bytes.map(({ dtype }, i) => e.cast(e.input(i, dtype), "float32")).reduce((a, b) => e.max(a, b))
        await agree("small elements", { kind: "map", exprs: [exprs] }, bytes, [small(99)])
      }))
    it("outputs that are inputs are read before any is written", () =>
      limited(few, async () => {
        const places = Array.from({ length: 7 }, (_, i) => small(i + 3))
        const exprs = places.map((_, i) => e.add(input((i + 1) % 7), e.mul(input(i), input((i + 5) % 7))))
        const before = device.gpu.queue.dispatches
        await agree("7 in place", { kind: "map", exprs }, places, places)
        expect(device.gpu.queue.dispatches - before).toBeGreaterThan(1)
      }))
    it("a fused optimiser step", () =>
      limited(few, async () => {
        const states = Array.from({ length: 9 }, (_, i) => small(i + 3))
        const gradients = [small(31), small(32), small(33)]
        const exprs = [0, 1, 2].flatMap((p) => {
          const [x, m, v, g] = [input(3 * p), input(3 * p + 1), input(3 * p + 2), input(9 + p)]
          const first = e.add(e.mul(m, e.like(m, 0.5)), g)
          const second = e.add(e.mul(v, e.scalar(0, "float32")), e.mul(g, g))
          return [e.sub(x, e.div(first, e.add(e.sqrt(e.abs(second)), e.like(x, 1)))), first, second]
        })
        await agree("3 parameters", { kind: "map", exprs }, [...states, ...gradients], states, exact, [0.25])
      }))
    it("more parameters than the queue takes", () => {
      const shape = [2, 3, 2, 3, 2]
      const turned = (i: number): Geometry => {
        const strides = [1, 2, 6, 12, 36]
        for (let k = 0; k < i % 5; k++) strides.push(strides.shift() as number)
        return { shape, strides: strides.map((stride, d) => (i < 5 * d + 4 ? stride : 0)), offset: i % 7 }
      }
      const inputs = Array.from({ length: 9 }, (_, i) => small(i + 1, turned(i)))
      // Scalars alone are more than 256.
      const many = Array.from({ length: 60 }, (_, i) => e.mul(e.scalar(5 * i, "float32"), input(i % 9)))
      const exprs = [many.reduce((a, b) => e.add(a, b))]
      const scalars = Array.from({ length: 300 }, (_, i) => i % 7)
      return agree(
        "parameters",
        { kind: "map", exprs },
        inputs,
        [small(99, { shape, strides: [36, 12, 6, 2, 1] })],
        exact,
        scalars,
      )
    })
    it("folds dispatches that are too long for one dim", () =>
      limited({ ...few, maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupsPerDimension: 3 }, async () => {
        expect(groupsFor(device.gpu, 256 * 7)).toEqual([3, 3, 1])
        const n = 256 * 7 + 5
        const long = (seed: number): Operand => {
          const data = Float32Array.from({ length: n + 3 }, (_, i) => (i * seed) % 101)
          return { dtype: "float32", shape: [n], strides: [1], offset: 0, data }
        }
        await agree("7 groups", { kind: "map", exprs: [e.add(input(0), input(1))] }, [long(3), long(7)], [long(1)])
      }))
  })
}
