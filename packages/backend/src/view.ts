// Strided views over storage: the only shape arithmetic that the contract needs. Knows no operation and no device.
import type { DType } from "./dtype.js"
import { ShapeError, shapeText } from "./errors.js"

/** Device memory. Only the backend that made it can look inside. */
export interface Storage {
  readonly bytes: number
}

/** A rectangular window on a storage. Strides and offset count elements; strides may be zero or negative. */
export interface View {
  readonly storage: Storage
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
}

/** Number of elements of a shape; 1 for zero dims. */
export function sizeOf(shape: readonly number[]): number {
  let n = 1
  for (const size of shape) n *= size
  return n
}

/**
 * Row-major strides.
 *
 * @example
 * ```ts
 * console.log(contiguousStrides([2, 3, 4])) // [12, 4, 1]
 * ```
 */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step
    step *= Math.max(shape[d], 1)
  }
  return strides
}

/** True if the elements lie in row-major order without gaps. Dims of size 1 may have any stride, empty views any strides. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== step) return shape.includes(0)
    step *= shape[d]
  }
  return true
}

/**
 * The shape that all of `shapes` broadcast to (NumPy's and PyTorch's rule), or a ShapeError.
 *
 * @example
 * ```ts
 * console.log(broadcastShapes("add", [2, 1, 3], [4, 1])) // [2, 4, 3]
 * ```
 */
export function broadcastShapes(operation: string, ...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length))
  const out = new Array<number>(rank).fill(1)
  for (const shape of shapes) {
    for (let d = 0; d < shape.length; d++) {
      const at = rank - shape.length + d
      if (shape[d] === 1 || shape[d] === out[at]) continue
      if (out[at] !== 1) {
        throw new ShapeError(
          `${operation}: shapes do not broadcast: ${shapes.map(shapeText).join(" and ")} at dim ${at - rank}`,
        )
      }
      out[at] = shape[d]
    }
  }
  return out
}

/** Strides that show `shape` as `target` without copying: stride 0 along every stretched dim. */
export function broadcastStrides(
  shape: readonly number[],
  strides: readonly number[],
  target: readonly number[],
): number[] {
  const lead = target.length - shape.length
  return target.map((size, d) => (d < lead || (shape[d - lead] === 1 && size !== 1) ? 0 : strides[d - lead]))
}

/**
 * Strides that show the same elements under a new shape without copying, or null where that is impossible.
 * The rule is PyTorch's `Tensor.view`: a new dim must lie inside one run of old dims whose strides chain.
 *
 * @example
 * ```ts
 * console.log(reshapeStrides([2, 6], [6, 1], [4, 3])) // [3, 1]
 * console.log(reshapeStrides([2, 6], [1, 2], [12])) // null
 * ```
 */
export function reshapeStrides(
  shape: readonly number[],
  strides: readonly number[],
  target: readonly number[],
): number[] | null {
  if (sizeOf(shape) === 0) return contiguousStrides(target)
  const out = new Array<number>(target.length).fill(1)
  let t = target.length - 1
  let run = 1 // elements of the old dims that chain into one, from the right
  let base = strides[strides.length - 1]
  for (let d = shape.length - 1; d >= 0; d--) {
    run *= shape[d]
    const ends = d === 0 || (shape[d - 1] !== 1 && strides[d - 1] !== run * base)
    if (!ends) continue
    let laid = 1 // elements of the new dims laid over this run
    while (t >= 0 && (laid < run || target[t] === 1)) {
      out[t] = laid * base
      laid *= target[t]
      t--
    }
    if (laid !== run) return null
    if (d > 0) base = strides[d - 1]
    run = 1
  }
  return out
}

/** A loop nest over several views of one shape, with as few dims as their strides allow. */
export interface LoopNest {
  readonly shape: readonly number[]
  /** One list of strides a view. */
  readonly strides: readonly (readonly number[])[]
}

/**
 * Drops dims of size 1 and joins neighbours that every view walks in one stride: most nests become one loop.
 *
 * @example
 * ```ts
 * console.log(collapse([2, 3], [[3, 1]])) // { shape: [6], strides: [[1]] }
 * console.log(collapse([2, 3], [[3, 1], [1, 2]]).shape) // [2, 3]
 * ```
 */
export function collapse(shape: readonly number[], strides: readonly (readonly number[])[]): LoopNest {
  const outShape: number[] = []
  const out: number[][] = strides.map(() => [])
  for (let d = 0; d < shape.length; d++) {
    if (shape[d] === 1) continue
    const last = outShape.length - 1
    const joins = last >= 0 && strides.every((s, v) => out[v][last] === s[d] * shape[d])
    if (joins) {
      outShape[last] *= shape[d]
      strides.forEach((s, v) => (out[v][last] = s[d]))
    } else {
      outShape.push(shape[d])
      strides.forEach((s, v) => out[v].push(s[d]))
    }
  }
  return { shape: outShape, strides: out }
}
