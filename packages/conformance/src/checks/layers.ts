// Check: embeddings, normalisation, convolution, pooling, attention and the losses of sequences give on the backend what
// they give on the reference, forward and backward.
import { type Device, logSoftmax, rand, randint, randn, type Tensor, tensor } from "@rondo/core"
import * as nn from "@rondo/nn"
import type { Check } from "../suite.js"
import { weightsFor } from "../read.js"
import { type Experiment, experimentCase, input, passed } from "./modules.js"

/** A layer from one tensor of the given shape to another. */
const single = (op: string, id: string, shape: readonly number[], make: (device: Device) => nn.Layer): Experiment => ({
  op,
  id,
  run: (device) => {
    const layer = make(device)
    const x = input(device, ...shape)
    return [...passed(layer, [layer.forward(x)], [x]), ...layer.buffers()]
  },
})

function tables(): Experiment[] {
  const table = (id: string, options: nn.EmbeddingLayerOptions): Experiment => ({
    op: "Embedding",
    id,
    run: (device) => {
      const layer = new nn.Embedding(7, 3, { ...options, device })
      const out = layer.forward(randint(0, 7, [2, 6], { device }))
      return [...passed(layer, [out]), layer.weight.detach()]
    },
  })
  // Looked up so often that the layer behind multiplies the table's rows instead.
  const behind = (id: string, run: (x: Tensor, device: Device) => readonly (Tensor | null)[]): Experiment => ({
    op: "Embedding",
    id,
    run: (device) => {
      const layer = new nn.Embedding(5, 16, { paddingIdx: 1, device })
      return [...run(layer.forward(randint(0, 5, [6, 9], { device })), device), layer.weight.grad]
    },
  })
  return [
    table("plain", {}),
    behind("before a linear layer", (x, device) => {
      const linear = new nn.Linear(16, 7, { device })
      return passed(linear, [linear.forward(x)])
    }),
    behind("before a recurrent layer", (x, device) => {
      const lstm = new nn.LSTM(16, 3, { batchFirst: true, bidirectional: true, device })
      return passed(lstm, [lstm.forward(x)[0]])
    }),
    table("padding and frequencies", { paddingIdx: 2, scaleGradByFreq: true }),
    table("limited rows", { maxNorm: 1 }),
  ]
}

function chains(): Experiment[] {
  return [
    single("LayerNorm", "last dim", [4, 5, 6], (device) => new nn.LayerNorm(6, { device })),
    single("LayerNorm", "two dims", [4, 5, 6], (device) => new nn.LayerNorm([5, 6], { device, elementwiseAffine: false })), // prettier-ignore
    single("BatchNorm1d", "training", [4, 3, 5], (device) => new nn.BatchNorm1d(3, { device })),
    single("BatchNorm1d", "running statistics", [4, 3], (device) => new nn.BatchNorm1d(3, { device }).eval()),
    single("GroupNorm", "two groups", [3, 4, 5], (device) => new nn.GroupNorm(2, 4, { device })),
    single("InstanceNorm1d", "plain", [3, 4, 5], (device) => new nn.InstanceNorm1d(4, { device })),
    single("Conv1d", "groups, stride and padding", [2, 4, 9], (device) => new nn.Conv1d(4, 6, 3, { device, groups: 2, stride: 2, padding: 1 })), // prettier-ignore
    single("Conv1d", "same, dilated, circular", [2, 4, 9], (device) => new nn.Conv1d(4, 3, 3, { device, padding: "same", dilation: 2, paddingMode: "circular" })), // prettier-ignore
    single("MaxPool1d", "padded, dilated", [2, 3, 9], () => new nn.MaxPool1d(3, { padding: 1, dilation: 2, stride: 2 })), // prettier-ignore
    single("AvgPool1d", "padded, rounded up", [2, 3, 8], () => new nn.AvgPool1d(3, { padding: 1, ceilMode: true, countIncludePad: false })), // prettier-ignore
    single("AdaptiveAvgPool1d", "uneven", [2, 3, 8], () => new nn.AdaptiveAvgPool1d(3)),
    single("PReLU", "a slope a channel", [2, 3, 4], (device) => new nn.PReLU(3, { device })),
    single("GLU", "last dim", [3, 8], () => new nn.GLU()),
  ]
}

