// Losses against class indices in a few kernels: negative log-likelihood of log-probabilities, and cross-entropy of logits.
// What they mean is a composition of operations; the checks of what users pass are the losses' own.
import { cachedKernel, computeDType, type DType, e, type Expr, isFloat, type Kernel, type ReduceKernel, sizeOf, type View } from "@rondo/backend" // prettier-ignore
import { apply, commonDevice, execute, output } from "./apply.js"
import { grad } from "./autograd.js"
import { positions } from "./constants.js"
import type { Device } from "./device.js"
import { mode, type Rule, type Saved, wantsGrad } from "./graph.js"
import { expand, gather, indexSelect, logSoftmax, ne, reshape, toDType, unsqueeze, where } from "./ops/index.js"
import { runGather } from "./ops/lookup.js"
import { stretched } from "./place.js"
import type { Tensor } from "./tensor.js"

/** How a {@link classLoss} counts. */
export interface ClassForm {
  /** The operation's name in graphs and errors. */
  readonly name: string
  /** The class dim of x. */
  readonly dim: number
  /** Is x logits? Else it is log-probabilities. */
  readonly logits: boolean
  /** Targets of this value count for nothing. */
  readonly ignoreIndex: number
  /** How much of the target is spread evenly over all classes: logits only. */
  readonly labelSmoothing: number
  /** `mean` divides by the weights that counted. */
  readonly reduction: "none" | "mean" | "sum"
}

/** x `[C]` or `[N, C, ...]`, integer targets in the shape of x without C, and perhaps weights `[C]`. */
export interface ClassOperands {
  readonly x: Tensor
  readonly target: Tensor
  readonly weight: Tensor | null
}

/**
 * The loss of class indices, or (`none`) the losses in the shape of the targets. One kernel backward; what else gradients
 * are wanted of, and second derivatives, go through the composition of operations that it means.
 *
 * Throws an IndexError for a class that does not exist (where the device reads asynchronously: at the next read).
 */
export function classLoss(operands: ClassOperands, asked: ClassForm): Tensor {
  const { x, target, weight } = operands
  const form = { ...asked, ignoreIndex: ignored(target, asked.ignoreIndex) }
  commonDevice(form.name, [x, target, weight])
  const plain = isFloat(x.dtype) && sizeOf(x.shape) > 0 && (!weight || weight.dtype === x.dtype)
  if (!plain || (weight && wantsGrad([weight]))) return composed(operands, form)
  const recording = wantsGrad([x])
  let found: Found | null = null
  const vjp = ruleOf(form, weight !== null)
  const [out] = apply(
    { name: form.name, keep: [], vjp },
    [x],
    (device) => {
      found = forward(device, operands, form)
      if (!recording) for (const passing of found.more) passing.dispose()
      return [found.loss]
    },
    () => [x, target, ...(weight ? [weight] : []), ...(found as Found).more],
  )
  return out
}

/** What no target of 32 bits can be must not wrap to one: the least of them stands for it, which is no class either. */
const ignored = ({ dtype }: Tensor, index: number): number =>
  dtype === "int64" || index === (index | 0) ? index : -(2 ** 31)

// ---- meaning

/** A vector of one number a class, shaped to broadcast along the class dim. */
const along = (weight: Tensor, dim: number, ndim: number): Tensor =>
  reshape(weight, Array.from({ length: ndim }, (_, d) => (d === dim ? weight.shape[0] : 1))) // prettier-ignore

const reduced = (losses: Tensor, weights: Tensor, reduction: ClassForm["reduction"]): Tensor =>
  reduction === "none" ? losses : reduction === "sum" ? losses.sum() : losses.sum().div(weights.sum())

