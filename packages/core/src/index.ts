// Rondo's core: tensors, operations, autograd, random streams and files. Picks no device: see the package `rondo`.
export { observers } from "./apply.js"
export * from "./autograd.js"
export { capture, type Captured } from "./capture.js"
export {
  type CheckpointContent,
  type CheckpointParts,
  loadCheckpoint,
  type LoadCheckpointOptions,
  type LoadedCheckpoint,
  saveCheckpoint,
  type Stateful,
} from "./checkpoint.js"
export { sharedZeros } from "./constants.js"
export * from "./creation.js"
export { type ClassForm, classLoss, type ClassOperands } from "./classes.js"
export { ctc, type CtcBatch } from "./ctc.js"
export type { OptionCheck, RequiredOption } from "./arguments.js"
export { defaultDType, setDefaultDType } from "./defaults.js"
export { currentDevice, hasDevice } from "./device.js"
export type { BinaryOp, ElementwiseInfo, Input, Row, Scalar, TernaryOp, UnaryOp } from "./elementwise.js"
export { type FusedExprs, mapInto } from "./fused.js"
export { gradcheck, type GradcheckOptions, gradgradcheck } from "./gradcheck.js"
export {
  detectAnomaly,
  enableGrad,
  type GradHook,
  isGradEnabled,
  type Node,
  noGrad,
  type RemovableHook,
} from "./graph.js"
export { decode, encode, type Nested, upload } from "./host.js"
export { checkpointToHost, type HostCheckpoint, type Movable } from "./hostcopy.js"
export { Device, Tensor, use } from "./methods.js"
export type { StructuredInfo } from "./op.js"
export { loadNpy, loadNpz, type LoadNpzOptions } from "./numpy/index.js"
export { checkKnownOptions, checkOptions, type OptionChecks } from "./options.js"
export * from "./ops/index.js"
export * from "./print/index.js"
export { defaultGenerator, Generator } from "./random/index.js"
/** The random streams as arrays on the host, for what starts there: `draws.normal(generator, 4)`. */
export * as draws from "./random/index.js"
export * from "./safetensors/index.js"
export * from "./samples.js"
export * from "./sampling.js"
export { RowGradient } from "./rowgradient.js"
export { groupStorages } from "./lifetime.js"
export { keep, scope } from "./scope.js"
export { refuseCapture, uncaptured } from "./tape.js"
export { groupAlike, squaredLength } from "./together.js"
export { type Total, totalOf } from "./totals.js"
export type { ByteSource, ByteStream, FileInput } from "./source.js"
