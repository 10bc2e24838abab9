// The operands of kernels that have many, by name: the one place that knows their order. And what every backend checks or
// joins alike before it computes.
import { ValueError } from "./errors.js"
import type { RecurrentBackwardKernel, RecurrentKernel } from "./kernel.js"
import { collapse, type View } from "./view.js"

/** What a recurrent kernel reads and writes; null for what its cell or its options leave out. */
export interface RecurrentOperands {
  readonly projected: View
  readonly weight: View
  readonly bias: View | null
  readonly h: View
  readonly c: View | null
  readonly output: View
  readonly cells: View | null
  readonly saved: View | null
}

/**
 * Names the operands of a {@link RecurrentKernel}, in the order that its description gives.
 *
 * @example
 * ```ts
 * const view = { storage: { bytes: 4 }, dtype: "float32", shape: [1, 1, 1], strides: [1, 1, 1], offset: 0 } as const
 * const kernel = { kind: "recurrent", cell: "tanh", bias: false, reverse: false, save: true } as const
 * console.log(recurrentOperands(kernel, [view, view, view], [view]).bias) // null
 * ```
 */
export function recurrentOperands(
  { cell, bias }: RecurrentKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): RecurrentOperands {
  const [projected, weight, ...rest] = inputs
  const offset = bias ? (rest.shift() as View) : null
  const [h, c = null] = rest
  const [output, ...others] = outputs
  const cells = cell === "lstm" ? (others.shift() as View) : null
  return { projected, weight, bias: offset, h, c, output, cells, saved: others[0] ?? null }
}

/** What the gradient of a recurrent kernel reads and writes; null for what its cell has not. */
export interface RecurrentBackwardOperands {
  readonly gradOutput: View
  readonly gradH: View
  readonly gradC: View | null
  readonly weight: View
  readonly output: View
  readonly h: View
  readonly cells: View | null
  readonly c: View | null
  readonly saved: View | null
  readonly projected: View
  /** Null where it equals `projected`. */
  readonly hidden: View | null
  readonly dh: View
  readonly dc: View | null
}

/** Names the operands of a {@link RecurrentBackwardKernel}, in the order that its description gives. */
export function recurrentBackwardOperands(
  { cell }: RecurrentBackwardKernel,
  inputs: readonly View[],
  outputs: readonly View[],
): RecurrentBackwardOperands {
  const lstm = cell === "lstm"
  const reads = [...inputs]
  const writes = [...outputs]
  const next = (list: View[]): View => list.shift() as View
  const [gradOutput, gradH] = [next(reads), next(reads)]
  const gradC = lstm ? next(reads) : null
  const [weight, output, h] = [next(reads), next(reads), next(reads)]
  const [cells, c] = lstm ? [next(reads), next(reads)] : [null, null]
  const projected = next(writes)
  const hidden = cell === "gru" ? next(writes) : null
  const [dh, dc = null] = writes
  return { gradOutput, gradH, gradC, weight, output, h, cells, c, saved: reads[0] ?? null, projected, hidden, dh, dc }
}

/**
 * Views of a product (out, a, b, then others of the output's shape) with batches and rows joined into one long matrix, where b
 * is the same for all batches and the others lie so; otherwise as they are. What is done to b is then done once.
 *
 * @example
 * ```ts
 * const storage = { bytes: 96 }
 * const x: View = { storage, dtype: "float32", shape: [4, 3, 2], strides: [6, 2, 1], offset: 0 }
 * const b: View = { storage, dtype: "float32", shape: [4, 2, 2], strides: [0, 2, 1], offset: 0 }
 * console.log(joinRows([x, x, b]).map(({ shape }) => shape)) // [[12, 2], [12, 2], [2, 2]]
 * ```
 */
export function joinRows(views: readonly View[]): readonly View[] {
  const [out, , b] = views
  const last = out.shape.length - 1
  if (last < 2 || b.strides.slice(0, -2).some((stride, d) => stride !== 0 && b.shape[d] !== 1)) return views
  // By place: a and b may be one and the same view.
  const rows = views.filter((_, i) => i !== 2)
  const nest = collapse(out.shape.slice(0, -1), rows.map((view) => view.strides.slice(0, -1))) // prettier-ignore
  if (nest.shape.length > 1) return views
  const joined = rows.map((view, v): View => {
    const [row, stride] = [nest.shape[0] ?? 1, nest.strides[v][0] ?? 0]
    return { ...view, shape: [row, view.shape[last]], strides: [stride, view.strides[last]] }
  })
  const flat: View = { ...b, shape: b.shape.slice(-2), strides: b.strides.slice(-2) }
  return [joined[0], joined[1], flat, ...joined.slice(2)]
}

/** Throws a ValueError unless `byteLength` bytes from `byteOffset` lie within a storage of `bytes`. */
export function checkByteRange(operation: string, bytes: number, byteOffset: number, byteLength: number): void {
  if (byteOffset >= 0 && byteLength >= 0 && byteOffset + byteLength <= bytes) return
  throw new ValueError(
    `${operation}: bytes out of range: got ${byteOffset} to ${byteOffset + byteLength}, expected within 0 to ${bytes}`,
  )
}
