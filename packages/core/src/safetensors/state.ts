// Tensors by name to safetensors files and back: at once, as streams, or some of them. The format itself is beside it.
import { type DType, DTypeError, FormatError, ValueError } from "@rondo/backend"
import { currentDevice, type Device } from "../device.js"
import { type ElementType, makeTensor, type Target, targetDType } from "../elements.js"
import { data, dataSync } from "../host.js"
import { type FileInput, isSource, openInput, readExactly, StreamReader } from "../source.js"
import { Tensor } from "../tensor.js"
import { isForeignDType, type StoredDType } from "./dtype.js"
import { type Header, headerLength, parseHeader, prefixBytes, quote, type SafetensorsEntry } from "./header.js"
import type { SafetensorsReader } from "./read.js"
import { planSafetensors, serializeSafetensors } from "./write.js"

/** Tensors by name, as a module's `stateDict()` has them. */
export type TensorDict = Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>

const entriesOf = (op: string, tensors: TensorDict): [string, Tensor][] => {
  const entries = tensors instanceof Map ? [...(tensors as ReadonlyMap<string, Tensor>)] : Object.entries(tensors)
  for (const [name, tensor] of entries) {
    if (!(tensor instanceof Tensor)) throw new ValueError(`${op}: ${quote(name)} is no tensor: got ${typeof tensor}`)
    tensor.check(op)
  }
  return entries
}

/** The elements as little-endian bytes. Where the device can be read at once, that is what happens. */
export async function bytesOf(x: Tensor): Promise<Uint8Array> {
  const values = x.device.backend.readSync ? dataSync(x) : await data(x)
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** The chunks of a file: its header, then one tensor after another, each read from its device when its turn comes. */
export async function* safetensorsChunks(
  op: string,
  tensors: TensorDict,
  metadata: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array> {
  const entries = entriesOf(op, tensors)
  const planned = entries.map(([name, x]) => {
    const bytes = x.shape.reduce((product, size) => product * size, x.itemsize)
    return { name, dtype: x.dtype, shape: x.shape, bytes }
  })
  const { head, order } = planSafetensors(op, planned, metadata)
  yield head
  const byName = new Map(entries)
  for (const { name, bytes } of order) if (bytes > 0) yield await bytesOf(byName.get(name) as Tensor)
}

/**
 * Writes tensors of any dtype to a safetensors file that PyTorch's `safetensors.torch.load_file` reads. Wait for it before
 * the next training step on a device that is only read asynchronously: it would go on changing the tensors.
 *
 * @param tensors - By name, a record or a Map: `model.stateDict()`.
 * @param metadata - Strings by name, kept in the file.
 * @throws ValueError for what is no tensor, and as {@link serializeSafetensors}
 * @example
 * ```ts
 * const file = await saveSafetensors({ weight: tensor([[1, 2], [3, 4]]) }, { format: "pt" })
 * const { weight } = await loadSafetensors(file)
 * console.log(weight.tolistSync()) // [ [ 1, 2 ], [ 3, 4 ] ]
 * ```
 */
export async function saveSafetensors(
  tensors: TensorDict,
  metadata: Readonly<Record<string, string>> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const entries = entriesOf("saveSafetensors", tensors)
  // All are read at once, before anybody can change one.
  const stored = await Promise.all(
    entries.map(async ([name, x]) => [name, { dtype: x.dtype, shape: x.shape, data: await bytesOf(x) }] as const),
  )
  return serializeSafetensors(new Map(stored), metadata)
}

/**
 * As {@link saveSafetensors}, as a stream of chunks: the host never holds more than one tensor. For uploads and large models.
 *
 * @example
 * ```ts
 * const stream = streamSafetensors({ weight: tensor([1, 2, 3]) })
 * const { weight } = await loadSafetensors(stream)
 * console.log(weight.tolistSync()) // [ 1, 2, 3 ]
 * ```
 */
export function streamSafetensors(
  tensors: TensorDict,
  metadata: Readonly<Record<string, string>> = {},
): ReadableStream<Uint8Array> {
  const chunks = safetensorsChunks("streamSafetensors", tensors, metadata)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await chunks.next()
        if (next.done) controller.close()
        else controller.enqueue(next.value)
      },
      async cancel() {
        await chunks.return(undefined)
      },
    },
    // Nothing is read ahead.
    { highWaterMark: 0 },
  )
}

/** Options of {@link loadSafetensors}, and of reading other files. */
export interface LoadTensorsOptions {
  /** Default: the device given to `use`. */
  readonly device?: Device
  /** Float tensors are converted to it, on the host. Default: as the file has them. */
  readonly dtype?: DType
  /** Only these tensors are read. Default: all. */
  readonly names?: readonly string[]
}

