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
 *   if (error instanceof RondoError) console.log(error.name, error.message)
 * }
 * ```
 */
export class RondoError extends Error {
  /** The text without the name of the operation. */
  readonly fact: string
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.fact = message.replace(/^[\w$.]+: /, "")
  }
}

/** Shapes, sizes, ranks or dims do not fit the operation. */
export class ShapeError extends RondoError {}
/** The operation is not defined for these dtypes, or the device lacks one. */
export class DTypeError extends RondoError {}
/** Operands live on different devices, or a device is unknown or unavailable. */
export class DeviceError extends RondoError {}
/** An index or dim lies outside its range. */
export class IndexError extends RondoError {}
/** An argument has a value that the operation cannot take. */
export class ValueError extends RondoError {}
/** The device cannot hold another buffer; says what was asked for and what is in use. */
export class OutOfMemoryError extends RondoError {}
/** A tensor was used after `dispose()`, or after the scope that owned it ended. */
export class DisposedError extends RondoError {}
/** Backward is impossible: no graph, a freed graph, a changed saved tensor, a non-scalar root. */
export class GradientError extends RondoError {}
/** A file or byte stream is not what it claims to be; says where. */
export class FormatError extends RondoError {}
/** Module state: missing, unexpected or misshaped keys. */
export class StateDictError extends RondoError {}

/** `[2, 3]`, as every message prints a shape. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`
}
