// Collects the nodes, weights and constants of a graph and names them. Which nodes a layer becomes is not known here.
import { type DType, DTypeError, ValueError } from "@rondo/backend"
import type { Tensor } from "@rondo/core"
import type { Module } from "@rondo/nn"
import { dimsText } from "./shape.js"
import type { Attribute, Dim, ModelRow, NodeRow, TensorData, ValueDType } from "./proto.js"

/** What is known of a value before the model runs. */
export interface ValueType {
  readonly dtype: ValueDType
  /** Sizes; a string names a dynamic axis, null is a size that nobody knows. */
  readonly shape: readonly Dim[]
}

/** A tensor of the exported graph: an input, a weight, or what a node computes. Only a {@link Graph} makes them. */
export class Value implements ValueType {
  readonly dtype: ValueDType
  readonly shape: readonly Dim[]
  constructor({ dtype, shape }: ValueType) {
    this.dtype = dtype
    this.shape = shape
  }
  toString(): string {
    return `${this.dtype} ${dimsText(this.shape)}`
  }
}

/** Values of a weight, arranged as ONNX wants them. Gets the sources' elements in row-major order. */
export type Arrange = (...sources: Float32Array[]) => Float32Array

/** How a weight of the file comes from parameters. */
export interface WeightLayout {
  readonly shape: readonly number[]
  readonly arrange: Arrange
}

interface Weight extends WeightLayout {
  readonly name: string
  readonly dtype: ValueDType
  readonly sources: readonly Tensor[]
}

interface Node extends Omit<NodeRow, "inputs" | "outputs"> {
  readonly inputs: readonly (Value | null)[]
  readonly outputs: readonly Value[]
}

const bytesOfName = (name: string): boolean => typeof name === "string" && name.length > 0

/** Base of {@link Graph}: what it has recorded so far. */
export abstract class Recorder {
  /** The version of ONNX's operators that the nodes are written for. */
  readonly opset: number
  readonly #modules: ReadonlyMap<Module, string>
  readonly #keys: ReadonlyMap<Tensor, string>
  readonly #names = new Map<Value, string>()
  readonly #taken = new Set<string>()
  readonly #nodes: Node[] = []
  readonly #weights = new Map<string, Weight & { readonly value: Value }>()
  readonly #constants = new Map<string, Value>()
  readonly #inputs: Value[] = []
  readonly #path: string[] = []

  constructor(root: Module, opset: number, reserved: readonly string[]) {
    this.opset = opset
    this.#modules = new Map(root.namedModules().map(([name, module]) => [module, name]))
    const named = [...root.namedParameters(), ...root.namedBuffers()]
    this.#keys = new Map(named.map(([name, tensor]) => [tensor, name]))
    for (const name of reserved) this.#reserve(name)
  }

  #reserve(name: string): void {
    if (!bytesOfName(name)) throw new ValueError("exportOnnx: names of inputs and outputs must not be empty")
    if (this.#taken.has(name)) throw new ValueError(`exportOnnx: two inputs or outputs are called "${name}"`)
    this.#taken.add(name)
  }
  #unique(wanted: string): string {
    let name = wanted
    for (let i = 1; this.#taken.has(name); i++) name = `${wanted}_${i}`
    this.#taken.add(name)
    return name
  }

  /** Declares the next input of the graph, whose name is reserved. */
  protected declare(name: string, type: ValueType): Value {
    const value = new Value(type)
    this.#names.set(value, name)
    this.#inputs.push(value)
    return value
  }

  /** Runs `f` with nodes named after the module. */
  protected within<T>(module: Module, f: () => T): T {
    this.#path.push(this.#modules.get(module) || module.constructor.name)
    try {
      return f()
    } finally {
      this.#path.pop()
    }
  }
  /** `LSTM (encoder.lstm)`: how errors call a module. */
  label(module: Module): string {
    const name = this.#modules.get(module)
    return name ? `${module.constructor.name} (${name})` : module.constructor.name
  }

