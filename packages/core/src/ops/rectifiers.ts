// More activations, element by element: the straight-line ones, those that shrink, and the smooth relatives of relu.
import { e, type Expr } from "@rondo/backend"
import { binary, type BinaryOp, unary, type UnaryOp } from "../elementwise.js"
import type { Tensor } from "../tensor.js"
import { sigmoid, softplus, tanh } from "./activation.js"
import { abs, add, div, exp, mul, square, sub } from "./arithmetic.js"
import { ge, gt, le, logicalAnd, logicalOr, lt, where } from "./logic.js"

const one = (x: Expr): Expr => e.like(x, 1)
const zero = (x: Expr): Expr => e.like(x, 0)

// ---- straight lines

export const relu6: UnaryOp = unary({
  name: "relu6",
  doc: "x limited to [0, 6]; the gradient at both borders is 0.",
  expr: (x) => e.min(e.max(x, zero(x)), e.like(x, 6)),
  vjp: (g, s) => where(logicalOr(le(s.x, 0), ge(s.x, 6)), 0, g),
  keep: ["x"],
  domain: [-2, 8],
  kinks: [0, 6],
})
export const hardtanh: UnaryOp = unary({
  name: "hardtanh",
  doc: "x limited to [`min`, `max`]; the gradient at both borders is 0, unlike clamp's.",
  params: { min: -1, max: 1 },
  limits: true,
  expr: (x, min, max) => e.min(e.max(x, min), max),
  vjp: (g, s) => where(logicalOr(le(s.x, s.params[0]), ge(s.x, s.params[1])), 0, g),
  keep: ["x"],
  kinks: [-1, 1],
})
export const hardsigmoid: UnaryOp = unary({
  name: "hardsigmoid",
  doc: "x / 6 + 1/2 limited to [0, 1].",
  float: true,
  expr: (x) => e.div(e.min(e.max(e.add(x, e.like(x, 3)), zero(x)), e.like(x, 6)), e.like(x, 6)),
  // PyTorch's slope is rounded to float32 for every dtype.
  vjp: (g, s) => where(logicalAnd(gt(s.x, -3), lt(s.x, 3)), mul(g, Math.fround(1 / 6)), 0),
  keep: ["x"],
  domain: [-4, 4],
  kinks: [-3, 3],
})
export const hardswish: UnaryOp = unary({
  name: "hardswish",
  doc: "x hardsigmoid(x).",
  float: true,
  expr: (x) => e.div(e.mul(x, e.min(e.max(e.add(x, e.like(x, 3)), zero(x)), e.like(x, 6))), e.like(x, 6)),
  vjp: (g, s) => where(lt(s.x, -3), 0, where(le(s.x, 3), mul(g, add(div(hardtanh(s.x, -3, 3), 3), 0.5)), g)),
  keep: ["x"],
  domain: [-4, 4],
  kinks: [-3, 3],
})
export const threshold: UnaryOp = unary({
  name: "threshold",
  doc: "x where it exceeds `threshold`, else `value`; NaN stays.",
  params: { threshold: 0, value: 0 },
  expr: (x, limit, value) => e.where(e.le(x, limit), value, x),
  vjp: (g, s) => where(le(s.x, s.params[0]), 0, g),
  keep: ["x"],
  kinks: [0],
})
export const leakyBy: BinaryOp = binary({
  name: "leakyBy",
  doc: "x where positive, else x times the second operand, which broadcasts: a leaky relu whose slope is learned.",
  expr: (x, slope) => e.where(e.gt(x, zero(x)), x, e.mul(x, slope)),
  vjp: [(g, s) => where(gt(s.x, 0), g, mul(g, s.y)), (g, s) => where(gt(s.x, 0), 0, mul(g, s.x))],
  keep: [["x", "y"], ["x"]],
  kinks: [0],
})

// ---- exponentials below zero

/** x below 0, else 0: above, no exponential may overflow, whose derivative would be NaN. */
const below0 = (x: Tensor): Tensor => where(lt(x, 0), x, 0)

export const elu: UnaryOp = unary({
  name: "elu",
  doc: "x where positive, else `alpha` * (exp(x) - 1).",
  float: true,
  params: { alpha: 1 },
  expr: (x, alpha) => e.where(e.gt(x, zero(x)), x, e.mul(alpha, e.expm1(x))),
  vjp: (g, s) => mul(g, where(le(s.x, 0), mul(exp(below0(s.x)), s.params[0]), 1)),
  keep: ["x"],
  kinks: [0],
})

/** Fixed points of mean 0 and variance 1: https://arxiv.org/abs/1706.02515, with the digits of PyTorch. */
const seluScale = 1.0507009873554804934193349852946
const seluAlpha = 1.6732632423543772848170429916717

