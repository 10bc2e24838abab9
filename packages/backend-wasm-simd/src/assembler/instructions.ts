// The instructions that kernels use: name, encoding, what they take and leave. Numbers are those of the WebAssembly core
// specification with SIMD and relaxed SIMD (https://webassembly.github.io/spec/core/binary/instructions.html).

/** Types of values on the stack. */
export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128"

/** One instruction. `immediate` says what follows the opcode: a memory operand, a lane, or both. */
export interface Instruction {
  readonly code: readonly number[]
  readonly takes: readonly ValueType[]
  readonly gives: ValueType | null
  readonly immediate: "none" | "memory" | "lane" | "memory lane"
}

/** Little-endian base 128, as WebAssembly writes unsigned numbers. */
export function leb(value: number): number[] {
  const bytes: number[] = []
  let rest = value >>> 0
  do {
    const low = rest & 127
    rest >>>= 7
    bytes.push(rest ? low | 128 : low)
  } while (rest)
  return bytes
}

const table = new Map<string, Instruction>()

type Letter = "i" | "l" | "f" | "d" | "v"
const types: Record<Letter, ValueType> = { i: "i32", l: "i64", f: "f32", d: "f64", v: "v128" }

/** Adds instructions with consecutive codes; `-` skips one. `signature` is operands, then `>`, then the result. */
function add(
  prefix: number | null,
  first: number,
  signature: string,
  names: string,
  immediate: Instruction["immediate"] = "none",
): void {
  const [operands, result] = signature.split(">")
  const takes = [...operands].map((letter) => types[letter as Letter])
  const gives = result ? types[result as Letter] : null
  names.split(" ").forEach((name, i) => {
    if (name === "-") return
    const number = first + i
    const code = prefix === null ? [number] : [prefix, ...leb(number)]
    table.set(name, { code, takes, gives, immediate })
  })
}

const under = (prefix: string, names: string): string =>
  names
    .split(" ")
    .map((name) => (name === "-" ? name : `${prefix}.${name}`))
    .join(" ")

const integerCompare = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
const floatCompare = "eq ne lt gt le ge"
const integerBinary = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
const floatUnary = "abs neg ceil floor trunc nearest sqrt"
const floatBinary = "add sub mul div min max copysign"

// Scalars.
add(null, 0x45, "i>i", "i32.eqz")
add(null, 0x46, "ii>i", under("i32", integerCompare))
add(null, 0x50, "l>i", "i64.eqz")
add(null, 0x51, "ll>i", under("i64", integerCompare))
add(null, 0x5b, "ff>i", under("f32", floatCompare))
add(null, 0x61, "dd>i", under("f64", floatCompare))
add(null, 0x67, "i>i", under("i32", "clz ctz popcnt"))
add(null, 0x6a, "ii>i", under("i32", integerBinary))
add(null, 0x79, "l>l", under("i64", "clz ctz popcnt"))
add(null, 0x7c, "ll>l", under("i64", integerBinary))
add(null, 0x8b, "f>f", under("f32", floatUnary))
add(null, 0x92, "ff>f", under("f32", floatBinary))
add(null, 0x99, "d>d", under("f64", floatUnary))
add(null, 0xa0, "dd>d", under("f64", floatBinary))
add(null, 0xa7, "l>i", "i32.wrap_i64")
add(null, 0xac, "i>l", "i64.extend_i32_s i64.extend_i32_u")
add(null, 0xb2, "i>f", "f32.convert_i32_s f32.convert_i32_u")
add(null, 0xb6, "d>f", "f32.demote_f64")
add(null, 0xb7, "i>d", "f64.convert_i32_s f64.convert_i32_u")
add(null, 0xb9, "l>d", "f64.convert_i64_s f64.convert_i64_u")
add(null, 0xbb, "f>d", "f64.promote_f32")
add(null, 0xbc, "f>i", "i32.reinterpret_f32")
add(null, 0xbd, "d>l", "i64.reinterpret_f64")
add(null, 0xbe, "i>f", "f32.reinterpret_i32")
add(null, 0xbf, "l>d", "f64.reinterpret_i64")
add(0xfc, 0, "f>i", "i32.trunc_sat_f32_s i32.trunc_sat_f32_u")
add(0xfc, 2, "d>i", "i32.trunc_sat_f64_s i32.trunc_sat_f64_u")

