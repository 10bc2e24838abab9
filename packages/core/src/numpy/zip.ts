// Reading zip archives as far as .npz needs it: stored and deflated entries, zip64, checksums. Not a writer, and nothing is
// trusted: every length is held against the file before memory follows it.
// The format: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.
import { FormatError } from "@rondo/backend"
import { type ByteSource, joined, readExactly } from "../source.js"

/** One file of an archive, as its central directory describes it. */
export interface ZipEntry {
  readonly name: string
  /** The name as it stands in the file. */
  readonly title: Uint8Array
  readonly method: number
  readonly crc: number
  /** Bytes in the archive, and of the file itself. */
  readonly packed: number
  readonly size: number
  /** First byte of the entry's local header. */
  readonly offset: number
  /** Where the next entry or the directory begins: its data end there at the latest. */
  readonly limit: number
}

const endSignature = 0x06054b50
const end64Signature = 0x06064b50
const locatorSignature = 0x07064b50
const centralSignature = 0x02014b50
const localSignature = 0x04034b50
const endBytes = 22
const centralBytes = 46
const localBytes = 30
/** Deflate cannot do better (RFC 1951: 258 bytes from 2 bits, plus headers); more is a lie. */
const maxRatio = 1032

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Reads the list of files. Throws a FormatError unless all of it makes sense. */
export async function readDirectory(op: string, source: ByteSource): Promise<ZipEntry[]> {
  const { at, count, offset, size } = await findEnd(op, source)
  if (offset + size > at) {
    throw new FormatError(
      `${op}: zip directory out of range: ${size} bytes from byte ${offset}, but the file's end starts at ${at}`,
    )
  }
  if (count * centralBytes > size) {
    throw new FormatError(`${op}: zip directory of ${size} bytes cannot hold ${count} entries`)
  }
  const bytes = await readExactly(op, source, offset, size)
  const entries: ZipEntry[] = []
  let next = 0
  for (let i = 0; i < count; i++) {
    const read = readCentral(op, bytes, next, offset + next)
    entries.push(read.entry)
    next = read.next
  }
  if (next !== size) {
    throw new FormatError(
      `${op}: zip directory of ${count} entries ends at byte ${offset + next}, expected ${offset + size}`,
    )
  }
  return limited(op, entries, offset)
}

/** The end of the directory stands at the end of the file, behind at most 65,535 bytes of comment. */
async function findEnd(op: string, source: ByteSource) {
  const length = Math.min(source.size, endBytes + 0xffff)
  const base = source.size - length
  const tail = await readExactly(op, source, base, length)
  const view = viewOf(tail)
  let found = tail.length - endBytes
  while (found >= 0) {
    const whole = view.getUint32(found, true) === endSignature
    if (whole && found + endBytes + view.getUint16(found + 20, true) === tail.length) break
    found--
  }
  if (found < 0)
    throw new FormatError(`${op}: no zip directory at the end of ${source.size} bytes: truncated, or no zip file`)
  const at = base + found
  const end = {
    at,
    count: view.getUint16(found + 10, true),
    size: view.getUint32(found + 12, true),
    offset: view.getUint32(found + 16, true),
  }
  if (view.getUint16(found + 4, true) !== 0 || view.getUint16(found + 6, true) !== 0) {
    throw new FormatError(`${op}: zip archive in several parts at byte ${at}`)
  }
  const needs64 = end.count === 0xffff || end.size === 0xffffffff || end.offset === 0xffffffff
  return needs64 ? findEnd64(op, source, at) : end
}

async function findEnd64(op: string, source: ByteSource, end: number) {
  const fail = (fact: string) => new FormatError(`${op}: zip64 directory ${fact}`)
  if (end < 20) throw fail(`is missing before byte ${end}`)
  const locator = viewOf(await readExactly(op, source, end - 20, 20))
  if (locator.getUint32(0, true) !== locatorSignature) throw fail(`is missing before byte ${end}`)
  const at = safe(op, locator.getBigUint64(8, true), end - 12)
  if (at + 56 > end - 20) throw fail(`out of range: at byte ${at}`)
  const view = viewOf(await readExactly(op, source, at, 56))
  if (view.getUint32(0, true) !== end64Signature) throw fail(`has no signature at byte ${at}`)
  const [count, size, offset] = [32, 40, 48].map((field) => safe(op, view.getBigUint64(field, true), at + field))
  return { at, count, size, offset }
}

function safe(op: string, value: bigint, at: number): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value)
  throw new FormatError(`${op}: zip: number too large at byte ${at}: got ${value}`)
}

function readCentral(op: string, bytes: Uint8Array, at: number, where: number): { entry: ZipEntry; next: number } {
  const fail = (fact: string) => new FormatError(`${op}: zip entry at byte ${where} ${fact}`)
  if (at + centralBytes > bytes.length) throw fail("is truncated")
  const view = viewOf(bytes)
  if (view.getUint32(at, true) !== centralSignature) throw fail("has no signature")
  const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => view.getUint16(at + field, true))
  const extraAt = at + centralBytes + nameBytes
  const next = extraAt + extraBytes + commentBytes
  if (next > bytes.length) throw fail("is truncated")
  const title = bytes.subarray(at + centralBytes, extraAt)
  const name = new TextDecoder().decode(title)
  if ((view.getUint16(at + 8, true) & 1) !== 0) throw fail(`(${JSON.stringify(name)}) is encrypted`)
  const method = view.getUint16(at + 10, true)
  if (method !== 0 && method !== 8) {
    throw fail(
      `(${JSON.stringify(name)}): unknown compression: got method ${method}, expected 0 (stored) or 8 (deflate)`,
    )
  }
  const sizes = [24, 20, 42].map((field) => view.getUint32(at + field, true))
  const [size, packed, offset] = widen(op, sizes, bytes.subarray(extraAt, extraAt + extraBytes), where)
  const crc = view.getUint32(at + 16, true)
  return { entry: { name, title, method, crc, packed, size, offset, limit: offset }, next }
}

