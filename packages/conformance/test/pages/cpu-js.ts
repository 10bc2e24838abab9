// The page in which the reference backend runs the suite.
import { CpuJs } from "@rondo/backend-cpu-js"
import { servePage } from "../../src/page.js"

servePage(() => new CpuJs(), { reference: () => new CpuJs() })