function attention(): Experiment[] {
  const heads = (id: string, options: nn.MultiheadOptions): Experiment => ({
    op: "MultiheadAttention",
    id,
    run: (device) => {
      const layer = new nn.MultiheadAttention(6, 2, { ...options, device })
      const [query, key] = [input(device, 4, 2, 6), input(device, 5, 2, 6)]
      const hidden = tensor([[0, 0, 0, 1, 1], [0, 1, 0, 0, 0]], { device }).bool() // prettier-ignore
      const [out, weights] = layer.forward(query, key, key, { keyPaddingMask: hidden })
      return passed(layer, [out, weights as Tensor], [query, key])
    },
  })
  const decoder = (
    op: string,
    make: (device: Device) => nn.AdditiveAttention | nn.DotProductAttention,
  ): Experiment => ({
    op,
    id: "one query",
    run: (device) => {
      const layer = make(device)
      const [query, keys] = [input(device, 2, 6), input(device, 2, 5, 6)]
      return passed(layer, layer.forward(query, keys), [query, keys])
    },
  })
  return [
    heads("plain", {}),
    heads("more keys, dropped weights", { addBiasKv: true, addZeroAttn: true, dropout: 0.3 }),
    decoder("AdditiveAttention", (device) => new nn.AdditiveAttention(6, 6, 4, { device })),
    decoder("DotProductAttention", (device) => new nn.DotProductAttention(6, 6, { score: "general", device })),
  ]
}

function losses(): Experiment[] {
  const loss = (op: string, id: string, compute: (x: Tensor, device: Device) => Tensor): Experiment => ({
    op,
    id,
    run: (device) => {
      const x = input(device, 6, 3, 5)
      const out = compute(x, device)
      out.mul(weightsFor(out)).sum().backward()
      return [out, x.grad]
    },
  })
  const sign = (device: Device, ...shape: number[]): Tensor => rand(shape, { device }).gt(0.5).to("float32").mul(2).sub(1) // prettier-ignore
  return [
    loss("KLDivLoss", "batchmean", (x, device) => nn.klDiv(logSoftmax(x, 2), rand([6, 3, 5], { device }), { reduction: "batchmean" })), // prettier-ignore
    loss("MarginRankingLoss", "none", (x, device) => nn.marginRankingLoss(x, randn([6, 3, 5], { device }), sign(device, 6, 3, 5), { margin: 0.5, reduction: "none" })), // prettier-ignore
    loss("CosineEmbeddingLoss", "none", (x, device) => nn.cosineEmbeddingLoss(x.reshape(6, 15), randn([6, 15], { device }), sign(device, 6), { reduction: "none" })), // prettier-ignore
    loss(
      "CTCLoss",
      "lengths that differ",
      (x, device) =>
      nn.ctcLoss(logSoftmax(x, 2), tensor([[1, 1], [2, 3], [4, 0]], { device, dtype: "int32" }), [6, 5, 3], [2, 2, 1], { reduction: "none" }), // prettier-ignore
    ),
    loss(
      "CTCLoss",
      "a row without alignment",
      (x, device) =>
      nn.ctcLoss(logSoftmax(x, 2), tensor([1, 1, 2, 3], { device, dtype: "int32" }), [2, 6, 6], [2, 1, 1], { zeroInfinity: true }), // prettier-ignore
    ),
  ]
}

export const layersCheck: Check = {
  name: "layers",
  about:
    "Embeddings, normalisation, convolution, pooling, attention and sequence losses give the reference's values and gradients.",
  cases: (context) =>
    [...tables(), ...chains(), ...attention(), ...losses()].map((one) => experimentCase(context, one)),
}
