// Trigonometric functions and their inverses on two float64; float32 operands are widened. fmod, exact, is here too since
// it is reduced the same way.
import type { Local, Value } from "../assembler/function.js"
import { type Precision, roundingMagic } from "./exponential.js"
import { doubleOf, Formula, type Inline } from "./formula.js"

// pi/2 in parts of 33 bits, each product of which with a number of 20 bits is exact, and what each leaves: FreeBSD's
// msun, e_rem_pio2.c.
const piHalf1 = 1.57079632673412561417
const piHalf1Tail = 6.07710050650619224932e-11
const piHalf2 = 6.0771005063039659766e-11
const piHalf2Tail = 2.02226624879595063154e-21
/** Beyond 2^20 quarter turns the parts are too coarse. */
export const largestAngle = 1.6e6

/** Coefficients of the Taylor series from x^first / first! on, in x^2, signs alternating from minus or plus; highest first. */
function taylor(first: number, count: number, sign: number): number[] {
  const list: number[] = []
  let factorial = 1
  for (let i = 2, left = count; left > 0; i++) {
    factorial *= i
    if (i < first || (i - first) % 2) continue
    list.unshift(sign / factorial)
    sign = -sign
    left--
  }
  return list
}
// For |r| <= pi/4 the first term left out is below half a bit of the result.
const sinTerms: Record<Precision, readonly number[]> = { 24: taylor(3, 5, -1), 53: taylor(3, 8, -1) }
const cosTerms: Record<Precision, readonly number[]> = { 24: taylor(4, 5, 1), 53: taylor(4, 7, 1) }

/** An angle less its quarter turns, in two parts (the second only for 53 bits); the turns are in the low bits of `turns`. */
interface Angle {
  readonly turns: Local
  readonly r: Local
  readonly tail: Local | null
}

function reduce(m: Formula, x: Local, precision: Precision): Angle {
  const turns = m.keep(m.madd(x, m.c(2 / Math.PI), m.c(roundingMagic)))
  const n = m.keep(m.sub(turns, m.c(roundingMagic)))
  const first = m.keep(m.madd(n, m.c(-piHalf1), x))
  if (precision === 24) return { turns, r: m.keep(m.madd(n, m.c(-piHalf1Tail), first)), tail: null }
  const second = m.keep(m.mul(n, m.c(piHalf2)))
  const rest = m.keep(m.sub(first, second))
  // What the subtraction lost, and the third part.
  const lost = m.sub(m.sub(first, rest), second)
  const correction = m.keep(m.madd(n, m.c(-piHalf2Tail), lost))
  const r = m.keep(m.add(rest, correction))
  return { turns, r, tail: m.keep(m.add(m.sub(rest, r), correction)) }
}

/** Sine and cosine of a reduced angle. */
function kernels(m: Formula, { r, tail }: Angle, precision: Precision): readonly [Local, Local] {
  const z = m.keep(m.mul(r, r))
  const cubic = m.mul(m.mul(r, z), m.polynomial(z, sinTerms[precision]))
  const quartic = m.mul(m.mul(z, z), m.polynomial(z, cosTerms[precision]))
  const half = m.keep(m.mul(z, m.c(0.5)))
  if (!tail) return [m.keep(m.add(r, cubic)), m.keep(m.add(m.sub(m.c(1), half), quartic))]
  // cos(r + tail) = cos(r) - r * tail and sin(r + tail) = sin(r) + tail * (1 - r^2 / 2); 1 - half is rounded, and what that
  // lost is added.
  const near = m.keep(m.sub(m.c(1), half))
  const lost = m.sub(m.sub(m.c(1), near), half)
  const cos = m.add(near, m.add(lost, m.sub(quartic, m.mul(r, tail))))
  return [m.keep(m.add(r, m.madd(tail, near, cubic))), m.keep(cos)]
}

const [bitOne, bitTwo] = [doubleOf(1n), doubleOf(2n)]
const isEven = (m: Formula, turns: Value): Value => m.sameBits(m.and(turns, m.c(bitOne)), m.c(0))
/** The sign that the second bit of the number of quarter turns stands for. */
const signOf = (m: Formula, turns: Value): Value => m.shiftLeft(m.and(turns, m.c(bitTwo)), 62)

/** sin for angles up to `largestAngle`. */
export const sin =
  (precision: Precision): Inline =>
  (code, x) => {
    const m = new Formula(code, "f64x2")
    const angle = reduce(m, x, precision)
    const [s, c] = kernels(m, angle, precision)
    const result = m.xor(m.select(isEven(m, angle.turns), s, c), signOf(m, angle.turns))
    // Sums lose the sign of zero.
    return m.select(m.is("eq", x, m.c(0)), x, result)
  }

