// What all recurrent layers over sequences share: options, weights and the shapes they take. The loop is driver.ts's.
import { DTypeError, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks, sharedZeros, Tensor } from "@rondo/core"
import { uniform_ } from "../init.js"
import { checkSize } from "../linear.js"
import { Module } from "../module.js"
import { emptyParameter, factoryChecks, type FactoryOptions, type Parameter } from "../parameter.js"
import { type LayerWeights, runLayers } from "./driver.js"
import { checkPacked, isPacked, type PackedSequence, reordered } from "./packed.js"
import type { Recurrence } from "./steps.js"

/** Options of RNN, LSTM and GRU. */
export interface RecurrentOptions extends FactoryOptions {
  /** Layers stacked on each other. Default 1. */
  readonly numLayers?: number
  /** Learn offsets. Default true. */
  readonly bias?: boolean
  /** Sequences are `[B, T, …]` instead of `[T, B, …]`; states and packed sequences are not touched by it. Default false. */
  readonly batchFirst?: boolean
  /** Probability of zeroing each output of each layer but the last while training. No effect with one layer. Default 0. */
  readonly dropout?: number
  /** Also read backwards; outputs of both directions are joined. Default false. */
  readonly bidirectional?: boolean
}

/** What fits them. */
export const recurrentChecks: OptionChecks<RecurrentOptions> = {
  numLayers: "count",
  bias: "flag",
  batchFirst: "flag",
  dropout: "probability",
  bidirectional: "flag",
  ...factoryChecks,
}

/** What the kinds of layer differ in. */
export interface RecurrentKind {
  /** What errors call the layer. */
  readonly name: string
  readonly recurrence: Recurrence
  /** Size of the projected output; 0 for none. */
  readonly projSize?: number
}

/** A sequence made ready for the driver. */
interface Ready {
  /** `[T, B, I]`, or `[N, I]` if packed. */
  readonly x: Tensor
  readonly batch: number
  /** False for a sequence without a batch, whose states have none either. */
  readonly batched: boolean
  readonly packed: PackedSequence | null
  /** What errors call the sequence. */
  readonly label: string
}

