// What products of matrices need to know of a dtype: how many elements a vector holds, and how they are multiplied and added.
import type { FunctionBuilder, Local, Value } from "../assembler/function.js"
import type { Engine } from "../engine.js"

/** Dtypes that products are computed in. */
export type ProductDType = "float32" | "float64" | "int32"

/** Bytes of one row of a panel: two vectors, whatever they hold. */
export const panelBytes = 32
/** Most rows of a register tile: with two vectors of columns 12 accumulators, and 3 of the 15 registers left for operands. */
export const mostRows = 6

/** Vector arithmetic on one dtype. */
export interface Arithmetic {
  readonly dtype: ProductDType
  /** Bytes of an element. */
  readonly size: number
  /** Elements of a vector. */
  readonly lanes: number
  /** Rows of the largest register tile: without fused multiply-add products need a register of their own. */
  readonly rows: number
  /** Columns of a panel of packed b. */
  readonly columns: number
  /** Most rows of b that are multiplied at a time: a panel of so many stays in the first-level cache. */
  readonly depth: number
  /** Most columns of b that are multiplied at a time: so many panels stay in the second-level cache. */
  readonly width: number
  /** Loads one element into all lanes, or into the first with zeros behind it. */
  readonly splat: string
  readonly first: string
  add(f: FunctionBuilder, x: Value, y: Value): Value
  /** `x * y + sum` in every lane. */
  madd(f: FunctionBuilder, x: Value, y: Value, sum: Value): Value
}

const vectorTypes = { float32: "f32x4", float64: "f64x2", int32: "i32x4" } as const

/** The arithmetic of `dtype`, with fused multiply-add where the engine has it. */
export function arithmetic(engine: Engine, dtype: ProductDType): Arithmetic {
  const type = vectorTypes[dtype]
  const size = dtype === "float64" ? 8 : 4
  const fused = engine.relaxed && dtype !== "int32"
  return {
    dtype,
    size,
    lanes: 16 / size,
    rows: fused ? mostRows : mostRows - 1,
    columns: panelBytes / size,
    depth: 2048 / size,
    width: 512,
    splat: `v128.load${8 * size}_splat`,
    first: `v128.load${8 * size}_zero`,
    add: (f, x, y) => f.op(`${type}.add`, x, y),
    madd: (f, x, y, sum) =>
      fused ? f.op(`${type}.relaxed_madd`, x, y, sum) : f.op(`${type}.add`, f.op(`${type}.mul`, x, y), sum),
  }
}

/** Swaps rows and columns of as many vectors as each has lanes. */
export function transpose(f: FunctionBuilder, vectors: readonly Local[]): Value[] {
  const both = (lanes: readonly number[], x: Value, y: Value): Value => f.shuffle32(x, y, lanes)
  if (vectors.length === 2) {
    const [x, y] = vectors
    return [both([0, 1, 4, 5], x, y), both([2, 3, 6, 7], x, y)]
  }
  const [x, y, z, w] = vectors
  const low = [f.keep(both([0, 4, 1, 5], x, y)), f.keep(both([0, 4, 1, 5], z, w))] as const
  const high = [f.keep(both([2, 6, 3, 7], x, y)), f.keep(both([2, 6, 3, 7], z, w))] as const
  return [
    both([0, 1, 4, 5], ...low),
    both([2, 3, 6, 7], ...low),
    both([0, 1, 4, 5], ...high),
    both([2, 3, 6, 7], ...high),
  ]
}

/** `count` addresses in variables, the first `at`, each `step` bytes behind the one before. */
export function addresses(f: FunctionBuilder, at: Local, step: Value, count: number): Local[] {
  const list = [at]
  while (list.length < count) list.push(f.keep(list[list.length - 1].add(step)))
  return list
}

/** Stores the first `count` elements of a vector, at least one and not all; nothing behind them is touched. */
export function storePart(
  f: FunctionBuilder,
  { lanes }: Arithmetic,
  at: Value,
  x: Value,
  count: Value,
  offset = 0,
): void {
  if (lanes === 2) return f.store("v128.store64_lane", at, x, offset, 0)
  f.if(
    count.ge(2),
    () => {
      f.store("v128.store64_lane", at, x, offset, 0)
      f.if(count.eq(3), () => f.store("v128.store32_lane", at, x, offset + 8, 2))
    },
    () => f.store("v128.store32_lane", at, x, offset, 0),
  )
}
