// Loops on float32 and float64. Each result is rounded when it is stored, so float32 is rounded at every operator.
import {
  type BinaryOperator,
  type anyUnary,
  type arithmetic,
  type comparison,
  erf,
  type floatUnary,
  roundHalfEven,
} from "@rondo/backend"
import type { FloatArray, Loop, StridedCopy } from "./loop.js"

type Unary = (typeof floatUnary)[number] | Exclude<(typeof anyUnary)[number], "not">
type Arithmetic = (typeof arithmetic)[number]
type Comparison = (typeof comparison)[number]

/** C's pow: unlike Math.pow, 1 to any power is 1, and so is -1 to an infinite one (C99 F.9.4.4). */
function pow(x: number, y: number): number {
  if (x === 1 || (x === -1 && (y === Infinity || y === -Infinity))) return 1
  return Math.pow(x, y)
}

/** Exact at both ends: never the quotient of two infinities, never 1 / infinity where a denormal is due. */
function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x))
  const t = Math.exp(x)
  return t / (1 + t)
}

export const floatUnaryLoops: Record<Unary, Loop<FloatArray>> = {
  sqrt(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.sqrt(a[ao + i])
  },
  exp(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.exp(a[ao + i])
  },
  expm1(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.expm1(a[ao + i])
  },
  log(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.log(a[ao + i])
  },
  log1p(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.log1p(a[ao + i])
  },
  log2(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.log2(a[ao + i])
  },
  log10(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.log10(a[ao + i])
  },
  sin(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.sin(a[ao + i])
  },
  cos(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.cos(a[ao + i])
  },
  tan(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.tan(a[ao + i])
  },
  asin(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.asin(a[ao + i])
  },
  acos(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.acos(a[ao + i])
  },
  atan(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.atan(a[ao + i])
  },
  sinh(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.sinh(a[ao + i])
  },
  cosh(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.cosh(a[ao + i])
  },
  tanh(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.tanh(a[ao + i])
  },
  sigmoid(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = sigmoid(a[ao + i])
  },
  erf(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = erf(a[ao + i])
  },
  floor(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.floor(a[ao + i])
  },
  ceil(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.ceil(a[ao + i])
  },
  round(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = roundHalfEven(a[ao + i])
  },
  trunc(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.trunc(a[ao + i])
  },
  neg(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = -a[ao + i]
  },
  abs(n, r, ro, a, ao) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.abs(a[ao + i])
  },
}

export const floatArithmeticLoops: Record<Arithmetic, Loop<FloatArray>> = {
  add(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] + b[bo + i]
  },
  sub(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] - b[bo + i]
  },
  mul(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] * b[bo + i]
  },
  div(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] / b[bo + i]
  },
  mod(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] % b[bo + i]
  },
  pow(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = pow(a[ao + i], b[bo + i])
  },
  // Math.max and Math.min hand on NaN, as torch.maximum does and C's fmax does not.
  max(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.max(a[ao + i], b[bo + i])
  },
  min(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.min(a[ao + i], b[bo + i])
  },
  atan2(n, r, ro, a, ao, b, bo) {
    for (let i = 0; i < n; i++) r[ro + i] = Math.atan2(a[ao + i], b[bo + i])
  },
}

export const floatComparisonLoops: Record<Comparison, Loop<Uint8Array, FloatArray>> = {
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

export const floatWhere: Loop<FloatArray, FloatArray, Uint8Array> = (n, r, ro, a, ao, b, bo, c, co) => {
  for (let i = 0; i < n; i++) r[ro + i] = a[ao + i] !== 0 ? b[bo + i] : c[co + i]
}

export const floatCopy: StridedCopy<FloatArray> = (rows, n, r, ro, rRow, rs, a, ao, aRow, as) => {
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

/** The loop of a binary operator on floats, or undefined for the bitwise ones, which floats do not have. */
export const floatBinary = (op: BinaryOperator): Loop | undefined =>
  (floatArithmeticLoops as Partial<Record<BinaryOperator, Loop>>)[op] ??
  (floatComparisonLoops as Partial<Record<BinaryOperator, Loop>>)[op]
