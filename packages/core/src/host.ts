// Between the host and a device: uploading host arrays, and reading values back, awaited or (where the device can) at once.
import {
  byteSize,
  checkDType,
  DeviceError,
  type DType,
  fromBfloat16,
  fromFloat16,
  hostArray,
  type HostArray,
  hostView,
  ShapeError,
  shapeText,
  sizeOf,
  toBfloat16,
  toFloat16,
  ValueError,
} from "@rondo/backend"
import { checkDeviceDType, Device } from "./device.js"
import { copyOf } from "./place.js"
import { breathe } from "./lifetime.js"
import { formatTensor, type PrintOptions } from "./print/index.js"
import { refuseCapture, tape } from "./tape.js"
import { emptyTensor, type Tensor } from "./tensor.js"

/** Numbers nested as deep as the tensor has dims; bools for bool, bigints for int64. */
export type Nested = number | boolean | bigint | Nested[]

/** Copies `data`, in row-major order and already of `dtype`, to `device`. */
export function upload(device: Device, data: HostArray, shape: readonly number[], dtype: DType): Tensor {
  const out = placed(device, data, shape, dtype)
  // The caller may change its array before a replay.
  if (tape) {
    const same = data.slice()
    writeAgain(out, () => same)
  }
  return out
}

/** Uploads what `draw` gives; a replay of a captured step draws anew. */
export function uploadDrawn(device: Device, draw: () => HostArray, shape: readonly number[], dtype: DType): Tensor {
  const out = placed(device, draw(), shape, dtype)
  if (tape) writeAgain(out, draw)
  return out
}

function placed(device: Device, data: HostArray, shape: readonly number[], dtype: DType): Tensor {
  if (!(device instanceof Device))
    throw new ValueError("upload: device must be a Device; open one with await device(…)")
  checkDType("upload", dtype)
  checkDeviceDType("upload", device, dtype)
  if (!ArrayBuffer.isView(data) || !Array.isArray(shape))
    throw new ValueError("upload: needs a typed array, its shape as an array and its dtype")
  if (data.length !== sizeOf(shape))
    throw new ShapeError(`upload: ${data.length} elements do not fill ${shapeText(shape)}`)
  const out = emptyTensor(device, shape, dtype)
  if (data.length > 0) device.backend.write(out.storage, data)
  return out
}

function writeAgain({ device, storage }: Tensor, values: () => HostArray): void {
  tape?.did(() => {
    const data = values()
    if (data.length > 0) device.backend.write(storage, data)
  })
}

// The elements in row-major order start at the view's offset only if it is contiguous; else a copy is read.
function readable(x: Tensor, name: string): Tensor {
  x.check(name)
  refuseCapture(name, "it reads values; return the tensor and read it afterwards")
  return x.isContiguous() ? x : copyOf(x.device, x)
}

/** The elements in row-major order, in a typed array of their own. float16 and bfloat16 come as their bits. */
export async function data(x: Tensor): Promise<HostArray> {
  const source = readable(x, "data")
  const size = byteSize(x.dtype)
  const bytes = sizeOf(x.shape) * size
  // Asked for before anything is awaited: what is queued later, or frees the tensor, comes after it.
  const read = bytes === 0 ? new ArrayBuffer(0) : x.device.backend.read(source.storage, source.offset * size, bytes)
  const [buffer] = await Promise.all([read, breathe()])
  return hostView(x.dtype, buffer)
}

/** As {@link data}, at once. Throws a DeviceError where the device only reads asynchronously. */
export function dataSync(x: Tensor): HostArray {
  const { backend } = x.device
  if (!backend.readSync)
    throw new DeviceError(
      `dataSync: ${x.device.name} cannot be read synchronously; use await data(), item() or tolist()`,
    )
  const source = readable(x, "dataSync")
  const size = byteSize(x.dtype)
  const bytes = sizeOf(x.shape) * size
  return hostView(
    x.dtype,
    bytes === 0 ? new ArrayBuffer(0) : backend.readSync(source.storage, source.offset * size, bytes),
  )
}

