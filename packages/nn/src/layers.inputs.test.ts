// Layers and losses under bad input and at their edges: typed errors with shapes, empty batches, saved counters, sparse
// rows of gradients, long alignments.
import { DTypeError, GradientError, IndexError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import {
  arange,
  gradcheck,
  gradgradcheck,
  logSoftmax,
  manualSeed,
  ones,
  randn,
  Tensor,
  tensor,
  use,
  zeros,
} from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import * as nn from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

const int = (values: number | number[] | number[][]): Tensor => tensor(values, { dtype: "int32" })
const embedding = () => new nn.Embedding(4, 3)
const attention = () => new nn.MultiheadAttention(6, 2)

describe("options out of range", () => {
  it.each<[string, () => unknown, RegExp]>([
    ["Embedding", () => new nn.Embedding(2.5, 1), /Embedding: numEmbeddings must be a whole number/],
    ["Embedding", () => new nn.Embedding(4, 3, { paddingIdx: 4 }), /paddingIdx must lie within the 4 rows: got 4/],
    ["Embedding", () => new nn.Embedding(4, 3, { paddingIdx: -5 }), /got -5/],
    ["embed", () => nn.embed(int([0]), ones(4, 3), { paddingIdx: 0.5 }), /embed: paddingIdx must be an integer or null: got 0.5/],
    ["LayerNorm", () => new nn.LayerNorm([]), /LayerNorm: normalizedShape must name at least one dim/],
    ["LayerNorm", () => new nn.LayerNorm(-1), /LayerNorm: each size/],
    ["BatchNorm1d", () => new nn.BatchNorm1d(NaN), /BatchNorm1d: numFeatures/],
    ["BatchNorm1d", () => new nn.BatchNorm1d(3).forward(ones(1, 3)), /needs more than one value a channel: got x \[1, 3\]/],
    ["InstanceNorm1d", () => new nn.InstanceNorm1d(3).forward(ones(2, 3, 1)), /InstanceNorm1d: needs more than one/],
    ["GroupNorm", () => new nn.GroupNorm(2, 3), /the groups must divide the channels: got 2 and 3/],
    ["Conv1d", () => new nn.Conv1d(4, 6, 0), /Conv1d: kernelSize must be a whole number of at least 1: got 0/],
    ["Conv1d", () => new nn.Conv1d(4, 6, 3, { groups: 3 }), /groups must divide both channels: got 3 for 4 and 6/],
    ["Conv1d", () => new nn.Conv1d(4, 6, 3, { padding: "same", stride: 2 }), /"same" needs a stride of 1: got 2/],
    ["Conv1d", () => new nn.Conv1d(4, 6, 3, { padding: -1 }), /Conv1d: padding must be/],
    ["Conv1d", () => new nn.Conv1d(4, 6, 3, { paddingMode: "toString" as "zeros" }), /paddingMode must be "zeros", .*: got the string "toString"/],
    ["MaxPool1d", () => new nn.MaxPool1d(2, { padding: 2 }).forward(ones(1, 4)), /at most half of the kernel size: got 2 and 2/],
    ["AvgPool1d", () => new nn.AvgPool1d(0), /AvgPool1d: kernelSize/],
    ["AdaptiveAvgPool1d", () => new nn.AdaptiveAvgPool1d(0), /outputSize/],
    ["MultiheadAttention", () => new nn.MultiheadAttention(6, 4), /heads must divide embedDim: got 4 and 6/],
    ["MultiheadAttention", () => new nn.MultiheadAttention(6, 2, { dropout: 2 }), /MultiheadAttention: dropout must be a number from 0 to 1: got 2/],
    ["DotProductAttention", () => new nn.DotProductAttention(6, 4), /needs equal widths: got 6 and 4; use "general"/],
    ["DotProductAttention", () => new nn.DotProductAttention(6, 6, { score: "sum" as "dot" }), /score must be "dot", "scaled" or "general": got the string "sum"/],
    ["GELU", () => new nn.GELU({ approximate: "erf" as "tanh" }), /approximate must be "none" or "tanh": got the string "erf"/],
    ["Hardtanh", () => new nn.Hardtanh(1, 1), /minVal must lie below maxVal: got 1 and 1/],
    ["Softshrink", () => new nn.Softshrink(-1), /lambda must not be negative: got -1/],
    ["CELU", () => new nn.CELU(0), /alpha must not be 0/],
    ["Hardtanh", () => new nn.Hardtanh(Symbol("low") as never), /got Symbol\(low\) and 1/],
    ["Softshrink", () => new nn.Softshrink(Symbol("s") as never), /lambda must not be negative: got Symbol\(s\)/],
    ["rrelu", () => nn.rrelu(ones(1), 0, Symbol("high") as never), /got 0 and Symbol\(high\)/],
    ["rrelu", () => nn.rrelu(ones(1), 0.5, 0.1), /lower must not exceed upper: got 0.5 and 0.1/],
    ["MultiMarginLoss", () => nn.multiMarginLoss(ones(1, 2), int([0]), { p: 3 as 1 }), /p must be 1 or 2: got 3/],
    ["KLDivLoss", () => new nn.KLDivLoss({ reduction: "avg" as "mean" }), /KLDivLoss: reduction must be .*: got the string "avg"/],
    ["GaussianNLLLoss", () => nn.gaussianNllLoss(ones(2), ones(2), tensor([1, -1])), /must not be negative/],
    ["GaussianNLLLoss", () => nn.gaussianNllLoss(ones(2), ones(2), ones(2), { eps: 0 }), /eps must be a number above 0: got 0/],
    ["init", () => nn.init.dirac_(zeros(4, 2, 3), 3), /groups must divide the 4 outputs: got 3/],
    ["init", () => nn.init.sparse_(zeros(4, 2), 1.5), /sparsity must lie between 0 and 1: got 1.5/],
    ["init", () => nn.init.truncNormal_(zeros(4), { std: 0 }), /truncNormal_: std must be a number above 0: got 0/],
    ["init", () => nn.init.truncNormal_(zeros(4), { a: 2, b: 1 }), /\[a, b\]: got \[2, 1\]/],
  ])("%s throws a ValueError", (_, call, text) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(text)
  }) // prettier-ignore
})

