// Protocol Buffers' wire format, writing only (https://protobuf.dev/programming-guides/encoding/). It knows no ONNX.

/** Pieces of bytes in their order; large ones are shared, not copied, until {@link joined}. */
export type Bytes = readonly Uint8Array[]

const encoder = new TextEncoder()

// Negative int64 are written as their 64-bit two's complement: ten bytes.
function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes: number[] = []
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return bytes
}

const tag = (field: number, type: 0 | 2 | 5): number[] => varint((field << 3) | type)

/** How many bytes the pieces have. */
export const lengthOf = (bytes: Bytes): number => bytes.reduce((sum, piece) => sum + piece.length, 0)

/** An integer or enum field. */
export const int = (field: number, value: number | bigint): Bytes => [
  Uint8Array.from([...tag(field, 0), ...varint(value)]),
]

/** A `float` field. */
export function float(field: number, value: number): Bytes {
  const bits = new Uint8Array(4)
  new DataView(bits.buffer).setFloat32(0, value, true)
  return [Uint8Array.from(tag(field, 5)), bits]
}

/** A field of bytes, or an embedded message. */
export const nested = (field: number, content: Bytes): Bytes => [
  Uint8Array.from([...tag(field, 2), ...varint(lengthOf(content))]),
  ...content,
]

/** A string field. */
export const text = (field: number, value: string): Bytes => nested(field, [encoder.encode(value)])

/** All pieces in one array. */
export function joined(bytes: Bytes): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(lengthOf(bytes))
  let at = 0
  for (const piece of bytes) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
