// A page whose device cannot be opened.
import { CpuJs } from "@rondo/backend-cpu-js"
import { servePage } from "../../src/page.js"

const absent = (): never => {
  throw new Error("there is no such device")
}

servePage(absent, { reference: () => new CpuJs() })
