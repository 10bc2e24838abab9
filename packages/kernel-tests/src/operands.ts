// Operands before they are on any device: elements from a seed, in every layout that a view can have.
import {
  type DType,
  fromBfloat16,
  fromFloat16,
  type HostArray,
  hostArray,
  isFloat,
  toBfloat16,
  toFloat16,
} from "@rondo/backend"

export type Random = () => number

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)]

/** `x` as a host array of `dtype` holds it: 16-bit floats as their bits. */
export function encode(dtype: DType, x: number): number {
  if (dtype === "float16") return toFloat16(x)
  return dtype === "bfloat16" ? toBfloat16(x) : x
}
export function decode(dtype: DType, held: number): number {
  if (dtype === "float16") return fromFloat16(held)
  return dtype === "bfloat16" ? fromBfloat16(held) : held
}

/** How the elements of a view lie: rows in any order, apart, or backwards. */
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

const special = [NaN, Infinity, -Infinity, -0, 0]

/** Small numbers with many ties, whose sums are exact; `odd` adds NaN, infinities and zeros of both signs to floats. */
export function fill({ data, dtype }: Operand, random: Random, odd = false): void {
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(random() * 60) - 30
    if (dtype === "bool") data[i] = x & 1
    else if (!isFloat(dtype)) data[i] = x
    else data[i] = encode(dtype, odd && random() < 0.1 ? pick(special, random) : x / 4)
  }
}

/** An operand with elements around it that belong to nobody. Dims in `stretched` have stride 0, as if expanded. */
export function operand(
  dtype: DType,
  shape: readonly number[],
  layout: Layout,
  random: Random,
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
  if (layout === "flipped" || layout === "mixed") {
    for (let d = 0; d < shape.length; d++) {
      if (layout === "mixed" && random() < 0.5) continue
      offset += Math.max(shape[d] - 1, 0) * strides[d]
      strides[d] = -strides[d]
    }
  }
  const made = { dtype, shape, strides, offset, data }
  fill(made, random)
  return made
}

/** A contiguous operand of given elements, the rest of which is 0. */
export function operandOf(dtype: DType, shape: readonly number[], values: ArrayLike<number>): Operand {
  const made = operand(dtype, shape, "contiguous", () => 0.5)
  for (let i = 0; i < values.length; i++) made.data[i] = encode(dtype, values[i])
  return made
}
