// The webgpu backend passes the whole suite in a browser page, on a renderer that every machine has.
import { describeBackendInChromium, swiftshaderFlags } from "./node/chromium.js"

const page = new URL("../test/pages/webgpu.ts", import.meta.url)
describeBackendInChromium(page, { name: "webgpu", flags: swiftshaderFlags, required: process.env.CI === "true" })
