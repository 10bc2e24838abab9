// Loops on int64 as BigInt. Storing into a BigInt64Array wraps modulo 2^64, as C's arithmetic does.
import type { arithmetic, BinaryOperator, bitwise, comparison } from "@rondo/backend"
import type { Loop, StridedCopy } from "./loop.js"

type Big = BigInt64Array

/** By squaring, wrapping. A negative exponent gives the truncated reciprocal: 0 unless the base is 1 or -1. */
function pow(base: bigint, exponent: bigint): bigint {
  if (exponent < 0n) return base === 1n ? 1n : base === -1n ? (exponent & 1n ? -1n : 1n) : 0n
  let result = 1n
  for (; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = BigInt.asIntN(64, result * base)
    base = BigInt.asIntN(64, base * base)
  }
  return result
}

export const int64UnaryLoops: Record<"neg" | "abs" | "not", Loop<Big>> = {
  neg(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = -a[ao + i]
  },
  abs(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] < 0n ? -a[ao + i] : a[ao + i]
  },
  not(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = ~a[ao + i]
  },
}

const arithmeticLoops: Record<Exclude<(typeof arithmetic)[number], "atan2">, Loop<Big>> = {
  add(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] + b[bo + i]
  },
  sub(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] - b[bo + i]
  },
  mul(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] * b[bo + i]
  },
  // BigInt throws on a zero divisor: 0, as for int32.
  div(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = b[bo + i] === 0n ? 0n : a[ao + i] / b[bo + i]
  },
  mod(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = b[bo + i] === 0n ? 0n : a[ao + i] % b[bo + i]
  },
  pow(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = pow(a[ao + i], b[bo + i])
  },
  max(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] > b[bo + i] ? a[ao + i] : b[bo + i]
  },
  min(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] < b[bo + i] ? a[ao + i] : b[bo + i]
  },
}

const bitwiseLoops: Record<(typeof bitwise)[number], Loop<Big>> = {
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
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] << (b[bo + i] & 63n)
  },
  shr(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] >> (b[bo + i] & 63n)
  },
}

const comparisonLoops: Record<(typeof comparison)[number], Loop<Uint8Array, Big>> = {
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

export const int64Where: Loop<Big, Big, Uint8Array> = (n, r, ro, a, ao, b, bo, c, co) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] !== 0 ? b[bo + i] : c[co + i]
}

export const int64Copy: StridedCopy<Big> = (rows, n, r, ro, rRow, rs, a, ao, aRow, as) => {
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

const binary = { ...arithmeticLoops, ...bitwiseLoops, ...comparisonLoops }

/** The loop of a binary operator on int64, or undefined where integers do not have it. */
export const int64Binary = (op: BinaryOperator): Loop | undefined =>
  (binary as Partial<Record<BinaryOperator, Loop>>)[op]
