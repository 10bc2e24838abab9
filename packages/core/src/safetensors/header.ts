// The header of a safetensors file: from bytes to checked entries. Knows nothing of where the bytes come from.
// The format: https://github.com/huggingface/safetensors, README, "Format".
import { FormatError } from "@rondo/backend"

import { maxDims, overflows } from "../sizes.js"
import { bitSize, fileDTypes, isFileDType, storedDType, type FileDType, type StoredDType } from "./dtype.js"
import { JsonError, OtherNumber, readEntries, type Json } from "./json.js"

/** Bytes of the header's length at the start of a file. */
export const prefixBytes = 8
/** The reference implementation's bound, MAX_HEADER_SIZE in safetensors/src/tensor.rs. */
export const maxHeaderBytes = 100_000_000
/** The key under which a header keeps its metadata; no tensor can be called so. */
export const metadataKey = "__metadata__"

/** One tensor as the header describes it. */
export interface SafetensorsEntry {
  /** One of our dtypes, or the file's own name for an element type that tensors cannot have (`"I8"`, `"F8_E4M3"`). */
  readonly dtype: StoredDType
  readonly shape: readonly number[]
  /** First byte of the data, and one past its last, counted from the start of the file. */
  readonly begin: number
  readonly end: number
}

/** A checked header. Entries are in the order of their data. */
export interface Header {
  readonly entries: Map<string, SafetensorsEntry>
  readonly metadata: Record<string, string>
}

/** Length of the header that starts after `prefix`, the first bytes of a file of `fileBytes` bytes. */
export function headerLength(op: string, prefix: Uint8Array, fileBytes: number): number {
  if (fileBytes < prefixBytes) {
    throw new FormatError(`${op}: truncated in the header's length: got ${fileBytes} bytes, expected at least 8`)
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, prefixBytes).getBigUint64(0, true)
  if (length > BigInt(maxHeaderBytes)) {
    throw new FormatError(`${op}: header too long: got ${length} bytes at byte 0, expected at most ${maxHeaderBytes}`)
  }
  const room = fileBytes - prefixBytes
  if (Number(length) > room) {
    throw new FormatError(
      `${op}: truncated in the header: it is ${length} bytes long from byte 8, but the file ends after ` +
        `${fileBytes} bytes`,
    )
  }
  return Number(length)
}

/**
 * Reads and checks a whole header; `bytes` start at byte 8 of a file of `fileBytes` bytes. Of a stream nobody knows how
 * long it is: its length is `Infinity`, and what it lacks shows when it is read.
 */
export function parseHeader(op: string, bytes: Uint8Array, fileBytes: number): Header {
  if (bytes[0] !== 0x7b) {
    const got = bytes.length === 0 ? "an empty header" : `0x${bytes[0].toString(16).padStart(2, "0")}`
    throw new FormatError(`${op}: header does not start with "{" at byte 8: got ${got}`)
  }
  const start = prefixBytes + bytes.length
  let metadata: Record<string, string> = {}
  const found: Named[] = []
  readRoot(op, decode(op, bytes), (name, value) => {
    if (name === metadataKey) metadata = readMetadata(op, value)
    else found.push(readEntry(op, name, value, fileBytes - start))
  })
  found.sort((a, b) => a.begin - b.begin || a.end - b.end)
  checkCoverage(op, found, fileBytes - start)
  const entries = new Map<string, SafetensorsEntry>()
  for (const { name, dtype, shape, begin, end } of found) {
    entries.set(name, { dtype, shape, begin: start + begin, end: start + end })
  }
  return { entries, metadata }
}

function decode(op: string, bytes: Uint8Array): string {
  const options = { fatal: true, ignoreBOM: true }
  try {
    return new TextDecoder("utf-8", options).decode(bytes)
  } catch {
    // The longest prefix that decodes ends just before the bad byte; `stream` lets it end inside a character.
    let good = 0
    let bad = bytes.length + 1
    while (bad - good > 1) {
      const middle = (good + bad) >>> 1
      try {
        new TextDecoder("utf-8", options).decode(bytes.subarray(0, middle), { stream: true })
        good = middle
      } catch {
        bad = middle
      }
    }
    const fact = good === bytes.length ? "ends inside a character" : `0x${bytes[good].toString(16)} is out of place`
    throw new FormatError(`${op}: header is not UTF-8 at byte ${prefixBytes + good}: ${fact}`)
  }
}

function readRoot(op: string, text: string, each: (name: string, value: Json) => void): void {
  try {
    readEntries(text, each)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    const at = prefixBytes + new TextEncoder().encode(text.slice(0, error.index)).length
    throw new FormatError(`${op}: header is not valid JSON at byte ${at}: ${error.message}`)
  }
}

function readMetadata(op: string, value: Json): Record<string, string> {
  // The reference reads null as "no metadata".
  if (value === null) return {}
  if (!(value instanceof Map)) {
    throw new FormatError(`${op}: ${metadataKey} is not an object of strings: got ${kind(value)}`)
  }
  for (const [key, entry] of value) {
    if (typeof entry !== "string") {
      throw new FormatError(`${op}: ${metadataKey}: value of ${quote(key)} is not a string: got ${kind(entry)}`)
    }
  }
  // fromEntries defines own properties, so a key "__proto__" is one like any other.
  return Object.fromEntries(value) as Record<string, string>
}

