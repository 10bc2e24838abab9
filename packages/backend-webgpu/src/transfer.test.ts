// Writes and reads of any alignment, their order with kernels, and what the pool keeps.
import { DeviceError, DisposedError, e, kernels, OutOfMemoryError, ValueError, type View } from "@rondo/backend"
import { randomFrom } from "@rondo/kernel-tests"
import { afterAll, afterEach, describe, expect, it, vi } from "vitest"
import { WebGpu } from "./backend.js"
import { sizeClass } from "./memory.js"
import { limited, openForTest, refuseOnce } from "../test/testing.js"

const device = await openForTest()

if (device) {
  afterAll(() => device.close())
  const { queue, pool } = device.gpu
  const vector = (storage: View["storage"], n: number): View => ({
    storage,
    dtype: "float32",
    shape: [n],
    strides: [1],
    offset: 0,
  })
  const twice = { kind: "map", exprs: [e.add(e.input(0, "float32"), e.input(0, "float32"))] } as const

  describe("bytes", () => {
    it("of any start and length are written and read, and their neighbours stay", { timeout: 60_000 }, async () => {
      for (const size of [1, 2, 3, 5, 8, 13]) {
        const storage = device.alloc(size)
        const mirror = new Uint8Array(size).fill(0xaa)
        device.write(storage, mirror)
        let value = 1
        for (let from = 0; from < size; from++) {
          for (let to = from; to <= size; to++) {
            const bytes = Uint8Array.from({ length: to - from }, () => value++ & 255)
            mirror.set(bytes, from)
            device.write(storage, bytes, from)
            if (to === size) expect(new Uint8Array(await device.read(storage, 0, size))).toEqual(mirror)
          }
        }
        for (let from = 0; from <= size; from++) {
          const reads = Array.from({ length: size - from + 1 }, (_, n) => device.read(storage, from, n))
          for (const [n, bytes] of (await Promise.all(reads)).entries())
            expect(new Uint8Array(bytes)).toEqual(mirror.slice(from, from + n))
        }
        device.free(storage)
      }
    })
    it("come from the middle of other arrays", async () => {
      const storage = device.alloc(12)
      device.write(storage, new Uint8Array(12))
      device.write(storage, new Uint8Array([9, 1, 2, 3, 4, 5, 9]).subarray(1, 6), 3)
      expect([...new Uint8Array(await device.read(storage, 0, 12))]).toEqual([0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0])
      device.write(storage, new Float32Array([7, 8]).subarray(1), 4)
      expect([...new Float32Array(await device.read(storage, 4, 4))]).toEqual([8])
    })
    it("of an empty storage are none", async () => {
      const storage = device.alloc(0)
      device.write(storage, new Float32Array(0))
      expect((await device.read(storage, 0, 0)).byteLength).toBe(0)
      device.run(kernels.copy("float32", "float32"), [vector(storage, 0)], [vector(storage, 0)])
      await device.sync()
      device.free(storage)
      device.free(storage)
      expect(() => device.write(storage, new Float32Array(0))).toThrow(DisposedError)
    })
    it("outside the storage are refused", async () => {
      const storage = device.alloc(8)
      expect(() => device.write(storage, new Uint8Array(4), 5)).toThrow(ValueError)
      expect(() => device.write(storage, new Uint8Array(1), -1)).toThrow(ValueError)
      await expect(device.read(storage, 4, 5)).rejects.toThrow(ValueError)
    })
  })

  describe("order", () => {
    it("a write comes after the kernels before it and before those behind", async () => {
      const [x, a, b] = [device.alloc(8), device.alloc(8), device.alloc(8)]
      device.write(x, new Float32Array([1, 2]))
      device.run(twice, [vector(x, 2)], [vector(a, 2)])
      device.write(x, new Float32Array([10]), 4)
      device.run(twice, [vector(x, 2)], [vector(b, 2)])
      device.write(x, new Uint8Array([0, 0]), 2)
      const [first, second, last] = await Promise.all([a, b, x].map((one) => device.read(one, 0, 8)))
      expect([...new Float32Array(first)]).toEqual([2, 4])
      expect([...new Float32Array(second)]).toEqual([2, 20])
      expect([...new Float32Array(last)]).toEqual([0, 10])
    })
    it("a read shows what was there when it was asked for", async () => {
      const x = device.alloc(4)
      const reads: Promise<ArrayBuffer>[] = []
      for (let i = 0; i < 40; i++) {
        device.write(x, new Int32Array([i]))
        reads.push(device.read(x, 0, 4))
      }
      device.free(x)
      expect((await Promise.all(reads)).map((bytes) => new Int32Array(bytes)[0])).toEqual([...Array(40).keys()])
    })
    it("memory that is freed and taken again does not mix its owners up", async () => {
      const random = randomFrom(5)
      const expected: number[] = []
      const reads: Promise<ArrayBuffer>[] = []
      for (let i = 0; i < 300; i++) {
        const [x, y] = [device.alloc(4), device.alloc(4)]
        const value = Math.fround(random())
        device.write(x, new Float32Array([value]))
        device.run(twice, [vector(x, 1)], [vector(y, 1)])
        if (i % 50 === 0) {
          reads.push(device.read(y, 0, 4))
          expected.push(2 * value)
        }
        device.free(x)
        device.free(y)
      }
      expect((await Promise.all(reads)).map((bytes) => new Float32Array(bytes)[0])).toEqual(expected)
    })
    it("the number of unfinished submissions comes back to none", async () => {
      const x = device.alloc(4)
      device.write(x, new Float32Array([0]))
      await device.sync()
      for (let i = 0; i < 700; i++) device.run(twice, [vector(x, 1)], [vector(x, 1)])
      expect(queue.unfinished).toBeLessThanOrEqual(8)
      await device.sync()
      expect(queue.unfinished).toBe(0)
    })
  })

  describe("memory", () => {
    it("is counted, and flat in a loop", async () => {
      const before = device.memory()
      let reserved = 0
      for (let i = 0; i < 100; i++) {
        const list = [4000, 100, 65_536].map((bytes) => device.alloc(bytes))
        device.run(twice, [vector(list[0], 25)], [vector(list[1], 25)])
        if (i === 1) {
          expect(device.memory().bytes - before.bytes).toBe(69_636)
          expect(device.memory().buffers - before.buffers).toBe(3)
        }
        for (const one of list) device.free(one)
        if (i === 2) reserved = pool.reserved
        await device.sync()
      }
      expect(pool.reserved).toBe(reserved)
    })
    it("beyond a limit is an error, and freed memory is given back first", async () => {
      const small = await WebGpu.open({ memoryLimit: 100_000 })
      afterThis.push(() => small.close())
      const held = small.alloc(60_000)
      expect(() => small.alloc(50_000)).toThrow(OutOfMemoryError)
      expect(() => small.alloc(50_000)).toThrow(/got a request for 50000 bytes with 60000 in use in 1 buffers/)
      small.free(held)
      const other = small.alloc(90_000)
      expect(small.gpu.pool.reserved).toBeLessThan(100_000 + 16_384)
      small.free(other)
      expect(small.memory()).toMatchObject({ bytes: 0, buffers: 0, peakBytes: 90_000 })
    })
    it("of more than one binding holds is refused at once", () => {
      const most = device.capabilities.maxBufferBytes
      expect(() => device.alloc(most + 1)).toThrow(OutOfMemoryError)
      expect(() => device.alloc(most + 1)).toThrow(`one buffer holds at most ${most} on this adapter`)
      expect(() => device.alloc(1.5)).toThrow(ValueError)
      expect(() => device.alloc(-1)).toThrow(ValueError)
    })
    it("of more than one binding holds is refused to kernels too", () => {
      const most = device.capabilities.maxBufferBytes
      expect(() => pool.take(most + 1)).toThrow(OutOfMemoryError)
      expect(() => pool.take(most + 1)).toThrow(`one buffer holds at most ${most} on this adapter`)
    })
    it("as large as a buffer can be is read, also if there are indices to be checked", async () => {
      const own = await WebGpu.open()
      afterThis.push(() => own.close())
      const [x, index, y] = [own.alloc(4096), own.alloc(4), own.alloc(4)]
      own.write(
        x,
        Float32Array.from({ length: 1024 }, (_, i) => i),
      )
      const gather = (at: number): void => {
        own.write(index, Int32Array.of(at))
        own.run({ kind: "gather", dim: 0 }, [vector(x, 1024), { ...vector(index, 1), dtype: "int32" }], [vector(y, 1)])
      }
      await limited(own, { maxBufferSize: 4096 }, async () => {
        const made = vi.spyOn(own.gpu.device, "createBuffer")
        gather(7)
        const reading = own.read(x, 0, 4096)
        // It shows what was there when it was asked for.
        own.write(x, new Float32Array(1024))
        expect(new Float32Array(await reading)[1023]).toBe(1023)
        expect(Math.max(...made.mock.calls.map(([{ size }]) => size))).toBe(4096)
        gather(-1)
        await expect(own.read(x, 0, 4096)).rejects.toThrow(/^gather: index out of range: got -1/)
        expect(new Float32Array(await own.read(y, 0, 4))[0]).toBe(7)
      })
    })
    it("that is not there to read into is an OutOfMemoryError", async () => {
      const own = await WebGpu.open()
      afterThis.push(() => own.close())
      const x = own.alloc(2 ** 20)
      await own.sync()
      refuseOnce(own)
      const failing = own.read(x, 0, 2 ** 20)
      await expect(failing).rejects.toThrow(OutOfMemoryError)
      await expect(failing).rejects.toThrow(/got a request for 1048576 bytes to read into, .*none left/)
      expect((await own.read(x, 0, 2 ** 20)).byteLength).toBe(2 ** 20)
    })
    it("comes in sizes that are used again, never above the limit of one buffer", () => {
      for (let bytes = 0; bytes < 5000; bytes++) {
        const size = sizeClass(bytes, 4096)
        expect(size % 4).toBe(0)
        expect(size).toBeGreaterThanOrEqual(bytes)
        expect(size).toBeLessThanOrEqual(Math.max(16, bytes * 1.25 + 16))
        if (bytes <= 4096) expect(size).toBeLessThanOrEqual(4096)
      }
    })
    it("idle beyond what is kept goes, oldest sizes first, also while commands wait for it", async () => {
      const small = await WebGpu.open()
      afterThis.push(() => small.close())
      const [x, y] = [small.alloc(400), small.alloc(400)]
      small.run(twice, [vector(x, 100)], [vector(y, 100)])
      small.free(x)
      const reserved = small.gpu.pool.reserved
      small.gpu.pool.shrink(0)
      expect(small.gpu.pool.reserved).toBeLessThan(reserved)
      await small.read(y, 0, 400)
    })
    it("of another device is refused", async () => {
      const other = await WebGpu.open()
      afterThis.push(() => other.close())
      const storage = other.alloc(4)
      expect(() => device.write(storage, new Uint8Array(4))).toThrow(DeviceError)
      expect(() => device.free(storage)).toThrow(DeviceError)
    })
    const afterThis: (() => Promise<void>)[] = []
    afterEach(async () => {
      for (const close of afterThis.splice(0)) await close()
    })
  })
}
