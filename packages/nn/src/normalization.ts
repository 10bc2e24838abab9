// Layers that bring values to mean 0 and variance 1: over features, over the batch, over groups of channels.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import {
  addcmul,
  checkOptions,
  noGrad,
  type OptionChecks,
  standardize,
  standardized,
  type Tensor,
  zeros,
} from "@rondo/core"
import { ones_, zeros_ } from "./init.js"
import { checkSize, needTensor } from "./linear.js"
import { Module } from "./module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "./parameter.js"
import { pythonBool, pythonFloat } from "./printing.js"

/** `values * weight + bias`, either of which may be missing. */
function scaled(values: Tensor, weight: Tensor | null, bias: Tensor | null): Tensor {
  if (weight && bias) return addcmul(bias, values, weight)
  const out = weight ? values.mul(weight) : values
  return bias ? out.add(bias) : out
}

/** Options of {@link LayerNorm}. */
export interface LayerNormOptions extends FactoryOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number
  /** Learn a factor and an offset for each element. Default true. */
  readonly elementwiseAffine?: boolean
}

const layerChecks: OptionChecks<LayerNormOptions> = { eps: "real", elementwiseAffine: "flag", ...factoryChecks }

/**
 * Mean 0 and variance 1 over the last dims, whose sizes `normalizedShape` gives, then times `weight` plus `bias` (Ba et al.
 * 2016). x is `[..., ...normalizedShape]`, as is the result. Throws a ShapeError if x does not fit.
 *
 * @example
 * ```ts
 * const layer = new LayerNorm(8)
 * const y = layer.forward(randn(4, 5, 8)) // [4, 5, 8], each 8 of mean 0
 * ```
 */
export class LayerNorm extends Module {
  readonly normalizedShape: readonly number[]
  readonly eps: number
  readonly elementwiseAffine: boolean
  weight: Parameter | null
  bias: Parameter | null

