// The reference backend passes the whole suite without deviations: against itself, finite differences and PyTorch's values.
import { CpuJs } from "@rondo/backend-cpu-js"
import { describeBackend } from "./node/vitest.js"

describeBackend(() => new CpuJs(), { name: "cpu-js", reference: () => new CpuJs(), required: true })
