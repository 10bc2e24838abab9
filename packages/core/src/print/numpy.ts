// The text of `print(tensor.numpy())`: NumPy's default array text (numpy/core/arrayprint.py of 1.24), unique digits
// padded to common columns. Its options are fixed here, as those programs leave them; PyTorch's text is tensor.ts.
import { DTypeError, isFloat, ShapeError, shapeText, type DType } from "@rondo/backend"

import { fixed, isNegative, scientific, withExponent } from "./decimal.js"
import { edges, HostValues, type PrintData } from "./edges.js"
import { shortest, type FloatType } from "./shortest.js"

// numpy.get_printoptions(): most digits after the point, elements before summarising, items at the edges, line width.
const precision = 8
const threshold = 1000
const edgeitems = 3
const linewidth = 75

type Text = (value: number | bigint) => string

/**
 * The text that Python prints for `tensor.numpy()`: shortest digits that are unique in the dtype (at most 8 after the
 * point), in columns, wrapped at 75 characters, summarised above 1000 elements.
 *
 * @param data the elements in row-major order; float16 as numbers, bool as 0 and 1
 * @param shape sizes; `[]` prints a bare scalar
 * @throws ShapeError when `data` does not have as many elements as `shape`
 * @throws DTypeError for bfloat16, which NumPy does not have
 *
 * @example
 * ```ts
 * import { formatNumpy } from "@rondo/core"
 *
 * console.log(formatNumpy(new Float32Array([-0.4701929, 0.5863904]), [1, 2], "float32"))
 * // [[-0.4701929  0.5863904]]
 * ```
 */
export function formatNumpy(data: PrintData, shape: readonly number[], dtype: DType): string {
  const values = new HostValues(data, shape)
  if (values.size !== data.length) {
    const expected = `${values.size} for ${shapeText(shape)}`
    throw new ShapeError(`formatNumpy: data does not fill the shape: got ${data.length} elements, expected ${expected}`)
  }
  if (dtype === "bfloat16") {
    throw new DTypeError("formatNumpy: NumPy has no bfloat16: got bfloat16; convert to float32 first")
  }
  if (shape.length === 0) return scalar(values.at(0), dtype)
  if (values.size === 0) return "[]"
  const summarize = values.size > threshold
  const shown = [...edges(values, summarize ? edgeitems : Infinity)]
  const text = isFloat(dtype) ? floatText(shown as number[], dtype as FloatType) : otherText(shown, dtype)
  return nested({ values, summarize, text }, 0, 0, linewidth)
}

/** `str(numpy.float32(x))`: scientific from 1e16 and below 1e-4, else with at least one decimal. */
function scalar(value: number | bigint, dtype: DType): string {
  if (dtype === "bool") return value ? "True" : "False"
  if (!isFloat(dtype)) return String(value)
  const x = value as number
  if (!Number.isFinite(x)) return fixed(x, 0)
  const magnitude = Math.abs(x)
  const sign = isNegative(x) ? "-" : ""
  const unique = shortest(magnitude, dtype as FloatType)
  if (magnitude !== 0 && (magnitude >= 1e16 || magnitude < 1e-4)) {
    return sign + withExponent(unique.digits, unique.exponent, 2)
  }
  const text = positional(unique.digits, unique.exponent)
  return sign + (text.endsWith(".") ? `${text}0` : text)
}

/** Digits written without an exponent, always with a point: `1.`, `0.25`, `12300.`. */
function positional(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0")
  return `${whole}.${digits.slice(exponent + 1)}`
}

function otherText(shown: readonly (number | bigint)[], dtype: DType): Text {
  // " True" has a leading space so that it lines up with "False", even when every element is true.
  if (dtype === "bool") return (value) => (value ? " True" : "False")
  const width = shown.reduce<number>((most, value) => Math.max(most, String(value).length), 0)
  return (value) => String(value).padStart(width)
}

/** NumPy's FloatingFormat in mode "maxprec": one notation and one pair of paddings for all elements. */
function floatText(shown: readonly number[], type: FloatType): Text {
  const finite = shown.filter(Number.isFinite)
  if (finite.length === 0) return columns(shown, finite, 0, 0, fixedPoint(type))
  const useExponent = needsExponent(finite, type)
  const text = useExponent ? exponentText(finite, type) : fixedPoint(type)
  let left = 0
  let right = 0
  for (const value of finite) {
    const parts = text(value).split(".")
    left = Math.max(left, parts[0].length)
    right = Math.max(right, parts[1].length)
  }
  return columns(shown, finite, left, right, text)
}

