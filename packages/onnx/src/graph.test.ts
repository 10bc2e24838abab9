// Custom modules: what they compute is written on a graph, and ONNX Runtime gives what their forward gives.
import { cat, manualSeed, randn, type Tensor, tensor } from "@rondo/core"
import { Embedding, Linear, LSTM, Module, Parameter, RNN } from "@rondo/nn"
import { describe, it } from "vitest"
import { check, ort } from "../test/runtime.js"
import type { Graph, Value } from "./index.js"

class LastStep extends Module {
  rnn = new RNN(5, 4, { batchFirst: true, numLayers: 2 })
  fc = new Linear(4, 1)
  forward(x: Tensor): Tensor {
    const [output] = this.rnn.forward(x)
    return this.fc.forward(output.select(1, -1))
  }
  onnx(g: Graph, x: Value): Value {
    const [output] = g.layer(this.rnn, x)
    return g.layer(this.fc, g.select(output, 1, -1))
  }
}

/** A language model with tied weights, a learned scale, and states in and out. */
class Speaker extends Module {
  embedding = new Embedding(7, 4)
  lstm = new LSTM(4, 4, { bidirectional: false })
  head = new Linear(4, 7)
  scale = new Parameter(tensor([0.5, 2, 1, -1]))
  constructor() {
    super()
    this.head.weight = this.embedding.weight
  }
  forward(tokens: Tensor, h: Tensor, c: Tensor): [Tensor, [Tensor, Tensor]] {
    const [output, state] = this.lstm.forward(this.embedding.forward(tokens).mul(this.scale), [h, c])
    return [this.head.forward(output).softmax(-1), state]
  }
  onnx(g: Graph, tokens: Value, h: Value, c: Value): [Value, [Value, Value]] {
    const embedded = g.mul(g.layer(this.embedding, tokens), g.parameter(this.scale))
    const [output, state] = g.layer(this.lstm, embedded, [h, c])
    return [g.softmax(g.layer(this.head, output), -1), state]
  }
}

describe("modules with a method onnx", () => {
  it.skipIf(!ort)("RNN, last step, Linear, for any batch and time", async () => {
    manualSeed(1)
    const inputs = [{ name: "x", shape: [2, 3, 5], dynamicAxes: { 0: "batch", 1: "time" } }]
    await check(new LastStep(), { inputs, runs: [[randn(2, 3, 5)], [randn(1, 9, 5)]] })
  })

  it.skipIf(!ort)("tied weights, own parameters, states handed on", async () => {
    manualSeed(2)
    const states = [randn(1, 2, 4), randn(1, 2, 4)]
    await check(new Speaker(), { runs: [[tensor([[1, 6], [0, 3], [2, 2]], { dtype: "int32" }), ...states]] }) // prettier-ignore
  })

  it.skipIf(!ort)("layers that share a part of their weights", async () => {
    manualSeed(4)
    class Pair extends Module {
      a = new RNN(3, 4, { bidirectional: true })
      b = new RNN(3, 4)
      constructor() {
        super()
        this.b.weight_ih_l0 = this.a.weight_ih_l0
        this.b.bias_ih_l0 = this.a.bias_ih_l0
      }
      forward(x: Tensor): Tensor[] {
        return [this.a.forward(x)[0], this.b.forward(x)[0]]
      }
      onnx(g: Graph, x: Value): Value[] {
        return [g.layer(this.a, x)[0], g.layer(this.b, x)[0]]
      }
    }
    await check(new Pair(), { runs: [[randn(4, 2, 3)]] })
  })

  it.skipIf(!ort)("inside another, called twice", async () => {
    manualSeed(3)
    class Twice extends Module {
      step = new LastStep()
      forward(x: Tensor): Tensor {
        return this.step.forward(x).add(this.step.forward(x.mul(-1)))
      }
    }
    const net = new Twice()
    await check(net, {
      runs: [[randn(2, 3, 5)]],
      graph: (g, x) => g.add(g.layer(net.step, x), g.layer(net.step, g.mul(x, -1))),
    })
  })
})