describe("what is no tensor at all", () => {
  const none = undefined as unknown as Tensor
  const list = [[1, 2, 3]] as unknown as Tensor
  it.each<[string, () => unknown]>([
    ["LayerNorm", () => new nn.LayerNorm(3).forward(list)],
    ["BatchNorm1d", () => new nn.BatchNorm1d(3).forward(none)],
    ["InstanceNorm1d", () => new nn.InstanceNorm1d(3).forward(list)],
    ["GroupNorm", () => new nn.GroupNorm(1, 3).forward(none)],
    ["Conv1d", () => new nn.Conv1d(3, 3, 1).forward(list)],
    ["conv1d", () => nn.conv1d(ones(1, 3, 3), none)],
    ["prelu", () => nn.prelu(ones(2), none)],
    ["glu", () => nn.glu(list)],
    ["ctcLoss", () => nn.ctcLoss(zeros(3, 2, 4), int([[1], [1]]), none as unknown as number, 1)],
    ["packPaddedSequence", () => nn.packPaddedSequence(list, [3])],
    ["packPaddedSequence", () => nn.packPaddedSequence(ones(3, 1, 2), none)],
    ["packSequence", () => nn.packSequence(none as unknown as Tensor[])],
    ["padSequence", () => nn.padSequence([ones(2), none])],
    ["padPackedSequence", () => nn.padPackedSequence(ones(3) as unknown as nn.PackedSequence)],
    ["unpackSequence", () => nn.unpackSequence(none as unknown as nn.PackedSequence)],
    ["unpadSequence", () => nn.unpadSequence(list, [3])],
    ["LSTM", () => new nn.LSTM(2, 3).forward(ones(4, 1, 2), 0 as unknown as null)],
    ["GRU", () => new nn.GRU(2, 3).forward(ones(4, 1, 2), false as unknown as null)],
    ["LSTMCell", () => new nn.LSTMCell(2, 3).forward(ones(1, 2), 0 as unknown as null)],
    ["GRUCell", () => new nn.GRUCell(2, 3).forward(ones(1, 2), false as unknown as null)],
    ["OutputToHiddenRNN", () => new nn.OutputToHiddenRNN(2, 3, 2).forward(list)],
  ])("%s throws a ValueError that names it", (name, call) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(new RegExp(`^${name}: `))
  })
  it("lengths may be of any kind of list", () => {
    expect(nn.packPaddedSequence(ones(3, 2, 1), new Int32Array([3, 1]) as unknown as number[]).batchSizes).toEqual([2, 1, 1]) // prettier-ignore
  })
})

