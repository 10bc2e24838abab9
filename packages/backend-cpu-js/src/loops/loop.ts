// The shape of every inner loop of the backend, and which family of loops serves a dtype. No loop lives here.
import type { DType, HostArray } from "@rondo/backend"

/**
 * `r[ro + i] = f(a[ao + i], b[bo + i], c[co + i])` for `i < n`; loops of fewer operands ignore the rest. Written as a method
 * type so that a table may declare narrower arrays than the caller knows of.
 */
export type Loop<R extends HostArray = HostArray, A extends HostArray = R, C extends HostArray = A> = {
  loop(n: number, r: R, ro: number, a: C, ao: number, b: A, bo: number, c: A, co: number): void
}["loop"]

/** `r[ro + j * rRow + i * rs] = a[ao + j * aRow + i * as]` for `j < rows` and `i < n`, bits unchanged. */
export type StridedCopy<A extends HostArray = HostArray> = {
  copy(rows: number, n: number, r: A, ro: number, rRow: number, rs: number, a: A, ao: number, aRow: number, as: number): void
}["copy"] // prettier-ignore

/** Arrays of floating point numbers: float32 and float64, and the registers of 16-bit floats. */
export type FloatArray = Float32Array | Float64Array
/** Arrays of small integers: int32, uint32, uint8, bool, and the bits of 16-bit floats. */
export type IntArray = Int32Array | Uint32Array | Uint8Array | Uint16Array

/** Separate loops a family keep V8's type feedback, and with it the machine code, narrow. */
export type Family = "float" | "int" | "int64"

/** The family that computes on `dtype`. */
export function family(dtype: DType): Family {
  switch (dtype) {
    case "float16":
    case "bfloat16":
    case "float32":
    case "float64":
      return "float"
    case "int32":
    case "uint32":
    case "uint8":
    case "bool":
      return "int"
    case "int64":
      return "int64"
    default:
      return dtype satisfies never
  }
}

/** True for the two storage-only floats. */
export const isHalf = (dtype: DType): boolean => dtype === "float16" || dtype === "bfloat16"
