// Rows of a table by index tensors of any shape: the lookup of word vectors. How they start is a layer's business.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { apply, commonDevice } from "../apply.js"
import type { Rule } from "../graph.js"
import { op } from "../op.js"
import { indices, t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { div } from "./arithmetic.js"
import { viewOf } from "./geometry.js"
import { ne, where } from "./logic.js"
import { addedRows, checkIndexDType, fullOf, runGather, runRows, takeRows } from "./lookup.js"
import { expand, reshape, unsqueeze, zerosOf } from "./movement.js"

/** Options of {@link embedding}. */
export interface EmbeddingOptions {
  /** The row of this number gets no gradient; negative numbers count from the end. Default: none. */
  readonly paddingIdx?: number | null
  /** Divide the gradient of a row by how often it was asked for. Default false. */
  readonly scaleGradByFreq?: boolean
}

/** The row number `paddingIdx` from the front. Throws a ValueError outside of the table. */
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

export const embedding = op(
  {
    family: "indexing",
    name: "embedding",
    takes: { weight: "tensor", index: "tensor", options: { paddingIdx: "number|null", scaleGradByFreq: "flag" } },
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
  (weight: Tensor, index: Tensor, { paddingIdx, scaleGradByFreq = false }: EmbeddingOptions = {}): Tensor => {
    commonDevice("embedding", [weight, index])
    checkIndexDType("embedding", index)
    if (weight.ndim !== 2) throw new ShapeError(`embedding: the table must have 2 dims: got ${shapeText(weight.shape)}`)
    const [rows, width] = weight.shape
    const vjp = gradientRule(rows, readPadding("embedding", paddingIdx, rows), scaleGradByFreq)
    const [out] = apply({ name: "embedding", keep: ["y"], vjp }, [weight, index], () => {
      const count = sizeOf(index.shape)
      const flat = reshape(index, count)
      const wide = viewOf(flat, { shape: [count, width], strides: [flat.strides[0] ?? 0, 0], offset: flat.offset })
      return [reshape(runGather(weight, 0, wide), [...index.shape, width])]
    })
    return out
  },
)
