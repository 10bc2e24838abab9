// The sort kernel: stable, along the last dim, with positions. A merge sort of indices over typed arrays.
import { computeDType, type HostArray, kernels, type SortKernel, type View } from "@rondo/backend"
import { isHalf } from "./loops/loop.js"
import { runMap } from "./map.js"
import { elements, scratchView } from "./storage.js"
import { eachRow } from "./strided.js"

type Keys = { readonly [i: number]: number } | { readonly [i: number]: bigint }

/** True if x belongs strictly before y in ascending order; NaN is greatest. */
const before = (x: number | bigint, y: number | bigint): boolean => x < y || (y !== y && x === x)

/** Merges the sorted runs `[from, middle)` and `[middle, to)` of positions; of equals the left run comes first. */
function merge(
  keys: Keys,
  source: Int32Array,
  target: Int32Array,
  from: number,
  middle: number,
  to: number,
  descending: boolean,
): void {
  let left = from
  let right = middle
  for (let k = from; k < to; k++) {
    let takeRight = left >= middle
    if (!takeRight && right < to) {
      const x = keys[source[left]]
      const y = keys[source[right]]
      takeRight = descending ? before(x, y) : before(y, x)
    }
    target[k] = takeRight ? source[right++] : source[left++]
  }
}

/** The positions of `keys[0 … n-1]` in sorted order. */
function sortedPositions(
  keys: Keys,
  n: number,
  descending: boolean,
  first: Int32Array,
  second: Int32Array,
): Int32Array {
  let source = first
  let target = second
  for (let i = 0; i < n; i++) source[i] = i
  for (let width = 1; width < n; width *= 2) {
    for (let from = 0; from < n; from += 2 * width) {
      merge(keys, source, target, from, Math.min(from + width, n), Math.min(from + 2 * width, n), descending)
    }
    ;[source, target] = [target, source]
  }
  return source
}

/** Sorts each line of the last dim. Outputs: values and int32 positions. */
export function runSort({ descending }: SortKernel, input: View, outputs: readonly View[]): void {
  const [values, positions] = outputs
  if (isHalf(input.dtype)) {
    const dtype = computeDType(input.dtype)
    const wide = scratchView(input.shape, dtype)
    const sorted = scratchView(input.shape, dtype)
    runMap(kernels.copy(input.dtype, dtype), [input], [wide], [])
    runSort({ kind: "sort", descending }, wide, [sorted, positions])
    return runMap(kernels.copy(dtype, values.dtype), [sorted], [values], [])
  }
  const last = input.shape.length - 1
  const n = last < 0 ? 1 : input.shape[last]
  const views = [input, values, positions]
  const arrays = views.map(elements)
  const steps = views.map((view) => (last < 0 ? 1 : view.strides[last]))
  const source = arrays[0]
  const keys = new (source.constructor as new (length: number) => HostArray)(n)
  const first = new Int32Array(n)
  const second = new Int32Array(n)
  const rows = views.map((view) => view.strides.slice(0, -1))
  eachRow(input.shape.slice(0, -1), rows, views.map((view) => view.offset), (count, at, step) => {
    for (let k = 0; k < count; k++) {
      const [from, toValue, toPosition] = at.map((start, v) => start + k * step[v])
      for (let i = 0; i < n; i++) keys[i] = source[from + i * steps[0]]
      const order = sortedPositions(keys as Keys, n, descending, first, second)
      for (let i = 0; i < n; i++) {
        arrays[1][toValue + i * steps[1]] = keys[order[i]]
        arrays[2][toPosition + i * steps[2]] = order[i]
      }
    }
  }) // prettier-ignore
}
