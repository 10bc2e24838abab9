// Layers that are one matrix product, and the one that does nothing.
import { shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, linear, type OptionChecks, Tensor } from "@rondo/core"
import { kaimingUniform_, uniform_ } from "./init.js"
import { Module } from "./module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "./parameter.js"

/** Options of {@link Linear}. */
export interface LinearOptions extends FactoryOptions {
  /** Learn an offset. Default true. */
  readonly bias?: boolean
}

const linearChecks: OptionChecks<LinearOptions> = { bias: "flag", ...factoryChecks }

/** Throws a ValueError unless `x` is a tensor, and a DisposedError if it was disposed. */
export function needTensor(layer: string, x: unknown): void {
  if (!(x instanceof Tensor)) throw new ValueError(`${layer}: needs a tensor, got ${x === null ? "null" : typeof x}`)
  x.check(layer)
}

/** Throws a ValueError unless `value` is a whole number of at least `least`. */
export function checkSize(layer: string, name: string, value: number, least = 0): void {
  if (!Number.isInteger(value) || value < least) {
    throw new ValueError(`${layer}: ${name} must be a whole number of at least ${least}: got ${String(value)}`)
  }
}

/** True for numbers of which the first is not the greater; also of what the types do not let through. */
export const inOrder = (low: unknown, high: unknown): boolean =>
  typeof low === "number" && typeof high === "number" && low <= high

/**
 * `x @ weight^T + bias`. x is `[..., inFeatures]`, the result `[..., outFeatures]`.
 * Starts with uniform numbers within ±1/sqrt(inFeatures), drawn as `torch.nn.Linear` draws them: weight, then bias.
 *
 * Throws a ValueError for sizes that are no whole numbers; `forward` a ShapeError or DTypeError if x does not fit.
 *
 * @example
 * ```ts
 * manualSeed(0)
 * const layer = new Linear(3, 2)
 * const y = layer.forward(ones(4, 3)) // [4, 2]
 * ```
 */
export class Linear extends Module {
  readonly inFeatures: number
  readonly outFeatures: number
  /** `[outFeatures, inFeatures]` */
  weight: Parameter
  /** `[outFeatures]` */
  bias: Parameter | null

  constructor(inFeatures: number, outFeatures: number, options?: LinearOptions) {
    super()
    const { bias = true, ...factory } = checkOptions("Linear", linearChecks, options)
    checkSize("Linear", "inFeatures", inFeatures)
    checkSize("Linear", "outFeatures", outFeatures)
    this.inFeatures = inFeatures
    this.outFeatures = outFeatures
    this.weight = emptyParameter([outFeatures, inFeatures], factory)
    this.bias = bias ? emptyParameter([outFeatures], factory) : null
    this.resetParameters()
  }
  /** Draws the start values anew. */
  resetParameters(): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5) })
    if (!this.bias) return
    const bound = this.inFeatures > 0 ? 1 / Math.sqrt(this.inFeatures) : 0
    uniform_(this.bias, -bound, bound)
  }
  forward(x: Tensor): Tensor {
    needTensor("Linear", x)
    if (x.shape[x.ndim - 1] !== this.inFeatures) {
      throw new ShapeError(`Linear: got x ${shapeText(x.shape)}, expected [..., ${this.inFeatures}]`)
    }
    return linear(x, this.weight, this.bias)
  }
  protected override extraRepr(): string {
    const { inFeatures, outFeatures, bias } = this
    return `in_features=${inFeatures}, out_features=${outFeatures}, bias=${bias ? "True" : "False"}`
  }
}

/**
 * Hands its input on.
 *
 * @example
 * ```ts
 * const x = ones(2)
 * console.log(new Identity().forward(x) === x) // true
 * ```
 */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x
  }
}
