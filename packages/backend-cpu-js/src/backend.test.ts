// Tests of the device itself: memory, counters, limits, transfer, misuse.
import {
  contiguousStrides,
  type DType,
  DeviceError,
  DisposedError,
  e,
  openBackend,
  OutOfMemoryError,
  ValueError,
  type View,
} from "@rondo/backend"
import { describe, expect, it, vi } from "vitest"
import { CpuJs, cpuJs } from "./index.js"

const view = (storage: View["storage"], dtype: DType, shape: number[]): View => ({
  storage,
  dtype,
  shape,
  strides: contiguousStrides(shape),
  offset: 0,
})

describe("memory", () => {
  it("counts exactly what is allocated and freed", () => {
    const backend = new CpuJs()
    expect(backend.memory()).toEqual({ bytes: 0, buffers: 0, peakBytes: 0 })
    const a = backend.alloc(100)
    const b = backend.alloc(0)
    const c = backend.alloc(7)
    expect(backend.memory()).toEqual({ bytes: 107, buffers: 3, peakBytes: 107 })
    backend.free(a)
    backend.free(a)
    expect(backend.memory()).toEqual({ bytes: 7, buffers: 2, peakBytes: 107 })
    backend.alloc(50)
    backend.free(b)
    backend.free(c)
    expect(backend.memory()).toEqual({ bytes: 50, buffers: 1, peakBytes: 107 })
    expect([a.bytes, b.bytes, c.bytes]).toEqual([100, 0, 7])
  })

  it("gives freed memory to the next of the same size, never the same handle", () => {
    const backend = new CpuJs()
    const first = backend.alloc(16)
    backend.write(first, new Float32Array([1, 2, 3, 4]))
    backend.free(first)
    const second = backend.alloc(16)
    expect(second).not.toBe(first)
    expect(new Float32Array(backend.readSync(second, 0, 16))[3]).toBe(4)
    expect(() => backend.readSync(first, 0, 16)).toThrow(DisposedError)
  })

  it("does not hoard: idle memory is bounded", () => {
    const backend = new CpuJs()
    const size = 2 ** 20
    const storages = Array.from({ length: 100 }, () => backend.alloc(size))
    for (const storage of storages) backend.write(storage, new Uint8Array([1]))
    for (const storage of storages) backend.free(storage)
    const again = Array.from({ length: 100 }, () => backend.alloc(size))
    const reused = again.filter((storage) => new Uint8Array(backend.readSync(storage, 0, 1))[0] === 1)
    expect(reused.length).toBeGreaterThan(0)
    expect(reused.length * size).toBeLessThanOrEqual(64 * 2 ** 20)
  })

  it("refuses beyond its limit, says what was asked for and in use, and stays usable", () => {
    const backend = new CpuJs({ memoryLimit: 1000 })
    const a = backend.alloc(600)
    expect(() => backend.alloc(500)).toThrow(OutOfMemoryError)
    expect(() => backend.alloc(500)).toThrow(
      "request for 500 bytes with 600 in use in 1 buffers, but the limit is 1000",
    )
    expect(backend.memory().bytes).toBe(600)
    backend.free(a)
    expect(backend.alloc(1000).bytes).toBe(1000)
  })

  it("refuses buffers that no engine can hold, and sizes that are none", () => {
    const backend = new CpuJs()
    expect(() => backend.alloc(2 ** 40)).toThrow(OutOfMemoryError)
    for (const size of [-1, 1.5, NaN, Infinity]) expect(() => backend.alloc(size), String(size)).toThrow(ValueError)
    expect(backend.memory().buffers).toBe(0)
  })

  it("turns a failed allocation of the engine into a typed error", () => {
    const backend = new CpuJs()
    const refusing = class extends ArrayBuffer {
      constructor(bytes: number) {
        if (bytes === 12345) throw new RangeError("Array buffer allocation failed")
        super(bytes)
      }
    }
    vi.stubGlobal("ArrayBuffer", refusing)
    try {
      expect(() => backend.alloc(12345)).toThrow(OutOfMemoryError)
      expect(() => backend.alloc(12345)).toThrow("the JavaScript engine has no more")
    } finally {
      vi.unstubAllGlobals()
    }
    expect(backend.memory()).toEqual({ bytes: 0, buffers: 0, peakBytes: 0 })
  })
})

