// Uniform, integer, permutation and coin draws, the same numbers as PyTorch's CPU generator. Normals are in normal.ts.
import type { DType, HostArray } from "@rondo/backend"
import { DTypeError, ValueError, checkDType, hostArray } from "@rondo/backend"
import { checkCount, checkValue, real, realArray } from "./check.js"
import type { RealArrays, RealDType } from "./check.js"
import { fma } from "./fma.js"
import type { Generator } from "./generator.js"

// Sources: PyTorch's aten/src/ATen/core/DistributionsHelper.h and TransformationHelper.h (which bits a draw takes and
// how they become a number) and aten/src/ATen/native/cpu/DistributionTemplates.h (in what order tensors are filled).

/**
 * `n` uniform numbers in [0, 1), as `torch.rand(n)`: one 32-bit draw an element, 64-bit for float64.
 *
 * @throws ValueError when `n` is negative, NaN or fractional; DTypeError for a dtype that is not floating.
 * @example
 * ```ts
 * console.log(rand(new Generator(0), 3)) // Float32Array(3) [0.4962…, 0.7682…, 0.0884…]
 * ```
 */
export function rand<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  dtype: D = "float32" as D,
): RealArrays[D] {
  const out = realArray("rand", n, dtype)
  fillUniform(generator, out, dtype)
  return out
}

/** Uniforms in [0, 1) of `dtype` into the whole of `out`. */
export function fillUniform(generator: Generator, out: RealArrays[RealDType], dtype: RealDType): void {
  const { bits } = generator
  if (dtype === "float32") for (let i = 0; i < out.length; i++) out[i] = bits.uniform24()
  else if (dtype === "float64") for (let i = 0; i < out.length; i++) out[i] = bits.uniform53()
  else {
    const { digits, encode } = real[dtype]
    const mask = 2 ** digits - 1
    for (let i = 0; i < out.length; i++) out[i] = encode((bits.random32() & mask) * 2 ** -digits)
  }
}

/** Bounds and dtype of `uniform`. */
export interface UniformOptions<D extends RealDType> {
  dtype?: D
  /** Smallest value, default 0. */
  from?: number
  /** Upper bound, never exceeded (rounding may reach it, as in PyTorch), default 1. */
  to?: number
}

/**
 * `n` uniform numbers in [from, to), as `tensor.uniform_(from, to)`: `u (to - from) + from` rounded once, with the
 * bounds rounded to the dtype first. PyTorch's default initialisation draws through this.
 *
 * @throws ValueError when `from > to`, a bound lies outside the dtype or their distance does, or `n` is no count.
 */
export function uniform<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, from = 0, to = 1 }: UniformOptions<D> = {},
): RealArrays[D] {
  const out = realArray("uniform_", n, dtype)
  const { max, round, encode } = real[dtype]
  checkValue(from >= -max && from <= max, "uniform_", ["from", from, `a value within ${dtype}`])
  checkValue(to >= -max && to <= max, "uniform_", ["to", to, `a value within ${dtype}`])
  checkValue(from <= to, "uniform_", ["[from, to)", `[${from}, ${to})`, "from <= to"])
  checkValue(to - from <= max, "uniform_", ["to - from", to - from, `a value within ${dtype}`])
  const low = round(from)
  const width = round(round(to) - low)
  fillUniform(generator, out, dtype)
  if (dtype === "float32") {
    // The product of two float32 values is exact in double; storing rounds the sum.
    for (let i = 0; i < n; i++) out[i] = out[i] * width + low
  } else if (dtype === "float64") {
    for (let i = 0; i < n; i++) out[i] = fma(out[i], width, low)
  } else {
    const { decode } = real[dtype]
    for (let i = 0; i < n; i++) out[i] = encode(decode(out[i]) * width + low)
  }
  return out
}

/** The host array of each dtype. */
export type ArrayOf<D extends DType> = D extends RealDType
  ? RealArrays[D]
  : D extends "int64"
    ? BigInt64Array
    : D extends "int32"
      ? Int32Array
      : D extends "uint32"
        ? Uint32Array
        : Uint8Array

/** Bounds and dtype of `randint`. */
export interface RandintOptions<D extends DType> {
  /** Smallest value, default 0. */
  low?: number | bigint
  /** One more than the largest value. */
  high: number | bigint
  /** Default int32. */
  dtype?: D
}

/** Whole numbers that a dtype holds, both ends included; floating ones as far as every whole number is exact. */
function wholeRange(dtype: DType): [bigint, bigint] {
  if (dtype === "bool") return [0n, 1n]
  if (dtype === "uint8") return [0n, 255n]
  if (dtype === "uint32") return [0n, 2n ** 32n - 1n]
  const bits = dtype === "int32" ? 31n : dtype === "int64" ? 63n : BigInt(real[dtype].digits)
  const end = 2n ** bits
  return dtype === "int32" || dtype === "int64" ? [-end, end - 1n] : [-end, end]
}

