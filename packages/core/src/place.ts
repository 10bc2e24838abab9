// Where operands lie for a kernel: stretched by strides, kept apart from what is overwritten, or copied.
import { broadcastStrides, type DType, kernels, type View } from "@rondo/backend"
import { execute, output } from "./apply.js"
import type { Device } from "./device.js"
import type { Tensor } from "./tensor.js"

/** True if two shapes are equal. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false
  for (let d = 0; d < a.length; d++) if (a[d] !== b[d]) return false
  return true
}

/** `x` as a view stretched to `shape` by strides alone. */
export function stretched(x: View & Pick<Tensor, "device">, shape: readonly number[]): View {
  if (sameShape(x.shape, shape)) return x
  const strides = broadcastStrides(x.shape, x.strides, shape)
  return { storage: x.storage, dtype: x.dtype, shape, strides, offset: x.offset }
}

/** Operands that overlap `self` in another order are copied first: a kernel may only alias a view that is wholly equal. */
export function separate(self: Tensor, operands: readonly View[]): View[] {
  return operands.map((x) => {
    if (x === self || x.storage !== self.storage) return x
    const equal = x.offset === self.offset && x.strides.every((s, d) => s === self.strides[d] || self.shape[d] === 1)
    return equal ? x : copyOf(self.device, x)
  })
}

/** An unrecorded contiguous copy of a view, converted to `dtype`. */
export function copyOf(device: Device, x: View, dtype: DType = x.dtype): Tensor {
  const out = output(device, x.shape, dtype)
  execute(kernels.copy(x.dtype, dtype), [x], [out])
  return out
}
