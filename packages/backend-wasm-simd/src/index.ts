// Rondo's default backend, `wasm-simd`.
export { WasmSimd, wasmSimd, type ThreadStatus, type WasmSimdOptions } from "./backend.js"
