// The process in which Rondo is timed on Dawn in Node: `dawn.mjs <plan as JSON> <case>`, one line of JSON on stdout.
import { currentDevice } from "rondo"
import { adapterName, startCounting } from "./counters.js"
import { openOurs } from "./ours.js"
import type { GpuPlan } from "./timing.js"

const [plan, name] = process.argv.slice(2)
const cases = await openOurs(JSON.parse(plan) as GpuPlan)
// Dawn's classes are global only now.
startCounting()
const { gpu } = currentDevice().backend as unknown as { gpu: { adapter: GPUAdapter } }
try {
  console.log(JSON.stringify({ ...(await cases[name]()), adapter: adapterName(gpu.adapter.info) }))
} catch (error) {
  console.log(JSON.stringify({ workload: name, error: String(error).split("\n")[0].slice(0, 300) }))
}
// Dawn's threads would keep the process alive.
process.exit(0)
