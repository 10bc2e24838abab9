// Products of matrices for use inside modules: packing, blocking and register tiles as functions that other functions call.
import type { FunctionBuilder, Local, Operand, Value } from "../assembler/function.js"
import type { Callable, ModuleBuilder } from "../assembler/module.js"
import type { Compiled, Engine } from "../engine.js"
import { type Arithmetic, arithmetic, mostRows, panelBytes, type ProductDType } from "./arithmetic.js"
import { defineDots } from "./dots.js"
import { defineNarrow, narrowRows, narrowVectors } from "./narrow.js"
import { defineBand, definePack } from "./pack.js"
import { defineTile } from "./tile.js"

export type { ProductDType } from "./arithmetic.js"

/**
 * Functions of a module that multiply matrices. All parameters are i32; strides are in bytes and may be of either sign; sizes
 * may be 0. The order in which an element is summed depends on k alone, so products may be cut along m and n.
 */
export interface Gemm {
  /**
   * `prepack(n, k, b, bRow, bColumn, packed)`: lays b[k][n] out for `multiplyPacked`; b's transpose is b with its strides
   * swapped. `packed` needs {@link packedBytes} bytes.
   */
  readonly prepack: Callable
  /**
   * `multiplyPacked(m, n, k, a, aRow, packed, c, cRow, start, startRow)`: `c = start + a b`. The columns of a, c and start lie side
   * by side. `start` 0 means zeros; `start = c, startRow = cRow` accumulates; `startRow` 0 adds one row (a bias) to all.
   */
  readonly multiplyPacked: Callable
  /**
   * `products(count, aBatch, bBatch, cBatch, startBatch, m, n, k, a, aRow, aStep, b, bRow, bColumn, c, cRow, start, startRow,
   * bScratch, aScratch)`: the same for `count` products with a and b of any strides. With `bScratch` (at least
   * {@link scratchBytes}) b is packed there block by block; with 0 it is read in place, and either its columns lie side by side, or
   * a and b both lie side by side along k. With `aScratch` ({@link bandBytes}) a is packed there band by band; for dot products it
   * takes a single row (k elements and 16 bytes) that does not lie side by side.
   */
  readonly products: Callable
}

const columnsOf = (dtype: ProductDType): number => panelBytes / (dtype === "float64" ? 8 : 4)
/** Bytes that `prepack` writes. */
export const packedBytes = (dtype: ProductDType, n: number, k: number): number =>
  Math.ceil(n / columnsOf(dtype)) * k * panelBytes
/** Bytes of the largest block of b that `products` packs. */
export const scratchBytes = (dtype: ProductDType, n: number, k: number): number =>
  packedBytes(dtype, Math.min(n, 512), Math.min(k, dtype === "float64" ? 256 : 512))
/** Bytes of the largest band of a, with what may be overwritten behind it. */
export const bandBytes = mostRows * 2048 + 16

/** 64 bytes of zeros. */
const zeros = (engine: Engine): number =>
  engine.cached("zeros", () => {
    const address = engine.heap.alloc(64)
    new Uint8Array(engine.memory.buffer, address, 64).fill(0)
    return address
  })

const compiled = new WeakMap<Engine, Partial<Record<ProductDType, Record<keyof Gemm, Compiled>>>>()

/** The functions that multiply matrices of `dtype`: one module, which all others import from. */
export function gemmCode(engine: Engine, dtype: ProductDType): Record<keyof Gemm, Compiled> {
  let own = compiled.get(engine)
  if (!own) compiled.set(engine, (own = {}))
  return (own[dtype] ??= engine.compile(`gemm ${dtype}`, (module) => {
    const math = arithmetic(engine, dtype)
    const zero = zeros(engine)
    return {
      prepack: module.expose(definePrepack(module, math)),
      multiplyPacked: module.expose(defineMultiplyPacked(module, math, zero)),
      products: module.expose(defineProducts(module, math, zero)),
    }
  }))
}