function composed({ x, target, weight }: ClassOperands, form: ClassForm): Tensor {
  const { dim, labelSmoothing, reduction } = form
  const logp = form.logits ? logSoftmax(x, dim) : x
  const classes = target.dtype === "uint8" ? toDType(target, "int32") : target
  const counted = ne(classes, form.ignoreIndex)
  const safe = toDType(where(counted, classes, 0), classes.dtype)
  const weights = weight
    ? where(counted, reshape(indexSelect(weight, 0, reshape(safe, -1)), safe.shape), 0)
    : toDType(counted, x.dtype)
  // where, not a product with 0: an ignored position may hold an infinity.
  const picked = gather(logp, dim, unsqueeze(safe, dim)).squeeze(dim)
  const hard = reduced(where(counted, picked.mul(weights).neg(), 0), weights, reduction)
  if (labelSmoothing === 0) return hard
  const weighted = weight ? logp.mul(along(weight, dim, x.ndim)) : logp
  const soft = reduced(where(counted, weighted.sum(dim).neg(), 0), weights, reduction)
  return hard.mul(1 - labelSmoothing).add(soft.mul(labelSmoothing / x.shape[dim]))
}

// ---- kernels

type Named<T> = Readonly<Record<string, T>>
/** The result from the operands by name, in the dtype of the arithmetic (integers as they are stored), and the scalars. */
type Formula = (of: Named<Expr>, scalar: (index: number, dtype?: DType) => Expr) => Expr

interface Plan {
  /** Beside names and dtypes of the operands, all that the formula depends on. */
  readonly key: string
  /** All of one shape. */
  readonly operands: Named<View>
  readonly formula: Formula
  readonly scalars?: readonly number[]
}

/** Runs a formula for every element of `out`, or reduced over `dims` to it. */
function run(plan: Plan, out: Tensor, reduce?: Pick<ReduceKernel, "op" | "dims">): Tensor {
  const { operands, formula, scalars } = plan
  const names = Object.keys(operands)
  const views = Object.values(operands)
  const how = reduce ? `${reduce.op} ${reduce.dims.join()}` : "map"
  const key = `class ${plan.key} ${how} ${out.dtype} ${names.map((name, i) => `${name}:${views[i].dtype}`).join()}`
  const kernel = cachedKernel<Kernel>(key, () => {
    const compute = computeDType(out.dtype)
    const read = ({ dtype }: View, i: number): Expr => e.cast(e.input(i, dtype), isFloat(dtype) ? compute : dtype)
    const of = Object.fromEntries(views.map((view, i) => [names[i], read(view, i)]))
    const value = formula(of, (index, dtype = compute) => e.scalar(index, dtype))
    return reduce ? { kind: "reduce", ...reduce, expr: value } : { kind: "map", exprs: [e.cast(value, out.dtype)] }
  })
  execute(kernel, views, [out], scalars)
  return out
}

const zero = (x: Expr): Expr => e.like(x, 0)
/** A target as an index. */
const wide = (target: Expr): Expr => e.cast(target, target.dtype === "int64" ? "int64" : "int32")
/** Does the position of this target count? Scalar 0 is the value that does not. */
const counts = (target: Expr, scalar: Parameters<Formula>[1]): Expr => {
  const index = wide(target)
  return e.ne(index, scalar(0, index.dtype))
}

/** One number a position, with or without the class dim, or one for all, as an operand over `shape`. */
const spot = (x: Tensor, dim: number, shape: readonly number[]): View =>
  stretched(x.ndim === shape.length - 1 && x.ndim > 0 ? unsqueeze(x, dim) : x, shape)
/** One number a class likewise. */
const perClass = ({ storage, dtype, strides, offset }: Tensor, dim: number, shape: readonly number[]): View => ({
  storage,
  dtype,
  shape,
  strides: shape.map((_, d) => (d === dim ? strides[0] : 0)),
  offset,
})

interface Found {
  readonly loss: Tensor
  /** What backward reads: for logits the greatest of each position and the sum of exponentials, then weights, then their sum. */
  readonly more: readonly Tensor[]
}

