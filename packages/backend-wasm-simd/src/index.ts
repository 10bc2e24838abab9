// Rondo's default backend, `wasm-simd`.
export { WasmSimd, wasmSimd, type WasmSimdOptions } from "./backend.js"
