// For the tests of kernels: operands in every layout, run on a reference and on this backend, and compared bit for bit or
// within a tolerance, everything that must not be touched included. Not part of what the package exports.
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
import { WasmSimd } from "./backend.js"

/** A device that cuts whatever can be cut, for two threads. */
function cutting(): WasmSimd {
  const device = new WasmSimd({ threads: 2 })
  device.engine.pieces = () => 3
  return device
}

/** With and without fused multiply-add, and with work in pieces. */
export const devices: readonly WasmSimd[] = [
  new WasmSimd({ threads: false }),
  new WasmSimd({ threads: false, relaxed: false }),
  cutting(),
]
/** For `beforeAll` and `afterAll`. */
export const startDevices = async (): Promise<void> =>
  void (await Promise.all(devices.map((one) => one.startThreads())))
export const closeDevices = async (): Promise<void> => void (await Promise.all(devices.map((one) => one.close())))

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

/** Small numbers with many ties; `special` adds NaN, infinities and zeros of both signs to floats. */
export function fill(data: HostArray, dtype: DType, random: () => number, special = false): void {
  const rare = [NaN, Infinity, -Infinity, -0, 0]
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(random() * 60) - 30
    if (dtype === "bool") data[i] = x & 1
    else if (!isFloat(dtype)) data[i] = x
    else data[i] = special && random() < 0.1 ? rare[Math.floor(random() * 5)] : x / 4
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

/** A contiguous operand of given elements. */
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

/** Runs a kernel on one device; gives everything that the outputs' storages hold afterwards. */
export function outcome(
  backend: Backend,
  kernel: Kernel,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  scalars: readonly number[] = [],
): number[][] {
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
    return outputs.map((one) => {
      const { storage, dtype } = place(one)
      return Array.from(hostView(dtype, backend.readSync!(storage, 0, storage.bytes)) as Float64Array)
    })
  } finally {
    for (const { storage } of views.values()) backend.free(storage)
  }
}

/** Fails unless every device does what the reference does. An output may be one of the inputs (the same object). */
export type Agree = (
  note: string,
  kernel: Kernel,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  tolerance?: Tolerance,
  scalars?: readonly number[],
) => void

/** The comparison with one reference. */
export const agreement =
  (reference: Backend): Agree =>
  (note, kernel, inputs, outputs, tolerance = { relative: 0, scale: 0 }, scalars = []) => {
    const expected = outcome(reference, kernel, inputs, outputs, scalars)
    devices.forEach((device, which) => {
      outcome(device, kernel, inputs, outputs, scalars).forEach((list, o) =>
        list.forEach((x, i) => {
          const y = expected[o][i]
          const bound = tolerance.relative * Math.max(Math.abs(y), tolerance.scale)
          if (Object.is(x, y) || Math.abs(x - y) <= bound) return
          throw new Error(`${note}: device ${which}, output ${o} at ${i}: got ${x}, expected ${y}`)
        }),
      )
    })
  }
