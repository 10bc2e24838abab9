// The matmul kernel: batches, bias, accumulation, epilogue and dtypes around the products of gemm/.
import {
  byteSize,
  cachedKernel,
  collapse,
  type DType,
  e,
  joinRows,
  type MapKernel,
  type MatmulKernel,
  program,
  sizeOf,
  type View,
} from "@rondo/backend"
import type { Engine } from "./engine.js"
import { multiply, type Operand, type Product, type ProductDType, transposed } from "./gemm/multiply.js"
import { copyView, runMap } from "./map.js"
import { withScratch } from "./scratch.js"
import { addressOf } from "./storage.js"

/** Adds a view to another. */
function addTo(engine: Engine, from: View, to: View): void {
  const { dtype } = to
  const kernel = cachedKernel(`matmul bias ${dtype}`, (): MapKernel => {
    return { kind: "map", exprs: [e.add(e.input(0, dtype), e.input(1, dtype))] }
  })
  runMap(engine, kernel, [to, from], [to], [])
}

/** The rows and columns of a view; its batches are added by those who know their strides. */
function operand(view: View, size: number, rowStride: number, batchStride: number): Operand {
  const column = view.strides[view.strides.length - 1] * size
  return { at: addressOf(view), row: rowStride * size, column, batch: batchStride * size }
}

/** Runs products of any number of batch dims; `start` lies as `product` wants it. Views are of one product dtype. */
function multiplyBatches(engine: Engine, out: View, a: View, b: View, start: View | null): void {
  const rank = out.shape.length
  // Products of 32 bits are the same whether they are read with a sign or without.
  const dtype = out.dtype === "uint32" ? "int32" : (out.dtype as ProductDType)
  const size = byteSize(dtype)
  const n = out.shape[rank - 1]
  const k = a.shape[rank - 1]
  const row = rank - 2
  const own = (view: View): Operand => operand(view, size, view.strides[row], 0)
  if (rank === 2) {
    const from = start && own(start)
    return multiplyOriented(engine, {
      dtype,
      count: 1,
      m: out.shape[0],
      n,
      k,
      out: own(out),
      a: own(a),
      b: own(b),
      start: from,
    })
  }
  const views = start ? [out, a, b, start] : [out, a, b]
  const nest = collapse(out.shape.slice(0, -2), views.map((view) => view.strides.slice(0, -2))) // prettier-ignore
  const inner = nest.shape.length - 1
  const batch = (v: number): number => (inner < 0 ? 0 : nest.strides[v][inner])
  const all = views.map((view, v) => operand(view, size, view.strides[row], batch(v)))
  const outer = inner < 0 ? [] : nest.shape.slice(0, inner)
  const count = inner < 0 ? 1 : nest.shape[inner]
  eachIndex(outer, (index) => {
    const [to, x, y, from] = all.map((one, v): Operand => {
      const offset = index.reduce((sum, i, d) => sum + i * nest.strides[v][d], 0)
      return { ...one, at: one.at + offset * size }
    })
    multiplyOriented(engine, { dtype, count, m: out.shape[row], n, k, out: to, a: x, b: y, start: from ?? null })
  })
}

/** Calls `visit` with every index of `shape`, the last dim fastest. */
function eachIndex(shape: readonly number[], visit: (index: readonly number[]) => void): void {
  const index = shape.map(() => 0)
  for (;;) {
    visit(index)
    let d = shape.length - 1
    while (d >= 0 && ++index[d] === shape[d]) index[d--] = 0
    if (d < 0) return
  }
}

/** Whether `out` is better computed as its transpose: its columns lie side by side, or it is one. */
const turned = (n: number, m: number, row: number, column: number, size: number): boolean =>
  n === 1 ? m > 1 && row === size : column !== size

function multiplyOriented(engine: Engine, product: Product): void {
  const { m, n, out, dtype } = product
  multiply(engine, turned(n, m, out.row, out.column, byteSize(dtype)) ? transposed(product) : product)
}

