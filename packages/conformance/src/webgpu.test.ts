// The webgpu backend passes the whole suite in Node, on Dawn: against the reference, finite differences and PyTorch's values.
import { CpuJs } from "@rondo/backend-cpu-js"
import { WebGpu } from "@rondo/backend-webgpu"
import { vi } from "vitest"
import { denormalDeviations } from "../test/denormals.js"
import { describeBackend } from "./node/vitest.js"

// A renderer on the CPU takes some fifty milliseconds to compile each shader, and the suite has thousands.
vi.setConfig({ testTimeout: 600_000 })

// Without a device the suite says so itself.
const deviations = await WebGpu.open().then(denormalDeviations, () => [])
describeBackend(() => WebGpu.open(), { name: "webgpu", reference: () => new CpuJs(), deviations })
