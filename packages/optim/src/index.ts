// Optimisers, schedulers and gradient clipping after torch.optim and torch.nn.utils.
export { Adadelta, type AdadeltaOptions } from "./adadelta.js"
export { Adagrad, type AdagradOptions } from "./adagrad.js"
export { Adam, type AdamOptions, AdamW } from "./adam.js"
export { Adamax, type AdamaxOptions } from "./adamax.js"
export { ASGD, type ASGDOptions } from "./asgd.js"
export { type ClipOptions, clipGradNorm_, clipGradValue_ } from "./clip.js"
export { LBFGS, type LBFGSOptions } from "./lbfgs.js"
export { NAdam, type NAdamOptions } from "./nadam.js"
export {
  GradientOptimizer,
  type GroupOptions,
  Optimizer,
  type OptimizerState,
  type ParameterState,
  type ParamGroup,
} from "./optimizer.js"
export { RAdam, type RAdamOptions } from "./radam.js"
export { RMSprop, type RMSpropOptions } from "./rmsprop.js"
export { Rprop, type RpropOptions } from "./rprop.js"
export * from "./schedulers/index.js"
export { SGD, type SGDOptions } from "./sgd.js"
export { SparseAdam, type SparseAdamOptions } from "./sparseadam.js"
export type { PyTorchState, StateLayout } from "./state.js"