interface Named extends SafetensorsEntry {
  readonly name: string
}

/** One tensor's description; offsets are still relative to the data. Unknown fields are ignored as in the reference. */
function readEntry(op: string, name: string, value: Json, dataBytes: number): Named {
  const where = `${op}: tensor ${quote(name)}`
  if (!(value instanceof Map)) {
    throw new FormatError(`${where} is not described by an object: got ${kind(value)}`)
  }
  const dtype = value.get("dtype")
  if (!isFileDType(dtype)) {
    const got = typeof dtype === "string" ? quote(dtype) : kind(dtype)
    throw new FormatError(`${where}: unknown dtype: got ${got}, expected one of ${fileDTypes.join(", ")}`)
  }
  const shape = readIntegers(where, "shape", value.get("shape"))
  if (shape.length > maxDims) {
    throw new FormatError(`${where}: shape has ${shape.length} dims, expected at most ${maxDims}`)
  }
  const offsets = readIntegers(where, "data_offsets", value.get("data_offsets"))
  const [begin, end] = offsets
  if (offsets.length !== 2) {
    throw new FormatError(`${where}: data_offsets: got ${offsets.length} numbers, expected 2`)
  }
  if (begin > end) {
    throw new FormatError(`${where}: data_offsets run backwards: got [${begin}, ${end}]`)
  }
  if (end > dataBytes) {
    throw new FormatError(
      `${where}: data out of range: got data_offsets [${begin}, ${end}], ` +
        `but the file holds ${dataBytes} bytes of data (truncated?)`,
    )
  }
  const bytes = byteLength(where, dtype, shape, dataBytes)
  if (end - begin !== bytes) {
    throw new FormatError(
      `${where}: data does not fit the shape: got ${end - begin} bytes, expected ${bytes} for ${dtype} ${list(shape)}`,
    )
  }
  return { name, dtype: storedDType(dtype), shape, begin, end }
}

function readIntegers(where: string, field: string, value: Json | undefined): number[] {
  if (!Array.isArray(value)) throw new FormatError(`${where}: ${field} is not a list: got ${kind(value)}`)
  return value.map((item) => {
    if (typeof item === "number") return item
    const got = item instanceof OtherNumber ? cut(item.text) : kind(item)
    throw new FormatError(`${where}: ${field} holds ${got}, expected integers from 0 to 2^53 - 1`)
  })
}

/** Bytes of the data, without overflow: the product stops as soon as it passes what the file holds. */
function byteLength(where: string, dtype: FileDType, shape: readonly number[], dataBytes: number): number {
  let bits = bitSize(dtype)
  if (shape.includes(0)) {
    if (!overflows(shape)) return 0
    throw new FormatError(`${where}: sizes of ${list(shape)} overflow: their product passes 2^53 - 1`)
  }
  for (const size of shape) {
    // A product that is too large to be exact is over the bound as well, so it is only compared, never used.
    bits *= size
    if (bits > Math.min(dataBytes, Number.MAX_SAFE_INTEGER) * 8) {
      throw new FormatError(
        `${where}: data does not fit the shape: ${dtype} ${list(shape)} ` +
          `is larger than the file's ${dataBytes} bytes of data`,
      )
    }
  }
  if (bits % 8 !== 0) {
    throw new FormatError(`${where}: ${dtype} ${list(shape)} does not fill whole bytes: got ${bits} bits`)
  }
  return bits / 8
}

/** The data must be covered without holes, overlaps or a rest; `found` is in order of offsets. */
function checkCoverage(op: string, found: readonly Named[], dataBytes: number): void {
  let covered = 0
  let before = "the start of the data"
  for (const { name, begin, end } of found) {
    if (begin !== covered) {
      const fact = begin < covered ? "overlaps" : "leaves a hole after"
      throw new FormatError(
        `${op}: tensor ${quote(name)} ${fact} ${before}: its data begins at ${begin}, expected ${covered}`,
      )
    }
    covered = end
    before = `tensor ${quote(name)}`
  }
  if (covered !== dataBytes && dataBytes !== Infinity) {
    throw new FormatError(
      `${op}: bytes after the last tensor: data ends at ${covered}, but the file holds ${dataBytes}`,
    )
  }
}

/** A name in quotes, short enough for a message. */
export function quote(name: string): string {
  return JSON.stringify(cut(name))
}

const cut = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}...` : text)

/** Sizes as `[2, 3]`, cut after 16. */
export function list(sizes: readonly number[]): string {
  return `[${sizes.slice(0, 16).join(", ")}${sizes.length > 16 ? ", ..." : ""}]`
}

function kind(value: Json | undefined): string {
  if (value === undefined) return "nothing"
  if (value === null) return "null"
  if (Array.isArray(value)) return "a list"
  if (value instanceof Map) return "an object"
  return `a ${value instanceof OtherNumber ? "number" : typeof value}`
}
