// Conversions between float32 and its two 16-bit storage forms. Pure functions on numbers.

const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

/**
 * The 16 bits of the bfloat16 nearest to `x`, ties to even, NaN kept quiet.
 *
 * @example
 * ```ts
 * console.log(toBfloat16(1).toString(16), fromBfloat16(toBfloat16(1 / 3))) // 3f80 0.333984375
 * ```
 */
export function toBfloat16(x: number): number {
  f32[0] = x
  const bits = u32[0]
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** The number that 16 bfloat16 bits stand for. */
export function fromBfloat16(bits: number): number {
  u32[0] = bits << 16
  return f32[0]
}

/**
 * The 16 bits of the IEEE binary16 nearest to `x` (a float32 value), ties to even; overflow gives infinity.
 *
 * @example
 * ```ts
 * console.log(toFloat16(1).toString(16), fromFloat16(toFloat16(1 / 3))) // 3c00 0.333251953125
 * ```
 */
export function toFloat16(x: number): number {
  f32[0] = x
  const bits = u32[0]
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  // 0x477ff000 = 65520, the first value that rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude < 0x38800000) {
    // Below 2^-14 the result is subnormal: scaling by 2^24 makes its last bit one; Math.fround has rounded already.
    f32[0] = x
    return sign | roundHalfEven(Math.abs(f32[0]) * 2 ** 24)
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1)
  return sign | ((rounded - 0x38000000) >>> 13)
}

/** The number that 16 binary16 bits stand for. */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Rounds to the nearest integer, ties to even (`torch.round`, IEEE roundToIntegralTiesToEven). */
export function roundHalfEven(x: number): number {
  const r = Math.round(x)
  // Math.round sends ties up: of a tie the odd result is the wrong one.
  return r - x === 0.5 && r % 2 !== 0 ? r - 1 : r
}
