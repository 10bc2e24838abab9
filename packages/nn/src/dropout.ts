// Dropout as a layer and as a function, drawing PyTorch's stream.
import { ValueError } from "@rondo/backend"
import { checkOptions, dropoutMask, type Generator, type OptionChecks, type Tensor, zerosLike } from "@rondo/core"
import { needTensor } from "./linear.js"
import { Module } from "./module.js"

/** Throws a ValueError unless `p` is a probability. */
export function checkProbability(layer: string, p: number): void {
  if (!(typeof p === "number" && p >= 0 && p <= 1)) {
    throw new ValueError(`${layer}: dropout probability must lie between 0 and 1: got ${String(p)}`)
  }
}

/** Options of the function {@link dropout}. */
export interface DropoutOptions {
  /** False hands `x` on. Default true. */
  readonly training?: boolean
  /** Change `x` itself. Default false. */
  readonly inplace?: boolean
  /** Default: the process-wide generator. */
  readonly generator?: Generator
}

const dropoutChecks: OptionChecks<DropoutOptions> = { training: "flag", inplace: "flag", generator: "generator" }

/**
 * Sets each element to 0 with probability `p` and multiplies the others by 1 / (1 - p). Draws the numbers that PyTorch
 * draws; none for p = 0, p = 1 or outside of training. Throws a ValueError unless 0 <= p <= 1.
 *
 * @param x - Any shape, float.
 * @example
 * ```ts
 * manualSeed(0)
 * const y = dropout(ones(8), 0.5) // zeros and twos
 * ```
 */
export function dropout(x: Tensor, p = 0.5, options?: DropoutOptions): Tensor {
  const { training = true, inplace = false, generator } = checkOptions("dropout", dropoutChecks, options)
  needTensor("dropout", x)
  checkProbability("dropout", p)
  if (!training || p === 0) return x
  const mask = p === 1 ? zerosLike(x) : dropoutMask(x, p, generator).to(x.dtype)
  return inplace ? x.mul_(mask) : x.mul(mask)
}

/** Options of the layer. */
type LayerOptions = Pick<DropoutOptions, "inplace">
const layerChecks: OptionChecks<LayerOptions> = { inplace: "flag" }

/**
 * Zeroes elements at random while training: see {@link dropout}. Does nothing after `eval()`.
 *
 * @example
 * ```ts
 * const layer = new Dropout(0.2)
 * const y = layer.forward(ones(4)) // zeros and 1.25
 * ```
 */
export class Dropout extends Module {
  readonly p: number
  readonly inplace: boolean
  constructor(p = 0.5, options?: LayerOptions) {
    super()
    const { inplace = false } = checkOptions("Dropout", layerChecks, options)
    checkProbability("Dropout", p)
    this.p = p
    this.inplace = inplace
  }
  forward(x: Tensor): Tensor {
    return dropout(x, this.p, { training: this.training, inplace: this.inplace })
  }
  protected override extraRepr(): string {
    return `p=${this.p}, inplace=${this.inplace ? "True" : "False"}`
  }
}
