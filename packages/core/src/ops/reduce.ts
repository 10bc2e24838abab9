// Reductions over one dim, several or all: sums, products, extremes, moments and norms, each beside its gradient.
import {
  cachedKernel,
  computeDType,
  type DType,
  DTypeError,
  e,
  isFloat,
  type ReduceKernel,
  type ReduceOperator,
  shapeText,
  ShapeError,
  sizeOf,
} from "@rondo/backend"
import { apply, execute, output } from "../apply.js"
import { onesLike } from "../creation.js"
import { defaultDType } from "../defaults.js"
import { mode, type Rule } from "../graph.js"
import { op, readDim, readDims } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { flip } from "./arranging.js"
import { abs, add, div, exp, log, mul, pow, sign, square, sub } from "./arithmetic.js"
import { eq, isinf, isnan, logicalAnd, logicalOr, ne, where } from "./logic.js"
import { permute, reshape, zerosOf } from "./movement.js"
import { cumprod } from "./scan.js"
import { cat } from "./shaping.js"
import { toDType } from "./conversion.js"

/** One dim, several, or (null, undefined) all of them. */
export type Dims = number | readonly number[] | null
/** Options of reductions. */
export interface ReduceOptions {
  /** Keep the reduced dims with size 1. */
  readonly keepdim?: boolean
}

/** Shape with the reduced dims at size 1. */
const keptShape = (shape: readonly number[], dims: readonly number[]): number[] => shape.map((size, d) => (dims.includes(d) ? 1 : size)) // prettier-ignore
const dropped = (shape: readonly number[], dims: readonly number[]): number[] =>
  shape.filter((_, d) => !dims.includes(d))

/** @internal Runs a reduce kernel; the result keeps its dims. Records nothing. */
export function reduceKept(operator: ReduceOperator, x: Tensor, dims: readonly number[], dtype: DType): Tensor {
  const out = output(x.device, keptShape(x.shape, dims), dtype)
  const carried = operator === "argmax" || operator === "argmin" ? computeDType(x.dtype) : computeDType(dtype)
  if (sizeOf(out.shape) === 0) return out
  const kernel = cachedKernel<ReduceKernel>(`${operator} ${dims.join(",")} ${x.dtype} ${carried}`, () => {
    return { kind: "reduce", op: operator, dims, expr: e.cast(e.input(0, x.dtype), carried) }
  })
  execute(kernel, [x], [out])
  return out
}

function lengthOf(x: Tensor, dims: readonly number[], keepdim: boolean | undefined): Tensor {
  const squares = output(x.device, keptShape(x.shape, dims), x.dtype)
  const carried = computeDType(x.dtype)
  const kernel = cachedKernel<ReduceKernel>(`squares of one ${dims.join(",")} ${x.dtype}`, () => {
    const value = e.cast(e.input(0, x.dtype), carried)
    return { kind: "reduce", op: "sum", dims, expr: e.mul(value, value) }
  })
  if (sizeOf(squares.shape) > 0) execute(kernel, [x], [squares])
  return finish(squares, dims, keepdim).sqrt()
}

/** Drops the reduced dims of a result, or keeps them; shares memory, unrecorded by itself. */
const finish = (out: Tensor, dims: readonly number[], keepdim: boolean | undefined): Tensor =>
  keepdim ? out : reshape(out, dropped(out.shape, dims))

/** A gradient of the result with the reduced dims back at size 1: broadcasts against the input. */
const restore = (g: Tensor, shape: readonly number[], dims: readonly number[]): Tensor =>
  reshape(g, keptShape(shape, dims))

/** Integers and bools add up in int32, uint32 too; int64 stays (PyTorch: int64 throughout, which WebGPU lacks). */
const sumDType = (dtype: DType): DType => (isFloat(dtype) || dtype === "int64" ? dtype : "int32")

function needFloat(name: string, x: Tensor): void {
  if (!isFloat(x.dtype))
    throw new DTypeError(`${name}: needs a float tensor, got ${x.dtype}; convert it with .to("float32")`)
}

function needElements(name: string, x: Tensor, dims: readonly number[]): void {
  if (dims.some((d) => x.shape[d] === 0) || (dims.length === 0 && sizeOf(x.shape) === 0)) {
    throw new ShapeError(
      `${name}: has no value over an empty dim: shape ${shapeText(x.shape)}, dims [${dims.join(", ")}]`,
    )
  }
}

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
const sumRule = (shape: readonly number[], dims: readonly number[]): Rule => ([g]) => [
  g && reshape(g, keptShape(shape, dims)).expand(shape),
] // prettier-ignore