const elementTypes: Partial<Record<StoredDType, ElementType>> = {
  I8: "int8",
  I16: "int16",
  U16: "uint16",
  U64: "uint64",
}

function typeOf(op: string, name: string, dtype: StoredDType): ElementType {
  const type = isForeignDType(dtype) ? elementTypes[dtype] : dtype
  if (type) return type
  throw new DTypeError(
    `${op}: tensor ${quote(name)} is ${dtype}, which tensors cannot be; read its bytes with openSafetensors`,
  )
}

/** Which entries are wanted, checked against the device before any data are read. */
function wanted(
  op: string,
  { entries }: Pick<SafetensorsReader, "entries">,
  names: readonly string[] | undefined,
  target: Target,
) {
  for (const name of names ?? []) {
    if (!entries.has(name)) throw new ValueError(`${op}: no tensor ${quote(name)} in the file`)
  }
  const chosen = new Set(names ?? entries.keys())
  const types = new Map<string, ElementType>()
  for (const [name, { dtype }] of entries) {
    if (!chosen.has(name)) continue
    const type = typeOf(op, name, dtype)
    targetDType(`${op}: tensor ${quote(name)}`, type, target)
    types.set(name, type)
  }
  return types
}

/**
 * Loads tensors from a safetensors file: bytes, a Blob or File, a `fetch` response, a stream, a {@link ByteSource}, or a file
 * that {@link openSafetensors} opened. The header is checked before anything is made; a stream is taken in one tensor at a
 * time; of other inputs only the wanted tensors are read. Integers that tensors lack are widened: I8, I16 and U16 to int32,
 * U64 to int64.
 *
 * @returns The tensors in the order of their data. Nothing is left behind if it throws.
 * @throws FormatError for a malformed or truncated file, saying where; DTypeError for element types that tensors, or the
 *   device, lack; ValueError for names that are not in the file
 * @example
 * ```ts
 * const file = new Blob([serializeSafetensors({ w: { dtype: "I8", shape: [2], data: new Uint8Array([7, 255]) } })])
 * const { w } = await loadSafetensors(file)
 * console.log(w.dtype, w.tolistSync()) // int32 [ 7, -1 ]
 * ```
 */
export async function loadSafetensors(
  input: FileInput | SafetensorsReader,
  { device = currentDevice(), dtype, names }: LoadTensorsOptions = {},
): Promise<Record<string, Tensor>> {
  const op = "loadSafetensors"
  const target = { device, dtype }
  const made: [string, Tensor][] = []
  const add = (name: string, type: ElementType, shape: readonly number[], bytes: Uint8Array): void =>
    void made.push([name, makeTensor(`${op}: tensor ${quote(name)}`, { type, shape, bytes }, target)])
  try {
    if (isReader(input)) {
      for (const [name, type] of wanted(op, input, names, target)) {
        const { shape, data } = await input.read(name)
        add(name, type, shape, data)
      }
    } else await fromInput(op, input, (header) => wanted(op, header, names, target), add)
  } catch (error) {
    for (const [, tensor] of made) tensor.dispose()
    throw error
  }
  return Object.fromEntries(made)
}

const isReader = (input: object): input is SafetensorsReader =>
  typeof input === "object" && input !== null && "entries" in input && "metadata" in input && "read" in input

type Add = (name: string, type: ElementType, shape: readonly number[], bytes: Uint8Array) => void

async function fromInput(op: string, input: FileInput, choose: (header: Header) => Map<string, ElementType>, add: Add) {
  const opened = openInput(op, input)
  if (!isSource(opened)) return fromStream(op, new StreamReader(op, opened), choose, add)
  const prefix = await readExactly(op, opened, 0, Math.min(opened.size, prefixBytes))
  const length = headerLength(op, prefix, opened.size)
  const header = parseHeader(op, await readExactly(op, opened, prefixBytes, length), opened.size)
  for (const [name, type] of choose(header)) {
    const { shape, begin, end } = header.entries.get(name) as SafetensorsEntry
    add(name, type, shape, await readExactly(op, opened, begin, end - begin))
  }
}

async function fromStream(
  op: string,
  stream: StreamReader,
  choose: (header: Header) => Map<string, ElementType>,
  add: Add,
) {
  try {
    const length = headerLength(op, await stream.take(prefixBytes, "the header's length"), Infinity)
    const header = parseHeader(op, await stream.take(length, "the header"), Infinity)
    const types = choose(header)
    for (const [name, { shape, begin, end }] of header.entries) {
      const type = types.get(name)
      const bytes = await stream.take(end - begin, `tensor ${quote(name)}`)
      if (type !== undefined) add(name, type, shape, bytes)
    }
    if (!(await stream.ended())) {
      throw new FormatError(`${op}: bytes after the last tensor: data ends at byte ${stream.position}`)
    }
  } finally {
    await stream.close()
  }
}
