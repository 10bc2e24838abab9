// Elements as files have them: byte order, and integers of widths that tensors lack. Reads no file.
import { byteSize, DTypeError, type DType, hostArray, type HostArray, isFloat, shapeText } from "@rondo/backend"
import type { Device } from "./device.js"
import { checkDeviceDType } from "./device.js"
import { decode, encode, upload } from "./host.js"
import type { Tensor } from "./tensor.js"

/** Elements as a file has them: a dtype of ours, or an integer type that is widened to one. */
export type ElementType = DType | "int8" | "int16" | "uint16" | "uint64"

const widened = {
  int8: { dtype: "int32", bytes: 1 },
  int16: { dtype: "int32", bytes: 2 },
  uint16: { dtype: "int32", bytes: 2 },
  uint64: { dtype: "int64", bytes: 8 },
} as const

const isWidened = (type: ElementType): type is keyof typeof widened => Object.hasOwn(widened, type)

/** The dtype of tensors for a type of a file. */
export const tensorDType = (type: ElementType): DType => (isWidened(type) ? widened[type].dtype : type)
export const elementBytes = (type: ElementType): number => (isWidened(type) ? widened[type].bytes : byteSize(type))

/** What a file says of a tensor. */
export interface StoredElements {
  readonly type: ElementType
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
  /** Is the first byte of an element the highest? */
  readonly bigEndian?: boolean
}

/** Where and as what a tensor of a file is made. */
export interface Target {
  readonly device: Device
  /** Float tensors become this, on the host. */
  readonly dtype?: DType | undefined
}

/** The dtype that a tensor of this type gets. Throws a DTypeError if the device lacks it. */
export function targetDType(op: string, type: ElementType, { device, dtype }: Target): DType {
  const own = tensorDType(type)
  const wanted = dtype !== undefined && isFloat(own) ? dtype : own
  checkDeviceDType(op, device, wanted)
  return wanted
}

/** Makes the tensor. Throws a DTypeError for numbers that its dtype cannot hold. */
export function makeTensor(op: string, stored: StoredElements, target: Target): Tensor {
  const dtype = targetDType(op, stored.type, target)
  const values = hostElements(op, stored)
  const own = tensorDType(stored.type)
  const converted = own === dtype ? values : encode(decode(values, own) as ArrayLike<number | bigint>, dtype)
  return upload(target.device, converted, stored.shape, dtype)
}

function hostElements(op: string, { type, shape, bytes, bigEndian = false }: StoredElements): HostArray {
  const size = elementBytes(type)
  const count = bytes.length / size
  const dtype = tensorDType(type)
  if (!isWidened(type)) {
    const values = hostArray(dtype, count)
    const own = new Uint8Array(values.buffer)
    own.set(bytes)
    if (bigEndian && size > 1) for (let at = 0; at < own.length; at += size) own.subarray(at, at + size).reverse()
    // Only 0 and 1 are bools; NumPy writes no others.
    if (type === "bool") for (let i = 0; i < own.length; i++) own[i] = own[i] === 0 ? 0 : 1
    return values
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = hostArray(dtype, count)
  for (let i = 0; i < count; i++) out[i] = wide(view, type, i * size, !bigEndian) as never
  if (type === "uint64" && (out as BigInt64Array).some((value) => value < 0n)) {
    throw new DTypeError(`${op}: uint64 ${shapeText(shape)} holds numbers of 2^63 and more, which int64 cannot`)
  }
  return out
}

function wide(view: DataView, type: keyof typeof widened, at: number, little: boolean): number | bigint {
  switch (type) {
    case "int8":
      return view.getInt8(at)
    case "int16":
      return view.getInt16(at, little)
    case "uint16":
      return view.getUint16(at, little)
    default:
      return view.getBigInt64(at, little)
  }
}