  /**
   * Adds any node of ONNX's default operator set, for what no other method covers.
   *
   * @param op - ONNX's name, such as `"ReduceMax"`.
   * @param inputs - In ONNX's order; null for an optional input that is left out.
   * @param outputs - Dtype and shape of each result; they are believed, not inferred.
   * @param attributes - Whole numbers are written as integers: wrap floats in {@link asFloat}.
   */
  node(
    op: string,
    inputs: readonly (Value | null)[],
    outputs: readonly ValueType[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value[] {
    for (const input of inputs) {
      if (input === null || this.#names.has(input)) continue
      throw new ValueError(`exportOnnx: ${op}: got ${input instanceof Value ? "a value of another graph" : typeof input}, expected a value of this graph`) // prettier-ignore
    }
    const end = inputs.findLastIndex((input) => input !== null) + 1
    const name = this.#unique(`/${[...this.#path.slice(-1), op].join("/")}`)
    const values = outputs.map((type) => new Value(type))
    values.forEach((value, i) => this.#names.set(value, this.#unique(`${name}_output_${i}`)))
    this.#nodes.push({ name, op, inputs: inputs.slice(0, end), outputs: values, attributes })
    return values
  }

  /** Numbers that belong to the graph and not to the model. Equal ones are written once. */
  constant(
    values: number | readonly number[],
    dtype: "float32" | "int64" = "float32",
    shape?: readonly number[],
  ): Value {
    const list = typeof values === "number" ? [values] : values
    const sizes = shape ?? (typeof values === "number" ? [] : [list.length])
    const key = JSON.stringify([dtype, sizes, list.map((x) => (Object.is(x, -0) ? "-0" : String(x)))])
    const known = this.#constants.get(key)
    if (known) return known
    const data: TensorData = {
      dtype,
      shape: sizes,
      values: dtype === "int64" ? BigInt64Array.from(list.map(BigInt)) : Float32Array.from(list),
    }
    const [made] = this.node("Constant", [], [{ dtype, shape: sizes }], { value: data })
    this.#constants.set(key, made)
    return made
  }

  /**
   * A parameter or buffer of the exported module, under its state-dict key. Throws a ValueError if it belongs to no
   * module below the exported one, a DTypeError if it is not float32, int32 or int64.
   */
  parameter(tensor: Tensor): Value {
    return this.weight([tensor], "", { shape: tensor.shape, arrange: (values) => values })
  }
  /** As {@link parameter}, with values rearranged or joined; `part` tells such layouts of the same parameter apart. */
  weight(sources: readonly Tensor[], part: string, { shape, arrange }: WeightLayout): Value {
    const dtype = this.#dtypeOf(sources)
    const keys = sources.map((source) => this.#keyOf(source))
    // Tied weights are written once; those that are tied in part only are not.
    const identity = [...keys, part, shape].join(" ")
    const known = this.#weights.get(identity)
    if (known) return known.value
    const name = this.#unique(keys[0])
    const value = new Value({ dtype, shape })
    this.#names.set(value, name)
    this.#weights.set(identity, { name, dtype, sources, shape, arrange, value })
    return value
  }
  #keyOf(tensor: Tensor): string {
    const key = this.#keys.get(tensor)
    if (key !== undefined) return key
    const where = this.#path.at(-1) ?? "the graph"
    throw new ValueError(
      `exportOnnx: ${where}: a parameter is not part of the exported module; make its owner a field of that module, or use a ModuleList`,
    )
  }
  #dtypeOf(sources: readonly Tensor[]): ValueDType {
    const allowed: readonly DType[] = sources.length === 1 ? ["float32", "int32", "int64"] : ["float32"]
    for (const source of sources) {
      if (allowed.includes(source.dtype)) continue
      throw new DTypeError(
        `exportOnnx: ${this.#keyOf(source)} is ${source.dtype}, expected float32; convert the module with .to("float32")`,
      )
    }
    return sources[0].dtype as ValueDType
  }

  /** Names the outputs; a value that is an input, a weight or another output already is handed on by a node. */
  protected declareOutputs(outputs: readonly Value[], names: readonly string[], reserved: boolean): Value[] {
    if (!reserved) for (const name of names) this.#reserve(name)
    const computed = new Set(this.#nodes.flatMap((node) => node.outputs))
    const declared = new Set<Value>()
    return outputs.map((output, i) => {
      const own = computed.has(output) && !declared.has(output)
      const value = own ? output : this.node("Identity", [output], [output])[0]
      declared.add(value)
      this.#names.set(value, names[i])
      return value
    })
  }

  /** Reads the weights from their device and gives all rows of the file. */
  protected async collect(
    outputs: readonly Value[],
  ): Promise<Pick<ModelRow, "nodes" | "initializers" | "inputs" | "outputs">> {
    const nameOf = (value: Value | null): string => (value ? (this.#names.get(value) as string) : "")
    const row = (value: Value) => ({ name: nameOf(value), dtype: value.dtype, shape: value.shape })
    const initializers: ModelRow["initializers"][number][] = []
    for (const { name, dtype, shape, sources, arrange } of this.#weights.values()) {
      const arrays: Float32Array[] = []
      for (const source of sources) arrays.push((await source.data()) as Float32Array)
      initializers.push({ name, dtype, shape, values: arrange(...arrays) })
    }
    const nodes = this.#nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(nameOf),
      outputs: node.outputs.map(nameOf),
    }))
    return { nodes, initializers, inputs: this.#inputs.map(row), outputs: outputs.map(row) }
  }
}
