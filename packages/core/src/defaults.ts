// Process-wide defaults that PyTorch has as well: the default float dtype.
import { checkDType, type DType, isFloat, DTypeError } from "@rondo/backend"

let floating: DType = "float32"

/** The dtype of new tensors of numbers, and of integers that meet fractions. */
export const defaultDType = (): DType => floating

/**
 * Changes the default float dtype (`torch.set_default_dtype`). Throws a DTypeError for anything but a float dtype.
 *
 * @example
 * ```ts
 * setDefaultDType("float64")
 * console.log(tensor([1, 2]).dtype) // float64
 * setDefaultDType("float32")
 * ```
 */
export function setDefaultDType(dtype: DType): void {
  checkDType("setDefaultDType", dtype)
  if (!isFloat(dtype)) throw new DTypeError(`setDefaultDType: needs a float dtype, got ${dtype}`)
  floating = dtype
}
