// What goes wrong: kernels that the device refuses, memory that it does not have, its loss, and closing.
import { DeviceError, type DeviceLost, e, OutOfMemoryError, type View } from "@rondo/backend"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { WebGpu, webGpu } from "./backend.js"
import { findGpu, rendersOnCpu } from "./device.js"
import { openForTest, refuseOnce } from "../test/testing.js"

const first = await openForTest()

const vector = (storage: View["storage"], n: number): View => ({
  storage,
  dtype: "float32",
  shape: [n],
  strides: [1],
  offset: 0,
})
const twice = { kind: "map", exprs: [e.add(e.input(0, "float32"), e.input(0, "float32"))] } as const

if (first) {
  describe("a kernel that the device refuses", () => {
    it("is an error that names the operation, at the next read and at its next use", async () => {
      const device = await WebGpu.open()
      const { queue, flags } = device.gpu
      const x = device.alloc(4)
      const bad = () => queue.program("bad", () => ({ name: "broken", kinds: ["w"], code: "fn main() { return 1; }" }))
      queue.dispatch(bad(), [flags.block], [], [1, 1, 1])
      await expect(device.read(x, 0, 4)).rejects.toThrow(DeviceError)
      expect(() => queue.dispatch(bad(), [flags.block], [], [1, 1, 1])).toThrow(
        /^broken: the device refused the kernel: /,
      )
      // It came out once; what is sound still runs.
      device.write(x, new Float32Array([3]))
      device.run(twice, [vector(x, 1)], [vector(x, 1)])
      expect([...new Float32Array(await device.read(x, 0, 4))]).toEqual([6])
      await device.close()
    })
    it("names the operations of commands that are refused", async () => {
      const device = await WebGpu.open()
      const [x, y] = [device.alloc(400), device.alloc(400)]
      device.run(twice, [vector(x, 100)], [vector(y, 100)])
      device.gpu.device.pushErrorScope("validation")
      // A buffer that is destroyed while commands wait for it, behind the pool's back.
      ;(x as unknown as { block: { buffer: GPUBuffer } }).block.buffer.destroy()
      await expect(device.sync()).rejects.toThrow(/^map: the device refused the commands: /)
      await device.close()
    })
    it("outside any operation is told at the next read, not on the console", async () => {
      const device = await WebGpu.open()
      device.gpu.device.createBuffer({ size: 4, usage: 0xffff })
      await new Promise((resolve) => setTimeout(resolve, 50))
      await expect(device.sync()).rejects.toThrow(/^webgpu: the device reports an error: /)
      await device.sync()
      await device.close()
    })
  })

  describe("commands that are refused", () => {
    it("are told to all who read what came of them, and not to those who asked before", async () => {
      const device = await WebGpu.open()
      const n = 2 ** 18
      const [x, y, good] = [device.alloc(4 * n), device.alloc(4 * n), device.alloc(4 * n)]
      device.write(good, new Float32Array(n).fill(2))
      await device.sync()
      for (let i = 0; i < 20; i++) device.run(twice, [vector(good, n)], [vector(good, n)])
      const before = device.read(good, 0, 4)
      // Behind the pool's back.
      ;(x as unknown as { block: { buffer: GPUBuffer } }).block.buffer.destroy()
      device.run(twice, [vector(x, n)], [vector(y, n)])
      const after = Promise.allSettled([device.read(y, 0, 4), device.read(y, 4, 4), device.sync()])
      expect([...new Float32Array(await before)]).toEqual([2 ** 21])
      for (const one of await after)
        expect(String((one as PromiseRejectedResult).reason)).toMatch(/map: the device refused the commands: /)
      // Nobody waits now: the next one hears it, once.
      device.run(twice, [vector(x, n)], [vector(y, n)])
      await expect(device.sync()).rejects.toThrow(/^map: the device refused the commands: /)
      expect([...new Float32Array(await device.read(good, 0, 4))]).toEqual([2 ** 21])
      await device.close()
    })
  })

  describe("bad indices", () => {
    const setUp = async () => {
      const device = await WebGpu.open()
      const [x, index, y] = [device.alloc(8), device.alloc(4), device.alloc(4)]
      device.write(x, new Float32Array([3, 4]))
      const gather = (at: number, dim: number): void => {
        device.write(index, Int32Array.of(at))
        const shape = Array.from({ length: dim + 1 }, () => 1)
        const rows = { ...vector(x, 2), shape: [...shape.slice(1), 2], strides: shape, offset: 0 }
        const at0 = { ...vector(index, 1), shape, strides: shape, dtype: "int32" } as const
        device.run({ kind: "gather", dim }, [rows, at0], [{ ...vector(y, 1), shape, strides: shape }])
      }
      return { device, x, y, gather }
    }
    it("are told to all who read meanwhile, and not to those who asked before or after", async () => {
      const { device, x, y, gather } = await setUp()
      gather(1, 0)
      const before = device.read(y, 0, 4)
      gather(2, 0)
      const after = Promise.allSettled([
        device.read(y, 0, 4),
        device.read(x, 0, 4),
        device.sync(),
        device.read(y, 0, 4),
      ])
      gather(0, 1)
      const behind = Promise.allSettled([device.read(y, 0, 4)])
      expect([...new Float32Array(await before)]).toEqual([4])
      for (const one of [...(await after), ...(await behind)])
        expect(String((one as PromiseRejectedResult).reason)).toMatch(
          /gather: index out of range: got 2, expected 0 <= /,
        )
      // It was told: what is sound goes on.
      expect([...new Float32Array(await device.read(y, 0, 4))]).toEqual([3])
      await device.close()
    })
    it("are not what a sound kernel had that was queued after a read", async () => {
      const { device, x, y, gather } = await setUp()
      const before = device.read(x, 0, 8)
      gather(1, 0)
      expect([...new Float32Array(await before)]).toEqual([3, 4])
      expect([...new Float32Array(await device.read(y, 0, 4))]).toEqual([4])
      await device.close()
    })
    it("are told to the next who asks, if the flags were full and nobody waits", async () => {
      const { device, y, gather } = await setUp()
      gather(0, 0)
      const before = device.read(y, 0, 4)
      gather(5, 0)
      device.gpu.flags.onFull()
      expect([...new Float32Array(await before)]).toEqual([3])
      await new Promise((resolve) => setTimeout(resolve, 50))
      await expect(device.read(y, 0, 4)).rejects.toThrow(/^gather: index out of range: got 5/)
      expect([...new Float32Array(await device.read(y, 0, 4))]).toEqual([3])
      await device.close()
    })
  })

  describe("memory that the device does not have", () => {
    it("is an OutOfMemoryError at the next read, and idle buffers are given back", async () => {
      const device = await WebGpu.open()
      device.free(device.alloc(2 ** 20))
      const { reserved } = device.gpu.pool
      refuseOnce(device)
      const refused = device.alloc(2 ** 22)
      const failing = device.read(refused, 0, 4)
      await expect(failing).rejects.toThrow(OutOfMemoryError)
      await expect(failing).rejects.toThrow(/got a request for 4194304 bytes .*none left/)
      expect(device.gpu.pool.reserved).toBe(reserved + 2 ** 22 - 2 ** 20)
      device.free(refused)
      // From now on freed buffers make room before more is asked for.
      const other = device.alloc(2 ** 21)
      expect(device.gpu.pool.reserved).toBeLessThan(reserved + 2 ** 21)
      expect((await device.read(other, 0, 8)).byteLength).toBe(8)
      await device.close()
    })
    it("is what is told of all that follows, and nobody gets the buffer again", async () => {
      const device = await WebGpu.open()
      const raw = device.gpu.device
      const create = raw.createBuffer.bind(raw)
      // What devices do that have no more: a buffer that is none, of which the scope hears last.
      raw.createBuffer = (descriptor) => {
        raw.createBuffer = create
        return create({ ...descriptor, size: 2 ** 52 })
      }
      refuseOnce(device, 20)
      const refused = device.alloc(2 ** 20)
      const others = Array.from({ length: 20 }, () => device.alloc(400))
      for (const one of others) device.run(twice, [vector(refused, 100)], [vector(one, 100)])
      await expect(device.sync()).rejects.toThrow(OutOfMemoryError)
      device.free(refused)
      const next = device.alloc(2 ** 20)
      device.write(next, new Float32Array(2 ** 18).fill(3))
      device.run(twice, [vector(next, 100)], [vector(others[0], 100)])
      expect(new Float32Array(await device.read(others[0], 0, 400))[99]).toBe(6)
      await device.close()
    })
  })

  describe("a device that is lost", () => {
    it("rejects waiting reads, tells once, and refuses later calls", async () => {
      const told: DeviceLost[] = []
      const device = await WebGpu.open({ onLost: (lost) => told.push(lost) })
      const x = device.alloc(4)
      device.write(x, new Float32Array([1]))
      const waiting = [device.read(x, 0, 4), device.read(x, 0, 0), device.sync()].map((one) => expect(one).rejects)
      device.gpu.device.destroy()
      for (const one of waiting) await one.toThrow(DeviceError)
      const lost = await device.lost
      expect(lost.reason).toBe("destroyed")
      expect(told).toEqual([lost])
      const later: (() => unknown)[] = [
        () => device.alloc(4),
        () => device.write(x, new Float32Array([1])),
        () => device.run(twice, [vector(x, 1)], [vector(x, 1)]),
      ]
      for (const call of later) expect(call).toThrow(/^webgpu: the device was lost \(destroyed\): /)
      await expect(device.read(x, 0, 4)).rejects.toThrow(DeviceError)
      await expect(device.sync()).rejects.toThrow(/open it again/)
      device.free(x)
      expect(device.memory().bytes).toBe(0)
      await device.close()
    })
    it("is no matter to another device", async () => {
      const [lost, other] = await Promise.all([WebGpu.open(), WebGpu.open()])
      const x = other.alloc(4)
      other.write(x, new Float32Array([5]))
      lost.gpu.device.destroy()
      await lost.lost
      expect([...new Float32Array(await other.read(x, 0, 4))]).toEqual([5])
      await other.close()
    })
  })

  describe("closing", () => {
    it("works twice, rejects waiting reads, and is no loss", async () => {
      let lost = false
      const device = await WebGpu.open({ onLost: () => (lost = true) })
      const x = device.alloc(4)
      const waiting = expect(device.read(x, 0, 4)).rejects.toThrow(/the device is closed; open it again/)
      await Promise.all([device.close(), device.close()])
      await waiting
      await device.close()
      expect(() => device.alloc(4)).toThrow(DeviceError)
      await expect(device.read(x, 0, 4)).rejects.toThrow(DeviceError)
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(lost).toBe(false)
    })
    it("is not needed for a program to end", { timeout: 60_000 }, () => {
      const program = fileURLToPath(new URL("../test/ends.ts", import.meta.url))
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", program], {
        encoding: "utf8",
        timeout: 50_000,
      })
      expect({ status, signal, stdout, stderr }).toEqual({ status: 0, signal: null, stdout: "2\n", stderr: "" })
    })
  })

  describe("finding a GPU", () => {
    it("says why there is none", async () => {
      const none = { requestAdapter: async () => null } as unknown as GPU
      expect(await webGpu({ gpu: none }).unavailable()).toMatch(/found no adapter/)
      await expect(webGpu({ gpu: none }).open()).rejects.toThrow(/^webgpu: cannot be opened: .*found no adapter/)
      const failing = { requestAdapter: () => Promise.reject(new Error("no driver")) } as unknown as GPU
      expect(await webGpu({ gpu: failing }).unavailable()).toMatch(/failed: no driver$/)
      expect(await webGpu().unavailable()).toBeNull()
    })
    it("says that an adapter gives no device", async () => {
      const { adapter } = first.gpu
      const broken = {
        info: adapter.info,
        features: adapter.features,
        limits: adapter.limits,
        requestDevice: () => Promise.reject(new Error("worn out")),
      }
      const gpu = { requestAdapter: async () => broken } as unknown as GPU
      await expect(WebGpu.open({ gpu })).rejects.toThrow(/the adapter gives no device: worn out/)
    })
    it("says that the device is lost already", async () => {
      const adapter = await ((await findGpu()) as GPU).requestAdapter()
      const lost: DeviceLost[] = []
      const { info, features, limits } = adapter as GPUAdapter
      const requestDevice = async (descriptor?: GPUDeviceDescriptor) => {
        const device = await (adapter as GPUAdapter).requestDevice(descriptor)
        device.destroy()
        return device
      }
      const gpu = { requestAdapter: async () => ({ info, features, limits, requestDevice }) } as unknown as GPU
      const opening = WebGpu.open({ gpu, onLost: (one) => lost.push(one) })
      await expect(opening).rejects.toThrow(DeviceError)
      await expect(opening).rejects.toThrow(/^webgpu: the device was lost \(destroyed\): .*open it again/)
      expect(lost.length).toBe(1)
    })
    it("says that an adapter is too small", async () => {
      const needed = {
        maxComputeInvocationsPerWorkgroup: 256,
        maxComputeWorkgroupSizeX: 256,
        maxComputeWorkgroupStorageSize: 16384,
        maxStorageBuffersPerShaderStage: 8,
      }
      for (const [name, least] of Object.entries(needed)) {
        const adapter = { info: first.gpu.adapter.info, limits: { ...needed, [name]: least - 1 } }
        const small = webGpu({ gpu: { requestAdapter: async () => adapter } })
        expect(await small.unavailable()).toContain(`the adapter's ${name} is too small: got ${least - 1}`)
        await expect(small.open()).rejects.toThrow(DeviceError)
      }
      const adapter = { info: first.gpu.adapter.info, limits: needed }
      expect(await webGpu({ gpu: { requestAdapter: async () => adapter } }).unavailable()).toBeNull()
    })
    it("passes over adapters that are programs, if told so", async () => {
      const info = { vendor: "nvidia", architecture: "hopper", description: "NVIDIA H200", isFallbackAdapter: false }
      expect(rendersOnCpu(info as GPUAdapterInfo)).toBe(false)
      for (const other of [
        { isFallbackAdapter: true },
        { vendor: "google", architecture: "swiftshader" },
        { description: "llvmpipe (LLVM 15.0.6, 256 bits)" },
        { description: "Microsoft Basic Render Driver" },
      ])
        expect(rendersOnCpu({ ...info, ...other } as GPUAdapterInfo)).toBe(true)
      const { limits } = first.gpu.adapter
      const soft = {
        requestAdapter: async () => ({ limits, info: { ...info, isFallbackAdapter: true } }),
      } as unknown as GPU
      expect(await webGpu({ gpu: soft, hardwareOnly: true }).unavailable()).toMatch(/renders on the CPU/)
      expect(await webGpu({ gpu: soft }).unavailable()).toBeNull()
    })
  })
  it("closes", () => first.close())
}
