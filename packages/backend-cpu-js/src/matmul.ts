// The matmul kernel: batches, bias, accumulation and epilogue around the products of gemm.ts.
import {
  computeDType,
  type DType,
  type HostArray,
  joinRows,
  kernels,
  type MatmulKernel,
  sizeOf,
  type View,
} from "@rondo/backend"
import { floatProduct, type Matrix, type Product } from "./gemm.js"
import { planOf } from "./interpreter.js"
import { family, type FloatArray, type IntArray, isHalf } from "./loops/loop.js"
import { evaluateInto, runMap } from "./map.js"
import { elements, scratchView } from "./storage.js"
import { eachRow } from "./strided.js"

/** Integers: plain loops; sums wrap in the output's dtype. */
function intProduct({ m, n, k, a, b, out, bias, old }: Product<IntArray>): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0
      let x = a.at + i * a.rowStep
      let y = b.at + j * b.colStep
      for (let p = 0; p < k; p++, x += a.colStep, y += b.rowStep) sum = (sum + Math.imul(a.array[x], b.array[y])) | 0
      if (bias) sum += bias.array[bias.at + i * bias.rowStep + j * bias.colStep]
      if (old) sum += old.array[old.at + i * old.rowStep + j * old.colStep]
      out.array[out.at + i * out.rowStep + j * out.colStep] = sum
    }
  }
}

function int64Product({ m, n, k, a, b, out, bias, old }: Product<BigInt64Array>): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0n
      let x = a.at + i * a.rowStep
      let y = b.at + j * b.colStep
      for (let p = 0; p < k; p++, x += a.colStep, y += b.rowStep) sum = BigInt.asIntN(64, sum + a.array[x] * b.array[y])
      if (bias) sum += bias.array[bias.at + i * bias.rowStep + j * bias.colStep]
      if (old) sum += old.array[old.at + i * old.rowStep + j * old.colStep]
      out.array[out.at + i * out.rowStep + j * out.colStep] = sum
    }
  }
}

/** Converts one view into another. */
function convert(from: View, to: View): void {
  runMap(kernels.copy(from.dtype, to.dtype), [from], [to], [])
}

/** The view itself, or for 16-bit floats a float32 copy to compute with. */
function computable(view: View): View {
  if (!isHalf(view.dtype)) return view
  const copy = scratchView(view.shape, "float32")
  convert(view, copy)
  return copy
}

function matrixOf(view: View, array: HostArray, at: number): Matrix<HostArray> {
  const rank = view.shape.length
  return { array, at, rowStep: view.strides[rank - 2], colStep: view.strides[rank - 1] }
}

/** Computes `out = a @ b + bias + old` for every batch; dtypes agree and none is a 16-bit float. */
function multiply(out: View, a: View, b: View, bias: View | null, old: View | null): void {
  const views = joinRows([out, a, b, ...(bias ? [bias] : []), ...(old ? [old] : [])])
  const arrays = views.map(elements)
  const rank = views[0].shape.length
  const [m, n] = views[0].shape.slice(-2)
  const k = views[1].shape[rank - 1]
  if (m === 0 || n === 0) return
  const batchStrides = views.map((view) => view.strides.slice(0, -2))
  const offsets = views.map((view) => view.offset)
  const kind = family(a.dtype)
  eachRow(views[0].shape.slice(0, -2), batchStrides, offsets, (count, at, step) => {
    for (let i = 0; i < count; i++) {
      const matrix = (v: number) => matrixOf(views[v], arrays[v], at[v] + i * step[v])
      const product = {
        m,
        n,
        k,
        out: matrix(0),
        a: matrix(1),
        b: matrix(2),
        bias: bias ? matrix(3) : null,
        old: old ? matrix(bias ? 4 : 3) : null,
      }
      if (kind === "float") floatProduct(product as Product<FloatArray>)
      else if (kind === "int") intProduct(product as Product<IntArray>)
      else int64Product(product as Product<BigInt64Array>)
    }
  })
}

/** The dtype in which the epilogue reads the finished value. */
function valueDType(kernel: MatmulKernel, output: View): DType {
  if (!kernel.epilogue) return output.dtype
  const node = planOf(kernel, [kernel.epilogue]).nodes.find((x) => x.kind === "input" && x.index === 0)
  return node ? node.dtype : output.dtype
}

/** Multiplies the last two dims of a and b. */
export function runMatmul(
  kernel: MatmulKernel,
  inputs: readonly View[],
  output: View,
  scalars: readonly number[],
): void {
  if (sizeOf(output.shape) === 0) return
  const [a, b] = inputs
  const bias = kernel.bias ? inputs[2] : null
  const further = inputs.slice(kernel.bias ? 3 : 2)
  const shares = (view: View) => view.storage === output.storage
  const dtype = valueDType(kernel, output)
  const inOutput = dtype === output.dtype && !(kernel.epilogue && further.some(shares))
  const value = inOutput ? output : scratchView(output.shape, dtype)
  const straight = dtype === computeDType(a.dtype) && !(inOutput && (shares(a) || shares(b)))
  const target = straight ? value : scratchView(output.shape, computeDType(a.dtype))
  const old = kernel.accumulate ? computable(output) : null
  multiply(target, computable(a), computable(b), bias && computable(bias), old)
  if (target !== value) convert(target, value)
  if (kernel.epilogue) evaluateInto(planOf(kernel, [kernel.epilogue]), [value, ...further], [output], scalars)
}
