// Exact decimal text of a double with a fixed number of digits, rounded half to even as C's printf and Python's
// format do. Not shortest round-trip text; that is shortest.ts. JavaScript's own toFixed and toExponential round
// halves up, and toFixed switches notation at 1e21.

/** A finite double as `mantissa * 2^exponent`, with an integer mantissa. */
interface Binary {
  mantissa: bigint
  exponent: number
}

const bits = new DataView(new ArrayBuffer(8))

function binary(magnitude: number): Binary {
  bits.setFloat64(0, magnitude)
  const word = bits.getBigUint64(0)
  const fraction = word & 0xfffffffffffffn
  const biased = Number((word >> 52n) & 0x7ffn)
  // Denormals have no hidden bit and share the exponent of the smallest normal number (IEEE 754-2019, 3.4).
  if (biased === 0) return { mantissa: fraction, exponent: -1074 }
  return { mantissa: fraction | 0x10000000000000n, exponent: biased - 1075 }
}

/** `magnitude / 10^power` as an exact fraction. */
function scaled(magnitude: number, power: number): [numerator: bigint, denominator: bigint] {
  const { mantissa, exponent } = binary(magnitude)
  let numerator = mantissa
  let denominator = 1n
  if (exponent >= 0) numerator <<= BigInt(exponent)
  else denominator <<= BigInt(-exponent)
  if (power >= 0) denominator *= 10n ** BigInt(power)
  else numerator *= 10n ** BigInt(-power)
  return [numerator, denominator]
}

function roundHalfEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator
  const twice = (numerator % denominator) * 2n
  if (twice > denominator || (twice === denominator && quotient % 2n === 1n)) return quotient + 1n
  return quotient
}

/** The largest `e` with `10^e <= magnitude`; exact, where Math.log10 and toExponential can be one off. */
function floorLog10(magnitude: number): number {
  const text = magnitude.toExponential()
  const guess = Number(text.slice(text.indexOf("e") + 1))
  // The shortest text may have been rounded up to the next power (1e23 lies below 10^23).
  const [numerator, denominator] = scaled(magnitude, guess)
  return numerator < denominator ? guess - 1 : guess
}

/** True for negative numbers and for -0. */
export function isNegative(value: number): boolean {
  return value < 0 || Object.is(value, -0)
}

function nonFinite(value: number): string {
  if (Number.isNaN(value)) return "nan"
  return value > 0 ? "inf" : "-inf"
}

/** Python's `"{:.<digits>f}".format(value)`: `fixed(0.03125, 4)` is `0.0312`, `fixed(-0, 1)` is `-0.0`. */
export function fixed(value: number, digits: number): string {
  if (!Number.isFinite(value)) return nonFinite(value)
  const sign = isNegative(value) ? "-" : ""
  const magnitude = Math.abs(value)
  // toFixed is exact but for halves, and a double times 10^digits ends in .5 only if twice its 2^digits-fold is odd.
  const halfway = Number.isInteger(magnitude * 2 ** (digits + 1)) && !Number.isInteger(magnitude * 2 ** digits)
  if (!halfway && magnitude < 1e21 && digits <= 100) return sign + magnitude.toFixed(digits)
  const count = roundHalfEven(...scaled(magnitude, -digits))
  if (digits === 0) return sign + count.toString()
  const text = count.toString().padStart(digits + 1, "0")
  return `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`
}

/** Python's `"{:.<digits>e}".format(value)`, whose exponent has at least `exponentDigits` (two in Python) digits. */
export function scientific(value: number, digits: number, exponentDigits = 2): string {
  if (!Number.isFinite(value)) return nonFinite(value)
  const sign = isNegative(value) ? "-" : ""
  const magnitude = Math.abs(value)
  if (magnitude === 0) return sign + withExponent("0".repeat(digits + 1), 0, exponentDigits)
  let exponent = floorLog10(magnitude)
  let text = roundHalfEven(...scaled(magnitude, exponent - digits)).toString()
  // Rounding 9.9996 up to 10.000 gives one digit too many.
  if (text.length > digits + 1) {
    exponent += 1
    text = text.slice(0, -1)
  }
  return sign + withExponent(text, exponent, exponentDigits)
}

/** Writes digits `d0 d1 d2 ...` as `d0.d1d2...e+XX`; without a fraction there is no point, as in Python. */
export function withExponent(digits: string, exponent: number, exponentDigits: number): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : ""
  const size = Math.abs(exponent).toString().padStart(exponentDigits, "0")
  return `${digits[0]}${fraction}e${exponent < 0 ? "-" : "+"}${size}`
}
