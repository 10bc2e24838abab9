// The process in which jax-js is timed (wasm device, one thread: Node has no Worker global): `jax.mjs <jit|eager> <workload…>`.
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { runCases } from "../timing.ts"
import { peerFolder } from "./env.mjs"
import { jaxCases } from "./jax-cases.mjs"

const [style, ...wanted] = process.argv.slice(2)
const jax = await import(pathToFileURL(join(peerFolder, "node_modules/@jax-js/jax/dist/index.js")).href)
// init() with no argument throws on Node 20: it reads navigator.gpu
const devices = await jax.init("wasm")
if (!devices.includes("wasm")) throw new Error("no wasm device")
jax.defaultDevice("wasm")
await runCases(jaxCases(jax, style), wanted)