/**
 * `n` whole numbers in [low, high), as `torch.randint(low, high, [n])` and `tensor.random_(low, high)`: one 32-bit draw
 * modulo the range, a 64-bit draw from a range of 2^32 (int64, float64). Lower values are a little likelier when the
 * range does not divide 2^32, as in PyTorch. int64 comes as a BigInt64Array.
 *
 * @throws ValueError when `low >= high`, a bound is not whole, or the dtype cannot hold every value of the range.
 * @example
 * ```ts
 * console.log(randint(new Generator(0), 4, { high: 10 })) // Int32Array(4) [4, 9, 3, 0]
 * ```
 */
export function randint<D extends DType = "int32">(
  generator: Generator,
  n: number,
  { low = 0, high, dtype = "int32" as D }: RandintOptions<D>,
): ArrayOf<D> {
  checkCount("randint", n)
  checkDType("randint", dtype)
  checkWhole(low, "low")
  checkWhole(high, "high")
  const base = BigInt(low)
  const range = BigInt(high) - base
  checkValue(range > 0n, "randint", ["[low, high)", `[${low}, ${high})`, "low < high"])
  const [min, max] = wholeRange(dtype)
  checkValue(base >= min, "randint", ["low", low, `at least ${min} for ${dtype}`])
  checkValue(BigInt(high) - 1n <= max, "randint", ["high - 1", BigInt(high) - 1n, `at most ${max} for ${dtype}`])
  const out = hostArray(dtype, n)
  const wide = range >= 2n ** 32n && dtype !== "int32"
  if (out instanceof BigInt64Array) {
    if (wide || base < -(2n ** 52n) || base > 2n ** 52n) fillInt64(generator, out, { base, range, wide })
    else fillSmallInt64(generator, out, { base: Number(base), range: Number(range) })
  } else if (wide) {
    const wholes = new BigInt64Array(n)
    fillInt64(generator, wholes, { base, range, wide })
    for (let i = 0; i < n; i++) out[i] = Number(wholes[i])
  } else fillInt(generator, out, { base: Number(base), range: Number(range), dtype })
  return out as ArrayOf<D>
}

function checkWhole(value: unknown, name: string): void {
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return
  throw new ValueError(`randint: ${name}: got ${String(value)}, expected a whole number (a bigint beyond 2^53)`)
}

type NumberArray = Exclude<HostArray, BigInt64Array>

function fillInt(g: Generator, out: NumberArray, to: { base: number; range: number; dtype: DType }): void {
  const { base, range, dtype } = to
  const { bits } = g
  if (dtype === "float16" || dtype === "bfloat16") {
    const { encode } = real[dtype]
    for (let i = 0; i < out.length; i++) out[i] = encode((bits.random32() % range) + base)
  } else for (let i = 0; i < out.length; i++) out[i] = (bits.random32() % range) + base
}

/** Range and values small enough for plain numbers: the two halves are stored without making bigints. */
function fillSmallInt64(g: Generator, out: BigInt64Array, { base, range }: { base: number; range: number }): void {
  const halves = new Int32Array(out.buffer)
  for (let i = 0; i < out.length; i++) {
    const value = (g.bits.random32() % range) + base
    halves[2 * i] = value
    halves[2 * i + 1] = Math.floor(value / 2 ** 32)
  }
}

function fillInt64(g: Generator, out: BigInt64Array, to: { base: bigint; range: bigint; wide: boolean }): void {
  const { base, range, wide } = to
  for (let i = 0; i < out.length; i++) {
    const high = wide ? BigInt(g.bits.random32()) << 32n : 0n
    out[i] = ((high | BigInt(g.bits.random32())) % range) + base
  }
}

/**
 * `n` whole numbers over the natural range of `dtype`, as `tensor.random_()`: [0, 2^31) for int32, [0, 2^63) for int64,
 * [0, 2^32) for uint32, [0, 256) for uint8, 0 or 1 for bool, and [0, 2^digits] for floating dtypes.
 *
 * @throws ValueError when `n` is no count.
 */
export function randomWhole<D extends DType>(generator: Generator, n: number, dtype: D): ArrayOf<D> {
  checkCount("random_", n)
  checkDType("random_", dtype)
  const out = hostArray(dtype, n)
  const { bits } = generator
  if (out instanceof BigInt64Array) fillInt64(generator, out, { base: 0n, range: 2n ** 63n, wide: true })
  else if (dtype === "float64") {
    const range = 2n ** 53n + 1n
    for (let i = 0; i < n; i++) {
      const [high, low] = bits.random64()
      out[i] = Number(((BigInt(high) << 32n) | BigInt(low)) % range)
    }
  } else {
    const whole = dtype === "bool" || dtype === "uint8" || dtype === "int32" || dtype === "uint32"
    const range = whole ? Number(wholeRange(dtype)[1]) + 1 : 2 ** real[dtype as RealDType].digits + 1
    fillInt(generator, out, { base: 0, range, dtype })
  }
  return out as ArrayOf<D>
}

