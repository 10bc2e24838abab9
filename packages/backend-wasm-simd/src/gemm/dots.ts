// Products of few rows with a matrix that lies side by side along k (x W^T): dot products, with nothing packed.
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { ModuleBuilder } from "../assembler/module.js"
import { addresses, type Arithmetic, panelBytes, storePart, transpose } from "./arithmetic.js"

/** One vector with the sum of each vector's lanes. */
function sumLanes(f: FunctionBuilder, math: Arithmetic, vectors: readonly Local[]): Value {
  const rows = transpose(f, vectors)
  if (rows.length === 2) return math.add(f, rows[0], rows[1])
  return math.add(f, math.add(f, rows[0], rows[1]), math.add(f, rows[2], rows[3]))
}

/**
 * `tile(n, k, a, aRow, b, bColumn, c, cRow, start, startRow)`: the products of `rows` rows of a with the first `n` of `columns`
 * columns of b. Each lane sums every fourth (float64: second) element, then the lanes are summed: the order depends on k alone.
 */
function defineDotTile(module: ModuleBuilder, math: Arithmetic, rows: number, columns: number): FunctionBuilder {
  const name = `dots ${math.dtype} ${rows} ${columns}`
  return module.once(name, () => {
    const f = module.define(name, new Array<"i32">(10).fill("i32"), null, true)
    const [n, k, a, aRow, b, bColumn, c, cRow, start, startRow] = f.args
    const as = addresses(f, a, aRow, rows)
    // Columns that are not there are the last one again.
    const bs = [b]
    while (bs.length < columns) bs.push(f.keep(bs[bs.length - 1].add(f.select(n.gt(bs.length), bColumn, 0))))
    const sums = as.map(() => bs.map(() => f.keep(f.zero())))
    const along = (load: string, step: number): void =>
      f.while(
        () => k.ge(step),
        () => {
          const loads = bs.map((at) => f.load(load, at))
          const b = rows === 1 ? loads : loads.map((x) => f.keep(x))
          as.forEach((at, i) => {
            const x = f.keep(f.load(load, at))
            sums[i].forEach((sum, j) => sum.set(math.madd(f, x, b[j], sum)))
          })
          for (const at of [...as, ...bs]) at.inc(step * math.size)
          k.set(k.sub(step))
        },
      )
    along("v128.load", math.lanes)
    along(math.first, 1)
    sums.forEach((row, i) => {
      if (i > 0) {
        c.inc(cRow)
        start.inc(startRow)
      }
      for (let j = 0; j < columns; j += math.lanes) {
        const at = (j / math.lanes) * 16
        const sum = sumLanes(f, math, row.slice(j, j + math.lanes))
        const value = f.keep(math.add(f, f.load("v128.load", start, at), sum))
        f.if(
          n.ge(j + math.lanes),
          () => f.store("v128.store", c, value, at),
          () => f.if(n.gt(j), () => storePart(f, math, c, value, n.sub(j), at)), // prettier-ignore
        )
      }
    })
    return f
  })
}

/**
 * Defines `dots(m, n, k, a, aRow, b, bColumn, c, cRow, start, startRow, startPanel)`: `c = start + a b` where a and b lie side by
 * side along k, and c and start along n (start repeats a panel where `startPanel` is 0). b passes by once.
 */
export function defineDots(module: ModuleBuilder, math: Arithmetic): FunctionBuilder {
  const name = `dots ${math.dtype}`
  return module.once(name, () => {
    const f = module.define(name, new Array<"i32">(12).fill("i32"), null, true)
    const [m, n, k, a, aRow, b, bColumn, c, cRow, start, startRow, startPanel] = f.args
    const tile = (rows: number, columns: number, at: readonly [Value, Value, Value]): void =>
      f.call(defineDotTile(module, math, rows, columns), n, k, at[0], aRow, b, bColumn, at[1], cRow, at[2], startRow)
    const advance = (columns: number): void => {
      b.inc(bColumn.mul(columns))
      c.inc(columns * math.size)
      start.inc(startPanel.mul(columns * math.size).div(panelBytes)) // prettier-ignore
      n.set(n.sub(columns))
    }
    f.if(m.eq(1), () =>
      f.while(
        () => n.gt(0),
        () => {
          tile(1, 8, [a, c, start])
          advance(8)
        },
      ),
    )
    f.while(
      () => n.gt(0),
      () => {
        const at = [f.keep(a), f.keep(c), f.keep(start)] as const
        const left = f.keep(m)
        f.while(
          () => left.ge(2),
          () => {
            tile(2, 4, at)
            at[0].inc(aRow.shl(1))
            at[1].inc(cRow.shl(1))
            at[2].inc(startRow.shl(1))
            left.set(left.sub(2))
          },
        )
        f.if(left, () => tile(1, 4, at))
        advance(4)
      },
    )
    return f
  })
}
