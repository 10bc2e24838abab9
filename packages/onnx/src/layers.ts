// From a module to its nodes: who converts which class, and the conversion of all layers that have no file of their own.
import { DTypeError, ShapeError, ValueError } from "@rondo/backend"
import type { Tensor } from "@rondo/core"
import {
  BatchNorm1d,
  Dropout,
  Embedding,
  Flatten,
  Identity,
  LayerNorm,
  Linear,
  type Module,
  Sequential,
} from "@rondo/nn"
import { activations } from "./activations.js"
import type { Graph, OnnxModule, Outputs, SequenceCall } from "./graph.js"
import { Value } from "./recorder.js"
import { recurrent } from "./recurrent.js"
import { type Convert, row, type Row } from "./rows.js"
import { agree, dimsText } from "./shape.js"

// ---- linear layers and tables

const linear: Convert<Linear> = (g, module, [x]) => {
  const size = x.shape.at(-1)
  if (size === undefined || !agree(size, module.inFeatures)) {
    throw new ShapeError(`${g.label(module)}: got x ${dimsText(x.shape)}, expected [..., ${module.inFeatures}]`)
  }
  const weight = g.parameter(module.weight)
  const bias = module.bias && g.parameter(module.bias)
  const type = { dtype: x.dtype, shape: x.shape.with(-1, module.outFeatures) }
  // Gemm reads the weight as it is stored, but takes matrices only.
  if (x.shape.length === 2) return g.node("Gemm", [x, weight, bias], [type], { transB: 1 })[0]
  const [product] = g.node("MatMul", [x, g.transpose(weight, 0, 1)], [type])
  return bias ? g.add(product, bias) : product
}

/** The rows as a lookup would shorten them: to `maxNorm`, with PyTorch's guard against a division by 0. */
function shortened(values: Float32Array, width: number, maxNorm: number, p: number): Float32Array {
  const out = Float32Array.from(values)
  for (let at = 0; at < out.length; at += width) {
    const cells = out.subarray(at, at + width)
    const sizes = Array.from(cells, Math.abs)
    const norm = p === Infinity ? Math.max(...sizes) : sizes.reduce((sum, size) => sum + size ** p, 0) ** (1 / p)
    if (norm > maxNorm) cells.forEach((cell, i) => (cells[i] = (cell * maxNorm) / (norm + 1e-7)))
  }
  return out
}

const embedding: Convert<Embedding> = (g, module, [index]) => {
  if (index.dtype !== "int32" && index.dtype !== "int64") {
    throw new DTypeError(`${g.label(module)}: got indices of ${index.dtype}, expected int32 or int64; give the input a dtype`) // prettier-ignore
  }
  const { weight, maxNorm, normType, embeddingDim, numEmbeddings } = module
  const table =
    maxNorm === null
      ? g.parameter(weight)
      : g.weight([weight], `rows within ${maxNorm}`, {
          shape: [numEmbeddings, embeddingDim],
          arrange: (values) => shortened(values, embeddingDim, maxNorm, normType),
        })
  return g.node("Gather", [table, index], [{ dtype: "float32", shape: [...index.shape, embeddingDim] }])[0]
}

// ---- normalisation

const filled = (g: Graph, value: number, shape: readonly number[]): Value =>
  g.constant(Array<number>(shape.reduce((a, b) => a * b, 1)).fill(value), "float32", shape)
const given = (g: Graph, tensor: Tensor | null, value: number, shape: readonly number[]): Value =>
  tensor ? g.parameter(tensor) : filled(g, value, shape)

const layerNorm: Convert<LayerNorm> = (g, module, [x]) => {
  const { normalizedShape: shape, weight, bias, eps } = module
  const last = x.shape.slice(-shape.length)
  if (last.length < shape.length || !shape.every((size, d) => agree(size, last[d]))) {
    throw new ShapeError(`${g.label(module)}: got x ${dimsText(x.shape)}, expected [..., ${shape.join(", ")}]`)
  }
  const inputs = [x, given(g, weight, 1, shape), bias && g.parameter(bias)]
  return g.node("LayerNormalization", inputs, [x], { axis: -shape.length, epsilon: { float: eps } })[0]
}

