// Several tensors in as few kernels as they allow: those of one shape share one, and what sums need a second pass for, they
// share as well. Nothing here is recorded for backward.
import { cachedKernel, computeDType, e, type ReduceKernel, sizeOf, type View } from "@rondo/backend"
import { execute, output } from "./apply.js"
import { reduceKept } from "./ops/reduce.js"
import { reshape } from "./ops/movement.js"
import { sameShape } from "./place.js"
import type { Tensor } from "./tensor.js"

/** So many fit the buffers that one kernel may have everywhere, with others beside them. */
const mostTogether = 3

/**
 * Tensors of one device, dtype and shape in groups, as operands of one kernel. None of a group shares memory with another of it.
 * The order is kept among equal ones.
 *
 * @example
 * ```ts
 * const groups = groupAlike([ones(2), ones(3), zeros(2)])
 * console.log(groups.map((group) => group.length)) // [ 2, 1 ]
 * ```
 */
export function groupAlike(tensors: readonly Tensor[]): Tensor[][] {
  const groups: Tensor[][] = []
  for (const x of tensors) {
    const fits = (group: readonly Tensor[]): boolean =>
      group.length < mostTogether &&
      group[0].device === x.device &&
      group[0].dtype === x.dtype &&
      sameShape(group[0].shape, x.shape) &&
      group.every((other) => other.storage !== x.storage)
    const found = groups.find(fits)
    if (found) found.push(x)
    else groups.push([x])
  }
  return groups
}

/** Into how many sums a tensor is cut, so that each has few enough elements for one pass on every device. */
function cutsOf(x: Tensor): number {
  const size = sizeOf(x.shape)
  if (size <= 16384 || !x.isContiguous()) return 1
  let cuts = 1
  while (cuts < 1024 && size / cuts > 4096 && size % (2 * cuts) === 0) cuts *= 2
  return cuts
}

function squares(group: readonly Tensor[], cuts: number, into: Tensor, offset: number): void {
  const [{ shape }] = group
  const carried = into.dtype
  const flat = [cuts, sizeOf(shape) / cuts]
  const views = group.map((x): View => (cuts === 1 ? x : { ...viewOf(x), shape: flat, strides: [flat[1], 1] }))
  const kept = cuts === 1 ? shape.map(() => 1) : [cuts, 1]
  const dims = cuts === 1 ? shape.map((_, d) => d) : [1]
  const name = `squares ${dims.join()} ${group.map(({ dtype }) => dtype).join()}`
  const kernel = cachedKernel<ReduceKernel>(name, () => {
    const values = group.map(({ dtype }, i) => e.cast(e.input(i, dtype), carried))
    return { kind: "reduce", op: "sum", dims, expr: values.map((x) => e.mul(x, x)).reduce((a, b) => e.add(a, b)) }
  })
  const { storage, device } = into
  execute(kernel, views, [{ storage, dtype: carried, device, shape: kept, strides: kept.map(() => 1), offset }])
}

const viewOf = ({ storage, dtype, shape, strides, offset }: Tensor): View => ({
  storage,
  dtype,
  shape,
  strides,
  offset,
})

/**
 * The sum of the squares of all elements of `tensors`, all of one device and float dtype: a kernel for each shape, and one for
 * all together. 16-bit floats add up in float32. Carries no gradient.
 *
 * @example
 * ```ts
 * console.log(await squaredLength([tensor([3, 4]), tensor([[1]])]).item()) // 26
 * ```
 */
export function squaredLength(tensors: readonly Tensor[]): Tensor {
  for (const x of tensors) x.check("squaredLength")
  const groups = groupAlike(tensors)
  const cuts = groups.map(([x]) => cutsOf(x))
  const [{ device, dtype }] = tensors
  const count = cuts.reduce((a, b) => a + b, 0)
  const parts = output(device, [count], computeDType(dtype))
  let at = 0
  groups.forEach((group, i) => {
    squares(group, cuts[i], parts, at)
    at += cuts[i]
  })
  return reshape(count === 1 ? parts : reduceKept("sum", parts, [0], parts.dtype), [])
}