const parameters: Readonly<Record<keyof Gemm, number>> = { prepack: 6, multiplyPacked: 10, products: 20 }

/** The same functions for the code of `module`. */
export function importGemm(module: ModuleBuilder, engine: Engine, dtype: ProductDType): Gemm {
  const code = gemmCode(engine, dtype)
  const take = (name: keyof Gemm): Callable =>
    module.import(engine.linkTo(code[name]), new Array<"i32">(parameters[name]).fill("i32"), null)
  // What a module does not use it does not import.
  return {
    get prepack() {
      return take("prepack")
    },
    get multiplyPacked() {
      return take("multiplyPacked")
    },
    get products() {
      return take("products")
    },
  }
}

/** An internal function of `count` i32 parameters. */
function define(
  module: ModuleBuilder,
  name: string,
  count: number,
  body: (f: FunctionBuilder, args: readonly Local[]) => void,
): FunctionBuilder {
  return module.once(name, () => {
    const f = module.define(name, new Array<"i32">(count).fill("i32"), null, true)
    body(f, f.args)
    return f
  })
}

const least = (f: FunctionBuilder, x: Value, y: Value): Local => f.keep(f.select(x.lt(y), x, y))

/** Runs `body` for the blocks that k is cut into: as equal as can be, in fours. At least once, with depth 0 for k = 0. */
function eachDepth(
  f: FunctionBuilder,
  { depth }: Arithmetic,
  k: Local,
  body: (from: Local, depth: Local) => void,
): void {
  const blocks = f.keep(k.add(depth - 1).div(depth).or(k.eq(0))) // prettier-ignore
  const most = f.keep(k.add(blocks).sub(1).div(blocks).add(3).and(-4)) // prettier-ignore
  const from = f.local("i32", 0)
  f.doWhile(
    () => {
      body(from, least(f, k.sub(from), most))
      from.inc(most)
    },
    () => from.lt(k),
  )
}

/** Runs `body` for blocks of columns. */
function eachWidth(f: FunctionBuilder, math: Arithmetic, n: Local, body: (from: Local, width: Local) => void): void {
  const from = f.local("i32", 0)
  f.while(
    () => from.lt(n),
    () => {
      body(from, least(f, n.sub(from), f.i32(math.width)))
      from.inc(math.width)
    },
  )
}

/** `strip(rows, n, k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel)`: 1 to 6 rows, all panels. */
function defineStrip(module: ModuleBuilder, math: Arithmetic): FunctionBuilder {
  return define(module, `strip ${math.dtype}`, 14, (f, args) => {
    const [rows, n, k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel] = args
    const tile = (height: number, panels: number, vectors: number): void => {
      const form = { rows: height, panels, vectors }
      f.call(defineTile(module, math, form), k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel, n) // prettier-ignore
    }
    const advance = (panels: number): void => {
      b.inc(bPanel.mul(panels))
      c.inc(panels * panelBytes)
      start.inc(startPanel.mul(panels))
      n.set(n.sub(panels * math.columns))
    }
    // Few rows take several panels at once: one panel alone has too few sums to hide the latency of adding.
    for (const [height, panels] of [
      [1, 4],
      [2, 2],
    ])
      // prettier-ignore
      f.if(rows.eq(height), () =>
        f.while(
          () => n.ge(panels * math.columns),
          () => {
            tile(height, panels, 2)
            advance(panels)
          },
        ),
      )
    const choose = (height: number, vectors: number): void => {
      if (height === 1) return tile(1, 1, vectors)
      f.if(rows.eq(height), () => tile(height, 1, vectors), () => choose(height - 1, vectors)) // prettier-ignore
    }
    f.while(
      () => n.gt(math.lanes),
      () => {
        choose(math.rows, 2)
        advance(1)
      },
    )
    f.if(n.gt(0), () => choose(math.rows, 1))
  })
}

