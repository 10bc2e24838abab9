// Layers and losses under bad input and at their edges: typed errors that name layer and shapes, dropout, empty batches.
import { DTypeError, IndexError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { getRngState, manualSeed, ones, randn, tensor, use, zeros } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import * as nn from "./index.js"
import { BCELoss, CrossEntropyLoss, Dropout, Linear, LSTM, LSTMCell, RNN, RNNCell } from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

describe("options out of range", () => {
  it.each<[string, () => unknown, RegExp]>([
    ["Linear", () => new Linear(2.5, 1), /Linear: inFeatures must be a whole number of at least 0: got 2.5/],
    ["Linear", () => new Linear(2, -1), /outFeatures/],
    ["RNN", () => new RNN(2, 0), /RNN: hiddenSize must be a whole number of at least 1: got 0/],
    ["RNN", () => new RNN(NaN, 2), /RNN: inputSize/],
    ["RNN", () => new RNN(2, 2, { numLayers: 0 }), /numLayers must be a whole number of at least 1: got 0/],
    ["RNN", () => new RNN(2, 2, { dropout: 1.5 }), /RNN: dropout must be a number from 0 to 1: got 1.5/],
    ["RNN", () => new RNN(2, 2, { nonlinearity: "sine" as "tanh" }), /nonlinearity must be "tanh" or "relu": got the string "sine"/],
    ["RNNCell", () => new RNNCell(2, 2, { nonlinearity: "toString" as "tanh" }), /RNNCell: nonlinearity must be/],
    ["Dropout", () => new Dropout(-0.1), /Dropout: dropout probability/],
    ["dropout", () => nn.dropout(ones(2), NaN), /dropout: dropout probability/],
    ["losses", () => new CrossEntropyLoss({ reduction: "avg" as "mean" }), /CrossEntropyLoss: reduction must be "none", "mean" or "sum": got the string "avg"/],
    ["losses", () => nn.mseLoss(ones(1), ones(1), { reduction: "" as "mean" }), /mseLoss: reduction must be/],
    ["losses", () => nn.huberLoss(ones(1), ones(1), { delta: 0 }), /huberLoss: delta must be a number above 0: got 0/],
    ["losses", () => nn.smoothL1Loss(ones(1), ones(1), { beta: -1 }), /smoothL1Loss: beta/],
    ["init", () => nn.init.calculateGain("cosine" as "tanh"), /calculateGain: unknown nonlinearity/],
  ])("%s throws a ValueError", (_, call, text) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(text)
  }) // prettier-ignore
})

describe("shapes and dtypes that do not fit", () => {
  const rnn = () => new RNN(5, 2, { numLayers: 2, batchFirst: true })
  it.each<[string, () => unknown, RegExp]>([
    ["Linear", () => new Linear(3, 2).forward(ones(4, 2)), /Linear: got x \[4, 2\], expected \[\.\.\., 3\]/],
    ["Linear", () => new Linear(3, 2).forward(tensor(1)), /Linear: got x \[\]/],
    ["RNN", () => rnn().forward(ones(3, 4, 6)), /RNN: got x \[3, 4, 6\], expected \[B, T, 5\] or unbatched \[T, 5\]/],
    ["RNN", () => rnn().forward(ones(5)), /RNN: got x \[5\]/],
    ["RNN", () => rnn().forward(ones(3, 0, 5)), /expected at least one time step/],
    ["RNN", () => rnn().forward(ones(3, 4, 5), ones(1, 3, 2)), /RNN: got h0 \[1, 3, 2\], expected \[2, 3, 2\]/],
    ["RNN", () => rnn().forward(ones(4, 5), ones(2, 1, 2)), /RNN: got h0 \[2, 1, 2\], expected \[2, 2\]/],
    ["LSTM", () => new LSTM(1, 2).forward(ones(4, 3, 1), [ones(1, 3, 2), ones(1, 2, 2)]), /LSTM: got c0 \[1, 2, 2\]/],
    ["RNNCell", () => new RNNCell(3, 5).forward(ones(2, 4)), /RNNCell: got x \[2, 4\], expected \[B, 3\] or \[3\]/],
    ["RNNCell", () => new RNNCell(3, 5).forward(ones(2, 3), ones(5)), /RNNCell: got h \[5\], expected \[2, 5\]/],
    ["BCE", () => nn.binaryCrossEntropy(ones(2, 1), ones(2)), /got target \[2\], expected \[2, 1\]/],
    ["BCE", () => nn.binaryCrossEntropyWithLogits(ones(2), ones(3)), /got target \[3\], expected \[2\]/],
    ["MSE", () => nn.mseLoss(ones(2), ones(3)), /^mseLoss: shapes do not broadcast: \[2\] and \[3\]/],
    ["NLL", () => nn.nllLoss(ones(2, 3), zeros(3, { dtype: "int32" })), /nllLoss: got target \[3\], expected \[2\] for input \[2, 3\]/],
    ["cross-entropy", () => nn.crossEntropy(ones(2, 3), ones(2)), /crossEntropy: got probabilities \[2\], expected \[2, 3\]/],
    ["weights", () => nn.crossEntropy(ones(2, 3), zeros(2, { dtype: "int32" }), { weight: ones(2) }), /got weight \[2\], expected \[3\]/],
    ["init", () => nn.init.kaimingNormal_(ones(3)), /kaimingNormal_: needs at least 2 dims: got \[3\]/],
    ["init", () => nn.init.eye_(ones(3)), /eye_: needs 2 dims/],
  ])("%s throws a ShapeError", (_, call, text) => {
    expect(call).toThrow(ShapeError)
    expect(call).toThrow(text)
  }) // prettier-ignore

  it.each<[string, () => unknown]>([
    ["RNN", () => new RNN(1, 1).forward(ones(2, 1, 1, { dtype: "float64" }))],
    ["RNN's state", () => new RNN(1, 1).forward(ones(2, 1, 1), ones(1, 1, 1, { dtype: "float64" }))],
    ["LSTMCell", () => new LSTMCell(1, 1).forward(ones(1, { dtype: "int32" }))],
    ["nllLoss", () => nn.nllLoss(ones(2, 3), ones(2))],
    ["binaryCrossEntropy", () => nn.binaryCrossEntropy(ones(2), ones(2, { dtype: "int32" }))],
    ["Linear", () => new Linear(1, 1, { dtype: "int32" })],
  ])("%s throws a DTypeError", (_, call) => {
    expect(call).toThrow(DTypeError)
  })

  it("names a class that does not exist, and a probability outside of 0 to 1", () => {
    expect(() => nn.crossEntropy(ones(2, 3), tensor([0, 3], { dtype: "int32" })).itemSync()).toThrow(IndexError)
    for (const dtype of ["bool", "uint32"] as const) {
      expect(() => nn.nllLoss(ones(2, 3), tensor([0, 1], { dtype }))).toThrow(
        `nllLoss: class targets must be int32, int64 or uint8: got ${dtype}; make them with dtype "int32"`,
      )
    }
    expect(() => new BCELoss().forward(tensor([0.5, 1.5]), ones(2))).toThrow(/must lie between 0 and 1: got 0.5 to 1.5/)
    expect(() => new BCELoss().forward(tensor([NaN]), ones(1))).toThrow(ValueError)
    const pair = [ones(1, 1, 1)] as unknown as [ReturnType<typeof ones>, ReturnType<typeof ones>]
    expect(() => new LSTM(1, 1).forward(ones(1, 1, 1), pair)).toThrow(/must be a pair/)
  })
})

