// The element types, their sizes, host arrays and promotion rules. Nothing here touches a device.
import { DTypeError, OutOfMemoryError } from "./errors.js"

/** Every element type that a tensor can have. A device says in its capabilities which of them it has. */
export type DType = "float32" | "float64" | "float16" | "bfloat16" | "int32" | "uint32" | "int64" | "uint8" | "bool"

/** Promotion works by category first, as PyTorch's does: bool < int < float. */
export type Category = "bool" | "int" | "float"

/** Host arrays that carry elements. float16 and bfloat16 are carried as their 16 bits. */
export type HostArray =
  Float32Array | Float64Array | Uint16Array | Int32Array | Uint32Array | BigInt64Array | Uint8Array

interface DTypeInfo {
  readonly bytes: number
  readonly category: Category
  /** Width within the category: the wider one wins a promotion. */
  readonly rank: number
  readonly array: new (buffer: ArrayBufferLike, byteOffset?: number, length?: number) => HostArray
}

const table: Record<DType, DTypeInfo> = {
  bool: { bytes: 1, category: "bool", rank: 0, array: Uint8Array },
  uint8: { bytes: 1, category: "int", rank: 1, array: Uint8Array },
  int32: { bytes: 4, category: "int", rank: 2, array: Int32Array },
  // Of the rank of int32: neither holds the other, see {@link promote}.
  uint32: { bytes: 4, category: "int", rank: 2, array: Uint32Array },
  int64: { bytes: 8, category: "int", rank: 3, array: BigInt64Array },
  float16: { bytes: 2, category: "float", rank: 4, array: Uint16Array },
  bfloat16: { bytes: 2, category: "float", rank: 4, array: Uint16Array },
  float32: { bytes: 4, category: "float", rank: 5, array: Float32Array },
  float64: { bytes: 8, category: "float", rank: 6, array: Float64Array },
}

/** All dtypes, narrowest first. */
export const dtypes = Object.keys(table) as readonly DType[]

/** Bytes of one element. */
export const byteSize = (dtype: DType): number => table[dtype].bytes
/** Whether elements are bools, integers or floats. */
export const category = (dtype: DType): Category => table[dtype].category
/** True for float16, bfloat16, float32 and float64. */
export const isFloat = (dtype: DType): boolean => table[dtype].category === "float"
/** True if `value` is the name of a dtype. */
export const isDType = (value: unknown): value is DType => typeof value === "string" && Object.hasOwn(table, value)

/** Throws a DTypeError unless `value` names a dtype. */
export function checkDType(operation: string, value: unknown): DType {
  if (isDType(value)) return value
  throw new DTypeError(`${operation}: unknown dtype: got ${String(value)}, expected one of ${dtypes.join(", ")}`)
}

/** The dtype in which arithmetic on `dtype` is done: 16-bit floats are storage only. */
export const computeDType = (dtype: DType): DType => (dtype === "float16" || dtype === "bfloat16" ? "float32" : dtype)

/** A typed array over existing bytes; `byteOffset` and `length` (in elements) as for typed arrays. */
export function hostView(dtype: DType, buffer: ArrayBufferLike, byteOffset = 0, length?: number): HostArray {
  return new table[dtype].array(buffer, byteOffset, length)
}

/**
 * A zero-filled host array of `length` elements. Throws an OutOfMemoryError where the engine cannot hold them.
 *
 * @example
 * ```ts
 * console.log(hostArray("int64", 2)) // BigInt64Array(2) [0n, 0n]
 * ```
 */
export function hostArray(dtype: DType, length: number): HostArray {
  const bytes = length * table[dtype].bytes
  let buffer: ArrayBuffer
  try {
    buffer = new ArrayBuffer(bytes)
  } catch {
    throw new OutOfMemoryError(
      `host: out of memory: ${length} elements of ${dtype} take ${bytes} bytes, more than the JavaScript engine can allocate; make fewer at once`,
    )
  }
  return hostView(dtype, buffer)
}

/**
 * The dtype of an operation on two tensors, by PyTorch's rule
 * (https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc): the higher category wins, then the
 * wider type; float16 with bfloat16 gives float32, which holds both. uint32 meets floats and bool only: beside another integer it
 * throws a DTypeError that names `operation`, as PyTorch does (https://github.com/pytorch/pytorch/issues/58734).
 *
 * @example
 * ```ts
 * console.log(promote("int32", "float32")) // float32
 * console.log(promote("uint8", "bool")) // uint8
 * ```
 */
export function promote(a: DType, b: DType, operation = "promote"): DType {
  if (a === b) return a
  const x = table[a]
  const y = table[b]
  if ((a === "uint32" || b === "uint32") && x.category === y.category) {
    throw new DTypeError(
      `${operation}: Promotion for uint32 is not supported beside other integers: got ${a} and ${b}; convert one with .to(dtype)`,
    )
  }
  if (x.rank === y.rank) return "float32"
  return x.rank > y.rank ? a : b
}

/**
 * What a number or boolean written in the source adds to a promotion: only its category, at the default width.
 *
 * @example
 * ```ts
 * console.log(promoteScalar("int32", 2), promoteScalar("int32", 0.5)) // int32 float32
 * ```
 */
export function promoteScalar(dtype: DType, value: number | boolean): DType {
  const scalar: Category = typeof value === "boolean" ? "bool" : Number.isInteger(value) ? "int" : "float"
  const own = table[dtype].category
  if (scalar === "float" && own !== "float") return "float32"
  if (scalar === "int" && own === "bool") return "int32"
  return dtype
}
