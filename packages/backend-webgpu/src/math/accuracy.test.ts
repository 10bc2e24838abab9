// The error of every float function against float64: over a net of all float32 bit patterns, denormals included, and at zeros of both
// signs, infinities, NaN with any payload and the ends of ranges.
import { e, erf, type Expr, type Operator } from "@rondo/backend"
import { afterAll, describe, expect, it } from "vitest"
import { openForTest } from "../../test/testing.js"

const device = await openForTest()

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))
/** C's pow, which differs from JavaScript's where the base is 1 or -1. */
const pow = (x: number, y: number): number => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y)
/** Ties to even, with the sign of x. */
function round(x: number): number {
  const size = Math.abs(x)
  if (!(size < 2 ** 23)) return x
  const rest = size - Math.floor(size)
  const up = rest > 0.5 || (rest === 0.5 && Math.floor(size) % 2 === 1)
  const result = Math.floor(size) + (up ? 1 : 0)
  return x < 0 || Object.is(x, -0) ? -result : result
}
const unary: Readonly<Record<string, (x: number) => number>> = {
  ...{ exp: Math.exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p, log2: Math.log2, log10: Math.log10 },
  ...{ sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan },
  ...{ sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh, sigmoid, erf, sqrt: Math.sqrt, abs: Math.abs },
  ...{ floor: Math.floor, ceil: Math.ceil, trunc: Math.trunc, round, neg: (x: number) => -x },
}
const binary: Readonly<Record<string, (x: number, y: number) => number>> = {
  ...{ pow, atan2: Math.atan2, mod: (x, y) => x % y, div: (x, y) => x / y, max: Math.max, min: Math.min },
}
const compared: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  ...{ eq: (x, y) => x === y, ne: (x, y) => x !== y, lt: (x, y) => x < y, le: (x, y) => x <= y },
  ...{ gt: (x, y) => x > y, ge: (x, y) => x >= y },
}
/** In units in the last place; what is not listed is exact. Measured here they are below 2.7; devices may fuse or divide otherwise. */
const limits: Readonly<Record<string, number>> = {
  ...{ exp: 2, expm1: 3, log: 2, log1p: 3, log2: 3, log10: 3, sinh: 3, cosh: 3, tanh: 3, sigmoid: 4, erf: 3 },
  ...{ sin: 3, cos: 3, tan: 4, asin: 3, acos: 3, atan: 3, atan2: 3, pow: 3 },
}

/** Every 49999th bit pattern; it is a prime, so that all exponents and the mantissas of each are met. */
function net(): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(Math.ceil(2 ** 32 / 49999))
  for (let i = 0; i < bits.length; i++) bits[i] = i * 49999
  return new Float32Array(bits.buffer)
}

/** The distance between neighbouring float32 at x. */
function ulp(x: number): number {
  const size = Math.abs(x)
  let exponent = Math.floor(Math.log2(size))
  if (2 ** exponent > size) exponent--
  return 2 ** (Math.min(127, Math.max(-126, exponent)) - 23)
}

/** The largest error in ulps, and where. Where the exact value is no number, zero or infinite, the result must be just that. */
function worst(got: Float32Array, exact: (i: number) => number): { error: number; at: number } {
  let most = { error: 0, at: -1 }
  for (let i = 0; i < got.length; i++) {
    const want = exact(i)
    if (Object.is(got[i], Math.fround(want))) continue
    const distance = Math.abs(got[i] - want) / ulp(want)
    // Right below the largest float32, infinity may be the nearest.
    if (Math.abs(want) > 3.4028234e38 && got[i] * want > 3.4028234e38) continue
    const error = Number.isNaN(distance) || want === 0 ? Infinity : distance
    if (error > most.error) most = { error, at: i }
  }
  return most
}

const edges = Float32Array.from([
  0, -0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, Infinity, -Infinity, NaN, 1e-45, -1e-45, 1e-40, -1e-40, 2 ** -126, -(2 ** -126),
  3.4028234663852886e38, -3.4028234663852886e38, 88.7, 89, -87.4, -103.5, -104, -150, 1e10, -1e10, 1.6e6, 5e7, 2.4e38,
  16777216, 33554431, 9.0109, 9.02, 0.99999994, 1.0000001, 134217736, 8388607.5, 4194303.8, 2.5, -1.5, 0.49999997,
]) // prettier-ignore
/** Quiet and signalling NaN, of both signs, with bits that integer arithmetic could turn into numbers. */
const payloads = new Float32Array(
  new Uint32Array([0x7f800001, 0xffc12345, 0x7fffffff, 0xff8fffff, 0x7fc00001, 0xffffffff]).buffer,
)

