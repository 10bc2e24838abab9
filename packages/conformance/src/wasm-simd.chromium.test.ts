// The wasm-simd backend passes the whole suite in browser pages: in an isolated one, and in one that can have no threads.
import { describeBackendInChromium } from "./node/chromium.js"

const page = new URL("../test/pages/wasm-simd.ts", import.meta.url)
const required = process.env.CI === "true"
describeBackendInChromium(page, { name: "wasm-simd", required })
describeBackendInChromium(page, { name: "wasm-simd", isolated: false, required, report: false })