type Decoded = number | boolean | bigint

function decoder(dtype: DType): (value: number | bigint) => Decoded {
  switch (dtype) {
    case "bool":
      return (value) => value !== 0
    case "float16":
      return (value) => fromFloat16(value as number)
    case "bfloat16":
      return (value) => fromBfloat16(value as number)
    default:
      return (value) => value
  }
}

/** Decoded elements: what `data` holds, with 16-bit floats as numbers. */
export function decode(values: HostArray, dtype: DType): ArrayLike<number> | BigInt64Array {
  if (dtype === "float16") return Float32Array.from(values as Uint16Array, fromFloat16)
  if (dtype === "bfloat16") return Float32Array.from(values as Uint16Array, fromBfloat16)
  return values as ArrayLike<number> | BigInt64Array
}

/** Host numbers as elements of `dtype`. */
export function encode(values: ArrayLike<number | bigint | boolean>, dtype: DType): HostArray {
  const n = values.length
  const out = hostArray(dtype, n)
  for (let i = 0; i < n; i++) {
    const value = values[i]
    if (dtype === "int64") out[i] = typeof value === "bigint" ? value : (BigInt(Math.trunc(Number(value))) as never)
    else if (dtype === "bool") out[i] = (value ? 1 : 0) as never
    else if (dtype === "float16") out[i] = toFloat16(Number(value)) as never
    else if (dtype === "bfloat16") out[i] = toBfloat16(Number(value)) as never
    else out[i] = Number(value) as never
  }
  return out
}

function nest(values: HostArray, shape: readonly number[], dtype: DType): Nested {
  const read = decoder(dtype)
  let at = 0
  const level = (d: number): Nested => {
    if (d === shape.length) return read(values[at++])
    return Array.from({ length: shape[d] }, () => level(d + 1))
  }
  return level(0)
}

function single(values: HostArray, x: Tensor, name: string): number {
  if (values.length !== 1)
    throw new ShapeError(`${name}: needs one element, got shape ${shapeText(x.shape)}; use tolist()`)
  return Number(decoder(x.dtype)(values[0]))
}

/** The value of a tensor with one element, as a number (bools as 0 and 1). */
export const item = async (x: Tensor): Promise<number> => single(await data(x), x, "item")
/** As {@link item}, at once. */
export const itemSync = (x: Tensor): number => single(dataSync(x), x, "itemSync")
/** Nested arrays of numbers (bools of bool, bigints of int64); a plain value for zero dims. */
export const tolist = async (x: Tensor): Promise<Nested> => nest(await data(x), x.shape, x.dtype)
/** As {@link tolist}, at once. */
export const tolistSync = (x: Tensor): Nested => nest(dataSync(x), x.shape, x.dtype)

function text(values: HostArray, x: Tensor, options?: Partial<PrintOptions>): string {
  const suffix = { requiresGrad: x.requiresGrad && x.isLeaf, gradFn: x.gradFn?.name }
  return formatTensor(decode(values, x.dtype), x.shape, x.dtype, options, suffix)
}

/** The text that PyTorch's `print` shows, with the same rounding, columns and summary. */
export const print = async (x: Tensor, options?: Partial<PrintOptions>): Promise<string> =>
  text(await data(x), x, options)
/** As {@link print}, at once. */
export const printSync = (x: Tensor, options?: Partial<PrintOptions>): string => text(dataSync(x), x, options)

/** A copy on another device; itself if it is there already. Outside of the graph: gradients do not cross devices. */
export async function toDevice(x: Tensor, device: Device): Promise<Tensor> {
  x.check("to")
  if (x.device === device) return x
  const moved = upload(device, await data(x), x.shape, x.dtype)
  if (x.requiresGrad && x.isLeaf) moved.requiresGrad_()
  return moved
}
