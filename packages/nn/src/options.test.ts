// Every constructor and function here that takes an object of options, given bad ones: typed errors alone, which name the
// caller, the option and what was probably meant.
import { RondoError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { eye, logSoftmax, ones, Tensor, tensor, use, zeros } from "@rondo/core"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import * as nn from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

const int = (values: number | number[] | number[][]): Tensor => tensor(values, { dtype: "int32" })
const x = () => ones(2, 3)
const sequence = () => ones(4, 2, 3)
const step = (tokens: Tensor): [Tensor, null] => [eye(5).indexSelect(0, tokens), null]
const next = (input: Tensor): [Tensor, null] => [input, null]
const packed = () => nn.packSequence([ones(3, 2), ones(2, 2)])
const add = (a: Tensor, b: Tensor) => a.sub(b).sum()

type Call = readonly [name: string, call: (options: never) => unknown, base?: object]
const plain = ["ReLU", "SiLU", "ReLU6", "SELU", "Mish", "Hardsigmoid", "Hardswish"] as const
const shared = ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "NLLLoss", "CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss", "CTCLoss", "KLDivLoss", "PoissonNLLLoss", "GaussianNLLLoss", "MarginRankingLoss", "HingeEmbeddingLoss", "SoftMarginLoss", "CosineEmbeddingLoss", "TripletMarginLoss", "MultiMarginLoss"] as const // prettier-ignore
const pairs = ["mseLoss", "l1Loss", "smoothL1Loss", "huberLoss", "binaryCrossEntropy", "binaryCrossEntropyWithLogits", "klDiv", "poissonNllLoss", "hingeEmbeddingLoss", "softMarginLoss", "pairwiseDistance"] as const // prettier-ignore
const drawn = ["truncNormal_", "xavierUniform_", "xavierNormal_", "kaimingUniform_", "kaimingNormal_", "orthogonal_"] as const // prettier-ignore

