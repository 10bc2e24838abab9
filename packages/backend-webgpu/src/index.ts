// Rondo on any GPU: the backend `webgpu`.
export { WebGpu, webGpu, type WebGpuOptions } from "./backend.js"
export { type GpuEntry, type OpenOptions } from "./device.js"
