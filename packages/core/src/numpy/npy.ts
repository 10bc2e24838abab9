// The header of NumPy's .npy format, versions 1 to 3, and what it says of the data. Nothing is unpickled.
// The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
import { FormatError } from "@rondo/backend"
import { type ElementType, elementBytes } from "../elements.js"
import { maxDims, overflows } from "../sizes.js"

/** An array as the file has it. */
export interface NpyArray {
  readonly type: ElementType
  readonly bigEndian: boolean
  /** Is the first index the one that runs fastest? */
  readonly fortran: boolean
  readonly shape: readonly number[]
  /** A view of the file's bytes. */
  readonly data: Uint8Array
}

const types: Record<string, ElementType> = {
  b1: "bool",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
  f2: "float16",
  f4: "float32",
  f8: "float64",
}
const refused: Record<string, string> = {
  O: "Python objects, which can only be unpickled",
  V: "records or raw bytes",
  c: "complex numbers",
  S: "byte strings",
  U: "strings",
  M: "dates",
  m: "durations",
}
const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]

// NumPy itself reads headers of 10,000 characters at most, unless it is told to.
const maxHeaderBytes = 2 ** 20

/** Bytes at the start of a file that say where its header ends. */
export const prefixBytes = 12

/** Where the header ends, of a file of `size` bytes that starts with `bytes`: {@link prefixBytes} of them, or all. */
export function headerEnd(op: string, bytes: Uint8Array, size: number): number {
  if (size < 10) throw new FormatError(`${op}: truncated in the header: got ${size} bytes, expected at least 10`)
  if (magic.some((byte, i) => bytes[i] !== byte))
    throw new FormatError(`${op}: no .npy file: it does not start with \\x93NUMPY`)
  const [major, minor] = [bytes[6], bytes[7]]
  if (major < 1 || major > 3 || minor !== 0)
    throw new FormatError(`${op}: unknown version at byte 6: got ${major}.${minor}, expected 1.0, 2.0 or 3.0`)
  const start = startOf(bytes)
  if (size < start) throw new FormatError(`${op}: truncated in the header: got ${size} bytes, expected ${start}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  if (start + length > size) {
    throw new FormatError(
      `${op}: truncated in the header: it is ${length} bytes long from byte ${start}, the file ends at ${size}`,
    )
  }
  if (length > maxHeaderBytes)
    throw new FormatError(`${op}: header too long: got ${length} bytes at byte 8, expected at most ${maxHeaderBytes}`)
  return start + length
}

const startOf = (bytes: Uint8Array): number => (bytes[6] === 1 ? 10 : prefixBytes)

/**
 * What the header says, from the file's first bytes up to {@link headerEnd}; the data fill the rest of its `size` bytes.
 * Throws a FormatError that says where, for anything but numbers and bools too.
 */
export function parseHeader(op: string, bytes: Uint8Array, size: number): Omit<NpyArray, "data"> {
  const start = startOf(bytes)
  // Version 1 and 2 are Latin-1, version 3 is UTF-8; of what we can read, all is ASCII.
  const header = readHeader(op, new TextDecoder("latin1").decode(bytes.subarray(start)), start)
  const got = size - bytes.length
  const expected = byteLength(header.shape, elementBytes(header.type), got)
  if (expected !== got) {
    const wanted = expected > got ? `more (truncated?)` : `${expected}`
    throw new FormatError(`${op}: data do not fill [${header.shape.join(", ")}]: got ${got} bytes, expected ${wanted}`)
  }
  return header
}

/** Reads a whole file. Throws as {@link parseHeader}. */
export function parseNpy(op: string, bytes: Uint8Array): NpyArray {
  const end = headerEnd(op, bytes, bytes.length)
  return { ...parseHeader(op, bytes.subarray(0, end), bytes.length), data: bytes.subarray(end) }
}

/** Stops as soon as the product passes what is there. */
function byteLength(shape: readonly number[], size: number, limit: number): number {
  if (shape.includes(0)) return 0
  let product = size
  for (const n of shape) {
    product *= n
    if (product > limit) return Infinity
  }
  return product
}

/** The header is a Python dictionary of three entries; what else Python may write there is refused. */
function readHeader(op: string, text: string, start: number): Omit<NpyArray, "data"> {
  const found = new Map<string, string>()
  const entry = /\s*(['"])(\w+)\1\s*:\s*('[^'\\]*'|"[^"\\]*"|True|False|\([\d\sL,]*\)|\[.*\])\s*(,|(?=\}))/sy
  const open = /^\s*\{/.exec(text)
  if (!open) throw new FormatError(`${op}: header is no dictionary at byte ${start}`)
  let at = open[0].length
  for (;;) {
    entry.lastIndex = at
    const match = entry.exec(text)
    if (!match) break
    if (found.has(match[2])) throw new FormatError(`${op}: header has ${match[2]} twice, at byte ${start + at}`)
    found.set(match[2], match[3])
    at = entry.lastIndex
  }
  if (!/^\s*\}\s*$/.test(text.slice(at)))
    throw new FormatError(`${op}: header cannot be read from byte ${start + at} on`)
  const names = [...found.keys()].sort().join(", ")
  if (names !== "descr, fortran_order, shape") {
    throw new FormatError(
      `${op}: header at byte ${start} has ${names || "no entries"}, expected descr, fortran_order, shape`,
    )
  }
  const order = found.get("fortran_order")
  if (order !== "True" && order !== "False")
    throw new FormatError(`${op}: fortran_order: got ${order}, expected True or False`)
  return {
    ...readType(op, found.get("descr") as string),
    fortran: order === "True",
    shape: readShape(op, found.get("shape") as string),
  }
}

function readType(op: string, descr: string): { type: ElementType; bigEndian: boolean } {
  if (descr.startsWith("[")) throw new FormatError(`${op}: dtype of several fields: save its columns by themselves`)
  const match = /^['"]([<>|=]?)([a-zA-Z?])(\d*)(.*)['"]$/s.exec(descr)
  // Of dates, a unit follows the width; of numbers, nothing does.
  const type = match?.[4] === "" && types[match[2] === "?" ? "b1" : match[2] + match[3]]
  if (!match || !type) {
    const why = match && refused[match[2]]
    throw new FormatError(
      `${op}: dtype ${descr.slice(0, 40)} cannot be read${why ? `: ${why}` : ""}; expected bools, integers or floats`,
    )
  }
  return { type, bigEndian: match[1] === ">" }
}

function readShape(op: string, text: string): number[] {
  // Python 2 wrote 3L.
  const parts = text
    .slice(1, -1)
    .split(",")
    .map((part) => part.trim().replace(/L$/, ""))
  if (parts.at(-1) === "") parts.pop()
  const shape = parts.map(Number)
  const single = parts.length === 1 && !text.includes(",")
  if (!/^\(/.test(text) || single || parts.includes("") || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new FormatError(`${op}: shape: got ${text.slice(0, 40)}, expected a tuple of sizes up to 2^53 - 1`)
  }
  if (shape.length > maxDims)
    throw new FormatError(`${op}: shape has ${shape.length} dims, expected at most ${maxDims}`)
  if (shape.includes(0) && overflows(shape))
    throw new FormatError(`${op}: sizes of ${text.slice(0, 100)} overflow: their product passes 2^53 - 1`)
  return shape
}