/** Whether sums can be kept in a view as they are: it lies side by side along rows or columns. */
function isPlain({ shape, strides }: View): boolean {
  const rank = shape.length
  return strides[rank - 1] === 1 || strides[rank - 2] === 1 || shape[rank - 1] === 1 || shape[rank - 2] === 1
}

/** Whether sums in `out` can begin at `bias`: it lies side by side along the same dim as `out`. */
function canStart(out: View, bias: View): boolean {
  const rank = out.shape.length
  const [m, n] = [out.shape[rank - 2], out.shape[rank - 1]]
  const isTurned = turned(n, m, out.strides[rank - 2], out.strides[rank - 1], 1)
  return isTurned ? m === 1 || bias.strides[rank - 2] === 1 : n === 1 || bias.strides[rank - 1] === 1
}

/** `out = a b + bias`, or with `accumulate` added to what `out` holds. All of one product dtype; `out` is neither a nor b. */
function multiplyInto(engine: Engine, views: readonly View[], accumulate: boolean): void {
  const joined = joinRows(views)
  const [out, a, b, bias] = isPlain(joined[0]) ? joined : views
  let start = accumulate ? out : null
  if (bias && !accumulate && canStart(out, bias)) start = bias
  else if (bias) {
    if (accumulate) addTo(engine, bias, out)
    else copyView(engine, bias, out)
    start = out
  }
  multiplyBatches(engine, out, a, b, start)
}

/** A matmul's epilogue as a map, and the dtype in which it reads the product. */
interface Epilogue {
  readonly map: MapKernel
  readonly dtype: DType | null
}
const epilogues = new WeakMap<MatmulKernel, Epilogue>()

function epilogueOf(kernel: MatmulKernel): Epilogue | null {
  if (!kernel.epilogue) return null
  let made = epilogues.get(kernel)
  if (!made) {
    const node = program([kernel.epilogue]).nodes.find((one) => one.kind === "input" && one.index === 0)
    made = { map: { kind: "map", exprs: [kernel.epilogue] }, dtype: node ? node.dtype : null }
    epilogues.set(kernel, made)
  }
  return made
}

/** Whether products are computed in `dtype`. */
const isProduct = (dtype: DType): boolean => dtype !== "uint8" && dtype !== "bool"

/** Multiplies the last two dims of a and b. */
export function runMatmul(
  engine: Engine,
  kernel: MatmulKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  if (sizeOf(output.shape) === 0) return
  const [a, b] = inputs
  const bias = kernel.bias ? inputs[2] : null
  const accumulate = kernel.accumulate ?? false
  // Outputs are all of an input or none of it.
  const at = addressOf(output)
  const taken = sizeOf(a.shape) > 0 && (addressOf(a) === at || addressOf(b) === at)
  if (!kernel.epilogue && isProduct(output.dtype) && a.dtype === output.dtype && !taken && isPlain(output)) {
    return multiplyInto(engine, bias ? [output, a, b, bias] : [output, a, b], accumulate)
  }
  const further = inputs.slice(kernel.bias ? 3 : 2)
  withScratch(engine, (scratch) => {
    const epilogue = epilogueOf(kernel)
    const dtype = isProduct(a.dtype) ? a.dtype : "int32"
    const as = (view: View, to: DType): View => (view.dtype === to ? view : scratch.copy(view, to))
    const free = !taken && !further.some((view) => addressOf(view) === at)
    const product = free && dtype === output.dtype && isPlain(output) ? output : scratch.view(output.shape, dtype)
    if (accumulate && product !== output) copyView(engine, output, product)
    const operands = (bias ? [a, b, bias] : [a, b]).map((view) => as(view, dtype))
    multiplyInto(engine, [product, ...operands], accumulate)
    if (!epilogue) return product === output ? undefined : copyView(engine, product, output)
    // Integers narrower than what they were summed in wrap before the epilogue sees them.
    const value = as(as(product, a.dtype), epilogue.dtype ?? a.dtype)
    runMap(engine, epilogue.map, [value, ...further], [output], scalars)
  })
}
