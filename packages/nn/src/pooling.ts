// Pooling along one dim: the largest element or the mean of each window.
import { isFloat, DTypeError, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, encode, type OptionChecks, pad, type Tensor, upload, where } from "@rondo/core"
import { windows } from "./convolution.js"
import { checkSize, needTensor } from "./linear.js"
import { Module } from "./module.js"
import { pythonBool } from "./printing.js"

/** What all pooling over windows can be told. */
export interface PoolCall {
  /** Distance between windows. Default: the kernel size. */
  readonly stride?: number
  /** Width of the border at both ends, at most half a kernel. Default 0. */
  readonly padding?: number
  /** Also take the last window if it starts inside but ends outside. Default false. */
  readonly ceilMode?: boolean
}
/** Options of {@link maxPool1d}. */
export interface MaxPoolCall extends PoolCall {
  /** Distance between the elements of a window. Default 1. */
  readonly dilation?: number
}
/** Options of {@link avgPool1d}. */
export interface AvgPoolCall extends PoolCall {
  /** Count the border's zeros among the elements of a window. Default true. */
  readonly countIncludePad?: boolean
}

const poolChecks: OptionChecks<PoolCall> = { stride: "count", padding: "size", ceilMode: "flag" }
const maxChecks: OptionChecks<MaxPoolCall> = { ...poolChecks, dilation: "count" }
const avgChecks: OptionChecks<AvgPoolCall> = { ...poolChecks, countIncludePad: "flag" }

interface Plan {
  readonly kernel: number
  readonly stride: number
  readonly padding: number
  readonly dilation: number
  /** How many windows there are. */
  readonly steps: number
  /** Width of the border after the input, so that the last window fits. */
  readonly after: number
}