/** Pads `text` to `left` characters before the point and `right` after it, wide enough for nan and inf too. */
function columns(
  shown: readonly number[],
  finite: readonly number[],
  left: number,
  right: number,
  text: (value: number) => string,
): Text {
  if (finite.length !== shown.length) {
    const longest = shown.includes(-Infinity) ? 4 : 3
    left = Math.max(left, longest - right - 1)
  }
  return (value) => {
    const x = value as number
    if (!Number.isFinite(x)) return fixed(x, 0).padStart(left + right + 1)
    const written = text(x)
    return (" ".repeat(left - written.indexOf(".")) + written).padEnd(left + right + 1)
  }
}

/** Scientific notation from 1e8, below 1e-4, or when the largest is over 1000 times the smallest. */
function needsExponent(finite: readonly number[], type: FloatType): boolean {
  let min = Infinity
  let max = 0
  for (const value of finite) {
    if (value === 0) continue
    min = Math.min(min, Math.abs(value))
    max = Math.max(max, Math.abs(value))
  }
  if (max === 0) return false
  return max >= 1e8 || min < 1e-4 || quotientOver(max, min, 1000, type)
}

/** Whether `a / b > limit`, with the quotient rounded to the array's own type as NumPy does. */
function quotientOver(a: number, b: number, limit: number, type: FloatType): boolean {
  if (type === "float64") return a / b > limit
  if (type === "float32") return Math.fround(a / b) > limit
  // Halves near 1000 are 0.5 apart; a quotient of up to 1000.25 rounds (ties to even) to 1000.
  return a / b > limit + 0.25
}

/** Unique digits, cut to 8 after the point. */
function fixedPoint(type: FloatType): (value: number) => string {
  return (value) => {
    const magnitude = Math.abs(value)
    const { digits, exponent } = shortest(magnitude, type)
    const decimals = digits.length - 1 - exponent
    let text = positional(digits, exponent)
    // What is cut is rounded from the exact value, not from the unique digits; and before the point an array shows all
    // digits, where a scalar fills with zeros.
    if (decimals > precision) text = fixed(magnitude, precision).replace(/0+$/, "")
    else if (decimals < 0) text = `${fixed(magnitude, 0)}.`
    return (isNegative(value) ? "-" : "") + text
  }
}

/** All elements with as many digits after the point as the longest needs, and exponents of one length. */
function exponentText(finite: readonly number[], type: FloatType): (value: number) => string {
  let decimals = 0
  let exponentDigits = 2
  for (const value of finite) {
    const { digits, exponent } = shortest(Math.abs(value), type)
    decimals = Math.max(decimals, cutDecimals(value, digits))
    exponentDigits = Math.max(exponentDigits, Math.abs(exponent).toString().length)
  }
  return (value) => {
    const { digits, exponent } = shortest(Math.abs(value), type)
    const sign = isNegative(value) ? "-" : ""
    // Digits past the unique ones are those of the exact value: 1e-5 in float32 is 9.99999975e-06 beside longer ones.
    let text = sign + withExponent(digits, exponent, exponentDigits)
    if (digits.length !== decimals + 1) text = scientific(value, decimals, exponentDigits)
    return text.includes(".") ? text : text.replace("e", ".e")
  }
}

/** Decimals of `value` in scientific notation after cutting to 8 and dropping the zeros that rounding may leave. */
function cutDecimals(value: number, digits: string): number {
  if (digits.length - 1 <= precision) return digits.length - 1
  const [mantissa] = scientific(Math.abs(value), precision).split("e")
  return mantissa.replace(/0+$/, "").length - 2
}

interface Layout {
  values: HostValues
  summarize: boolean
  text: Text
}

/** The text of the part at `dim` and `offset`; `width` shrinks by one for every bracket that closes after it. */
function nested(layout: Layout, dim: number, offset: number, width: number): string {
  const { shape, strides } = layout.values
  const indent = " ".repeat(dim + 1)
  const size = shape[dim]
  const cut = layout.summarize && size > 2 * edgeitems
  const indices = cut ? [0, 1, 2, -1, size - 3, size - 2, size - 1] : Array.from({ length: size }, (_, i) => i)
  const last = dim === shape.length - 1
  const parts = indices.map((i) => {
    if (i < 0) return "..."
    if (last) return layout.text(layout.values.at(offset + i))
    return nested(layout, dim + 1, offset + i * strides[dim], width - 1)
  })
  if (!last) return `[${parts.join("\n".repeat(shape.length - dim - 1) + indent)}]`
  return `[${wrap(parts, indent, width - 1)}]`
}

/** Joins words by spaces, with a new line and `indent` before a word that would pass `width`. */
function wrap(words: readonly string[], indent: string, width: number): string {
  const lines: string[] = []
  let line = indent
  for (const word of words) {
    if (line.length + word.length > width && line.length > indent.length) {
      lines.push(line.trimEnd())
      line = indent
    }
    line += `${word} `
  }
  // The separator after the last word is not printed, though its own padding is.
  lines.push(line.slice(0, -1))
  return lines.join("\n").slice(indent.length)
}