// Memory.
add(null, 0x28, "i>i", "i32.load", "memory")
add(null, 0x29, "i>l", "i64.load", "memory")
add(null, 0x2a, "i>f", "f32.load", "memory")
add(null, 0x2b, "i>d", "f64.load", "memory")
add(null, 0x2c, "i>i", "i32.load8_s i32.load8_u i32.load16_s i32.load16_u", "memory")
add(null, 0x36, "ii>", "i32.store", "memory")
add(null, 0x37, "il>", "i64.store", "memory")
add(null, 0x38, "if>", "f32.store", "memory")
add(null, 0x39, "id>", "f64.store", "memory")
add(null, 0x3a, "ii>", "i32.store8 i32.store16", "memory")
add(0xfd, 0x00, "i>v", "v128.load v128.load8x8_s v128.load8x8_u v128.load16x4_s v128.load16x4_u", "memory")
add(0xfd, 0x05, "i>v", "v128.load32x2_s v128.load32x2_u v128.load8_splat v128.load16_splat", "memory")
add(0xfd, 0x09, "i>v", "v128.load32_splat v128.load64_splat", "memory")
add(0xfd, 0x0b, "iv>", "v128.store", "memory")
add(0xfd, 0x54, "iv>v", under("v128", "load8_lane load16_lane load32_lane load64_lane"), "memory lane")
add(0xfd, 0x58, "iv>", under("v128", "store8_lane store16_lane store32_lane store64_lane"), "memory lane")
add(0xfd, 0x5c, "i>v", "v128.load32_zero v128.load64_zero", "memory")

// Lanes.
add(0xfd, 0x0e, "vv>v", "i8x16.swizzle")
add(0xfd, 0x0f, "i>v", "i8x16.splat i16x8.splat i32x4.splat")
add(0xfd, 0x12, "l>v", "i64x2.splat")
add(0xfd, 0x13, "f>v", "f32x4.splat")
add(0xfd, 0x14, "d>v", "f64x2.splat")
add(0xfd, 0x15, "v>i", "i8x16.extract_lane_s i8x16.extract_lane_u", "lane")
add(0xfd, 0x17, "vi>v", "i8x16.replace_lane", "lane")
add(0xfd, 0x18, "v>i", "i16x8.extract_lane_s i16x8.extract_lane_u", "lane")
add(0xfd, 0x1b, "v>i", "i32x4.extract_lane", "lane")
add(0xfd, 0x1c, "vi>v", "i32x4.replace_lane", "lane")
add(0xfd, 0x1d, "v>l", "i64x2.extract_lane", "lane")
add(0xfd, 0x1e, "vl>v", "i64x2.replace_lane", "lane")
add(0xfd, 0x1f, "v>f", "f32x4.extract_lane", "lane")
add(0xfd, 0x20, "vf>v", "f32x4.replace_lane", "lane")
add(0xfd, 0x21, "v>d", "f64x2.extract_lane", "lane")
add(0xfd, 0x22, "vd>v", "f64x2.replace_lane", "lane")

