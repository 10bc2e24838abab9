// Numbers that every step needs again, such as the gradient that a loss starts from: made once for a device, never freed.
// Not public: nothing may change them.
import type { DType } from "@rondo/backend"
import { kernels } from "@rondo/backend"
import { execute } from "./apply.js"
import type { Device } from "./device.js"
import { upload } from "./host.js"
import { keep } from "./scope.js"
import { emptyTensor, type Tensor } from "./tensor.js"

const lasting = new WeakMap<Device, Map<string, Tensor>>()

function remembered(device: Device, name: string, fits: (x: Tensor) => boolean, make: () => Tensor): Tensor {
  let known = lasting.get(device)
  if (!known) lasting.set(device, (known = new Map()))
  const found = known.get(name)
  // Whoever got hold of one, as a hook does of a gradient, may have changed or disposed it: the next one is made anew.
  if (found && !found.disposed && found.handle.version === 0 && fits(found)) return found
  const made = keep(make())
  known.set(name, made)
  return made
}

const always = (): boolean => true

/** 0 or 1 as a tensor without dims. */
export function constant(device: Device, dtype: DType, value: 0 | 1): Tensor {
  return remembered(device, `${value} ${dtype}`, always, () => {
    const one = emptyTensor(device, [], dtype)
    execute(kernels.fill(dtype), [], [one], [value])
    return one
  })
}

/** At least `count` whole numbers from 0 on, int32: operands of kernels that compare positions with indices. */
export function positions(device: Device, count: number): Tensor {
  return remembered(device, "positions", (x) => x.shape[0] >= count, () => {
    // Room to grow, so that different counts do not replace each other for long.
    const values = Int32Array.from({ length: Math.max(256, 2 ** Math.ceil(Math.log2(count))) }, (_, i) => i)
    return upload(device, values, [values.length], "int32")
  }) // prettier-ignore
}