function plan(name: string, x: Tensor, kernel: number, options: MaxPoolCall): Plan {
  const { stride = kernel, padding = 0, ceilMode = false, dilation = 1 } = options
  checkSize(name, "kernelSize", kernel, 1)
  needTensor(name, x)
  if (x.ndim !== 2 && x.ndim !== 3) {
    throw new ShapeError(`${name}: got x ${shapeText(x.shape)}, expected [N, C, L] or [C, L]`)
  }
  if (!isFloat(x.dtype)) throw new DTypeError(`${name}: needs a float tensor, got ${x.dtype}`)
  if (padding > kernel / 2) {
    throw new ValueError(`${name}: padding may be at most half of the kernel size: got ${padding} and ${kernel}`)
  }
  const length = x.shape[x.ndim - 1]
  const reach = dilation * (kernel - 1) + 1
  const room = length + 2 * padding - reach
  let steps = (ceilMode ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1
  // The last window must start inside the input or the border before it.
  if (ceilMode && (steps - 1) * stride >= length + padding) steps--
  if (length === 0 || steps < 1) {
    throw new ShapeError(`${name}: windows that reach over ${reach} do not fit x ${shapeText(x.shape)} with padding ${padding}`) // prettier-ignore
  }
  const after = Math.max(0, (steps - 1) * stride + reach - length - padding)
  return { kernel, stride, padding, dilation, steps, after }
}

const seen = (x: Tensor, { kernel, stride, dilation, steps }: Plan): Tensor =>
  windows(x, kernel, stride, dilation).narrow(-2, 0, steps)

const table = (x: Tensor, values: number[], dtype: Tensor["dtype"]): Tensor =>
  upload(x.device, encode(values, dtype), [values.length], dtype)

/**
 * The largest element of each window along the last dim, as `torch.nn.functional.max_pool1d`; the first of equals gets the
 * gradient.
 *
 * Throws a ShapeError if no window fits, a ValueError for options out of range.
 *
 * @param x - `[N, C, L]`, or unbatched `[C, L]`; float.
 * @example
 * ```ts
 * const y = maxPool1d(tensor([[1, 3, 2, 4]]), 2) // [[3, 4]]
 * ```
 */
export function maxPool1d(x: Tensor, kernelSize: number, options?: MaxPoolCall): Tensor {
  return maxPool1dWithIndices(x, kernelSize, checkOptions("maxPool1d", maxChecks, options))[0]
}

/**
 * {@link maxPool1d}, and the position (int32) of each result along the last dim of x.
 *
 * @example
 * ```ts
 * const [values, positions] = maxPool1dWithIndices(tensor([[1, 3, 2, 4]]), 2) // [[3, 4]] and [[1, 3]]
 * ```
 */
export function maxPool1dWithIndices(x: Tensor, kernelSize: number, options?: MaxPoolCall): [Tensor, Tensor] {
  const setup = plan("maxPool1d", x, kernelSize, checkOptions("maxPool1dWithIndices", maxChecks, options))
  const { stride, padding, dilation, steps, after } = setup
  const extended = padding + after > 0 ? pad(x.detach(), [padding, after], "constant", -Infinity) : x.detach()
  const starts = Array.from({ length: steps }, (_, i) => i * stride - padding)
  const found = seen(extended, setup)
    .argmax(-1)
    .mul(dilation)
    .add(table(x, starts, "int32"))
  // Where a window holds nothing but -Infinity, the border is no answer.
  const first = starts.map((start) => start + dilation * Math.max(0, Math.ceil(-start / dilation)))
  const positions = padding > 0 ? found.maximum(table(x, first, "int32")) : found
  const last = x.shape[x.ndim - 1] - 1
  if (first.every((start) => start <= last)) return [x.gather(-1, positions), positions]
  // A stretched window may lie in the borders alone: -Infinity, no element gets its gradient, and PyTorch names this position.
  const values = x.gather(-1, positions.clamp({ max: last }))
  const outside = first.map((start) => Number(start > last))
  return [values.maskedFill(table(x, outside, "bool"), -Infinity), positions]
}

/**
 * The mean of each window along the last dim, as `torch.nn.functional.avg_pool1d`.
 *
 * Throws a ShapeError if no window fits, a ValueError for options out of range.
 *
 * @param x - `[N, C, L]`, or unbatched `[C, L]`; float.
 * @example
 * ```ts
 * const y = avgPool1d(tensor([[1, 3, 2, 4]]), 2) // [[2, 3]]
 * ```
 */
export function avgPool1d(x: Tensor, kernelSize: number, options?: AvgPoolCall): Tensor {
  const { countIncludePad = true, ...windowing } = checkOptions("avgPool1d", avgChecks, options)
  const setup = plan("avgPool1d", x, kernelSize, windowing)
  const { kernel, stride, padding, steps, after } = setup
  const extended = padding + after > 0 ? pad(x, [padding, after]) : x
  const sums = seen(extended, setup).sum(-1)
  const length = x.shape[x.ndim - 1]
  const counts = Array.from({ length: steps }, (_, i) => {
    const start = i * stride - padding
    const end = Math.min(start + kernel, length + padding)
    return countIncludePad ? end - start : Math.min(end, length) - Math.max(start, 0)
  })
  return counts.every((count) => count === counts[0]) ? sums.div(counts[0]) : sums.div(table(x, counts, x.dtype))
}

/**
 * Means of `outputSize` stretches of nearly equal length along the last dim, as `torch.nn.functional.adaptive_avg_pool1d`:
 * stretch i runs from floor(i L / n) to ceil((i + 1) L / n).
 *
 * @param x - `[N, C, L]`, or unbatched `[C, L]`; float.
 * @example
 * ```ts
 * const y = adaptiveAvgPool1d(tensor([[1, 3, 2]]), 2) // [[2, 2.5]]
 * ```
 */
export function adaptiveAvgPool1d(x: Tensor, outputSize: number): Tensor {
  checkSize("adaptiveAvgPool1d", "outputSize", outputSize, 1)
  plan("adaptiveAvgPool1d", x, 1, {})
  const length = x.shape[x.ndim - 1]
  const bounds = Array.from({ length: outputSize }, (_, i) => [
    Math.floor((i * length) / outputSize),
    Math.ceil(((i + 1) * length) / outputSize),
  ])
  const counts = bounds.map(([start, end]) => end - start)
  const most = Math.max(...counts)
  const columns = Array.from({ length: most }, (_, k) => k)
  const places = bounds.flatMap(([start, end]) => columns.map((k) => Math.min(start + k, end - 1)))
  const inside = counts.flatMap((count) => columns.map((k) => Number(k < count)))
  const seen = x.indexSelect(x.ndim - 1, table(x, places, "int32")).unflatten(-1, [outputSize, most])
  // where, not a product with 0: another share may hold an infinity or NaN.
  const shares = where(table(x, inside, "int32").ne(0).reshape(outputSize, most), seen, 0)
  return shares.sum(-1).div(table(x, counts, x.dtype))
}

/** Options of {@link MaxPool1d}. */
export interface MaxPool1dOptions extends MaxPoolCall {
  /** Return the positions too. Default false. */
  readonly returnIndices?: boolean
}

const maxLayerChecks: OptionChecks<MaxPool1dOptions> = { ...maxChecks, returnIndices: "flag" }

abstract class Pool extends Module {
  readonly kernelSize: number
  readonly stride: number
  readonly padding: number
  readonly ceilMode: boolean
  constructor(name: string, kernelSize: number, { stride = kernelSize, padding = 0, ceilMode = false }: PoolCall) {
    super()
    checkSize(name, "kernelSize", kernelSize, 1)
    this.kernelSize = kernelSize
    this.stride = stride
    this.padding = padding
    this.ceilMode = ceilMode
  }
}

/**
 * {@link maxPool1d} as a layer; with `returnIndices`, `forward` gives `[values, positions]`.
 *
 * @example
 * ```ts
 * const y = new MaxPool1d(2).forward(tensor([[1, 3, 2, 4]])) // [[3, 4]]
 * ```
 */
export class MaxPool1d<R extends boolean = false> extends Pool {
  readonly dilation: number
  readonly returnIndices: boolean
  constructor(kernelSize: number, options?: MaxPool1dOptions & { readonly returnIndices?: R }) {
    const { dilation = 1, returnIndices = false, ...shared } = checkOptions("MaxPool1d", maxLayerChecks, options)
    super("MaxPool1d", kernelSize, shared)
    this.dilation = dilation
    this.returnIndices = returnIndices
  }
  forward(x: Tensor): R extends true ? [Tensor, Tensor] : Tensor {
    const { stride, padding, dilation, ceilMode } = this
    const both = maxPool1dWithIndices(x, this.kernelSize, { stride, padding, dilation, ceilMode })
    return (this.returnIndices ? both : both[0]) as R extends true ? [Tensor, Tensor] : Tensor
  }
  protected override extraRepr(): string {
    const { kernelSize, stride, padding, dilation, ceilMode } = this
    return `kernel_size=${kernelSize}, stride=${stride}, padding=${padding}, dilation=${dilation}, ceil_mode=${pythonBool(ceilMode)}`
  }
}

/**
 * {@link avgPool1d} as a layer.
 *
 * @example
 * ```ts
 * const y = new AvgPool1d(2).forward(tensor([[1, 3, 2, 4]])) // [[2, 3]]
 * ```
 */
export class AvgPool1d extends Pool {
  readonly countIncludePad: boolean
  constructor(kernelSize: number, options?: AvgPoolCall) {
    const { countIncludePad = true, ...shared } = checkOptions("AvgPool1d", avgChecks, options)
    super("AvgPool1d", kernelSize, shared)
    this.countIncludePad = countIncludePad
  }
  forward(x: Tensor): Tensor {
    const { stride, padding, ceilMode, countIncludePad } = this
    return avgPool1d(x, this.kernelSize, { stride, padding, ceilMode, countIncludePad })
  }
  protected override extraRepr(): string {
    const { kernelSize, stride, padding } = this
    return `kernel_size=(${kernelSize},), stride=(${stride},), padding=(${padding},)`
  }
}

/**
 * {@link adaptiveAvgPool1d} as a layer.
 *
 * @example
 * ```ts
 * const y = new AdaptiveAvgPool1d(1).forward(ones(2, 3, 7)) // [2, 3, 1]
 * ```
 */
export class AdaptiveAvgPool1d extends Module {
  readonly outputSize: number
  constructor(outputSize: number) {
    super()
    checkSize("AdaptiveAvgPool1d", "outputSize", outputSize, 1)
    this.outputSize = outputSize
  }
  forward(x: Tensor): Tensor {
    return adaptiveAvgPool1d(x, this.outputSize)
  }
  protected override extraRepr(): string {
    return `output_size=${this.outputSize}`
  }
}
