// The door: reads the options, has the graph written, and turns it into the bytes of a file.
import { DTypeError, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, type OptionChecks } from "@rondo/core"
import { Module, RecurrentLayer } from "@rondo/nn"
import { Graph, type Outputs } from "./graph.js"
import { type Dim, model, type ValueDType } from "./proto.js"
import { Value, type ValueType } from "./recorder.js"
import { dimsText, readAxis } from "./shape.js"
import { joined, lengthOf } from "./wire.js"

/** An input of the exported model. */
export interface OnnxInput {
  /** What callers of the file pass it as. */
  readonly name: string
  /** Sizes of an example. */
  readonly shape: readonly number[]
  /** Axes whose size is free, with a name each: `{ 0: "batch", 1: "time" }`. Default none. */
  readonly dynamicAxes?: Readonly<Record<number, string>>
  /** Default float32; an embedding takes int32 or int64. */
  readonly dtype?: ValueDType
}

/** Options of {@link exportOnnx}. */
export interface OnnxOptions {
  /** In the order of `forward`'s arguments; an LSTM's initial state is two of them. */
  readonly inputs: readonly OnnxInput[]
  /** Default: `output`, for a recurrent layer `output`, `hn` and `cn`, for others `output_0`, `output_1` and so on. */
  readonly outputNames?: readonly string[]
  /** Version of the operator set, 17 to 22. Default 17. */
  readonly opset?: number
  /** What the module computes, if its class does not say it: see {@link Graph}. */
  readonly graph?: (g: Graph, ...inputs: Value[]) => Outputs
  /** Name of the graph. Default: the class of the module. */
  readonly name?: string
  /** Text for the reader of the file. Default none. */
  readonly description?: string
  /** Entries that runtimes show, such as the version of the data. Default none. */
  readonly metadata?: Readonly<Record<string, string>>
}

const inputChecks: OptionChecks<OnnxInput> = { name: "text!", shape: "array!", dynamicAxes: "any", dtype: "any" }
const exportChecks: OptionChecks<OnnxOptions> = {
  inputs: "array!",
  outputNames: "array",
  opset: "any",
  graph: "function",
  name: "text",
  description: "text",
  metadata: {
    words: "an object of strings",
    fits: (x) => typeof x === "object" && x !== null && Object.values(x).every((value) => typeof value === "string"),
  },
}

// Readers take no Protocol Buffers message of 2 GiB or more (https://protobuf.dev/programming-guides/proto-limits/).
const mostBytes = 2 ** 31 - 1
const dtypes: readonly ValueDType[] = ["float32", "int32", "int64", "bool"]

function typeOf({ name, shape, dynamicAxes = {}, dtype = "float32" }: OnnxInput): ValueType {
  if (!dtypes.includes(dtype)) {
    throw new DTypeError(`exportOnnx: input ${name}: got dtype ${String(dtype)}, expected ${dtypes.join(", ")}`)
  }
  if (shape.some((size) => !Number.isInteger(size) || size < 1)) {
    throw new ShapeError(`exportOnnx: input ${name}: got shape ${dimsText(shape)}, expected sizes of at least 1`)
  }
  const dims: Dim[] = [...shape]
  for (const [axis, label] of Object.entries(dynamicAxes)) {
    if (label === "") throw new ValueError(`exportOnnx: input ${name}: the name of axis ${axis} is empty`)
    dims[readAxis(`exportOnnx: input ${name}`, Number(axis), shape.length)] = label
  }
  return { dtype, shape: dims }
}

/** The graph of one export: its inputs and outputs beside its nodes. */
class Model extends Graph {
  /** Declares the inputs. */
  inputs(list: readonly OnnxInput[]): Value[] {
    return list.map((input) => this.declare(input.name, typeOf(input)))
  }
  /** The rows of the file. Names that were not given in advance are taken now. */
  rows(outputs: readonly Value[], names: readonly string[], reserved: boolean) {
    if (names.length === outputs.length) return this.collect(this.declareOutputs(outputs, names, reserved))
    throw new ValueError(`exportOnnx: got ${names.length} outputNames, expected ${outputs.length}`)
  }
}

