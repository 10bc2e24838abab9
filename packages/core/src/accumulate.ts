// Where a leaf stores what backward brings: a whole gradient in `grad`, or rows. Not public.
import { mode } from "./graph.js"
import { add } from "./ops/arithmetic.js"
import type { RowGradient } from "./rowgradient.js"
import { keep } from "./scope.js"
import type { Tensor } from "./tensor.js"

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
  if (leaf.grad === null) leaf.grad = keep(owned || mode.record ? g : g.clone())
  else if (mode.record) leaf.grad = keep(add(leaf.grad, g))
  else {
    ;(add.op.inPlace as (x: Tensor, y: Tensor) => Tensor)(leaf.grad, g)
    if (owned && g.handle.owners === 1) g.dispose()
  }
}
