// For the tests of kernels: a device, operands in every layout, run on the reference and on this backend, and compared bit for
// bit or within a tolerance, everything that must not be touched included. Not part of what the package exports.
import {
  type Backend,
  type DType,
  type HostArray,
  hostArray,
  hostView,
  isFloat,
  type Kernel,
  type View,
} from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { it } from "vitest"
import { WebGpu } from "../src/backend.js"

/** True if the environment says that this backend must be there: `REQUIRE_BACKENDS=webgpu`, or `all`. */
function isRequired(): boolean {
  const { process } = globalThis as { process?: { env: Record<string, string | undefined> } }
  const wanted = (process?.env.REQUIRE_BACKENDS ?? "").split(",").map((part) => part.trim())
  return wanted.includes("webgpu") || wanted.includes("all")
}

/**
 * The device for a test file, or null if there is none: then one test stands in for the file, whose name says why. That test
 * fails where the environment requires the backend.
 */
export async function openForTest(): Promise<WebGpu | null> {
  try {
    return await WebGpu.open()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    it(`could not run: ${reason}`, () => {
      if (isRequired()) throw error
    })
    return null
  }
}

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

export const layouts = ["contiguous", "permuted", "stepped", "flipped", "mixed"] as const
export type Layout = (typeof layouts)[number]

/** A view before it is on any device: its geometry and all elements of its storage. */
export interface Operand {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
  readonly data: HostArray
}

// Bits of float16 and bfloat16, whose host arrays hold bits: 0, and the numbers that `fill` may need.
const special = [NaN, Infinity, -Infinity, -0, 0]
const specialBits = { float16: [0x7e00, 0x7c00, 0xfc00, 0x8000, 0], bfloat16: [0x7fc0, 0x7f80, 0xff80, 0x8000, 0] }

const halfBits = (dtype: "float16" | "bfloat16", x: number): number => {
  const bits = new Uint32Array(new Float32Array([x]).buffer)[0]
  if (dtype === "bfloat16") return bits >>> 16
  return x === 0 ? 0 : ((bits >>> 16) & 0x8000) | (((bits & 0x7fffffff) - 0x38000000) >>> 13)
}

/** Small numbers with many ties; `odd` adds NaN, infinities and zeros of both signs to floats. */
export function fill(data: HostArray, dtype: DType, random: () => number, odd = false): void {
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(random() * 60) - 30
    const at = odd && random() < 0.1 ? Math.floor(random() * 5) : -1
    if (dtype === "bool") data[i] = x & 1
    else if (!isFloat(dtype)) data[i] = x
    else if (dtype === "float16" || dtype === "bfloat16")
      data[i] = at >= 0 ? specialBits[dtype][at] : halfBits(dtype, x / 4)
    else data[i] = at >= 0 ? special[at] : x / 4
  }
}

/** An operand whose rows may lie in any order, apart, or backwards. Dims in `stretched` have stride 0. */
export function operand(
  dtype: DType,
  shape: readonly number[],
  layout: Layout,
  random: () => number,
  stretched: readonly number[] = [],
): Operand {
  const order = [...shape.keys()]
  if (layout === "permuted" || layout === "mixed") order.sort(() => random() - 0.5)
  const gap = layout === "stepped" || layout === "mixed" ? 2 : 1
  const strides = new Array<number>(shape.length).fill(0)
  let step = gap
  for (const d of order.reverse()) {
    if (stretched.includes(d)) continue
    strides[d] = step
    step *= Math.max(shape[d], 1) + gap - 1
  }
  let offset = gap === 2 ? 3 : 0
  const data = hostArray(dtype, offset + step + 5)
  fill(data, dtype, random)
  if (layout === "flipped" || layout === "mixed") {
    for (let d = 0; d < shape.length; d++) {
      if (layout === "mixed" && random() < 0.5) continue
      offset += Math.max(shape[d] - 1, 0) * strides[d]
      strides[d] = -strides[d]
    }
  }
  return { dtype, shape, strides, offset, data }
}

/** A contiguous operand of given elements (bits, for 16-bit floats). */
export function operandOf(dtype: DType, shape: readonly number[], values: ArrayLike<number>): Operand {
  const made = operand(dtype, shape, "contiguous", () => 0)
  for (let i = 0; i < values.length; i++) made.data[i] = values[i]
  return made
}

/** How far results may be from the reference's: relative to them, or to `scale` where they are smaller. */
export interface Tolerance {
  readonly relative: number
  readonly scale: number
}

const numberOf = (dtype: DType, bits: number): number => {
  if (dtype === "bfloat16") return new Float32Array(new Uint32Array([bits << 16]).buffer)[0]
  if (dtype !== "float16") return bits
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const significand = bits & 1023
  if (exponent === 31) return significand ? NaN : sign * Infinity
  return sign * (exponent === 0 ? significand * 2 ** -24 : (1024 + significand) * 2 ** (exponent - 25))
}

/** Runs a kernel on one device; gives everything that the outputs' storages hold afterwards, as numbers. */
export async function outcome(
  backend: Backend,
  kernel: Kernel,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  scalars: readonly number[] = [],
): Promise<number[][]> {
  const views = new Map<Operand, View>()
  const place = (one: Operand): View => {
    let view = views.get(one)
    if (view) return view
    const storage = backend.alloc(one.data.byteLength)
    backend.write(storage, one.data)
    views.set(one, (view = { storage, dtype: one.dtype, shape: one.shape, strides: one.strides, offset: one.offset }))
    return view
  }
  try {
    backend.run(kernel, inputs.map(place), outputs.map(place), scalars)
    return await Promise.all(
      outputs.map(async (one) => {
        const { storage, dtype } = place(one)
        const list = hostView(dtype, await backend.read(storage, 0, storage.bytes)) as ArrayLike<number>
        return Array.from(list, (x) => numberOf(dtype, x))
      }),
    )
  } finally {
    for (const { storage } of views.values()) backend.free(storage)
  }
}

/** Fails unless the device does what the reference does. An output may be one of the inputs (the same object). */
export type Agree = (
  note: string,
  kernel: Kernel,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  tolerance?: Tolerance,
  scalars?: readonly number[],
) => Promise<void>

/** The comparison of one device with the reference. */
export const agreement =
  (device: Backend, reference: Backend = new CpuJs()): Agree =>
  async (note, kernel, inputs, outputs, tolerance = { relative: 0, scale: 0 }, scalars = []) => {
    const expected = await outcome(reference, kernel, inputs, outputs, scalars)
    const got = await outcome(device, kernel, inputs, outputs, scalars)
    got.forEach((list, o) =>
      list.forEach((x, i) => {
        const y = expected[o][i]
        const bound = tolerance.relative * Math.max(Math.abs(y), tolerance.scale)
        if (Object.is(x, y) || Math.abs(x - y) <= bound) return
        throw new Error(`${note}: output ${o} at ${i}: got ${x}, expected ${y}`)
      }),
    )
  }