describe("operations", () => {
  const net = new Linear(1, 1)
  const cases: [string, (x: Tensor) => Tensor | Tensor[], (g: Graph, x: Value) => Value | Value[]][] = [
    ["select", (x) => [x.select(0, 1), x.select(-1, -2)], (g, x) => [g.select(x, 0, 1), g.select(x, -1, -2)]],
    ["narrow", (x) => [x.narrow(1, 1, 2), x.narrow(2, 3, 1)], (g, x) => [g.narrow(x, 1, 1, 2), g.narrow(x, 2, -1, 1)]],
    ["chunk", (x) => x.chunk(2, 2), (g, x) => g.chunk(x, 2, 2)],
    ["chunk of one", (x) => x.chunk(1, 2), (g, x) => g.chunk(x, 1, 2)],
    ["concat", (x) => cat([x, x.mul(2)], -1), (g, x) => g.concat([x, g.mul(x, 2)], -1)],
    ["concat of free sizes", (x) => cat([x, x], 0), (g, x) => g.concat([x, x])],
    ["transpose", (x) => x.transpose(0, -1), (g, x) => g.transpose(x, 0, -1)],
    ["unsqueeze", (x) => [x.unsqueeze(0), x.unsqueeze(-1)], (g, x) => [g.unsqueeze(x, 0), g.unsqueeze(x, -1)]],
    ["squeeze", (x) => x.narrow(1, 0, 1).squeeze(1), (g, x) => g.squeeze(g.narrow(x, 1, 0, 1), 1)],
    ["reshape", (x) => x.reshape(-1, 2), (g, x) => g.reshape(x, [-1, 2])],
    ["reshape by name", (x) => x.reshape(x.shape[0], -1), (g, x) => g.reshape(x, ["batch", -1])],
    ["reshape by moved name", (x) => x.reshape(12, x.shape[0]), (g, x) => g.reshape(x, [12, "batch"])],
    ["flatten", (x) => x.flatten(0, 1), (g, x) => g.flatten(x, 0, 1)],
    ["arithmetic", (x) => x.add(1).div(x.mul(x).add(1)).sub(0.5), (g, x) => g.sub(g.div(g.add(x, 1), g.add(g.mul(x, x), 1)), 0.5)],
    ["matmul", (x) => x.matmul(x.transpose(1, 2)), (g, x) => g.matmul(x, g.transpose(x, 1, 2))],
    ["functions", (x) => x.tanh().sigmoid().relu().softmax(1), (g, x) => g.softmax(g.relu(g.sigmoid(g.tanh(x))), 1)],
    ["cast", (x) => x.to("int32"), (g, x) => g.cast(x, "int32")],
    ["constant", (x) => x.mul(tensor([1, -2, 3, 0])), (g, x) => g.mul(x, g.constant([1, -2, 3, 0]))],
    ["the input and an output twice", (x) => [x, x.tanh(), x.tanh()], (g, x) => { const y = g.tanh(x); return [x, y, y] }],
    ["any node", (x) => x.amax(1), (g, x) => g.node("ReduceMax", [x], [{ dtype: x.dtype, shape: [x.shape[0], x.shape[2]] }], { axes: [1], keepdims: 0 })],
  ] // prettier-ignore

  it.skipIf(!ort).each(cases)("%s", async (title, forward, graph) => {
    manualSeed(6)
    const inputs = [{ name: "x", shape: [2, 3, 4], dynamicAxes: { 0: "batch" } }]
    const runs = [[randn(2, 3, 4)], [randn(5, 3, 4)]]
    await check(net, { inputs, runs, forward, graph })
    // A name stands for a size only where the axis is free.
    if (!title.includes("name")) await check(net, { runs: [[randn(2, 3, 4)]], forward, graph })
  })

  it.skipIf(!ort)("a range that ends with a free axis, or before its end", async () => {
    const inputs = [{ name: "x", shape: [4], dynamicAxes: { 0: "time" } }]
    const graph = (g: Graph, x: Value) => [g.narrow(x, 0, -2, 2), g.narrow(x, 0, -3, 2)]
    const forward = (x: Tensor) => [x.narrow(0, x.shape[0] - 2, 2), x.narrow(0, x.shape[0] - 3, 2)]
    await check(net, { inputs, runs: [[randn(4)], [randn(9)]], graph, forward })
  })
})
