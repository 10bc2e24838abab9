// Normalised exponentials along one dim. Each records one node, whose gradient takes two kernels.
import {
  computeDType,
  type DType,
  DTypeError,
  e,
  type Expr,
  isFloat,
  type Kernel,
  type ReduceOperator,
  sizeOf,
} from "@rondo/backend"
import { apply, execute, output } from "../apply.js"
import type { Device } from "../device.js"
import { stretched } from "../place.js"
import type { Rule } from "../graph.js"
import { op, readDim } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { exp, mul, neg, sub } from "./arithmetic.js"
import { toDType } from "./conversion.js"
import { sum } from "./reduce.js"

/** Kernels of one dtype, reused: sizes and dims are no part of an expression. */
function remembered<T>(make: (dtype: DType) => T): (dtype: DType) => T {
  const made = new Map<DType, T>()
  return (dtype) => {
    const found = made.get(dtype)
    if (found) return found
    const fresh = make(dtype)
    made.set(dtype, fresh)
    return fresh
  }
}

/** Operand `i`, stored as `dtype`, in the dtype of the arithmetic. */
const wide = (i: number, dtype: DType): Expr => e.cast(e.input(i, dtype), computeDType(dtype))
const narrow = (x: Expr, dtype: DType): Expr => e.cast(x, dtype)

interface Forms {
  /** exp(x - top) */
  readonly weight: Expr
  readonly weights: Kernel
  /** The weights, if they were written down, by their sum. */
  readonly shares: Kernel
  readonly softmax: Kernel
  readonly logSoftmax: Kernel
  /** Of gradient and result: what is summed, and the gradient of the input from that sum. */
  readonly product: Expr
  readonly softmaxBackward: Kernel
  readonly logSoftmaxBackward: Kernel
}

const forms = remembered((dtype): Forms => {
  const compute = computeDType(dtype)
  const [x, top, total] = [wide(0, dtype), e.input(1, compute), e.input(2, compute)]
  const weight = e.exp(e.sub(x, top))
  const map = (value: Expr): Kernel => ({ kind: "map", exprs: [narrow(value, dtype)] })
  const [g, out] = [wide(0, dtype), wide(1, dtype)]
  return {
    weight,
    weights: map(weight),
    shares: map(e.div(wide(0, dtype), top)),
    softmax: map(e.div(weight, total)),
    logSoftmax: map(e.sub(e.sub(x, top), e.log(total))),
    product: e.mul(g, out),
    softmaxBackward: map(e.mul(out, e.sub(g, total))),
    logSoftmaxBackward: map(e.sub(g, e.mul(e.exp(out), total))),
  }
})

/** Reduces along `d` and shows the result stretched over it again. */
function reduced(
  device: Device,
  operator: ReduceOperator,
  expr: Expr,
  inputs: readonly Tensor[],
  d: number,
  more: readonly Tensor[] = [],
): Tensor {
  const { shape } = inputs[0]
  const out = output(
    device,
    shape.map((size, i) => (i === d ? 1 : size)),
    expr.dtype,
  )
  const views = [...inputs, ...more.map((x) => stretched(x, shape))]
  execute({ kind: "reduce", op: operator, dims: shape.length === 0 ? [] : [d], expr }, views, [out])
  return out
}

/**
 * Whether exponentials are written down rather than computed twice: on processors, which can be read at once, that is cheaper if
 * another kernel is worth it. GPUs compute faster than they write. 16-bit floats would be rounded before they are added up.
 */
const writesWeights = ({ shape, dtype, device }: Tensor): boolean =>
  device.backend.capabilities.syncRead && computeDType(dtype) === dtype && sizeOf(shape) >= 4096

function forward(device: Device, x: Tensor, d: number, log: boolean): Tensor {
  const out = output(device, x.shape, x.dtype)
  if (sizeOf(x.shape) === 0) return out
  const form = forms(x.dtype)
  const top = reduced(device, "max", wide(0, x.dtype), [x], d)
  if (!log && writesWeights(x)) {
    execute(form.weights, [x, stretched(top, x.shape)], [out])
    const total = reduced(device, "sum", wide(0, x.dtype), [out], d)
    execute(form.shares, [out, stretched(total, x.shape)], [out])
    for (const passing of [top, total]) passing.dispose()
    return out
  }
  const total = reduced(device, "sum", form.weight, [x], d, [top])
  execute(log ? form.logSoftmax : form.softmax, [x, stretched(top, x.shape), stretched(total, x.shape)], [out])
  for (const passing of [top, total]) passing.dispose()
  return out
}

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
const softmaxTwice =
  (d: number): Rule =>
  ([gg], s) => {
    if (!gg) return []
    const dot = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b), d, { keepdim: true })
    const dOut = s.needs[1] ? sub(mul(gg, sub(s.x, dot(s.x, s.y))), mul(s.x, dot(gg, s.y))) : null
    return [s.needs[0] ? softmaxBackward(gg, s.y, d) : null, dOut]
  }

