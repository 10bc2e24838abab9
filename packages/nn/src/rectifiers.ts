// More activations as layers: relatives of relu, those that shrink towards zero, gates.
import { ShapeError, shapeText, ValueError } from "@rondo/backend"
import {
  celu,
  type Generator,
  hardshrink,
  hardsigmoid,
  hardswish,
  hardtanh,
  leakyBy,
  leakyRelu,
  mish,
  noGrad,
  relu6,
  rreluSlopes,
  selu,
  sigmoid,
  softmin,
  softshrink,
  softsign,
  tanhshrink,
  type Tensor,
  threshold,
} from "@rondo/core"
import { Inplace, type InplaceOptions } from "./activation.js"
import { checkSize } from "./linear.js"
import { Module } from "./module.js"
import { emptyParameter, type FactoryOptions, type Parameter } from "./parameter.js"
import { pythonFloat } from "./printing.js"

// ---- without options, but that they may change x

/**
 * x limited to [0, 6].
 *
 * @example
 * ```ts
 * const y = new ReLU6().forward(tensor([-1, 8])) // 0 and 6
 * ```
 */
export class ReLU6 extends Inplace {
  forward(x: Tensor): Tensor {
    return this.inplace ? x.relu6_() : relu6(x)
  }
}

/**
 * 1.0507 times elu with alpha 1.6733 (Klambauer et al. 2017).
 *
 * @example
 * ```ts
 * const y = new SELU().forward(tensor([-1, 2])) // -1.1113 and 2.1014
 * ```
 */
export class SELU extends Inplace {
  forward(x: Tensor): Tensor {
    return this.inplace ? x.selu_() : selu(x)
  }
}

/**
 * x tanh(softplus(x)) (Misra 2019).
 *
 * @example
 * ```ts
 * const y = new Mish().forward(tensor([-1, 2])) // -0.3034 and 1.9440
 * ```
 */
export class Mish extends Inplace {
  forward(x: Tensor): Tensor {
    return this.inplace ? x.mish_() : mish(x)
  }
}

/**
 * x / 6 + 1/2 limited to [0, 1].
 *
 * @example
 * ```ts
 * const y = new Hardsigmoid().forward(tensor([-1, 4])) // 0.3333 and 1
 * ```
 */
export class Hardsigmoid extends Inplace {
  forward(x: Tensor): Tensor {
    return this.inplace ? x.hardsigmoid_() : hardsigmoid(x)
  }
  // PyTorch does not print the option here.
  protected override extraRepr(): string {
    return ""
  }
}

/**
 * x times {@link Hardsigmoid} of x.
 *
 * @example
 * ```ts
 * const y = new Hardswish().forward(tensor([-1, 4])) // -0.3333 and 4
 * ```
 */
export class Hardswish extends Inplace {
  forward(x: Tensor): Tensor {
    return this.inplace ? x.hardswish_() : hardswish(x)
  }
  // PyTorch does not print the option here.
  protected override extraRepr(): string {
    return ""
  }
}

/**
 * x / (1 + |x|).
 *
 * @example
 * ```ts
 * const y = new Softsign().forward(tensor([-1, 3])) // -0.5 and 0.75
 * ```
 */
export class Softsign extends Module {
  forward(x: Tensor): Tensor {
    return softsign(x)
  }
}

/**
 * x - tanh(x).
 *
 * @example
 * ```ts
 * const y = new Tanhshrink().forward(tensor([-1, 2])) // -0.2384 and 1.0360
 * ```
 */
export class Tanhshrink extends Module {
  forward(x: Tensor): Tensor {
    return tanhshrink(x)
  }
}

// ---- with options

/**
 * x where positive, else alpha (exp(x / alpha) - 1) (Barron 2017). Throws a ValueError for an alpha of 0.
 *
 * @example
 * ```ts
 * const y = new CELU(2).forward(tensor([-1, 2])) // -0.7869 and 2
 * ```
 */
export class CELU extends Inplace {
  readonly alpha: number
  constructor(alpha = 1, options: InplaceOptions = {}) {
    super(options)
    if (alpha === 0) throw new ValueError("CELU: alpha must not be 0")
    this.alpha = alpha
  }
  forward(x: Tensor): Tensor {
    return this.inplace ? x.celu_(this.alpha) : celu(x, this.alpha)
  }
  protected override get label(): string {
    return `alpha=${pythonFloat(this.alpha)}`
  }
}

