// The gradient of a table of which few rows were used: those rows alone. What optimisers do with it is theirs; when the
// engine stores one is autograd.ts's business.
import { DTypeError, shapeText, ShapeError } from "@rondo/backend"
import { checkInPlace, commonDevice } from "./apply.js"
import { type FusedExprs, mapInto } from "./fused.js"
import { noGrad } from "./graph.js"
import { mul } from "./ops/arithmetic.js"
import { toDType } from "./ops/conversion.js"
import { ne } from "./ops/logic.js"
import { addedRows, runRows, takeRows } from "./ops/lookup.js"
import { clone, expand, zerosOf } from "./ops/movement.js"
import { cumsum } from "./ops/scan.js"
import { cat } from "./ops/shaping.js"
import { narrow } from "./ops/slicing.js"
import { sort } from "./ops/sort.js"
import { scope } from "./scope.js"
import type { Tensor } from "./tensor.js"

/** Rows in order: which rows, the slot of each (equal rows share one), and per slot the sum of what belongs to it. */
interface Grouped {
  readonly rows: Tensor
  readonly slots: Tensor
  readonly sums: Tensor
}

/**
 * The gradient of a table [V, E] as rows: `values[n]` belongs to row `indices[n]`, rows that are named more than once add
 * up, rows that are not named have zeros. PyTorch's sparse gradient of an embedding, without its unknown count: nothing
 * here reads from the device, and no memory of the table's size is touched but by {@link toDense}.
 *
 * Throws a ShapeError if the shapes do not fit together, a DTypeError for indices that are not int32.
 *
 * @example
 * ```ts
 * const table = zeros(5, 2, { requiresGrad: true })
 * embedding(table, tensor([4, 1, 4], { dtype: "int32" }), { sparse: true }).sum().backward()
 * const rows = table.rowGradient!
 * console.log(table.grad, await rows.indices.tolist()) // null [4, 1, 4]
 * console.log(await rows.toDense().tolist()) // [[0, 0], [1, 1], [0, 0], [0, 0], [2, 2]]
 * ```
 */
export class RowGradient {
  /** Of the table: `[V, E]`. */
  readonly shape: readonly number[]
  /** `[N]`, int32. */
  readonly indices: Tensor
  /** `[N, E]`, of the table's dtype. */
  readonly values: Tensor

  constructor(shape: readonly number[], indices: Tensor, values: Tensor) {
    commonDevice("RowGradient", [indices, values])
    if (indices.dtype !== "int32") throw new DTypeError(`RowGradient: the indices must be int32: got ${indices.dtype}`)
    const [count, width] = values.shape
    if (
      shape.length !== 2 ||
      values.ndim !== 2 ||
      width !== shape[1] ||
      indices.ndim !== 1 ||
      indices.shape[0] !== count
    ) {
      throw new ShapeError(
        `RowGradient: got indices ${shapeText(indices.shape)} and values ${shapeText(values.shape)} for a table ${shapeText(shape)}, expected [N] and [N, E] for [V, E]`,
      )
    }
    this.shape = shape
    this.indices = indices
    this.values = values
  }
  /** The same as a tensor [V, E]. */
  toDense(): Tensor {
    return addedRows(this.shape, 0, this.indices, this.values)
  }
  /**
   * The same with the values of each row added up. There are as many entries as before, since their count is not read back:
   * those that are left over name a row of the others, with zeros.
   */
  coalesce(): RowGradient {
    if (this.indices.shape[0] < 2) return this
    return scope(() => {
      const { rows, slots, sums } = this.#grouped()
      const names = clone(expand(narrow(rows, 0, 0, 1), rows.shape))
      runRows(names, 0, slots, rows, "replace")
      return new RowGradient(this.shape, names, sums)
    })
  }
  /** The sum of two gradients of one table: all rows of both. */
  concat(other: RowGradient): RowGradient {
    return new RowGradient(this.shape, cat([this.indices, other.indices]), cat([this.values, other.values]))
  }
  /**
   * Adds `alpha` times the gradient to `table` [V, E] in place, unrecorded.
   * Throws a ShapeError for another shape, a DTypeError for another dtype.
   */
  addTo(table: Tensor, alpha = 1): void {
    this.#checkTable("addTo", table)
    noGrad(() =>
      scope(() => {
        checkInPlace("addTo", table)
        runRows(table, 0, this.indices, alpha === 1 ? this.values : mul(this.values, alpha), "add")
        table.handle.version++
      }),
    )
  }
  /**
   * Changes the named rows of `tables`, and no others, in place and unrecorded: `exprs` takes the rows of the first table,
   * the gradient (added up), the rows of the further tables, and `scalars`; it gives the new rows of each table. How
   * {@link mapInto} runs such a kernel, and what it throws, holds here.
   *
   * @param name - What errors call the operation.
   */
  updateRows(name: string, tables: readonly Tensor[], exprs: FusedExprs, scalars: readonly number[] = []): void {
    for (const table of tables) this.#checkTable(name, table)
    if (this.indices.shape[0] === 0) return
    noGrad(() =>
      scope(() => {
        const { rows, slots, sums } = this.#grouped()
        for (const table of tables) checkInPlace(name, table)
        const old = tables.map((table) => takeRows(name, table, 0, rows))
        // A row that is named again meets the same numbers again: whichever of its results is written last, it is the same.
        mapInto(name, old, [old[0], takeRows(name, sums, 0, slots), ...old.slice(1)], exprs, scalars)
        tables.forEach((table, i) => {
          runRows(table, 0, rows, old[i], "replace")
          table.handle.version++
        })
      }),
    )
  }
  #checkTable(name: string, table: Tensor): void {
    commonDevice(name, [table, this.values])
    const { shape, dtype } = table
    if (shape.length !== 2 || shape[0] !== this.shape[0] || shape[1] !== this.shape[1]) {
      throw new ShapeError(`${name}: a row gradient of ${shapeText(this.shape)} does not fit ${shapeText(shape)}`)
    }
    if (dtype !== this.values.dtype) {
      throw new DTypeError(`${name}: the table is ${dtype}, its row gradient ${this.values.dtype}`)
    }
  }
  #grouped(): Grouped {
    const [rows, order] = sort(this.indices)
    const count = rows.shape[0]
    // A slot begins where a row differs from the one before: rows 1 1 4 9 9 have slots 0 0 1 2 2.
    const begins = ne(narrow(rows, 0, 1, count - 1), narrow(rows, 0, 0, count - 1))
    const slots = cat([zerosOf(rows, [1]), cumsum(toDType(begins, "int32"), 0)])
    return { rows, slots, sums: addedRows(this.values.shape, 0, slots, takeRows("coalesce", this.values, 0, order)) }
  }
}
