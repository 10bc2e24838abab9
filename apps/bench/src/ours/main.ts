// The process in which Rondo is timed: `main.mjs <device> <workload…>`, one line of JSON a case on stdout.
import { device, use } from "rondo"
import { runCases } from "../timing.js"
import { trainingCases } from "./cases.js"
import { operationCases } from "./operations.js"

const [name, ...wanted] = process.argv.slice(2)
const dev = await device(name)
use(dev)
await runCases({ ...trainingCases(dev), ...operationCases(dev) }, wanted)
