// The front door's choice of a device.
import { expect, test } from "vitest"
import { currentDevice, device, DeviceError, devices, tensor } from "./index.js"

test("no tensor without a device, and the error says what to call", () => {
  expect(() => tensor([1])).toThrow(DeviceError)
  expect(() => tensor([1])).toThrow(/await device\("auto"\)/)
})

test("an unknown device is an error that lists the known ones", async () => {
  await expect(device("abacus")).rejects.toThrow(/unknown device: got "abacus", expected "auto" or one of .*cpu-js/)
})

test("a device that is not there says why", async () => {
  await expect(device("cuda")).rejects.toThrow(/cuda-addon: .*does not contain it yet/)
})

test("the first device opened is the default, and opening it again gives the same one", async () => {
  const [auto, again, byName] = await Promise.all([device(), device("auto"), device("wasm-simd")])
  expect(auto).toBe(again)
  expect(byName).toBe(auto)
  expect(await device("wasm")).toBe(await device("auto"))
  expect(currentDevice().name).toBe("wasm-simd")
  expect((await device("cpu")).name).toBe("cpu-js")
  expect(await tensor([1, 2]).add(1).tolist()).toEqual([2, 3])
})

test("the list of devices has a reason for each one missing", async () => {
  for (const { available, reason } of await devices()) expect(available).toBe(reason === "")
})
