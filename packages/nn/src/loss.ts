// Losses as modules: the functions of functional.ts with their options fixed; weights are buffers.
import type { Tensor } from "@rondo/core"
import {
  type BCELogitsOptions,
  type BCEOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  checkReduction,
  crossEntropy,
  type CrossEntropyOptions,
  huberLoss,
  type HuberOptions,
  l1Loss,
  type LossOptions,
  mseLoss,
  nllLoss,
  type NLLOptions,
  type Reduction,
  smoothL1Loss,
  type SmoothL1Options,
} from "./functional.js"
import { Module } from "./module.js"

/** Base of the loss modules: the reduction, checked. */
export abstract class Loss extends Module {
  readonly reduction: Reduction
  constructor(name: string, { reduction = "mean" }: LossOptions) {
    super()
    checkReduction(name, reduction)
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
  constructor(options: LossOptions = {}) {
    super("MSELoss", options)
  }
  forward(x: Tensor, y: Tensor): Tensor {
    return mseLoss(x, y, this)
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
  constructor(options: LossOptions = {}) {
    super("L1Loss", options)
  }
  forward(x: Tensor, y: Tensor): Tensor {
    return l1Loss(x, y, this)
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
  constructor({ beta = 1, ...options }: SmoothL1Options = {}) {
    super("SmoothL1Loss", options)
    this.beta = beta
  }
  forward(x: Tensor, y: Tensor): Tensor {
    return smoothL1Loss(x, y, this)
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
  constructor({ delta = 1, ...options }: HuberOptions = {}) {
    super("HuberLoss", options)
    this.delta = delta
  }
  forward(x: Tensor, y: Tensor): Tensor {
    return huberLoss(x, y, this)
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
  constructor({ weight = null, ignoreIndex = -100, ...options }: NLLOptions = {}) {
    super("NLLLoss", options)
    this.registerBuffer("weight", weight)
    this.ignoreIndex = ignoreIndex
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return nllLoss(x, target, this)
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
  constructor({ weight = null, ignoreIndex = -100, labelSmoothing = 0, ...options }: CrossEntropyOptions = {}) {
    super("CrossEntropyLoss", options)
    this.registerBuffer("weight", weight)
    this.ignoreIndex = ignoreIndex
    this.labelSmoothing = labelSmoothing
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return crossEntropy(x, target, this)
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
  constructor({ weight = null, ...options }: BCEOptions = {}) {
    super("BCELoss", options)
    this.registerBuffer("weight", weight)
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropy(x, target, this)
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
  constructor({ weight = null, posWeight = null, ...options }: BCELogitsOptions = {}) {
    super("BCEWithLogitsLoss", options)
    this.registerBuffer("weight", weight)
    this.registerBuffer("pos_weight", posWeight)
  }
  get posWeight(): Tensor | null {
    return this.pos_weight
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropyWithLogits(x, target, this)
  }
}
