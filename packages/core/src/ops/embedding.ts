// Rows of a table by index tensors of any shape: the lookup of word vectors. How they start is a layer's business.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { apply, commonDevice } from "../apply.js"
import type { Rule } from "../graph.js"
import { op } from "../op.js"
import { rememberOrigin } from "../origin.js"
import { RowGradient } from "../rowgradient.js"
import { indices, t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { div } from "./arithmetic.js"
import { toDType } from "./conversion.js"
import { ne, where } from "./logic.js"
import { addedRows, checkIndexDType, fullOf, gatherRows, runRows, takeRows } from "./lookup.js"
import { clone, expand, reshape, unsqueeze, zerosOf } from "./movement.js"

/** Options of {@link embedding}. */
export interface EmbeddingOptions {
  /** The row of this number gets no gradient; negative numbers count from the end. Default: none. */
  readonly paddingIdx?: number | null
  /** Divide the gradient of a row by how often it was asked for. Default false. */
  readonly scaleGradByFreq?: boolean
  /**
   * Give a leaf that is the table its gradient as rows, in `rowGradient` instead of `grad`: no memory of the table's size
   * is touched. Not together with `scaleGradByFreq`. Default false.
   */
  readonly sparse?: boolean
}

/** @internal The row number `paddingIdx` from the front. Throws a ValueError outside of the table. */
export function readPadding(name: string, paddingIdx: number | null | undefined, rows: number): number | null {
  if (paddingIdx === null || paddingIdx === undefined) return null
  if (Number.isInteger(paddingIdx) && paddingIdx >= -rows && paddingIdx < rows) return (paddingIdx + rows) % rows
  throw new ValueError(`${name}: paddingIdx must lie within the ${rows} rows: got ${paddingIdx}`)
}

// One fill and one scatter: the table is walked once, whatever its size, and the rows that were not asked for never again.
function gradientRule(rows: number, padding: number | null, byFrequency: boolean): Rule {
  return ([g], { y: index }) => {
    if (!g) return []
    const count = sizeOf(index.shape)
    const flat = reshape(index, count)
    const width = g.shape[g.ndim - 1]
    let source = reshape(g, count, width)
    if (byFrequency && count > 0) {
      const often = zerosOf(g, [rows])
      runRows(often, 0, flat, expand(fullOf(g, 1), [count]), "add")
      source = div(source, unsqueeze(takeRows("indexSelect", often, 0, flat), 1))
    }
    if (padding !== null) source = where(unsqueeze(ne(flat, padding), 1), source, 0)
    return [addedRows([rows, width], 0, flat, source)]
  }
}

// The rows as they came. They outlive backward, so they are copies: neither what the caller does to the index nor what
// clipping does to the values may reach the other. PyTorch leaves the padding out; here it has zeros, as a shorter list
// would have to be counted first.
function rowsRule(rows: number, padding: number | null): Rule {
  return ([g], { y: index }) => {
    if (!g) return []
    const count = sizeOf(index.shape)
    const width = g.shape[g.ndim - 1]
    const flat = clone(toDType(reshape(index, count), "int32"))
    const source = reshape(g, count, width)
    const values = padding === null ? clone(source) : where(unsqueeze(ne(flat, padding), 1), source, 0)
    return [new RowGradient([rows, width], flat, values)]
  }
}

export const embedding = op(
  {
    family: "indexing",
    name: "embedding",
    takes: {
      weight: "tensor",
      index: "tensor",
      options: { paddingIdx: "number|null", scaleGradByFreq: "flag", sparse: "flag" },
    },
    doc: "The rows of a table [V, E] that an int tensor of any shape names: [..., E].",
    // What the options say of the gradient is no derivative: PyTorch's values hold them, not finite differences.
    samples: [
      [t(4, 3), indices(4, 2, 5)],
      [t(4, 3), indices(4)],
      [t(4, 3), indices(4, 0)],
      [t(4, 1), indices(4, 6), { paddingIdx: null }],
    ],
    differentiable: true,
  },
  (weight: Tensor, index: Tensor, options: EmbeddingOptions = {}): Tensor => {
    const { paddingIdx, scaleGradByFreq = false, sparse = false } = options
    commonDevice("embedding", [weight, index])
    checkIndexDType("embedding", index)
    if (weight.ndim !== 2) throw new ShapeError(`embedding: the table must have 2 dims: got ${shapeText(weight.shape)}`)
    const [rows, width] = weight.shape
    if (sparse && scaleGradByFreq) throw new ValueError("embedding: sparse and scaleGradByFreq exclude each other")
    const padding = readPadding("embedding", paddingIdx, rows)
    const vjp = sparse ? rowsRule(rows, padding) : gradientRule(rows, padding, scaleGradByFreq)
    const [out] = apply({ name: "embedding", keep: ["y"], vjp }, [weight, index], () => {
      const count = sizeOf(index.shape)
      return [reshape(gatherRows(weight, reshape(index, count)), [...index.shape, width])]
    })
    if (!sparse && !scaleGradByFreq) rememberOrigin(out, weight, index, padding)
    return out
  },
)
