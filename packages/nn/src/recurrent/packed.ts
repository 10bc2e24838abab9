// Sequences of different lengths in one tensor, padded or packed, after torch.nn.utils.rnn. Running layers over them is driver.ts's.
import { DTypeError, isFloat, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { cat, checkOptions, type Device, full, type OptionChecks, Tensor, tensor } from "@rondo/core"
import { needTensor } from "../linear.js"
import { fallingOrder } from "./order.js"

/**
 * Sequences of different lengths without padding: plain data, made by {@link packPaddedSequence} or {@link packSequence}.
 * The longest sequence comes first within every time step.
 */
export interface PackedSequence {
  /** `[N, …]`: the elements of all sequences at time 0, then those at time 1, … */
  readonly data: Tensor
  /** How many sequences have an element at time 0, 1, …; never rises. */
  readonly batchSizes: readonly number[]
  /** Which of the sequences given comes first, second, …; null if they were given in order. */
  readonly sortedIndices: readonly number[] | null
  /** Where each sequence given lies among the sorted ones; null as above. */
  readonly unsortedIndices: readonly number[] | null
}

/** One length a sequence: numbers, or a vector of whole numbers, which is read at once. */
export type Lengths = readonly number[] | Tensor

/** True for what {@link packPaddedSequence} and its kin make. */
export const isPacked = (x: unknown): x is PackedSequence =>
  typeof x === "object" && x !== null && "batchSizes" in x && "data" in x && x.data instanceof Tensor

// ---- reading what is given

function readLengths(name: string, lengths: Lengths, count: number, least: number, most: number): number[] {
  if (lengths instanceof Tensor && (isFloat(lengths.dtype) || lengths.dtype === "bool" || lengths.ndim !== 1)) {
    throw new DTypeError(
      `${name}: lengths must be a vector of whole numbers: got ${lengths.dtype} ${shapeText(lengths.shape)}`,
    )
  }
  const several = typeof lengths === "object" && lengths !== null
  if (!several || !(lengths instanceof Tensor || Symbol.iterator in lengths))
    throw new ValueError(`${name}: lengths must be numbers or a tensor: got ${typeof lengths}`)
  const read = lengths instanceof Tensor ? Array.from(lengths.dataSync(), Number) : [...lengths]
  if (read.length !== count) {
    throw new ShapeError(`${name}: expected one length a sequence: got ${read.length} lengths for a batch of ${count}`)
  }
  read.forEach((length, i) => {
    if (Number.isInteger(length) && length >= least && length <= most) return
    throw new ValueError(`${name}: length ${i} out of range: got ${length}, expected ${least} to ${most}`)
  })
  return read
}

/** Throws a ShapeError or ValueError unless `packed` is what the functions of this file make. */
export function checkPacked(name: string, packed: PackedSequence): void {
  if (!isPacked(packed) || !Array.isArray(packed.batchSizes))
    throw new ValueError(`${name}: needs a PackedSequence; make it with packPaddedSequence or packSequence`)
  const { data, batchSizes, sortedIndices, unsortedIndices } = packed
  const rows = batchSizes.reduce((sum, size) => sum + size, 0)
  const falling = batchSizes.every((size, t) => Number.isInteger(size) && size > 0 && !(size > batchSizes[t - 1]))
  if (data.ndim === 0 || batchSizes.length === 0 || !falling || rows !== data.shape[0]) {
    throw new ShapeError(
      `${name}: batch sizes do not fit the packed data: got ${shapeText(batchSizes)} for data ${shapeText(data.shape)}; use packPaddedSequence or packSequence`,
    )
  }
  if (!sortedIndices && !unsortedIndices) return
  const inverse = sortedIndices?.every((from, to) => unsortedIndices?.[from] === to)
  if (!inverse || sortedIndices?.length !== batchSizes[0] || unsortedIndices?.length !== batchSizes[0]) {
    throw new ValueError(
      `${name}: sortedIndices and unsortedIndices must be inverse orders of ${batchSizes[0]} sequences: got ${shapeText(sortedIndices ?? [])} and ${shapeText(unsortedIndices ?? [])}`,
    )
  }
}

// ---- where elements lie

const indexOn = (device: Device, places: readonly number[]): Tensor => tensor([...places], { dtype: "int32", device })

/** `x` with the positions of `dim` in another order; itself for null. */
export const reordered = (x: Tensor, dim: number, order: readonly number[] | null): Tensor =>
  order ? x.indexSelect(dim, indexOn(x.device, order)) : x

/** Calls `visit` for every packed row with the sequence (as given) and the time that it holds. */
function eachRow({ batchSizes, sortedIndices }: Omit<PackedSequence, "data">, visit: (b: number, t: number) => void): void {
  batchSizes.forEach((size, t) => {
    for (let b = 0; b < size; b++) visit(sortedIndices ? sortedIndices[b] : b, t)
  })
} // prettier-ignore

function lengthsOf(packed: PackedSequence): number[] {
  const lengths = new Array<number>(packed.batchSizes[0]).fill(0)
  eachRow(packed, (b) => lengths[b]++)
  return lengths
}

/** Packs from rows `[R, …]`, in which `place` tells where each element of each sequence lies. */
function packRows(
  name: string,
  rows: Tensor,
  lengths: readonly number[],
  { enforceSorted = true }: PackOptions,
  place: (b: number, t: number) => number,
): PackedSequence {
  const unsorted = lengths.findIndex((length, b) => length > lengths[b - 1])
  if (enforceSorted && unsorted >= 0) {
    throw new ValueError(
      `${name}: lengths must not rise when enforceSorted is true: got ${lengths[unsorted - 1]}, then ${lengths[unsorted]}; pass { enforceSorted: false }`,
    )
  }
  const order = enforceSorted ? null : fallingOrder(lengths)
  const falling = order ? order.map((b) => lengths[b]) : lengths
  const batchSizes: number[] = []
  for (let t = 0, going = falling.length; t < falling[0]; t++) {
    while (falling[going - 1] <= t) going--
    batchSizes.push(going)
  }
  const inverse = order && new Array<number>(order.length)
  order?.forEach((from, to) => ((inverse as number[])[from] = to))
  const layout = { batchSizes, sortedIndices: order, unsortedIndices: inverse }
  const places: number[] = []
  eachRow(layout, (b, t) => places.push(place(b, t)))
  return { data: rows.indexSelect(0, indexOn(rows.device, places)), ...layout }
}

/** `[count, …]` filled with `value`, but for the rows at `places`, which are those of `source`. */
function placeRows(source: Tensor, count: number, places: readonly number[], value: number): Tensor {
  const { dtype, device } = source
  const filled = full([count, ...source.shape.slice(1)], value, { dtype, device })
  return filled.indexCopy(0, indexOn(device, places), source)
}

// ---- packing

/** Options of {@link packSequence}. */
export interface PackOptions {
  /** Throw unless the lengths never rise. False sorts the sequences first, and remembers their order. Default true. */
  readonly enforceSorted?: boolean
}

/** Options of {@link packPaddedSequence}. */
export interface PackPaddedOptions extends PackOptions {
  /** The input is `[B, T, …]` instead of `[T, B, …]`. Default false. */
  readonly batchFirst?: boolean
}

const packChecks: OptionChecks<PackOptions> = { enforceSorted: "flag" }
const packPaddedChecks: OptionChecks<PackPaddedOptions> = { ...packChecks, batchFirst: "flag" }

/**
 * Leaves out the padding of a batch of sequences, so that a recurrent layer spends no time on it. Differentiable.
 *
 * Throws a ShapeError if the input has less than 2 dims or is empty, or there is not one length a sequence; a ValueError
 * for lengths below 1 or above T, and, unless `enforceSorted` is false, for lengths that rise.
 *
 * @param input - `[T, B, …]`, or `[B, T, …]` with batchFirst; any dtype.
 * @param lengths - How many of the T elements of each sequence count.
 * @example
 * ```ts
 * const x = tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
 * const packed = packPaddedSequence(x, [2, 1, 3], { batchFirst: true, enforceSorted: false })
 * console.log(await packed.data.tolist(), packed.batchSizes) // [ 4, 1, 3, 5, 2, 6 ] [ 3, 2, 1 ]
 * const [padded, lengths] = padPackedSequence(packed, { batchFirst: true }) // x again, and [2, 1, 3]
 * ```
 */
export function packPaddedSequence(input: Tensor, lengths: Lengths, options?: PackPaddedOptions): PackedSequence {
  const { batchFirst = false, ...packing } = checkOptions("packPaddedSequence", packPaddedChecks, options)
  needTensor("packPaddedSequence", input)
  if (input.ndim < 2 || input.numel() === 0) {
    throw new ShapeError(
      `packPaddedSequence: got input ${shapeText(input.shape)}, expected ${batchFirst ? "[B, T, ...]" : "[T, B, ...]"}, not empty`,
    )
  }
  const [d0, d1] = input.shape
  const [batch, time] = batchFirst ? [d0, d1] : [d1, d0]
  const read = readLengths("packPaddedSequence", lengths, batch, 1, time)
  const place = batchFirst ? (b: number, t: number) => b * time + t : (b: number, t: number) => t * batch + b
  return packRows("packPaddedSequence", input.flatten(0, 1), read, packing, place)
}

/**
 * Packs a list of sequences, each `[length, …]`. Differentiable.
 *
 * Throws a ShapeError for an empty list and for sequences that differ in more than their length; a ValueError for empty
 * sequences, and, unless `enforceSorted` is false, for lengths that rise.
 *
 * @example
 * ```ts
 * const packed = packSequence([tensor([1, 2, 3]), tensor([4, 5]), tensor([6])])
 * console.log(await packed.data.tolist()) // [ 1, 4, 6, 2, 5, 3 ]
 * ```
 */
export function packSequence(sequences: Iterable<Tensor>, options?: PackOptions): PackedSequence {
  const packing = checkOptions("packSequence", packChecks, options)
  const { rows, lengths, starts } = joined("packSequence", sequences)
  readLengths("packSequence", lengths, lengths.length, 1, Infinity)
  return packRows("packSequence", rows, lengths, packing, (b, t) => starts[b] + t)
}

/** The elements of all sequences, one sequence after another. */
function joined(name: string, sequences: Iterable<Tensor>): { rows: Tensor; lengths: number[]; starts: number[] } {
  if (typeof sequences !== "object" || sequences === null || !(Symbol.iterator in sequences))
    throw new ValueError(`${name}: needs a list of tensors, got ${sequences === null ? "null" : typeof sequences}`)
  const list = [...sequences]
  for (const sequence of list) needTensor(name, sequence)
  if (list.length === 0) throw new ShapeError(`${name}: got an empty list of sequences, expected at least one`)
  const [first] = list
  const wanted = ["length", ...first.shape.slice(1)].join(", ")
  list.forEach((x, i) => {
    if (x.ndim > 0 && x.ndim === first.ndim && x.shape.every((size, d) => d === 0 || size === first.shape[d])) return
    throw new ShapeError(`${name}: got sequence ${i} of ${shapeText(x.shape)}, expected [${wanted}]`)
  })
  const lengths = list.map((x) => x.shape[0])
  let total = 0
  const starts = lengths.map((length) => (total += length) - length)
  return { rows: cat(list.map((x) => x.to(first.dtype)), 0), lengths, starts } // prettier-ignore
}

// ---- padding

/** Options of {@link padSequence}. */
export interface PadOptions {
  /** The result is `[B, T, …]` instead of `[T, B, …]`. Default false. */
  readonly batchFirst?: boolean
  /** What stands behind the end of a sequence. Default 0. */
  readonly paddingValue?: number
}

/** Options of {@link padPackedSequence}. */
export interface PadPackedOptions extends PadOptions {
  /** T of the result. Default: the longest length. */
  readonly totalLength?: number
}

const unpadChecks: OptionChecks<Pick<PadOptions, "batchFirst">> = { batchFirst: "flag" }
const padChecks: OptionChecks<PadOptions> = { ...unpadChecks, paddingValue: "number" }
const padPackedChecks: OptionChecks<PadPackedOptions> = { ...padChecks, totalLength: "count" }

/** A batch in which each row of `rows` stands where `each` tells, one call of its callback a row. */
function padRows(
  rows: Tensor,
  [batch, time]: readonly [number, number],
  { batchFirst = false, paddingValue = 0 }: PadOptions,
  each: (visit: (b: number, t: number) => void) => void,
): Tensor {
  const places: number[] = []
  each((b, t) => places.push(batchFirst ? b * time + t : t * batch + b))
  const flat = placeRows(rows, batch * time, places, paddingValue)
  return flat.unflatten(0, batchFirst ? [batch, time] : [time, batch])
}

/**
 * The batch of padded sequences that `packed` holds, in the order in which they were given, and their lengths.
 * The inverse of {@link packPaddedSequence}. Differentiable.
 *
 * Throws a ValueError if `totalLength` is less than the longest length, and a ShapeError if `packed` was not made by this
 * library.
 *
 * @returns `[T, B, …]`, or `[B, T, …]` with batchFirst, and the B lengths.
 * @example
 * ```ts
 * const packed = packSequence([tensor([1, 2, 3]), tensor([4])])
 * const [padded, lengths] = padPackedSequence(packed, { batchFirst: true, paddingValue: -1 })
 * console.log(await padded.tolist(), lengths) // [ [ 1, 2, 3 ], [ 4, -1, -1 ] ] [ 3, 1 ]
 * ```
 */
export function padPackedSequence(
  packed: PackedSequence,
  options?: PadPackedOptions,
): [padded: Tensor, lengths: number[]] {
  checkPacked("padPackedSequence", packed)
  const longest = packed.batchSizes.length
  const { totalLength = longest, ...padding } = checkOptions("padPackedSequence", padPackedChecks, options)
  if (totalLength < longest) {
    throw new ValueError(
      `padPackedSequence: totalLength must be at least the longest length: got ${totalLength} for ${longest}`,
    )
  }
  const size = [packed.batchSizes[0], totalLength] as const
  return [padRows(packed.data, size, padding, (visit) => eachRow(packed, visit)), lengthsOf(packed)]
}

/**
 * A list of sequences, each `[length, …]`, as one batch, padded to the longest. The dtype is that of the first.
 * Differentiable. Throws a ShapeError for an empty list and for sequences that differ in more than their length.
 *
 * @returns `[T, B, …]`, or `[B, T, …]` with batchFirst.
 * @example
 * ```ts
 * const batch = padSequence([ones(25, 300), ones(22, 300)]) // [25, 2, 300]
 * ```
 */
export function padSequence(sequences: Iterable<Tensor>, options?: PadOptions): Tensor {
  const padding = checkOptions("padSequence", padChecks, options)
  const { rows, lengths } = joined("padSequence", sequences)
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0)
  return padRows(rows, [lengths.length, longest], padding, (visit) =>
    lengths.forEach((length, b) => {
      for (let t = 0; t < length; t++) visit(b, t)
    }),
  )
}

