// The kernels: the whole list of what a backend must be able to run, as plain data. Nothing here runs anything.
import { computeDType, type DType } from "./dtype.js"
import { e, type Expr } from "./expr.js"
import type { RecurrentCell } from "./recurrent.js"
import { program } from "./render.js"

/** Evaluates one expression an output for every element. All inputs and outputs have one shape (stride 0 broadcasts). */
export interface MapKernel {
  readonly kind: "map"
  /** One expression an output, of the output's dtype; input and scalar numbers refer to the run's lists. */
  readonly exprs: readonly Expr[]
}

/** How a reduction puts elements together. */
export type ReduceOperator = "sum" | "prod" | "max" | "min" | "argmax" | "argmin" | "any" | "all"

/**
 * Reduces an expression over `dims`; the output keeps them with size 1. Sums and products of floats are carried in at least
 * float32 with pairwise accuracy or better. max and min hand on NaN. argmax and argmin take one dim, write int32, return the
 * first of equals, and a NaN wins. any and all read and write bool. An empty sum is 0, product 1, any false, all true.
 */
export interface ReduceKernel {
  readonly kind: "reduce"
  readonly op: ReduceOperator
  readonly dims: readonly number[]
  readonly expr: Expr
}

/**
 * `out[..., M, N] = a[..., M, K] @ b[..., K, N]`, batch dims equal (stride 0 broadcasts). Inputs: a, b, then the bias of the
 * output's shape if `bias`, then whatever the epilogue reads. `accumulate` adds to what the output holds. The epilogue sees
 * the finished value as input 0 and the further inputs as 1, 2, ….
 */
export interface MatmulKernel {
  readonly kind: "matmul"
  readonly bias?: boolean
  readonly accumulate?: boolean
  readonly epilogue?: Expr
}

/**
 * `out[i][j] = x[index[i][j]][j]` for dim 0 and so on (torch.gather). Inputs: x, index (int32 or int64). Indices outside
 * `0 … size-1` raise an IndexError before anything is written, or, on a queueing device, at the next read.
 */
export interface GatherKernel {
  readonly kind: "gather"
  readonly dim: number
}

/**
 * The reverse: `out[index[i][j]][j] = source[i][j]`, added or replaced, into what the output holds already. Inputs: index,
 * source. Equal indices are added, or the last in row-major order is kept: the result does not depend on scheduling.
 */
export interface ScatterKernel {
  readonly kind: "scatter"
  readonly dim: number
  readonly mode: "add" | "replace"
}

/** Running sum, product, maximum or minimum along `dim`; max and min write int32 positions (last of equals) as a second output. */
export interface ScanKernel {
  readonly kind: "scan"
  readonly op: "sum" | "prod" | "max" | "min"
  readonly dim: number
  readonly reverse?: boolean
}

/** Sorts along the last dim, stably, NaN greatest. Outputs: values and int32 positions. */
export interface SortKernel {
  readonly kind: "sort"
  readonly descending: boolean
}

/**
 * A whole layer over a whole sequence, in one direction. Inputs: projected [T, B, G H] (x W_ih^T + b_ih), weight W_hh [G H, H],
 * bias b_hh [G H] if `bias`, then h [B, H] and, for LSTM, c [B, H]. Outputs: output [T, B, H]; for LSTM the cells
 * [T, B, H]; and with `save`, where the cell saves anything, that as [T, B, S H]. `reverse` runs from the last time to the
 * first; output t then belongs to time t all the same. Its meaning is the step by step composition of `recurrentCells`.
 */
export interface RecurrentKernel {
  readonly kind: "recurrent"
  readonly cell: RecurrentCell
  readonly bias: boolean
  readonly reverse: boolean
  readonly save: boolean
}

