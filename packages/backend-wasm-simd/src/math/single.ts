// The hot functions of float32, in float32 arithmetic alone: exp, sigmoid, tanh, log and erf. Emitted in place.
import type { Local, Value } from "../assembler/function.js"
import type { VectorCode } from "../code.js"
import { Formula, type Inline } from "./formula.js"

const single = (code: VectorCode): Formula => new Formula(code, "f32x4")

// Adding 1.5 * 2^23 rounds to a whole number, which is then in the low bits of the sum.
const roundingMagic = 12582912
// ln 2 in two parts: the first has so few bits that its product with any exponent is exact.
const ln2High = 0.693145751953125
const ln2Low = 1.42860682030941723212e-6
// exp(r) = 1 + r + r^2 * (these) for |r| <= ln(2) / 2: S. L. Moshier, Cephes, single/expf.c.
const expCoefficients = [
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
] // prettier-ignore

/** x = n ln 2 + r with |r| <= ln(2) / 2, and exp(r) = 1 + r + square * rest. `bits` has n in its low bits. */
interface Reduced {
  readonly bits: Local
  readonly r: Local
  readonly square: Local
  readonly rest: Value
}

/**
 * With `fine` false the product of n and ln 2 is rounded once more: for results that hardly feel a large n.
 * What bounds these functions is how long each waits for its own last result, so sums are written as trees, not as chains.
 */
function reduce(m: Formula, x: Local, bits: Local, fine = true): Reduced {
  const n = m.keep(m.sub(bits, m.c(roundingMagic)))
  const coarse = m.madd(n, m.c(fine ? -ln2High : -Math.LN2), x)
  const r = m.keep(fine ? m.madd(n, m.c(-ln2Low), coarse) : coarse)
  const square = m.keep(m.mul(r, r))
  const [a, b, c] = [0, 2, 4].map((i) => m.madd(m.c(expCoefficients[i]), r, m.c(expCoefficients[i + 1])))
  return { bits, r, square, rest: m.madd(m.madd(a, square, b), square, c) }
}

/** The nearest whole number to x * factor, in the low bits. */
const round = (m: Formula, x: Value, factor: number): Local => m.keep(m.madd(x, m.c(factor), m.c(roundingMagic)))

/** n as a sum of two halves, each shifted to where exponents are: 2^n itself may be too large or small for a float. */
function halves(m: Formula, bits: Local): readonly [Local, Value] {
  const shifted = m.keep(m.shiftLeft(bits, 23))
  const first = m.keep(m.and(m.shiftRight(shifted, 1), m.c(-Infinity)))
  return [first, m.subBits(shifted, first)]
}

/** e^x over the whole range, denormal results too. */
export const exp: Inline = (code, x) => {
  const m = single(code)
  // Beyond these the result is infinite or rounds to 0 anyway.
  const clamped = m.keep(m.atLeast(m.atMost(x, 89), -104))
  const { bits, r, square, rest } = reduce(m, clamped, round(m, clamped, Math.LOG2E))
  const [first, second] = halves(m, bits)
  const one = m.c(1)
  const power = m.madd(rest, square, m.add(r, one))
  return m.mul(m.mul(power, m.addBits(first, one)), m.addBits(second, one))
}

/**
 * e^x / (1 + e^x). With e^x = p * 2^a * 2^b it is p * 2^a / (2^-b + p * 2^a), where nothing overflows and the quotient alone
 * may be denormal: so there is no case to tell apart.
 */
export const sigmoid: Inline = (code, x) => {
  const m = single(code)
  const clamped = m.keep(m.atLeast(m.atMost(x, 104), -104))
  const { bits, r, square, rest } = reduce(m, clamped, round(m, clamped, Math.LOG2E))
  const [first, second] = halves(m, bits)
  const one = m.c(1)
  const power = m.madd(rest, square, m.add(r, one))
  const top = m.keep(m.mul(power, m.addBits(first, one)))
  return m.div(top, m.add(top, m.subBits(one, second)))
}

// tanh(x) = x + x^3 * (these in x^2), relative error below 4e-9 up to 0.2556: a minimax fit (Remez' exchange in 40 digits).
const tanhCoefficients = [-5.13223318332e-2, 1.33234435169e-1, -3.33332276738e-1]
// Where tanh reaches 1/4: right below it the quotient's three roundings add up to 2.4 ulp, above it to 1.5.
const tanhSplit = 0.2555

