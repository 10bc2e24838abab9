// The reference backend passes the whole suite in a browser page too, where the engine's mathematics is another build.
import { describeBackendInChromium } from "./node/chromium.js"

const page = new URL("../test/pages/cpu-js.ts", import.meta.url)
describeBackendInChromium(page, { name: "cpu-js", required: process.env.CI === "true" })