/**
 * The sequences of a padded batch without their padding, each `[length, …]`; views. The inverse of {@link padSequence}.
 * Throws a ShapeError if there is not one length a sequence, and a ValueError for lengths outside of 0 to T.
 *
 * @param padded - `[T, B, …]`, or `[B, T, …]` with batchFirst.
 * @example
 * ```ts
 * const [a, b] = unpadSequence(ones(5, 2), [5, 3])
 * console.log(a.shape, b.shape) // [ 5 ] [ 3 ]
 * ```
 */
export function unpadSequence(padded: Tensor, lengths: Lengths, options?: { readonly batchFirst?: boolean }): Tensor[] {
  const { batchFirst = false } = checkOptions("unpadSequence", unpadChecks, options)
  needTensor("unpadSequence", padded)
  if (padded.ndim < 2) {
    throw new ShapeError(`unpadSequence: got ${shapeText(padded.shape)}, expected at least 2 dims`)
  }
  const [batchDim, timeDim] = batchFirst ? [0, 1] : [1, 0]
  const read = readLengths("unpadSequence", lengths, padded.shape[batchDim], 0, padded.shape[timeDim])
  return padded.unbind(batchDim).map((sequence, b) => sequence.narrow(0, 0, read[b]))
}

/**
 * The sequences that `packed` holds, each `[length, …]`, in the order in which they were given. The inverse of
 * {@link packSequence}. Differentiable. Throws a ShapeError if `packed` was not made by this library.
 *
 * @example
 * ```ts
 * const [a, b] = unpackSequence(packSequence([ones(3, 2), ones(1, 2)]))
 * console.log(a.shape, b.shape) // [ 3, 2 ] [ 1, 2 ]
 * ```
 */
export function unpackSequence(packed: PackedSequence): Tensor[] {
  checkPacked("unpackSequence", packed)
  const lengths = lengthsOf(packed)
  const places: number[][] = lengths.map(() => [])
  let row = 0
  eachRow(packed, (b) => places[b].push(row++))
  return packed.data.indexSelect(0, indexOn(packed.data.device, places.flat())).split(lengths, 0)
}
