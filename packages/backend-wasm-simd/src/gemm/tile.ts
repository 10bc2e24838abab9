// Register tiles: a few rows of a times one or more panels of b, summed over k in registers. Knows no blocking.
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { ModuleBuilder } from "../assembler/module.js"
import { addresses, type Arithmetic, panelBytes, storePart } from "./arithmetic.js"

/** The form of a tile: rows, panels side by side, and vectors of each panel (2, or 1 where no more columns are left). */
interface TileForm {
  readonly rows: number
  readonly panels: number
  readonly vectors: number
}

/**
 * Defines `tile(k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel, columns)`:
 * `c[i][j] = start[i][j] + sum over k of a[i][k] * b[k][j]`, summed in the order of k. All strides are in bytes: of a's rows and
 * along k, of b along k and from panel to panel; columns of b, c and start lie side by side within a panel. Of the last panel only
 * `columns` are written; tiles of several panels write all.
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
          emitStep(f, math, form, rows, panels, sums)
          for (const panel of panels) panel.inc(bStep)
          for (const row of rows) row.inc(aStep)
          k.set(k.sub(1))
        },
        () => k,
      ),
    )
    storeTile(f, math, form, c, cRow, columns, sums)
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

/** One step of k. Row after row, so that only the vectors of b and one element of a are live beside the sums. */
function emitStep(
  f: FunctionBuilder,
  math: Arithmetic,
  { vectors }: TileForm,
  rows: readonly Local[],
  panels: readonly Local[],
  sums: readonly (readonly Local[])[],
): void {
  const loads = panels.flatMap((at) => Array.from({ length: vectors }, (_, v) => f.load("v128.load", at, 16 * v)))
  const b = rows.length === 1 ? loads : loads.map((x) => f.keep(x))
  rows.forEach((at, i) => {
    const x = f.keep(f.load(math.splat, at))
    sums[i].forEach((sum, j) => sum.set(math.madd(f, x, b[j], sum)))
  })
}

function storeTile(
  f: FunctionBuilder,
  math: Arithmetic,
  { panels, vectors }: TileForm,
  c: Local,
  cRow: Value,
  columns: Value,
  sums: readonly (readonly Local[])[],
): void {
  const storeRows = (store: (row: readonly Local[]) => void): void =>
    sums.forEach((row, i) => {
      if (i > 0) c.inc(cRow)
      store(row)
    })
  const storeAll = (row: readonly Local[]): void =>
    row.forEach((sum, j) => f.store("v128.store", c, sum, (j / vectors | 0) * panelBytes + (j % vectors) * 16)) // prettier-ignore
  if (panels > 1) return storeRows(storeAll)
  const full = vectors * math.lanes
  f.if(
    columns.ge(full),
    () => storeRows(storeAll),
    () => {
      const left = f.keep(columns.sub(full - math.lanes))
      storeRows((row) => {
        storeAll(row.slice(0, -1))
        storePart(f, math, c, row[vectors - 1], left, 16 * (vectors - 1))
      })
    },
  )
}
