// Whether an integer dtype holds a number that it is to be filled with or limited by. Knows no tensors.
import { type DType, isFloat, ValueError } from "@rondo/backend"

const ranges: Partial<Record<DType, readonly [number, number]>> = {
  uint8: [0, 255],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  // The largest float64 below 2^63.
  int64: [-(2 ** 63), 2 ** 63 - 1024],
}

/**
 * Throws a ValueError unless `dtype` holds `value`, as PyTorch does: NaN, infinities and what is too large would become other
 * numbers, and not the same ones on every device. Fractions are cut off; negative whole numbers wrap around where there is no
 * sign. Floats and bools hold everything.
 */
export function checkHeld(name: string, value: number, dtype: DType): void {
  const range = ranges[dtype]
  if (isFloat(dtype) || range === undefined) return
  const [least, most] = range
  const wraps = least === 0 && Number.isInteger(value) && value >= -most
  if (value <= most && (value >= least || wraps)) return
  throw new ValueError(`${name}: a number that ${dtype} does not hold: got ${value}, expected ${least} to ${most}; convert the tensor to a float dtype`) // prettier-ignore
}
