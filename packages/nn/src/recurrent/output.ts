// Recurrence through the output: layers in which the last output, not the last state, comes back. Hidden-to-hidden is recurrent.ts's.
import { DTypeError, shapeText, ShapeError } from "@rondo/backend"
import { cat, checkOptions, type Generator, linear, type OptionChecks, stack, type Tensor, zeros } from "@rondo/core"
import { uniform_ } from "../init.js"
import { checkSize, needTensor } from "../linear.js"
import { Module } from "../module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "../parameter.js"
import { mix } from "./forcing.js"
import { listening, report } from "./probe.js"

/** What may be applied to states and outputs. */
export type OutputNonlinearity = "tanh" | "relu" | "sigmoid" | "identity"

const functions: Readonly<Record<OutputNonlinearity, (x: Tensor) => Tensor>> = {
  tanh: (x) => x.tanh(),
  relu: (x) => x.relu(),
  sigmoid: (x) => x.sigmoid(),
  identity: (x) => x,
}

/** Options of {@link OutputToHiddenRNN} and {@link OutputToOutputRNN}. */
export interface OutputRecurrentOptions extends FactoryOptions {
  /** Learn offsets. Default true. */
  readonly bias?: boolean
  /** Sequences are `[B, T, …]` instead of `[T, B, …]`. Default false. */
  readonly batchFirst?: boolean
  /** Applied to states. Default tanh. */
  readonly nonlinearity?: OutputNonlinearity
  /** Applied to outputs. Default identity for output-to-hidden, tanh for output-to-output. */
  readonly outputNonlinearity?: OutputNonlinearity
}

const nonlinearities = ["tanh", "relu", "sigmoid", "identity"] as const
const layerChecks: OptionChecks<OutputRecurrentOptions> = {
  bias: "flag",
  batchFirst: "flag",
  nonlinearity: nonlinearities,
  outputNonlinearity: nonlinearities,
  ...factoryChecks,
}

/** Options of {@link OutputRecurrentLayer.forward}. */
export interface ForcingOptions {
  /** The true outputs, laid out as the outputs: what teacher forcing feeds back. Default none. */
  readonly targets?: Tensor | null
  /** Probability of feeding the truth, drawn for every time step and sequence; see `forcing`. Default 1. */
  readonly forcing?: number
  /** Default: the process-wide generator. */
  readonly generator?: Generator
}

const forcingChecks: OptionChecks<ForcingOptions> = {
  targets: "tensor|null",
  forcing: "probability",
  generator: "generator",
}

/** Outputs [T, B, O], the last of them [B, O], and the states [T, B, H]; the first two dims swapped with batchFirst. */
type Result = [output: Tensor, last: Tensor, hidden: Tensor]

