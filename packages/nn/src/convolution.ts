// Convolution along one dim: windows as a view, then one matrix product.
import { DTypeError, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks, pad, type PadMode, type Tensor } from "@rondo/core"
import { kaimingUniform_, uniform_ } from "./init.js"
import { checkSize, needTensor } from "./linear.js"
import { Module } from "./module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "./parameter.js"

/** How far the input is extended: a width at both ends, none ("valid"), or what keeps the length at stride 1 ("same"). */
export type Padding = number | "same" | "valid"

/** Options of the function {@link conv1d}. */
export interface ConvCall {
  /** Distance between windows. Default 1. */
  readonly stride?: number
  /** Zeros at the ends. Default 0. */
  readonly padding?: Padding
  /** Distance between the elements of a window. Default 1. */
  readonly dilation?: number
  /** Blocks of channels that do not see each other. Default 1. */
  readonly groups?: number
}

const convChecks: OptionChecks<ConvCall> = {
  stride: "count",
  padding: {
    words: 'a whole number of at least 0, "same" or "valid"',
    fits: (x) => x === "same" || x === "valid" || (Number.isSafeInteger(x) && (x as number) >= 0),
  },
  dilation: "count",
  groups: "count",
}

/** Widths before and after. */
function borders(name: string, padding: Padding, stride: number, reach: number): [number, number] {
  if (padding === "valid") return [0, 0]
  if (padding === "same") {
    if (stride !== 1) throw new ValueError(`${name}: padding "same" needs a stride of 1: got ${stride}`)
    return [Math.floor(reach / 2), reach - Math.floor(reach / 2)]
  }
  return [padding, padding]
}

/** Windows of `size` elements, `dilation` apart, along the last dim; a view `[..., windows, size]`. */
export function windows(x: Tensor, size: number, stride: number, dilation: number): Tensor {
  const wide = x.unfold(x.ndim - 1, dilation * (size - 1) + 1, stride)
  return dilation === 1 ? wide : wide.slice(-1, null, null, dilation)
}

/**
 * Cross-correlation along the last dim, as `torch.nn.functional.conv1d`. `padding` extends with zeros.
 *
 * Throws a ShapeError if shapes do not fit or the kernel is longer than the extended input, a DTypeError if dtypes differ,
 * a ValueError for options out of range.
 *
 * @param x - `[N, C, L]`, or unbatched `[C, L]`.
 * @param weight - `[out, C / groups, kernel]`
 * @param bias - `[out]`
 * @returns `[N, out, windows]` or `[out, windows]`.
 * @example
 * ```ts
 * const y = conv1d(ones(1, 1, 5), ones(1, 1, 3), null, { padding: "same" }) // 2, 3, 3, 3, 2
 * ```
 */
export function conv1d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options?: ConvCall): Tensor {
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = checkOptions("conv1d", convChecks, options)
  for (const operand of bias ? [x, weight, bias] : [x, weight]) needTensor("conv1d", operand)
  if (x.ndim === 2) return conv1d(x.unsqueeze(0), weight, bias, options).squeeze(0)
  checkOperands(x, weight, bias, groups)
  const [out, , size] = weight.shape
  const reach = dilation * (size - 1)
  const [before, after] = borders("conv1d", padding, stride, reach)
  const length = x.shape[2] + before + after
  if (length < reach + 1) {
    throw new ShapeError(`conv1d: a kernel that reaches over ${reach + 1} does not fit a length of ${length}, padding included`) // prettier-ignore
  }
  const extended = before + after > 0 ? pad(x, [before, after]) : x
  const [count, channels] = x.shape
  // [N, G, windows, C / G * kernel] @ [G, C / G * kernel, out / G]
  const seen = windows(extended, size, stride, dilation)
  const steps = seen.shape[2]
  const columns = seen
    .reshape(count, groups, channels / groups, steps, size)
    .permute(0, 1, 3, 2, 4)
    .reshape(count, groups, steps, (channels / groups) * size)
  const kernels = weight.reshape(groups, out / groups, (channels / groups) * size).transpose(1, 2)
  const product = columns.matmul(kernels).transpose(2, 3).reshape(count, out, steps)
  return bias ? product.add(bias.unsqueeze(1)) : product
}

function checkOperands(x: Tensor, weight: Tensor, bias: Tensor | null, groups: number): void {
  if (x.ndim !== 3 || weight.ndim !== 3) {
    throw new ShapeError(`conv1d: got x ${shapeText(x.shape)} and weight ${shapeText(weight.shape)}, expected [N, C, L] or [C, L] and [out, C / groups, kernel]`) // prettier-ignore
  }
  const [out, inputs] = weight.shape
  if (x.shape[1] !== inputs * groups || out % groups !== 0) {
    throw new ShapeError(`conv1d: weight ${shapeText(weight.shape)} in ${groups} groups does not fit x ${shapeText(x.shape)}`) // prettier-ignore
  }
  if (bias && (bias.ndim !== 1 || bias.shape[0] !== out)) {
    throw new ShapeError(`conv1d: got bias ${shapeText(bias.shape)}, expected [${out}]`)
  }
  if (x.dtype !== weight.dtype) {
    throw new DTypeError(`conv1d: x is ${x.dtype}, the weight ${weight.dtype}; convert one with .to(dtype)`)
  }
}