export const selu: UnaryOp = unary({
  name: "selu",
  doc: "1.0507 times elu with alpha 1.6733, which keeps mean 0 and variance 1.",
  float: true,
  expr: (x) =>
    e.where(e.gt(x, zero(x)), e.mul(x, e.like(x, seluScale)), e.mul(e.expm1(x), e.like(x, seluScale * seluAlpha))),
  vjp: (g, s) => mul(g, where(le(s.x, 0), mul(exp(below0(s.x)), seluScale * seluAlpha), seluScale)),
  keep: ["x"],
  kinks: [0],
})
export const celu: UnaryOp = unary({
  name: "celu",
  doc: "x where positive, else `alpha` * (exp(x / alpha) - 1): elu with a slope of 1 at 0.",
  float: true,
  params: { alpha: 1 },
  expr: (x, alpha) => e.where(e.gt(x, zero(x)), x, e.mul(alpha, e.expm1(e.div(x, alpha)))),
  vjp: (g, s) => mul(g, where(le(s.x, 0), exp(div(below0(s.x), s.params[0])), 1)),
  keep: ["x"],
  kinks: [0],
})

// ---- smooth

export const mish: UnaryOp = unary({
  name: "mish",
  doc: "x tanh(softplus(x)).",
  float: true,
  expr: (x) => e.mul(x, e.tanh(e.log1p(e.exp(x)))),
  vjp: (g, s) => {
    const t = tanh(softplus(s.x))
    return mul(g, add(t, mul(mul(s.x, sigmoid(s.x)), sub(1, square(t)))))
  },
  keep: ["x"],
})
export const softsign: UnaryOp = unary({
  name: "softsign",
  doc: "x / (1 + |x|).",
  float: true,
  expr: (x) => e.div(x, e.add(one(x), e.abs(x))),
  vjp: (g, s) => div(g, square(add(abs(s.x), 1))),
  keep: ["x"],
})

/** sqrt(2 / pi) and the cubic coefficient of https://arxiv.org/abs/1606.08415. */
const geluSlope = Math.sqrt(2 / Math.PI)
const geluCubic = 0.044715

export const geluTanh: UnaryOp = unary({
  name: "geluTanh",
  doc: "gelu with the distribution function approximated by tanh, as `approximate='tanh'` gives it.",
  float: true,
  expr: (x) => {
    const cube = e.mul(e.mul(x, x), x)
    const inner = e.mul(e.like(x, geluSlope), e.add(x, e.mul(e.like(x, geluCubic), cube)))
    return e.mul(e.mul(e.like(x, 0.5), x), e.add(one(x), e.tanh(inner)))
  },
  vjp: (g, s) => {
    const squared = square(s.x)
    const t = tanh(mul(mul(s.x, add(mul(squared, geluCubic), 1)), geluSlope))
    const slope = mul(add(mul(squared, 3 * geluCubic), 1), geluSlope)
    return mul(g, mul(add(add(t, 1), mul(mul(s.x, sub(1, square(t))), slope)), 0.5))
  },
  keep: ["x"],
})

// ---- towards zero

export const softshrink: UnaryOp = unary({
  name: "softshrink",
  doc: "x moved towards 0 by `lambda`, and 0 within it; NaN gives 0, as in PyTorch.",
  float: true,
  params: { lambda: 0.5 },
  expr: (x, lambda) =>
    e.where(e.gt(x, lambda), e.sub(x, lambda), e.where(e.lt(x, e.neg(lambda)), e.add(x, lambda), zero(x))),
  vjp: (g, s) => where(logicalAnd(ge(s.x, -s.params[0]), le(s.x, s.params[0])), 0, g),
  keep: ["x"],
  kinks: [-0.5, 0.5],
})
export const hardshrink: UnaryOp = unary({
  name: "hardshrink",
  doc: "x, but 0 within [-`lambda`, `lambda`].",
  float: true,
  params: { lambda: 0.5 },
  expr: (x, lambda) => e.where(e.and(e.ge(x, e.neg(lambda)), e.le(x, lambda)), zero(x), x),
  vjp: (g, s) => where(logicalAnd(ge(s.x, -s.params[0]), le(s.x, s.params[0])), 0, g),
  keep: ["x"],
  kinks: [-0.5, 0.5],
})
export const tanhshrink: UnaryOp = unary({
  name: "tanhshrink",
  doc: "x - tanh(x).",
  float: true,
  expr: (x) => e.sub(x, e.tanh(x)),
  vjp: (g, s) => mul(g, square(tanh(s.x))),
  keep: ["x"],
})
