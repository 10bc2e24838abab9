// What losses sum up: the error of each element as one element-wise row, with the gradients that PyTorch defines.
import { e, type Expr } from "@rondo/backend"
import { binary, type BinaryOp, ternary, type TernaryOp } from "../elementwise.js"
import { clamp, logSigmoid, sigmoid } from "./activation.js"
import { add, div, exp, log, log1p, mul, neg, sign, square, sub } from "./arithmetic.js"
import { eq, where } from "./logic.js"
import { hardtanh } from "./rectifiers.js"

const one = (x: Expr): Expr => e.like(x, 1)
const zero = (x: Expr): Expr => e.like(x, 0)
const half = (x: Expr): Expr => e.like(x, 0.5)

export const squaredError: BinaryOp = binary({
  name: "squaredError",
  doc: "(x - y) squared.",
  float: true,
  expr: (x, y) => {
    const gap = e.sub(x, y)
    return e.mul(gap, gap)
  },
  vjp: [(g, s) => mul(g, mul(sub(s.x, s.y), 2)), (g, s) => mul(g, mul(sub(s.y, s.x), 2))],
  keep: ["x", "y"],
})
export const absoluteError: BinaryOp = binary({
  name: "absoluteError",
  doc: "|x - y|; the gradient at 0 is 0.",
  float: true,
  expr: (x, y) => e.abs(e.sub(x, y)),
  vjp: [(g, s) => mul(g, sign(sub(s.x, s.y))), (g, s) => mul(g, sign(sub(s.y, s.x)))],
  keep: ["x", "y"],
  kinks: [0],
})
export const huberError: BinaryOp = binary({
  name: "huberError",
  doc: "Half of (x - y) squared up to a distance of `delta`, linear beyond.",
  float: true,
  params: { delta: 1 },
  expr: (x, y, delta) => {
    const gap = e.abs(e.sub(x, y))
    const near = e.mul(half(x), e.mul(gap, gap))
    return e.where(e.le(gap, delta), near, e.mul(delta, e.sub(gap, e.mul(half(x), delta))))
  },
  vjp: [
    (g, s) => mul(g, hardtanh(sub(s.x, s.y), -s.params[0], s.params[0])),
    (g, s) => mul(g, hardtanh(sub(s.y, s.x), -s.params[0], s.params[0])),
  ],
  keep: ["x", "y"],
  kinks: [-1, 1],
})
export const smoothL1Error: BinaryOp = binary({
  name: "smoothL1Error",
  doc: "|x - y| - beta / 2 from a distance of `beta` on, below that (x - y) squared / (2 beta).",
  float: true,
  params: { beta: 1 },
  expr: (x, y, beta) => {
    const gap = e.abs(e.sub(x, y))
    const near = e.div(e.mul(e.mul(half(x), gap), gap), beta)
    return e.where(e.lt(gap, beta), near, e.sub(gap, e.mul(half(x), beta)))
  },
  vjp: [
    (g, s) => mul(g, hardtanh(div(sub(s.x, s.y), s.params[0]))),
    (g, s) => mul(g, hardtanh(div(sub(s.y, s.x), s.params[0]))),
  ],
  keep: ["x", "y"],
  kinks: [-1, 1],
})

/** Logarithms of probabilities stay above this, so that a probability of 0 costs much but not infinity (PyTorch's bound). */
const floor = -100
/** Keeps the gradient finite where the probability is 0 or 1 (PyTorch's bound, which it rounds to float32 for every dtype). */
const smallest = Math.fround(1e-12)
/** The same where the slope is differentiated. */
const guard = 1e-12

/** The slope of {@link bceError} by p. Its own derivatives have PyTorch's guards (torch/csrc/autograd/FunctionsManual.cpp). */
const bceSlope: BinaryOp = binary({
  name: "bceSlope",
  doc: "(p - y) / (p (1 - p)), the divisor at least 1e-12.",
  float: true,
  expr: (p, y) => e.div(e.sub(p, y), e.max(e.mul(e.sub(one(p), p), p), e.like(p, smallest))),
  vjp: [
    (g, s) => {
      const guarded = mul(add(s.x, guard), add(sub(1, s.x), guard))
      return mul(g, div(add(sub(square(s.x), mul(mul(s.x, s.y), 2)), s.y), square(guarded)))
    },
    (g, s) => neg(div(g, clamp(mul(sub(1, s.x), s.x), guard))),
  ],
  keep: ["x", "y"],
})

export const bceError: BinaryOp = binary({
  name: "bceError",
  doc: "-(y log p + (1 - y) log(1 - p)) for the probability p (first operand); logarithms stay above -100.",
  float: true,
  expr: (p, y) => {
    const hit = e.max(e.log(p), e.like(p, floor))
    const miss = e.max(e.log1p(e.neg(p)), e.like(p, floor))
    return e.sub(e.mul(e.sub(y, one(y)), miss), e.mul(y, hit))
  },
  vjp: [(g, s) => mul(g, bceSlope(s.x, s.y)), (g, s) => mul(g, sub(log1p(neg(s.x)), log(s.x)))],
  keep: ["x", "y"],
  domain: [0.1, 0.9],
})
export const bceLogitsError: TernaryOp = ternary({
  name: "bceLogitsError",
  doc: "As bceError of sigmoid(x) without overflow; where y is 1, the error counts z times (1 for no weighting).",
  float: true,
  expr: (x, y, z) => {
    // -log(sigmoid(x)) = max(-x, 0) + log(1 + exp(-|x|))
    const miss = e.add(e.max(e.neg(x), zero(x)), e.log1p(e.exp(e.neg(e.abs(x)))))
    return e.add(e.mul(e.sub(one(y), y), x), e.mul(e.add(e.mul(e.sub(z, one(z)), y), one(y)), miss))
  },
  vjp: [
    (g, s) => mul(g, sub(sub(1, s.y), mul(add(mul(sub(s.z, 1), s.y), 1), sigmoid(neg(s.x))))),
    (g, s) => mul(g, sub(mul(sub(1, s.z), logSigmoid(s.x)), s.x)),
    (g, s) => mul(g, mul(s.y, logSigmoid(s.x))).neg(),
  ],
  keep: ["x", "y", "z"],
})
export const klError: BinaryOp = binary({
  name: "klError",
  doc: "y (log y - x) for the log-probability x and the probability y, which counts 0 where it is 0.",
  float: true,
  expr: (x, y) => e.sub(e.where(e.eq(y, zero(y)), zero(y), e.mul(y, e.log(y))), e.mul(y, x)),
  vjp: [
    (g, s) => mul(g, neg(s.y)),
    // y / y is 1, or NaN at 0, where the slope is infinite.
    (g, s) => mul(g, sub(add(where(eq(s.y, 0), 0, log(s.y)), div(s.y, s.y)), s.x)),
  ],
  keep: [["y"], ["x", "y"]],
  domain: [
    [-2, 0],
    [0.1, 1],
  ],
})
export const klLogError: BinaryOp = binary({
  name: "klLogError",
  doc: "exp(y) (y - x) for log-probabilities x and y.",
  float: true,
  expr: (x, y) => e.mul(e.exp(y), e.sub(y, x)),
  vjp: [(g, s) => mul(g, neg(exp(s.y))), (g, s) => mul(g, mul(exp(s.y), add(sub(s.y, s.x), 1)))],
  keep: [["y"], ["x", "y"]],
})
