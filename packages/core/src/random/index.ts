// Random streams: what the rest of the core draws from. Host code only; tensors are filled by creation and in-place ops.
export * from "./continuous.js"
export * from "./draws.js"
export * from "./generator.js"
export * from "./mt19937.js"
export * from "./normal.js"
export * from "./truncated.js"
export type { RealArrays, RealDType } from "./check.js"
