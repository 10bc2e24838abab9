// Rondo's reference backend, `cpu-js`.
export { CpuJs, cpuJs, type CpuJsOptions } from "./backend.js"
