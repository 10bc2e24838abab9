// The numbers that samples stand for: fixed, spread over their domain, never tied, never on a kink. Makes no tensor.
import { type DType, isFloat, sizeOf } from "@rondo/backend"

/** One tensor argument of a call, as numbers. */
export interface Leaf {
  readonly kind: "float" | "int" | "bool"
  readonly shape: readonly number[]
  readonly values: readonly number[]
  /** For integers: the dtype asked for. */
  readonly dtype?: DType
  /** Whether the gradient check moves it. */
  readonly wrt: boolean
}

const primes = [97, 997, 9973]
// Each operand of a call stands on its own part of a cell, so that no two operands are ever equal.
const shares = [0.2, 0.533, 0.867, 0.367, 0.7]

/**
 * Numbers in `[low, high]`, all different, also from those of other operands (`slot`) over the same domain. Values within
 * a hundredth of the domain of a kink are moved off.
 */
export function spread(
  shape: readonly number[],
  domain: readonly [number, number],
  slot = 0,
  kinks: readonly number[] = [],
): number[] {
  const count = sizeOf(shape)
  const cells = primes.find((p) => p >= count) ?? count
  const [low, high] = domain
  const width = high - low
  return Array.from({ length: count }, (_, i) => {
    // Stepping by the golden section of a prime number of cells visits all of them before one returns.
    const cell = (i * Math.round(cells * 0.618) + slot * 29 + 7) % cells
    const x = low + (width * (cell + shares[slot % shares.length])) / cells
    const kink = kinks.find((at) => Math.abs(x - at) < width / 100)
    return kink === undefined ? x : x + (kink + width / 50 > high ? -width / 50 : width / 50)
  })
}

/** Fixed pseudo-random integers in `low ≤ x < high`. */
export function integers(shape: readonly number[], low: number, high: number, slot = 0): number[] {
  let state = 12345 + slot * 977
  return Array.from({ length: sizeOf(shape) }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return low + ((state >>> 8) % Math.max(1, high - low))
  })
}

/** The values of a leaf in a dtype other than a float one: small integers, or bools. */
export function valuesAs(leaf: Leaf, dtype: DType): number[] {
  if (leaf.kind !== "float" || isFloat(dtype)) return [...leaf.values]
  if (dtype === "bool") return leaf.values.map((x) => (x > 0 ? 1 : 0))
  const whole = leaf.values.map((x) => Math.round(x * 2.2))
  return dtype === "uint8" ? whole.map(Math.abs) : whole
}

/** Values at which element-wise operations go wrong first. */
export const special: readonly number[] = [
  NaN, Infinity, -Infinity, 0, -0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3.4e38, -3.4e38, 1e-40, -1e-40, 88.9, -104, 1e-8, 2 ** 24 + 1,
] // prettier-ignore
