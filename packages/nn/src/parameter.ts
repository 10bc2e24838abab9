// A tensor that a module owns and an optimiser changes. Only its class sets it apart from other tensors.
import { type DType, DTypeError, isFloat, ValueError } from "@rondo/backend"
import { type Device, empty, keep, type OptionChecks, Tensor } from "@rondo/core"

/**
 * A leaf tensor that is registered with the {@link Module} it is assigned to. Shares the memory of `data`, as in PyTorch.
 * Moving a module to another device or dtype keeps the object, so optimisers stay valid.
 *
 * Throws a DTypeError if gradients are wanted of a tensor that is not float.
 *
 * @param data - Any shape, any dtype.
 * @param requiresGrad - Default true; needs a float dtype.
 * @example
 * ```ts
 * class Scale extends Module {
 *   factor = new Parameter(ones(3))
 *   forward(x: Tensor): Tensor {
 *     return x.mul(this.factor)
 *   }
 * }
 * console.log([...new Scale().parameters()].length) // 1
 * ```
 */
export class Parameter extends Tensor {
  constructor(data: Tensor, requiresGrad = true) {
    if (!(data instanceof Tensor)) throw new ValueError(`Parameter: needs a tensor, got ${typeof data}`)
    data.check("Parameter")
    if (requiresGrad && !isFloat(data.dtype)) {
      throw new DTypeError(
        `Parameter: gradients need a float dtype: got ${data.dtype}; pass requiresGrad = false, or use a buffer`,
      )
    }
    super(data.handle, data.dtype, { shape: data.shape, strides: data.strides, offset: data.offset }, null)
    this.requiresGrad_(requiresGrad)
    // It belongs to its module, not to the scope in which the module happened to be made.
    keep(this)
  }
}

/** Where and as what a layer makes its parameters. */
export interface FactoryOptions {
  /** Default: the device given to `use`. */
  readonly device?: Device
  /** Default: the default float dtype. */
  readonly dtype?: DType
}

/** What fits them. */
export const factoryChecks: OptionChecks<FactoryOptions> = { device: "device", dtype: "dtype" }

/** A parameter whose values are still to be drawn. */
export function emptyParameter(shape: readonly number[], { device, dtype }: FactoryOptions): Parameter {
  const data = empty(shape, { device, dtype })
  const parameter = new Parameter(data)
  data.dispose()
  return parameter
}
