// Optimisers and gradient clipping after torch.optim and torch.nn.utils.
export { Adam, type AdamOptions, AdamW } from "./adam.js"
export { type ClipOptions, clipGradNorm_, clipGradValue_ } from "./clip.js"
export { type GroupOptions, Optimizer, type OptimizerState, type ParameterState, type ParamGroup } from "./optimizer.js"
export { SGD, type SGDOptions } from "./sgd.js"
