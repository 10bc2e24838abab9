// The text of a tensor, character for character as PyTorch's `print(tensor)` (torch/_tensor_str.py). Works on host
// data only and knows no device; reading a tensor back is the caller's work.
import { isFloat, ShapeError, shapeText, type DType } from "@rondo/backend"

import { fixed, scientific } from "./decimal.js"
import { edges, HostValues, type PrintData } from "./edges.js"
import { resolve, type PrintOptions, type PrintSettings } from "./options.js"

/** What follows the values: where the tensor lives and how it was made. */
export interface PrintSuffix {
  /** Printed as `device='<device>'` when given. */
  device?: string
  /** Prints `requires_grad=True`, unless there is a `gradFn`. */
  requiresGrad?: boolean
  /** Name of the node that made the tensor, printed as `grad_fn=<name>`. */
  gradFn?: string
}

const prefix = "tensor("

/**
 * The text that PyTorch prints for a tensor: column widths, the choice of scientific notation, `1.` for whole floats,
 * summarising with `...`, broken rows and the suffixes. One departure: the default integer dtype here is int32, so
 * int32 goes without a suffix and int64 prints `dtype=torch.int64`.
 *
 * @param data the elements in row-major order, as many as `shape` says. Values of float16 and bfloat16 are given as
 *   numbers, not as bits; bool as 0 and 1.
 * @param shape sizes; `[]` for a scalar
 * @param dtype how the values print and which suffix they get
 * @param options on top of {@link setPrintOptions}
 * @param suffix device and gradient
 * @throws ShapeError when `data` does not have as many elements as `shape`
 * @throws ValueError for options out of range
 *
 * @example
 * ```ts
 * import { formatTensor } from "@rondo/core"
 *
 * console.log(formatTensor([1, 2.5, 3, -4], [2, 2], "float32"))
 * // tensor([[ 1.0000,  2.5000],
 * //         [ 3.0000, -4.0000]])
 * ```
 */
export function formatTensor(
  data: PrintData,
  shape: readonly number[],
  dtype: DType,
  options: PrintSettings = {},
  suffix: PrintSuffix = {},
): string {
  const settings = resolve("formatTensor", options)
  const values = new HostValues(data, shape)
  if (values.size !== data.length) {
    const counts = `got ${data.length} elements, expected ${values.size} for ${shapeText(shape)}`
    throw new ShapeError(`formatTensor: data does not fill the shape: ${counts}`)
  }
  const text = prefix + (values.size === 0 ? "[]" : body(values, dtype, settings))
  return withSuffixes(text, suffixes(values, dtype, suffix), settings.linewidth)
}

function suffixes(values: HostValues, dtype: DType, suffix: PrintSuffix): string[] {
  const result: string[] = []
  if (suffix.device !== undefined) result.push(`device='${suffix.device}'`)
  const empty = values.size === 0
  if (empty && values.shape.length !== 1) result.push(`size=(${values.shape.join(", ")})`)
  // Without elements the text does not show which kind of numbers it holds, so only the default dtype is silent.
  const silent = dtype === "float32" || (!empty && (dtype === "int32" || dtype === "bool"))
  if (!silent) result.push(`dtype=torch.${dtype}`)
  if (suffix.gradFn !== undefined) result.push(`grad_fn=<${suffix.gradFn}>`)
  else if (suffix.requiresGrad) result.push("requires_grad=True")
  return result
}

/** Appends the suffixes, each on a new line when it would pass `linewidth` (torch/_tensor_str.py, _add_suffixes). */
function withSuffixes(text: string, list: readonly string[], linewidth: number): string {
  // The "+ 1" is PyTorch's: a last line counts two characters more than it has.
  let used = text.length - text.lastIndexOf("\n") + 1
  for (const suffix of list) {
    if (used + suffix.length + 2 > linewidth) {
      text += `,\n${" ".repeat(prefix.length)}${suffix}`
      used = prefix.length + suffix.length
    } else {
      text += `, ${suffix}`
      used += suffix.length + 2
    }
  }
  return `${text})`
}

