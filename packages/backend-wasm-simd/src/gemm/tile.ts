// Register tiles: a few rows of a times one or more panels of b, summed over k in registers. Knows no blocking.
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { ModuleBuilder } from "../assembler/module.js"
import { addresses, type Arithmetic, storePart } from "./arithmetic.js"

/** The form of a tile: rows, panels side by side, and vectors of each panel (2, or 1 where no more columns are left). */
interface TileForm {
  readonly rows: number
  readonly panels: number
  readonly vectors: number
}

/**
 * Defines `tile(k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel, columns)`:
 * `c[i][j] = start[i][j] + sum over k of a[i][k] * b[k][j]`, summed in the order of k. All strides are in bytes: of a's rows and
 * along k, of b along k and from panel to panel; columns of b, c and start lie side by side within a panel. Only
 * the first `columns` are written, of which the last vector holds at least one.
 */
export function defineTile(module: ModuleBuilder, math: Arithmetic, form: TileForm): FunctionBuilder {
  const name = `tile ${math.dtype} ${form.rows} ${form.panels} ${form.vectors}`
  return module.once(name, () => {
    const f = module.define(name, new Array<"i32">(13).fill("i32"), null, true)
    const [k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel, columns] = f.args
    const rows = addresses(f, a, aRow, form.rows)
    const panels = addresses(f, b, bPanel, form.panels)
    const sums = loadStart(f, form, start, startRow, startPanel)
    f.if(k, () =>
      f.doWhile(
        () => {
          emitStep(f, math, form.panels * form.vectors, rows, panels, sums)
          for (const panel of panels) panel.inc(bStep)
          for (const row of rows) row.inc(aStep)
          k.set(k.sub(1))
        },
        () => k,
      ),
    )
    const before = (form.panels * form.vectors - 1) * math.lanes
    storeRows(f, math, c, cRow, f.keep(columns.sub(before)), sums)
    return f
  })
}

function loadStart(f: FunctionBuilder, form: TileForm, at: Local, row: Value, panel: Value): Local[][] {
  return Array.from({ length: form.rows }, (_, i) => {
    if (i > 0) at.inc(row)
    return addresses(f, at, panel, form.panels).flatMap((from) =>
      Array.from({ length: form.vectors }, (_, v) => f.keep(f.load("v128.load", from, 16 * v))),
    )
  })
}

/**
 * One step of k with `vectors` of columns from all panels, two from each but the last. Row after row, so that only the vectors of b
 * and one element of a are live beside the sums.
 */
export function emitStep(
  f: FunctionBuilder,
  math: Arithmetic,
  vectors: number,
  rows: readonly Local[],
  panels: readonly Local[],
  sums: readonly (readonly Local[])[],
): void {
  const loads = Array.from({ length: vectors }, (_, v) => f.load("v128.load", panels[v >> 1], 16 * (v & 1)))
  const b = rows.length === 1 ? loads : loads.map((x) => f.keep(x))
  rows.forEach((at, i) => {
    const x = f.keep(f.load(math.splat, at))
    sums[i].forEach((sum, j) => sum.set(math.madd(f, x, b[j], sum)))
  })
}

/** Stores rows of sums below each other, of the last vector of each only `left` elements. Leaves `c` at the last row. */
export function storeRows(
  f: FunctionBuilder,
  math: Arithmetic,
  c: Local,
  cRow: Value,
  left: Value,
  sums: readonly (readonly Local[])[],
): void {
  const store = (last: (x: Local, offset: number) => void): void =>
    sums.forEach((row, i) => {
      if (i > 0) c.inc(cRow)
      row.forEach((sum, j) => (j === row.length - 1 ? last(sum, 16 * j) : f.store("v128.store", c, sum, 16 * j)))
    })
  f.if(
    left.ge(math.lanes),
    () => store((x, offset) => f.store("v128.store", c, x, offset)),
    () => store((x, offset) => storePart(f, math, c, x, left, offset)),
  )
}
