// The suite that every backend passes: its checks as data, and a runner that works wherever JavaScript does.
export { checks } from "./checks/index.js"
export { ConformanceError, type Tolerance, tolerances } from "./compare.js"
export type { Deviation } from "./deviation.js"
export { Ledger } from "./deviation.js"
export { type GoldenCall, Goldens } from "./goldens.js"
export { type Report, type Row, type Status, summarise } from "./report.js"
export { runSuite } from "./run.js"
export {
  byOp,
  type Case,
  type Check,
  closeContext,
  type Context,
  type Make,
  openContext,
  runCases,
  type SuiteOptions,
} from "./suite.js"
