// Logarithms and powers on two float64: for float64 itself and, with fewer terms, for float32 that was widened.
import type { Local, Value } from "../assembler/function.js"
import { exp2, type Precision } from "./exponential.js"
import { doubleOf, Formula, type Inline } from "./formula.js"

const ln2High = 6.9314718036912381649e-1
const ln2Low = 1.90821492927058770002e-10
// What moves sqrt(1/2) to 1 when added to a double's bits, so that exponents count from there.
const fromRoot = doubleOf(0x3ff0000000000000n - 0x3fe6a09e667f3bcdn)
// 2^52 + n has n in its low bits.
const counterMagic = 2 ** 52

// log(1 + f) = 2 atanh(s) with s = f / (2 + f), and |s| <= 0.1716: 2/3 s^2 + 2/5 s^4 + …, highest first.
const atanhTerms = (n: number): number[] => Array.from({ length: n }, (_, k) => 2 / (2 * (n - k) + 1))
const terms: Record<Precision, readonly number[]> = { 24: atanhTerms(6), 53: atanhTerms(10) }

/** x = 2^k * (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), and the log of 1 + f as s * (2 + tail). */
interface Parts {
  readonly k: Local
  readonly f: Local
  readonly s: Local
  readonly tail: Local
}

/** Takes a positive normal number apart. */
function parts(m: Formula, x: Local, precision: Precision): Parts {
  const above = m.keep(m.addBits(x, m.c(fromRoot)))
  const biased = m.or(m.shiftRight(above, 52), m.c(counterMagic))
  const k = m.keep(m.sub(biased, m.c(counterMagic + 1023)))
  const mantissa = m.addBits(m.subBits(x, m.and(above, m.c(-Infinity))), m.c(1))
  const f = m.keep(m.sub(mantissa, m.c(1)))
  const s = m.keep(m.div(f, m.add(f, m.c(2))))
  const square = m.keep(m.mul(s, s))
  const tail = m.keep(m.mul(m.polynomial(square, terms[precision]), square))
  return { k, f, s, tail }
}

/** `result` for positive finite x, else what every logarithm gives. */
function edges(m: Formula, x: Local, result: Value): Value {
  const upper = m.select(m.is("lt", x, m.c(Infinity)), result, x)
  const lower = m.select(m.is("eq", x, m.c(0)), m.c(-Infinity), m.c(NaN))
  return m.select(m.is("le", x, m.c(0)), lower, upper)
}

/** The natural logarithm in float64, also of denormals. */
export const log: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  const denormal = m.keep(m.is("lt", x, m.c(2 ** -1022)))
  const normal = m.keep(m.select(denormal, m.mul(x, m.c(2 ** 54)), x))
  const p = parts(m, normal, 53)
  const k = m.keep(m.sub(p.k, m.and(denormal, m.c(54))))
  const { f, s, tail } = p
  // s * (2 + tail) = f - half + s * (half + tail), which loses less: FreeBSD's msun, e_log.c.
  const half = m.keep(m.mul(m.mul(f, f), m.c(0.5)))
  const small = m.madd(s, m.add(half, tail), m.mul(k, m.c(ln2Low)))
  return edges(m, x, m.madd(k, m.c(ln2High), m.sub(f, m.sub(half, small))))
}

/** The logarithm in which 2 has `perOctave`, for positive finite widened float32, which are never denormal. */
function scaled(m: Formula, x: Local, perOctave: number): Value {
  const { k, s, tail } = parts(m, x, 24)
  const scale = perOctave / Math.LN2
  const near = m.madd(m.mul(s, tail), m.c(scale), m.mul(s, m.c(2 * scale)))
  return m.madd(k, m.c(perOctave), near)
}

/** log2 for widened float32: exact for powers of two. */
export const log2: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  return edges(m, x, scaled(m, x, 1))
}

/** log10 for widened float32. */
export const log10: Inline = (code, x) => {
  const m = new Formula(code, "f64x2")
  return edges(m, x, scaled(m, x, Math.LOG10E * Math.LN2))
}

/** |x|^y for widened float32. */
export const pow: Inline = (code, x, y) => {
  const m = new Formula(code, "f64x2")
  const size = m.keep(m.abs(x))
  const above = m.select(m.is("lt", size, m.c(Infinity)), scaled(m, size, 1), size)
  const log2 = m.select(m.is("eq", size, m.c(0)), m.c(-Infinity), above)
  return exp2(m, m.keep(m.atLeast(m.atMost(m.mul(y, log2), 200), -200)), 24)
}

/** What C's pow makes of |x|^y (C99 F.9.4.4), in any float type. */
export function finishPow(m: Formula, power: Value, x: Local, y: Local): Value {
  const [zero, one, infinite] = [m.c(0), m.c(1), m.c(Infinity)]
  const size = m.keep(m.abs(x))
  const half = m.keep(m.mul(y, m.c(0.5)))
  const whole = m.keep(m.is("eq", m.floor(y), y))
  const odd = m.and(whole, m.is("ne", m.floor(half), half))
  const signed = m.xor(power, m.and(odd, m.and(x, m.c(-0))))
  // A negative finite base has no power that is not whole.
  const missing = m.f.op("v128.andnot", m.and(m.is("lt", x, zero), m.is("lt", size, infinite)), whole)
  const real = m.select(missing, m.c(NaN), signed)
  // These are 1 whatever the other operand is, NaN included; -1 to an infinite power is 1 too.
  const endless = m.and(m.is("eq", size, one), m.is("eq", m.abs(y), infinite))
  const trivial = m.or(m.or(m.is("eq", x, one), m.is("eq", y, zero)), endless)
  return m.select(trivial, one, real)
}
