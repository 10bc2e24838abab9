// The page in which the webgpu backend runs the suite, on whatever adapter the browser was started with.
import { CpuJs } from "@rondo/backend-cpu-js"
import { WebGpu } from "@rondo/backend-webgpu"
import { servePage } from "../../src/page.js"

servePage(() => WebGpu.open(), { reference: () => new CpuJs() })
