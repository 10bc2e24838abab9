// The messages of an ONNX file, by the field numbers of onnx.proto3
// (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3). It writes what it is given and judges no graph.
import { type Bytes, float, int, nested, text } from "./wire.js"

/** Dtypes of values in the graphs that are written here. */
export type ValueDType = "float32" | "int32" | "int64" | "bool"

/** A size: known, named (a dynamic axis), or unknown. */
export type Dim = number | string | null

/** Values of a tensor that the file holds. */
export interface TensorData {
  readonly dtype: ValueDType
  readonly shape: readonly number[]
  readonly values: Float32Array | Int32Array | BigInt64Array
}

/** What an attribute of a node can be. Whole numbers are written as integers; wrap those that ONNX calls floats in {@link asFloat}. */
export type Attribute = number | string | AsFloat | TensorData | readonly number[] | readonly string[]

/** A number that is written as a float, even if it is whole. */
export interface AsFloat {
  readonly float: number
}

/** Marks a number as ONNX's float, as in `{ alpha: asFloat(1) }`. */
export const asFloat = (value: number): AsFloat => ({ float: value })

/** A node with the names of its values; "" stands for an optional input that is left out. */
export interface NodeRow {
  readonly name: string
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** An input or output of the graph. */
export interface ValueRow {
  readonly name: string
  readonly dtype: ValueDType
  readonly shape: readonly Dim[]
}

/** Everything that a file holds. */
export interface ModelRow {
  readonly name: string
  readonly doc: string
  readonly opset: number
  readonly metadata: Readonly<Record<string, string>>
  readonly nodes: readonly NodeRow[]
  readonly initializers: readonly (TensorData & { readonly name: string })[]
  readonly inputs: readonly ValueRow[]
  readonly outputs: readonly ValueRow[]
}

/** TensorProto.DataType, by our names. */
export const dataTypes: Readonly<Record<ValueDType, number>> = { float32: 1, int32: 6, int64: 7, bool: 9 }
// ONNX 1.12's version of the format, the first with opset 17; readers take files of later opsets in it too.
const irVersion = 8

function tensor({ dtype, shape, values }: TensorData, name = ""): Bytes {
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return [
    ...shape.flatMap((size) => int(1, size)),
    ...int(2, dataTypes[dtype]),
    ...(name === "" ? [] : text(8, name)),
    ...nested(9, [raw]),
  ]
}

// The fields of AttributeProto, and AttributeProto.AttributeType in field 20.
function attribute(name: string, value: Attribute): Bytes {
  const typed = (type: number, content: Bytes): Bytes => [...text(1, name), ...content, ...int(20, type)]
  if (typeof value === "number") return typed(2, int(3, value))
  if (typeof value === "string") return typed(3, text(4, value))
  if ("float" in value) return typed(1, float(2, value.float))
  if ("values" in value && "dtype" in value) return typed(4, nested(5, tensor(value)))
  const list = value as readonly (number | string)[]
  if (typeof list[0] === "string") return typed(8, list.flatMap((item) => [...text(9, item as string)])) // prettier-ignore
  return typed(7, list.flatMap((item) => [...int(8, item as number)])) // prettier-ignore
}

const node = ({ name, op, inputs, outputs, attributes }: NodeRow): Bytes => [
  ...inputs.flatMap((input) => [...text(1, input)]),
  ...outputs.flatMap((output) => [...text(2, output)]),
  ...text(3, name),
  ...text(4, op),
  ...Object.entries(attributes).flatMap(([key, value]) => [...nested(5, attribute(key, value))]),
]

const dim = (size: Dim): Bytes => (size === null ? [] : typeof size === "number" ? int(1, size) : text(2, size))

function value({ name, dtype, shape }: ValueRow): Bytes {
  const sizes = nested(2, shape.flatMap((size) => [...nested(1, dim(size))])) // prettier-ignore
  const type = nested(1, [...int(1, dataTypes[dtype]), ...sizes])
  return [...text(1, name), ...nested(2, type)]
}

const graph = ({ name, nodes, initializers, inputs, outputs }: ModelRow): Bytes => [
  ...nodes.flatMap((row) => [...nested(1, node(row))]),
  ...text(2, name),
  ...initializers.flatMap((row) => [...nested(5, tensor(row, row.name))]),
  ...inputs.flatMap((row) => [...nested(11, value(row))]),
  ...outputs.flatMap((row) => [...nested(12, value(row))]),
]

/** The file's bytes. */
export const model = (row: ModelRow): Bytes => [
  ...int(1, irVersion),
  ...text(2, "rondo"),
  ...(row.doc === "" ? [] : text(6, row.doc)),
  ...nested(7, graph(row)),
  ...nested(8, [...text(1, ""), ...int(2, row.opset)]),
  ...Object.entries(row.metadata).flatMap(([key, entry]) => [...nested(14, [...text(1, key), ...text(2, entry)])]),
]
