// Numbers that every step needs again, such as the states that recurrences start from: made once for a device, never freed.
// Not public: nothing may change them.
import type { DType } from "@rondo/backend"
import { kernels } from "@rondo/backend"
import { execute } from "./apply.js"
import { checkDeviceDType, type Device } from "./device.js"
import { upload } from "./host.js"
import { keep } from "./scope.js"
import { tape, withTape } from "./tape.js"
import { emptyTensor, type Tensor, windowOn } from "./tensor.js"

const lasting = new WeakMap<Device, Map<string, Tensor>>()

function remembered(device: Device, name: string, fits: (x: Tensor) => boolean, make: () => Tensor): Tensor {
  let known = lasting.get(device)
  if (!known) lasting.set(device, (known = new Map()))
  const found = known.get(name)
  // Whoever got hold of one, as a hook does of a gradient, may have changed or disposed it: the next one is made anew.
  if (found && !found.disposed && found.handle.version === 0 && fits(found)) {
    tape?.saw(found)
    return found
  }
  // Made for all: no captured step may take it with it when it goes.
  const made = withTape(null, () => keep(make()))
  tape?.saw(made)
  known.set(name, made)
  return made
}

const always = (): boolean => true

function number(name: string, device: Device, dtype: DType, value: number): Tensor {
  return remembered(device, `${name} ${dtype}`, always, () => filled(device, [], dtype, value))
}

function filled(device: Device, shape: readonly number[], dtype: DType, value: number): Tensor {
  const made = emptyTensor(device, shape, dtype)
  execute(kernels.fill(dtype), [], [made], [value])
  return made
}

/** 0 or 1 as a tensor without dims, for operands that nobody else sees. */
export const constant = (device: Device, dtype: DType, value: 0 | 1): Tensor => number(`${value}`, device, dtype, value)

/**
 * Zeros for reading only, such as states to start from: all elements are one, made once for a device. What changes them in
 * place throws a ShapeError; a single element is nobody else's.
 *
 * @example
 * ```ts
 * const state = sharedZeros([2, 3], ones(1)) // [2, 3], of the device and dtype of the second operand
 * console.log(await state.sum().item()) // 0
 * ```
 */
export function sharedZeros(shape: readonly number[], { device, dtype }: Pick<Tensor, "device" | "dtype">): Tensor {
  checkDeviceDType("sharedZeros", device, dtype)
  // Only what is stretched refuses to be changed.
  if (shape.every((size) => size === 1)) return filled(device, shape, dtype, 0)
  return windowOn(number("zeros", device, dtype, 0), { shape, strides: shape.map(() => 0), offset: 0 })
}

/** True for {@link sharedZeros} and what shows them: a product with these is nothing. */
export function areSharedZeros({ handle, device, dtype }: Tensor): boolean {
  return handle.version === 0 && lasting.get(device)?.get(`zeros ${dtype}`)?.handle === handle
}

/** At least `count` whole numbers from 0 on, int32: operands of kernels that compare positions with indices. */
export function positions(device: Device, count: number): Tensor {
  return remembered(device, "positions", (x) => x.shape[0] >= count, () => {
    // Room to grow, so that different counts do not replace each other for long.
    const values = Int32Array.from({ length: Math.max(256, 2 ** Math.ceil(Math.log2(count))) }, (_, i) => i)
    return upload(device, values, [values.length], "int32")
  }) // prettier-ignore
}
