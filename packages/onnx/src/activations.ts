// The activations of nn in ONNX's operators, as they are outside of training.
import {
  CELU,
  ELU,
  GELU,
  GLU,
  Hardshrink,
  Hardsigmoid,
  Hardswish,
  Hardtanh,
  LeakyReLU,
  LogSigmoid,
  LogSoftmax,
  Mish,
  type Module,
  PReLU,
  ReLU,
  ReLU6,
  RReLU,
  SELU,
  Sigmoid,
  SiLU,
  Softmax,
  Softmin,
  Softplus,
  Softshrink,
  Softsign,
  Tanh,
  Tanhshrink,
  Threshold,
} from "@rondo/nn"
import type { Graph } from "./graph.js"
import { asFloat } from "./proto.js"
import type { Value } from "./recorder.js"
import { row, type Row } from "./rows.js"
import { readAxis } from "./shape.js"

type Step<M> = (g: Graph, x: Value, module: M) => Value

const activation = <M extends Module>(type: abstract new (...args: never[]) => M, step: Step<M>): Row =>
  row(type, (g, module, [x]) => step(g, x, module), { floats: true })

const clip = (g: Graph, x: Value, low: number, high: number): Value =>
  g.node("Clip", [x, g.constant(low), g.constant(high)], [x])[0]

/** `low` where x is at most the limit, else `high`: also for NaN. */
function split(g: Graph, x: Value, limit: number, low: Value, high: Value): Value {
  const [condition] = g.node("LessOrEqual", [x, g.constant(limit)], [{ dtype: "bool", shape: x.shape }])
  return g.node("Where", [condition, low, high], [high])[0]
}

function gelu(g: Graph, x: Value, { approximate }: GELU): Value {
  if (approximate === "none") {
    const erf = g.unary("Erf", g.mul(x, Math.SQRT1_2))
    return g.mul(g.mul(x, g.add(erf, 1)), 0.5)
  }
  const cubed = g.add(x, g.mul(g.mul(g.mul(x, x), x), 0.044715))
  return g.mul(g.mul(x, g.add(g.tanh(g.mul(cubed, Math.sqrt(2 / Math.PI))), 1)), 0.5)
}

function softplus(g: Graph, x: Value, { beta, threshold }: Softplus): Value {
  const scaled = beta === 1 ? x : g.mul(x, beta)
  const soft = g.unary("Softplus", scaled)
  const out = beta === 1 ? soft : g.div(soft, beta)
  // From 20 on, log(1 + exp(x)) and x are the same float32.
  return threshold >= 20 ? out : split(g, scaled, threshold, out, x)
}

function prelu(g: Graph, x: Value, { weight }: PReLU): Value {
  const [count] = weight.shape
  // Slopes of channels lie along dim 1; ONNX broadcasts from the last dim.
  const behind = Math.max(x.shape.length - 2, 0)
  const shape = count === 1 ? [1] : [count, ...Array<number>(behind).fill(1)]
  const slope = g.weight([weight], shape.length === 1 ? "" : `of rank ${shape.length}`, { shape, arrange: (v) => v })
  return g.node("PRelu", [x, slope], [x])[0]
}

const axisOf = (x: Value, dim: number) => ({ axis: readAxis("softmax", dim, x.shape.length) })

/** Rows of the table of layers. */
export const activations: readonly Row[] = [
  activation(Tanh, (g, x) => g.tanh(x)),
  activation(Sigmoid, (g, x) => g.sigmoid(x)),
  activation(ReLU, (g, x) => g.relu(x)),
  activation(ReLU6, (g, x) => clip(g, x, 0, 6)),
  activation(Hardtanh, (g, x, { minVal, maxVal }) => clip(g, x, minVal, maxVal)),
  activation(LeakyReLU, (g, x, { negativeSlope }) => g.unary("LeakyRelu", x, { alpha: asFloat(negativeSlope) })),
  activation(RReLU, (g, x, { lower, upper }) => g.unary("LeakyRelu", x, { alpha: asFloat((lower + upper) / 2) })),
  activation(PReLU, prelu),
  activation(ELU, (g, x, { alpha }) => g.unary("Elu", x, { alpha: asFloat(alpha) })),
  activation(CELU, (g, x, { alpha }) => g.unary("Celu", x, { alpha: asFloat(alpha) })),
  activation(SELU, (g, x) => g.unary("Selu", x)),
  activation(GELU, gelu),
  activation(SiLU, (g, x) => g.mul(x, g.sigmoid(x))),
  activation(Mish, (g, x) => g.mul(x, g.tanh(g.unary("Softplus", x)))),
  activation(Softplus, softplus),
  activation(LogSigmoid, (g, x) => g.unary("Neg", g.unary("Softplus", g.unary("Neg", x)))),
  activation(Hardsigmoid, (g, x) => g.unary("HardSigmoid", x, { alpha: asFloat(1 / 6), beta: asFloat(0.5) })),
  activation(Hardswish, (g, x) => g.unary("HardSwish", x)),
  activation(Softsign, (g, x) => g.unary("Softsign", x)),
  activation(Tanhshrink, (g, x) => g.sub(x, g.tanh(x))),
  activation(Softshrink, (g, x, { lambda }) => g.unary("Shrink", x, { lambd: asFloat(lambda), bias: asFloat(lambda) })),
  // Not ONNX's Shrink, which turns NaN into 0.
  activation(Hardshrink, (g, x, { lambda }) => split(g, g.unary("Abs", x), lambda, g.constant(0), x)),
  activation(Threshold, (g, x, { threshold, value }) => split(g, x, threshold, g.constant(value), x)),
  activation(Softmax, (g, x, { dim }) => g.unary("Softmax", x, axisOf(x, dim))),
  activation(LogSoftmax, (g, x, { dim }) => g.unary("LogSoftmax", x, axisOf(x, dim))),
  activation(Softmin, (g, x, { dim }) => g.unary("Softmax", g.unary("Neg", x), axisOf(x, dim))),
  activation(GLU, (g, x, { dim }) => {
    const [values, gates] = g.chunk(x, 2, dim)
    return g.mul(values, g.sigmoid(gates))
  }),
]
