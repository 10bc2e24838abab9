// The front door's choice of a device.
import type { WebGpu } from "@rondo/backend-webgpu"
import { expect, test } from "vitest"
import { currentDevice, device, DeviceError, devices, tensor, use } from "./index.js"

test("no tensor without a device, and the error says what to call", () => {
  expect(() => tensor([1])).toThrow(DeviceError)
  expect(() => tensor([1])).toThrow(/await device\("auto"\)/)
})

test("an unknown device is an error that lists the known ones", async () => {
  await expect(device("abacus")).rejects.toThrow(/unknown device: got "abacus", expected "auto" or one of .*cpu-js/)
  await expect(device(Symbol("gpu") as never)).rejects.toThrow(/unknown device: got "Symbol\(gpu\)"/)
})

test("a device that is not there says why", async () => {
  await expect(device("cuda")).rejects.toThrow(/cuda-addon: .*does not contain it yet/)
})

test("the first device opened is the default, and opening it again gives the same one", async () => {
  const [auto, again] = await Promise.all([device(), device("auto")])
  expect(auto).toBe(again)
  expect(await device(auto.name)).toBe(auto)
  expect(await device("wasm")).toBe(await device("wasm-simd"))
  // On a machine with a GPU that is the fastest.
  expect(["webgpu", "wasm-simd"]).toContain(auto.name)
  expect(currentDevice()).toBe(auto)
  expect((await device("cpu")).name).toBe("cpu-js")
  expect(await tensor([1, 2]).add(1).tolist()).toEqual([2, 3])
})

test("a GPU that is played by the processor is taken by name only, and opened anew once it is lost", async () => {
  const { available } = (await devices()).find(({ name }) => name === "webgpu") ?? { available: false }
  if (!available) return void (await expect(device("webgpu")).rejects.toThrow(/"webgpu" cannot be had here: webgpu: ./))
  const first = await device("webgpu")
  expect(await device("webgpu")).toBe(first)
  const { gpu, lost } = first.backend as WebGpu
  const { isFallbackAdapter } = gpu.adapter.info
  if (isFallbackAdapter) expect((await device("auto")).name).not.toBe("webgpu")
  const x = tensor([1, 2], { device: first })
  gpu.device.destroy()
  await lost
  expect(() => x.add(1)).toThrow(DeviceError)
  const second = await device("webgpu")
  expect(second).not.toBe(first)
  expect(await tensor([1, 2], { device: second }).add(1).tolist()).toEqual([2, 3])
  await second.backend.close?.()
  const third = await device("webgpu")
  expect(third).not.toBe(second)
  await third.backend.close?.()
})

test("a device that was closed is opened anew, and takes the place of the default that it was", async () => {
  for (const name of ["cpu-js", "wasm-simd"]) {
    const first = use(await device(name))
    const x = tensor([1, 2])
    await first.backend.close?.()
    await first.backend.close?.()
    expect(() => x.add(1)).toThrow(/the device is closed; open it again/)
    const [second, again] = await Promise.all([device(name), device(name)])
    expect(second).not.toBe(first)
    expect(again).toBe(second)
    expect(currentDevice()).toBe(second)
    expect(await tensor([1, 2]).add(1).tolist()).toEqual([2, 3])
  }
})

test("the list of devices has a reason for each one missing", async () => {
  for (const { available, reason } of await devices()) expect(available).toBe(reason === "")
})