const calls: readonly Call[] = [
  ...[...plain, ...shared, "GELU", "Softplus"].map((name): Call => [name, (o) => new nn[name as "ReLU"](o)]),
  ...pairs.map((name): Call => [name, (o) => nn[name](ones(2), ones(2), o)]),
  ...drawn.map((name): Call => [name, (o) => nn.init[name](zeros(3, 2), o)]),
  ["uniform_", (o) => nn.init.uniform_(zeros(2), 0, 1, o)],
  ["normal_", (o) => nn.init.normal_(zeros(2), 0, 1, o)],
  ["sparse_", (o) => nn.init.sparse_(zeros(2, 2), 0.5, 1, o)],
  ["LeakyReLU", (o) => new nn.LeakyReLU(0.1, o)],
  ["ELU", (o) => new nn.ELU(1, o)],
  ["CELU", (o) => new nn.CELU(1, o)],
  ["Hardtanh", (o) => new nn.Hardtanh(-1, 1, o)],
  ["Threshold", (o) => new nn.Threshold(0, 1, o)],
  ["RReLU", (o) => new nn.RReLU(0.1, 0.2, o)],
  ["rrelu", (o) => nn.rrelu(ones(2), 0.1, 0.2, o)],
  ["PReLU", (o) => new nn.PReLU(1, o)],
  ["Dropout", (o) => new nn.Dropout(0.5, o)],
  ["dropout", (o) => nn.dropout(ones(2), 0.5, o)],
  ["Linear", (o) => new nn.Linear(2, 3, o)],
  ["Embedding", (o) => new nn.Embedding(4, 3, o)],
  ["Embedding.fromPretrained", (o) => nn.Embedding.fromPretrained(eye(3), o)],
  ["embed", (o) => nn.embed(int([0]), eye(3), o)],
  ["Conv1d", (o) => new nn.Conv1d(1, 1, 2, o)],
  ["conv1d", (o) => nn.conv1d(ones(1, 1, 9), ones(1, 1, 2), null, o)],
  ["MaxPool1d", (o) => new nn.MaxPool1d(2, o)],
  ["AvgPool1d", (o) => new nn.AvgPool1d(2, o)],
  ["maxPool1d", (o) => nn.maxPool1d(ones(1, 9), 2, o)],
  ["maxPool1dWithIndices", (o) => nn.maxPool1dWithIndices(ones(1, 9), 2, o)],
  ["avgPool1d", (o) => nn.avgPool1d(ones(1, 9), 2, o)],
  ["LayerNorm", (o) => new nn.LayerNorm(3, o)],
  ["BatchNorm1d", (o) => new nn.BatchNorm1d(3, o)],
  ["InstanceNorm1d", (o) => new nn.InstanceNorm1d(3, o)],
  ["GroupNorm", (o) => new nn.GroupNorm(1, 3, o)],
  ["MultiheadAttention", (o) => new nn.MultiheadAttention(4, 2, o)],
  ["MultiheadAttention", (o) => new nn.MultiheadAttention(3, 1).forward(sequence(), sequence(), sequence(), o)],
  ["scaledDotProductAttention", (o) => nn.scaledDotProductAttention(x(), x(), x(), o)],
  ["AdditiveAttention", (o) => new nn.AdditiveAttention(2, 2, 2, o)],
  ["DotProductAttention", (o) => new nn.DotProductAttention(2, 2, o)],
  ["DotProductAttention", (o) => new nn.DotProductAttention(3).forward(x(), ones(2, 4, 3), o)],
  ["nllLoss", (o) => nn.nllLoss(x(), int([0, 1]), o)],
  ["crossEntropy", (o) => nn.crossEntropy(x(), int([0, 1]), o)],
  ["ctcLoss", (o) => nn.ctcLoss(logSoftmax(zeros(3, 1, 4), 2), int([[1]]), [3], [1], o)],
  ["gaussianNllLoss", (o) => nn.gaussianNllLoss(x(), x(), x(), o)],
  ["marginRankingLoss", (o) => nn.marginRankingLoss(x(), x(), x(), o)],
  ["cosineEmbeddingLoss", (o) => nn.cosineEmbeddingLoss(x(), x(), ones(2), o)],
  ["tripletMarginLoss", (o) => nn.tripletMarginLoss(x(), x(), x(), o)],
  ["multiMarginLoss", (o) => nn.multiMarginLoss(x(), int([0, 1]), o)],
  ["RNN", (o) => new nn.RNN(3, 4, o)],
  ["GRU", (o) => new nn.GRU(3, 4, o)],
  ["LSTM", (o) => new nn.LSTM(3, 4, o)],
  ["RNNCell", (o) => new nn.RNNCell(3, 4, o)],
  ["GRUCell", (o) => new nn.GRUCell(3, 4, o)],
  ["LSTMCell", (o) => new nn.LSTMCell(3, 4, o)],
  ["OutputToHiddenRNN", (o) => new nn.OutputToHiddenRNN(3, 4, 2, o)],
  ["OutputToOutputRNN", (o) => new nn.OutputToOutputRNN(3, 4, 2, o)],
  ["OutputToOutputRNN", (o) => new nn.OutputToOutputRNN(3, 4, 2).forward(sequence(), null, o)],
  ["forcing.linear", (o) => nn.forcing.linear(o), { slope: 0.1 }],
  ["freeRun", (o) => nn.freeRun(next, ones(2), o), { length: 2 }],
  ["greedySearch", (o) => nn.greedySearch(step, [0], o), { maxLength: 2 }],
  ["sampleTokens", (o) => nn.sampleTokens(step, [0], o), { maxLength: 2 }],
  ["beamSearch", (o) => nn.beamSearch(step, [0], o), { maxLength: 2 }],
  ["tbptt", (o) => nn.tbptt(new nn.RNN(3, 3), { input: sequence(), target: sequence() }, o), { window: 2, loss: add }],
  ["packPaddedSequence", (o) => nn.packPaddedSequence(sequence(), [2, 2], o)],
  ["packSequence", (o) => nn.packSequence([ones(2), ones(1)], o)],
  ["padPackedSequence", (o) => nn.padPackedSequence(packed(), o)],
  ["padSequence", (o) => nn.padSequence([ones(2), ones(1)], o)],
  ["unpadSequence", (o) => nn.unpadSequence(ones(3, 3), [1, 2, 3], o)],
  ["registerBuffer", (o) => new nn.Identity().registerBuffer("b", null, o)],
  ["zeroGrad", (o) => new nn.Linear(1, 1).zeroGrad(o)],
  ["loadStateDict", (o) => new nn.Identity().loadStateDict({}, o)],
]