function flat(result: Outputs): Value[] {
  if (result instanceof Value) return [result]
  if (Array.isArray(result) && result.length > 0) return result.flatMap(flat)
  const got = Array.isArray(result) ? "an empty list" : typeof result
  throw new ValueError(`exportOnnx: the graph gave ${got}, expected a value or a list of values`)
}

function defaultNames(module: Module, count: number): string[] {
  if (count === 1) return ["output"]
  if (module instanceof RecurrentLayer) return ["output", "hn", "cn"].slice(0, count)
  return Array.from({ length: count }, (_, i) => `output_${i}`)
}

/**
 * A trained module as an ONNX file, which ONNX Runtime and others run without Rondo: as in evaluation, so dropout is gone
 * and batch norms use their running statistics. Weights are read from their device and keep their state-dict keys as
 * names. The module is not changed.
 *
 * Converts RNN, GRU, LSTM (all options but projSize) and their cells, Linear, Embedding, LayerNorm, BatchNorm1d, Dropout,
 * Flatten, the activations, and Sequential of these. Other modules say what they compute, on a {@link Graph}: in a method
 * `onnx(g, ...inputs)` beside their `forward`, or in the option `graph`.
 *
 * Throws a ValueError for a module that it cannot convert, naming it, and for options that are unknown or missing; a DTypeError for parameters that are not float32; a
 * ShapeError for inputs that do not fit.
 *
 * @returns The bytes of the file.
 * @example
 * ```ts
 * import { exportOnnx, type Graph, type Value } from "@rondo/onnx"
 *
 * class Model extends Module {
 *   rnn = new RNN(5, 8, { batchFirst: true })
 *   fc = new Linear(8, 1)
 *   forward(x: Tensor): Tensor {
 *     const [output] = this.rnn.forward(x)
 *     return this.fc.forward(output.select(1, -1))
 *   }
 *   onnx(g: Graph, x: Value): Value {
 *     const [output] = g.layer(this.rnn, x)
 *     return g.layer(this.fc, g.select(output, 1, -1))
 *   }
 * }
 * const x = { name: "x", shape: [1, 10, 5], dynamicAxes: { 0: "batch", 1: "time" } }
 * const file = await exportOnnx(new Model(), { inputs: [x], outputNames: ["price"] })
 * console.log(file.length > 600) // true
 * ```
 */
export async function exportOnnx(module: Module, options: OnnxOptions): Promise<Uint8Array<ArrayBuffer>> {
  if (!(module instanceof Module)) throw new ValueError(`exportOnnx: needs a module, got ${typeof module}`)
  checkOptions<OnnxOptions>("exportOnnx", exportChecks, options)
  for (const input of options.inputs) checkOptions<OnnxInput>("exportOnnx: an input", inputChecks, input)
  const { inputs, outputNames, opset = 17, graph, name = module.constructor.name } = options
  if (!Number.isInteger(opset) || opset < 17 || opset > 22) {
    throw new ValueError(`exportOnnx: unknown opset: got ${opset}, expected 17 to 22`)
  }
  const g = new Model(module, opset, [...inputs.map((input) => input.name), ...(outputNames ?? [])])
  const values = g.inputs(inputs)
  const outputs = flat(graph ? graph(g, ...values) : g.layer(module, ...values))
  const names = outputNames ?? defaultNames(module, outputs.length)
  const rows = await g.rows(outputs, names, outputNames !== undefined)
  const { description = "", metadata = {} } = options
  const bytes = model({ ...rows, name, doc: description, opset, metadata })
  const length = lengthOf(bytes)
  if (length <= mostBytes) return joined(bytes)
  throw new ValueError(`exportOnnx: the file would have ${length} bytes, expected at most ${mostBytes}, ONNX's limit`)
}
