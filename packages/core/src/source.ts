// Where the bytes of a file come from: memory, a Blob, anything that can be read in pieces, or a stream. Knows no format.
import { FormatError, ValueError } from "@rondo/backend"

/** Something that bytes can be read from in pieces: a file handle, HTTP range requests. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number
  /** Exactly `length` bytes from `offset` on. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Bytes that come one after another. */
export type ByteStream = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>

/**
 * What files can be loaded from: bytes, a Blob or File, a {@link ByteSource}, a stream, or what `fetch` gives. Of all but
 * streams and responses only the parts that are asked for are read.
 */
export type FileInput = Uint8Array | ArrayBuffer | Blob | ByteSource | ByteStream | Response

const isStream = (input: object): input is ByteStream => "getReader" in input || Symbol.asyncIterator in input

/** The input as a source, or as the stream that it is. Throws a ValueError for anything else, and for a failed response. */
export function openInput(op: string, input: FileInput): ByteSource | AsyncIterator<Uint8Array> {
  if (input instanceof Uint8Array) return sourceOf(input)
  if (input instanceof ArrayBuffer) return sourceOf(new Uint8Array(input))
  if (input instanceof Blob) {
    const read = async (offset: number, length: number) =>
      new Uint8Array(await input.slice(offset, offset + length).arrayBuffer())
    return { size: input.size, read }
  }
  if (typeof Response !== "undefined" && input instanceof Response) {
    if (!input.ok) throw new ValueError(`${op}: the response failed: got status ${input.status} of ${input.url}`)
    if (input.body === null) throw new FormatError(`${op}: the response has no body`)
    return iterate(input.body)
  }
  if (input !== null && typeof input === "object") {
    if (isStream(input)) return "getReader" in input ? iterate(input) : input[Symbol.asyncIterator]()
    if ("read" in input && "size" in input) return checkedSource(op, input)
  }
  throw new ValueError(
    `${op}: cannot read from ${input === null ? "null" : typeof input}: pass bytes, a Blob, a stream or a source`,
  )
}

export const isSource = (opened: ByteSource | AsyncIterator<Uint8Array>): opened is ByteSource => "size" in opened

/** The whole input as a source; streams are read to their end. */
export async function wholeInput(op: string, input: FileInput): Promise<ByteSource> {
  const opened = openInput(op, input)
  if (isSource(opened)) return opened
  const chunks: Uint8Array[] = []
  for (let next = await opened.next(); !next.done; next = await opened.next()) chunks.push(checkedChunk(op, next.value))
  return sourceOf(joined(chunks))
}

function sourceOf(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) }
}

function checkedSource(op: string, source: ByteSource): ByteSource {
  if (Number.isSafeInteger(source.size) && source.size >= 0) return source
  throw new ValueError(`${op}: size of the source: got ${String(source.size)}, expected an integer >= 0`)
}

/** Safari's streams are no async iterables. */
async function* iterate(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    // After an error, or when the rest is not wanted.
    await reader.cancel().catch(() => undefined)
  }
}

function checkedChunk(op: string, chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  throw new ValueError(`${op}: the stream gave ${chunk === null ? "null" : typeof chunk}, expected Uint8Array`)
}

/** One array of all. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0]
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/** Reads exactly `length` bytes, or throws a FormatError. */
export async function readExactly(op: string, source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  if (length === 0) return new Uint8Array(0)
  const bytes = await source.read(offset, length)
  if (bytes.length !== length) {
    throw new FormatError(`${op}: source gave ${bytes.length} bytes at byte ${offset}, expected ${length}`)
  }
  return bytes
}

/** Takes a stream apart. Memory follows what has arrived, never what a header promises. */
export class StreamReader {
  /** Bytes taken so far. */
  position = 0
  readonly #op: string
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)
  constructor(op: string, chunks: AsyncIterator<Uint8Array>) {
    this.#op = op
    this.#chunks = chunks
  }
  /** The next `length` bytes. Throws a FormatError that names `what` if the stream ends before. */
  async take(length: number, what: string): Promise<Uint8Array> {
    const found: Uint8Array[] = []
    let missing = length
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next()
        if (next.done) {
          const got = length - missing
          throw new FormatError(
            `${this.#op}: truncated in ${what}: the stream ended at byte ${this.position + got}, expected ${missing} more`,
          )
        }
        this.#rest = checkedChunk(this.#op, next.value)
      }
      const part = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(part.length)
      found.push(part)
      missing -= part.length
    }
    this.position += length
    return found.length === 0 ? new Uint8Array(0) : joined(found)
  }
  /** True if no byte is left. */
  async ended(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done) return true
      this.#rest = checkedChunk(this.#op, next.value)
    }
    return false
  }
  /** Tells the stream that nobody wants the rest. */
  async close(): Promise<void> {
    await this.#chunks.return?.()
  }
}
