// ONNX export of Rondo's models, and the graph on which custom modules say what they compute. It reads no ONNX files.
export { exportOnnx, type OnnxInput, type OnnxOptions } from "./export.js"
export type { Graph, OnnxModule, Outputs, SequenceCall } from "./graph.js"
export { asFloat, type AsFloat, type Attribute, type Dim, type TensorData, type ValueDType } from "./proto.js"
export type { Arrange, Recorder, Value, ValueType, WeightLayout } from "./recorder.js"
