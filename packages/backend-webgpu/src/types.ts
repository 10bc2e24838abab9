// How elements of each dtype lie in storage buffers of 32-bit words, and how WGSL reads and writes one of them.
// float32, int32 and uint32 are words; uint8 and bool are four to a word, float16 and bfloat16 two: WGSL has no smaller type.
import { byteSize, type DType } from "@rondo/backend"

/** Dtypes that every WebGPU device has here: WGSL has neither 64-bit floats nor 64-bit integers. */
export const gpuDTypes = [
  "bool",
  "uint8",
  "int32",
  "uint32",
  "float16",
  "bfloat16",
  "float32",
] as const satisfies readonly DType[]

/** The WGSL type in which an element is computed. 16-bit floats are computed in float32, as the contract says. */
export type WgslType = "f32" | "i32" | "u32" | "bool"

/** The WGSL type of a value of `dtype`. uint8 is computed as i32 from 0 to 255. */
export function wgslType(dtype: DType): WgslType {
  if (dtype === "bool") return "bool"
  if (dtype === "uint32") return "u32"
  return dtype === "int32" || dtype === "uint8" ? "i32" : "f32"
}

/** Elements of a dtype in one 32-bit word. */
export const perWord = (dtype: DType): number => 4 / byteSize(dtype)

/** WGSL helpers that {@link readElement} and the stores need; part of every shader that has such dtypes. */
export const wordFunctions = /* wgsl */ `
fn bf16_from(bits: u32) -> f32 { return bitcast<f32>(bits << 16u); }
fn bf16_to(x: f32) -> u32 {
  let b = bitcast<u32>(x);
  if ((b & 0x7fffffffu) > 0x7f800000u) { return ((b >> 16u) | 0x40u) & 0xffffu; }
  return ((b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u) & 0xffffu;
}
fn f16_from(bits: u32) -> f32 {
  let sign = (bits & 0x8000u) << 16u;
  let magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) { return bitcast<f32>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13u)); }
  if (magnitude < 0x400u) { return bitcast<f32>(sign | bitcast<u32>(f32(magnitude) * 5.9604644775390625e-8)); }
  return bitcast<f32>(sign | ((magnitude << 13u) + 0x38000000u));
}
fn f16_to(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude < 0x33000000u) { return sign; }
  if (magnitude < 0x38800000u) {
    // Subnormal: the significand shifted to where 2^-24 is one, ties to even.
    let shift = 126u - (magnitude >> 23u);
    let significand = (magnitude & 0x7fffffu) | 0x800000u;
    let down = significand >> shift;
    let rest = significand & ((1u << shift) - 1u);
    let half = 1u << (shift - 1u);
    return sign | (down + select(0u, 1u, rest > half || (rest == half && (down & 1u) == 1u)));
  }
  let rounded = magnitude + 0xfffu + ((magnitude >> 13u) & 1u);
  return sign | ((rounded - 0x38000000u) >> 13u);
}
`

/** An expression for element `index` (a u32 expression without side effects) of the buffer in slot `slot`. */
export function readElement(dtype: DType, slot: number, index: string): string {
  const word = (shift: number): string => `load${slot}((${index}) >> ${shift}u)`
  const bits = (shift: number, width: number): string =>
    `((${word(shift)} >> (((${index}) & ${2 ** shift - 1}u) * ${width}u)) & ${2 ** width - 1}u)`
  switch (dtype) {
    case "float32":
      return `bitcast<f32>(${word(0)})`
    case "int32":
      return `bitcast<i32>(${word(0)})`
    case "uint32":
      return word(0)
    case "uint8":
      return `i32(${bits(2, 8)})`
    case "bool":
      return `(${bits(2, 8)} != 0u)`
    case "float16":
      return `f16_from(${bits(1, 16)})`
    case "bfloat16":
      return `bf16_from(${bits(1, 16)})`
    default:
      throw new Error(`webgpu: no ${dtype} in WGSL`)
  }
}

/**
 * A statement that writes element `index` of the buffer in slot `slot`. Smaller elements than a word are put into theirs by
 * atomics, since their neighbours may be written at the same time: the slot must be of kind `a` then.
 */
export function writeElement(dtype: DType, slot: number, index: string, value: string): string {
  const bits = bitsOf(dtype, value)
  if (perWord(dtype) === 1) return `store${slot}(${index}, ${bits});`
  const width = 32 / perWord(dtype)
  return `put${width}_${slot}(${index}, ${bits});`
}

/** The bits of a value as they lie in a word: an expression of type u32. */
export function bitsOf(dtype: DType, value: string): string {
  switch (dtype) {
    case "float32":
    case "int32":
      return `bitcast<u32>(${value})`
    case "uint32":
      return value
    case "uint8":
      return `(u32(${value}) & 255u)`
    case "bool":
      return `select(0u, 1u, ${value})`
    case "float16":
      return `f16_to(${value})`
    case "bfloat16":
      return `bf16_to(${value})`
    default:
      throw new Error(`webgpu: no ${dtype} in WGSL`)
  }
}