// Fewer rows go into strips that are as equal as can be: what narrow tiles leave over would weigh too much.
const leastRows = 32

/** Where few columns are asked for: does most rows of a block, and leaves its parameters at the rest. */
function emitNarrow(f: FunctionBuilder, module: ModuleBuilder, math: Arithmetic): void {
  const [m, n, , a, aRow, , , , , c, cRow, start, startRow] = f.args
  const choose = (vectors: number): void => {
    const some = (): void => {
      const rows = f.keep(m.sub(m.rem(narrowRows(math, vectors))))
      f.call(defineNarrow(module, math, vectors), rows, ...f.args.slice(1, 14))
      m.set(m.sub(rows))
      a.inc(rows.mul(aRow))
      c.inc(rows.mul(cRow))
      start.inc(rows.mul(startRow))
    }
    if (vectors === 1) some()
    else f.if(n.gt((vectors - 1) * math.lanes), some, () => choose(vectors - 1))
  }
  choose(narrowVectors)
}

/**
 * `block(m, n, k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel, aScratch)`: all rows, in strips as
 * equal as can be. The panels of b pass by once a strip.
 */
function defineBlock(module: ModuleBuilder, math: Arithmetic): FunctionBuilder {
  return define(module, `block ${math.dtype}`, 15, (f, args) => {
    const [m, n, k, a, aRow, aStep, b, bStep, bPanel, c, cRow, start, startRow, startPanel, aScratch] = args
    f.if(m.ge(leastRows).and(n.le(narrowVectors * math.lanes)), () => emitNarrow(f, module, math))
    const strips = f.keep(m.add(math.rows - 1).div(math.rows))
    f.times(strips, (i) => {
      // Rows that are left over the strips that are left, rounded up.
      const rows = f.keep(m.add(strips).sub(i).sub(1).div(strips.sub(i)))
      const strip = (from: Operand, row: Operand, step: Operand): void =>
        f.call(defineStrip(module, math), rows, n, k, from, row, step, b, bStep, bPanel, c, cRow, start, startRow, startPanel) // prettier-ignore
      f.if(
        aScratch,
        () => {
          f.call(defineBand(module, math), rows, k, a, aRow, aStep, aScratch)
          const flat = f.keep(aStep.eq(math.size)) // prettier-ignore
          strip(aScratch, f.select(flat, k.mul(math.size), math.size), f.select(flat, math.size, rows.mul(math.size)))
        },
        () => strip(a, aRow, aStep),
      )
      m.set(m.sub(rows))
      a.inc(rows.mul(aRow))
      c.inc(rows.mul(cRow))
      start.inc(rows.mul(startRow))
    })
  })
}

function definePrepack(module: ModuleBuilder, math: Arithmetic): FunctionBuilder {
  return define(module, `prepack ${math.size}`, 6, (f, [n, k, b, bRow, bColumn, out]) => {
    const row = f.keep(n.add(math.columns - 1).and(-math.columns).mul(math.size)) // prettier-ignore
    eachDepth(f, math, k, (from, depth) => {
      f.call(definePack(module, math), n, depth, b.add(from.mul(bRow)), bRow, bColumn, out)
      out.inc(depth.mul(row))
    })
  })
}

/** Where the sums of a block begin: address, and strides of its rows and panels. */
type Start = readonly [at: Local, row: Local, panel: Local]

/** At `start` in the first block along k (0: zeros), later at what c holds by then. `column`: bytes from the first column. */
function startOf(
  f: FunctionBuilder,
  zero: number,
  first: Value,
  start: Local,
  startRow: Local,
  c: Value,
  cRow: Local,
  column: Value,
): Start {
  const given = f.select(start, start.add(column), zero)
  return [
    f.keep(f.select(first, given, c)),
    f.keep(f.select(first, f.select(start, startRow, 0), cRow)),
    f.keep(f.select(first, f.select(start, panelBytes, 0), panelBytes)),
  ]
}

