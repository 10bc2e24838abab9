// Nonlinearities and reshapes as layers: each is one operation of core with its options.
import {
  checkOptions,
  elu,
  gelu,
  geluTanh,
  leakyRelu,
  logSigmoid,
  logSoftmax,
  type OptionChecks,
  relu,
  sigmoid,
  silu,
  softmax,
  softplus,
  tanh,
  type Tensor,
} from "@rondo/core"
import { Module } from "./module.js"
import { pythonFloat } from "./printing.js"

/** Option of the activations that can overwrite their input. */
export interface InplaceOptions {
  /** Change x itself. Default false. */
  readonly inplace?: boolean
}

const inplaceChecks: OptionChecks<InplaceOptions> = { inplace: "flag" }

/** Base of those: remembers the option, and prints it as PyTorch does. */
export abstract class Inplace extends Module {
  readonly inplace: boolean
  constructor(options?: InplaceOptions) {
    super()
    const { inplace = false } = checkOptions(new.target.name, inplaceChecks, options)
    this.inplace = inplace
  }
  /** What stands in front of the option. */
  protected get label(): string {
    return ""
  }
  protected override extraRepr(): string {
    return [this.label, this.inplace ? "inplace=True" : ""].filter(Boolean).join(", ")
  }
}

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
export class ReLU extends Inplace {
  forward(x: Tensor): Tensor {
    return this.inplace ? x.relu_() : relu(x)
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
/** Options of {@link GELU}. */
export interface GELUOptions {
  /** The error function itself, or Hendrycks' and Gimpel's approximation by tanh. Default none. */
  readonly approximate?: "none" | "tanh"
}

const geluChecks: OptionChecks<GELUOptions> = { approximate: ["none", "tanh"] }

/**
 * x times the normal distribution function of x: exact, by the error function, or approximated by tanh (Hendrycks and
 * Gimpel 2016). Throws a ValueError for another approximation.
 *
 * @example
 * ```ts
 * const y = new GELU().forward(tensor([-1, 2])) // -0.1587 and 1.9545
 * ```
 */
export class GELU extends Module {
  readonly approximate: "none" | "tanh"
  constructor(options?: GELUOptions) {
    super()
    const { approximate = "none" } = checkOptions("GELU", geluChecks, options)
    this.approximate = approximate
  }
  forward(x: Tensor): Tensor {
    return this.approximate === "tanh" ? geluTanh(x) : gelu(x)
  }
  protected override extraRepr(): string {
    return `approximate='${this.approximate}'`
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
export class SiLU extends Inplace {
  forward(x: Tensor): Tensor {
    return this.inplace ? x.silu_() : silu(x)
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
export class LeakyReLU extends Inplace {
  readonly negativeSlope: number
  constructor(negativeSlope = 0.01, options: InplaceOptions = {}) {
    super(options)
    this.negativeSlope = negativeSlope
  }
  forward(x: Tensor): Tensor {
    return this.inplace ? x.leakyRelu_(this.negativeSlope) : leakyRelu(x, this.negativeSlope)
  }
  protected override get label(): string {
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
export class ELU extends Inplace {
  readonly alpha: number
  constructor(alpha = 1, options: InplaceOptions = {}) {
    super(options)
    this.alpha = alpha
  }
  forward(x: Tensor): Tensor {
    return this.inplace ? x.elu_(this.alpha) : elu(x, this.alpha)
  }
  protected override get label(): string {
    return `alpha=${pythonFloat(this.alpha)}`
  }
}
/** Options of {@link Softplus}. */
export interface SoftplusOptions {
  /** How sharp the bend is. Default 1. */
  readonly beta?: number
  /** Where beta x is larger, x itself is the result. Default 20. */
  readonly threshold?: number
}

const softplusChecks: OptionChecks<SoftplusOptions> = { beta: "real", threshold: "real" }

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
  constructor(options?: SoftplusOptions) {
    super()
    const { beta = 1, threshold = 20 } = checkOptions("Softplus", softplusChecks, options)
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