/** What all recurrent layers share. Weights are fields by PyTorch's names: `layer.weight_ih_l0`, `layer.bias_hh_l1_reverse`. */
export abstract class RecurrentLayer extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bias: boolean
  readonly batchFirst: boolean
  readonly dropout: number
  readonly bidirectional: boolean
  /** Size of the outputs of an LSTM that projects them; 0 for none. */
  readonly projSize: number;
  /** `weight_ih_l0` [gates H, I], `weight_hh_l0` [gates H, P or H], `weight_hr_l0` [P, H], with `_reverse` for the way back. */
  [name: `weight_${string}`]: Parameter
  /** `bias_ih_l0`, `bias_hh_l0` [gates H]. */
  [name: `bias_${string}`]: Parameter
  readonly #kind: RecurrentKind

  constructor(kind: RecurrentKind, inputSize: number, hiddenSize: number, given: RecurrentOptions) {
    super()
    const { name, projSize = 0 } = kind
    const options = checkOptions(name, recurrentChecks, given)
    const { numLayers = 1, bias = true, batchFirst = false, dropout = 0, bidirectional = false } = options
    checkSize(name, "inputSize", inputSize)
    checkSize(name, "hiddenSize", hiddenSize, 1)
    if (projSize >= hiddenSize) {
      throw new ValueError(`${name}: projSize must be smaller than hiddenSize: got ${projSize} and ${hiddenSize}`)
    }
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    this.numLayers = numLayers
    this.bias = bias
    this.batchFirst = batchFirst
    this.dropout = dropout
    this.bidirectional = bidirectional
    this.projSize = projSize
    this.#kind = kind
    this.#register({ device: options.device, dtype: options.dtype })
    this.resetParameters()
  }
  #register(factory: FactoryOptions): void {
    const rows = this.#kind.recurrence.gates * this.hiddenSize
    for (let layer = 0; layer < this.numLayers; layer++) {
      const width = layer === 0 ? this.inputSize : this.#outputSize * this.#directions
      for (const suffix of this.#suffixes(layer)) {
        this.registerParameter(`weight_ih_${suffix}`, emptyParameter([rows, width], factory))
        this.registerParameter(`weight_hh_${suffix}`, emptyParameter([rows, this.#outputSize], factory))
        if (this.bias) {
          this.registerParameter(`bias_ih_${suffix}`, emptyParameter([rows], factory))
          this.registerParameter(`bias_hh_${suffix}`, emptyParameter([rows], factory))
        }
        if (this.projSize === 0) continue
        this.registerParameter(`weight_hr_${suffix}`, emptyParameter([this.projSize, this.hiddenSize], factory))
      }
    }
  }
  get #directions(): number {
    return this.bidirectional ? 2 : 1
  }
  /** Size of h: what each direction of each layer hands on. */
  get #outputSize(): number {
    return this.projSize || this.hiddenSize
  }
  #suffixes(layer: number): string[] {
    return this.bidirectional ? [`l${layer}`, `l${layer}_reverse`] : [`l${layer}`]
  }
  /** Draws all start values anew: uniform within ±1/sqrt(hiddenSize), in PyTorch's order. */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize)
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound)
  }
  #weights(): LayerWeights[][] {
    return Array.from({ length: this.numLayers }, (_, layer) =>
      this.#suffixes(layer).map((suffix) => ({
        weightIh: this[`weight_ih_${suffix}`],
        biasIh: this.bias ? this[`bias_ih_${suffix}`] : null,
        hidden: {
          weight: this[`weight_hh_${suffix}`],
          bias: this.bias ? this[`bias_hh_${suffix}`] : null,
          projection: this.projSize ? this[`weight_hr_${suffix}`] : null,
        },
      })),
    )
  }

  /** Runs x with the given states, or zeros; outputs come back in the layout in which x came, states in the order of x. */
  protected run<X extends Tensor | PackedSequence>(
    x: X,
    given: readonly Tensor[] | null,
  ): { output: X; finals: Tensor[] } {
    const ready = isPacked(x) ? this.#readPacked(x) : this.#readTensor(x as Tensor)
    const initial = this.#initial(ready, given)
    const plan = {
      recurrence: this.#kind.recurrence,
      layers: this.#weights(),
      dropout: this.training ? this.dropout : 0,
      module: this,
    }
    const { packed, batched } = ready
    const { output, finals } = runLayers(plan, ready.x, initial, packed?.batchSizes)
    const shown = packed
      ? { ...packed, data: output }
      : !batched
        ? output.squeeze(1)
        : this.batchFirst
          ? output.transpose(0, 1)
          : output
    const states = finals.map((state) => (batched ? reordered(state, 1, packed?.unsortedIndices ?? null) : state.squeeze(1))) // prettier-ignore
    return { output: shown as X, finals: states }
  }
  #readTensor(x: Tensor): Ready {
    const { name } = this.#kind
    if (!(x instanceof Tensor)) {
      throw new ValueError(`${name}: got ${x === null ? "null" : typeof x}, expected a tensor or a PackedSequence`)
    }
    const layout = this.batchFirst ? "[B, T, " : "[T, B, "
    if ((x.ndim !== 2 && x.ndim !== 3) || x.shape[x.ndim - 1] !== this.inputSize) {
      throw new ShapeError(
        `${name}: got x ${shapeText(x.shape)}, expected ${layout}${this.inputSize}] or unbatched [T, ${this.inputSize}]`,
      )
    }
    const batched = x.ndim === 3
    const timeMajor = !batched ? x.unsqueeze(1) : this.batchFirst ? x.transpose(0, 1) : x
    if (timeMajor.shape[0] === 0) {
      throw new ShapeError(`${name}: got x ${shapeText(x.shape)}, expected at least one time step`)
    }
    this.#checkDType("x", x)
    return { x: timeMajor, batch: timeMajor.shape[1], batched, packed: null, label: `x ${shapeText(x.shape)}` }
  }
  #readPacked(packed: PackedSequence): Ready {
    const { name } = this.#kind
    checkPacked(name, packed)
    const { data } = packed
    if (data.ndim !== 2 || data.shape[1] !== this.inputSize) {
      throw new ShapeError(`${name}: got packed data ${shapeText(data.shape)}, expected [N, ${this.inputSize}]`)
    }
    this.#checkDType("packed data", data)
    const [batch] = packed.batchSizes
    return { x: data, batch, batched: true, packed, label: `${batch} packed sequences` }
  }
  #checkDType(what: string, x: Tensor): void {
    const { dtype } = this.weight_ih_l0
    if (x.dtype === dtype) return
    throw new DTypeError(
      `${this.#kind.name}: got ${what} of ${x.dtype}, expected ${dtype} as the weights; convert it with .to`,
    )
  }
  /** Start states as [layers * directions, B, P or H], in the order in which the sequences run. */
  #initial({ x, batch, batched, packed, label }: Ready, given: readonly Tensor[] | null): Tensor[] {
    const { name, recurrence } = this.#kind
    const rows = this.numLayers * this.#directions
    // Of the states, only h is projected.
    const sizeOf = (i: number) => (i === 0 ? this.#outputSize : this.hiddenSize)
    if (!given) {
      const start = (i: number) => sharedZeros([rows, batch, sizeOf(i)], x)
      const first = start(0)
      return Array.from({ length: recurrence.states }, (_, i) => (sizeOf(i) === sizeOf(0) ? first : start(i)))
    }
    return given.map((state, i) => {
      const what = ["h0", "c0"][i]
      if (!(state instanceof Tensor)) throw new ValueError(`${name}: ${what} must be a tensor: got ${typeof state}`)
      const expected = batched ? [rows, batch, sizeOf(i)] : [rows, sizeOf(i)]
      if (state.ndim !== expected.length || state.shape.some((size, d) => size !== expected[d])) {
        const last = i === 0 && this.projSize > 0 ? "projected" : "hidden"
        throw new ShapeError(
          `${name}: got ${what} ${shapeText(state.shape)}, expected ${shapeText(expected)} (layers * directions, ${batched ? "batch, " : ""}${last}) for ${label}`,
        )
      }
      this.#checkDType(what, state)
      return batched ? reordered(state, 1, packed?.sortedIndices ?? null) : state.unsqueeze(1)
    })
  }
  protected override extraRepr(): string {
    const { inputSize, hiddenSize, projSize, numLayers, bias, batchFirst, dropout, bidirectional } = this
    return [
      `${inputSize}, ${hiddenSize}`,
      projSize === 0 ? "" : `proj_size=${projSize}`,
      numLayers === 1 ? "" : `num_layers=${numLayers}`,
      bias ? "" : "bias=False",
      batchFirst ? "batch_first=True" : "",
      dropout === 0 ? "" : `dropout=${Number.isInteger(dropout) ? `${dropout}.0` : dropout}`,
      bidirectional ? "bidirectional=True" : "",
    ]
      .filter(Boolean)
      .join(", ")
  }
}
