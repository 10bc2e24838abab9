// Start values for parameters: torch.nn.init, drawing the same numbers in the same order. Each fills in place, unrecorded.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { checkOptions, eye, type Generator, noGrad, type OptionChecks, type Tensor, truncNormal_ as drawTruncated } from "@rondo/core" // prettier-ignore

export { dirac_, orthogonal_, type OrthogonalOptions, sparse_ } from "./patterns.js"

/** Options of the initialisers that draw. */
export interface DrawOptions {
  /** Default: the process-wide generator. */
  readonly generator?: Generator
}

const drawChecks: OptionChecks<DrawOptions> = { generator: "generator" }

/**
 * Fills `x` with uniform numbers in [from, to). Returns it, as all here do.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.uniform_(layer.weight, -0.1, 0.1)
 * ```
 */
export function uniform_<T extends Tensor>(x: T, from = 0, to = 1, options?: DrawOptions): T {
  const { generator } = checkOptions("uniform_", drawChecks, options)
  noGrad(() => x.uniform_(from, to, generator))
  return x
}
/**
 * Fills `x` with normal numbers.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.normal_(layer.weight, 0, 0.02)
 * ```
 */
export function normal_<T extends Tensor>(x: T, mean = 0, std = 1, options?: DrawOptions): T {
  const { generator } = checkOptions("normal_", drawChecks, options)
  noGrad(() => x.normal_(mean, std, generator))
  return x
}
/** Options of {@link truncNormal_}. */
export interface TruncNormalOptions extends DrawOptions {
  /** Default 0. */
  readonly mean?: number
  /** Of the distribution before it is cut off. Default 1. */
  readonly std?: number
  /** Smallest value. Default -2. */
  readonly a?: number
  /** Largest value. Default 2. */
  readonly b?: number
}
const truncChecks: OptionChecks<TruncNormalOptions> = {
  mean: "real",
  std: "positive",
  a: "real",
  b: "real",
  ...drawChecks,
}
/**
 * Fills `x` with normal numbers, of which those outside of [a, b] are left out. Throws a ValueError unless std > 0 and
 * a < b.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.truncNormal_(layer.weight, { std: 0.02, a: -0.04, b: 0.04 })
 * ```
 */
export function truncNormal_<T extends Tensor>(x: T, options?: TruncNormalOptions): T {
  const { generator, ...shape } = checkOptions("truncNormal_", truncChecks, options)
  noGrad(() => drawTruncated(x, shape, generator))
  return x
}
/**
 * Fills `x` with one value.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.constant_(layer.bias!, 0.5)
 * console.log(await layer.bias!.tolist()) // [0.5, 0.5]
 * ```
 */
export function constant_<T extends Tensor>(x: T, value: number): T {
  noGrad(() => x.fill_(value))
  return x
}
/**
 * Fills `x` with ones.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.ones_(layer.weight)
 * ```
 */
export const ones_ = <T extends Tensor>(x: T): T => constant_(x, 1)
/**
 * Fills `x` with zeros.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.zeros_(layer.bias!)
 * console.log(await layer.bias!.tolist()) // [0, 0]
 * ```
 */
export const zeros_ = <T extends Tensor>(x: T): T => constant_(x, 0)
/**
 * Makes a matrix the identity. Throws a ShapeError unless `x` has 2 dims.
 *
 * @example
 * ```ts
 * const cell = new RNNCell(3, 2)
 * init.eye_(cell.weight_hh) // a recurrence that starts as the identity
 * console.log(await cell.weight_hh.tolist()) // [[1, 0], [0, 1]]
 * ```
 */
export function eye_<T extends Tensor>(x: T): T {
  if (x.ndim !== 2) throw new ShapeError(`eye_: needs 2 dims, got ${shapeText(x.shape)}`)
  noGrad(() => x.copy_(eye(x.shape[0], x.shape[1], { dtype: x.dtype, device: x.device })))
  return x
}

/** What {@link calculateGain} knows. */
export type Nonlinearity =
  | "linear"
  | "conv1d"
  | "conv2d"
  | "conv3d"
  | "convTranspose1d"
  | "convTranspose2d"
  | "convTranspose3d"
  | "sigmoid"
  | "tanh"
  | "relu"
  | "leakyRelu"
  | "selu"

/**
 * The factor that keeps the spread of values through a nonlinearity, as PyTorch recommends it
 * (https://pytorch.org/docs/stable/nn.init.html#torch.nn.init.calculate_gain).
 * Throws a ValueError for an unknown one.
 *
 * @param param - For leakyRelu: the negative slope, default 0.01.
 * @example
 * ```ts
 * console.log(init.calculateGain("relu")) // 1.4142…
 * ```
 */