const batchNorm: Convert<BatchNorm1d> = (g, module, [x]) => {
  const { numFeatures, running_mean: mean, running_var: variance, weight, bias, eps } = module
  if (!mean || !variance) {
    throw new ValueError(`exportOnnx: ${g.label(module)}: has no running statistics; make it with trackRunningStats`)
  }
  const rank = x.shape.length
  if ((rank !== 2 && rank !== 3) || !agree(x.shape[1], numFeatures)) {
    throw new ShapeError(`${g.label(module)}: got x ${dimsText(x.shape)}, expected [N, ${numFeatures}] or [N, ${numFeatures}, L]`) // prettier-ignore
  }
  const affine = [given(g, weight, 1, [numFeatures]), given(g, bias, 0, [numFeatures])]
  const inputs = [x, ...affine, g.parameter(mean), g.parameter(variance)]
  return g.node("BatchNormalization", inputs, [x], { epsilon: { float: eps } })[0]
}

// ---- the table

const same: Convert<Module> = (_, __, [x]) => x

const rows: readonly Row[] = [
  row(Sequential, (g, module, [x]) => [...module].reduce((value, layer) => g.layer(layer, value), x)),
  row(Linear, linear, { floats: true }),
  row(Embedding, embedding),
  row(Dropout, same),
  row(Identity, same),
  row(Flatten, (g, { startDim, endDim }, [x]) => g.flatten(x, startDim, endDim)),
  row(LayerNorm, layerNorm, { floats: true }),
  row(BatchNorm1d, batchNorm, { floats: true }),
  ...activations,
  ...recurrent,
]

/** The row of a module's class. A subclass that overrides `forward` computes something else: it has none. */
const rowOf = (module: Module): Row | undefined =>
  rows.find(({ type }) => module instanceof type && module.forward === (type.prototype as Module).forward)

const isCustom = (module: Module): module is Module & OnnxModule<unknown[]> =>
  "onnx" in module && typeof module.onnx === "function"

/** The nodes of one call of a module. `inputs` are as `forward` takes them, values in the place of tensors. */
export function convertLayer(g: Graph, module: Module, inputs: readonly unknown[]): Outputs {
  if (isCustom(module)) return module.onnx(g, ...inputs)
  const found = rowOf(module)
  const label = g.label(module)
  if (!found) {
    throw new ValueError(
      `exportOnnx: ${label}: no ONNX form is known for ${module.constructor.name}; give its class a method onnx(g, ...inputs), or pass the option graph`,
    )
  }
  const { values, options } = readInputs(inputs)
  if (!found.inputs.includes(values.length) || (options.lengths && !found.sequences)) {
    const got = `${values.length} inputs${options.lengths ? " and lengths" : ""}`
    throw new ValueError(`exportOnnx: ${label}: got ${got}, expected ${found.inputs.join(" or ")}`)
  }
  for (const value of values) {
    if (!found.floats || value.dtype === "float32") continue
    throw new DTypeError(`exportOnnx: ${label}: got an input of ${value.dtype}, expected float32`)
  }
  return found.convert(g, module, values, options)
}

function readInputs(inputs: readonly unknown[]): { values: Value[]; options: SequenceCall } {
  const values: Value[] = []
  let options: SequenceCall = {}
  for (const input of inputs.flat(1)) {
    if (input instanceof Value) values.push(input)
    else if (input !== null && typeof input === "object") options = input as SequenceCall
    else if (input !== null && input !== undefined) {
      throw new ValueError(`exportOnnx: got ${typeof input} as an input of a layer, expected a value of the graph`)
    }
  }
  return { values, options }
}
