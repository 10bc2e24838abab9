// The typed errors of Rondo. Every package throws these and no others for bad input; the text names the operation first.

/**
 * Base class of every error that Rondo throws on purpose. The message reads
 * `operation: fact: got A, expected B; what to do`.
 *
 * @example
 * ```ts
 * try {
 *   await device("abacus")
 * } catch (error) {
 *   if (error instanceof RondoError) console.log(error.name) // DeviceError
 * }
 * ```
 */
export class RondoError extends Error {
  // Written out: a bundler may rename classes, and the name is part of what users match on.
  override name = "RondoError"
  /** The text without the name of the operation. */
  readonly fact: string
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.fact = message.replace(/^[\w$.]+: /, "")
  }
}

/**
 * Shapes, sizes, ranks or dims do not fit the operation.
 *
 * @example
 * ```ts
 * try {
 *   ones(2, 3).matmul(ones(4, 5))
 * } catch (error) {
 *   if (error instanceof ShapeError) console.log(error.message) // matmul: inner dimensions differ: [2, 3] x [4, 5]
 * }
 * ```
 */
export class ShapeError extends RondoError {
  override name = "ShapeError"
}
/** The operation is not defined for these dtypes, or the device lacks one. */
export class DTypeError extends RondoError {
  override name = "DTypeError"
}
/** Operands live on different devices, or a device is unknown or unavailable. */
export class DeviceError extends RondoError {
  override name = "DeviceError"
}
/** An index or dim lies outside its range. */
export class IndexError extends RondoError {
  override name = "IndexError"
}
/** An argument has a value that the operation cannot take. */
export class ValueError extends RondoError {
  override name = "ValueError"
}
/** The device cannot hold another buffer; says what was asked for and what is in use. */
export class OutOfMemoryError extends RondoError {
  override name = "OutOfMemoryError"
}
/** A tensor was used after `dispose()`, or after the scope that owned it ended. */
export class DisposedError extends RondoError {
  override name = "DisposedError"
}
/** Backward is impossible: no graph, a freed graph, a changed saved tensor, a non-scalar root. */
export class GradientError extends RondoError {
  override name = "GradientError"
}
/** A file or byte stream is not what it claims to be; says where. */
export class FormatError extends RondoError {
  override name = "FormatError"
}
/** Module state: missing, unexpected or misshaped keys. */
export class StateDictError extends RondoError {
  override name = "StateDictError"
}

/** `[2, 3]`, as every message prints a shape. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`
}
