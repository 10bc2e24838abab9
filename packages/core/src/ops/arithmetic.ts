// Element-wise arithmetic and functions: one row each, with its expression, its gradient and where to test it.
import { DTypeError, e, type Expr, isFloat } from "@rondo/backend"
import { binary, type BinaryOp, unary, type UnaryOp } from "../elementwise.js"
import type { Tensor } from "../tensor.js"
import { eq, ge, gt, logicalAnd, lt, where } from "./logic.js"

const one = (x: Expr): Expr => e.like(x, 1)
const zero = (x: Expr): Expr => e.like(x, 0)
const half = (x: Expr): Expr => e.like(x, 0.5)
// The gradient of steps: zeros, also where g is infinite or NaN and 0 times g would not be.
const flat = (g: Tensor): Tensor => where(lt(g, g), g, 0)
// PyTorch refuses them too: whoever writes a difference of masks means one of several things.
function notBool(x: Expr, text: string): void {
  if (x.dtype === "bool") throw new DTypeError(text)
}
// A factor of one that nobody changed costs nothing.
const scaled = (factor: Expr, x: Expr): Expr => (factor.kind === "const" && factor.value === 1 ? x : e.mul(factor, x))

// ---- arithmetic

export const add: BinaryOp = binary({
  name: "add",
  doc: "Sum of two tensors, the second times `alpha`. On bools: or.",
  params: { alpha: 1 },
  expr: (x, y, alpha) => (x.dtype === "bool" ? e.or(x, y) : e.add(x, scaled(alpha, y))),
  vjp: [(g) => g, (g, s) => (s.params[0] === 1 ? g : g.mul(s.params[0]))],
})
export const sub: BinaryOp = binary({
  name: "sub",
  doc: "Difference of two tensors, the second times `alpha`. Two bools are refused.",
  params: { alpha: 1 },
  expr: (x, y, alpha) => {
    notBool(x, 'sub: got bool and bool, expected a number among them; use logicalXor, or convert one: x.to("int32")')
    return e.sub(x, scaled(alpha, y))
  },
  vjp: [(g) => g, (g, s) => g.mul(-s.params[0])],
})
export const mul: BinaryOp = binary({
  name: "mul",
  doc: "Product of two tensors. On bools: and.",
  expr: (x, y) => (x.dtype === "bool" ? e.and(x, y) : e.mul(x, y)),
  vjp: [(g, s) => mul(g, s.y), (g, s) => mul(g, s.x)],
  keep: [["y"], ["x"]],
  plain: true,
})
export const div: BinaryOp = binary({
  name: "div",
  doc: "Quotient of two tensors, always a float.",
  float: true,
  expr: (x, y) => e.div(x, y),
  // Divided twice: the square of y would overflow or vanish where the quotient does not.
  vjp: [(g, s) => div(g, s.y), (g, s) => mul(g, div(div(s.x, s.y), s.y)).neg()],
  keep: [["y"], ["x", "y"]],
  plain: true,
  domain: [
    [-2, 2],
    [0.5, 2],
  ],
})
/** Python's rule, by way of the remainder: 1 // 0.1 is 9, since 0.1 is a little more than a tenth (as c10's div_floor_floating). */
function floorQuotient(x: Expr, y: Expr): Expr {
  const rest = e.mod(x, y)
  const plain = e.div(x, y)
  const whole = e.div(e.sub(x, rest), y)
  const wrong = e.and(e.ne(rest, zero(rest)), e.ne(e.lt(rest, zero(rest)), e.lt(y, zero(y))))
  const down = e.where(wrong, e.sub(whole, one(whole)), whole)
  const floor = e.floor(down)
  const nearest = e.where(e.gt(e.sub(down, floor), half(down)), e.add(floor, one(floor)), floor)
  // Of 0 the sign is that of the quotient.
  const signed = e.where(e.eq(down, zero(down)), e.mul(plain, zero(plain)), nearest)
  return e.where(e.eq(y, zero(y)), plain, signed)
}

