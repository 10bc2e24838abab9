// Layers without recurrence, activations and their chains, exported and run in ONNX Runtime.
import { linspace, manualSeed, randn, tensor } from "@rondo/core"
import * as nn from "@rondo/nn"
import { BatchNorm1d, Embedding, Flatten, LayerNorm, Linear, Sequential } from "@rondo/nn"
import { describe, expect, it } from "vitest"
import { check, ort } from "../test/runtime.js"

const activations: [string, () => nn.Module][] = [
  ["Tanh", () => new nn.Tanh()],
  ["Sigmoid", () => new nn.Sigmoid()],
  ["LogSigmoid", () => new nn.LogSigmoid()],
  ["ReLU", () => new nn.ReLU()],
  ["ReLU6", () => new nn.ReLU6()],
  ["LeakyReLU", () => new nn.LeakyReLU(0.3)],
  ["RReLU", () => new nn.RReLU(0.1, 0.4)],
  ["PReLU", () => new nn.PReLU()],
  ["PReLU of channels", () => new nn.PReLU(3, { init: 0.4 })],
  ["ELU", () => new nn.ELU(2)],
  ["CELU", () => new nn.CELU(0.7)],
  ["SELU", () => new nn.SELU()],
  ["GELU", () => new nn.GELU()],
  ["GELU tanh", () => new nn.GELU({ approximate: "tanh" })],
  ["SiLU", () => new nn.SiLU()],
  ["Mish", () => new nn.Mish()],
  ["Softplus", () => new nn.Softplus()],
  ["Softplus scaled", () => new nn.Softplus({ beta: 3 })],
  ["Softplus cut", () => new nn.Softplus({ beta: 2, threshold: 1.5 })],
  ["Hardsigmoid", () => new nn.Hardsigmoid()],
  ["Hardswish", () => new nn.Hardswish()],
  ["Hardtanh", () => new nn.Hardtanh(-2, 1.5)],
  ["Softsign", () => new nn.Softsign()],
  ["Tanhshrink", () => new nn.Tanhshrink()],
  ["Softshrink", () => new nn.Softshrink(0.8)],
  ["Hardshrink", () => new nn.Hardshrink(0.8)],
  ["Threshold", () => new nn.Threshold(0.5, -7)],
  ["Softmax", () => new nn.Softmax(-1)],
  ["Softmax of dim 0", () => new nn.Softmax(0)],
  ["LogSoftmax", () => new nn.LogSoftmax(1)],
  ["Softmin", () => new nn.Softmin(1)],
  ["GLU", () => new nn.GLU()],
]

describe("activations", () => {
  it.skipIf(!ort).each(activations)("%s", async (_, make) => {
    for (const shape of [[2, 3, 4], [4, 3, 2, 2], [8, 3, 2]]) {
      const count = shape.reduce((a, b) => a * b)
      await check(make(), { runs: [[linspace(-6, 30, count).reshape(shape)]] })
      await check(make(), { runs: [[linspace(-5, 5, count).reshape(shape)]], opset: 22 })
    }
  }) // prettier-ignore

  const elementwise = activations.filter(([name]) => !/Soft(max|min)|^GLU|channels/.test(name))
  it.skipIf(!ort).each(elementwise)("%s of what is not finite, of zeros, limits and large numbers", async (_, make) => {
    await check(make(), { runs: [[tensor([NaN, Infinity, -Infinity, 0, -0, 80, -80, 1e-30, 0.5, 0.8, -0.8])]] })
  })

  it.skipIf(!ort)("slopes of channels of a matrix", () => check(new nn.PReLU(3), { runs: [[randn(2, 3)]] }))
})