/** (e^2|x| - 1) / (e^2|x| + 1), the numerator as expm1 without cancellation; near 0 a polynomial. */
export const tanh: Inline = (code, x) => {
  const m = single(code)
  const sign = m.keep(m.and(x, m.c(-0)))
  // From 9.011 on the result rounds to 1.
  const size = m.keep(m.atMost(m.xor(x, sign), 9.02))
  const bits = round(m, size, 2 * Math.LOG2E)
  const { r, square, rest } = reduce(m, m.keep(m.add(size, size)), bits, false)
  const scale = m.keep(m.addBits(m.shiftLeft(bits, 23), m.c(1)))
  const less = m.keep(m.madd(rest, m.mul(square, scale), m.madd(r, scale, m.sub(scale, m.c(1)))))
  const far = m.keep(m.div(less, m.add(less, m.c(2))))
  const z = m.keep(m.mul(size, size))
  const near = m.madd(m.mul(size, z), m.polynomial(z, tanhCoefficients), size)
  return m.or(m.select(m.is("lt", size, m.c(tanhSplit)), near, far), sign)
}

// log(1 + f) = f - f^2 / 2 + f^3 * (these) for sqrt(1/2) <= 1 + f < sqrt(2), and ln 2 in two parts: Cephes, single/logf.c.
const logCoefficients = [
  7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
] // prettier-ignore
const logTwoHigh = 0.693359375
const logTwoLow = -2.1219444e-4
const smallestNormal = 2 ** -126

/** x = 2^k * (1 + f) with 1 + f between sqrt(1/2) and sqrt(2). `exponent` has k in the bits of sign and exponent. */
function takeApart(m: Formula, x: Local): { k: Value; f: Value; exponent: Local } {
  const above = m.keep(m.subBits(x, m.c(Math.SQRT1_2)))
  const exponent = m.keep(m.and(above, m.c(-Infinity)))
  const k = m.f.op("f32x4.convert_i32x4_s", m.shiftRight(above, 23))
  return { k, f: m.sub(m.subBits(x, exponent), m.c(1)), exponent }
}

/** k ln 2 + log(1 + f), where x is finite and above 0; else what a logarithm of x gives. */
function putTogether(m: Formula, k: Local, f: Local, x: Local): Value {
  const square = m.keep(m.mul(f, f))
  const cubic = m.mul(m.mul(f, square), m.polynomial(f, logCoefficients))
  const small = m.madd(square, m.c(-0.5), m.madd(k, m.c(logTwoLow), cubic))
  const result = m.madd(k, m.c(logTwoHigh), m.add(f, small))
  const upper = m.select(m.is("lt", x, m.c(Infinity)), result, x)
  const lower = m.select(m.is("eq", x, m.c(0)), m.c(-Infinity), m.c(NaN))
  return m.select(m.is("le", x, m.c(0)), lower, upper)
}

/** The natural logarithm, also of denormals. */
export const log: Inline = (code, x) => {
  const m = single(code)
  const denormal = m.keep(m.is("lt", x, m.c(smallestNormal)))
  const normal = m.keep(m.select(denormal, m.mul(x, m.c(2 ** 23)), x))
  const { k, f } = takeApart(m, normal)
  return putTogether(m, m.keep(m.sub(k, m.and(denormal, m.c(23)))), m.keep(f), x)
}

/** log(1 + x). What rounding 1 + x lost is added to f again. */
export const log1p: Inline = (code, x) => {
  const m = single(code)
  const one = m.c(1)
  const u = m.keep(m.add(x, one))
  const { k, f, exponent } = takeApart(m, u)
  // Nothing is lost that counts where u is large, and 2^-k may be no number there.
  const lost = m.mul(m.sub(x, m.sub(u, one)), m.subBits(one, exponent))
  const whole = m.keep(m.add(f, m.and(m.is("lt", u, m.c(2 ** 32)), lost)))
  return m.copySign(putTogether(m, m.keep(k), whole, u), x)
}

// Up to 475/512 an odd polynomial, above it 1 - exp(-|x| * polynomial). Coefficients and split by N. Juffa, posted at
// https://stackoverflow.com/questions/35148198 (erff within 1 ulp, by faithful evaluation with fused multiply-add).
const erfSplit = 0.927734375
const erfLower = [-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1]
const erfUpper = [
  -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1,
] // prettier-ignore

/** The error function. */
export const erf: Inline = (code, x) => {
  const m = single(code)
  // From 3.92 on the result rounds to 1; the polynomial goes on to decrease until 4.
  const size = m.keep(m.atMost(m.abs(x), 4))
  const square = m.keep(m.mul(x, x))
  const lower = m.keep(m.madd(m.polynomial(square, erfLower), x, x))
  const negated = m.keep(m.f.op("f32x4.neg", size))
  const exponent = m.keep(m.madd(m.polynomial(size, erfUpper), size, negated))
  const { bits, r, square: s, rest } = reduce(m, exponent, round(m, exponent, Math.LOG2E), false)
  const scale = m.addBits(m.shiftLeft(bits, 23), m.c(1))
  const upper = m.sub(m.c(1), m.mul(m.madd(rest, s, m.add(r, m.c(1))), scale))
  return m.select(m.is("gt", size, m.c(erfSplit)), m.copySign(upper, x), lower)
}
