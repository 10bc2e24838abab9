// The process in which TensorFlow.js is timed: `tfjs.mjs <cpu|wasm|wasm-patched> <hand|layers> <workload…>`.
// wasm-patched adds the kernel whose lack keeps the wasm backend from training an embedding (UnsortedSegmentSum, the
// gradient of tf.gather), written here in JavaScript.
import { dirname, sep } from "node:path"
import { runCases } from "../timing.ts"
import { peerRequire } from "./env.mjs"
import { tfjsCases } from "./tfjs-cases.mjs"
import { tfjsOperations } from "./tfjs-operations.mjs"

const [backend, style, ...wanted] = process.argv.slice(2)
// Its advertisement for tfjs-node.
console.warn = () => {}
const tf = peerRequire("@tensorflow/tfjs")

if (backend.startsWith("wasm")) {
  const wasm = peerRequire("@tensorflow/tfjs-backend-wasm")
  wasm.setWasmPaths(dirname(peerRequire.resolve("@tensorflow/tfjs-backend-wasm")) + sep)
  wasm.setThreadsCount?.(1)
}
if (backend === "wasm-patched") {
  tf.registerKernel({
    kernelName: "UnsortedSegmentSum",
    backendName: "wasm",
    kernelFunc({ inputs: { x, segmentIds }, attrs: { numSegments }, backend: memory }) {
      const values = memory.typedArrayFromHeap(x)
      const rows = memory.typedArrayFromHeap(segmentIds)
      const width = values.length / rows.length
      const out = memory.makeOutput([numSegments, ...x.shape.slice(segmentIds.shape.length)], x.dtype)
      const sums = memory.typedArrayFromHeap(out).fill(0)
      for (let i = 0; i < rows.length; i++) {
        const to = rows[i] * width
        for (let j = 0; j < width; j++) sums[to + j] += values[i * width + j]
      }
      return out
    },
  })
}
if (!(await tf.setBackend(backend.replace(/-.*/, "")))) throw new Error(`backend ${backend} did not start`)
await tf.ready()
await runCases({ ...tfjsCases(tf, style), ...tfjsOperations(tf) }, wanted)
