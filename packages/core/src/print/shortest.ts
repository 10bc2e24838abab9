// The shortest decimal digits that name a number uniquely in its own precision, as NumPy prints float16, float32 and
// float64 (Steele and White's "free-format" digits). For fixed numbers of digits see decimal.ts.
import { scientific } from "./decimal.js"

/** Precisions in which a number can be unique. */
export type FloatType = "float16" | "float32" | "float64"

// Significant bits and the exponent of the smallest positive number (IEEE 754-2019, table 3.5).
const formats: Record<FloatType, { bits: number; smallest: number }> = {
  float16: { bits: 11, smallest: -24 },
  float32: { bits: 24, smallest: -149 },
  float64: { bits: 53, smallest: -1074 },
}

/** Decimal digits `d0 d1 d2 ...`, without trailing zeros, meaning `d0.d1d2... * 10^exponent`. */
export interface Digits {
  digits: string
  exponent: number
}

const parts = (text: string): Digits => {
  const [mantissa, exponent] = text.split("e")
  return { digits: mantissa.replace(".", "").replace(/0+$/, "") || "0", exponent: Number(exponent) }
}

/**
 * Shortest digits of a finite `magnitude` >= 0 that read back as the same number of type `type`; among those of equal
 * length the nearest. `magnitude` must be a value of that type.
 */
export function shortest(magnitude: number, type: FloatType): Digits {
  if (magnitude === 0) return { digits: "0", exponent: 0 }
  // JavaScript's own text is the shortest for float64 (ECMA-262, Number::toString).
  if (type === "float64") return parts(magnitude.toExponential())
  const belongs = interval(magnitude, type)
  for (let count = 1; count < 17; count++) {
    const nearest = scientific(magnitude, count - 1)
    if (belongs(Number(nearest))) return parts(nearest)
    // Just above a power of two the gap below is half as wide: the neighbour above may fit where the nearest does not.
    const above = neighbour(nearest)
    if (belongs(Number(above))) return parts(above)
  }
  return parts(magnitude.toExponential())
}

/** Whether a decimal lies within the numbers that round to `magnitude`; the ends belong when its mantissa is even. */
function interval(magnitude: number, type: FloatType): (value: number) => boolean {
  const { bits, smallest } = formats[type]
  const exponent = Math.floor(Math.log2(magnitude))
  // Math.log2 may round up to the next integer for numbers just below a power of two.
  const power = 2 ** exponent > magnitude ? exponent - 1 : exponent
  const step = 2 ** Math.max(power - bits + 1, smallest)
  const mantissa = magnitude / step
  const narrow = magnitude === 2 ** power && step > 2 ** smallest
  const low = magnitude - step / (narrow ? 4 : 2)
  const high = magnitude + step / 2
  if (mantissa % 2 === 0) return (value) => value >= low && value <= high
  return (value) => value > low && value < high
}

/** The scientific text with one unit added to its last digit. */
function neighbour(text: string): string {
  const [mantissa, exponent] = text.split("e")
  const digits = mantissa.replace(".", "")
  const next = (BigInt(digits) + 1n).toString()
  const carry = next.length - digits.length
  return `${next[0]}.${next.slice(1)}e${Number(exponent) + carry}`
}
