// Nonlinearities and reshapes as layers: each is one operation of core with its options.
import {
  elu,
  gelu,
  leakyRelu,
  logSigmoid,
  logSoftmax,
  relu,
  sigmoid,
  silu,
  softmax,
  softplus,
  tanh,
  type Tensor,
} from "@rondo/core"
import { Module } from "./module.js"

/**
 * Hyperbolic tangent of each element, any shape.
 *
 * @example
 * ```ts
 * const y = new Tanh().forward(tensor([0, 1])) // 0 and 0.7616
 * ```
 */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return tanh(x)
  }
}
/**
 * max(x, 0) of each element, any shape.
 *
 * @example
 * ```ts
 * const y = new ReLU().forward(tensor([-1, 2])) // 0 and 2
 * ```
 */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x)
  }
}
/**
 * 1 / (1 + exp(-x)) of each element, any shape.
 *
 * @example
 * ```ts
 * const y = new Sigmoid().forward(tensor([0, 2])) // 0.5 and 0.8808
 * ```
 */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return sigmoid(x)
  }
}
/**
 * log(sigmoid(x)) of each element without overflow, any shape.
 *
 * @example
 * ```ts
 * const y = new LogSigmoid().forward(tensor([0, 2])) // -0.6931 and -0.1269
 * ```
 */
export class LogSigmoid extends Module {
  forward(x: Tensor): Tensor {
    return logSigmoid(x)
  }
}
/**
 * x times the normal distribution function of x (the exact form, by the error function).
 *
 * @example
 * ```ts
 * const y = new GELU().forward(tensor([-1, 2])) // -0.1587 and 1.9545
 * ```
 */
export class GELU extends Module {
  forward(x: Tensor): Tensor {
    return gelu(x)
  }
  protected override extraRepr(): string {
    return "approximate='none'"
  }
}
/**
 * x sigmoid(x), also called swish.
 *
 * @example
 * ```ts
 * const y = new SiLU().forward(tensor([-1, 2])) // -0.2689 and 1.7616
 * ```
 */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x)
  }
}
/**
 * x where positive, else x times `negativeSlope`.
 *
 * @example
 * ```ts
 * const y = new LeakyReLU(0.2).forward(tensor([-1, 2])) // -0.2 and 2
 * ```
 */
export class LeakyReLU extends Module {
  readonly negativeSlope: number
  constructor(negativeSlope = 0.01) {
    super()
    this.negativeSlope = negativeSlope
  }
  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.negativeSlope)
  }
  protected override extraRepr(): string {
    return `negative_slope=${this.negativeSlope}`
  }
}
/**
 * x where positive, else alpha (exp(x) - 1).
 *
 * @example
 * ```ts
 * const y = new ELU().forward(tensor([-1, 2])) // -0.6321 and 2
 * ```
 */
export class ELU extends Module {
  readonly alpha: number
  constructor(alpha = 1) {
    super()
    this.alpha = alpha
  }
  forward(x: Tensor): Tensor {
    return elu(x, this.alpha)
  }
  protected override extraRepr(): string {
    return `alpha=${float(this.alpha)}`
  }
}
/**
 * log(1 + exp(beta x)) / beta, linear where beta x exceeds `threshold`.
 *
 * @example
 * ```ts
 * const y = new Softplus().forward(tensor([0, 2])) // 0.6931 and 2.1269
 * ```
 */
export class Softplus extends Module {
  readonly beta: number
  readonly threshold: number
  constructor({ beta = 1, threshold = 20 }: { readonly beta?: number; readonly threshold?: number } = {}) {
    super()
    this.beta = beta
    this.threshold = threshold
  }
  forward(x: Tensor): Tensor {
    return softplus(x, this.beta, this.threshold)
  }
  protected override extraRepr(): string {
    return `beta=${this.beta}, threshold=${this.threshold}`
  }
}
/**
 * Positive numbers along `dim` that sum to 1.
 *
 * @example
 * ```ts
 * const p = new Softmax(-1).forward(tensor([[1, 2, 3]]))
 * console.log(await p.print()) // tensor([[0.0900, 0.2447, 0.6652]])
 * ```
 */
export class Softmax extends Module {
  readonly dim: number
  constructor(dim: number) {
    super()
    this.dim = dim
  }
  forward(x: Tensor): Tensor {
    return softmax(x, this.dim)
  }
  protected override extraRepr(): string {
    return `dim=${this.dim}`
  }
}
/**
 * Logarithm of {@link Softmax}, without overflow.
 *
 * @example
 * ```ts
 * const y = new LogSoftmax(-1).forward(tensor([[1, 2, 3]])) // -2.4076, -1.4076, -0.4076
 * ```
 */
export class LogSoftmax extends Module {
  readonly dim: number
  constructor(dim: number) {
    super()
    this.dim = dim
  }
  forward(x: Tensor): Tensor {
    return logSoftmax(x, this.dim)
  }
  protected override extraRepr(): string {
    return `dim=${this.dim}`
  }
}
/**
 * Joins dims `startDim` to `endDim` (both included) into one; by default all but the first.
 *
 * @example
 * ```ts
 * const y = new Flatten().forward(ones(2, 3, 4)) // [2, 12]
 * ```
 */
export class Flatten extends Module {
  readonly startDim: number
  readonly endDim: number
  constructor(startDim = 1, endDim = -1) {
    super()
    this.startDim = startDim
    this.endDim = endDim
  }
  forward(x: Tensor): Tensor {
    return x.flatten(this.startDim, this.endDim)
  }
  protected override extraRepr(): string {
    return `start_dim=${this.startDim}, end_dim=${this.endDim}`
  }
}

/** As Python prints a float. */
const float = (x: number): string => (Number.isInteger(x) ? `${x}.0` : String(x))