// d/dx of softmax: out (g - sum(g out)).
function softmaxBackward(g: Tensor, out: Tensor, d: number): Tensor {
  const vjp = softmaxTwice(d)
  const [result] = apply({ name: "softmaxBackward", keep: ["x", "y"], vjp }, [g, out], (device) => {
    const written = output(device, g.shape, g.dtype)
    if (sizeOf(g.shape) === 0) return [written]
    const form = forms(g.dtype)
    const total = reduced(device, "sum", form.product, [g, out], d)
    execute(form.softmaxBackward, [g, out, stretched(total, g.shape)], [written])
    total.dispose()
    return [written]
  })
  return result
}

const logSoftmaxTwice =
  (d: number): Rule =>
  ([gg], s) => {
    if (!gg) return []
    const weighted = mul(gg, exp(s.y))
    const dG = s.needs[0] ? sub(gg, sum(weighted, d, { keepdim: true })) : null
    return [dG, s.needs[1] ? neg(mul(weighted, sum(s.x, d, { keepdim: true }))) : null]
  }

// d/dx of logSoftmax: g - exp(out) sum(g).
function logSoftmaxBackward(g: Tensor, out: Tensor, d: number): Tensor {
  const vjp = logSoftmaxTwice(d)
  const [result] = apply({ name: "logSoftmaxBackward", keep: ["x", "y"], vjp }, [g, out], (device) => {
    const written = output(device, g.shape, g.dtype)
    if (sizeOf(g.shape) === 0) return [written]
    const total = reduced(device, "sum", wide(0, g.dtype), [g], d)
    execute(forms(g.dtype).logSoftmaxBackward, [g, out, stretched(total, g.shape)], [written])
    total.dispose()
    return [written]
  })
  return result
}

/** Options of {@link softmax} and {@link logSoftmax}. */
export interface SoftmaxOptions {
  /** Converts to this dtype first. */
  readonly dtype?: DType
}

function needFloat(name: string, dtype: DType): void {
  if (isFloat(dtype)) return
  throw new DTypeError(`${name}: needs a float tensor, got ${dtype}; convert it with .to("float32")`)
}

const backRule =
  (back: typeof softmaxBackward, d: number): Rule =>
  ([g], s) => [g && back(g, s.out, d)]

function normalised(name: "softmax" | "logSoftmax") {
  const back = name === "softmax" ? softmaxBackward : logSoftmaxBackward
  return (x: Tensor, dim: number, { dtype }: SoftmaxOptions = {}): Tensor => {
    const source = dtype ? toDType(x, dtype) : x
    needFloat(name, source.dtype)
    const d = readDim(name, dim, x.ndim)
    const [out] = apply({ name, keep: ["out"], vjp: backRule(back, d) }, [source], (device) => [
      forward(device, source, d, name === "logSoftmax"),
    ])
    return out
  }
}

const softmaxSamples = [
  [t(2, 3), 1],
  [t(3, 2), 0],
  [t(2, 3, 2), -2],
  [t(5), -1],
  [t(), 0],
  [t(0, 3), 1],
  [t(2, 0), 1],
  [t(2, 1), 1],
  [t(2, 3), 1, { dtype: "float64" }],
]
const softmaxDoc = "exp(x) over its sum along `dim`, without overflow. A line of -Infinity alone gives NaN."
export const softmax = op(
  {
    family: "reduce",
    name: "softmax",
    takes: { x: "tensor", dim: "dim", options: { dtype: "dtype" } },
    doc: softmaxDoc,
    samples: softmaxSamples,
    differentiable: true,
  },
  normalised("softmax"),
)
export const logSoftmax = op(
  {
    family: "reduce",
    name: "logSoftmax",
    takes: { x: "tensor", dim: "dim", options: { dtype: "dtype" } },
    doc: "Logarithm of softmax along `dim`, exact where softmax would vanish.",
    samples: softmaxSamples,
    differentiable: true,
  },
  normalised("logSoftmax"),
)
export const softmin = op(
  {
    family: "reduce",
    name: "softmin",
    takes: { x: "tensor", dim: "dim", options: { dtype: "dtype" } },
    doc: "softmax of -x along `dim`.",
    samples: softmaxSamples,
    differentiable: true,
  },
  (x: Tensor, dim: number, { dtype }: SoftmaxOptions = {}): Tensor => {
    needFloat("softmin", dtype ?? x.dtype)
    return softmax(neg(dtype ? toDType(x, dtype) : x), dim)
  },
)
