// Mean 0 and variance 1 over some dims: the heart of layer, batch, group and instance normalisation, as one node.
import { computeDType, type DType, DTypeError, e, type Expr, isFloat, type Kernel, sizeOf } from "@rondo/backend"
import { apply, execute, output } from "../apply.js"
import type { Device } from "../device.js"
import { stretched } from "../place.js"
import { mode, type Rule } from "../graph.js"
import { op, readDims } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { add, mul, neg, sub } from "./arithmetic.js"
import { mean as meanOf } from "./reduce.js"

interface Forms {
  readonly value: Expr
  readonly squared: Expr
  readonly divided: Kernel
  readonly scale: Kernel
  readonly finish: Kernel
  /** Gradient times result, and the gradient of x from the sums of both over the dims. */
  readonly product: Expr
  readonly backward: Kernel
}
const known = new Map<DType, Forms>()

/** Kernels of one dtype. Means and variances are held in the dtype of the arithmetic. */
function formsOf(dtype: DType): Forms {
  const found = known.get(dtype)
  if (found) return found
  const compute = computeDType(dtype)
  const value = e.cast(e.input(0, dtype), compute)
  const deviation = e.sub(value, e.input(1, compute))
  const first = e.input(0, compute)
  const [out, gSum, dot, scale] = [e.cast(e.input(1, dtype), compute), ...[2, 3, 4].map((i) => e.input(i, compute))]
  const share = e.scalar(0, compute)
  const even = e.sub(e.sub(value, e.mul(gSum, share)), e.mul(out, e.mul(dot, share)))
  const forms: Forms = {
    value,
    squared: e.mul(deviation, deviation),
    divided: { kind: "map", exprs: [e.div(first, e.scalar(0, compute))] },
    scale: { kind: "map", exprs: [e.div(e.like(first, 1), e.sqrt(e.add(first, e.scalar(0, compute))))] },
    finish: { kind: "map", exprs: [e.cast(e.mul(deviation, e.input(2, compute)), dtype)] },
    product: e.mul(value, out),
    backward: { kind: "map", exprs: [e.cast(e.mul(even, scale), dtype)] },
  }
  known.set(dtype, forms)
  return forms
}

/** What {@link standardized} found on the way; dims keep size 1, and no gradient flows through these. */
export interface Standardized {
  readonly values: Tensor
  readonly mean: Tensor
  /** Divided by the count, not by one less. */
  readonly variance: Tensor
}

function reducedSum(device: Device, expr: Expr, inputs: readonly Tensor[], dims: readonly number[]): Tensor {
  const [x, ...others] = inputs
  const sizes = x.shape.map((size, d) => (dims.includes(d) ? 1 : size))
  const out = output(device, sizes, expr.dtype)
  if (sizeOf(sizes) === 0) return out
  const views = [x, ...others.map((other) => stretched(other, x.shape))]
  execute({ kind: "reduce", op: "sum", dims: [...dims], expr }, views, [out])
  return out
}

function reducedMean(device: Device, expr: Expr, inputs: readonly Tensor[], dims: readonly number[]): Tensor {
  const out = reducedSum(device, expr, inputs, dims)
  const [{ shape, dtype }] = inputs
  if (sizeOf(out.shape) > 0) execute(formsOf(dtype).divided, [out], [out], [sizeOf(dims.map((d) => shape[d]))])
  return out
}

/** The rule below in three kernels, for a gradient that nobody differentiates again. */
function backward(g: Tensor, out: Tensor, scale: Tensor, dims: readonly number[]): Tensor {
  const { device, shape, dtype } = out
  const result = output(device, shape, dtype)
  if (sizeOf(shape) === 0) return result
  const form = formsOf(dtype)
  const sums = [reducedSum(device, form.value, [g], dims), reducedSum(device, form.product, [g, out], dims)]
  const views = [...sums, scale].map((x) => stretched(x, shape))
  execute(form.backward, [g, out, ...views], [result], [1 / sizeOf(dims.map((d) => shape[d]))])
  return result
}

// d/dx of (x - mean) * scale: scale (g - mean(g) - out mean(g out)); of the scale itself: -scale^2 out / count.
// Made outside of the operation, so that the rule holds the results and not the operand.
function ruleOf(dims: readonly number[], count: number): Rule {
  const over = (x: Tensor): Tensor => meanOf(x, dims, { keepdim: true })
  return ([g, gScale], s) => {
    const scale = s.more(0)
    if (g && !gScale && !mode.record && g.dtype === s.out.dtype) return [backward(g, s.out, scale, dims)]
    const own = g && mul(sub(sub(g, over(g)), mul(s.out, over(mul(g, s.out)))), scale)
    const other = gScale && neg(mul(mul(s.out, mul(scale, scale)), mul(gScale, 1 / count)))
    return [own && other ? add(own, other) : (own ?? other)]
  }
}

/** As {@link standardize}, with the means and variances that running statistics are made of. */
export function standardized(x: Tensor, dim: number | readonly number[] | undefined, eps: number): Standardized {
  if (!isFloat(x.dtype)) {
    throw new DTypeError(`standardize: needs a float tensor, got ${x.dtype}; convert it with .to("float32")`)
  }
  const dims = readDims("standardize", dim, x.ndim)
  const vjp = ruleOf(dims, sizeOf(dims.map((d) => x.shape[d])))
  const moments: Tensor[] = []
  const forward = (device: Device): Tensor[] => {
    const form = formsOf(x.dtype)
    const mean = reducedMean(device, form.value, [x], dims)
    const variance = reducedMean(device, form.squared, [x, mean], dims)
    const root = output(device, variance.shape, variance.dtype)
    moments.push(mean, variance, root)
    const out = output(device, x.shape, x.dtype)
    if (sizeOf(root.shape) > 0) execute(form.scale, [variance], [root], [eps])
    if (sizeOf(x.shape) > 0) execute(form.finish, [x, stretched(mean, x.shape), stretched(root, x.shape)], [out])
    return [out, root]
  }
  const [values, scale] = apply({ name: "standardize", keep: ["out"], vjp }, [x], forward, () => [moments[2]])
  if (!values.requiresGrad) scale.dispose()
  return { values, mean: moments[0], variance: moments[1] }
}

export const standardize = op(
  {
    family: "reduce",
    name: "standardize",
    takes: { x: "tensor", dim: "numbers?", options: { eps: "number" } },
    doc: "x minus its mean, over the root of its variance (divided by the count) plus `eps`, over `dim`.",
    samples: [[t(2, 3), 1], [t(3, 2, 4), [0, 2], { eps: 0.1 }], [t(2, 3)], [t(0, 3), 1], [t(1, 4), -1]],
    differentiable: true,
  },
  (x: Tensor, dim?: number | readonly number[], { eps = 1e-5 }: { readonly eps?: number } = {}): Tensor => {
    const { values, mean, variance } = standardized(x, dim, eps)
    for (const passing of [mean, variance]) passing.dispose()
    return values
  },
)
