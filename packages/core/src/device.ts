// A device is an opened backend under a name; one of them is the default. Core knows no backend by name.
import { type Backend, DeviceError, type DType, DTypeError } from "@rondo/backend"

/**
 * An opened backend. Tensors on different devices cannot meet in one operation.
 *
 * @example
 * ```ts
 * const dev = new Device(new CpuJs())
 * const x = ones(3, { device: dev }) // not on the default device
 * console.log(x.device === dev, dev.name) // true cpu-js
 * ```
 */
export class Device {
  readonly backend: Backend
  constructor(backend: Backend) {
    this.backend = backend
  }
  get name(): string {
    return this.backend.name
  }
  toString(): string {
    return this.name
  }
}

let current: Device | null = null

/** @internal Use `use`. */
export function setDefault(device: Device): Device {
  current = device
  return device
}

/**
 * The default device. Throws a DeviceError if none was opened yet.
 *
 * @example
 * ```ts
 * console.log(currentDevice().name, ones(1).device === currentDevice()) // cpu-js true
 * ```
 */
export function currentDevice(): Device {
  if (current) return current
  throw new DeviceError('device: no device is open: call `await device("auto")` from "rondo", or `use(backend)`, first')
}

/** True once a default device exists. */
export const hasDevice = (): boolean => current !== null

/** Throws a DTypeError unless `device` can hold `dtype`. */
export function checkDeviceDType(operation: string, device: Device, dtype: DType): void {
  const { dtypes } = device.backend.capabilities
  if (dtypes.includes(dtype)) return
  throw new DTypeError(`${operation}: ${device.name} has no ${dtype}: it has ${dtypes.join(", ")}`)
}
