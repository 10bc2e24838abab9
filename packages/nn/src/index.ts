// Modules, layers and losses after torch.nn. Names are PyTorch's in camelCase; state-dict keys are PyTorch's.
export * from "./activation.js"
export {
  AdditiveAttention,
  type DecoderAttentionCall,
  DotProductAttention,
  type DotProductOptions,
  type DotProductScore,
} from "./attention/decoder.js"
export { type AttentionCall, MultiheadAttention, type MultiheadOptions } from "./attention/multihead.js"
export { scaledDotProductAttention, type ScaledDotProductOptions } from "./attention/product.js"
export * from "./container.js"
export { Conv1d, conv1d, type Conv1dOptions, type ConvCall, type Padding, type PaddingMode } from "./convolution.js"
export * from "./ctc.js"
export { Dropout, dropout, type DropoutOptions } from "./dropout.js"
export { embed, Embedding, type EmbeddingCall, type EmbeddingLayerOptions } from "./embedding.js"
export {
  type BCELogitsOptions,
  type BCEOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  crossEntropy,
  type CrossEntropyOptions,
  huberLoss,
  type HuberOptions,
  l1Loss,
  type LossOptions,
  mseLoss,
  nllLoss,
  type NLLOptions,
  type Reduction,
  smoothL1Loss,
  type SmoothL1Options,
} from "./functional.js"
export * as init from "./init.js"
export * from "./likelihood.js"
export { Identity, Linear, type LinearOptions } from "./linear.js"
export * from "./loss.js"
export * from "./margin.js"
export { type LoadOptions, Module } from "./module.js"
export {
  BatchNorm1d,
  type BatchNormOptions,
  GroupNorm,
  type GroupNormOptions,
  InstanceNorm1d,
  LayerNorm,
  type LayerNormOptions,
} from "./normalization.js"
export { type FactoryOptions, Parameter } from "./parameter.js"
export * from "./pooling.js"
export * from "./rectifiers.js"
export { beamSearch, type BeamOptions } from "./recurrent/beam.js"
export * from "./recurrent/cells.js"
export {
  type DecoderStep,
  freeRun,
  type FreeRunOptions,
  greedySearch,
  type Hypothesis,
  type SampleOptions,
  sampleTokens,
  type DecodingOptions,
  type StartTokens,
} from "./recurrent/decoding.js"
export { type GradientFlow, gradientFlow, gradientNorms } from "./recurrent/flow.js"
export * as forcing from "./recurrent/forcing.js"
export { RecurrentLayer, type RecurrentOptions } from "./recurrent/layer.js"
export {
  type ForcingOptions,
  type OutputNonlinearity,
  OutputRecurrentLayer,
  type OutputRecurrentOptions,
  OutputToHiddenRNN,
  OutputToOutputRNN,
} from "./recurrent/output.js"
export {
  isPacked,
  type Lengths,
  type PackedSequence,
  type PackOptions,
  packPaddedSequence,
  type PackPaddedOptions,
  packSequence,
  type PadOptions,
  type PadPackedOptions,
  padPackedSequence,
  padSequence,
  unpackSequence,
  unpadSequence,
} from "./recurrent/packed.js"
export { GRU, LSTM, type LSTMOptions, RNN, type RNNNonlinearity, type RNNOptions } from "./recurrent/recurrent.js"
export {
  type StatefulModel,
  tbptt,
  type TbpttOptions,
  type TbpttResult,
  type TrainingSequence,
  type WindowReport,
} from "./recurrent/tbptt.js"
export * from "./slopes.js"
export type { LoadResult, StateDict } from "./state.js"
export { onWarning, type WarningListener } from "./warning.js"
