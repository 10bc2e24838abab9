// Vitest's global setup: lets the workers, which inherit this process's environment, find a Vulkan driver for WebGPU. A machine's
// own drivers come first; where nothing can be had, tests that need a GPU say so themselves.
import { softwareVulkan } from "../packages/conformance/src/node/executable.js"

export default async function setup(): Promise<void> {
  try {
    Object.assign(process.env, await softwareVulkan())
  } catch {
    // Other systems bring their own: Metal, Direct3D.
  }
}
