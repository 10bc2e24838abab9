// The gather and scatter kernels: indexing along one dim, with every index checked before anything is written.
import {
  contiguousStrides,
  type DType,
  fromBfloat16,
  fromFloat16,
  type GatherKernel,
  type HostArray,
  IndexError,
  type ScatterKernel,
  sizeOf,
  toBfloat16,
  toFloat16,
  type View,
} from "@rondo/backend"
import type { FloatArray, IntArray } from "./loops/loop.js"
import { blockOf, elements, scratchView } from "./storage.js"
import { copyView, eachRow } from "./strided.js"

/** Checked indices, with strides that repeat them where the view repeats them. */
interface Indices {
  readonly values: Int32Array
  readonly strides: readonly number[]
}

/** Reads and checks an index view. A dim of stride 0 (an expanded index) is read once. */
function readIndices(operation: string, view: View, dim: number, size: number): Indices {
  const shape = view.shape.map((n, d) => (view.strides[d] === 0 ? Math.min(n, 1) : n))
  const values = new Int32Array(sizeOf(shape))
  const source = elements(view)
  let to = 0
  eachRow(shape, [view.strides], [view.offset], (n, at, step) => {
    for (let i = 0, from = at[0]; i < n; i++, from += step[0]) {
      const index = Number(source[from])
      if (!(index >= 0 && index < size)) {
        throw new IndexError(
          `${operation}: index out of range: got ${index}, expected 0 <= index < ${size} at dim ${dim}`,
        )
      }
      values[to++] = index
    }
  })
  const strides = contiguousStrides(shape).map((stride, d) => (view.strides[d] === 0 ? 0 : stride))
  return { values, strides }
}

/** The strides of the indexed view without the indexed dim, over which the index decides. */
const without = (view: View, dim: number): number[] => view.strides.map((stride, d) => (d === dim ? 0 : stride))

/** A view that shares no memory with `output`: itself, or a copy. */
function apart(view: View, output: View): View {
  if (view.storage !== output.storage) return view
  const copy = scratchView(view.shape, view.dtype)
  copyView(view, elements(view), copy, elements(copy))
  return copy
}

/** `out[i] = x[index[i]]` along `dim`. */
export function runGather({ dim }: GatherKernel, inputs: readonly View[], output: View): void {
  const [given, index] = inputs
  const { values, strides } = readIndices("gather", index, dim, given.shape[dim])
  const x = apart(given, output)
  const source = elements(x)
  const target = blockOf(output.storage).array(output.dtype)
  const along = x.strides[dim]
  const pick = pickFor(source)
  eachRow(output.shape, [output.strides, without(x, dim), strides], [output.offset, x.offset, 0], (n, at, step) =>
    pick(n, target, at[0], step[0], source, at[1], step[1], values, at[2], step[2], along),
  )
}

type Pick<A extends HostArray = HostArray> = {
  pick(n: number, r: A, ro: number, rs: number, a: A, ao: number, as: number, index: Int32Array, io: number, is: number, along: number): void
}["pick"] // prettier-ignore

const pickFloat: Pick<FloatArray> = (n, r, ro, rs, a, ao, as, index, io, is, along) => {
  for (let i = 0; i < n; i++) r[ro + i * rs] = a[ao + i * as + index[io + i * is] * along]
}
const pickInt: Pick<IntArray> = (n, r, ro, rs, a, ao, as, index, io, is, along) => {
  for (let i = 0; i < n; i++) r[ro + i * rs] = a[ao + i * as + index[io + i * is] * along]
}
const pickInt64: Pick<BigInt64Array> = (n, r, ro, rs, a, ao, as, index, io, is, along) => {
  for (let i = 0; i < n; i++) r[ro + i * rs] = a[ao + i * as + index[io + i * is] * along]
}

function pickFor(array: HostArray): Pick {
  if (array instanceof BigInt64Array) return pickInt64 as Pick
  return (array instanceof Float32Array || array instanceof Float64Array ? pickFloat : pickInt) as Pick
}

type Put<A extends HostArray = HostArray> = {
  put(n: number, r: A, ro: number, rs: number, along: number, index: Int32Array, io: number, is: number, a: A, ao: number, as: number): void
}["put"] // prettier-ignore

const replaceFloat: Put<FloatArray> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) r[ro + i * rs + index[io + i * is] * along] = a[ao + i * as]
}
const replaceInt: Put<IntArray> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) r[ro + i * rs + index[io + i * is] * along] = a[ao + i * as]
}
const replaceInt64: Put<BigInt64Array> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) r[ro + i * rs + index[io + i * is] * along] = a[ao + i * as]
}
const addFloat: Put<FloatArray> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) r[ro + i * rs + index[io + i * is] * along] += a[ao + i * as]
}
const addInt: Put<IntArray> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) r[ro + i * rs + index[io + i * is] * along] += a[ao + i * as]
}
const addBool: Put<Uint8Array> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) r[ro + i * rs + index[io + i * is] * along] |= a[ao + i * as]
}
const addInt64: Put<BigInt64Array> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) r[ro + i * rs + index[io + i * is] * along] += a[ao + i * as]
}
const addFloat16: Put<Uint16Array> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) {
    const k = ro + i * rs + index[io + i * is] * along
    r[k] = toFloat16(fromFloat16(r[k]) + fromFloat16(a[ao + i * as]))
  }
}
const addBfloat16: Put<Uint16Array> = (n, r, ro, rs, along, index, io, is, a, ao, as) => {
  for (let i = 0; i < n; i++) {
    const k = ro + i * rs + index[io + i * is] * along
    r[k] = toBfloat16(fromBfloat16(r[k]) + fromBfloat16(a[ao + i * as]))
  }
}

const adders: Record<DType, Put> = {
  float32: addFloat as Put,
  float64: addFloat as Put,
  float16: addFloat16 as Put,
  bfloat16: addBfloat16 as Put,
  int32: addInt as Put,
  uint32: addInt as Put,
  uint8: addInt as Put,
  bool: addBool as Put,
  int64: addInt64 as Put,
}

function replaceFor(array: HostArray): Put {
  if (array instanceof BigInt64Array) return replaceInt64 as Put
  return (array instanceof Float32Array || array instanceof Float64Array ? replaceFloat : replaceInt) as Put
}

/** `out[index[i]] = source[i]`, or `+=`, along `dim`, in row-major order of the source: the last of equal indices stays. */
export function runScatter({ dim, mode }: ScatterKernel, inputs: readonly View[], output: View): void {
  const [index, given] = inputs
  const { values, strides } = readIndices("scatter", index, dim, output.shape[dim])
  const source = apart(given, output)
  const from = elements(source)
  const target = elements(output)
  const along = output.strides[dim]
  const put = mode === "add" ? adders[output.dtype] : replaceFor(target)
  eachRow(
    index.shape,
    [without(output, dim), strides, source.strides],
    [output.offset, 0, source.offset],
    (n, at, step) => put(n, target, at[0], step[0], along, values, at[1], step[1], from, at[2], step[2]),
  )
}
