// The process in which Rondo is timed: `main.mjs "<device>[ captured]" <workload…>`, one line of JSON a case on stdout.
import { device, use } from "rondo"
import { runCases } from "../timing.js"
import { trainingCases } from "./cases.js"
import { operationCases } from "./operations.js"

const [name, ...wanted] = process.argv.slice(2)
const [first, ...how] = name.split(" ")
const dev = await device(first)
use(dev)
const setting = { device: dev, captured: how.includes("captured") }
await runCases({ ...trainingCases(setting), ...operationCases(dev) }, wanted)