/**
 * x limited to [minVal, maxVal]. Throws a ValueError unless minVal < maxVal.
 *
 * @example
 * ```ts
 * const y = new Hardtanh(-2, 2).forward(tensor([-3, 1])) // -2 and 1
 * ```
 */
export class Hardtanh extends Inplace {
  readonly minVal: number
  readonly maxVal: number
  constructor(minVal = -1, maxVal = 1, options: InplaceOptions = {}) {
    super(options)
    if (!(minVal < maxVal)) throw new ValueError(`Hardtanh: minVal must lie below maxVal: got ${minVal} and ${maxVal}`)
    this.minVal = minVal
    this.maxVal = maxVal
  }
  forward(x: Tensor): Tensor {
    return this.inplace ? x.hardtanh_(this.minVal, this.maxVal) : hardtanh(x, this.minVal, this.maxVal)
  }
  protected override get label(): string {
    return `min_val=${pythonFloat(this.minVal)}, max_val=${pythonFloat(this.maxVal)}`
  }
}

/**
 * x where it exceeds `threshold`, else `value`.
 *
 * @example
 * ```ts
 * const y = new Threshold(0.1, 20).forward(tensor([0, 1])) // 20 and 1
 * ```
 */
export class Threshold extends Inplace {
  readonly threshold: number
  readonly value: number
  constructor(threshold: number, value: number, options: InplaceOptions = {}) {
    super(options)
    this.threshold = threshold
    this.value = value
  }
  forward(x: Tensor): Tensor {
    return this.inplace ? x.threshold_(this.threshold, this.value) : threshold(x, this.threshold, this.value)
  }
  protected override get label(): string {
    return `threshold=${this.threshold}, value=${this.value}`
  }
}

/**
 * x moved towards 0 by `lambda`, and 0 within it. Throws a ValueError for a negative lambda.
 *
 * @example
 * ```ts
 * const y = new Softshrink().forward(tensor([-0.25, 2])) // 0 and 1.5
 * ```
 */
export class Softshrink extends Module {
  readonly lambda: number
  constructor(lambda = 0.5) {
    super()
    if (!(lambda >= 0)) throw new ValueError(`Softshrink: lambda must not be negative: got ${lambda}`)
    this.lambda = lambda
  }
  forward(x: Tensor): Tensor {
    return softshrink(x, this.lambda)
  }
  protected override extraRepr(): string {
    return String(this.lambda)
  }
}

/**
 * x, but 0 within [-lambda, lambda].
 *
 * @example
 * ```ts
 * const y = new Hardshrink().forward(tensor([-0.25, 2])) // 0 and 2
 * ```
 */
export class Hardshrink extends Module {
  readonly lambda: number
  constructor(lambda = 0.5) {
    super()
    this.lambda = lambda
  }
  forward(x: Tensor): Tensor {
    return hardshrink(x, this.lambda)
  }
  protected override extraRepr(): string {
    return String(this.lambda)
  }
}

/**
 * Softmax of -x along `dim`.
 *
 * @example
 * ```ts
 * const p = new Softmin(-1).forward(tensor([[1, 2, 3]])) // 0.6652, 0.2447, 0.0900
 * ```
 */
export class Softmin extends Module {
  readonly dim: number
  constructor(dim: number) {
    super()
    this.dim = dim
  }
  forward(x: Tensor): Tensor {
    return softmin(x, this.dim)
  }
  protected override extraRepr(): string {
    return `dim=${this.dim}`
  }
}

// ---- learned and random slopes

/**
 * x where positive, else x times `weight`: one number for all, or one for each channel, which is dim 1.
 * Throws a ShapeError if the channels do not fit.
 *
 * @param weight - `[1]` or `[C]`.
 * @example
 * ```ts
 * const y = prelu(tensor([-1, 2]), tensor([0.25])) // -0.25 and 2
 * ```
 */
export function prelu(x: Tensor, weight: Tensor): Tensor {
  const count = weight.numel()
  if (weight.ndim > 1) throw new ShapeError(`prelu: the weight must have one dim: got ${shapeText(weight.shape)}`)
  if (count === 1) return leakyBy(x, weight.reshape([]))
  if (x.ndim < 2 || x.shape[1] !== count) {
    throw new ShapeError(`prelu: got ${count} slopes for x ${shapeText(x.shape)}, expected 1, or one for each channel of dim 1`) // prettier-ignore
  }
  return leakyBy(x, weight.reshape(x.shape.map((_, d) => (d === 1 ? count : 1))))
}

