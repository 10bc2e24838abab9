// Where a leaf stores what backward brings: a whole gradient in `grad`, or rows. Not public.
import { cachedKernel, computeDType, type DType, e, type Kernel, sizeOf } from "@rondo/backend"
import { execute } from "./apply.js"
import { mode } from "./graph.js"
import { add } from "./ops/arithmetic.js"
import { sameShape } from "./place.js"
import type { RowGradient } from "./rowgradient.js"
import type { Tensor } from "./tensor.js"

/**
 * Adds a gradient to another of its kind, in place and unrecorded. Where they are as gradients are, of one shape and dtype, no
 * more is asked.
 */
export function addOnto(sum: Tensor, g: Tensor): void {
  if (sum.dtype !== g.dtype || !sameShape(sum.shape, g.shape) || sum.storage === g.storage || !sum.isContiguous())
    return void (add.op.inPlace as (x: Tensor, y: Tensor) => Tensor)(sum, g)
  sum.check("backward")
  g.check("backward")
  if (sizeOf(sum.shape) > 0) execute(sumOfTwo(sum.dtype), [sum, g], [sum])
  sum.handle.version++
}

const sumOfTwo = (dtype: DType): Kernel =>
  cachedKernel(`sum of two ${dtype}`, () => {
    const compute = computeDType(dtype)
    const [x, y] = [0, 1].map((i) => e.cast(e.input(i, dtype), compute))
    return { kind: "map", exprs: [e.cast(e.add(x, y), dtype)] }
  })

/** Adds rows to the gradient of a leaf. */
export function accumulateRows(leaf: Tensor, rows: RowGradient): void {
  if (leaf.disposed || !leaf.requiresGrad) return
  if (leaf.grad !== null) rows.addTo(leaf.grad)
  else leaf.rowGradient = leaf.rowGradient?.concat(rows) ?? rows
}

/** Adds a whole gradient to that of a leaf; if `owned`, its memory may be taken. */
export function accumulate(leaf: Tensor, g: Tensor, owned: boolean): void {
  if (leaf.disposed || !leaf.requiresGrad) return
  // Rows that came before join the whole gradient, which takes their place: there is one of the two, as in PyTorch.
  const rows = leaf.rowGradient
  store(leaf, g, owned)
  leaf.rowGradient = null
  if (rows) store(leaf, rows.toDense(), true)
}

function store(leaf: Tensor, g: Tensor, owned: boolean): void {
  if (leaf.grad === null) leaf.grad = owned ? g : g.clone()
  else if (mode.record) leaf.grad = add(leaf.grad, g)
  else {
    addOnto(leaf.grad, g)
    if (owned && g.handle.owners === 1) g.dispose()
  }
}
