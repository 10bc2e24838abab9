// Row-major host data with a shape, and the walk over what a summary of it shows. Shared by the two printers; not a
// tensor and not a view.

/** Elements in row-major order: numbers, int64 in a BigInt64Array, bool as 0 and 1. */
export type PrintData = ArrayLike<number> | ArrayLike<bigint>

/** Data, shape and the strides that go with it. */
export class HostValues {
  readonly data: PrintData
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  /** Number of elements that the shape asks for. */
  readonly size: number

  constructor(data: PrintData, shape: readonly number[]) {
    const strides = new Array<number>(shape.length)
    let size = 1
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      strides[dim] = size
      size *= shape[dim]
    }
    this.data = data
    this.shape = shape
    this.strides = strides
    this.size = size
  }

  at(offset: number): number | bigint {
    return this.data[offset]
  }
}

/** The elements within `edgeitems` of either end of every dimension; all of them for `Infinity`. */
export function* edges(values: HostValues, edgeitems: number, dim = 0, offset = 0): Generator<number | bigint> {
  const { shape, strides } = values
  if (dim === shape.length) {
    yield values.at(offset)
    return
  }
  const size = shape[dim]
  for (let i = 0; i < size; i++) {
    if (i === edgeitems && size > 2 * edgeitems) i = size - edgeitems
    yield* edges(values, edgeitems, dim + 1, offset + i * strides[dim])
  }
}