export const sum = op(
  {
    family: "reduce",
    name: "sum",
    takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag", dtype: "dtype" } },
    doc: "Sum over `dim`. Integers add up in int32 (int64 in int64), or in the `dtype` asked for. An empty sum is 0.",
    samples: [[t(2, 3)], [t(2, 3), 1], [t(2, 3, 4), [0, -1], { keepdim: true }], [t()], [t(0, 3), 0], [t(3, 0), 0]],
    differentiable: true,
  },
  (x: Tensor, dim?: Dims, options: ReduceOptions & { readonly dtype?: DType } = {}): Tensor => {
    const source = options.dtype && options.dtype !== x.dtype ? toDType(x, options.dtype) : x
    const dims = readDims("sum", dim, source.ndim)
    const { shape } = source
    const [out] = apply({ name: "sum", keep: [], vjp: sumRule(shape, dims) }, [source], () => [
      finish(reduceKept("sum", source, dims, options.dtype ?? sumDType(source.dtype)), dims, options.keepdim),
    ])
    return out
  },
)

const meanRule = (shape: readonly number[], dims: readonly number[], count: number): Rule => ([g]) => [
  g && div(restore(g, shape, dims), count).expand(shape),
] // prettier-ignore

export const mean = op(
  { family: "reduce", name: "mean", takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag", dtype: "dtype" } }, doc: "Mean over `dim`; NaN over an empty dim.", samples: [[t(2, 3)], [t(2, 3), 0], [t(2, 3, 4), [1, 2], { keepdim: true }]], differentiable: true }, // prettier-ignore
  (x: Tensor, dim?: Dims, options: ReduceOptions & { readonly dtype?: DType } = {}): Tensor => {
    if (!options.dtype) needFloat("mean", x)
    const dims = readDims("mean", dim, x.ndim)
    const source = options.dtype ? toDType(x, options.dtype) : x
    const [{ shape }, count] = [source, sizeOf(dims.map((d) => x.shape[d]))]
    const [out] = apply({ name: "mean", keep: [], vjp: meanRule(shape, dims, count) }, [source], () => [
      div(sum(source, dims, options), count),
    ])
    return out
  },
)

const productRule =
  (shape: readonly number[], dims: readonly number[]): Rule =>
  ([g], s) => {
    if (!g) return []
    const gk = restore(g, shape, dims)
    // The selections below hide from a second derivative what two zeros of one line do to each other.
    if (mode.record) return [mul(gk, otherProducts(s.x, dims))]
    const zero = eq(s.x, 0)
    const whole = div(mul(gk, restore(s.out, shape, dims)), where(zero, 1, s.x))
    // With exactly one zero, only that element moves the product: by the product of the others.
    const others = prod(where(zero, 1, s.x), dims, { keepdim: true })
    const single = eq(sum(zero, dims, { keepdim: true }), 1)
    return [where(zero, where(single, mul(gk, others), 0), whole)]
  }

export const prod = op(
  { family: "reduce", name: "prod", takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag" } }, doc: "Product over `dim`; right gradients with zeros as well. An empty product is 1.", samples: [[t(2, 3)], [t(2, 3), 1], [t(2, 3), 0, { keepdim: true }], [t(0)]], differentiable: true }, // prettier-ignore
  (x: Tensor, dim?: Dims, options: ReduceOptions = {}): Tensor => {
    const dims = readDims("prod", dim, x.ndim)
    const { shape } = x
    const [out] = apply(
      {
        name: "prod",
        keep: ["x", "out"],
        vjp: productRule(shape, dims),
      },
      [x],
      () => [finish(reduceKept("prod", x, dims, sumDType(x.dtype)), dims, options.keepdim)],
    )
    return out
  },
)

/** For each element the product of the others over `dims`: of those before it, times those behind it. */
function otherProducts(x: Tensor, dims: readonly number[]): Tensor {
  if (sizeOf(x.shape) === 0 || dims.length === 0) return onesLike(x)
  const order = [...x.shape.keys()].filter((d) => !dims.includes(d)).concat(dims)
  const last = x.ndim - dims.length
  const moved = permute(x, order)
  const lines = reshape(moved, [...moved.shape.slice(0, last), -1])
  const n = lines.shape[last]
  const edge = onesLike(lines.narrow(last, 0, 1))
  const before = cumprod(cat([edge, lines.narrow(last, 0, n - 1)], last), last)
  const behind = cumprod(cat([edge, flip(lines, last).narrow(last, 0, n - 1)], last), last)
  const others = reshape(mul(before, flip(behind, last)), moved.shape)
  return permute(others, order.map((_, d) => order.indexOf(d))) // prettier-ignore
}

// Ties share the gradient equally.
const extremeRule =
  (shape: readonly number[], dims: readonly number[]): Rule =>
  ([g], s) => {
    if (!g) return []
    const best = eq(s.x, restore(s.out, shape, dims))
    return [mul(best, div(restore(g, shape, dims), sum(best, dims, { keepdim: true })))]
  }

function extreme(name: "amax" | "amin", operator: "max" | "min") {
  return (x: Tensor, dim?: Dims, options: ReduceOptions = {}): Tensor => {
    const dims = readDims(name, dim, x.ndim)
    needElements(name, x, dims)
    const { shape } = x
    const [out] = apply(
      {
        name,
        keep: ["x", "out"],
        vjp: extremeRule(shape, dims),
      },
      [x],
      () => [finish(reduceKept(operator, x, dims, x.dtype), dims, options.keepdim)],
    )
    return out
  }
}

const extremeSamples = [[t(2, 3)], [t(2, 3), 1], [t(2, 3, 4), [0, 2], { keepdim: true }], [t()]]
export const amax = op({ family: "reduce", name: "amax", takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag" } }, doc: "Largest element over `dim`; NaN wins, ties share the gradient.", samples: extremeSamples, differentiable: true }, extreme("amax", "max")) // prettier-ignore
export const amin = op({ family: "reduce", name: "amin", takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag" } }, doc: "Smallest element over `dim`; NaN wins, ties share the gradient.", samples: extremeSamples, differentiable: true }, extreme("amin", "min")) // prettier-ignore

function position(name: "argmax" | "argmin") {
  return (x: Tensor, dim?: number | null, options: ReduceOptions = {}): Tensor => {
    const whole = dim === undefined || dim === null
    const flat = whole ? reshape(x.detach(), -1) : x
    const d = whole ? 0 : readDim(name, dim, x.ndim)
    const dims = flat.ndim === 0 ? [] : [d]
    needElements(name, flat, dims)
    const source = flat.ndim === 0 ? reshape(flat.detach(), 1) : flat
    const [out] = apply({ name, keep: [], vjp: null }, [source], () => [reduceKept(name, source, [d], "int32")])
    if (whole) return reshape(out, options.keepdim ? x.shape.map(() => 1) : [])
    return flat.ndim === 0 ? reshape(out, []) : finish(out, [d], options.keepdim)
  }
}

const positionSamples = [
  [t(2, 3)],
  [t(2, 3), 1],
  [t(2, 3), 0, { keepdim: true }],
  [t(2, 3), null, { keepdim: true }],
  [t()],
]
export const argmax = op({ family: "reduce", name: "argmax", takes: { x: "tensor", dim: "dim|null?", options: { keepdim: "flag" } }, doc: "Position (int32) of the first largest element, over one dim or in the flattened tensor.", samples: positionSamples, differentiable: false }, position("argmax")) // prettier-ignore
export const argmin = op({ family: "reduce", name: "argmin", takes: { x: "tensor", dim: "dim|null?", options: { keepdim: "flag" } }, doc: "Position (int32) of the first smallest element, over one dim or in the flattened tensor.", samples: positionSamples, differentiable: false }, position("argmin")) // prettier-ignore

/** Values and int32 positions. */
export type Extremes = [values: Tensor, indices: Tensor]

/** @internal Records `value`, picked from all of `x`: every element equal to it (or NaN, if it is) shares the gradient. */
export function sharedByEquals(name: string, x: Tensor, value: Tensor): Tensor {
  const vjp: Rule = ([g], s) => {
    if (!g) return []
    const equal = logicalOr(eq(s.x, s.out), logicalAnd(isnan(s.x), isnan(s.out)))
    return [where(equal, div(g, sum(equal)), 0)]
  }
  const [out] = apply({ name, keep: ["x", "out"], vjp }, [x], () => [value])
  return out
}

/** Largest element of all; with `dim` also its positions, and only the first of equals gets the gradient. */
export interface ExtremeOp {
  (x: Tensor): Tensor
  (x: Tensor, dim: number, options?: ReduceOptions): Extremes
}

function extremeWithPosition(name: "max" | "min", whole: typeof amax, where: typeof argmax) {
  return ((x: Tensor, dim?: number, options: ReduceOptions = {}): Tensor | Extremes => {
    if (dim === undefined) return sharedByEquals(name, x, whole(x.detach()))
    const indices = where(x.detach(), dim, { keepdim: true })
    const values = x.ndim === 0 ? x.clone() : x.gather(readDim(whole.op.name, dim, x.ndim), indices)
    if (options.keepdim || x.ndim === 0) return [values, x.ndim === 0 ? reshape(indices, []) : indices]
    return [values.squeeze(dim), indices.squeeze(dim)]
  }) as ExtremeOp
}

const pairSamples = [[t(2, 3)], [t(2, 3), 1], [t(2, 3, 2), -2, { keepdim: true }]]
export const max = op({ family: "reduce", name: "max", takes: { x: "tensor", dim: "dim?", options: { keepdim: "flag" } }, doc: "Largest element; with `dim`: values and int32 positions.", samples: pairSamples, differentiable: true }, extremeWithPosition("max", amax, argmax)) // prettier-ignore
export const min = op({ family: "reduce", name: "min", takes: { x: "tensor", dim: "dim?", options: { keepdim: "flag" } }, doc: "Smallest element; with `dim`: values and int32 positions.", samples: pairSamples, differentiable: true }, extremeWithPosition("min", amin, argmin)) // prettier-ignore

function quantifier(name: "any" | "all") {
  return (x: Tensor, dim?: Dims, options: ReduceOptions = {}): Tensor => {
    const dims = readDims(name, dim, x.ndim)
    const [out] = apply({ name, keep: [], vjp: null }, [x], () => [
      finish(reduceKept(name, x, dims, "bool"), dims, options.keepdim),
    ])
    // PyTorch's one exception.
    return x.dtype === "uint8" ? toDType(out, "uint8") : out
  }
}

const quantifierSamples = [[t(2, 3)], [t(2, 3), 1, { keepdim: true }], [t(0)], [t(2, 0), 1]]
export const any = op({ family: "reduce", name: "any", takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag" } }, doc: "Is any element not zero: a bool, of uint8 a uint8.", samples: quantifierSamples, differentiable: false }, quantifier("any")) // prettier-ignore
export const all = op({ family: "reduce", name: "all", takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag" } }, doc: "Are all elements not zero: a bool, of uint8 a uint8.", samples: quantifierSamples, differentiable: false }, quantifier("all")) // prettier-ignore

export const countNonzero = op(
  {
    family: "reduce",
    name: "countNonzero",
    takes: { x: "tensor", dim: "dims?" },
    doc: "Number of elements that are not zero (int32).",
    samples: [[t(2, 3)], [t(2, 3), 1]],
    differentiable: false,
  },
  (x: Tensor, dim?: Dims): Tensor => sum(ne(x, 0), dim),
)

/** Options of {@link variance} and {@link std}. */
export interface MomentOptions extends ReduceOptions {
  /** The divisor is the count minus this; 1 gives the unbiased estimate. Default 1. */
  readonly correction?: number
}

const momentSamples = [[t(2, 3)], [t(2, 3), 1], [t(2, 3, 4), [0, 2], { keepdim: true, correction: 0 }]]

/** Named `var` on tensors, as in PyTorch; `var` is a reserved word for functions. */
export const variance = op(
  {
    family: "reduce",
    name: "var",
    takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag", correction: "number" } },
    doc: "Variance over `dim`, divided by the count minus `correction` (default 1).",
    samples: momentSamples,
    differentiable: true,
  },
  (x: Tensor, dim?: Dims, { correction = 1, keepdim }: MomentOptions = {}): Tensor => {
    needFloat("var", x)
    const dims = readDims("var", dim, x.ndim)
    const count = sizeOf(dims.map((d) => x.shape[d]))
    const deviation = sub(x, mean(x, dims, { keepdim: true }))
    return div(sum(square(deviation), dims, { keepdim }), Math.max(0, count - correction))
  },
)

export const std = op(
  {
    family: "reduce",
    name: "std",
    takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag", correction: "number" } },
    doc: "Standard deviation: the root of `var`. Its gradient at 0 is 0.",
    samples: momentSamples,
    differentiable: true,
  },
  (x: Tensor, dim?: Dims, options: MomentOptions = {}): Tensor => {
    const v = variance(x, dim, options)
    // The root's slope is infinite at 0, where the deviations are 0: PyTorch says 0, not NaN.
    const flat = eq(v, 0)
    return where(flat, 0, where(flat, 1, v).sqrt())
  },
)

const logsumexpRule =
  (shape: readonly number[], dims: readonly number[]): Rule =>
  ([g], s) =>
    g ? [mul(restore(g, shape, dims), exp(sub(s.x, restore(s.out, shape, dims))))] : []

export const logsumexp = op(
  { family: "reduce", name: "logsumexp", takes: { x: "tensor", dim: "dims?", options: { keepdim: "flag" } }, doc: "log of the sum of exp over `dim`, without overflow.", samples: [[t(2, 3), 1], [t(2, 3), [0, 1], { keepdim: true }], [t(2, 3)]], differentiable: true }, // prettier-ignore
  (given: Tensor, dim?: Dims, options: ReduceOptions = {}): Tensor => {
    const x = isFloat(given.dtype) ? given : toDType(given, defaultDType())
    const dims = readDims("logsumexp", dim, x.ndim)
    const { shape } = x
    const [out] = apply(
      {
        name: "logsumexp",
        keep: ["x", "out"],
        vjp: logsumexpRule(shape, dims),
      },
      [x],
      () => {
        if (sizeOf(dims.map((d) => shape[d])) === 0) return [log(sum(exp(x), dims, options))]
        const top = amax(x, dims, { keepdim: true })
        // A row of -infinity would become NaN by subtracting it from itself.
        const shift = where(isinf(top), 0, top)
        const total = add(log(sum(exp(sub(x, shift)), dims, { keepdim: true })), shift)
        return [finish(total, dims, options.keepdim)]
      },
    )
    return out
  },
)

const normRule =
  (shape: readonly number[], dims: readonly number[], p: number): Rule =>
  ([g], s) => {
    if (!g) return []
    const length = restore(s.out, shape, dims)
    const still = eq(length, 0)
    const scale = div(restore(g, shape, dims), where(still, 1, p === 2 ? length : pow(length, p - 1)))
    const slope = p === 2 ? s.x : mul(sign(s.x), pow(where(eq(s.x, 0), 1, abs(s.x)), p - 1))
    return [where(still, 0, mul(slope, scale))]
  }

export const norm = op(
  {
    family: "reduce",
    name: "norm",
    takes: { x: "tensor", p: "number?", dim: "dims?", options: { keepdim: "flag" } },
    doc: "p-norm over `dim` (p any number, Infinity or -Infinity; 0 counts). The gradient where the norm is 0 is 0.",
    samples: [
      [t(2, 3)],
      [t(2, 3), 1, 1],
      [t(2, 3), 3, 0, { keepdim: true }],
      [t(2, 3), Infinity, 1],
      [t(2, 3), -Infinity],
      [t(2, 3), 0.5, [0, 1]],
    ],
    differentiable: true,
  },
  (x: Tensor, p = 2, dim?: Dims, options: ReduceOptions = {}): Tensor => {
    needFloat("norm", x)
    const dims = readDims("norm", dim, x.ndim)
    if (p === 0) {
      const count = toDType(sum(ne(x.detach(), 0), dims, options), x.dtype)
      return apply({ name: "norm", keep: ["x"], vjp: (_, s) => [zerosOf(s.x, s.x.shape)] }, [x], () => [count])[0]
    }
    if (p === 1) return sum(abs(x), dims, options)
    if (p === Infinity) return amax(abs(x), dims, options)
    if (p === -Infinity) return amin(abs(x), dims, options)
    const { shape } = x
    const [out] = apply(
      {
        name: "norm",
        keep: ["x", "out"],
        vjp: normRule(shape, dims, p),
      },
      [x],
      () => [p === 2 ? lengthOf(x, dims, options.keepdim) : pow(sum(pow(abs(x), p), dims, options), 1 / p)],
    )
    return out
  },
)