describe("transfer", () => {
  it("writes and reads bytes at offsets, copying both ways", async () => {
    const backend = new CpuJs()
    const storage = backend.alloc(16)
    backend.write(storage, new Int32Array([1, 2, 3, 4]))
    backend.write(storage, new Int32Array([0, 7, 8, 0]).subarray(1, 3), 4)
    const bytes = backend.readSync(storage, 0, 16)
    expect([...new Int32Array(bytes)]).toEqual([1, 7, 8, 4])
    new Int32Array(bytes)[0] = 99
    expect([...new Int32Array(await backend.read(storage, 0, 8))]).toEqual([1, 7])
    await backend.sync()
  })

  it("refuses bytes out of range", async () => {
    const backend = new CpuJs()
    const storage = backend.alloc(8)
    expect(() => backend.write(storage, new Float32Array(3))).toThrow(ValueError)
    expect(() => backend.write(storage, new Float32Array(2), 4)).toThrow("write: bytes out of range: got 4 to 12")
    expect(() => backend.readSync(storage, -1, 4)).toThrow(ValueError)
    await expect(backend.read(storage, 4, 8)).rejects.toThrow(
      "read: bytes out of range: got 4 to 12, expected within 0 to 8",
    )
  })
})

describe("misuse", () => {
  const x = e.input(0, "float32")

  it("refuses storage of others and freed storage", () => {
    const backend = new CpuJs()
    const foreign = { bytes: 8 }
    expect(() => backend.run({ kind: "map", exprs: [x] }, [view(foreign, "float32", [2])], [])).toThrow(DeviceError)
    expect(() => backend.free(foreign)).toThrow(DeviceError)
    const storage = backend.alloc(8)
    backend.free(storage)
    const out = view(backend.alloc(8), "float32", [2])
    expect(() => backend.run({ kind: "map", exprs: [e.neg(x)] }, [view(storage, "float32", [2])], [out])).toThrow(
      DisposedError,
    )
  })

  it("stays usable after an error", () => {
    const backend = new CpuJs()
    const out = view(backend.alloc(8), "float32", [2])
    const kernel = { kind: "map", exprs: [e.neg(x)] } as const
    backend.write(out.storage, new Float32Array([1, 2]))
    const foreign = view({ bytes: 8 }, "float32", [2])
    expect(() => backend.run(kernel, [foreign], [out])).toThrow(DeviceError)
    expect(() => backend.run(kernel, [out], [foreign])).toThrow(DeviceError)
    // The failed run has bound `out` as an input: this one must load a strided input into a register, not into `out`.
    const strided = { ...view(backend.alloc(12), "float32", [2]), strides: [2] }
    backend.write(strided.storage, new Float32Array([5, 6, 7]))
    const other = view(backend.alloc(8), "float32", [2])
    backend.run(kernel, [strided], [other])
    expect([...new Float32Array(backend.readSync(other.storage, 0, 8))]).toEqual([-5, -7])
    expect([...new Float32Array(backend.readSync(out.storage, 0, 8))]).toEqual([1, 2])
  })

  it("does not run once closed", async () => {
    const backend = new CpuJs()
    await backend.close()
    expect(() => backend.alloc(4)).toThrow("cpu-js: the device is closed")
    expect(() => backend.run({ kind: "map", exprs: [x] }, [], [])).toThrow(DeviceError)
  })
})

describe("provider", () => {
  it("is always available and passes its options on", async () => {
    const { backend, passedOver } = await openBackend("auto", [cpuJs({ memoryLimit: 10 })])
    expect([backend.name, passedOver]).toEqual(["cpu-js", []])
    expect(() => backend.alloc(11)).toThrow(OutOfMemoryError)
  })

  it("says what it can do", () => {
    const { capabilities } = new CpuJs()
    expect(capabilities.dtypes).toHaveLength(9)
    expect(capabilities).toMatchObject({ syncRead: true, hostMemory: true, threads: 1 })
    expect(JSON.parse(JSON.stringify(capabilities))).toEqual(capabilities)
  })
})