export function calculateGain(nonlinearity: Nonlinearity, param = 0.01): number {
  switch (nonlinearity) {
    case "linear":
    case "conv1d":
    case "conv2d":
    case "conv3d":
    case "convTranspose1d":
    case "convTranspose2d":
    case "convTranspose3d":
    case "sigmoid":
      return 1
    case "tanh":
      return 5 / 3
    case "relu":
      return Math.sqrt(2)
    case "leakyRelu":
      return Math.sqrt(2 / (1 + param ** 2))
    case "selu":
      return 3 / 4
    default:
      throw new ValueError(`calculateGain: unknown nonlinearity: got ${String(nonlinearity satisfies never)}`)
  }
}

/** Inputs and outputs of one unit: `[out, in, ...receptive field]`. */
function fans(name: string, x: Tensor): { fanIn: number; fanOut: number } {
  if (x.ndim < 2) throw new ShapeError(`${name}: needs at least 2 dims: got ${shapeText(x.shape)}`)
  const field = sizeOf(x.shape.slice(2))
  return { fanIn: x.shape[1] * field, fanOut: x.shape[0] * field }
}

/** Options of the Xavier initialisers. */
export interface XavierOptions extends DrawOptions {
  /** See {@link calculateGain}. Default 1. */
  readonly gain?: number
}
const xavierChecks: OptionChecks<XavierOptions> = { gain: "real", ...drawChecks }

/**
 * Uniform within ±gain sqrt(6 / (fanIn + fanOut)) (Glorot and Bengio 2010). Throws a ShapeError below 2 dims.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.xavierUniform_(layer.weight, { gain: init.calculateGain("tanh") })
 * ```
 */
export function xavierUniform_<T extends Tensor>(x: T, options?: XavierOptions): T {
  const { gain = 1, generator } = checkOptions("xavierUniform_", xavierChecks, options)
  const { fanIn, fanOut } = fans("xavierUniform_", x)
  const bound = Math.sqrt(3) * (gain * Math.sqrt(2 / (fanIn + fanOut)))
  return uniform_(x, -bound, bound, { generator })
}
/**
 * Normal with deviation gain sqrt(2 / (fanIn + fanOut)) (Glorot and Bengio 2010). Throws a ShapeError below 2 dims.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.xavierNormal_(layer.weight)
 * ```
 */
export function xavierNormal_<T extends Tensor>(x: T, options?: XavierOptions): T {
  const { gain = 1, generator } = checkOptions("xavierNormal_", xavierChecks, options)
  const { fanIn, fanOut } = fans("xavierNormal_", x)
  return normal_(x, 0, gain * Math.sqrt(2 / (fanIn + fanOut)), { generator })
}

/** Options of the Kaiming initialisers. */
export interface KaimingOptions extends DrawOptions {
  /** Negative slope of the leakyRelu that follows. Default 0. */
  readonly a?: number
  /** Keep the spread going forward (fanIn) or backward (fanOut). Default fanIn. */
  readonly mode?: "fanIn" | "fanOut"
  /** Default leakyRelu. */
  readonly nonlinearity?: Nonlinearity
}
const kaimingChecks: OptionChecks<KaimingOptions> = {
  a: "real",
  mode: ["fanIn", "fanOut"],
  nonlinearity: [
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "convTranspose1d",
    "convTranspose2d",
    "convTranspose3d",
    "sigmoid",
    "tanh",
    "relu",
    "leakyRelu",
    "selu",
  ],
  ...drawChecks,
}

function kaimingStd(name: string, x: Tensor, { a = 0, mode = "fanIn", nonlinearity = "leakyRelu" }: KaimingOptions) {
  return calculateGain(nonlinearity, a) / Math.sqrt(fans(name, x)[mode])
}

/**
 * Uniform with bound gain sqrt(3 / fan) (He et al. 2015). Throws a ShapeError below 2 dims.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.kaimingUniform_(layer.weight, { nonlinearity: "relu" })
 * ```
 */
export function kaimingUniform_<T extends Tensor>(x: T, options?: KaimingOptions): T {
  const { generator, ...kind } = checkOptions("kaimingUniform_", kaimingChecks, options)
  if (x.ndim >= 2 && sizeOf(x.shape) === 0) return x
  const bound = Math.sqrt(3) * kaimingStd("kaimingUniform_", x, kind)
  return uniform_(x, -bound, bound, { generator })
}
/**
 * Normal with deviation gain / sqrt(fan) (He et al. 2015). Throws a ShapeError below 2 dims.
 *
 * @example
 * ```ts
 * const layer = new Linear(3, 2)
 * init.kaimingNormal_(layer.weight, { mode: "fanOut", nonlinearity: "relu" })
 * ```
 */
export function kaimingNormal_<T extends Tensor>(x: T, options?: KaimingOptions): T {
  const { generator, ...kind } = checkOptions("kaimingNormal_", kaimingChecks, options)
  if (x.ndim >= 2 && sizeOf(x.shape) === 0) return x
  return normal_(x, 0, kaimingStd("kaimingNormal_", x, kind), { generator })
}