/** Operands that a form does not have are left out. */
function given<T>(operands: Named<T | null>): Named<T> {
  return Object.fromEntries(Object.entries(operands).filter((entry): entry is [string, T] => entry[1] !== null))
}

function forward(device: Device, { x, target, weight }: ClassOperands, form: ClassForm): Found {
  const { dim, logits, labelSmoothing, reduction, ignoreIndex } = form
  const { shape, dtype } = x
  const spots = shape.map((size, d) => (d === dim ? 1 : size))
  const all = [...shape.keys()]
  const fresh = (sizes: number[]): Tensor => output(device, sizes, computeDType(dtype))
  const at = (one: Tensor | null, over: readonly number[] = spots): View | null => one && spot(one, dim, over)
  const targets = at(target) as View
  const safe = run(safePlan(targets, ignoreIndex), output(device, spots, target.dtype === "int64" ? "int64" : "int32"))
  const picked = runGather(x, dim, safe)
  const weights = weight && reshape(runGather(weight, 0, reshape(safe, -1)), spots)
  const lines = { op: "sum", dims: [dim] } as const
  const top = logits ? run({ key: "top", operands: { x }, formula: (of) => of.x }, fresh(spots), { ...lines, op: "max" }) : null // prettier-ignore
  const total = top && run(totalPlan(x, at(top, shape) as View), fresh(spots), lines)
  const spread = labelSmoothing > 0 && top && total
    ? run(spreadPlan(given({ x, top: at(top, shape), total: at(total, shape), weight: weight && perClass(weight, dim, shape) })), fresh(spots), lines)
    : null // prettier-ignore
  const whole = { op: "sum", dims: all } as const
  const ones = all.map(() => 1)
  const counted = reduction === "mean" ? run(countPlan(given({ targets, weights: at(weights) }), form), fresh(ones), whole) : null // prettier-ignore
  const operands = given({ targets, picked, top, total, weights, spread, counted: at(counted) })
  const plan = lossPlan(operands, form, shape[dim])
  const loss = reduction === "none" ? run(plan, output(device, spots, dtype)) : run(plan, output(device, ones, dtype), whole) // prettier-ignore
  for (const passing of [safe, picked, spread]) passing?.dispose()
  const more = [top, total, weights, counted].filter((one) => one !== null)
  return { loss: reshape(loss, reduction === "none" ? target.shape : []), more }
}

// Where a target is ignored, another index that is right stands for it.
const safePlan = (targets: View, ignoreIndex: number): Plan => ({
  key: "safe",
  operands: { targets },
  formula: ({ targets }, scalar) => e.where(counts(targets, scalar), wide(targets), zero(wide(targets))),
  scalars: [ignoreIndex],
})

const totalPlan = (x: View, top: View): Plan => ({
  key: "total",
  operands: { x, top },
  formula: (of) => e.exp(e.sub(of.x, of.top)),
})

/** -log of the probability. */
const surprise = (x: Expr, { top, total }: Named<Expr>): Expr => (top ? e.sub(e.log(total), e.sub(x, top)) : e.neg(x))

const spreadPlan = (operands: Named<View>): Plan => ({
  key: "spread",
  operands,
  formula: (of) => (of.weight ? e.mul(of.weight, surprise(of.x, of)) : surprise(of.x, of)),
})

const countPlan = (operands: Named<View>, { ignoreIndex }: ClassForm): Plan => ({
  key: "count",
  operands,
  formula: ({ targets, weights }, scalar) => {
    const one = weights ?? scalar(1)
    return e.where(counts(targets, scalar), one, zero(one))
  },
  scalars: [ignoreIndex, 1],
})

/** Scalars of the kernels that follow: what is ignored, and the shares of the target itself and of each class. */
const shares = ({ ignoreIndex, labelSmoothing }: ClassForm, classes: number): number[] => [
  ignoreIndex,
  1 - labelSmoothing,
  labelSmoothing / classes,
]