function body(values: HostValues, dtype: DType, options: PrintOptions): string {
  const summarize = values.size > options.threshold
  const shown = [...edges(values, summarize ? options.edgeitems : Infinity)]
  const format = isFloat(dtype) ? floatFormat(shown as number[], options) : otherFormat(shown, dtype)
  return nested(values, { ...options, summarize, format }, 0, 0, prefix.length)
}

/** How single values print: each padded on the left to `width`, though wider text is kept. */
interface Format {
  width: number
  text(value: number | bigint): string
}

function otherFormat(shown: readonly (number | bigint)[], dtype: DType): Format {
  const plain = dtype === "bool" ? (value: number | bigint) => (value ? "True" : "False") : String
  let width = 1
  for (const value of shown) width = Math.max(width, plain(value).length)
  return { width, text: (value) => plain(value).padStart(width) }
}

/**
 * PyTorch's choice of notation, from the values that are finite and not zero: whole numbers print as `1.`; scientific
 * notation is taken when the largest is over 1000 times the smallest, or over 1e8, or (not whole) the smallest under
 * 1e-4 (torch/_tensor_str.py, _Formatter).
 */
function floatFormat(shown: readonly number[], options: PrintOptions): Format {
  const { precision } = options
  const counted = shown.filter((value) => Number.isFinite(value) && value !== 0)
  const whole = counted.every(Number.isInteger)
  const wholeText = (value: number): string => fixed(value, 0) + (Number.isFinite(value) ? "." : "")
  // Nothing to go by: no padding, and a forced sciMode is not looked at either.
  if (counted.length === 0) return { width: 1, text: (value) => wholeText(value as number) }
  let min = Infinity
  let max = 0
  for (const value of counted) {
    min = Math.min(min, Math.abs(value))
    max = Math.max(max, Math.abs(value))
  }
  const spread = max / min > 1000 || max > 1e8 || (!whole && min < 1e-4)
  const scientificText = (value: number): string => scientific(value, precision)
  const plainText = whole ? wholeText : (value: number) => fixed(value, precision)
  // The width follows the automatic choice even when sciMode forces the other notation, as in PyTorch.
  const measured = spread ? scientificText : plainText
  let width = 1
  for (const value of counted) width = Math.max(width, measured(value).length)
  const used = (options.sciMode ?? spread) ? scientificText : plainText
  return { width, text: (value) => used(value as number).padStart(width) }
}

interface Layout extends PrintOptions {
  summarize: boolean
  format: Format
}

/** The text of the part at dimension `dim` whose first element is `offset`, with `indent` characters before it. */
function nested(values: HostValues, layout: Layout, dim: number, offset: number, indent: number): string {
  const { shape } = values
  if (shape.length === 0) return layout.format.text(values.at(0))
  if (dim === shape.length - 1) return row(values, layout, offset, indent)
  const inner = (i: number): string => nested(values, layout, dim + 1, offset + i * values.strides[dim], indent + 1)
  const parts = sides(shape[dim], layout, inner, "...")
  const separator = `,${"\n".repeat(shape.length - dim - 1)}${" ".repeat(indent + 1)}`
  return `[${parts.join(separator)}]`
}

function row(values: HostValues, layout: Layout, offset: number, indent: number): string {
  const { format, linewidth } = layout
  const perLine = Math.max(1, Math.floor((linewidth - indent) / (format.width + 2)))
  // The space before the dots is PyTorch's: after the joining ", " there are two.
  const parts = sides(values.shape[values.shape.length - 1], layout, (i) => format.text(values.at(offset + i)), " ...")
  const lines: string[] = []
  for (let i = 0; i < parts.length; i += perLine) lines.push(parts.slice(i, i + perLine).join(", "))
  return `[${lines.join(`,\n${" ".repeat(indent + 1)}`)}]`
}

/** All items of a dimension, or its two ends around `dots` when it is summarised. */
function sides(size: number, layout: Layout, item: (index: number) => string, dots: string): string[] {
  const { edgeitems } = layout
  if (!layout.summarize || size <= 2 * edgeitems) return Array.from({ length: size }, (_, i) => item(i))
  const end = (start: number): string[] => Array.from({ length: edgeitems }, (_, i) => item(start + i))
  return [...end(0), dots, ...end(size - edgeitems)]
}