describe("what is no tensor", () => {
  it("is refused by name", () => {
    expect(() => new RNNCell(3, 5).forward([1, 2, 3] as never)).toThrow(/RNNCell: needs a tensor, got object/)
    expect(() => new LSTMCell(3, 5).forward(ones(2, 3), [ones(2, 5), 0] as never)).toThrow(ValueError)
  })
})

describe("edges", () => {
  it("draw nothing when dropout does nothing", () => {
    manualSeed(3)
    const before = getRngState()
    const x = ones(4)
    expect(nn.dropout(x, 0)).toBe(x)
    expect(new Dropout(0.5).eval().forward(x)).toBe(x)
    expect(nn.dropout(x, 1).tolistSync()).toEqual([0, 0, 0, 0])
    expect(getRngState()).toEqual(before)
    const inplace = ones(64)
    expect(new Dropout(0.5, { inplace: true }).forward(inplace)).toBe(inplace)
    expect(new Set(inplace.tolistSync() as number[])).toEqual(new Set([0, 2]))
  })
  it("take empty batches and layers without inputs", () => {
    const [output, hn] = new RNN(3, 4, { bidirectional: true }).forward(zeros(5, 0, 3))
    expect([output.shape, hn.shape]).toEqual([[5, 0, 8], [2, 0, 4]]) // prettier-ignore
    expect(new Linear(0, 2).forward(zeros(3, 0)).shape).toEqual([3, 2])
    expect(nn.mseLoss(zeros(0), zeros(0)).itemSync()).toBeNaN()
  })
  it("backpropagate through a long sequence", () => {
    const rnn = new RNN(1, 2)
    const [output] = rnn.forward(randn(600, 1, 1))
    output.sum().backward()
    expect(rnn.weight_hh_l0.grad?.shape).toEqual([2, 2])
  })
})

describe("activations as layers", () => {
  // torch.nn's values at -1, 0, 2, printed with 6 digits.
  it.each<[nn.Layer, string, number[]]>([
    [new nn.Tanh(), "Tanh()", [-0.761594, 0, 0.964028]],
    [new nn.ReLU(), "ReLU()", [0, 0, 2]],
    [new nn.Sigmoid(), "Sigmoid()", [0.268941, 0.5, 0.880797]],
    [new nn.LogSigmoid(), "LogSigmoid()", [-1.313262, -0.693147, -0.126928]],
    [new nn.GELU(), "GELU(approximate='none')", [-0.158655, 0, 1.9545]],
    [new nn.SiLU(), "SiLU()", [-0.268941, 0, 1.761594]],
    [new nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)", [-0.2, 0, 2]],
    [new nn.ELU(), "ELU(alpha=1.0)", [-0.632121, 0, 2]],
    [new nn.Softplus(), "Softplus(beta=1, threshold=20)", [0.313262, 0.693147, 2.126928]],
    [new nn.Softmax(0), "Softmax(dim=0)", [0.042010, 0.114195, 0.843795]],
    [new nn.LogSoftmax(-1), "LogSoftmax(dim=-1)", [-3.169846, -2.169846, -0.169846]],
    [new nn.Identity(), "Identity()", [-1, 0, 2]],
  ])("%s", (layer, text, wanted) => {
    expect(String(layer)).toBe(text)
    const got = layer.forward(tensor([-1, 0, 2], { dtype: "float64" })).tolistSync() as number[]
    got.forEach((value, i) => expect(value).toBeCloseTo(wanted[i], 5))
  }) // prettier-ignore
  it("Flatten joins dims", () => {
    expect(new nn.Flatten().forward(ones(2, 3, 4)).shape).toEqual([2, 12])
    expect(String(new nn.Flatten(0, 1))).toBe("Flatten(start_dim=0, end_dim=1)")
  })
})