/**
 * {@link prelu} with learned slopes (He et al. 2015); they start at `init`.
 *
 * @example
 * ```ts
 * const y = new PReLU().forward(tensor([-1, 2])) // -0.25 and 2
 * ```
 */
export class PReLU extends Module {
  readonly numParameters: number
  /** `[numParameters]` */
  weight: Parameter
  constructor(numParameters = 1, { init = 0.25, ...factory }: FactoryOptions & { readonly init?: number } = {}) {
    super()
    checkSize("PReLU", "numParameters", numParameters, 1)
    this.numParameters = numParameters
    this.weight = emptyParameter([numParameters], factory)
    noGrad(() => this.weight.fill_(init))
  }
  forward(x: Tensor): Tensor {
    return prelu(x, this.weight)
  }
  protected override extraRepr(): string {
    return `num_parameters=${this.numParameters}`
  }
}

/** Options of {@link rrelu}. */
export interface RReLUOptions extends InplaceOptions {
  /** Draw the slopes; else their mean is taken. Default false. */
  readonly training?: boolean
  /** Default: the process-wide generator. */
  readonly generator?: Generator
}

/**
 * x where positive, else x times a slope that is drawn for each element from [lower, upper) (Xu et al. 2015): PyTorch's
 * draws, which read x at once. Throws a ValueError unless lower <= upper.
 *
 * @example
 * ```ts
 * const y = rrelu(tensor([-1, 2])) // -0.2292 and 2
 * ```
 */
export function rrelu(x: Tensor, lower = 1 / 8, upper = 1 / 3, options: RReLUOptions = {}): Tensor {
  const { training = false, inplace = false, generator } = options
  if (!(lower <= upper)) throw new ValueError(`rrelu: lower must not exceed upper: got ${lower} and ${upper}`)
  if (!training) {
    const slope = (lower + upper) / 2
    return inplace ? x.leakyRelu_(slope) : leakyRelu(x, slope)
  }
  const slopes = rreluSlopes(x, lower, upper, generator)
  return inplace ? x.leakyBy_(slopes) : leakyBy(x, slopes)
}

/**
 * {@link rrelu} as a layer: slopes are drawn while training.
 *
 * @example
 * ```ts
 * const y = new RReLU(0.1, 0.3).eval().forward(tensor([-1, 2])) // -0.2 and 2
 * ```
 */
export class RReLU extends Inplace {
  readonly lower: number
  readonly upper: number
  constructor(lower = 1 / 8, upper = 1 / 3, options: InplaceOptions = {}) {
    super(options)
    this.lower = lower
    this.upper = upper
  }
  forward(x: Tensor): Tensor {
    return rrelu(x, this.lower, this.upper, { training: this.training, inplace: this.inplace })
  }
  protected override get label(): string {
    return `lower=${this.lower}, upper=${this.upper}`
  }
}

// ---- gates

/**
 * The first half of `dim` times the sigmoid of the second (Dauphin et al. 2017). Throws a ShapeError for an odd size.
 *
 * @example
 * ```ts
 * const y = glu(tensor([[1, 2, 0, 0]])) // [[0.5, 1]]
 * ```
 */
export function glu(x: Tensor, dim = -1): Tensor {
  const size = x.size(dim)
  if (x.ndim === 0 || size === undefined || size % 2 !== 0) {
    throw new ShapeError(`glu: needs an even size at dim ${dim}: got x ${shapeText(x.shape)}`)
  }
  return x.narrow(dim, 0, size / 2).mul(sigmoid(x.narrow(dim, size / 2, size / 2)))
}

/**
 * {@link glu} as a layer.
 *
 * @example
 * ```ts
 * const y = new GLU().forward(ones(2, 6)) // [2, 3]
 * ```
 */
export class GLU extends Module {
  readonly dim: number
  constructor(dim = -1) {
    super()
    this.dim = dim
  }
  forward(x: Tensor): Tensor {
    return glu(x, this.dim)
  }
  protected override extraRepr(): string {
    return `dim=${this.dim}`
  }
}
