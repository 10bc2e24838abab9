// Activations, rounding and limits: element-wise rows that build on the arithmetic ones.
import { e, type Expr, isFloat } from "@rondo/backend"
import { ternary, type TernaryOp, unary, type UnaryOp } from "../elementwise.js"
import { add, div, exp, mul, neg, square, sub } from "./arithmetic.js"
import { ge, gt, isfinite, le, logicalAnd, where } from "./logic.js"

const one = (x: Expr): Expr => e.like(x, 1)
const zero = (x: Expr): Expr => e.like(x, 0)
const half = (x: Expr): Expr => e.like(x, 0.5)

// ---- activations

export const tanh: UnaryOp = unary({
  name: "tanh",
  doc: "Hyperbolic tangent.",
  float: true,
  expr: e.tanh,
  vjp: (g, s) => mul(g, sub(1, square(s.out))),
  keep: ["out"],
})
export const sigmoid: UnaryOp = unary({
  name: "sigmoid",
  doc: "1 / (1 + exp(-x)).",
  float: true,
  expr: e.sigmoid,
  vjp: (g, s) => mul(g, mul(s.out, sub(1, s.out))),
  keep: ["out"],
})
export const logSigmoid: UnaryOp = unary({
  name: "logSigmoid",
  doc: "log(sigmoid(x)) without overflow.",
  float: true,
  expr: (x) => e.sub(e.min(x, zero(x)), e.log1p(e.exp(e.neg(e.abs(x))))),
  vjp: (g, s) => mul(g, sigmoid(neg(s.x))),
  keep: ["x"],
})
export const relu: UnaryOp = unary({
  name: "relu",
  doc: "max(x, 0); the gradient at 0 is 0, NaN stays.",
  expr: (x) => e.max(x, zero(x)),
  vjp: (g, s) => where(le(s.out, 0), 0, g),
  keep: ["out"],
  kinks: [0],
})
export const leakyRelu: UnaryOp = unary({
  name: "leakyRelu",
  doc: "x where positive, else x times `negativeSlope`.",
  params: { negativeSlope: 0.01 },
  expr: (x, slope) => e.where(e.gt(x, zero(x)), x, e.mul(x, slope)),
  vjp: (g, s) => where(gt(s.x, 0), g, mul(g, s.params[0])),
  keep: ["x"],
  kinks: [0],
})
export const softplus: UnaryOp = unary({
  name: "softplus",
  doc: "log(1 + exp(beta x)) / beta; linear where beta x exceeds `threshold`.",
  float: true,
  params: { beta: 1, threshold: 20 },
  expr: (x, beta, threshold) => {
    const bx = e.mul(beta, x)
    return e.where(e.gt(bx, threshold), x, e.div(e.log1p(e.exp(bx)), beta))
  },
  vjp: (g, s) => mul(g, where(gt(mul(s.x, s.params[0]), s.params[1]), 1, sigmoid(mul(s.x, s.params[0])))),
  keep: ["x"],
})
export const erf: UnaryOp = unary({
  name: "erf",
  doc: "Error function.",
  float: true,
  expr: e.erf,
  vjp: (g, s) => mul(g, mul(exp(neg(square(s.x))), 2 / Math.sqrt(Math.PI))),
  keep: ["x"],
})
export const gelu: UnaryOp = unary({
  name: "gelu",
  doc: "x times the normal distribution function of x.",
  float: true,
  expr: (x) => e.mul(e.mul(half(x), x), e.add(one(x), e.erf(e.mul(x, e.like(x, Math.SQRT1_2))))),
  vjp: (g, s) => {
    const cdf = add(erf(mul(s.x, Math.SQRT1_2)), 1).mul(0.5)
    const pdf = mul(exp(mul(square(s.x), -0.5)), 1 / Math.sqrt(2 * Math.PI))
    return mul(g, add(cdf, mul(s.x, pdf)))
  },
  keep: ["x"],
})
export const silu: UnaryOp = unary({
  name: "silu",
  doc: "x sigmoid(x).",
  float: true,
  expr: (x) => e.mul(x, e.sigmoid(x)),
  vjp: (g, s) => {
    const p = sigmoid(s.x)
    return mul(g, mul(p, add(mul(s.x, sub(1, p)), 1)))
  },
  keep: ["x"],
})

// ---- choice

export const clamp: UnaryOp = unary({
  name: "clamp",
  doc: "x limited to [min, max], by a fraction also of integers; the gradient passes where x lies within, borders included.",
  limits: true,
  params: { min: -Infinity, max: Infinity },
  // An absent limit is a constant, and is left out: integers have no infinity.
  expr: (x, min, max) => {
    const low = min.kind === "const" && min.value === -Infinity ? x : e.max(x, min)
    return max.kind === "const" && max.value === Infinity ? low : e.min(low, max)
  },
  vjp: (g, s) => where(logicalAnd(ge(s.x, s.params[0]), le(s.x, s.params[1])), g, 0),
  keep: ["x"],
})
export const lerp: TernaryOp = ternary({
  name: "lerp",
  doc: "x + weight (y - x).",
  float: true,
  // The second form is exact at weight 1 (PyTorch's rule).
  expr: (x, y, w) => {
    const gap = e.sub(y, x)
    return e.where(e.lt(e.abs(w), half(w)), e.add(x, e.mul(w, gap)), e.sub(y, e.mul(gap, e.sub(one(w), w))))
  },
  vjp: [(g, s) => mul(g, sub(1, s.z)), (g, s) => mul(g, s.z), (g, s) => mul(g, sub(s.y, s.x))],
  keep: ["x", "y", "z"],
})
export const addcmul: TernaryOp = ternary({
  name: "addcmul",
  doc: "x + `value` y z.",
  params: { value: 1 },
  expr: (x, y, z, value) => e.add(x, e.mul(e.mul(value, y), z)),
  vjp: [(g) => g, (g, s) => mul(g, mul(s.z, s.params[0])), (g, s) => mul(g, mul(s.y, s.params[0]))],
  keep: ["y", "z"],
})
export const addcdiv: TernaryOp = ternary({
  name: "addcdiv",
  doc: "x + `value` y / z.",
  float: true,
  params: { value: 1 },
  expr: (x, y, z, value) => e.add(x, e.div(e.mul(value, y), z)),
  vjp: [(g) => g, (g, s) => mul(g, div(s.params[0], s.z)), (g, s) => mul(g, mul(div(s.y, square(s.z)), -s.params[0]))],
  keep: ["y", "z"],
  domain: [0.5, 2],
})
/** The largest float32; for float64 it stands for that type's own limit. */
const largest = 3.4028234663852886e38

export const nanToNum: UnaryOp = unary({
  name: "nanToNum",
  doc: "NaN and infinities replaced by `nan`, `posinf` and `neginf` (default: 0 and the limits of the dtype).",
  params: { nan: 0, posinf: largest, neginf: -largest },
  expr: (x, nan, posinf, neginf) => {
    if (!isFloat(x.dtype)) return x
    const wide = (limit: Expr, sign: number): Expr =>
      x.dtype === "float64"
        ? e.where(e.eq(limit, e.like(x, sign * largest)), e.like(x, sign * Number.MAX_VALUE), limit)
        : limit
    const [up, down] = [wide(posinf, 1), wide(neginf, -1)]
    const finite = e.where(e.eq(x, e.like(x, Infinity)), up, e.where(e.eq(x, e.like(x, -Infinity)), down, x))
    return e.where(e.ne(x, x), nan, finite)
  },
  vjp: (g, s) => mul(g, isfinite(s.x)),
  keep: ["x"],
})
