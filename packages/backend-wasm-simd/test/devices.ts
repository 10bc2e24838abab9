// For the tests of kernels: the devices that must all do what the reference does.
import { CpuJs } from "@rondo/backend-cpu-js"
import { subjectOf } from "@rondo/kernel-tests"
import { afterAll, beforeAll } from "vitest"
import { WasmSimd } from "../src/backend.js"
import { laneDTypes } from "../src/lanes.js"

/** A device that cuts whatever can be cut, for two threads. */
function cutting(): WasmSimd {
  const device = new WasmSimd({ threads: 2 })
  device.engine.pieces = () => 3
  return device
}

/** With and without fused multiply-add, and with work in pieces. */
export const devices: readonly WasmSimd[] = [
  new WasmSimd({ threads: false }),
  new WasmSimd({ threads: false, relaxed: false }),
  cutting(),
]

/** For the shared cases. The file's devices are started before them and closed afterwards. */
export function subject() {
  beforeAll(async () => void (await Promise.all(devices.map((one) => one.startThreads()))))
  afterAll(async () => void (await Promise.all(devices.map((one) => one.close()))))
  return subjectOf({ devices, reference: new CpuJs(), dtypes: laneDTypes, slow: false, doubles: true })
}
