// Products with few columns: whole rows of the result in registers, tile after tile in one loop. There a tile is so little work
// that choosing it and calling it would take as long.
import type { FunctionBuilder } from "../assembler/function.js"
import type { ModuleBuilder } from "../assembler/module.js"
import { addresses, type Arithmetic } from "./arithmetic.js"
import { emitStep, storeRows } from "./tile.js"

/** Most vectors of columns that count as few. */
export const narrowVectors = 3

/** Rows of a tile that is `vectors` wide: enough sums to hide the latency of adding, and registers left for operands. */
export const narrowRows = ({ rows }: Arithmetic, vectors: number): number => (vectors === 3 ? 3 : rows)

/**
 * Defines `narrow(m, n, k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel)`: the product of a
 * {@link defineTile tile} for all of `m` rows, a multiple of {@link narrowRows}, and `n` columns that need just so many vectors.
 */
export function defineNarrow(module: ModuleBuilder, math: Arithmetic, vectors: number): FunctionBuilder {
  const name = `narrow ${math.dtype} ${vectors}`
  return module.once(name, () => {
    const f = module.define(name, new Array<"i32">(14).fill("i32"), null, true)
    const [m, n, k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel] = f.args
    const height = narrowRows(math, vectors)
    const left = f.keep(n.sub((vectors - 1) * math.lanes))
    const far = f.keep(b.add(bPanel))
    f.while(
      () => m.gt(0),
      () => {
        const rows = addresses(f, f.keep(a), aRow, height)
        const panels = vectors > 2 ? [f.keep(b), f.keep(far)] : [f.keep(b)]
        const sums = rows.map(() => {
          const row = Array.from({ length: vectors }, (_, v) =>
            f.keep(f.load("v128.load", v < 2 ? start : start.add(startPanel), v < 2 ? 16 * v : 0)),
          )
          start.inc(startRow)
          return row
        })
        const count = f.keep(k)
        f.while(
          () => count,
          () => {
            emitStep(f, math, vectors, rows, panels, sums)
            for (const panel of panels) panel.inc(bStep)
            for (const row of rows) row.inc(aStep)
            count.set(count.sub(1))
          },
        )
        storeRows(f, math, c, cRow, left, sums)
        c.inc(cRow)
        a.inc(aRow.mul(height))
        m.set(m.sub(height))
      },
    )
    return f
  })
}
