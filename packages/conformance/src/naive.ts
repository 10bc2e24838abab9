// What the kernels mean, in plain JavaScript numbers: the suite's own arithmetic, slow and obvious. Uses no backend.
import {
  byteSize,
  category,
  type DType,
  fromBfloat16,
  fromFloat16,
  isFloat,
  type Operator,
  roundHalfEven,
  toBfloat16,
  toFloat16,
} from "@rondo/backend"

/** `x` as an element of `dtype`: rounded, truncated, wrapped; bools are 0 and 1. */
export function stored(x: number, dtype: DType): number {
  switch (dtype) {
    case "float64":
      return x
    case "float32":
      return Math.fround(x)
    case "float16":
      return fromFloat16(toFloat16(x))
    case "bfloat16":
      return fromBfloat16(toBfloat16(x))
    case "bool":
      return x !== 0 ? 1 : 0
    default:
      return wrap(BigInt(Math.trunc(x)), dtype)
  }
}

function wrap(x: bigint, dtype: DType): number {
  const bits = byteSize(dtype) * 8
  return Number(dtype === "uint8" || dtype === "uint32" ? BigInt.asUintN(bits, x) : BigInt.asIntN(bits, x))
}

/**
 * Error function in double precision: its Taylor series below 1.5, and the continued fraction of erfc above
 * (Abramowitz & Stegun 7.1.6 and 7.1.14).
 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return NaN
  const a = Math.abs(x)
  if (a > 6) return Math.sign(x)
  if (a < 1.5) {
    let term = x
    let sum = x
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && n < 200; n++) sum += term *= (2 * x * x) / (2 * n + 1)
    return x === 0 ? x : (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
  }
  let fraction = 0
  for (let k = 300; k > 0; k--) fraction = k / 2 / (a + fraction)
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)))
}

const unaryFloat: Partial<Record<Operator, (x: number) => number>> = {
  sqrt: Math.sqrt, exp: Math.exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p, log2: Math.log2, log10: Math.log10,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan, sinh: Math.sinh,
  cosh: Math.cosh, tanh: Math.tanh, erf, floor: Math.floor, ceil: Math.ceil, trunc: Math.trunc, round: roundHalfEven,
  sigmoid: (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
  neg: (x) => -x, abs: Math.abs,
} // prettier-ignore

/** C's pow: 1 to any power is 1, also to NaN. */
const powC = (x: number, y: number): number => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y)

const binaryFloat: Partial<Record<Operator, (x: number, y: number) => number>> = {
  add: (x, y) => x + y, sub: (x, y) => x - y, mul: (x, y) => x * y, div: (x, y) => x / y, mod: (x, y) => x % y,
  pow: powC, max: Math.max, min: Math.min, atan2: Math.atan2,
} // prettier-ignore

/** Powers of unsigned numbers are beyond all bounds: 64 bits of them, by squaring. */
function powInteger(x: bigint, y: bigint): bigint {
  if (y === 0n) return 1n
  if (y > 0n) return BigInt.asIntN(64, powInteger(BigInt.asIntN(64, x * x), y / 2n) * (y % 2n === 0n ? 1n : x))
  return x === 1n ? 1n : x === -1n ? (y % 2n === 0n ? 1n : -1n) : 0n
}

function shift(x: bigint, y: bigint, left: boolean, dtype: DType): bigint {
  const count = ((y % BigInt(byteSize(dtype) * 8)) + BigInt(byteSize(dtype) * 8)) % BigInt(byteSize(dtype) * 8)
  return left ? x << count : x >> count
}

const binaryInteger: Partial<Record<Operator, (x: bigint, y: bigint, dtype: DType) => bigint>> = {
  add: (x, y) => x + y, sub: (x, y) => x - y, mul: (x, y) => x * y, div: (x, y) => (y === 0n ? 0n : x / y),
  mod: (x, y) => (y === 0n ? 0n : x % y), pow: powInteger, max: (x, y) => (x > y ? x : y), min: (x, y) => (x < y ? x : y),
  and: (x, y) => x & y, or: (x, y) => x | y, xor: (x, y) => x ^ y,
  shl: (x, y, dtype) => shift(x, y, true, dtype), shr: (x, y, dtype) => shift(x, y, false, dtype),
} // prettier-ignore

const compare: Partial<Record<Operator, (x: number, y: number) => boolean>> = {
  eq: (x, y) => x === y, ne: (x, y) => x !== y, lt: (x, y) => x < y, le: (x, y) => x <= y, gt: (x, y) => x > y, ge: (x, y) => x >= y,
} // prettier-ignore

const logical: Partial<Record<Operator, (x: number, y: number) => number>> = {
  and: (x, y) => x & y, or: (x, y) => x | y, xor: (x, y) => x ^ y, add: (x, y) => x | y, max: (x, y) => x | y,
  mul: (x, y) => x & y, min: (x, y) => x & y, sub: (x, y) => x ^ y,
} // prettier-ignore

/** One operator on elements of `dtype`, or undefined where it is not defined for that dtype. */
export function operate(op: Operator, args: readonly number[], dtype: DType): number | undefined {
  const [x, y, z] = args
  if (op === "where") return x ? y : z
  if (compare[op]) return compare[op](x, y) ? 1 : 0
  if (isFloat(dtype)) {
    const value = unaryFloat[op]?.(x) ?? binaryFloat[op]?.(x, y)
    return value === undefined ? undefined : stored(value, dtype)
  }
  if (category(dtype) === "bool") return op === "not" ? 1 - x : logical[op]?.(x, y)
  if (op === "neg") return wrap(-BigInt(x), dtype)
  if (op === "abs") return wrap(BigInt(Math.abs(x)), dtype)
  if (op === "not") return wrap(~BigInt(x), dtype)
  const f = binaryInteger[op]
  return f ? wrap(f(BigInt(x), BigInt(y), dtype), dtype) : undefined
}

/** Every index of a shape, in row-major order. */
export function indexesOf(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (list, size) => list.flatMap((head) => Array.from({ length: size }, (_, i) => [...head, i])),
    [[]],
  )
}