/** What `call` throws or rejects with, or null. */
async function refusal(call: Call[1], options: unknown): Promise<unknown> {
  try {
    await call(options as never)
    return null
  } catch (error) {
    return error
  }
}
/** The options that there are, as the error says. */
async function known(call: Call[1], base: object | undefined): Promise<string[]> {
  const { message } = (await refusal(call, { ...base, zzzzzz: 1 })) as Error
  return (/: expected (.*)$/.exec(message) as RegExpExecArray)[1].split(", ")
}
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const junk: readonly unknown[] = [null, NaN, Infinity, -Infinity, -1, 0, 1.5, 2, "2", "x", true, 1n, Symbol("s"), () => 1, [], ["a"], [NaN], [null], {}, new Date(), new Float32Array(2)] // prettier-ignore

describe.each(calls.map(([name, call, base]) => ({ name, call, base })))("$name", ({ name, call, base }) => {
  it("refuses anything but a plain object for its options", async () => {
    for (const options of [null, 3, "mean", true, [], new Date(), () => 1, 1n]) {
      const error = await refusal(call, options)
      expect(error).toBeInstanceOf(ValueError)
      expect((error as Error).message).toMatch(new RegExp(`^${name}: options must be a plain object: got `))
    }
  })
  it("names an unknown option, all that there are, and the one that was meant", async () => {
    for (const key of await known(call, base)) {
      for (const wrong of new Set([snake(key), key.toUpperCase(), `${key}s`, key.slice(1)])) {
        if (wrong === key || wrong.length < 4) continue
        const error = await refusal(call, { ...base, [wrong]: 1 })
        expect(error).toBeInstanceOf(ValueError)
        const text = (error as Error).message
        expect(text.startsWith(`${name}: unknown option ${wrong}: expected `)).toBe(true)
        expect(text).toContain(`; did you mean ${key}?`)
      }
    }
  })
  it("takes undefined for the default, or says what is missing", async () => {
    for (const key of await known(call, base)) {
      const error = await refusal(call, { ...base, [key]: undefined })
      if (base && key in base) expect((error as Error).message).toMatch(new RegExp(`^${name}: ${key} must be`))
      else expect(error).toBe(null)
    }
  })
  it("refuses values that do not fit with typed errors alone", async () => {
    const keys = await known(call, base)
    let refused = 0
    const value = fc.oneof(
      fc.constantFrom(...junk),
      fc.double({ min: -4, max: 4 }),
      fc.string(),
      fc.array(fc.integer()),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...keys), value, async (key, given) => {
        const error = await refusal(call, { ...base, [key]: given })
        if (error === null) return
        refused++
        if (!(error instanceof RondoError)) throw error
      }),
      { numRuns: 60 },
    )
    expect(refused).toBeGreaterThan(0)
  })
})