export const floorDivide: BinaryOp = binary({
  name: "floorDivide",
  doc: "Quotient rounded down. Integers stay integers; an integer divided by zero gives 0.",
  expr: (x, y) => {
    if (isFloat(x.dtype)) return floorQuotient(x, y)
    const q = e.div(x, y)
    const inexact = e.ne(e.mul(q, y), x)
    const down = e.and(inexact, e.ne(e.lt(x, zero(x)), e.lt(y, zero(y))))
    return e.where(e.eq(y, zero(y)), zero(x), e.where(down, e.sub(q, one(q)), q))
  },
  vjp: null,
  domain: [
    [-4, 4],
    [0.5, 2],
  ],
})
export const remainder: BinaryOp = binary({
  name: "remainder",
  doc: "Remainder with the divisor's sign, as Python's `%`.",
  expr: (x, y) => {
    const r = e.mod(x, y)
    const wrong = e.and(e.ne(r, zero(r)), e.ne(e.lt(r, zero(r)), e.lt(y, zero(y))))
    return e.where(wrong, e.add(r, y), r)
  },
  vjp: [(g) => g, (g, s) => mul(g, floorDivide(s.x, s.y)).neg()],
  keep: ["x", "y"],
  domain: [
    [0.1, 0.9],
    [1, 2],
  ],
})
export const fmod: BinaryOp = binary({
  name: "fmod",
  doc: "Remainder with the dividend's sign, as C's `fmod`.",
  expr: (x, y) => e.mod(x, y),
  vjp: [(g) => g, (g, s) => mul(g, trunc(div(s.x, s.y))).neg()],
  keep: ["x", "y"],
  domain: [
    [0.1, 0.9],
    [1, 2],
  ],
})
export const pow: BinaryOp = binary({
  name: "pow",
  doc: "First operand raised to the second.",
  expr: (x, y) => e.pow(x, y),
  vjp: [
    // Where the exponent is 0 the derivative is 0 even at base 0, where x ** (y - 1) is infinite.
    (g, s) => where(eq(s.y, 0), 0, mul(g, mul(s.y, pow(s.x, sub(s.y, 1))))),
    // 0 ** y is constant for y >= 0, where log 0 would give NaN.
    (g, s) => where(logicalAnd(eq(s.x, 0), ge(s.y, 0)), 0, mul(g, mul(s.out, log(s.x)))),
  ],
  keep: ["x", "y", "out"],
  domain: [
    [0.5, 2],
    [-2, 2],
  ],
})
export const maximum: BinaryOp = binary({
  name: "maximum",
  doc: "Larger of two values; NaN wins. A tie shares the gradient equally.",
  expr: (x, y) => (x.dtype === "bool" ? e.or(x, y) : e.max(x, y)),
  vjp: [
    (g, s) => where(lt(s.x, s.y), 0, where(eq(s.x, s.y), mul(g, 0.5), g)),
    (g, s) => where(gt(s.x, s.y), 0, where(eq(s.x, s.y), mul(g, 0.5), g)),
  ],
  keep: ["x", "y"],
  kinks: [0],
})
export const minimum: BinaryOp = binary({
  name: "minimum",
  doc: "Smaller of two values; NaN wins. A tie shares the gradient equally.",
  expr: (x, y) => (x.dtype === "bool" ? e.and(x, y) : e.min(x, y)),
  vjp: [
    (g, s) => where(gt(s.x, s.y), 0, where(eq(s.x, s.y), mul(g, 0.5), g)),
    (g, s) => where(lt(s.x, s.y), 0, where(eq(s.x, s.y), mul(g, 0.5), g)),
  ],
  keep: ["x", "y"],
  kinks: [0],
})
export const atan2: BinaryOp = binary({
  name: "atan2",
  doc: "Angle of the point (second, first), in radians, in (-pi, pi].",
  float: true,
  expr: (y, x) => e.atan2(y, x),
  vjp: [
    (g, s) => mul(g, div(s.y, add(mul(s.x, s.x), mul(s.y, s.y)))),
    (g, s) => mul(g, div(mul(s.x, -1), add(mul(s.x, s.x), mul(s.y, s.y)))),
  ],
  keep: ["x", "y"],
  domain: [0.5, 2],
})
export const hypot: BinaryOp = binary({
  name: "hypot",
  doc: "Length of the hypotenuse, without overflow in between.",
  float: true,
  expr: (x, y) => {
    const big = e.max(e.abs(x), e.abs(y))
    const small = e.min(e.abs(x), e.abs(y))
    const ratio = e.div(small, big)
    const length = e.mul(big, e.sqrt(e.add(one(x), e.mul(ratio, ratio))))
    const plain = e.eq(big, zero(big))
    // C's rule: an infinite side wins, even over NaN.
    const infinite = e.or(e.eq(e.abs(x), e.like(x, Infinity)), e.eq(e.abs(y), e.like(y, Infinity)))
    return e.where(infinite, e.like(x, Infinity), e.where(plain, big, length))
  },
  vjp: [(g, s) => mul(g, div(s.x, s.out)), (g, s) => mul(g, div(s.y, s.out))],
  keep: ["x", "y", "out"],
  domain: [0.5, 2],
})
export const neg: UnaryOp = unary({
  name: "neg",
  doc: "Negative. Bools are refused.",
  expr: (x) => {
    notBool(x, 'neg: got bool, expected a number; use logicalNot, or convert it: x.to("int32")')
    return e.neg(x)
  },
  vjp: (g) => neg(g),
})
export const abs: UnaryOp = unary({
  name: "abs",
  doc: "Absolute value; the gradient at 0 is 0.",
  expr: e.abs,
  vjp: (g, s) => mul(g, sign(s.x)),
  keep: ["x"],
  kinks: [0],
})
export const sign: UnaryOp = unary({
  name: "sign",
  doc: "-1, 0 or 1. NaN gives 0, as in PyTorch.",
  expr: (x) => {
    const positive = e.where(e.gt(x, zero(x)), one(x), zero(x))
    return x.dtype === "uint8" || x.dtype === "uint32" ? positive : e.where(e.lt(x, zero(x)), e.like(x, -1), positive)
  },
  vjp: flat,
  kinks: [0],
})
export const square: UnaryOp = unary({
  name: "square",
  doc: "x times x; of bools an int32.",
  expr: (x) => (x.dtype === "bool" ? e.cast(x, "int32") : e.mul(x, x)),
  vjp: (g, s) => mul(g, mul(s.x, 2)),
  keep: ["x"],
})
export const reciprocal: UnaryOp = unary({
  name: "reciprocal",
  doc: "One over x.",
  float: true,
  expr: (x) => e.div(one(x), x),
  vjp: (g, s) => mul(g, square(s.out)).neg(),
  keep: ["out"],
  domain: [0.5, 2],
})
export const sqrt: UnaryOp = unary({
  name: "sqrt",
  doc: "Square root; NaN below zero.",
  float: true,
  expr: e.sqrt,
  vjp: (g, s) => div(g, mul(s.out, 2)),
  keep: ["out"],
  domain: [0.2, 3],
})
export const rsqrt: UnaryOp = unary({
  name: "rsqrt",
  doc: "One over the square root.",
  float: true,
  expr: (x) => e.div(one(x), e.sqrt(x)),
  vjp: (g, s) => mul(g, mul(pow(s.out, 3), -0.5)),
  keep: ["out"],
  domain: [0.2, 3],
})

