// Reading NumPy's files: one array of a .npy, several of a .npz. The formats are beside it.
import { FormatError, ValueError } from "@rondo/backend"
import { currentDevice } from "../device.js"
import { makeTensor, type Target } from "../elements.js"
import type { LoadTensorsOptions } from "../safetensors/index.js"
import { type FileInput, readExactly, wholeInput } from "../source.js"
import type { Tensor } from "../tensor.js"
import { headerEnd, type NpyArray, parseHeader, parseNpy, prefixBytes } from "./npy.js"
import { readDirectory, readEntry, type ZipEntry } from "./zip.js"

function arrayToTensor(op: string, { type, bigEndian, fortran, shape, data }: NpyArray, target: Target): Tensor {
  const turned = fortran && shape.length > 1
  const made = makeTensor(op, { type, shape: turned ? [...shape].reverse() : shape, bytes: data, bigEndian }, target)
  if (!turned) return made
  const copy = made.permute(...shape.map((_, d) => shape.length - 1 - d)).contiguous()
  if (copy !== made) made.dispose()
  return copy
}

/**
 * Loads an array that `numpy.save` wrote (versions 1 to 3, either byte order, C or Fortran order). Integers that tensors lack
 * are widened: int8, int16 and uint16 to int32, uint32 and uint64 to int64.
 *
 * @throws FormatError for a malformed or truncated file, saying where, and for objects, records, strings and complex numbers;
 *   DTypeError if the device lacks the dtype
 * @example
 * ```ts
 * const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
 * const head = new Uint8Array([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, header.length, 0])
 * const x = await loadNpy(new Blob([head, header, new Float32Array([1, 2])]))
 * console.log(x.tolistSync()) // [ 1, 2 ]
 * ```
 */
export async function loadNpy(
  input: FileInput,
  { device = currentDevice(), dtype }: Omit<LoadTensorsOptions, "names"> = {},
): Promise<Tensor> {
  const op = "loadNpy"
  const source = await wholeInput(op, input)
  // The data are not touched before the header has been held against the file's size.
  const { size } = source
  const end = headerEnd(op, await readExactly(op, source, 0, Math.min(size, prefixBytes)), size)
  const header = parseHeader(op, await readExactly(op, source, 0, end), size)
  return arrayToTensor(op, { ...header, data: await readExactly(op, source, end, size - end) }, { device, dtype })
}

/** Options of {@link loadNpz}. */
export interface LoadNpzOptions extends LoadTensorsOptions {
  /**
   * Most bytes that the wanted arrays may have when unpacked. Default: 64 MiB, or 64 times the file if that is more. Raise it
   * for archives of mostly zeros.
   */
  readonly maxBytes?: number
}

/**
 * Loads the arrays that `numpy.savez` or `numpy.savez_compressed` wrote, by name; only the wanted ones are unpacked.
 *
 * @returns The tensors, in the order of the file. Nothing is left behind if it throws.
 * @throws FormatError as {@link loadNpy}, and for archives that are damaged, lie about sizes or unpack to more than
 *   `maxBytes`; ValueError for names that are not in the file
 * @example
 * ```ts
 * const empty = new Uint8Array(22)
 * empty.set([0x50, 0x4b, 5, 6]) // an archive of nothing
 * console.log(await loadNpz(empty)) // {}
 * ```
 */
export async function loadNpz(
  input: FileInput,
  { device = currentDevice(), dtype, names, maxBytes }: LoadNpzOptions = {},
): Promise<Record<string, Tensor>> {
  const op = "loadNpz"
  const source = await wholeInput(op, input)
  if (maxBytes !== undefined && !(maxBytes >= 0)) {
    throw new ValueError(`${op}: maxBytes must be at least 0: got ${String(maxBytes)}`)
  }
  const entries = new Map<string, ZipEntry>()
  for (const entry of await readDirectory(op, source)) {
    const name = entry.name.replace(/\.npy$/, "")
    if (entries.has(name)) {
      throw new FormatError(
        `${op}: two arrays ${JSON.stringify(name)} in the file: with .npy behind the name and without`,
      )
    }
    entries.set(name, entry)
  }
  for (const name of names ?? []) {
    if (!entries.has(name)) throw new ValueError(`${op}: no array ${JSON.stringify(name)} in the file`)
  }
  const chosen = [...entries].filter(([name]) => names?.includes(name) ?? true)
  const total = chosen.reduce((sum, [, { size }]) => sum + size, 0)
  const limit = maxBytes ?? Math.max(64 * 2 ** 20, 64 * source.size)
  if (total > limit) {
    throw new FormatError(
      `${op}: arrays of ${total} bytes in a file of ${source.size}: expected at most ${limit}; raise maxBytes if you trust it`,
    )
  }
  const made: [string, Tensor][] = []
  try {
    for (const [name, entry] of chosen) {
      const where = `${op}: array ${JSON.stringify(name)}`
      const array = parseNpy(where, await readEntry(op, source, entry))
      made.push([name, arrayToTensor(where, array, { device, dtype })])
    }
  } catch (error) {
    for (const [, tensor] of made) tensor.dispose()
    throw error
  }
  return Object.fromEntries(made)
}
