// Writing safetensors, byte for byte as the reference implementation lays a file out. Returns bytes; storing them is
// the caller's work.
import { dtypes, DTypeError, ShapeError, ValueError } from "@rondo/backend"

import { maxDims, overflows } from "../sizes.js"
import { bitSize, fileDType, foreignDTypes, rank, type FileDType, type StoredDType } from "./dtype.js"
import { list, maxHeaderBytes, metadataKey, prefixBytes, quote } from "./header.js"
import type { SafetensorsTensor } from "./read.js"

/** A tensor as a file will describe it. */
export interface PlannedTensor {
  readonly name: string
  readonly dtype: StoredDType
  readonly shape: readonly number[]
  /** Length of its data. */
  readonly bytes: number
}
interface Item extends Omit<PlannedTensor, "dtype"> {
  readonly key: Uint8Array
  readonly dtype: FileDType
}

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
): Uint8Array<ArrayBuffer> {
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors)
  const planned = entries.map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, bytes: data.length }))
  const { head, order } = planSafetensors("serializeSafetensors", planned, metadata)
  const file = new Uint8Array(order.reduce((sum, { bytes }) => sum + bytes, head.length))
  file.set(head)
  const data = new Map(entries)
  let at = head.length
  for (const { name, bytes } of order) {
    file.set((data.get(name) as SafetensorsTensor).data, at)
    at += bytes
  }
  return file
}

/** Everything in front of the data, and the order in which the data follow. */
export function planSafetensors(
  op: string,
  tensors: readonly PlannedTensor[],
  metadata: Readonly<Record<string, string>>,
): { readonly head: Uint8Array; readonly order: readonly { readonly name: string; readonly bytes: number }[] } {
  const order = tensors.map((tensor) => checked(op, tensor))
  order.sort((a, b) => rank(b.dtype) - rank(a.dtype) || compare(a.key, b.key))
  const header = headerBytes(op, order, metadata)
  const head = new Uint8Array(prefixBytes + header.length)
  new DataView(head.buffer).setBigUint64(0, BigInt(header.length), true)
  head.set(header, prefixBytes)
  return { head, order }
}

function checked(op: string, { name, dtype, shape, bytes }: PlannedTensor): Item {
  const where = `${op}: tensor ${quote(name)}`
  const key = checkedName(op, name)
  if (name === metadataKey) throw new ValueError(`${where}: this name is reserved for the metadata`)
  const type = fileDType(dtype)
  if (type === undefined) {
    const expected = [...dtypes, ...foreignDTypes].join(", ")
    throw new DTypeError(`${where}: unknown dtype: got ${String(dtype)}, expected one of ${expected}`)
  }
  if (shape.length > maxDims) throw new ShapeError(`${where}: got ${shape.length} dims, expected at most ${maxDims}`)
  let bits = bitSize(type)
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ShapeError(`${where}: shape holds ${String(size)}, expected integers >= 0`)
    }
    bits *= size
  }
  if (overflows(shape))
    throw new ShapeError(`${where}: sizes of ${list(shape)} overflow: their product passes 2^53 - 1`)
  if (bits !== bytes * 8) {
    throw new ShapeError(
      `${where}: data does not fill the shape: got ${bytes} bytes, ` +
        `expected ${bits / 8} for ${type} ${list(shape)}`,
    )
  }
  return { name, key, dtype: type, shape, bytes }
}

/** UTF-8 of a name. TextEncoder would replace half a surrogate pair in silence, and two names could become one. */
function checkedName(op: string, name: string): Uint8Array {
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
function headerBytes(op: string, items: readonly Item[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const fields: string[] = []
  const pairs = Object.entries(metadata).map(([name, value]) => {
    if (typeof value !== "string") {
      throw new ValueError(`${op}: metadata ${quote(name)} is not a string: got ${typeof value}`)
    }
    checkedName(op, value)
    return { key: checkedName(op, name), text: `${JSON.stringify(name)}:${JSON.stringify(value)}` }
  })
  pairs.sort((a, b) => compare(a.key, b.key))
  if (pairs.length > 0) fields.push(`"${metadataKey}":{${pairs.map((pair) => pair.text).join(",")}}`)
  let offset = 0
  for (const { name, dtype, shape, bytes } of items) {
    const end = offset + bytes
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
