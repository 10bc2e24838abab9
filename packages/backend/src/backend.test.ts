// Tests of the list of devices and of opening one.
import { describe, expect, it } from "vitest"
import { type Backend, type BackendProvider, listDevices, openBackend } from "./backend.js"
import { DeviceError } from "./errors.js"

const backendNamed = (name: string) => ({ name }) as Backend

const works = (name: string): BackendProvider => ({
  name,
  unavailable: async () => null,
  open: async () => backendNamed(name),
})
const missing = (name: string, reason: string): BackendProvider => ({ ...works(name), unavailable: async () => reason })
const broken: BackendProvider = {
  ...works("broken"),
  unavailable: () => Promise.reject(new Error("no probe")),
}
const failing: BackendProvider = {
  ...works("failing"),
  open: () => Promise.reject(new Error("lost the adapter")),
}

describe("listDevices", () => {
  it("says of each device whether it can be had, and why not", async () => {
    expect(await listDevices([missing("cuda", "no NVIDIA driver"), works("cpu-js"), broken])).toEqual([
      { name: "cuda", available: false, reason: "no NVIDIA driver" },
      { name: "cpu-js", available: true, reason: "" },
      { name: "broken", available: false, reason: "its probe failed: Error: no probe" },
    ])
    expect(await listDevices([])).toEqual([])
  })
})

describe("openBackend", () => {
  const all = [missing("cuda", "no NVIDIA driver"), failing, works("wasm-simd"), works("cpu-js")]

  it("takes the first that opens and tells whom it passed over", async () => {
    const { backend, passedOver } = await openBackend("auto", all)
    expect(backend.name).toBe("wasm-simd")
    expect(passedOver).toEqual([
      { name: "cuda", available: false, reason: "no NVIDIA driver" },
      { name: "failing", available: false, reason: "lost the adapter" },
    ])
  })

  it("opens by name, asking nobody else", async () => {
    const { backend, passedOver } = await openBackend("cpu-js", all)
    expect([backend.name, passedOver]).toEqual(["cpu-js", []])
  })

  it("refuses unknown and unavailable devices with all reasons", async () => {
    await expect(openBackend("abacus", all)).rejects.toThrow(DeviceError)
    await expect(openBackend("abacus", all)).rejects.toThrow(
      'device: unknown device: got "abacus", expected "auto" or one of cuda, failing, wasm-simd, cpu-js',
    )
    await expect(openBackend("cuda", all)).rejects.toThrow('device: "cuda" cannot be had here: cuda: no NVIDIA driver')
    await expect(openBackend("auto", [all[0], failing])).rejects.toThrow(
      "device: no device can be had here: cuda: no NVIDIA driver; failing: lost the adapter",
    )
  })
})