/**
 * A random order of 0 ... n - 1, as `torch.randperm(n)`: for each place but the last, one 32-bit draw picks which of
 * the remaining entries to swap in. The dtype of PyTorch's result does not change the draw, so int32 serves all.
 *
 * @throws ValueError when `n` is no count or exceeds 2^31.
 * @example
 * ```ts
 * console.log(randperm(new Generator(0), 4)) // Int32Array(4) [0, 1, 3, 2]
 * ```
 */
export function randperm(generator: Generator, n: number): Int32Array {
  checkCount("randperm", n)
  checkValue(n <= 2 ** 31, "randperm", ["n", n, "at most 2^31"])
  const order = new Int32Array(n)
  for (let i = 0; i < n; i++) order[i] = i
  for (let i = 0; i < n - 1; i++) {
    const other = i + (generator.bits.random32() % (n - i))
    const kept = order[i]
    order[i] = order[other]
    order[other] = kept
  }
  return order
}

/** Probability and dtype of `bernoulli`. */
export interface BernoulliOptions<D extends DType> {
  /** Probability of a one, 0 to 1. */
  p: number
  /** Default bool. */
  dtype?: D
}

/**
 * `n` ones with probability `p`, else zeros, as `tensor.bernoulli_(p)`: one 64-bit draw an element whatever the dtype.
 *
 * @throws ValueError when `p` is not within [0, 1] or `n` is no count.
 */
export function bernoulli<D extends DType = "bool">(
  generator: Generator,
  n: number,
  { p, dtype = "bool" as D }: BernoulliOptions<D>,
): ArrayOf<D> {
  checkCount("bernoulli_", n)
  checkDType("bernoulli_", dtype)
  checkValue(p >= 0 && p <= 1, "bernoulli_", ["p", p, "a probability within [0, 1]"])
  return coins(generator, n, { p, dtype, one: 1 })
}

function coins<D extends DType>(g: Generator, n: number, to: { p: number; dtype: D; one: number }): ArrayOf<D> {
  const { p, dtype, one } = to
  const out = hostArray(dtype, n)
  // Of a little-endian int64 the first half is enough to hold a one.
  const cells = out instanceof BigInt64Array ? new Int32Array(out.buffer) : out
  const step = dtype === "int64" ? 2 : 1
  const heads = dtype === "float16" || dtype === "bfloat16" ? real[dtype as RealDType].encode(one) : one
  for (let i = 0; i < n; i++) if (g.bits.uniform53() < p) cells[i * step] = heads
  return out as ArrayOf<D>
}

/**
 * One coin an element with its own probability, as `torch.bernoulli(probs)`: float32 probabilities take one 32-bit draw
 * each, float64 ones a 64-bit draw. Ones and zeros come back as bytes.
 *
 * @throws ValueError naming the first probability that is not within [0, 1]; nothing is drawn then.
 */
export function bernoulliTensor(generator: Generator, probs: Float32Array | Float64Array): Uint8Array {
  if (!(probs instanceof Float32Array || probs instanceof Float64Array)) {
    throw new DTypeError("bernoulli: dtype of the probabilities is not float32 or float64")
  }
  for (let i = 0; i < probs.length; i++) {
    checkValue(probs[i] >= 0 && probs[i] <= 1, "bernoulli", [`p at ${i}`, probs[i], "a probability within [0, 1]"])
  }
  const out = new Uint8Array(probs.length)
  const { bits } = generator
  const single = probs instanceof Float32Array
  for (let i = 0; i < out.length; i++) out[i] = (single ? bits.uniform24() : bits.uniform53()) < probs[i] ? 1 : 0
  return out
}

/**
 * The factors of dropout with probability `p`: 0, or 1 / (1 - p) for what is kept, drawn as `bernoulli_(1 - p)`. As in
 * PyTorch, `p = 0` and `p = 1` take no bits.
 *
 * @throws ValueError when `p` is not within [0, 1] or `n` is no count.
 */
export function dropoutMask<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { p, dtype = "float32" as D }: { p: number; dtype?: D },
): RealArrays[D] {
  checkValue(p >= 0 && p <= 1, "dropout", ["p", p, "a probability within [0, 1]"])
  const out = realArray("dropout", n, dtype)
  if (p === 1) return out
  const { round, encode } = real[dtype]
  if (p === 0) return out.fill(encode(1)) as RealArrays[D]
  return coins<RealDType>(generator, n, { p: 1 - p, dtype, one: 1 / round(1 - p) }) as RealArrays[D]
}
