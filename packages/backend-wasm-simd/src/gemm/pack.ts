// Lays matrices out anew for the register tiles: b in panels of two vectors of columns, a in bands of a few rows.
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { ModuleBuilder } from "../assembler/module.js"
import { addresses, type Arithmetic, panelBytes, transpose } from "./arithmetic.js"

/** Elements at `from` as vectors of neighbouring columns. */
function gather(f: FunctionBuilder, { lanes, size, first }: Arithmetic, from: readonly Value[]): Value[] {
  return Array.from({ length: from.length / lanes }, (_, v) =>
    from
      .slice(v * lanes + 1, (v + 1) * lanes)
      .reduce((sum, at, i) => f.load(`v128.load${8 * size}_lane`, at, 0, [sum], i + 1), f.load(first, from[v * lanes])),
  )
}

const storeRow = (f: FunctionBuilder, at: Value, vectors: readonly Value[]): void =>
  vectors.forEach((x, v) => f.store("v128.store", at, x, 16 * v))

/** Panels that are packed at once where columns lie side by side: as wide as two cache lines. */
const together = 4

/** `rows(k, b, bRow, out)`: full panels whose columns lie side by side. */
function definePackRows(module: ModuleBuilder, panels: number): FunctionBuilder {
  return module.once(`pack rows ${panels}`, () => {
    const f = module.define(`pack rows ${panels}`, ["i32", "i32", "i32", "i32"], null, true)
    const [k, b, bRow, out] = f.args
    const outs = addresses(f, out, f.keep(k.mul(panelBytes)), panels)
    f.while(
      () => k.gt(0),
      () => {
        outs.forEach((to, panel) => {
          storeRow(f, to, [0, 16].map((offset) => f.load("v128.load", b, panel * panelBytes + offset))) // prettier-ignore
          to.inc(panelBytes)
        })
        b.inc(bRow)
        k.set(k.sub(1))
      },
    )
    return f
  })
}

/**
 * `columns(n, k, b, bRow, bColumn, out)`: a panel of `n` columns of any strides. Where `n` is less than a panel has, its last
 * column is repeated.
 */
function definePackColumns(module: ModuleBuilder, math: Arithmetic): FunctionBuilder {
  return module.once(`pack columns ${math.size}`, () => {
    const f = module.define(`pack columns ${math.size}`, new Array<"i32">(6).fill("i32"), null, true)
    const [n, k, b, bRow, bColumn, out] = f.args
    const { lanes, columns, size } = math
    const from = [b]
    for (let j = 1; j < columns; j++) from.push(f.keep(from[j - 1].add(f.select(n.gt(j), bColumn, 0))))
    f.if(bRow.eq(size), () =>
      f.while(
        () => k.ge(lanes),
        () => {
          for (let v = 0; v < columns / lanes; v++) {
            const own = from.slice(v * lanes, (v + 1) * lanes)
            const rows = transpose(f, own.map((at) => f.keep(f.load("v128.load", at)))) // prettier-ignore
            rows.forEach((x, i) => f.store("v128.store", out, x, panelBytes * i + 16 * v))
          }
          for (const at of from) at.inc(16)
          out.inc(panelBytes * lanes)
          k.set(k.sub(lanes))
        },
      ),
    )
    f.while(
      () => k.gt(0),
      () => {
        storeRow(f, out, gather(f, math, from))
        for (const at of from) at.inc(bRow)
        out.inc(panelBytes)
        k.set(k.sub(1))
      },
    )
    return f
  })
}

/**
 * Defines `pack(n, k, b, bRow, bColumn, out)`: lays `b[k][n]`, its strides in bytes, out in panels, one behind the other. A panel
 * is k rows of 32 bytes. Up to 12 bytes behind the last element of b may be read.
 */
export function definePack(module: ModuleBuilder, math: Arithmetic): FunctionBuilder {
  return module.once(`pack ${math.size}`, () => {
    const f = module.define(`pack ${math.size}`, new Array<"i32">(6).fill("i32"), null, true)
    const [n, k, b, bRow, bColumn, out] = f.args
    const { columns, size } = math
    const advance = (panels: number): void => {
      b.inc(bColumn.mul(columns * panels))
      out.inc(k.mul(panelBytes * panels))
      n.set(n.sub(columns * panels))
    }
    f.if(bColumn.eq(size), () => {
      for (const panels of [together, 1])
        f.while(
          () => n.ge(columns * panels),
          () => {
            f.call(definePackRows(module, panels), k, b, bRow, out)
            advance(panels)
          },
        )
    })
    f.while(
      () => n.gt(0),
      () => {
        f.call(definePackColumns(module, math), n, k, b, bRow, bColumn, out)
        advance(1)
      },
    )
    return f
  })
}

/**
 * Defines `band(rows, k, a, aRow, aStep, out)`: the elements of `rows` rows of a (at most 6): row after row where they lie
 * so (\`aStep\` is an element), else column after column. Up to bytes behind the end are overwritten.
 */
export function defineBand(module: ModuleBuilder, math: Arithmetic): FunctionBuilder {
  const { size, lanes } = math
  return module.once(`band ${size}`, () => {
    const f = module.define(`band ${size}`, new Array<"i32">(6).fill("i32"), null, true)
    const [rows, k, a, aRow, aStep, out] = f.args
    const step = f.keep(rows.mul(size))
    f.if(aStep.eq(size), () => {
      const row = f.keep(k.mul(size))
      f.times(rows, () => {
        f.memoryCopy(out, a, row)
        a.inc(aRow)
        out.inc(row)
      })
      f.return()
    })
    const left = f.local("i32")
    const copyColumns = (vectors: number): void =>
      f.while(
        () => left.gt(0),
        () => {
          storeRow(
            f,
            out,
            Array.from({ length: vectors }, (_, v) => f.load("v128.load", a, 16 * v)),
          )
          a.inc(aStep)
          out.inc(step)
          left.set(left.sub(1))
        },
      )
    left.set(k)
    f.if(
      aRow.eq(size),
      () =>
        f.if(
          rows.gt(2 * lanes),
          () => copyColumns(3),
          () => f.if(rows.gt(lanes), () => copyColumns(2), () => copyColumns(1)), // prettier-ignore
        ),
      () => copyElements(f, math, f.args, step),
    )
    return f
  })
}

/** A band of any strides, one element at a time. */
function copyElements(f: FunctionBuilder, { size }: Arithmetic, args: readonly Local[], step: Value): void {
  const [rows, k, a, aRow, aStep, out] = args
  const type = size === 4 ? "i32" : "i64"
  f.times(rows, () => {
    const [from, to] = [f.keep(a), f.keep(out)]
    f.times(k, () => {
      f.store(`${type}.store`, to, f.load(`${type}.load`, from))
      from.inc(aStep)
      to.inc(step)
    })
    a.inc(aRow)
    out.inc(size)
  })
}
