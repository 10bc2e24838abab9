// Running sums, products and extremes along one dim, and differences, each beside its gradient.
import { type DType, isFloat, type ScanKernel, shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { apply, execute, output } from "../apply.js"
import { copyOf } from "../place.js"
import { onesLike } from "../creation.js"
import { defaultDType } from "../defaults.js"
import { mode, passOn, type Rule } from "../graph.js"
import { op, readDim } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { div, logaddexp, mul, sub } from "./arithmetic.js"
import { toDType } from "./conversion.js"
import { gatherRule } from "./gather.js"
import { eq, logicalAnd, logicalXor, where } from "./logic.js"
import { clone, zerosOf } from "./movement.js"
import { cat } from "./shaping.js"
import { narrow } from "./slicing.js"

/** As for sum: bools and small integers add up in int32, int64 stays. */
const totalDType = (dtype: DType): DType => (isFloat(dtype) || dtype === "int64" ? dtype : "int32")

function runScan(kernel: ScanKernel, x: Tensor, dtype: DType): Tensor {
  const source = x.dtype === dtype ? x : copyOf(x.device, x, dtype)
  const out = output(x.device, x.shape, dtype)
  if (sizeOf(x.shape) > 0) execute(kernel, [source], [out])
  return out
}

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
const runningRule =
  (d: number, reverse: boolean): Rule =>
  ([g]) => [g && runningSum(g, d, reverse)]

/** The sum up to each position of dim `d`, or from it on. */
function runningSum(x: Tensor, d: number, reverse: boolean): Tensor {
  const vjp = runningRule(d, !reverse)
  const kernel: ScanKernel = { kind: "scan", op: "sum", dim: d, reverse }
  const [out] = apply({ name: "cumsum", keep: [], vjp }, [x], () => [runScan(kernel, x, totalDType(x.dtype))])
  return out
}

/** Options of {@link cumsum} and {@link cumprod}. */
export interface ScanOptions {
  /** Converts to this dtype first. */
  readonly dtype?: DType
}

const scanSamples = [
  [t(2, 3), 1],
  [t(4, 2), 0],
  [t(2, 3, 2), -2],
  [t(0, 3), 0],
  [t(3, 0), 0],
  [t(), 0],
  [t(1), -1],
]

export const cumsum = op(
  {
    family: "reduce",
    name: "cumsum",
    takes: { x: "tensor", dim: "dim", options: { dtype: "dtype" } },
    doc: "Sum of all elements up to each along `dim`. Integers add up in int32 (int64 in int64).",
    samples: [...scanSamples, [t(2, 3), 1, { dtype: "float64" }]],
    differentiable: true,
  },
  (x: Tensor, dim: number, { dtype }: ScanOptions = {}): Tensor => {
    const source = dtype ? toDType(x, dtype) : x
    const d = readDim("cumsum", dim, x.ndim)
    return x.ndim === 0 ? whole("cumsum", source, totalDType) : runningSum(source, d, false)
  },
)

/** A scan over the one element of a tensor without dims. */
const whole = (name: string, x: Tensor, dtypeOf: (dtype: DType) => DType = (dtype) => dtype): Tensor => {
  const [out] = apply({ name, keep: [], vjp: passOn }, [x], (device) => [copyOf(device, x, dtypeOf(x.dtype))])
  return out
}

export const cumprod = op(
  {
    family: "reduce",
    name: "cumprod",
    takes: { x: "tensor", dim: "dim", options: { dtype: "dtype" } },
    doc: "Product of all elements up to each along `dim`; right gradients with zeros as well.",
    samples: [...scanSamples, [t(2, 3), 1, { dtype: "float64" }]],
    differentiable: true,
  },
  (x: Tensor, dim: number, { dtype }: ScanOptions = {}): Tensor => {
    const source = dtype ? toDType(x, dtype) : x
    const d = readDim("cumprod", dim, x.ndim)
    return x.ndim === 0 ? whole("cumprod", source, totalDType) : runningProduct(source, d)
  },
)

const productRule =
  (d: number): Rule =>
  ([g], s) => {
    if (!g) return []
    // The selections below hide from a second derivative what two zeros of one line do to each other.
    if (mode.record) return [productGradient(g, s.x, d)]
    // Before the first zero of a line: sum over j >= i of g[j] out[j] / x[i]. At the first zero: the same sum of
    // products in which it counts as 1. Behind it, every product has a zero that is not x[i] itself.
    const zero = eq(s.x, 0)
    const zeros = runningSum(toDType(zero, "int32"), d, false)
    const first = logicalAnd(zero, eq(zeros, 1))
    const before = div(runningSum(mul(g, s.out), d, true), where(zero, 1, s.x))
    const at = runningSum(mul(g, runningProduct(where(first, 1, s.x), d)), d, true)
    return [where(eq(zeros, 0), before, where(first, at, 0))]
  }

function runningProduct(x: Tensor, d: number): Tensor {
  const vjp = productRule(d)
  const [out] = apply({ name: "cumprod", keep: ["x", "out"], vjp }, [x], () => [
    runScan({ kind: "scan", op: "prod", dim: d }, x, totalDType(x.dtype)),
  ])
  return out
}

/** The gradient of a running product place by place, as PyTorch takes it for second derivatives: no division, no zeros apart. */
function productGradient(g: Tensor, x: Tensor, d: number): Tensor {
  const size = x.shape[d]
  if (size === 0) return g
  let before = onesLike(narrow(x, d, 0, 1))
  const parts = Array.from({ length: size }, (_, k) => {
    const behind = runningProduct(cat([onesLike(before), narrow(x, d, k + 1, size - k - 1)], d), d)
    const part = mul(before, mul(narrow(g, d, k, size - k), behind).sum(d, { keepdim: true }))
    before = mul(before, narrow(x, d, k, 1))
    return part
  })
  return cat(parts, d)
}

/** Values and their int32 positions. */
export type ValuesAndPositions = [Tensor, Tensor]

/**
 * @internal Records values that were picked from dim `d` of `x` at `positions`: the gradient goes back to where they came from.
 */
export function pickedFrom(name: string, x: Tensor, d: number, values: Tensor, positions: Tensor): Tensor {
  const vjp = gatherRule(x.shape, d)
  const [out] = apply({ name, keep: ["y"], vjp }, [x, positions], () => [values])
  return out
}

function extremes(name: "cummax" | "cummin", operator: "max" | "min") {
  return (x: Tensor, dim: number): ValuesAndPositions => {
    x.check(name)
    const d = readDim(name, dim, x.ndim)
    const positions = output(x.device, x.shape, "int32")
    if (x.ndim === 0) return [whole(name, x), zerosOf(positions, [])]
    // Kernels compare numbers; bools are 0 and 1.
    const wide = x.dtype === "bool" ? copyOf(x.device, x, "int32") : x
    const values = output(x.device, x.shape, wide.dtype)
    if (sizeOf(x.shape) > 0) execute({ kind: "scan", op: operator, dim: d }, [wide], [values, positions])
    return [pickedFrom(name, x, d, toDType(values, x.dtype), positions), positions]
  }
}

export const cummax = op(
  {
    family: "reduce",
    name: "cummax",
    takes: { x: "tensor", dim: "dim" },
    doc: "Largest element up to each along `dim`, and its int32 position (the last of equals).",
    samples: scanSamples,
    differentiable: true,
  },
  extremes("cummax", "max"),
)
export const cummin = op(
  {
    family: "reduce",
    name: "cummin",
    takes: { x: "tensor", dim: "dim" },
    doc: "Smallest element up to each along `dim`, and its int32 position (the last of equals).",
    samples: scanSamples,
    differentiable: true,
  },
  extremes("cummin", "min"),
)

/**
 * Made of logaddexp alone, in log2(size) rounds that double the reach: no element underflows beside a larger later
 * one.
 */
export const logcumsumexp = op(
  {
    family: "reduce",
    name: "logcumsumexp",
    takes: { x: "tensor", dim: "dim" },
    doc: "log of the sum of exp of all elements up to each along `dim`, without overflow.",
    samples: scanSamples,
    differentiable: true,
  },
  (given: Tensor, dim: number): Tensor => {
    const d = readDim("logcumsumexp", dim, given.ndim)
    const x = isFloat(given.dtype) ? given : toDType(given, defaultDType())
    if (x.ndim === 0) return clone(x)
    const size = x.shape[d]
    let total = size < 2 ? clone(x) : x
    for (let reach = 1; reach < size; reach *= 2) {
      const rest = size - reach
      total = cat([narrow(total, d, 0, reach), logaddexp(narrow(total, d, reach, rest), narrow(total, d, 0, rest))], d)
    }
    return total
  },
)

/** Options of {@link diff}: what to join on before differences are taken. */
export interface DiffOptions {
  /** Joined in front along the dim before differences are taken. */
  readonly prepend?: Tensor
  /** Joined behind. */
  readonly append?: Tensor
}

export const diff = op(
  {
    family: "reduce",
    name: "diff",
    takes: { x: "tensor", n: "integer?", dim: "dim?", options: { prepend: "tensor", append: "tensor" } },
    doc: "Differences of neighbours along `dim`, `n` times over; of bools, whether they differ.",
    samples: [
      [t(5)],
      [t(2, 4), 2],
      [t(4, 2), 1, 0],
      [t(3), 1, -1, { prepend: t(1), append: t(2) }],
      [t(2), 3],
      [t(2, 3), 0],
      [t(0)],
    ],
    differentiable: true,
  },
  (x: Tensor, n = 1, dim = -1, { prepend, append }: DiffOptions = {}): Tensor => {
    if (x.ndim === 0) throw new ShapeError("diff: needs at least 1 dim, got []")
    if (!Number.isInteger(n) || n < 0) throw new ValueError(`diff: the order must be an integer from 0: got ${n}`)
    const d = readDim("diff", dim, x.ndim)
    for (const border of [prepend, append]) {
      if (border && border.ndim !== x.ndim)
        throw new ShapeError(`diff: ${shapeText(border.shape)} cannot be joined to ${shapeText(x.shape)}`)
    }
    const parts = [prepend, x, append].filter((part) => part !== undefined)
    let out = parts.length > 1 ? cat(parts, d) : x
    const minus = out.dtype === "bool" ? logicalXor : sub
    // Once nothing is left, nothing changes any more.
    for (let k = Math.min(n, out.shape[d]); k > 0; k--) {
      const rest = Math.max(0, out.shape[d] - 1)
      out = minus(narrow(out, d, Math.min(1, out.shape[d]), rest), narrow(out, d, 0, rest))
    }
    return out
  },
)
