// For the tests of this package: random strided views with known elements. Not part of what the package exports.
import {
  byteSize,
  type DType,
  dtypes,
  fromBfloat16,
  fromFloat16,
  type HostArray,
  hostArray,
  hostView,
  sizeOf,
  toBfloat16,
  toFloat16,
  type View,
} from "@rondo/backend"
import { CpuJs } from "./backend.js"

export type Value = number | bigint

export const backend = new CpuJs()

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The bits that hold `value`, as `dtype`'s host array has them. */
export function encode(dtype: DType, value: Value): Value {
  if (dtype === "float16") return toFloat16(Number(value))
  if (dtype === "bfloat16") return toBfloat16(Number(value))
  if (dtype === "int64") return BigInt(value)
  return Number(value)
}

function decode(dtype: DType, bits: Value): Value {
  if (dtype === "float16") return fromFloat16(Number(bits))
  return dtype === "bfloat16" ? fromBfloat16(Number(bits)) : bits
}

const singles = Object.fromEntries(dtypes.map((dtype) => [dtype, hostArray(dtype, 1)])) as Record<DType, HostArray>

/** `value` as an element of `dtype`: rounded, truncated, wrapped. */
export function rounded(dtype: DType, value: Value): Value {
  const one = singles[dtype]
  one[0] = encode(dtype, value)
  return decode(dtype, one[0])
}

/** Row-major positions of a view's elements in its storage, by plain recursion. */
export function positions(shape: readonly number[], strides: readonly number[], at: number): number[] {
  if (shape.length === 0) return [at]
  const out: number[] = []
  for (let i = 0; i < shape[0]; i++) out.push(...positions(shape.slice(1), strides.slice(1), at + i * strides[0]))
  return out
}

export const layouts = ["contiguous", "permuted", "stepped", "flipped", "mixed"] as const
export type Layout = (typeof layouts)[number]

/** Memory for `shape` in a layout: rows may lie in any order, apart, or backwards. Nothing overlaps. */
export function emptyView(dtype: DType, shape: readonly number[], layout: Layout, random: () => number): View {
  const order = [...shape.keys()]
  if (layout === "permuted" || layout === "mixed") order.sort(() => random() - 0.5)
  const gap = layout === "stepped" || layout === "mixed" ? 2 : 1
  const strides = new Array<number>(shape.length)
  let step = gap
  for (const d of order.reverse()) {
    strides[d] = step
    step *= Math.max(shape[d], 1) + gap - 1
  }
  let offset = gap === 2 ? 3 : 0
  const elements = offset + step + 1
  if (layout === "flipped" || layout === "mixed") {
    for (let d = 0; d < shape.length; d++) {
      if (layout === "mixed" && random() < 0.5) continue
      offset += Math.max(shape[d] - 1, 0) * strides[d]
      strides[d] = -strides[d]
    }
  }
  const storage = backend.alloc(elements * byteSize(dtype))
  backend.write(storage, new Uint8Array(storage.bytes).fill(0xa5))
  return { storage, dtype, shape, strides, offset }
}

/** Writes row-major `values` into the elements of a view. */
export function fillView(view: View, values: readonly Value[]): View {
  const bytes = backend.readSync(view.storage, 0, view.storage.bytes)
  const array = hostView(view.dtype, bytes, 0, Math.floor(bytes.byteLength / byteSize(view.dtype)))
  positions(view.shape, view.strides, view.offset).forEach((at, i) => (array[at] = encode(view.dtype, values[i])))
  backend.write(view.storage, array)
  return view
}

/** A view with these row-major elements. */
export function viewOf(
  dtype: DType,
  shape: readonly number[],
  values: readonly Value[],
  layout: Layout = "contiguous",
  random = randomFrom(1),
): View {
  return fillView(emptyView(dtype, shape, layout, random), values)
}

/** The elements of a view, row-major. */
export function valuesOf(view: View): Value[] {
  const bytes = backend.readSync(view.storage, 0, view.storage.bytes)
  const array = hostView(view.dtype, bytes, 0, Math.floor(bytes.byteLength / byteSize(view.dtype)))
  return positions(view.shape, view.strides, view.offset).map((at) => decode(view.dtype, array[at]))
}

/** Random elements of a dtype: small numbers, and for floats fractions. */
export function randomValues(dtype: DType, shape: readonly number[], random: () => number): Value[] {
  return Array.from({ length: sizeOf(shape) }, () => {
    const x = random() * 8 - 4
    if (dtype === "bool") return x > 0 ? 1 : 0
    if (dtype === "uint8") return Math.floor(random() * 256)
    // On both sides of 2^31.
    if (dtype === "uint32") return Math.floor(random() * 2 ** 32)
    if (dtype === "int32") return Math.round(x * 3) | 0
    if (dtype === "int64") return BigInt(Math.round(x * 3))
    return rounded(dtype, x)
  })
}

/** A random view and its elements. */
export function randomView(
  dtype: DType,
  shape: readonly number[],
  layout: Layout,
  random: () => number,
): { view: View; values: Value[] } {
  const values = randomValues(dtype, shape, random)
  return { view: viewOf(dtype, shape, values, layout, random), values }
}

/** `view` expanded to `shape`: stride 0 along the new sizes, as broadcasting makes it. */
export function expanded(view: View, shape: readonly number[]): View {
  const lead = shape.length - view.shape.length
  const strides = shape.map((size, d) => (d < lead || view.shape[d - lead] !== size ? 0 : view.strides[d - lead]))
  return { ...view, shape, strides }
}