// ---- exponentials

export const exp: UnaryOp = unary({
  name: "exp",
  doc: "e to the x.",
  float: true,
  expr: e.exp,
  vjp: (g, s) => mul(g, s.out),
  keep: ["out"],
})
export const exp2: UnaryOp = unary({
  name: "exp2",
  doc: "2 to the x.",
  float: true,
  expr: (x) => e.pow(e.like(x, 2), x),
  vjp: (g, s) => mul(g, mul(s.out, Math.LN2)),
  keep: ["out"],
})
export const expm1: UnaryOp = unary({
  name: "expm1",
  doc: "e to the x minus 1, exact near 0.",
  float: true,
  expr: e.expm1,
  vjp: (g, s) => mul(g, add(s.out, 1)),
  keep: ["out"],
})
export const log: UnaryOp = unary({
  name: "log",
  doc: "Natural logarithm.",
  float: true,
  expr: e.log,
  vjp: (g, s) => div(g, s.x),
  keep: ["x"],
  domain: [0.2, 3],
})
export const log1p: UnaryOp = unary({
  name: "log1p",
  doc: "Natural logarithm of 1 + x, exact near 0.",
  float: true,
  expr: e.log1p,
  vjp: (g, s) => div(g, add(s.x, 1)),
  keep: ["x"],
  domain: [-0.8, 2],
})
export const log2: UnaryOp = unary({
  name: "log2",
  doc: "Logarithm to base 2.",
  float: true,
  expr: e.log2,
  vjp: (g, s) => div(g, mul(s.x, Math.LN2)),
  keep: ["x"],
  domain: [0.2, 3],
})
export const log10: UnaryOp = unary({
  name: "log10",
  doc: "Logarithm to base 10.",
  float: true,
  expr: e.log10,
  vjp: (g, s) => div(g, mul(s.x, Math.LN10)),
  keep: ["x"],
  domain: [0.2, 3],
})
export const logaddexp: BinaryOp = binary({
  name: "logaddexp",
  doc: "log(exp(x) + exp(y)) without overflow.",
  float: true,
  expr: (x, y) => {
    const big = e.max(x, y)
    const gap = e.neg(e.abs(e.sub(x, y)))
    // Equal infinities: their difference would be NaN.
    return e.where(e.eq(e.abs(big), e.like(big, Infinity)), big, e.add(big, e.log1p(e.exp(gap))))
  },
  vjp: [(g, s) => mul(g, exp(sub(s.x, s.out))), (g, s) => mul(g, exp(sub(s.y, s.out)))],
  keep: ["x", "y", "out"],
})