describe("shapes, dtypes and indices that do not fit", () => {
  const lengths = { t: [3, 3], l: [2, 1] }
  const logs = () => logSoftmax(zeros(3, 2, 4), 2)
  it.each<[string, () => unknown, RegExp]>([
    ["Embedding", () => nn.Embedding.fromPretrained(ones(3)), /fromPretrained: the table must have 2 dims: got \[3\]/],
    ["Embedding", () => new nn.Embedding(4, 3, { weight: ones(3, 4) }), /got weight \[3, 4\], expected \[4, 3\]/],
    ["LayerNorm", () => new nn.LayerNorm([2, 3]).forward(ones(3, 3)), /LayerNorm: got x \[3, 3\], expected \[\.\.\., 2, 3\]/],
    ["LayerNorm", () => new nn.LayerNorm([2, 3]).forward(ones(3)), /got x \[3\]/],
    ["BatchNorm1d", () => new nn.BatchNorm1d(3).forward(ones(2, 4)), /got x \[2, 4\], expected \[N, 3\] or \[N, 3, L\]/],
    ["BatchNorm1d", () => new nn.BatchNorm1d(3).forward(ones(2, 3, 4, 5)), /BatchNorm1d: got x/],
    ["InstanceNorm1d", () => new nn.InstanceNorm1d(3).forward(ones(3)), /InstanceNorm1d: got x \[3\]/],
    ["GroupNorm", () => new nn.GroupNorm(2, 4).forward(ones(3, 2)), /GroupNorm: got x \[3, 2\], expected \[N, 4, \.\.\.\]/],
    ["Conv1d", () => new nn.Conv1d(4, 6, 3).forward(ones(2, 3, 9)), /got x \[2, 3, 9\], expected \[N, 4, L\]/],
    ["Conv1d", () => new nn.Conv1d(4, 6, 3).forward(ones(2, 4, 2)), /reaches over 3 does not fit a length of 2/],
    ["conv1d", () => nn.conv1d(ones(1, 4, 9), ones(6, 3, 3)), /weight \[6, 3, 3\] in 1 groups does not fit x \[1, 4, 9\]/],
    ["conv1d", () => nn.conv1d(ones(1, 4, 9), ones(6, 4, 3), ones(4)), /got bias \[4\], expected \[6\]/],
    ["maxPool1d", () => nn.maxPool1d(ones(3), 2), /maxPool1d: got x \[3\]/],
    ["avgPool1d", () => nn.avgPool1d(ones(2, 3), 4), /windows that reach over 4 do not fit x \[2, 3\] with padding 0/],
    ["MultiheadAttention", () => attention().forward(ones(4, 2, 6), ones(5, 3, 6), ones(5, 3, 6)), /got query \[4, 2, 6\], key \[5, 3, 6\]/],
    ["MultiheadAttention", () => attention().forward(ones(4, 6), ones(5, 2, 6), ones(5, 2, 6)), /or all without N/],
    ["MultiheadAttention", () => attention().forward(ones(4, 2, 6), ones(5, 2, 6), ones(5, 2, 6), { attnMask: ones(5, 4) }), /got attnMask \[5, 4\], expected \[4, 5\]/],
    ["MultiheadAttention", () => attention().forward(ones(4, 2, 6), ones(5, 2, 6), ones(5, 2, 6), { keyPaddingMask: ones(2, 4) }), /got keyPaddingMask \[2, 4\], expected \[2, 5\]/],
    ["AdditiveAttention", () => new nn.AdditiveAttention(6, 4, 2).forward(ones(2, 4), ones(2, 5, 4)), /expected \[B, 6\] or \[B, L, 6\] and \[B, S, 4\]/],
    ["AdditiveAttention", () => new nn.AdditiveAttention(6, 4, 2).forward(ones(2, 6), ones(2, 5, 4), { mask: ones(5) }), /got mask \[5\], expected \[2, 5\]/],
    ["scaledDotProductAttention", () => nn.scaledDotProductAttention(ones(4, 3), ones(5, 2), ones(5, 2)), /got query \[4, 3\], key \[5, 2\]/],
    ["scaledDotProductAttention", () => nn.scaledDotProductAttention(ones(4, 3), ones(4, 3), ones(4, 3), { isCausal: true, attnMask: ones(4, 4) }), /exclude each other/],
    ["prelu", () => nn.prelu(ones(2, 3), ones(2)), /got 2 slopes for x \[2, 3\]/],
    ["glu", () => nn.glu(ones(2, 3)), /needs an even size at dim -1: got x \[2, 3\]/],
    ["marginRankingLoss", () => nn.marginRankingLoss(ones(2), ones(2, 1), ones(2)), /expected equally many dims/],
    ["softMarginLoss", () => nn.softMarginLoss(ones(2), ones(3)), /got target \[3\], expected \[2\]/],
    ["cosineEmbeddingLoss", () => nn.cosineEmbeddingLoss(ones(2, 3), ones(2, 3), ones(2, 1)), /cosineEmbeddingLoss: got/],
    ["gaussianNllLoss", () => nn.gaussianNllLoss(ones(2, 3), ones(2, 3), ones(3)), /got variance \[3\], expected \[2, 3\]/],
    ["ctcLoss", () => nn.ctcLoss(zeros(4), int([1]), 4, 1), /got logProbs \[4\]/],
    ["ctcLoss", () => nn.ctcLoss(logs(), int([1, 2, 3, 1]), lengths.t, lengths.l), /got joined targets \[4\], expected \[3\]/],
    ["ctcLoss", () => nn.ctcLoss(logs(), int([[1, 2]]), lengths.t, lengths.l), /got targets \[1, 2\], expected \[2, L\]/],
    ["ctcLoss", () => nn.ctcLoss(logs(), int([[1, 2], [1, 2]]), [3], lengths.l), /got 1 inputLengths, expected 2/],
    ["init", () => nn.init.orthogonal_(zeros(3)), /orthogonal_: needs at least 2 dims: got \[3\]/],
    ["init", () => nn.init.dirac_(zeros(3, 3)), /dirac_: needs 3, 4 or 5 dims/],
    ["init", () => nn.init.sparse_(zeros(3), 0.1), /sparse_: needs 2 dims/],
  ])("%s throws a ShapeError", (_, call, text) => {
    expect(call).toThrow(ShapeError)
    expect(call).toThrow(text)
  }) // prettier-ignore

  it.each<[string, () => unknown]>([
    ["Embedding", () => embedding().forward(ones(2))],
    ["LayerNorm", () => new nn.LayerNorm(2).forward(int([1, 2]))],
    ["Conv1d", () => new nn.Conv1d(1, 1, 1).forward(ones(1, 1, 3, { dtype: "float64" }))],
    ["maxPool1d", () => nn.maxPool1d(int([[1, 2]]), 2)],
    ["MultiheadAttention", () => attention().forward(ones(4, 6), ones(5, 6), ones(5, 6), { attnMask: zeros(4, 5, { dtype: "int32" }) })],
    ["ctcLoss", () => nn.ctcLoss(zeros(3, 4), ones(2), 3, 2)],
  ])("%s throws a DTypeError", (_, call) => {
    expect(call).toThrow(DTypeError)
  }) // prettier-ignore

  it.each<[string, () => unknown, RegExp]>([
    ["Embedding", () => embedding().forward(int([4])).tolistSync(), /4/],
    ["ctcLoss", () => nn.ctcLoss(logs(), int([[1, 2], [1, 2]]), lengths.t, lengths.l, { blank: 4 }), /blank out of range: got 4, expected 0 to 3/],
    ["ctcLoss", () => nn.ctcLoss(logs(), int([[1, 2], [1, 2]]), [3, 4], lengths.l), /inputLengths out of range: got 4, expected 0 to 3/],
    ["ctcLoss", () => nn.ctcLoss(logs(), int([[1, 2], [1, 2]]), lengths.t, [2, 3]), /targetLengths out of range: got 3, expected 0 to 2/],
  ])("%s throws an IndexError", (_, call, text) => {
    expect(call).toThrow(IndexError)
    expect(call).toThrow(text)
  }) // prettier-ignore
})

