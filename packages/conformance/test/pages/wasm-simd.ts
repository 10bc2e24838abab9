// The page in which the wasm-simd backend runs the suite.
import { CpuJs } from "@rondo/backend-cpu-js"
import { WasmSimd } from "@rondo/backend-wasm-simd"
import { servePage } from "../../src/page.js"

servePage(() => new WasmSimd(), { reference: () => new CpuJs() })
