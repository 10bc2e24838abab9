// Schedulers of the learning rate after torch.optim.lr_scheduler.
export { type AnyScheduler, ChainedScheduler, SequentialLR, type SequentialLROptions } from "./compose.js"
export {
  CosineAnnealingLR,
  type CosineAnnealingLROptions,
  CosineAnnealingWarmRestarts,
  type CosineAnnealingWarmRestartsOptions,
} from "./cosine.js"
export { CyclicLR, type CyclicLROptions, OneCycleLR, type OneCycleLROptions } from "./cycle.js"
export {
  ConstantLR,
  type ConstantLROptions,
  ExponentialLR,
  type ExponentialLROptions,
  LinearLR,
  type LinearLROptions,
  MultiStepLR,
  type MultiStepLROptions,
  PolynomialLR,
  type PolynomialLROptions,
  StepLR,
  type StepLROptions,
} from "./decay.js"
export { LambdaLR, type LambdaLROptions, type LrLambda, MultiplicativeLR } from "./lambda.js"
export { ReduceLROnPlateau, type ReduceLROnPlateauOptions } from "./plateau.js"
export {
  type Scheduled,
  type ScheduledGroup,
  Scheduler,
  type SchedulerOptions,
  type SchedulerState,
  type SchedulerValue,
} from "./scheduler.js"
