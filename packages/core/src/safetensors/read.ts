// Reading safetensors: a whole file in memory, or single tensors of a file that stays where it is.
import { ValueError } from "@rondo/backend"

import type { StoredDType } from "./dtype.js"
import { type ByteSource, type FileInput, readExactly, wholeInput } from "../source.js"
import { headerLength, parseHeader, prefixBytes, quote, type SafetensorsEntry } from "./header.js"

/** A tensor as bytes: little-endian elements in row-major order. */
export interface SafetensorsTensor {
  /** One of our dtypes, or the file's own name for an element type that tensors cannot have (`"I8"`, `"F8_E4M3"`). */
  readonly dtype: StoredDType
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** What a file holds. */
export interface SafetensorsFile {
  /** Tensors by name, in the order of their data. */
  readonly tensors: Map<string, SafetensorsTensor>
  /** The file's `__metadata__`; empty if it has none. */
  readonly metadata: Record<string, string>
}

/**
 * Reads a safetensors file. Nothing is copied: each `data` is a view of `bytes`, at an offset that may not be a
 * multiple of the element size (files of the reference implementation align it). All of the header is checked before
 * anything is returned.
 *
 * @param bytes the whole file
 * @throws FormatError that says where: truncated, header too long or not UTF-8 or not JSON, duplicate keys, unknown
 *   dtypes, sizes that are not integers, data that is too short or long for its shape, overlaps, leaves holes or a rest
 *
 * @example
 * ```ts
 * import { parseSafetensors, serializeSafetensors } from "@rondo/core"
 *
 * const data = new Uint8Array(new Float32Array([1, 2, 3]).buffer)
 * const file = serializeSafetensors({ weight: { dtype: "float32", shape: [3], data } })
 * console.log(parseSafetensors(file).tensors.get("weight")?.shape) // [3]
 * ```
 */
export function parseSafetensors(bytes: Uint8Array): SafetensorsFile {
  const op = "parseSafetensors"
  const length = headerLength(op, bytes, bytes.length)
  const header = bytes.subarray(prefixBytes, prefixBytes + length)
  const { entries, metadata } = parseHeader(op, header, bytes.length)
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [name, { dtype, shape, begin, end }] of entries) {
    tensors.set(name, { dtype, shape, data: bytes.subarray(begin, end) })
  }
  return { tensors, metadata }
}

/** What single tensors can be read from. */
export type SafetensorsSource = ByteSource

/** A file whose header has been read, and whose tensors are read on request. */
export interface SafetensorsReader {
  /** What the header says of each tensor, in the order of the data. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>
  /** The file's `__metadata__`; empty if it has none. */
  readonly metadata: Record<string, string>
  /**
   * Reads one tensor.
   *
   * @throws ValueError if the file has no tensor of this name
   * @throws FormatError if the source gives more or fewer bytes than it was asked for
   */
  read(name: string): Promise<SafetensorsTensor>
}

/**
 * Opens a safetensors file without reading its data: the header is read and checked as by {@link parseSafetensors}. Only a
 * stream is read to its end.
 *
 * @throws FormatError as {@link parseSafetensors}; errors of the source pass through
 *
 * @example
 * ```ts
 * import { openSafetensors, serializeSafetensors } from "@rondo/core"
 *
 * // A file, a Blob or an HTTP range request would do as well: whatever can read a span of bytes.
 * const file = serializeSafetensors({ w: { dtype: "uint8", shape: [2], data: new Uint8Array([7, 9]) } })
 * const reader = await openSafetensors({
 *   size: file.length,
 *   read: async (offset, length) => file.slice(offset, offset + length),
 * })
 * console.log((await reader.read("w")).data) // Uint8Array(2) [ 7, 9 ]
 * ```
 */
export async function openSafetensors(input: FileInput): Promise<SafetensorsReader> {
  const op = "openSafetensors"
  const source = await wholeInput(op, input)
  const { size } = source
  const prefix = await readExactly(op, source, 0, Math.min(size, prefixBytes))
  const length = headerLength(op, prefix, size)
  const { entries, metadata } = parseHeader(op, await readExactly(op, source, prefixBytes, length), size)
  const read = async (name: string): Promise<SafetensorsTensor> => {
    const entry = entries.get(name)
    if (entry === undefined) {
      throw new ValueError(`${op}: no tensor ${quote(name)} in the file; it holds ${listNames(entries)}`)
    }
    const { dtype, shape, begin, end } = entry
    return { dtype, shape, data: await readExactly(op, source, begin, end - begin) }
  }
  return { entries, metadata, read }
}

function listNames(entries: ReadonlyMap<string, SafetensorsEntry>): string {
  if (entries.size === 0) return "no tensors"
  const names = [...entries.keys()].slice(0, 8).map(quote).join(", ")
  return entries.size > 8 ? `${names} and ${entries.size - 8} more` : names
}
