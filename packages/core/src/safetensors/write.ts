// Writing safetensors, byte for byte as the reference implementation lays a file out. Returns bytes; storing them is
// the caller's work.
import { dtypes, DTypeError, ShapeError, ValueError } from "@rondo/backend"

import { bitSize, fileDType, foreignDTypes, rank, type FileDType } from "./dtype.js"
import { list, maxHeaderBytes, metadataKey, prefixBytes, quote } from "./header.js"
import type { SafetensorsTensor } from "./read.js"

interface Item {
  name: string
  key: Uint8Array
  dtype: FileDType
  shape: readonly number[]
  data: Uint8Array
}

const op = "serializeSafetensors"

/**
 * Writes a safetensors file: widest elements first, then by name, the header padded with spaces to 8 bytes, as the
 * reference implementation does. Equal content gives equal bytes, whatever the order of the arguments.
 *
 * @param tensors tensors by name, a record or a Map; `data` is little-endian and row-major
 * @param metadata strings by name, kept under `__metadata__`; left out if empty
 * @throws DTypeError for a dtype that the format does not have
 * @throws ShapeError for sizes that are not integers >= 0, and data that does not fill its shape
 * @throws ValueError for names that are not valid Unicode or are `__metadata__`, metadata that is not strings, and a
 *   header over 100 MB
 *
 * @example
 * ```ts
 * import { parseSafetensors, serializeSafetensors } from "@rondo/core"
 *
 * const data = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer)
 * const file = serializeSafetensors({ weight: { dtype: "float32", shape: [2, 2], data } }, { format: "pt" })
 * console.log(parseSafetensors(file).metadata.format) // pt
 * ```
 */
export function serializeSafetensors(
  tensors: Readonly<Record<string, SafetensorsTensor>> | ReadonlyMap<string, SafetensorsTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors)
  const items = entries.map(([name, tensor]) => checked(name, tensor))
  items.sort((a, b) => rank(b.dtype) - rank(a.dtype) || compare(a.key, b.key))
  const header = headerBytes(items, metadata)
  let size = prefixBytes + header.length
  for (const { data } of items) size += data.length
  const file = new Uint8Array(size)
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true)
  file.set(header, prefixBytes)
  let at = prefixBytes + header.length
  for (const { data } of items) {
    file.set(data, at)
    at += data.length
  }
  return file
}

function checked(name: string, { dtype, shape, data }: SafetensorsTensor): Item {
  const where = `${op}: tensor ${quote(name)}`
  const key = checkedName(name)
  if (name === metadataKey) throw new ValueError(`${where}: this name is reserved for the metadata`)
  const type = fileDType(dtype)
  if (type === undefined) {
    const expected = [...dtypes, ...foreignDTypes].join(", ")
    throw new DTypeError(`${where}: unknown dtype: got ${String(dtype)}, expected one of ${expected}`)
  }
  let bits = bitSize(type)
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ShapeError(`${where}: shape holds ${String(size)}, expected integers >= 0`)
    }
    bits *= size
  }
  if (bits !== data.length * 8) {
    throw new ShapeError(
      `${where}: data does not fill the shape: got ${data.length} bytes, ` +
        `expected ${bits / 8} for ${type} ${list(shape)}`,
    )
  }
  return { name, key, dtype: type, shape, data }
}

/** UTF-8 of a name. TextEncoder would replace half a surrogate pair in silence, and two names could become one. */
function checkedName(name: string): Uint8Array {
  if (/\p{Surrogate}/u.test(name)) throw new ValueError(`${op}: name is not valid Unicode: got ${quote(name)}`)
  return new TextEncoder().encode(name)
}

/** Order of UTF-8 bytes, which is Rust's order of strings; JavaScript's differs past the first 65,536 characters. */
function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    if (a[i] !== b[i]) return a[i] - b[i]
  }
  return a.length - b.length
}

/** The header as serde_json writes it: no spaces, metadata first (sorted here; the reference's order is random). */
function headerBytes(items: readonly Item[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const fields: string[] = []
  const pairs = Object.entries(metadata).map(([name, value]) => {
    if (typeof value !== "string") {
      throw new ValueError(`${op}: metadata ${quote(name)} is not a string: got ${typeof value}`)
    }
    checkedName(value)
    return { key: checkedName(name), text: `${JSON.stringify(name)}:${JSON.stringify(value)}` }
  })
  pairs.sort((a, b) => compare(a.key, b.key))
  if (pairs.length > 0) fields.push(`"${metadataKey}":{${pairs.map((pair) => pair.text).join(",")}}`)
  let offset = 0
  for (const { name, dtype, shape, data } of items) {
    const end = offset + data.length
    const shapeText = shape.join(",")
    fields.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shapeText}],"data_offsets":[${offset},${end}]}`)
    offset = end
  }
  const text = new TextEncoder().encode(`{${fields.join(",")}}`)
  const header = new Uint8Array(Math.ceil(text.length / prefixBytes) * prefixBytes).fill(0x20)
  if (header.length > maxHeaderBytes) {
    throw new ValueError(`${op}: header too long: got ${header.length} bytes, expected at most ${maxHeaderBytes}`)
  }
  header.set(text)
  return header
}
