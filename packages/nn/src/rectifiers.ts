// More activations as layers: relatives of relu, those that shrink towards zero.
import { ValueError } from "@rondo/backend"
import {
  celu,
  hardshrink,
  hardsigmoid,
  hardswish,
  hardtanh,
  mish,
  relu6,
  selu,
  softmin,
  softshrink,
  softsign,
  tanhshrink,
  type Tensor,
  threshold,
} from "@rondo/core"
import { Inplace, type InplaceOptions } from "./activation.js"
import { inOrder } from "./linear.js"
import { Module } from "./module.js"
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
    if (!inOrder(minVal, maxVal) || minVal === maxVal) {
      throw new ValueError(`Hardtanh: minVal must lie below maxVal: got ${String(minVal)} and ${String(maxVal)}`)
    }
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
    if (!inOrder(0, lambda)) throw new ValueError(`Softshrink: lambda must not be negative: got ${String(lambda)}`)
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