describe("messages", () => {
  it.each<[string, () => unknown, string]>([
    ["another language's name", () => new nn.LSTM(3, 4, { num_layers: 2 } as never), "LSTM: unknown option num_layers: expected numLayers, bias, batchFirst, dropout, bidirectional, device, dtype, projSize; did you mean numLayers?"],
    ["a part of the name", () => new nn.GRU(3, 4, { layers: 2 } as never), "GRU: unknown option layers: expected numLayers, bias, batchFirst, dropout, bidirectional, device, dtype; did you mean numLayers?"],
    ["no layers", () => new nn.LSTM(3, 4, { numLayers: 0 }), "LSTM: numLayers must be a whole number of at least 1: got 0"],
    ["half a layer", () => new nn.RNN(3, 4, { numLayers: 1.5 }), "RNN: numLayers must be a whole number of at least 1: got 1.5"],
    ["text for a number", () => new nn.GRU(3, 4, { numLayers: "2" as never }), 'GRU: numLayers must be a whole number of at least 1: got the string "2"'],
    ["no number", () => new nn.LSTM(3, 4, { dropout: NaN }), "LSTM: dropout must be a number from 0 to 1: got NaN"],
    ["text for a size", () => new nn.LSTM("3" as never, 4), "LSTM: inputSize must be a whole number of at least 0: got 3"],
    ["a projection of no LSTM", () => new nn.GRU(3, 4, { projSize: 2 } as never), "GRU: projSize is an option of LSTM alone, not of RNN or GRU"],
    ["a value of a list", () => new nn.KLDivLoss({ reduction: "avg" as never }), 'KLDivLoss: reduction must be "none", "mean", "sum" or "batchmean": got the string "avg"'],
    ["a flag for padding", () => new nn.Conv1d(1, 1, 1, { padding: true as never }), 'Conv1d: padding must be a whole number of at least 0, "same" or "valid": got true'],
    ["text for a filling", () => nn.padSequence([ones(1)], { paddingValue: "0" as never }), 'padSequence: paddingValue must be a number: got the string "0"'],
    ["a cell's option", () => new nn.GRUCell(1, 1, { nonlinearity: "relu" } as never), "GRUCell: unknown option nonlinearity: expected bias, device, dtype"],
  ])("%s", (_, call, text) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(expect.objectContaining({ message: text }))
  }) // prettier-ignore
})

describe("shapes that do not broadcast are the loss's, not those of what it is made of", () => {
  const [a, b] = [() => ones(2, 3), () => ones(2, 4)]
  it.each<[string, () => unknown]>([
    ...pairs.map((name): [string, () => unknown] => [name, () => nn[name](a(), b())]),
    ["marginRankingLoss", () => nn.marginRankingLoss(a(), b(), a())],
    ["gaussianNllLoss", () => nn.gaussianNllLoss(a(), b(), a())],
    ["cosineEmbeddingLoss", () => nn.cosineEmbeddingLoss(a(), b(), ones(2))],
    ["cosineEmbeddingLoss", () => nn.cosineEmbeddingLoss(a(), a(), ones(3))],
    ["tripletMarginLoss", () => nn.tripletMarginLoss(a(), a(), b())],
    ["multiMarginLoss", () => nn.multiMarginLoss(a(), int([0, 1]), { weight: ones(2) })],
    ["binaryCrossEntropy", () => nn.binaryCrossEntropy(a(), a(), { weight: ones(4) })],
    ["binaryCrossEntropyWithLogits", () => nn.binaryCrossEntropyWithLogits(a(), a(), { posWeight: ones(4) })],
    ["mseLoss", () => new nn.MSELoss().forward(a(), b())],
    ["huberLoss", () => new nn.HuberLoss().forward(a(), b())],
  ])("%s", (name, call) => {
    expect(call).toThrow(ShapeError)
    expect(call).toThrow(new RegExp(`^${name}: .*\\[\\d`))
  })
  it.each(pairs)("%s names itself for what is no tensor", (name) => {
    expect(() => nn[name](ones(2), 1 as never)).toThrow(new RegExp(`^${name}: needs a tensor, got number`))
  })
})
