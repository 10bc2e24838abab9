// Runs products of matrices that are given by addresses: decides what is packed and how the work is cut. Knows no views.
import { byteSize } from "@rondo/backend"
import type { Call, Compiled, Engine } from "../engine.js"
import { mostRows } from "./arithmetic.js"
import { bandBytes, gemmCode, type ProductDType, scratchBytes } from "./gemm.js"

export type { ProductDType } from "./gemm.js"

/** A batch of matrices: the address of the first element, and strides in bytes. */
export interface Operand {
  readonly at: number
  readonly row: number
  readonly column: number
  readonly batch: number
}

/** `out = start + a b` for `count` products; without `start` from zero. */
export interface Product {
  readonly dtype: ProductDType
  readonly count: number
  readonly m: number
  readonly n: number
  readonly k: number
  /** Elements of a row lie side by side, unless `n` is 1. */
  readonly out: Operand
  readonly a: Operand
  readonly b: Operand
  /** Elements of a row lie side by side, unless `n` is 1. May be `out`. */
  readonly start: Operand | null
}

/** The same product with all matrices transposed. */
export function transposed(product: Product): Product {
  const swap = ({ at, row, column, batch }: Operand): Operand => ({ at, row: column, column: row, batch })
  const { dtype, count, m, n, k, a, b, out, start } = product
  return { dtype, count, m: n, n: m, k, a: swap(b), b: swap(a), out: swap(out), start: start && swap(start) }
}

/** How a product is done: bytes of scratch for b and a (0: read in place), and the stride of b's columns that says which way. */
interface Route {
  readonly bBytes: number
  readonly aBytes: number
  readonly bColumn: number
}

const round = (bytes: number): number => Math.ceil(bytes / 64) * 64

/**
 * Depends on the product's whole size, before it is cut: how it is cut must not change results. The limits are where one way
 * began to win over the other on a core with 48 KiB and 2 MiB of cache; near them it hardly matters.
 */
function route({ dtype, m, n, k, a, b }: Product): Route {
  const size = byteSize(dtype)
  const bBytes = n * k * size
  if (b.row === size && (a.column === size || m === 1) && (n === 1 ? m === 1 : b.column !== size)) {
    // Dot products need no packing, but their lanes must be summed in the end.
    const most = bBytes > 2 ** 20 ? 16 : k < 64 ? 4 : 8
    const aBytes = a.column === size ? 0 : round(k * size + 16)
    if (m <= most) return { bBytes: 0, aBytes, bColumn: n === 1 ? 0 : b.column }
  }
  const bColumn = n === 1 ? size : b.column
  // Packing pays where b is read often and does not lie in the cache anyway.
  const inPlace = bColumn === size && (m <= 32 || bBytes <= 2 ** 18)
  // Rows of a that lie far apart fall on each other in the cache.
  const spread = a.column === size ? n >= 128 && Math.abs(a.row) >= 4096 : n >= 64 && Math.abs(a.column) >= 1024
  return {
    bBytes: inPlace ? 0 : round(scratchBytes(dtype, n, k)),
    aBytes: spread && m > 6 ? round(bandBytes) : 0,
    bColumn,
  }
}

/** Multiplications and additions in a nanosecond of one thread, about. */
const speed: Record<ProductDType, number> = { float32: 25, float64: 12, int32: 12 }

/** Runs the products. */
export function multiply(engine: Engine, product: Product): void {
  const { dtype, count, m, n, k, out, a, b, start } = product
  const fn = gemmCode(engine, dtype).products
  const way = route(product)
  const pieces = engine.pieces((count * m * n * k) / speed[dtype])
  if (pieces > 1) return runPieces(engine, fn, product, way, pieces)
  const { aBytes, bBytes, bColumn } = way
  const scratch = aBytes + bBytes > 0 ? engine.takeScratch(aBytes + bBytes) : 0
  try {
    // prettier-ignore
    engine.call(fn, [
      count, a.batch, b.batch, out.batch, start ? start.batch : 0, m, n, k, a.at, a.row, a.column, b.at, b.row, bColumn,
      out.at, out.row, start ? start.at : 0, start ? start.row : 0, bBytes && scratch, aBytes && scratch + bBytes,
    ])
  } finally {
    if (scratch) engine.giveScratch(scratch)
  }
}

/** Into how many rows and columns of pieces an output is cut: what is packed is packed by every piece that reads it. */
function grid(m: number, n: number, { aBytes, bBytes }: Route, pieces: number): [rows: number, columns: number] {
  if (n >= m) {
    const columns = Math.min(pieces, Math.ceil(n / (aBytes ? 256 : 64)))
    return [Math.min(Math.ceil(pieces / columns), Math.ceil(m / mostRows)), columns]
  }
  const rows = Math.min(pieces, Math.ceil(m / (bBytes ? 256 : 4 * mostRows)))
  return [rows, Math.min(Math.ceil(pieces / rows), Math.ceil(n / 16))]
}

/** Cuts batches, or else every output, into calls with scratch of their own. */
function runPieces(engine: Engine, fn: Compiled, product: Product, way: Route, pieces: number): void {
  const { dtype, count, m, n, k, out, a, b, start } = product
  const byBatch = count >= pieces
  const [tall, wide] = byBatch ? [1, 1] : grid(m, n, way, pieces)
  // Whole strips of rows, whole cache lines of columns.
  const line = 64 / byteSize(dtype)
  const [batches, rows, columns] = [
    byBatch ? Math.ceil(count / pieces) : count,
    Math.ceil(m / tall / mostRows) * mostRows,
    Math.ceil(n / wide / line) * line,
  ]
  const { aBytes, bColumn } = way
  const bBytes = way.bBytes && round(scratchBytes(dtype, Math.min(columns, n), k))
  const parts = Math.ceil(count / batches) * Math.ceil(m / rows) * Math.ceil(n / columns)
  const scratch = aBytes + bBytes > 0 ? engine.heap.alloc((aBytes + bBytes) * parts) : 0
  const calls: Call[] = []
  const at = (operand: Operand, batch: number, row: number, column: number): number =>
    operand.at + batch * operand.batch + row * operand.row + column * operand.column
  for (let batch = 0; batch < count; batch += batches)
    for (let row = 0; row < m; row += rows)
      for (let column = 0; column < n; column += columns) {
        const bAt = scratch + calls.length * (aBytes + bBytes)
        // prettier-ignore
        const args = [
          Math.min(batches, count - batch), a.batch, b.batch, out.batch, start ? start.batch : 0,
          Math.min(rows, m - row), Math.min(columns, n - column), k,
          at(a, batch, row, 0), a.row, a.column, at(b, batch, 0, column), b.row, bColumn,
          at(out, batch, row, column), out.row, start ? at(start, batch, row, column) : 0, start ? start.row : 0,
          bBytes && bAt, aBytes && bAt + bBytes,
        ]
        calls.push({ fn, args })
      }
  try {
    engine.run(calls)
  } finally {
    if (scratch) engine.heap.free(scratch)
  }
}
