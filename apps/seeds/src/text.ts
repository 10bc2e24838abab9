// Small texts that several programs print: numbers, arrays as NumPy prints them, tables in columns.
import { formatNumpy, type Tensor } from "rondo"

/** A tensor as `print(x.numpy())` shows it. */
export async function numpyText(x: Tensor): Promise<string> {
  return formatNumpy(await x.data(), x.shape, x.dtype)
}

/** A loss: five significant digits. */
export const short = (x: number): string =>
  Number.isFinite(x) ? (Math.abs(x) >= 1e5 || (x !== 0 && Math.abs(x) < 1e-3) ? x.toExponential(2) : x.toPrecision(5)) : String(x) // prettier-ignore

/** A difference or bound: two significant digits with an exponent. */
export const tiny = (x: number): string => (x === 0 ? "0" : x.toExponential(1))

/** Rows of cells in columns that are as wide as they must be; the first row is the heading. */
export function columns(rows: readonly (readonly string[])[], indent = 3): string {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => row[c].length)))
  const line = (row: readonly string[]) =>
    " ".repeat(indent) +
    row
      .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join("  ")
      .trimEnd()
  return rows.map(line).join("\n")
}

/** `text` with every line moved right. */
export const indented = (text: string, by = 3): string => text.replace(/^/gm, " ".repeat(by))

/** The largest relative difference of two equally long lists, against the largest of `wanted`. */
export function relativeDifference(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let largest = 0
  let most = 0
  for (let i = 0; i < wanted.length; i++) {
    largest = Math.max(largest, Math.abs(wanted[i]))
    const difference = Math.abs(got[i] - wanted[i])
    // NaN must not pass for a small difference.
    most = Number.isNaN(difference) ? Infinity : Math.max(most, difference)
  }
  return got.length === wanted.length ? most / (largest || 1) : Infinity
}

const number = /[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/g

/**
 * Whether two printed arrays are the same figure. Devices add in their own order and fuse steps, so the last bits of float32 may
 * differ: `exact` asks for the same text, otherwise numbers may be one unit of the last printed digit, or four units in the
 * last place of float32, apart.
 */
export function sameFigure(text: string, wanted: string, exact: boolean): boolean {
  if (exact || text === wanted) return text === wanted
  const plain = (figure: string): string => figure.replace(number, "#").replace(/\s+/g, "")
  if (plain(text) !== plain(wanted)) return false
  const others = text.match(number) ?? []
  return (wanted.match(number) ?? []).every((figure, i) => {
    const decimals = /\.(\d*)/.exec(figure)?.[1].length ?? 0
    const value = Number(figure)
    const allowed = Math.max(1.01 * 10 ** -decimals, 4 * 2 ** -24 * Math.max(1, Math.abs(value)))
    return Math.abs(Number(others[i]) - value) <= allowed
  })
}
