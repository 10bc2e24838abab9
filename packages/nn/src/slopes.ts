// Activations with slopes that are learned or drawn, and gates.
import { ShapeError, shapeText, ValueError } from "@rondo/backend"
import {
  checkOptions,
  type Generator,
  leakyBy,
  leakyRelu,
  noGrad,
  type OptionChecks,
  rreluSlopes,
  sigmoid,
  type Tensor,
} from "@rondo/core"
import { Inplace, type InplaceOptions } from "./activation.js"
import { checkSize, inOrder, needTensor } from "./linear.js"
import { Module } from "./module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "./parameter.js"

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
  for (const operand of [x, weight]) needTensor("prelu", operand)
  const count = weight.numel()
  if (weight.ndim > 1) throw new ShapeError(`prelu: the weight must have one dim: got ${shapeText(weight.shape)}`)
  if (count === 1) return leakyBy(x, weight.reshape([]))
  if (x.ndim < 2 || x.shape[1] !== count) {
    throw new ShapeError(`prelu: got ${count} slopes for x ${shapeText(x.shape)}, expected 1, or one for each channel of dim 1`) // prettier-ignore
  }
  return leakyBy(x, weight.reshape(x.shape.map((_, d) => (d === 1 ? count : 1))))
}

/** Options of {@link PReLU}. */
export interface PReLUOptions extends FactoryOptions {
  /** What the slopes start at. Default 0.25. */
  readonly init?: number
}

const preluChecks: OptionChecks<PReLUOptions> = { init: "real", ...factoryChecks }

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
  constructor(numParameters = 1, options?: PReLUOptions) {
    super()
    const { init = 0.25, ...factory } = checkOptions("PReLU", preluChecks, options)
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

const rreluChecks: OptionChecks<RReLUOptions> = { training: "flag", inplace: "flag", generator: "generator" }

/**
 * x where positive, else x times a slope that is drawn for each element from [lower, upper) (Xu et al. 2015): PyTorch's
 * draws, which read x at once. Throws a ValueError unless lower <= upper.
 *
 * @example
 * ```ts
 * const y = rrelu(tensor([-1, 2])) // -0.2292 and 2
 * ```
 */
export function rrelu(x: Tensor, lower = 1 / 8, upper = 1 / 3, options?: RReLUOptions): Tensor {
  const { training = false, inplace = false, generator } = checkOptions("rrelu", rreluChecks, options)
  if (!inOrder(lower, upper)) {
    throw new ValueError(`rrelu: lower must not exceed upper: got ${String(lower)} and ${String(upper)}`)
  }
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
  needTensor("glu", x)
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