  constructor(normalizedShape: number | readonly number[], options?: LayerNormOptions) {
    super()
    const { eps = 1e-5, elementwiseAffine = true, ...factory } = checkOptions("LayerNorm", layerChecks, options)
    const shape = Array.isArray(normalizedShape) ? [...(normalizedShape as number[])] : [normalizedShape as number]
    if (shape.length === 0) throw new ValueError("LayerNorm: normalizedShape must name at least one dim: got []")
    for (const size of shape) checkSize("LayerNorm", "each size of normalizedShape", size)
    this.normalizedShape = shape
    this.eps = eps
    this.elementwiseAffine = elementwiseAffine
    this.weight = elementwiseAffine ? emptyParameter(shape, factory) : null
    this.bias = elementwiseAffine ? emptyParameter(shape, factory) : null
    this.resetParameters()
  }
  /** Ones and zeros. */
  resetParameters(): void {
    if (this.weight) ones_(this.weight)
    if (this.bias) zeros_(this.bias)
  }
  forward(x: Tensor): Tensor {
    const { normalizedShape: shape } = this
    needTensor("LayerNorm", x)
    const lead = x.ndim - shape.length
    if (lead < 0 || shape.some((size, d) => size !== x.shape[lead + d])) {
      throw new ShapeError(`LayerNorm: got x ${shapeText(x.shape)}, expected [..., ${shape.join(", ")}]`)
    }
    const dims = shape.map((_, d) => lead + d)
    return scaled(standardize(x, dims, { eps: this.eps }), this.weight, this.bias)
  }
  protected override extraRepr(): string {
    const { normalizedShape: shape, eps, elementwiseAffine } = this
    const text = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`
    return `${text}, eps=${pythonFloat(eps)}, elementwise_affine=${pythonBool(elementwiseAffine)}`
  }
}

/** Options of {@link BatchNorm1d} and {@link InstanceNorm1d}. */
export interface BatchNormOptions extends FactoryOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number
  /** Weight of the newest batch in the running statistics; null averages over all batches. Default 0.1. */
  readonly momentum?: number | null
  /** Learn a factor and an offset for each channel. Default true (InstanceNorm1d: false). */
  readonly affine?: boolean
  /** Keep running statistics, which eval mode then uses. Default true (InstanceNorm1d: false). */
  readonly trackRunningStats?: boolean
}

const batchChecks: OptionChecks<BatchNormOptions> = {
  eps: "real",
  momentum: "real|null",
  affine: "flag",
  trackRunningStats: "flag",
  ...factoryChecks,
}

/** What batch and instance normalisation share: parameters, running statistics, the two modes. */
abstract class ChannelNorm extends Module {
  readonly numFeatures: number
  readonly eps: number
  readonly momentum: number | null
  readonly affine: boolean
  readonly trackRunningStats: boolean
  weight: Parameter | null
  bias: Parameter | null
  /** `[numFeatures]`, named as PyTorch's key. */
  declare running_mean: Tensor | null
  /** `[numFeatures]` */
  declare running_var: Tensor | null
  /** Without dims; int32, and int64 loads too. */
  declare num_batches_tracked: Tensor | null

  constructor(name: string, numFeatures: number, options: Required<Omit<BatchNormOptions, keyof FactoryOptions>>, factory: FactoryOptions) {
    super()
    checkSize(name, "numFeatures", numFeatures)
    this.numFeatures = numFeatures
    this.eps = options.eps
    this.momentum = options.momentum
    this.affine = options.affine
    this.trackRunningStats = options.trackRunningStats
    this.weight = options.affine ? emptyParameter([numFeatures], factory) : null
    this.bias = options.affine ? emptyParameter([numFeatures], factory) : null
    const tracked = options.trackRunningStats
    this.registerBuffer("running_mean", tracked ? zeros(numFeatures, factory) : null)
    this.registerBuffer("running_var", tracked ? zeros(numFeatures, factory) : null)
    this.registerBuffer("num_batches_tracked", tracked ? zeros([], { device: factory.device, dtype: "int32" }) : null)
    this.resetParameters()
  } // prettier-ignore
  /** Running mean 0 and variance 1. */
  resetRunningStats(): void {
    noGrad(() => {
      this.running_mean?.zero_()
      this.running_var?.fill_(1)
      this.num_batches_tracked?.zero_()
    })
  }
  /** Ones and zeros, and fresh running statistics. */
  resetParameters(): void {
    this.resetRunningStats()
    if (this.weight) ones_(this.weight)
    if (this.bias) zeros_(this.bias)
  }

  /** x `[N, C, L]` (or `[N, C]`) by statistics over `dims`. */
  protected normalised(x: Tensor, dims: readonly number[], counts: boolean): Tensor {
    const along = (v: Tensor | null): Tensor | null =>
      v && v.reshape(Array.from({ length: x.ndim }, (_, d) => (d === 1 ? this.numFeatures : 1)))
    const { running_mean: mean, running_var: variance } = this
    if (!this.training && mean && variance) {
      const values = x.sub(along(mean) as Tensor).mul((along(variance) as Tensor).add(this.eps).rsqrt())
      return scaled(values, along(this.weight), along(this.bias))
    }
    const found = standardized(x, dims, this.eps)
    if (this.training && mean && variance) this.#update(found.mean, found.variance, sizeOf(dims.map((d) => x.shape[d])), counts) // prettier-ignore
    return scaled(found.values, along(this.weight), along(this.bias))
  }
  #update(mean: Tensor, variance: Tensor, count: number, counts: boolean): void {
    const { running_mean: runningMean, running_var: runningVar, num_batches_tracked: batches } = this
    noGrad(() => {
      if (counts) batches?.add_(1)
      // An empty batch is counted, and tells nothing.
      if (count === 0) return
      const own = (v: Tensor): Tensor => (v.numel() === this.numFeatures ? v.reshape(-1) : v.mean([0, 2]))
      // Running variances are unbiased, the ones of the batch itself are not.
      const [newMean, newVar] = [own(mean), own(variance).mul(count / (count - 1))]
      for (const [running, latest] of [[runningMean, newMean], [runningVar, newVar]] as const) {
        if (!running) continue
        const gap = latest.sub(running)
        const factor = this.momentum ?? (counts && batches ? batches.to(running.dtype).reciprocal() : 0)
        running.add_(gap.mul(factor).to(running.dtype))
      }
    })
  } // prettier-ignore
  protected override extraRepr(): string {
    const { numFeatures, eps, momentum, affine, trackRunningStats } = this
    return `${numFeatures}, eps=${pythonFloat(eps)}, momentum=${momentum ?? "None"}, affine=${pythonBool(affine)}, track_running_stats=${pythonBool(trackRunningStats)}`
  }
}

/**
 * Mean 0 and variance 1 for each channel over the batch, then times `weight` plus `bias` (Ioffe and Szegedy 2015). After
 * `eval()` by the running statistics. x is `[N, C]` or `[N, C, L]`.
 *
 * Throws a ShapeError if x does not fit, and a ValueError for one value a channel while training.
 *
 * @example
 * ```ts
 * const layer = new BatchNorm1d(3)
 * const y = layer.forward(randn(8, 3, 5)) // [8, 3, 5]
 * ```
 */
export class BatchNorm1d extends ChannelNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    const given = checkOptions("BatchNorm1d", batchChecks, options)
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true, ...factory } = given
    super("BatchNorm1d", numFeatures, { eps, momentum, affine, trackRunningStats }, factory)
  }
  forward(x: Tensor): Tensor {
    const { numFeatures } = this
    needTensor("BatchNorm1d", x)
    if ((x.ndim !== 2 && x.ndim !== 3) || x.shape[1] !== numFeatures) {
      throw new ShapeError(`BatchNorm1d: got x ${shapeText(x.shape)}, expected [N, ${numFeatures}] or [N, ${numFeatures}, L]`) // prettier-ignore
    }
    const dims = x.ndim === 2 ? [0] : [0, 2]
    const byBatch = this.training || !this.running_mean
    if (byBatch && sizeOf(dims.map((d) => x.shape[d])) === 1) {
      throw new ValueError(`BatchNorm1d: needs more than one value a channel: got x ${shapeText(x.shape)}`)
    }
    return this.normalised(x, dims, true)
  }
}

/**
 * Mean 0 and variance 1 for each channel of each example over its length (Ulyanov et al. 2016). x is `[N, C, L]` or
 * unbatched `[C, L]`. Throws a ShapeError if x does not fit, and a ValueError for a length of 1 while training.
 *
 * @example
 * ```ts
 * const y = new InstanceNorm1d(3).forward(randn(8, 3, 5)) // [8, 3, 5]
 * ```
 */
export class InstanceNorm1d extends ChannelNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    const given = checkOptions("InstanceNorm1d", batchChecks, options)
    const { eps = 1e-5, momentum = 0.1, affine = false, trackRunningStats = false, ...factory } = given
    super("InstanceNorm1d", numFeatures, { eps, momentum, affine, trackRunningStats }, factory)
  }
  forward(x: Tensor): Tensor {
    const { numFeatures } = this
    needTensor("InstanceNorm1d", x)
    const batched = x.ndim === 3 ? x : x.ndim === 2 ? x.unsqueeze(0) : null
    if (!batched || batched.shape[1] !== numFeatures) {
      throw new ShapeError(`InstanceNorm1d: got x ${shapeText(x.shape)}, expected [N, ${numFeatures}, L] or [${numFeatures}, L]`) // prettier-ignore
    }
    if (batched.shape[2] === 1 && (this.training || !this.running_mean)) {
      throw new ValueError(`InstanceNorm1d: needs more than one value a channel: got x ${shapeText(x.shape)}`)
    }
    const out = this.normalised(batched, [2], false)
    return x.ndim === 3 ? out : out.squeeze(0)
  }
}

/** Options of {@link GroupNorm}. */
export interface GroupNormOptions extends FactoryOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number
  /** Learn a factor and an offset for each channel. Default true. */
  readonly affine?: boolean
}

const groupChecks: OptionChecks<GroupNormOptions> = { eps: "real", affine: "flag", ...factoryChecks }

/**
 * Mean 0 and variance 1 over each of `numGroups` groups of channels of each example (Wu and He 2018). x is `[N, C, ...]`.
 * Throws a ValueError if the groups do not divide the channels or hold one value each, a ShapeError if x does not fit.
 *
 * @example
 * ```ts
 * const y = new GroupNorm(2, 6).forward(randn(4, 6, 5)) // [4, 6, 5]
 * ```
 */
export class GroupNorm extends Module {
  readonly numGroups: number
  readonly numChannels: number
  readonly eps: number
  readonly affine: boolean
  weight: Parameter | null
  bias: Parameter | null

  constructor(numGroups: number, numChannels: number, options?: GroupNormOptions) {
    super()
    const { eps = 1e-5, affine = true, ...factory } = checkOptions("GroupNorm", groupChecks, options)
    checkSize("GroupNorm", "numGroups", numGroups, 1)
    checkSize("GroupNorm", "numChannels", numChannels)
    if (numChannels % numGroups !== 0) {
      throw new ValueError(`GroupNorm: the groups must divide the channels: got ${numGroups} and ${numChannels}`)
    }
    this.numGroups = numGroups
    this.numChannels = numChannels
    this.eps = eps
    this.affine = affine
    this.weight = affine ? emptyParameter([numChannels], factory) : null
    this.bias = affine ? emptyParameter([numChannels], factory) : null
    this.resetParameters()
  }
  /** Ones and zeros. */
  resetParameters(): void {
    if (this.weight) ones_(this.weight)
    if (this.bias) zeros_(this.bias)
  }
  forward(x: Tensor): Tensor {
    const { numGroups, numChannels } = this
    needTensor("GroupNorm", x)
    if (x.ndim < 2 || x.shape[1] !== numChannels) {
      throw new ShapeError(`GroupNorm: got x ${shapeText(x.shape)}, expected [N, ${numChannels}, ...]`)
    }
    if (sizeOf(x.shape) === numGroups) {
      throw new ValueError(`GroupNorm: needs more than one value a group: got x ${shapeText(x.shape)}`)
    }
    const grouped = x.reshape(x.shape[0], numGroups, sizeOf(x.shape.slice(1)) / numGroups)
    const values = standardize(grouped, 2, { eps: this.eps }).reshape(x.shape)
    const along = (v: Tensor | null): Tensor | null => v && v.reshape([numChannels, ...x.shape.slice(2).map(() => 1)])
    return scaled(values, along(this.weight), along(this.bias))
  }
  protected override extraRepr(): string {
    const { numGroups, numChannels, eps, affine } = this
    return `${numGroups}, ${numChannels}, eps=${pythonFloat(eps)}, affine=${pythonBool(affine)}`
  }
}