/** What both kinds share: weights, and the loop over time. */
export abstract class OutputRecurrentLayer extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly outputSize: number
  readonly bias: boolean
  readonly batchFirst: boolean
  readonly nonlinearity: OutputNonlinearity
  readonly outputNonlinearity: OutputNonlinearity
  /** Input to state, `[hiddenSize, inputSize]`. */
  weight_ih: Parameter
  /** State to output, `[outputSize, hiddenSize]`. */
  weight_ho: Parameter
  /** `[hiddenSize]` */
  bias_h: Parameter | null
  /** `[outputSize]` */
  bias_o: Parameter | null
  readonly #name: string
  protected readonly activate: (x: Tensor) => Tensor
  protected readonly activateOutput: (x: Tensor) => Tensor

  constructor(
    name: string,
    [inputSize, hiddenSize, outputSize]: readonly [number, number, number],
    defaultOutput: OutputNonlinearity,
    options: OutputRecurrentOptions | undefined,
  ) {
    super()
    const { bias = true, batchFirst = false, device, dtype, ...kinds } = checkOptions(name, layerChecks, options)
    const { nonlinearity = "tanh", outputNonlinearity = defaultOutput } = kinds
    checkSize(name, "inputSize", inputSize)
    checkSize(name, "hiddenSize", hiddenSize, 1)
    checkSize(name, "outputSize", outputSize, 1)
    this.#name = name
    this.activate = functions[nonlinearity]
    this.activateOutput = functions[outputNonlinearity]
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    this.outputSize = outputSize
    this.bias = bias
    this.batchFirst = batchFirst
    this.nonlinearity = nonlinearity
    this.outputNonlinearity = outputNonlinearity
    this.weight_ih = emptyParameter([hiddenSize, inputSize], { device, dtype })
    this.weight_ho = emptyParameter([outputSize, hiddenSize], { device, dtype })
    this.bias_h = bias ? emptyParameter([hiddenSize], { device, dtype }) : null
    this.bias_o = bias ? emptyParameter([outputSize], { device, dtype }) : null
  }
  /** Draws all start values anew: uniform within ±1/sqrt(hiddenSize), in the order of the fields. */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize)
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound)
  }

  /** What does not depend on outputs, for x `[…, inputSize]`: what `step` takes, and states if they do not either. */
  protected abstract prepare(x: Tensor): { readonly drive: Tensor; readonly hidden: Tensor | null }
  /** State (null if it was prepared) and output that follow from the last output; any leading dims. */
  protected abstract step(drive: Tensor, last: Tensor): { readonly hidden: Tensor | null; readonly output: Tensor }

  /**
   * Runs over a whole sequence. With `targets`, the truth takes the place of the last output (teacher forcing): always, or
   * with the probability `forcing`. Then all time steps are computed at once where every one of them is forced.
   *
   * Throws a ShapeError or DTypeError if an input does not fit, and a ValueError for a probability outside of 0 to 1.
   *
   * @param x - `[T, B, inputSize]`, `[B, T, inputSize]` with batchFirst, or `[T, inputSize]` without a batch.
   * @param o0 - The output before the first, `[B, outputSize]`, without B for x without a batch. Default zeros.
   * @returns Outputs `[T, B, outputSize]`, the last of them (what o0 is to the next stretch), and states
   * `[T, B, hiddenSize]`, laid out as x.
   */
  forward(x: Tensor, o0: Tensor | null = null, given?: ForcingOptions): Result {
    const options = checkOptions(this.#name, forcingChecks, given)
    const batched = this.#check(x, o0, options)
    const timeMajor = (value: Tensor) =>
      !batched ? value.unsqueeze(1) : this.batchFirst ? value.transpose(0, 1) : value
    const inputs = timeMajor(x)
    const batch = inputs.shape[1]
    const start = !o0
      ? zeros(batch, this.outputSize, { dtype: x.dtype, device: x.device })
      : batched
        ? o0
        : o0.unsqueeze(0)
    const targets = options.targets ? timeMajor(options.targets) : null
    const [output, last, hidden] = this.#run(inputs, start, targets, options)
    if (!batched) return [output.squeeze(1), last.squeeze(0), hidden.squeeze(1)]
    return this.batchFirst ? [output.transpose(0, 1), last, hidden.transpose(0, 1)] : [output, last, hidden]
  }
  #run(x: Tensor, start: Tensor, targets: Tensor | null, { forcing = 1, generator }: ForcingOptions): Result {
    const { drive, hidden: prepared } = this.prepare(x)
    const time = x.shape[0]
    if (targets && forcing === 1 && !listening()) {
      // Nothing waits for an output: the sequence is one batch.
      const before = cat([start.unsqueeze(0), targets.narrow(0, 0, time - 1)], 0)
      const { hidden, output } = this.step(drive, before)
      return [output, output.select(0, time - 1), (hidden ?? prepared) as Tensor]
    }
    const truth = targets?.unbind(0)
    const outputs: Tensor[] = []
    const hiddens: Tensor[] = []
    drive.unbind(0).forEach((driven, t) => {
      const own = outputs[t - 1] ?? start
      const last = truth && t > 0 ? mix(own, truth[t - 1], forcing, generator) : own
      const { hidden, output } = this.step(driven, last)
      const states = hidden ? [hidden, output] : [output]
      report({ module: this, run: outputs, layer: 0, reverse: false, time: t, states })
      outputs.push(output)
      if (hidden) hiddens.push(hidden)
    })
    return [stack(outputs, 0), outputs[time - 1], prepared ?? stack(hiddens, 0)]
  }
  /** True if x is batched. */
  #check(x: Tensor, o0: Tensor | null, { targets }: ForcingOptions): boolean {
    const layout = this.batchFirst ? "[B, T, " : "[T, B, "
    for (const operand of [x, o0 ?? x, targets ?? x]) needTensor(this.#name, operand)
    if ((x.ndim !== 2 && x.ndim !== 3) || x.shape[x.ndim - 1] !== this.inputSize) {
      throw new ShapeError(
        `${this.#name}: got x ${shapeText(x.shape)}, expected ${layout}${this.inputSize}] or unbatched [T, ${this.inputSize}]`,
      )
    }
    const batched = x.ndim === 3
    const timeDim = batched && this.batchFirst ? 1 : 0
    if (x.shape[timeDim] === 0) {
      throw new ShapeError(`${this.#name}: got x ${shapeText(x.shape)}, expected at least one time step`)
    }
    const rows = batched ? [x.shape[1 - timeDim]] : []
    const wanted: [string, Tensor | null | undefined, readonly number[]][] = [
      ["x", x, x.shape],
      ["o0", o0, [...rows, this.outputSize]],
      ["targets", targets, [...x.shape.slice(0, -1), this.outputSize]],
    ]
    for (const [what, value, shape] of wanted) if (value) this.#checkOne(what, value, shape)
    return batched
  }
  #checkOne(what: string, value: Tensor, shape: readonly number[]): void {
    if (shapeText(value.shape) !== shapeText(shape)) {
      throw new ShapeError(`${this.#name}: got ${what} ${shapeText(value.shape)}, expected ${shapeText(shape)}`)
    }
    if (value.dtype === this.weight_ih.dtype) return
    throw new DTypeError(
      `${this.#name}: got ${what} of ${value.dtype}, expected ${this.weight_ih.dtype} as the weights; convert it with .to`,
    )
  }
  protected override extraRepr(): string {
    const { inputSize, hiddenSize, outputSize, bias, batchFirst } = this
    const flags = `${bias ? "" : ", bias=False"}${batchFirst ? ", batch_first=True" : ""}`
    const { nonlinearity, outputNonlinearity } = this
    return `${inputSize}, ${hiddenSize}, ${outputSize}${flags}, nonlinearity=${nonlinearity}, output_nonlinearity=${outputNonlinearity}`
  }
}