if (device) {
  afterAll(() => device.close())

  const apply = async (op: string, columns: readonly Float32Array[]): Promise<ArrayBuffer> => {
    const build = e[op as Operator] as (...args: Expr[]) => Expr
    const expr = build(...columns.map((_, i) => e.input(i, "float32")))
    const shape = [columns[0].length]
    const view = (bytes: number) => ({ storage: device.alloc(bytes), shape, strides: [1], offset: 0 })
    const inputs = columns.map((column) => ({ ...view(column.byteLength), dtype: "float32" as const }))
    columns.forEach((column, i) => device.write(inputs[i].storage, column))
    const output = { ...view(expr.dtype === "bool" ? shape[0] : 4 * shape[0]), dtype: expr.dtype }
    device.run({ kind: "map", exprs: [expr] }, inputs, [output])
    const result = await device.read(output.storage, 0, output.storage.bytes)
    for (const { storage } of [...inputs, output]) device.free(storage)
    return result
  }
  const check = async (op: string, columns: readonly Float32Array[]): Promise<void> => {
    const got = new Float32Array(await apply(op, columns))
    const f = (unary[op] ?? binary[op]) as (...x: number[]) => number
    const args = (i: number): number[] => columns.map((column) => column[i])
    const { error, at } = worst(got, (i) => f(...args(i)))
    const limit = limits[op] ?? 0
    if (error > limit) {
      expect.fail(`${op}(${args(at).join(", ")}): got ${got[at]}, expected ${f(...args(at))}, ${error} ulp > ${limit}`)
    }
  }
  const x = net()
  const first = Float32Array.from({ length: edges.length ** 2 }, (_, i) => edges[Math.floor(i / edges.length)])
  const second = Float32Array.from({ length: edges.length ** 2 }, (_, i) => edges[i % edges.length])

  describe("float32 functions", () => {
    for (const op of Object.keys(unary)) {
      it(`${op} within ${limits[op] ?? 0} ulp`, async () => {
        await check(op, [x])
        await check(op, [edges])
      })
    }
    for (const op of Object.keys(binary)) {
      it(`${op} within ${limits[op] ?? 0} ulp`, async () => {
        // Any bits with any bits, and bases near 1 or of either sign with exponents that keep the power in range.
        const count = 40_000
        const a = Float32Array.from({ length: count }, (_, i) => {
          if (i % 3 === 0) return x[(i * 7919) % x.length]
          return (i % 7 ? 1 : -1) * 2 ** (((i * 0.6180339887) % 1) * (i % 3 === 1 ? 60 : 1) - 0.5)
        })
        const b = Float32Array.from({ length: count }, (_, i) => {
          if (i % 5 === 0) return x[(i * 104729) % x.length]
          return i % 7 ? ((i * 0.7548776662) % 1) * 40 - 20 : (i % 41) - 20
        })
        await check(op, [a, b])
        // Of two zeros either may be the greater.
        const zeros = op === "max" || op === "min" ? (column: Float32Array) => column.map((v) => v + 0 || 0) : null
        await check(op, zeros ? [zeros(first), zeros(second)] : [first, second])
      })
    }
    for (const [op, f] of Object.entries(compared)) {
      it(`${op} of any two numbers`, async () => {
        const got = new Uint8Array(await apply(op, [first, second]))
        got.forEach((bit, i) => expect(bit, `${first[i]} ${op} ${second[i]}`).toBe(f(first[i], second[i]) ? 1 : 0))
      })
    }
    it("NaN with any payload stays NaN", async () => {
      const twos = new Float32Array(payloads.length).fill(2)
      for (const op of Object.keys(unary)) {
        expect(new Float32Array(await apply(op, [payloads])).every(Number.isNaN), op).toBe(true)
      }
      for (const op of Object.keys(binary)) {
        expect(new Float32Array(await apply(op, [payloads, twos])).every(Number.isNaN), op).toBe(true)
        expect(new Float32Array(await apply(op, [twos, payloads])).every(Number.isNaN), op).toBe(true)
      }
    })
    it("sines next to every multiple of a quarter turn", async () => {
      const turns = Float32Array.from({ length: 50_000 }, (_, i) => (i * i + 1) * (Math.PI / 2))
      for (const op of ["sin", "cos", "tan"]) await check(op, [turns])
    })
    it("powers of two have whole logarithms", async () => {
      const twos = Float32Array.from({ length: 277 }, (_, i) => 2 ** (i - 149))
      const got = new Float32Array(await apply("log2", [twos]))
      expect([...got]).toEqual([...twos].map((_, i) => i - 149))
    })
  })
}