// Vector comparisons and bits.
add(0xfd, 0x23, "vv>v", under("i8x16", integerCompare))
add(0xfd, 0x2d, "vv>v", under("i16x8", integerCompare))
add(0xfd, 0x37, "vv>v", under("i32x4", integerCompare))
add(0xfd, 0x41, "vv>v", under("f32x4", floatCompare))
add(0xfd, 0x47, "vv>v", under("f64x2", floatCompare))
add(0xfd, 0xd6, "vv>v", under("i64x2", "eq ne lt_s gt_s le_s ge_s"))
add(0xfd, 0x4d, "v>v", "v128.not")
add(0xfd, 0x4e, "vv>v", "v128.and v128.andnot v128.or v128.xor")
add(0xfd, 0x52, "vvv>v", "v128.bitselect")
add(0xfd, 0x53, "v>i", "v128.any_true")
add(0xfd, 0x63, "v>i", "i8x16.all_true i8x16.bitmask")
add(0xfd, 0xa3, "v>i", "i32x4.all_true i32x4.bitmask")
add(0xfd, 0xc3, "v>i", "i64x2.all_true i64x2.bitmask")

// Conversions.
add(0xfd, 0x5e, "v>v", "f32x4.demote_f64x2_zero f64x2.promote_low_f32x4")
add(0xfd, 0x65, "vv>v", "i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u")
add(0xfd, 0x85, "vv>v", "i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u")
const extend = (from: string): string =>
  `extend_low_${from}_s extend_high_${from}_s extend_low_${from}_u extend_high_${from}_u`
add(0xfd, 0x87, "v>v", under("i16x8", extend("i8x16")))
add(0xfd, 0xa7, "v>v", under("i32x4", extend("i16x8")))
add(0xfd, 0xc7, "v>v", under("i64x2", extend("i32x4")))
add(0xfd, 0xf8, "v>v", "i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u")
add(0xfd, 0xfa, "v>v", "f32x4.convert_i32x4_s f32x4.convert_i32x4_u")
add(0xfd, 0xfc, "v>v", "i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero")
add(0xfd, 0xfe, "v>v", "f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u")

// Vector arithmetic.
for (const [type, shift, sum] of [
  ["i8x16", 0x6b, 0x6e],
  ["i16x8", 0x8b, 0x8e],
  ["i32x4", 0xab, 0xae],
  ["i64x2", 0xcb, 0xce],
] as const) {
  add(0xfd, shift, "vi>v", under(type, "shl shr_s shr_u"))
  add(0xfd, sum, "vv>v", under(type, "add - - sub"))
}
add(0xfd, 0x95, "vv>v", "i16x8.mul")
add(0xfd, 0xa0, "v>v", "i32x4.abs i32x4.neg")
add(0xfd, 0xb5, "vv>v", under("i32x4", "mul min_s min_u max_s max_u"))
add(0xfd, 0x76, "vv>v", under("i8x16", "min_s min_u max_s max_u"))
add(0xfd, 0xc0, "v>v", "i64x2.abs i64x2.neg")
add(0xfd, 0xd5, "vv>v", "i64x2.mul")
add(0xfd, 0x67, "v>v", under("f32x4", "ceil floor trunc nearest"))
add(0xfd, 0x74, "v>v", under("f64x2", "ceil floor"))
add(0xfd, 0x7a, "v>v", "f64x2.trunc")
add(0xfd, 0x94, "v>v", "f64x2.nearest")
add(0xfd, 0xe0, "v>v", under("f32x4", "abs neg - sqrt"))
add(0xfd, 0xe4, "vv>v", under("f32x4", "add sub mul div min max pmin pmax"))
add(0xfd, 0xec, "v>v", under("f64x2", "abs neg - sqrt"))
add(0xfd, 0xf0, "vv>v", under("f64x2", "add sub mul div min max pmin pmax"))
// Relaxed SIMD: only emitted where the engine has it.
add(0xfd, 0x105, "vvv>v", "f32x4.relaxed_madd f32x4.relaxed_nmadd f64x2.relaxed_madd f64x2.relaxed_nmadd")

/** Looks an instruction up. Throws if there is none of that name: a mistake in a kernel's emitter. */
export function instruction(name: string): Instruction {
  const found = table.get(name)
  if (!found) throw new Error(`wasm-simd: no instruction is called ${name}`)
  return found
}