/**
 * The gradients of {@link RecurrentKernel}. Inputs: the gradients of output [T, B, H], of the last h [B, H] and, for LSTM, of the
 * last c [B, H] (any of them may be one zero with strides 0); weight [G H, H]; output; h; for LSTM cells and c; then what was
 * saved. Outputs: gradient of projected [T, B, G H]; for GRU that of the hidden gates [T, B, G H] (for the others they
 * are equal); of h; for LSTM of c. Weight gradients are products of these with the states, which the caller forms once.
 */
export interface RecurrentBackwardKernel {
  readonly kind: "recurrentBackward"
  readonly cell: RecurrentCell
  readonly reverse: boolean
}

/** Everything that can be run. The value itself is the key of whatever a backend compiles from it. */
export type Kernel =
  | MapKernel
  | ReduceKernel
  | MatmulKernel
  | GatherKernel
  | ScatterKernel
  | ScanKernel
  | SortKernel
  | RecurrentKernel
  | RecurrentBackwardKernel

/** All kinds of kernel, by the name in their `kind`. */
export const kernelKinds = [
  "map",
  "reduce",
  "matmul",
  "gather",
  "scatter",
  "scan",
  "sort",
  "recurrent",
  "recurrentBackward",
] as const satisfies Kernel["kind"][]

const keys = new WeakMap<Kernel, string>()

/**
 * A text that is equal for equal kernels: the key for caches of compiled code.
 *
 * @example
 * ```ts
 * const x = e.input(0, "float32")
 * const twice = () => kernelKey({ kind: "map", exprs: [e.add(x, x)] })
 * console.log(twice() === twice()) // true
 * ```
 */
export function kernelKey(kernel: Kernel): string {
  let key = keys.get(kernel)
  if (key === undefined) keys.set(kernel, (key = makeKey(kernel)))
  return key
}

function makeKey(kernel: Kernel): string {
  switch (kernel.kind) {
    case "map":
      return `map ${program(kernel.exprs).key}`
    case "reduce":
      return `reduce ${kernel.op} ${kernel.dims.join(",")} ${program([kernel.expr]).key}`
    case "matmul":
      return `matmul ${kernel.bias ? "b" : ""}${kernel.accumulate ? "a" : ""} ${kernel.epilogue ? program([kernel.epilogue]).key : ""}`
    case "gather":
      return `gather ${kernel.dim}`
    case "scatter":
      return `scatter ${kernel.dim} ${kernel.mode}`
    case "scan":
      return `scan ${kernel.op} ${kernel.dim} ${kernel.reverse ? "reverse" : ""}`
    case "sort":
      return `sort ${kernel.descending ? "descending" : ""}`
    case "recurrent":
      return `recurrent ${kernel.cell}${kernel.bias ? " bias" : ""}${kernel.reverse ? " reverse" : ""}${kernel.save ? " save" : ""}`
    case "recurrentBackward":
      return `recurrentBackward ${kernel.cell}${kernel.reverse ? " reverse" : ""}`
    default:
      return kernel satisfies never
  }
}

const made = new Map<string, Kernel>()

/**
 * The one kernel under this name, made at the first call: backends find compiled code by the kernel's identity first.
 * `name` must say everything that `make` depends on.
 */
export function cachedKernel<K extends Kernel>(name: string, make: () => K): K {
  let kernel = made.get(name)
  if (!kernel) made.set(name, (kernel = make()))
  return kernel as K
}

/** Kernels that every package needs. */
export const kernels = {
  /** Copies input 0, converting it. */
  copy: (from: DType, to: DType): MapKernel =>
    cachedKernel(`copy ${from} ${to}`, () => ({ kind: "map", exprs: [e.cast(e.input(0, from), to)] })),
  /** Fills with scalar 0. */
  fill: (dtype: DType): MapKernel =>
    cachedKernel(`fill ${dtype}`, () => ({ kind: "map", exprs: [e.cast(e.scalar(0, computeDType(dtype)), dtype)] })),
  /** A plain product of matrices. */
  matmul: { kind: "matmul" } as MatmulKernel,
  /** A product plus a bias. */
  matmulBias: { kind: "matmul", bias: true } as MatmulKernel,
}
