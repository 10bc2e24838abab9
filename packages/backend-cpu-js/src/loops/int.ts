// Loops on int32, uint32, uint8 and bool. Results wrap when they are stored, as C's unsigned arithmetic does.
import type { arithmetic, BinaryOperator, bitwise, comparison } from "@rondo/backend"
import type { IntArray, Loop, StridedCopy } from "./loop.js"

/** By squaring, wrapping. A negative exponent gives the truncated reciprocal: 0 unless the base is 1 or -1. */
function pow(base: number, exponent: number): number {
  if (exponent < 0) return base === 1 ? 1 : base === -1 ? (exponent & 1 ? -1 : 1) : 0
  let result = 1
  for (; exponent > 0; exponent >>>= 1) {
    if (exponent & 1) result = Math.imul(result, base)
    base = Math.imul(base, base)
  }
  return result
}

export const intUnaryLoops: Record<"neg" | "abs" | "not" | "logicalNot", Loop<IntArray>> = {
  neg(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = -a[ao + i]
  },
  abs(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.abs(a[ao + i])
  },
  not(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = ~a[ao + i]
  },
  logicalNot(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] === 0 ? 1 : 0
  },
}

export const intArithmeticLoops: Record<Exclude<(typeof arithmetic)[number], "atan2">, Loop<IntArray>> = {
  add(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = (a[ao + i] + b[bo + i]) | 0
  },
  sub(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = (a[ao + i] - b[bo + i]) | 0
  },
  mul(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.imul(a[ao + i], b[bo + i])
  },
  // `| 0` makes 0 of the infinity or NaN that a zero divisor gives.
  div(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = (a[ao + i] / b[bo + i]) | 0
  },
  mod(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = (a[ao + i] % b[bo + i]) | 0
  },
  pow(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = pow(a[ao + i], b[bo + i])
  },
  max(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.max(a[ao + i], b[bo + i])
  },
  min(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.min(a[ao + i], b[bo + i])
  },
}

export const intBitwiseLoops: Record<(typeof bitwise)[number], Loop<IntArray>> = {
  and(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] & b[bo + i]
  },
  or(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] | b[bo + i]
  },
  xor(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] ^ b[bo + i]
  },
  shl(n, r, ro, a, ao, b, bo) {
    const mask = a.BYTES_PER_ELEMENT * 8 - 1
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] << (b[bo + i] & mask)
  },
  shr(n, r, ro, a, ao, b, bo) {
    const mask = a.BYTES_PER_ELEMENT * 8 - 1
    // The one operator in which the sign of what is stored shows.
    if (a instanceof Uint32Array) for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] >>> (b[bo + i] & mask)
    else for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] >> (b[bo + i] & mask)
  },
}

export const intComparisonLoops: Record<(typeof comparison)[number], Loop<Uint8Array, IntArray>> = {
  eq(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] === b[bo + i] ? 1 : 0
  },
  ne(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] !== b[bo + i] ? 1 : 0
  },
  lt(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] < b[bo + i] ? 1 : 0
  },
  le(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] <= b[bo + i] ? 1 : 0
  },
  gt(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] > b[bo + i] ? 1 : 0
  },
  ge(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] >= b[bo + i] ? 1 : 0
  },
}

export const intWhere: Loop<IntArray, IntArray, Uint8Array> = (n, r, ro, a, ao, b, bo, c, co) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] !== 0 ? b[bo + i] : c[co + i]
}

export const intCopy: StridedCopy<IntArray> = (rows, n, r, ro, rRow, rs, a, ao, aRow, as) => {
  for (let j = 0; j < rows; j++) {
    let to = ro + j * rRow
    let from = ao + j * aRow
    for (let i = 0; i < n; i++) {
      r[to] = a[from]
      to += rs
      from += as
    }
  }
}

const binary = { ...intArithmeticLoops, ...intBitwiseLoops, ...intComparisonLoops }

/** The loop of a binary operator on int32, uint32 or uint8, or undefined where integers do not have it. */
export const intBinary = (op: BinaryOperator): Loop | undefined => (binary as Partial<Record<BinaryOperator, Loop>>)[op]

// On 0 and 1: a sum is true if one is, a product if both are, a difference if they differ (NumPy's reading of bool).
const boolArithmetic: Partial<Record<BinaryOperator, Loop>> = {
  add: intBitwiseLoops.or,
  mul: intBitwiseLoops.and,
  sub: intBitwiseLoops.xor,
  max: intBitwiseLoops.or,
  min: intBitwiseLoops.and,
  and: intBitwiseLoops.and,
  or: intBitwiseLoops.or,
  xor: intBitwiseLoops.xor,
  ...(intComparisonLoops as Record<(typeof comparison)[number], Loop>),
}

/** The loop of a binary operator on bool, or undefined where bool does not have it. */
export const boolBinary = (op: BinaryOperator): Loop | undefined => boolArithmetic[op]
