// Losses as modules: the functions of functional.ts with their options fixed; weights are buffers.
import { checkOptions, type Tensor } from "@rondo/core"
import {
  bceChecks,
  bceLogitsChecks,
  type BCELogitsOptions,
  type BCEOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  crossEntropy,
  crossEntropyChecks,
  type CrossEntropyOptions,
  huberChecks,
  huberLoss,
  type HuberOptions,
  l1Loss,
  lossChecks,
  type LossOptions,
  mseLoss,
  nllChecks,
  nllLoss,
  type NLLOptions,
  type Reduction,
  smoothL1Checks,
  smoothL1Loss,
  type SmoothL1Options,
} from "./functional.js"
import { Module } from "./module.js"

/** Base of the loss modules: the reduction. */
export abstract class Loss extends Module {
  readonly reduction: Reduction
  constructor({ reduction = "mean" }: LossOptions) {
    super()
    this.reduction = reduction
  }
}

/**
 * {@link mseLoss} as a module.
 *
 * @example
 * ```ts
 * const criterion = new MSELoss()
 * const loss = criterion.forward(tensor([1, 2]), tensor([1, 4]))
 * console.log(await loss.item()) // 2
 * ```
 */
export class MSELoss extends Loss {
  constructor(options?: LossOptions) {
    super(checkOptions("MSELoss", lossChecks, options))
  }
  forward(x: Tensor, y: Tensor): Tensor {
    return mseLoss(x, y, { reduction: this.reduction })
  }
}

/**
 * {@link l1Loss} as a module.
 *
 * @example
 * ```ts
 * const loss = new L1Loss({ reduction: "sum" }).forward(tensor([1, 2]), tensor([1, 4])) // 2
 * ```
 */
export class L1Loss extends Loss {
  constructor(options?: LossOptions) {
    super(checkOptions("L1Loss", lossChecks, options))
  }
  forward(x: Tensor, y: Tensor): Tensor {
    return l1Loss(x, y, { reduction: this.reduction })
  }
}

/**
 * {@link smoothL1Loss} as a module.
 *
 * @example
 * ```ts
 * const loss = new SmoothL1Loss({ beta: 0.5 }).forward(tensor([1, 2]), tensor([1, 4])) // 0.875
 * ```
 */
export class SmoothL1Loss extends Loss {
  readonly beta: number
  constructor(options?: SmoothL1Options) {
    const { beta = 1, ...shared } = checkOptions("SmoothL1Loss", smoothL1Checks, options)
    super(shared)
    this.beta = beta
  }
  forward(x: Tensor, y: Tensor): Tensor {
    const { beta, reduction } = this
    return smoothL1Loss(x, y, { beta, reduction })
  }
}

/**
 * {@link huberLoss} as a module.
 *
 * @example
 * ```ts
 * const loss = new HuberLoss({ delta: 0.5 }).forward(tensor([1, 2]), tensor([1, 4])) // 0.4375
 * ```
 */
export class HuberLoss extends Loss {
  readonly delta: number
  constructor(options?: HuberOptions) {
    const { delta = 1, ...shared } = checkOptions("HuberLoss", huberChecks, options)
    super(shared)
    this.delta = delta
  }
  forward(x: Tensor, y: Tensor): Tensor {
    const { delta, reduction } = this
    return huberLoss(x, y, { delta, reduction })
  }
}

/**
 * {@link nllLoss} as a module; the weights are a buffer.
 *
 * @example
 * ```ts
 * const loss = new NLLLoss().forward(logSoftmax(zeros(2, 4), 1), tensor([0, 3], { dtype: "int32" })) // 1.3863
 * ```
 */
export class NLLLoss extends Loss {
  declare weight: Tensor | null
  readonly ignoreIndex: number
  constructor(options?: NLLOptions) {
    const { weight = null, ignoreIndex = -100, ...shared } = checkOptions("NLLLoss", nllChecks, options)
    super(shared)
    this.registerBuffer("weight", weight)
    this.ignoreIndex = ignoreIndex
  }
  forward(x: Tensor, target: Tensor): Tensor {
    const { weight, ignoreIndex, reduction } = this
    return nllLoss(x, target, { weight, ignoreIndex, reduction })
  }
}

/**
 * {@link crossEntropy} as a module; the weights are a buffer.
 *
 * @example
 * ```ts
 * const criterion = new CrossEntropyLoss({ labelSmoothing: 0.1 })
 * const loss = criterion.forward(zeros(2, 4), tensor([0, 3], { dtype: "int32" }))
 * console.log((await loss.item()).toFixed(4)) // 1.3863
 * ```
 */
export class CrossEntropyLoss extends Loss {
  declare weight: Tensor | null
  readonly ignoreIndex: number
  readonly labelSmoothing: number
  constructor(options?: CrossEntropyOptions) {
    const given = checkOptions("CrossEntropyLoss", crossEntropyChecks, options)
    const { weight = null, ignoreIndex = -100, labelSmoothing = 0, ...shared } = given
    super(shared)
    this.registerBuffer("weight", weight)
    this.ignoreIndex = ignoreIndex
    this.labelSmoothing = labelSmoothing
  }
  forward(x: Tensor, target: Tensor): Tensor {
    const { weight, ignoreIndex, labelSmoothing, reduction } = this
    return crossEntropy(x, target, { weight, ignoreIndex, labelSmoothing, reduction })
  }
}

/**
 * {@link binaryCrossEntropy} as a module; the weights are a buffer.
 *
 * @example
 * ```ts
 * const loss = new BCELoss().forward(tensor([0.5, 0.9]), tensor([1, 1])) // 0.3993
 * ```
 */
export class BCELoss extends Loss {
  declare weight: Tensor | null
  constructor(options?: BCEOptions) {
    const { weight = null, ...shared } = checkOptions("BCELoss", bceChecks, options)
    super(shared)
    this.registerBuffer("weight", weight)
  }
  forward(x: Tensor, target: Tensor): Tensor {
    const { weight, reduction } = this
    return binaryCrossEntropy(x, target, { weight, reduction })
  }
}

/**
 * {@link binaryCrossEntropyWithLogits} as a module; both weights are buffers.
 *
 * @example
 * ```ts
 * const loss = new BCEWithLogitsLoss().forward(tensor([0, 100]), tensor([1, 0])) // 50.3466
 * ```
 */
export class BCEWithLogitsLoss extends Loss {
  declare weight: Tensor | null
  /** Named as PyTorch's key. */
  declare pos_weight: Tensor | null
  constructor(options?: BCELogitsOptions) {
    const given = checkOptions("BCEWithLogitsLoss", bceLogitsChecks, options)
    const { weight = null, posWeight = null, ...shared } = given
    super(shared)
    this.registerBuffer("weight", weight)
    this.registerBuffer("pos_weight", posWeight)
  }
  get posWeight(): Tensor | null {
    return this.pos_weight
  }
  forward(x: Tensor, target: Tensor): Tensor {
    const { weight, posWeight, reduction } = this
    return binaryCrossEntropyWithLogits(x, target, { weight, posWeight, reduction })
  }
}