function defineMultiplyPacked(module: ModuleBuilder, math: Arithmetic, zero: number): FunctionBuilder {
  return define(module, `multiply packed ${math.dtype}`, 10, (f, args) => {
    const [m, n, k, a, aRow, packed, c, cRow, start, startRow] = args
    const { size } = math
    const row = f.keep(n.add(math.columns - 1).and(-math.columns).mul(size)) // prettier-ignore
    eachWidth(f, math, n, (fromN, width) =>
      eachDepth(f, math, k, (fromK, depth) => {
        const column = f.keep(fromN.mul(size))
        const to = f.keep(c.add(column))
        const begin = startOf(f, zero, fromK.eq(0), start, startRow, to, cRow, column)
        const b = packed.add(fromK.mul(row)).add(column.mul(depth))
        const from = a.add(fromK.mul(size))
        const panel = depth.mul(panelBytes)
        f.call(
          defineBlock(module, math),
          m,
          width,
          depth,
          from,
          aRow,
          size,
          b,
          panelBytes,
          panel,
          to,
          cRow,
          ...begin,
          0,
        )
      }),
    )
  })
}

/** One product, as `products` says, blocked along n and k. */
function defineProduct(module: ModuleBuilder, math: Arithmetic, zero: number): FunctionBuilder {
  return define(module, `product ${math.dtype}`, 15, (f, args) => {
    const [m, n, k, a, aRow, aStep, b, bRow, bColumn, c, cRow, start, startRow, bScratch, aScratch] = args
    const { size } = math
    const block = defineBlock(module, math)
    const inPlace = f.keep(f.op("i32.eqz", bScratch))
    f.if(inPlace.and(bColumn.ne(size)), () => {
      const [at, row, panel] = startOf(f, zero, f.i32(1), start, startRow, c, cRow, f.i32(0))
      f.if(aScratch, () => {
        f.call(defineBand(module, math), 1, k, a, aRow, aStep, aScratch)
        a.set(aScratch)
      })
      f.call(defineDots(module, math), m, n, k, a, aRow, b, bColumn, c, cRow, at, row, panel)
      f.return()
    })
    eachWidth(f, math, n, (fromN, width) =>
      eachDepth(f, math, k, (fromK, depth) => {
        const column = f.keep(fromN.mul(size))
        const to = f.keep(c.add(column))
        const begin = startOf(f, zero, fromK.eq(0), start, startRow, to, cRow, column)
        const at = f.keep(b.add(fromK.mul(bRow)).add(fromN.mul(bColumn)))
        const from = f.keep(a.add(fromK.mul(aStep)))
        const multiply = (packed: Value, step: Operand, panel: Operand): void =>
          f.call(block, m, width, depth, from, aRow, aStep, packed, step, panel, to, cRow, ...begin, aScratch)
        f.if(
          inPlace,
          () => multiply(at, bRow, panelBytes),
          () => {
            f.call(definePack(module, math), width, depth, at, bRow, bColumn, bScratch)
            multiply(bScratch, panelBytes, depth.mul(panelBytes))
          },
        )
      }),
    )
  })
}

function defineProducts(module: ModuleBuilder, math: Arithmetic, zero: number): FunctionBuilder {
  return define(module, `products ${math.dtype}`, 20, (f, args) => {
    const [count, aBatch, bBatch, cBatch, startBatch, m, n, k, a, aRow, aStep, b, bRow, bColumn, c, cRow, start] = args
    const product = defineProduct(module, math, zero)
    const rest = args.slice(17)
    f.times(count, () => {
      f.call(product, m, n, k, a, aRow, aStep, b, bRow, bColumn, c, cRow, start, ...rest)
      a.inc(aBatch)
      b.inc(bBatch)
      c.inc(cBatch)
      start.inc(startBatch)
    })
  })
}
