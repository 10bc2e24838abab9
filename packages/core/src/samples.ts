// Descriptions of test inputs that stand beside each operation; the conformance suite turns them into tensors.
import type { DType } from "@rondo/backend"

/** Asks for a tensor of random numbers within `domain`, distinct enough that no two tie. */
export interface FloatSample {
  readonly sample: "float"
  readonly shape: readonly number[]
  readonly domain: readonly [number, number]
}
/** Asks for integers in `low ≤ x < high`. */
export interface IntSample {
  readonly sample: "int"
  readonly shape: readonly number[]
  readonly low: number
  readonly high: number
  readonly dtype: DType
}
/** Asks for random bools. */
export interface BoolSample {
  readonly sample: "bool"
  readonly shape: readonly number[]
}
/** One argument of a sample call: a tensor to be made, or a value as it is. Arrays may hold tensors to be made. */
export type SampleArgument = FloatSample | IntSample | BoolSample | unknown
/** The arguments of one call. */
export type Sample = readonly SampleArgument[]

/** A float tensor of this shape, for a {@link Sample}. */
export const t = (...shape: number[]): FloatSample => ({ sample: "float", shape, domain: [-2, 2] })
/** A float tensor with elements in [low, high]. */
export const within = (low: number, high: number, ...shape: number[]): FloatSample => ({
  sample: "float",
  shape,
  domain: [low, high],
})
/** An int32 tensor of indices below `high`. */
export const indices = (high: number, ...shape: number[]): IntSample => ({
  sample: "int",
  shape,
  low: 0,
  high,
  dtype: "int32",
})
/** A bool tensor. */
export const mask = (...shape: number[]): BoolSample => ({ sample: "bool", shape })
