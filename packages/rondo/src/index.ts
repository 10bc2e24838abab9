// The front door: everything a program needs from one import, and the choice of a device.
export * from "@rondo/core"
export * from "@rondo/nn"
export * from "@rondo/optim"
export {
  type Backend,
  DeviceError,
  DisposedError,
  type DType,
  DTypeError,
  FormatError,
  GradientError,
  IndexError,
  OutOfMemoryError,
  RondoError,
  ShapeError,
  StateDictError,
  ValueError,
} from "@rondo/backend"
export { device, devices } from "./device.js"