/** Takes sizes that are all ones from the zip64 field, which holds just those. */
function widen(op: string, sizes: number[], extra: Uint8Array, where: number): number[] {
  if (!sizes.includes(0xffffffff)) return sizes
  const view = viewOf(extra)
  for (let at = 0; at + 4 <= extra.length;) {
    const [id, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)]
    const end = at + 4 + length
    if (id === 1 && end <= extra.length) {
      let from = at + 4
      return sizes.map((size) => {
        if (size !== 0xffffffff) return size
        if (from + 8 > end) throw new FormatError(`${op}: zip entry at byte ${where}: zip64 field is truncated`)
        from += 8
        return safe(op, view.getBigUint64(from - 8, true), where)
      })
    }
    at = end
  }
  throw new FormatError(`${op}: zip entry at byte ${where}: zip64 field is missing`)
}

/**
 * The entries with their limits. Names are unique, data lie in front of the directory and do not overlap (that is how small
 * bombs are made).
 */
function limited(op: string, entries: readonly ZipEntry[], directory: number): ZipEntry[] {
  const names = new Set<string>()
  for (const { name, method, packed, size } of entries) {
    const where = `${op}: zip entry ${JSON.stringify(name)}`
    if (names.has(name)) throw new FormatError(`${where} appears twice`)
    names.add(name)
    if (method === 0 && packed !== size)
      throw new FormatError(`${where}: stored, but ${packed} bytes stand for ${size}`)
    if (size > packed * maxRatio) {
      throw new FormatError(`${where}: ${packed} bytes cannot hold ${size}: deflate reaches at most ${maxRatio} to 1`)
    }
  }
  let covered = 0
  const limits = new Map<ZipEntry, number>()
  const sorted = [...entries].sort((a, b) => a.offset - b.offset)
  sorted.forEach((entry, i) => {
    const { name, title, offset, packed } = entry
    const end = offset + localBytes + title.length + packed
    if (offset < covered)
      throw new FormatError(`${op}: zip entry ${JSON.stringify(name)} overlaps another at byte ${offset}`)
    if (end > directory) {
      throw new FormatError(
        `${op}: zip entry ${JSON.stringify(name)} out of range: its data end at byte ${end}, the directory starts at ${directory}`,
      )
    }
    covered = end
    limits.set(entry, sorted[i + 1]?.offset ?? directory)
  })
  return entries.map((entry) => ({ ...entry, limit: limits.get(entry) as number }))
}

/** Reads one file of the archive, and holds it against its checksum. */
export async function readEntry(op: string, source: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  const { name, title, method, packed, size, offset, limit } = entry
  const where = `${op}: zip entry ${JSON.stringify(name)}`
  const local = await readExactly(op, source, offset, localBytes + title.length)
  const head = viewOf(local)
  if (head.getUint32(0, true) !== localSignature) throw new FormatError(`${where}: no signature at byte ${offset}`)
  const titleBytes = head.getUint16(26, true)
  if (titleBytes !== title.length || title.some((byte, i) => byte !== local[localBytes + i])) {
    throw new FormatError(`${where}: has another name at byte ${offset} than in the directory`)
  }
  const start = offset + localBytes + titleBytes + head.getUint16(28, true)
  if (start + packed > limit) {
    throw new FormatError(`${where}: out of range: its data end at byte ${start + packed}, expected at most ${limit}`)
  }
  const raw = await readExactly(op, source, start, packed)
  const bytes = method === 0 ? raw : await inflate(where, raw, size)
  const crc = crc32(bytes)
  if (crc !== entry.crc) {
    throw new FormatError(`${where}: wrong checksum: got ${hex(crc)}, expected ${hex(entry.crc)}`)
  }
  return bytes
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, "0")}`

/** Inflates to exactly `size` bytes: it stops at the first byte too many. */
async function inflate(where: string, raw: Uint8Array, size: number): Promise<Uint8Array> {
  const packed = new Blob([raw as Uint8Array<ArrayBuffer>]).stream()
  const reader = packed.pipeThrough(new DecompressionStream("deflate-raw")).getReader()
  const chunks: Uint8Array[] = []
  let got = 0
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      got += next.value.length
      if (got > size) break
      chunks.push(next.value)
    }
  } catch (error) {
    throw new FormatError(`${where}: broken deflate data after ${got} bytes`, { cause: error })
  } finally {
    await reader.cancel().catch(() => undefined)
  }
  if (got !== size) {
    throw new FormatError(
      `${where}: wrong size: got ${got > size ? "more than " : ""}${Math.min(got, size)} bytes, expected ${size}`,
    )
  }
  return joined(chunks)
}

// The polynomial of ISO 3309, reflected.
const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c
})

/** The checksum of zip files. */
export function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff
  for (let i = 0; i < bytes.length; i++) c = crcTable[(c ^ bytes[i]) & 0xff] ^ (c >>> 8)
  return (c ^ 0xffffffff) >>> 0
}