describe("edges", () => {
  it("keep a pretrained table as it is, frozen or not, and draw nothing for it", () => {
    manualSeed(1)
    const wanted = randn(1).itemSync()
    manualSeed(1)
    const rows = arange(6).reshape(2, 3).float()
    const frozen = nn.Embedding.fromPretrained(rows, { paddingIdx: 1 })
    expect([frozen.weight.requiresGrad, frozen.paddingIdx]).toEqual([false, 1])
    expect(frozen.forward(int([1])).tolistSync()).toEqual([[3, 4, 5]])
    expect(nn.Embedding.fromPretrained(rows, { freeze: false }).weight.requiresGrad).toBe(true)
    expect(randn(1).itemSync()).toBe(wanted)
  })
  it("load the int64 counter of PyTorch's batch normalisation", () => {
    const layer = new nn.BatchNorm1d(2)
    const { weight, bias, running_mean, running_var } = layer.stateDict()
    layer.loadStateDict({ weight, bias, running_mean, running_var, num_batches_tracked: tensor(7n) })
    layer.forward(randn(4, 2))
    expect(layer.num_batches_tracked?.tolistSync()).toBe(8)
  })
  it("take empty batches", () => {
    expect(embedding().forward(zeros(0, 2, { dtype: "int32" })).shape).toEqual([0, 2, 3])
    expect(new nn.LayerNorm(3).forward(zeros(0, 3)).shape).toEqual([0, 3])
    expect(new nn.Conv1d(2, 3, 2).forward(zeros(0, 2, 5)).shape).toEqual([0, 3, 4])
  })
  it("find the largest element where a window holds nothing but -Infinity", () => {
    const x = tensor([[-Infinity, -Infinity, 1]])
    const [values, positions] = nn.maxPool1dWithIndices(x, 2, { padding: 1 })
    expect([values.tolistSync(), positions.tolistSync()]).toEqual([[[-Infinity, 1]], [[0, 2]]])
  })
  it("find nothing in a stretched window that lies beside the input", () => {
    // F.max_pool1d(torch.tensor([[5.], [6.]]), 2, 2, 1, 2, return_indices=True) of PyTorch 1.13.1, whose gradient of the
    // first row ends up in the second one: [[0], [1]].
    const x = tensor([[5], [6]], { requiresGrad: true })
    const [values, positions] = nn.maxPool1dWithIndices(x, 2, { padding: 1, dilation: 2 })
    expect([values.tolistSync(), positions.tolistSync()]).toEqual([[[-Infinity], [-Infinity]], [[1], [1]]]) // prettier-ignore
    values.sum().backward()
    expect(x.grad?.tolistSync()).toEqual([[0], [0]])
  })
  it("differentiate layer normalisation twice", async () => {
    const x = randn(3, 4, { dtype: "float64", requiresGrad: true })
    const layer = new nn.LayerNorm(4, { dtype: "float64" })
    expect(await gradcheck((v: Tensor) => layer.forward(v), [x])).toBe(true)
    expect(await gradgradcheck((v: Tensor) => layer.forward(v), [x])).toBe(true)
  })
  it("say what nothing costs: an empty target in no time is certain, another impossible", () => {
    const x = logSoftmax(randn(3, 2, 4), 2)
      .detach()
      .requiresGrad_()
    const losses = nn.ctcLoss(x, int([[1], [1]]), [0, 0], [0, 1], { reduction: "none" })
    expect(losses.tolistSync()).toEqual([0, Infinity])
    nn.ctcLoss(x, int([[1], [1]]), [0, 0], [0, 1], { zeroInfinity: true }).backward()
    expect(x.grad?.abs().sum().itemSync()).toBe(0)
  })
  it("refuse a second derivative of the alignment loss", () => {
    const x = logSoftmax(randn(3, 1, 4), 2)
      .detach()
      .requiresGrad_()
    nn.ctcLoss(x, int([[1]]), [3], [1]).backward({ createGraph: true })
    expect(() => (x.grad as Tensor).sum().backward()).toThrow(GradientError)
  })
})
