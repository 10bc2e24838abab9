// The wasm-simd backend passes the whole suite: against the reference, finite differences and PyTorch's values.
import { CpuJs } from "@rondo/backend-cpu-js"
import { WasmSimd } from "@rondo/backend-wasm-simd"
import { describeBackend } from "./node/vitest.js"

describeBackend(() => new WasmSimd(), { name: "wasm-simd", reference: () => new CpuJs(), required: true })
