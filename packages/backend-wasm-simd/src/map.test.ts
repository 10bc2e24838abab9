// Maps on every pattern of strides and every operator, against the reference; and on more elements than a signed integer counts.
import { kernels, type View } from "@rondo/backend"
import { describeMaps } from "@rondo/kernel-tests"
import { expect, it } from "vitest"
import { devices, subject } from "../test/devices.js"

describeMaps(subject())

it("2^31 and more elements", () => {
  const [device] = devices
  const storage = device.alloc(1)
  device.write(storage, new Uint8Array([7]))
  // All in one place: two gigabytes would be many for a test.
  const view: View = { storage, dtype: "uint8", shape: [2 ** 31 + 5], strides: [0], offset: 0 }
  device.run(kernels.fill("uint8"), [], [view], [3])
  expect([...new Uint8Array(device.readSync(storage, 0, 1))]).toEqual([3])
  device.free(storage)
})