const lossPlan = (operands: Named<View>, form: ClassForm, classes: number): Plan => ({
  key: "loss",
  operands,
  formula: (of, scalar) => {
    const nll = surprise(of.picked, of)
    const hard = of.weights ? e.mul(nll, of.weights) : nll
    const mixed = of.spread ? e.add(e.mul(hard, scalar(1)), e.mul(of.spread, scalar(2))) : hard
    // where, not a product with 0: an ignored position may hold an infinity.
    const loss = e.where(counts(of.targets, scalar), mixed, zero(mixed))
    return of.counted ? e.div(loss, of.counted) : loss
  },
  scalars: shares(form, classes),
})

// ---- gradient

// Made outside of the operation: closures of one function share what they capture, and the rule must not hold operands.
const ruleOf =
  (form: ClassForm, weighted: boolean): Rule =>
  ([g], saved) => {
    if (!g) return []
    return [mode.record ? recorded(g, restored(saved, weighted), form) : fused(g, saved, weighted, form)]
  }

const restored = (saved: Saved, weighted: boolean): ClassOperands => ({
  x: saved.more(0),
  target: saved.more(1),
  weight: weighted ? saved.more(2) : null,
})

/** A gradient that can be differentiated again: that of the composition. */
function recorded(g: Tensor, operands: ClassOperands, form: ClassForm): Tensor | null {
  // A view of x, which the weight may have been made of as well: that way does not count.
  const x = expand(operands.x, operands.x.shape)
  return grad(composed({ ...operands, x }, form), x, { gradOutputs: g, createGraph: true })[0]
}

function fused(g: Tensor, saved: Saved, weighted: boolean, form: ClassForm): Tensor {
  const { x, target, weight } = restored(saved, weighted)
  const { dim, logits, labelSmoothing } = form
  let next = weighted ? 3 : 2
  const take = (there: boolean): View | null => (there ? spot(saved.more(next++), dim, x.shape) : null)
  const parts = { top: take(logits), total: take(logits), weights: take(weighted), counted: take(form.reduction === "mean") } // prettier-ignore
  const smooth = labelSmoothing > 0
  const classes = x.shape[dim]
  const sum = smooth && weight ? run({ key: "sum", operands: { weight }, formula: (of) => of.weight }, output(x.device, [1], computeDType(x.dtype)), { op: "sum", dims: [0] }) : null // prettier-ignore
  const operands = given({
    ...parts,
    x: logits ? x : null,
    g: spot(g, dim, x.shape),
    targets: spot(target, dim, x.shape),
    column: perClass(positions(x.device, classes), dim, x.shape),
    weight: smooth && weight ? perClass(weight, dim, x.shape) : null,
    sum: sum && stretched(sum, x.shape),
  })
  const plan = {
    key: `gradient ${smooth}`,
    operands,
    formula: slope(smooth),
    scalars: [...shares(form, classes), classes],
  }
  return run(plan, output(x.device, x.shape, x.dtype))
}

/** The derivative of the loss by x: for logits, probabilities less the target's own. */
const slope =
  (smooth: boolean): Formula =>
  (of, scalar) => {
    const target = wide(of.targets)
    const hit = e.eq(e.cast(of.column, target.dtype), target)
    const passed = e.where(counts(of.targets, scalar), of.counted ? e.div(of.g, of.counted) : of.g, zero(of.g))
    const hard = of.weights ? e.mul(passed, of.weights) : passed
    if (!of.top) return e.where(hit, e.neg(hard), zero(hard))
    const p = e.div(e.exp(e.sub(of.x, of.top)), of.total)
    const gap = e.mul(hard, e.sub(p, e.where(hit, e.like(p, 1), zero(p))))
    if (!smooth) return gap
    const even = e.sub(e.mul(of.sum ?? scalar(3), p), of.weight ?? e.like(p, 1))
    return e.add(e.mul(gap, scalar(1)), e.mul(e.mul(passed, scalar(2)), even))
  }
