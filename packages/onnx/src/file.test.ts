// The file itself, decoded by ONNX's own schema; and what cannot be exported, refused by name before anything is written.
import { DTypeError, IndexError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { type Tensor, use } from "@rondo/core"
import {
  BatchNorm1d,
  Conv1d,
  Embedding,
  GRU,
  Identity,
  Linear,
  LSTM,
  Module,
  ModuleList,
  RNN,
  Sequential,
  Tanh,
} from "@rondo/nn"
import { createRequire } from "node:module"
import type * as Proto from "onnx-proto"
import { describe, expect, it } from "vitest"
import { asFloat, exportOnnx, type Graph, type OnnxInput, type OnnxOptions, type Value } from "./index.js"

use(new CpuJs())
const { onnx } = createRequire(import.meta.url)("onnx-proto") as typeof Proto
const x = (...shape: number[]): OnnxInput[] => [{ name: "x", shape }]
const decode = async (module: Module, options: OnnxOptions) => onnx.ModelProto.decode(await exportOnnx(module, options))

/** The float32 numbers of an initializer. */
const floats = ({ rawData }: Proto.onnx.ITensorProto): number[] => {
  const bytes = Uint8Array.from(rawData as Uint8Array)
  return [...new Float32Array(bytes.buffer)]
}

describe("the file", () => {
  it("names weights by their state-dict keys, and inputs and outputs as asked", async () => {
    const net = new Sequential({ act: new Tanh(), fc: new Linear(3, 2) })
    const inputs = [{ name: "x", shape: [4, 3], dynamicAxes: { 0: "batch" } }]
    const { graph, opsetImport, irVersion, metadataProps, producerName } = await decode(net, {
      inputs,
      outputNames: ["score"],
      opset: 19,
      name: "scorer",
      description: "scores rows",
      metadata: { trained: "2013" },
    })
    expect([Number(irVersion), producerName, graph!.name]).toEqual([8, "rondo", "scorer"])
    expect(opsetImport.map(({ domain, version }) => [domain, Number(version)])).toEqual([["", 19]])
    expect(metadataProps.map(({ key, value }) => [key, value])).toEqual([["trained", "2013"]])
    expect(graph!.initializer!.map(({ name, dims }) => [name, dims!.map(Number)])).toEqual([
      ["fc.weight", [2, 3]],
      ["fc.bias", [2]],
    ])
    expect(floats(graph!.initializer![0])).toEqual([...(await net.stateDict()["fc.weight"].data())])
    const dims = [...graph!.input!, ...graph!.output!].map(({ name, type }) => [
      name,
      ...type!.tensorType!.shape!.dim!.map((dim) => dim.dimParam || Number(dim.dimValue)),
    ])
    expect(dims).toEqual([["x", "batch", 3], ["score", "batch", 2]]) // prettier-ignore
    expect(graph!.node!.map(({ opType }) => opType)).toEqual(["Tanh", "Gemm"])
  })

  it("holds one node for each recurrent layer, with both directions and ONNX's gates", async () => {
    const gru = new GRU(1, 1, { numLayers: 2, bidirectional: true })
    const { graph } = await decode(gru, { inputs: x(5, 1, 1) })
    const nodes = graph!.node!.filter(({ opType }) => opType === "GRU")
    expect(nodes).toHaveLength(2)
    const attributes = Object.fromEntries(nodes[0].attribute!.map((a) => [a.name, a.type === 3 ? Buffer.from(a.s!).toString() : Number(a.i)])) // prettier-ignore
    expect(attributes).toEqual({ hidden_size: 1, direction: "bidirectional", linear_before_reset: 1 })
    expect(graph!.output!.map(({ name }) => name)).toEqual(["output", "hn"])
    expect(graph!.initializer!.map(({ name, dims }) => [name, dims!.map(Number)])).toEqual([
      ["weight_ih_l0", [2, 3, 1]],
      ["weight_hh_l0", [2, 3, 1]],
      ["bias_ih_l0", [2, 6]],
      ["weight_ih_l1", [2, 3, 2]],
      ["weight_hh_l1", [2, 3, 1]],
      ["bias_ih_l1", [2, 6]],
    ])
    const [r, z, n] = (await gru.weight_hh_l0.data()) as Float32Array
    expect(floats(graph!.initializer![1]).slice(0, 3)).toEqual([z, r, n])
  })

  it("writes attributes of every kind", async () => {
    const attributes = { a: -3, b: asFloat(2), c: "text", d: [1, -1], e: ["p", "q"] }
    const { graph } = await decode(new Identity(), {
      inputs: x(1),
      graph: (g, value) => g.node("Custom", [value, null, value, null], [value], attributes),
    })
    const [node] = graph!.node!
    expect(node.input).toEqual(["x", "", "x"])
    const byName = Object.fromEntries(node.attribute!.map((a) => [a.name, a]))
    expect([Number(byName.a.i), byName.b.f, Buffer.from(byName.c.s!).toString()]).toEqual([-3, 2, "text"])
    expect([byName.d.ints!.map(Number), byName.e.strings!.map((s: Uint8Array) => Buffer.from(s).toString())]).toEqual([[1, -1], ["p", "q"]]) // prettier-ignore
    expect(node.attribute!.map(({ type }) => type)).toEqual([2, 1, 3, 7, 8])
  })
})

class Loose extends Module {
  fc = new Linear(2, 2)
  forward(v: Tensor): Tensor {
    return this.fc.forward(v)
  }
}
class Doubled extends Linear {
  override forward(v: Tensor): Tensor {
    return super.forward(v).mul(2)
  }
}
let foreign: Value
const keepFor = async (): Promise<void> => {
  await exportOnnx(new Identity(), { inputs: x(1), graph: (_: Graph, v) => (foreign = v) })
}

describe("refusals", () => {
  const int: OnnxInput[] = [{ name: "x", shape: [2], dtype: "int32" }]
  const lin = new Linear(2, 2)
  const cases: [string, Module, OnnxOptions, new (text: string) => Error, RegExp][] = [
    ["a layer without a form", new Sequential({ conv: new Conv1d(1, 1, 1) }), { inputs: x(1, 1, 1) }, ValueError, /Conv1d \(conv\): no ONNX form.*onnx\(g/],
    ["a custom module", new Loose(), { inputs: x(2) }, ValueError, /^exportOnnx: Loose: no ONNX form/],
    ["a list", new ModuleList([lin]), { inputs: x(2) }, ValueError, /ModuleList: no ONNX form/],
    ["a subclass with another forward", new Doubled(2, 2), { inputs: x(2) }, ValueError, /Doubled: no ONNX form/],
    ["projections", new LSTM(3, 4, { projSize: 2 }), { inputs: x(2, 1, 3) }, ValueError, /LSTM: projSize is 2/],
    ["float64", new Sequential({ fc: new Linear(2, 2) }).double(), { inputs: x(2) }, DTypeError, /fc\.weight is float64, expected float32.*to\("float32"\)/],
    ["indices of float32", new Embedding(3, 2), { inputs: x(2) }, DTypeError, /Embedding: got indices of float32/],
    ["integers where floats belong", lin, { inputs: int }, DTypeError, /Linear: got an input of int32/],
    ["too few inputs", lin, { inputs: [] }, ValueError, /Linear: got 0 inputs, expected 1/],
    ["half a state", new LSTM(3, 4), { inputs: [...x(2, 1, 3), { name: "h0", shape: [1, 1, 4] }] }, ValueError, /LSTM: got 2 inputs, expected 1 or 3/],
    ["wrong features", lin, { inputs: x(2, 3) }, ShapeError, /Linear: got x \[2, 3\], expected \[\.\.\., 2\]/],
    ["a wrong rank", new RNN(3, 4), { inputs: x(1, 1, 1, 3) }, ShapeError, /RNN: got x \[1, 1, 1, 3\], expected \[T, B, 3\]/],
    ["a wrong state", new RNN(3, 4), { inputs: [...x(2, 1, 3), { name: "h0", shape: [2, 1, 4] }] }, ShapeError, /RNN: got h0 \[2, 1, 4\], expected \[1, 1, 4\]/],
    ["lengths without a batch", new RNN(3, 4), { inputs: [...x(2, 3), { name: "n", shape: [1], dtype: "int32" }], graph: (g, v, lengths) => g.layer(new RNN(3, 4), v, null, { lengths }) }, ShapeError, /RNN: got lengths int32 \[1\]/],
    ["lengths for others", lin, { inputs: x(2), graph: (g, v) => g.layer(lin as never, v, { lengths: v } as never) }, ValueError, /Linear: got 1 inputs and lengths/],
    ["no running statistics", new BatchNorm1d(2, { trackRunningStats: false }), { inputs: x(4, 2) }, ValueError, /BatchNorm1d: has no running/],
    ["parameters of nobody", new Identity(), { inputs: x(2), graph: (g, v) => g.layer(lin, v) }, ValueError, /Linear: a parameter is not part of the exported module/],
    ["an old opset", lin, { inputs: x(2), opset: 16 }, ValueError, /opset: got 16, expected 17 to 22/],
    ["two inputs of one name", lin, { inputs: [...x(2), ...x(2)] }, ValueError, /two inputs or outputs are called "x"/],
    ["an output of an input's name", lin, { inputs: x(2), outputNames: ["x"] }, ValueError, /two inputs or outputs are called "x"/],
    ["a default output of an input's name", lin, { inputs: [{ name: "output", shape: [2] }] }, ValueError, /two inputs or outputs/],
    ["no module", {} as never, { inputs: x(2) }, ValueError, /needs a module, got object/],
    ["no options", lin, undefined as never, ValueError, /exportOnnx: inputs must be an array: got undefined/],
    ["an input without a shape", lin, { inputs: [{ name: "x" } as never] }, ValueError, /exportOnnx: an input: shape must be an array/],
    ["an unknown option", lin, { inputs: x(2), outputName: ["y"] } as never, ValueError, /unknown option outputName: .*did you mean outputNames/],
    ["metadata that is no text", lin, { inputs: x(2), metadata: { epoch: 1 as never } }, ValueError, /metadata must be an object of strings/],
    ["an empty name", lin, { inputs: [{ name: "", shape: [2] }] }, ValueError, /must not be empty/],
    ["too many output names", lin, { inputs: x(2), outputNames: ["a", "b"] }, ValueError, /got 2 outputNames, expected 1/],
    ["a bad size", lin, { inputs: x(0, 2) }, ShapeError, /input x: got shape \[0, 2\]/],
    ["a bad dtype", lin, { inputs: [{ name: "x", shape: [2], dtype: "float64" as never }] }, DTypeError, /input x: got dtype float64/],
    ["an axis outside", lin, { inputs: [{ name: "x", shape: [2], dynamicAxes: { 1: "b" } }] }, IndexError, /input x: dim out of range: got 1/],
    ["an axis without a name", lin, { inputs: [{ name: "x", shape: [2], dynamicAxes: { 0: "" } }] }, ValueError, /name of axis 0 is empty/],
    ["a graph without a result", lin, { inputs: x(2), graph: () => undefined as never }, ValueError, /the graph gave undefined/],
    ["a graph of nothing", lin, { inputs: x(2), graph: () => [] }, ValueError, /an empty list/],
    ["a value of another graph", lin, { inputs: x(2), graph: (g) => g.tanh(foreign) }, ValueError, /Tanh: got a value of another graph/],
    ["a tensor as a value", lin, { inputs: x(2), graph: (g) => g.layer(lin, 3 as never) }, ValueError, /got number as an input/],
    ["shapes that do not broadcast", lin, { inputs: x(2), graph: (g, v) => g.add(v, g.constant([1, 2, 3])) }, ShapeError, /Add: shapes cannot be broadcast: \[2\] and \[3\]/],
    ["dtypes that differ", lin, { inputs: int, graph: (g, v) => g.add(v, 1) }, DTypeError, /Add: dtypes differ/],
    ["inner dims that differ", lin, { inputs: x(2, 3), graph: (g, v) => g.matmul(v, v) }, ShapeError, /matmul: inner dimensions differ: \[2, 3\] x \[2, 3\]/],
    ["an index outside", lin, { inputs: x(2), graph: (g, v) => g.select(v, 0, 2) }, ValueError, /select: index out of range: got 2/],
    ["a range outside", lin, { inputs: x(2), graph: (g, v) => g.narrow(v, 0, 1, 2) }, ValueError, /narrow: range outside/],
    ["parts that do not divide", lin, { inputs: x(3), graph: (g, v) => g.chunk(v, 2, 0) }, ShapeError, /chunk: dim 0 of \[3\] does not divide by 2/],
    ["joins that do not fit", lin, { inputs: x(2, 3), graph: (g, v) => g.concat([v, g.transpose(v, 0, 1)]) }, ShapeError, /concat: shapes differ/],
    ["a join of nothing", lin, { inputs: x(2), graph: (g) => g.concat([]) }, ValueError, /concat: got no values/],
    ["other elements", lin, { inputs: x(2, 3), graph: (g, v) => g.reshape(v, [4, -1]) }, ShapeError, /reshape: \[2, 3\] does not fit/],
    ["two open sizes", lin, { inputs: x(2, 3), graph: (g, v) => g.reshape(v, [-1, -1]) }, ShapeError, /-1 once/],
    ["a squeezed size", lin, { inputs: x(2), graph: (g, v) => g.squeeze(v, 0) }, ShapeError, /squeeze: dim 0 of \[2\] is not 1/],
  ] // prettier-ignore

  it.each(cases)("%s", async (_, module, options, type, text) => {
    await keepFor()
    const error = await exportOnnx(module, options).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(type)
    expect((error as Error).message).toMatch(text)
  })
})