/**
 * Output-to-hidden recurrence (Jordan 1986; Goodfellow et al., Deep Learning, section 10.2.1): states follow from the
 * input and the last output, h_t = f(W_ih x_t + W_oh o_(t-1) + b_h), o_t = g(W_ho h_t + b_o).
 *
 * Less can pass from step to step than through hidden-to-hidden recurrence, but with teacher forcing no step waits for
 * another. Throws a ValueError for bad options.
 *
 * @example
 * ```ts
 * const layer = new OutputToHiddenRNN(5, 8, 2, { batchFirst: true })
 * const x = randn(3, 4, 5)
 * const [output, last, hidden] = layer.forward(x) // [3, 4, 2], [3, 2] and [3, 4, 8]
 * const [forced] = layer.forward(x, null, { targets: randn(3, 4, 2), forcing: 0.75 }) // [3, 4, 2]
 * ```
 */
export class OutputToHiddenRNN extends OutputRecurrentLayer {
  /** Output to state, `[hiddenSize, outputSize]`. */
  weight_oh: Parameter
  constructor(inputSize: number, hiddenSize: number, outputSize: number, options?: OutputRecurrentOptions) {
    super("OutputToHiddenRNN", [inputSize, hiddenSize, outputSize], "identity", options)
    this.weight_oh = emptyParameter([hiddenSize, outputSize], options ?? {})
    this.resetParameters()
  }
  protected prepare(x: Tensor): { drive: Tensor; hidden: null } {
    return { drive: linear(x, this.weight_ih, this.bias_h), hidden: null }
  }
  protected step(drive: Tensor, last: Tensor): { hidden: Tensor; output: Tensor } {
    const hidden = this.activate(drive.add(linear(last, this.weight_oh)))
    return { hidden, output: this.activateOutput(linear(hidden, this.weight_ho, this.bias_o)) }
  }
}

/**
 * Output-to-output recurrence: states follow from the input alone, outputs from the state and the last output,
 * h_t = f(W_ih x_t + b_h), o_t = g(W_ho h_t + W_oo o_(t-1) + b_o). Throws a ValueError for bad options.
 *
 * @example
 * ```ts
 * const layer = new OutputToOutputRNN(5, 8, 2)
 * const [output, last, hidden] = layer.forward(randn(4, 3, 5)) // [4, 3, 2], [3, 2] and [4, 3, 8]
 * ```
 */
export class OutputToOutputRNN extends OutputRecurrentLayer {
  /** Output to output, `[outputSize, outputSize]`. */
  weight_oo: Parameter
  constructor(inputSize: number, hiddenSize: number, outputSize: number, options?: OutputRecurrentOptions) {
    super("OutputToOutputRNN", [inputSize, hiddenSize, outputSize], "tanh", options)
    this.weight_oo = emptyParameter([outputSize, outputSize], options ?? {})
    this.resetParameters()
  }
  protected prepare(x: Tensor): { drive: Tensor; hidden: Tensor } {
    const hidden = this.activate(linear(x, this.weight_ih, this.bias_h))
    return { drive: linear(hidden, this.weight_ho, this.bias_o), hidden }
  }
  protected step(drive: Tensor, last: Tensor): { hidden: null; output: Tensor } {
    return { hidden: null, output: this.activateOutput(drive.add(linear(last, this.weight_oo))) }
  }
}
