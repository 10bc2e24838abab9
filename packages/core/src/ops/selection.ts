// Operations whose result has as many elements as a mask has true ones: nonzero and maskedSelect. The mask is read by
// the host, so each has an awaited form and a synchronous twin.
import { broadcastShapes, DeviceError, DTypeError } from "@rondo/backend"
import { commonDevice } from "../apply.js"
import { data, dataSync, upload } from "../host.js"
import { op } from "../op.js"
import { mask, t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { ne } from "./logic.js"
import { takeRows } from "./lookup.js"
import { expand, reshape } from "./movement.js"

/** @internal Throws a DeviceError that names the way out where `x` cannot be read at once. */
export function needSyncRead(name: string, x: Tensor, instead: string): void {
  if (x.device.backend.readSync) return
  throw new DeviceError(`${name}: ${x.device.name} cannot be read synchronously; use ${instead}`)
}

const truth = (x: Tensor): Tensor => (x.dtype === "bool" ? x.detach() : ne(x, 0))

/** Row-major positions of the bytes that are not zero. */
function positionsIn(bytes: ArrayLike<number | bigint>): Int32Array<ArrayBuffer> {
  let count = 0
  for (let i = 0; i < bytes.length; i++) if (bytes[i]) count++
  const positions = new Int32Array(count)
  for (let i = 0, k = 0; i < bytes.length; i++) if (bytes[i]) positions[k++] = i
  return positions
}

/** Row-major positions as one row of coordinates each: [count, rank]. */
function unravel(positions: Int32Array, shape: readonly number[]): Int32Array<ArrayBuffer> {
  const rank = shape.length
  const out = new Int32Array(positions.length * rank)
  for (let k = 0; k < positions.length; k++) {
    let rest = positions[k]
    for (let d = rank - 1; d >= 0; d--) {
      out[k * rank + d] = rest % shape[d]
      rest = Math.floor(rest / shape[d])
    }
  }
  return out
}

function coordinates(x: Tensor, bytes: ArrayLike<number | bigint>): Tensor {
  const positions = positionsIn(bytes)
  return upload(x.device, unravel(positions, x.shape), [positions.length, x.ndim], "int32")
}

const nonzeroDoc = "Coordinates of the elements that are not zero, one row each: [count, dims], int32."
const nonzeroSamples = [[mask(3, 4)], [t(2, 2, 2)], [mask(0, 3)], [mask()], [mask(5)]]

/**
 * Awaits the coordinates of the elements that are not zero: [count, dims], int32.
 *
 * @example
 * ```ts
 * const where = await nonzero(tensor([0, 3, 0, 5])) // [2, 1], int32
 * console.log(await where.tolist()) // [[1], [3]]
 * ```
 */
export const nonzero = op(
  {
    family: "indexing",
    name: "nonzero",
    takes: { x: "tensor" },
    doc: nonzeroDoc,
    samples: nonzeroSamples,
    differentiable: false,
  },
  async (x: Tensor): Promise<Tensor> => coordinates(x, await data(truth(x))),
)

/** As {@link nonzero}, at once. Throws a DeviceError where the device only reads asynchronously. */
export const nonzeroSync = op(
  {
    family: "indexing",
    name: "nonzeroSync",
    takes: { x: "tensor" },
    doc: nonzeroDoc,
    samples: nonzeroSamples,
    differentiable: false,
  },
  (x: Tensor): Tensor => {
    needSyncRead("nonzeroSync", x, "await nonzero(x)")
    return coordinates(x, dataSync(truth(x)))
  },
)

/** @internal One index tensor a dim of the mask, together naming its true elements; what a mask stands for in an index. */
export function maskIndices(name: string, where: Tensor): Tensor[] {
  needSyncRead(name, where, "await maskedSelect(x, mask), or where(mask, …)")
  const positions = positionsIn(dataSync(truth(where)))
  const rows = unravel(positions, where.shape)
  const rank = where.ndim
  return where.shape.map((_, d) => {
    const column = new Int32Array(positions.length)
    for (let k = 0; k < column.length; k++) column[k] = rows[k * rank + d]
    return upload(where.device, column, [column.length], "int32")
  })
}

function bothStretched(name: string, x: Tensor, where: Tensor): [Tensor, Tensor] {
  commonDevice(name, [x, where])
  if (where.dtype !== "bool") throw new DTypeError(`${name}: the mask must be bool: got ${where.dtype}`)
  const shape = broadcastShapes(name, x.shape, where.shape)
  return [expand(x, shape), expand(where, shape)]
}

function taken(x: Tensor, bytes: ArrayLike<number | bigint>): Tensor {
  const positions = positionsIn(bytes)
  return takeRows("maskedSelect", reshape(x, -1), 0, upload(x.device, positions, [positions.length], "int32"))
}

const maskedDoc = "The elements where the bool `mask` is true, as a vector; both broadcast."
const maskedSamples = [
  [t(3, 4), mask(3, 4)],
  [t(3, 4), mask(4)],
  [t(3, 1), mask(2)],
  [t(0), mask(0)],
  [t(), mask()],
]

/**
 * Awaits the elements of `x` where the bool `mask` is true, as a vector; both broadcast.
 *
 * @example
 * ```ts
 * const x = tensor([3, -1, 2])
 * const positive = await maskedSelect(x, x.gt(0))
 * console.log(await positive.tolist()) // [3, 2]
 * ```
 */
export const maskedSelect = op(
  {
    family: "indexing",
    name: "maskedSelect",
    takes: { x: "tensor", mask: "tensor" },
    doc: maskedDoc,
    samples: maskedSamples,
    differentiable: true,
  },
  async (x: Tensor, mask: Tensor): Promise<Tensor> => {
    const [source, where] = bothStretched("maskedSelect", x, mask)
    return taken(source, await data(where))
  },
)

/** As {@link maskedSelect}, at once. Throws a DeviceError where the device only reads asynchronously. */
export const maskedSelectSync = op(
  {
    family: "indexing",
    name: "maskedSelectSync",
    takes: { x: "tensor", mask: "tensor" },
    doc: maskedDoc,
    samples: maskedSamples,
    differentiable: true,
  },
  (x: Tensor, mask: Tensor): Tensor => {
    needSyncRead("maskedSelectSync", x, "await maskedSelect(x, mask)")
    const [source, where] = bothStretched("maskedSelectSync", x, mask)
    return taken(source, dataSync(where))
  },
)