// ---- trigonometry

export const sin: UnaryOp = unary({ name: "sin", doc: "Sine of radians.", float: true, expr: e.sin, vjp: (g, s) => mul(g, cos(s.x)), keep: ["x"] }) // prettier-ignore
export const cos: UnaryOp = unary({ name: "cos", doc: "Cosine of radians.", float: true, expr: e.cos, vjp: (g, s) => mul(g, sin(s.x)).neg(), keep: ["x"] }) // prettier-ignore
export const tan: UnaryOp = unary({
  name: "tan",
  doc: "Tangent of radians.",
  float: true,
  expr: e.tan,
  vjp: (g, s) => mul(g, add(square(s.out), 1)),
  keep: ["out"],
  domain: [-1.2, 1.2],
})
export const asin: UnaryOp = unary({
  name: "asin",
  doc: "Inverse sine.",
  float: true,
  expr: e.asin,
  vjp: (g, s) => mul(g, rsqrt(sub(1, square(s.x)))),
  keep: ["x"],
  domain: [-0.9, 0.9],
})
export const acos: UnaryOp = unary({
  name: "acos",
  doc: "Inverse cosine.",
  float: true,
  expr: e.acos,
  vjp: (g, s) => mul(g, rsqrt(sub(1, square(s.x)))).neg(),
  keep: ["x"],
  domain: [-0.9, 0.9],
})
export const atan: UnaryOp = unary({
  name: "atan",
  doc: "Inverse tangent.",
  float: true,
  expr: e.atan,
  vjp: (g, s) => div(g, add(square(s.x), 1)),
  keep: ["x"],
})
export const sinh: UnaryOp = unary({ name: "sinh", doc: "Hyperbolic sine.", float: true, expr: e.sinh, vjp: (g, s) => mul(g, cosh(s.x)), keep: ["x"] }) // prettier-ignore
export const cosh: UnaryOp = unary({ name: "cosh", doc: "Hyperbolic cosine.", float: true, expr: e.cosh, vjp: (g, s) => mul(g, sinh(s.x)), keep: ["x"] }) // prettier-ignore
export const asinh: UnaryOp = unary({
  name: "asinh",
  doc: "Inverse hyperbolic sine.",
  float: true,
  expr: (x) => {
    // log(|x| + sqrt(x^2 + 1)) arranged so that small x keep their digits and large x do not overflow.
    const a = e.abs(x)
    const inverse = e.div(one(x), a)
    const root = e.sqrt(e.add(one(x), e.mul(inverse, inverse)))
    const small = e.log1p(e.add(a, e.div(e.mul(a, a), e.add(one(x), e.sqrt(e.add(one(x), e.mul(a, a)))))))
    const large = e.add(e.log(a), e.log(e.add(one(x), root)))
    const value = e.where(e.lt(a, e.like(a, 1e4)), small, large)
    return e.where(e.lt(x, zero(x)), e.neg(value), e.where(e.eq(x, zero(x)), x, value))
  },
  vjp: (g, s) => mul(g, rsqrt(add(square(s.x), 1))),
  keep: ["x"],
})
export const acosh: UnaryOp = unary({
  name: "acosh",
  doc: "Inverse hyperbolic cosine; NaN below 1.",
  float: true,
  expr: (x) => {
    const t = e.sub(x, one(x))
    const near = e.log1p(e.add(t, e.sqrt(e.add(e.mul(t, t), e.mul(e.like(t, 2), t)))))
    const far = e.add(e.log(x), e.like(x, Math.LN2))
    return e.where(e.lt(x, one(x)), e.like(x, NaN), e.where(e.lt(x, e.like(x, 1e9)), near, far))
  },
  vjp: (g, s) => mul(g, rsqrt(sub(square(s.x), 1))),
  keep: ["x"],
  domain: [1.2, 3],
})
export const atanh: UnaryOp = unary({
  name: "atanh",
  doc: "Inverse hyperbolic tangent.",
  float: true,
  expr: (x) => e.mul(half(x), e.sub(e.log1p(x), e.log1p(e.neg(x)))),
  vjp: (g, s) => div(g, sub(1, square(s.x))),
  keep: ["x"],
  domain: [-0.9, 0.9],
})