/** What the ends of the input are extended with. */
export type PaddingMode = "zeros" | "reflect" | "replicate" | "circular"
const padModes: Record<PaddingMode, PadMode> = {
  zeros: "constant",
  reflect: "reflect",
  replicate: "replicate",
  circular: "circular",
}

/** Options of {@link Conv1d}. */
export interface Conv1dOptions extends ConvCall, FactoryOptions {
  /** Learn an offset for each output channel. Default true. */
  readonly bias?: boolean
  /** What the padding holds. Default zeros. */
  readonly paddingMode?: PaddingMode
}

const layerChecks: OptionChecks<Conv1dOptions> = {
  ...convChecks,
  bias: "flag",
  paddingMode: ["zeros", "reflect", "replicate", "circular"],
  ...factoryChecks,
}

/**
 * A learned {@link conv1d}. Starts as `torch.nn.Conv1d` does, drawing the same numbers: weight, then bias, uniform within
 * ±1/sqrt(inChannels / groups * kernelSize).
 *
 * Throws a ValueError for options out of range or groups that do not divide the channels; `forward` throws as conv1d does.
 *
 * @example
 * ```ts
 * const layer = new Conv1d(4, 8, 3, { padding: "same", paddingMode: "circular" })
 * const y = layer.forward(randn(2, 4, 10)) // [2, 8, 10]
 * ```
 */
export class Conv1d extends Module {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: number
  readonly stride: number
  readonly padding: Padding
  readonly dilation: number
  readonly groups: number
  readonly paddingMode: PaddingMode
  /** `[outChannels, inChannels / groups, kernelSize]` */
  weight: Parameter
  /** `[outChannels]` */
  bias: Parameter | null

  constructor(inChannels: number, outChannels: number, kernelSize: number, options?: Conv1dOptions) {
    super()
    const {
      stride = 1,
      padding = 0,
      dilation = 1,
      groups = 1,
      bias = true,
      paddingMode = "zeros",
      ...factory
    } = checkOptions("Conv1d", layerChecks, options)
    for (const [name, value] of Object.entries({ inChannels, outChannels, kernelSize })) {
      checkSize("Conv1d", name, value, 1)
    }
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ValueError(`Conv1d: the groups must divide both channels: got ${groups} for ${inChannels} and ${outChannels}`) // prettier-ignore
    }
    borders("Conv1d", padding, stride, 0)
    this.inChannels = inChannels
    this.outChannels = outChannels
    this.kernelSize = kernelSize
    this.stride = stride
    this.padding = padding
    this.dilation = dilation
    this.groups = groups
    this.paddingMode = paddingMode
    this.weight = emptyParameter([outChannels, inChannels / groups, kernelSize], factory)
    this.bias = bias ? emptyParameter([outChannels], factory) : null
    this.resetParameters()
  }
  /** Draws the start values anew. */
  resetParameters(): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5) })
    if (!this.bias) return
    const bound = 1 / Math.sqrt((this.inChannels / this.groups) * this.kernelSize)
    uniform_(this.bias, -bound, bound)
  }
  forward(x: Tensor): Tensor {
    const { inChannels, kernelSize, stride, dilation, groups, padding, paddingMode } = this
    needTensor("Conv1d", x)
    if ((x.ndim !== 2 && x.ndim !== 3) || x.shape[x.ndim - 2] !== inChannels) {
      throw new ShapeError(`Conv1d: got x ${shapeText(x.shape)}, expected [N, ${inChannels}, L] or unbatched [${inChannels}, L]`) // prettier-ignore
    }
    if (paddingMode === "zeros") return conv1d(x, this.weight, this.bias, { stride, padding, dilation, groups })
    const ends = borders("Conv1d", padding, stride, dilation * (kernelSize - 1))
    return conv1d(pad(x, ends, padModes[paddingMode]), this.weight, this.bias, { stride, dilation, groups })
  }
  protected override extraRepr(): string {
    const { kernelSize, stride, padding, dilation, groups, bias, paddingMode } = this
    return [
      `${this.inChannels}, ${this.outChannels}, kernel_size=(${kernelSize},), stride=(${stride},)`,
      ...(padding === 0 ? [] : [`padding=${typeof padding === "number" ? `(${padding},)` : padding}`]),
      ...(dilation === 1 ? [] : [`dilation=(${dilation},)`]),
      ...(groups === 1 ? [] : [`groups=${groups}`]),
      ...(bias ? [] : ["bias=False"]),
      ...(paddingMode === "zeros" ? [] : [`padding_mode=${paddingMode}`]),
    ].join(", ")
  }
}
