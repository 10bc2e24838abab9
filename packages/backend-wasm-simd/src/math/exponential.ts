// e^x and what comes from it, on two float64: for float64 itself and, with fewer terms, for float32 that was widened.
import type { Local, Value } from "../assembler/function.js"
import { Formula, type Inline } from "./formula.js"

/** Bits that results must be right to: those of float32 or of float64. Formulas have terms enough for it. */
export type Precision = 24 | 53

// Adding 1.5 * 2^52 rounds to a whole number, which is then in the low bits of the sum.
export const roundingMagic = 6755399441055744
// ln 2 in two parts, the first with 32 bits: FreeBSD's msun, e_exp.c.
const ln2High = 6.9314718036912381649e-1
const ln2Low = 1.90821492927058770002e-10

/** 1/n!, 1/(n-1)!, …, 1/2!: with |r| <= ln(2) / 2 the next term, r^(n+1) / (n+1)!, is below half a bit of the result. */
function factorials(n: number): number[] {
  const list: number[] = []
  for (let i = 2, f = 2; i <= n; f *= ++i) list.unshift(1 / f)
  return list
}
const terms: Record<Precision, readonly number[]> = { 24: factorials(9), 53: factorials(13) }

/** e^x = 2^n * (1 + less), where n is in the low bits of `bits` and also the number `n`. */
interface Split {
  readonly bits: Local
  readonly n: Local
  readonly less: Local
}

/** e^x by the power of two next to it. `x` must be so small that n has at most 20 bits. */
export function split(m: Formula, x: Local, precision: Precision): Split {
  const bits = m.keep(m.madd(x, m.c(Math.LOG2E), m.c(roundingMagic)))
  const n = m.keep(m.sub(bits, m.c(roundingMagic)))
  const r = m.keep(m.madd(n, m.c(-ln2Low), m.madd(n, m.c(-ln2High), x)))
  return { bits, n, less: expm1Near(m, r, precision) }
}

/** e^r - 1 for |r| <= ln(2) / 2. */
function expm1Near(m: Formula, r: Local, precision: Precision): Local {
  return m.keep(m.madd(m.polynomial(r, terms[precision]), m.mul(r, r), r))
}

/** 2^n from its low bits, for n that a normal float64 can have as exponent. */
export const powerOfTwo = (m: Formula, bits: Value): Value => m.addBits(m.shiftLeft(bits, 52), m.c(1))

/** 2^t for |t| < 1000, with `precision`. */
export function exp2(m: Formula, t: Local, precision: Precision): Value {
  const bits = m.keep(m.add(t, m.c(roundingMagic)))
  const r = m.keep(m.mul(m.sub(t, m.sub(bits, m.c(roundingMagic))), m.c(Math.LN2)))
  return m.mul(m.add(expm1Near(m, r, precision), m.c(1)), powerOfTwo(m, bits))
}

/** e^x - 1 for x below 700; the sign of zero is lost. */
export function expm1Core(m: Formula, x: Local, precision: Precision): Value {
  const { bits, less } = split(m, x, precision)
  const scale = m.keep(powerOfTwo(m, bits))
  return m.madd(less, scale, m.sub(scale, m.c(1)))
}

/** e^x over the whole range of float64, denormal results too. */
export const exp: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  const clamped = m.keep(m.atLeast(m.atMost(x, 710), -746))
  const { n, less } = split(m, clamped, 53)
  // 2^n itself may be out of range: two factors.
  const half = m.keep(m.madd(n, m.c(0.5), m.c(roundingMagic)))
  const rest = m.add(m.sub(n, m.sub(half, m.c(roundingMagic))), m.c(roundingMagic))
  return m.mul(m.mul(m.add(less, m.c(1)), powerOfTwo(m, half)), powerOfTwo(m, rest))
}

/** 1 / (1 + z) or z / (1 + z) with z = e^-|x|, which cannot overflow. */
export const sigmoid: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  const z = m.keep(exp(code, m.keep(m.or(x, m.c(-0)))))
  const negative = m.is("lt", x, m.c(0))
  return m.div(m.select(negative, z, m.c(1)), m.add(z, m.c(1)))
}

/** expm1(2|x|) / (expm1(2|x|) + 2), then the sign. */
export const tanh: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  // From 19.07 on the result rounds to 1.
  const size = m.keep(m.atMost(m.abs(x), 20))
  const less = m.keep(expm1Core(m, m.keep(m.add(size, size)), 53))
  return m.copySign(m.div(less, m.add(less, m.c(2))), x)
}

/** e^x - 1 for widened float32. */
export const expm1: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  return m.copySign(expm1Core(m, m.keep(m.atLeast(m.atMost(x, 100), -100)), 24), x)
}

/** sinh for widened float32: (e + e / (e + 1)) / 2 with e = expm1(|x|). */
export const sinh: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  const less = m.keep(expm1Core(m, m.keep(m.atMost(m.abs(x), 100)), 24))
  const both = m.add(less, m.div(less, m.add(less, m.c(1))))
  return m.copySign(m.mul(both, m.c(0.5)), x)
}

/** cosh for widened float32. */
export const cosh: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  const whole = m.keep(m.add(expm1Core(m, m.keep(m.atMost(m.abs(x), 100)), 24), m.c(1)))
  return m.mul(m.add(whole, m.div(m.c(1), whole)), m.c(0.5))
}

// erf(x) = x + x * sum of (-1)^n 2/sqrt(pi) / (n! (2n+1)) x^2n, less 1 in the first term (Abramowitz & Stegun 7.1.5).
const erfSeries = Array.from({ length: 18 }, (_, k) => {
  const n = 17 - k
  let factorial = 1
  for (let i = 2; i <= n; i++) factorial *= i
  return n === 0 ? 0.12837916709551256 : ((n % 2 ? -1 : 1) * 1.1283791670955126) / (factorial * (2 * n + 1))
})
const erfSeriesEnd = 0.9375
// (1 - erf(y)) * e^(y^2) from 0.46875 to 4: W. J. Cody, Math. Comp. 23 (1969), 631-637, coefficients of CALERF (netlib).
// Beyond 4, where 1 - erf(y) is below 2e-8, it is good for as many digits as 1 - (that) needs.
const codyTop = [
  2.15311535474403846e-8, 0.564188496988670089, 8.88314979438837594, 66.1191906371416295, 298.635138197400131,
  881.95222124176909, 1712.04761263407058, 2051.07837782607147, 1230.33935479799725,
] // prettier-ignore
const codyBottom = [
  1, 15.7449261107098347, 117.693950891312499, 537.181101862009858, 1621.38957456669019, 3290.79923573345963,
  4362.61909014324716, 3439.36767414372164, 1230.33935480374942,
] // prettier-ignore

/** The error function in float64. */
export const erf: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  // From 5.93 on the result rounds to 1.
  const size = m.keep(m.atMost(m.abs(x), 6))
  const square = m.keep(m.mul(size, size))
  const lower = m.keep(m.madd(m.polynomial(square, erfSeries), x, x))
  const negated = m.keep(m.f.op("f64x2.neg", square))
  const { bits, less } = split(m, negated, 53)
  const decay = m.keep(m.mul(m.add(less, m.c(1)), powerOfTwo(m, bits)))
  const quotient = m.div(m.polynomial(size, codyTop), m.polynomial(size, codyBottom))
  const upper = m.sub(m.c(1), m.mul(decay, quotient))
  return m.select(m.is("gt", size, m.c(erfSeriesEnd)), m.copySign(upper, x), lower)
}