// ---- rounding

export const floor: UnaryOp = unary({ name: "floor", doc: "Largest integer not above x.", expr: (x) => (isFloat(x.dtype) ? e.floor(x) : x), vjp: flat, kinks: [-2, -1, 0, 1, 2] }) // prettier-ignore
export const ceil: UnaryOp = unary({ name: "ceil", doc: "Smallest integer not below x.", expr: (x) => (isFloat(x.dtype) ? e.ceil(x) : x), vjp: flat, kinks: [-2, -1, 0, 1, 2] }) // prettier-ignore
export const round: UnaryOp = unary({ name: "round", doc: "Nearest integer, ties to even.", expr: (x) => (isFloat(x.dtype) ? e.round(x) : x), vjp: flat, kinks: [-1.5, -0.5, 0.5, 1.5] }) // prettier-ignore
export const trunc: UnaryOp = unary({ name: "trunc", doc: "Integer part.", expr: (x) => (isFloat(x.dtype) ? e.trunc(x) : x), vjp: flat, kinks: [-2, -1, 0, 1, 2] }) // prettier-ignore
export const frac: UnaryOp = unary({ name: "frac", doc: "x minus its integer part.", float: true, expr: (x) => e.sub(x, e.trunc(x)), vjp: (g) => g, kinks: [-2, -1, 0, 1, 2] }) // prettier-ignore
