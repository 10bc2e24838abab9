// The page in which the webgpu backend runs the suite, on whatever adapter the browser was started with.
import { CpuJs } from "@rondo/backend-cpu-js"
import { WebGpu } from "@rondo/backend-webgpu"
import { servePage } from "../../src/page.js"
import { denormalDeviations } from "../denormals.js"

servePage(() => WebGpu.open(), {
  reference: () => new CpuJs(),
  findDeviations: async () => denormalDeviations(await WebGpu.open()),
})