describe("linear layers and tables", () => {
  it.skipIf(!ort).each([true, false])("Linear of any rank, bias %s", async (bias) => {
    for (const lead of [[], [4], [2, 3], [2, 1, 3]]) {
      const dynamicAxes: Record<number, string> = lead.length > 0 ? { 0: "batch" } : {}
      const inputs = [{ name: "x", shape: [...lead, 5], dynamicAxes }]
      const runs = [[randn([...lead, 5])], ...(lead.length > 0 ? [[randn([7, ...lead.slice(1), 5])]] : [])]
      await check(new Linear(5, 3, { bias }), { inputs, runs })
    }
  })

  it.skipIf(!ort).each(["int32", "int64"] as const)("Embedding of %s", async (dtype) => {
    manualSeed(1)
    const index = tensor([[0, 4], [2, 2], [3, 1]], { dtype }) // prettier-ignore
    await check(new Embedding(5, 3, { paddingIdx: 0 }), { runs: [[index]] })
    for (const normType of [1, 2, Infinity]) {
      await check(new Embedding(5, 3, { maxNorm: 0.7, normType }), { runs: [[index]] })
    }
  })

  it.skipIf(!ort)("Flatten of any dims, also of free sizes", async () => {
    for (const [start, end] of [[1, -1], [0, -1], [0, 1], [1, 2], [2, 2]]) {
      const dynamic: Record<number, string>[] = [{}, { 0: "a" }, { 1: "b", 3: "d" }, { 0: "a", 1: "b", 2: "c", 3: "d" }]
      for (const dynamicAxes of dynamic) {
        const runs = [[randn(2, 3, 4, 5)], ...(dynamicAxes[3] ? [[randn(2, 7, 4, 1)]] : [])]
        await check(new Flatten(start, end), { inputs: [{ name: "x", shape: [2, 3, 4, 5], dynamicAxes }], runs })
      }
    }
  }) // prettier-ignore
})

describe("normalisation", () => {
  it.skipIf(!ort).each([true, false])("LayerNorm, affine %s", async (elementwiseAffine) => {
    manualSeed(2)
    const spread = (layer: LayerNorm) => {
      if (layer.weight) nn.init.uniform_(layer.weight, 0.5, 2)
      if (layer.bias) nn.init.uniform_(layer.bias, -1, 1)
      return layer
    }
    await check(spread(new LayerNorm(4, { elementwiseAffine, eps: 0.1 })), { runs: [[randn(2, 3, 4)]] })
    await check(spread(new LayerNorm([3, 4], { elementwiseAffine })), { runs: [[randn(2, 3, 4)]] })
  })

  it.skipIf(!ort).each([true, false])("BatchNorm1d by its running statistics, affine %s", async (affine) => {
    manualSeed(3)
    const layer = new BatchNorm1d(3, { affine })
    if (layer.weight) nn.init.uniform_(layer.weight, 0.5, 2)
    layer.forward(randn(8, 3).mul(2).add(1))
    await check(layer, { runs: [[randn(5, 3)]] })
    await check(layer, { runs: [[randn(5, 3, 4)]] })
  })
})

describe("chains", () => {
  it.skipIf(!ort)("a Sequential within a Sequential, with names and dropout that is gone", async () => {
    manualSeed(4)
    const head = new Sequential({ norm: new LayerNorm(6), out: new Linear(6, 2) })
    const net = new Sequential(new Embedding(9, 6), new nn.Dropout(0.9), new nn.Identity(), head, new nn.Tanh())
    const inputs = [
      { name: "tokens", shape: [1, 2], dynamicAxes: { 0: "batch", [-1]: "time" }, dtype: "int32" as const },
    ]
    const runs = [[tensor([[1, 8, 0]], { dtype: "int32" })], [tensor([[1], [2]], { dtype: "int32" })]]
    await check(net, { inputs, runs })
    expect(net.training).toBe(false)
  })

  it.skipIf(!ort)("a module that hands its input on", () => check(new nn.Identity(), { runs: [[randn(2)]] }))

  it.skipIf(!ort)("a Sequential of nothing", () => check(new Sequential(), { runs: [[randn(2, 3)]] }))
})