/** cos for angles up to `largestAngle`. */
export const cos =
  (precision: Precision): Inline =>
  (code, x) => {
    const m = new Formula(code, "f64x2")
    const angle = reduce(m, x, precision)
    const [s, c] = kernels(m, angle, precision)
    const next = m.keep(m.addBits(angle.turns, m.c(bitOne)))
    return m.xor(m.select(isEven(m, next), s, c), signOf(m, next))
  }

/** tan for widened float32 up to `largestAngle`. */
export const tan: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  const angle = reduce(m, x, 24)
  const [s, c] = kernels(m, angle, 24)
  const even = m.keep(isEven(m, angle.turns))
  const top = m.select(even, s, m.f.op("f64x2.neg", c))
  const quotient = m.div(top, m.select(even, c, s))
  return m.select(m.is("eq", x, m.c(0)), x, quotient)
}

// atan(t) = t - t^3 * (these in t^2) for |t| < 7/16, relative error below 2^-58: FreeBSD's msun, s_atan.c.
const atanCoefficients = [
  1.62858201153657823623e-2, -3.65315727442169155270e-2, 4.97687799461593236017e-2, -5.83357013379057348645e-2,
  6.66107313738753120669e-2, -7.69187620504482999495e-2, 9.09088713343650656196e-2, -1.11111104054623557880e-1,
  1.42857142725034663711e-1, -1.99999999998764832476e-1, 3.33333333333329318027e-1,
] // prettier-ignore
const tanEighth = Math.SQRT2 - 1

/** The angle of the point (x, y), for widened float32: any float64 between 2^-600 and 2^600 or 0 will do. */
export const atan2: Inline = (code, y, x) => {
  const m = new Formula(code, "f64x2")
  // With limits that no float32 reaches, infinities and zeros give the quotients that C wants.
  const [height, width] = [y, x].map((v) => m.keep(m.atMost(m.abs(v), 2 ** 600)))
  // In this order of operands NaN in either of them stays.
  const top = m.keep(m.f.op("f64x2.pmin", height, width))
  const bottom = m.keep(m.atLeast(m.f.op("f64x2.pmax", width, height), 2 ** -600))
  // Between 22.5 and 45 degrees: atan(a/b) = pi/4 + atan((a - b) / (a + b)).
  const far = m.keep(m.is("gt", top, m.mul(bottom, m.c(tanEighth))))
  const t = m.keep(m.div(m.sub(top, m.and(far, bottom)), m.add(bottom, m.and(far, top))))
  const z = m.keep(m.mul(t, t))
  const near = m.sub(t, m.mul(m.mul(t, z), m.polynomial(z, atanCoefficients)))
  const eighth = m.keep(m.add(near, m.and(far, m.c(Math.PI / 4))))
  const steep = m.is("gt", height, width)
  const quarter = m.keep(m.select(steep, m.sub(m.c(Math.PI / 2), eighth), eighth))
  // -0 counts as negative: the sign bit decides.
  const left = m.f.op("i64x2.lt_s", x, m.c(0))
  return m.copySign(m.select(left, m.sub(m.c(Math.PI), quarter), quarter), y)
}

/** atan for widened float32. */
export const atan: Inline = (code, x) => atan2(code, x, code.f.keep(code.constant("f64", 1)))

/** sqrt(1 - x^2), without loss near 1; NaN beyond. */
function cosineOf(m: Formula, x: Local): Local {
  const product = m.mul(m.sub(m.c(1), x), m.add(m.c(1), x))
  return m.keep(m.f.op("f64x2.sqrt", product))
}

/** asin for widened float32. */
export const asin: Inline = (code, x) => atan2(code, x, cosineOf(new Formula(code, "f64x2"), x))

/** acos for widened float32. */
export const acos: Inline = (code, x) => atan2(code, cosineOf(new Formula(code, "f64x2"), x), x)

/** Quotients up to this are whole and exact in float64, times a float32. */
export const largestQuotient = 2 ** 28

/** C's fmod for widened float32 whose quotient is at most `largestQuotient`: exact. */
export const mod: Inline = (code, x, y) => {
  const m = new Formula(code, "f64x2")
  const whole = m.f.op("f64x2.trunc", m.div(x, y))
  const rest = m.copySign(m.sub(x, m.mul(whole, y)), x)
  // 0 times infinity is no number.
  const far = m.and(m.is("eq", m.abs(y), m.c(Infinity)), m.is("lt", m.abs(x), m.c(Infinity)))
  return m.select(far, x, rest)
}
