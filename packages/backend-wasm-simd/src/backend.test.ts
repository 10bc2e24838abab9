// The device around its kernels: options, limits of memory, closing, and whether it can be had at all.
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import {
  type Backend,
  DeviceError,
  DisposedError,
  e,
  listDevices,
  type MapKernel,
  openBackend,
  OutOfMemoryError,
  ValueError,
  type View,
} from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterEach, describe, expect, it, vi } from "vitest"
import { HeapFull } from "./heap.js"
import { WasmSimd, wasmSimd } from "./backend.js"

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
})

const x = e.input(0, "float32")
const mib = 2 ** 20

function tensor(backend: Backend, values: readonly number[]): View {
  const storage = backend.alloc(4 * values.length)
  backend.write(storage, Float32Array.from(values))
  return { storage, dtype: "float32", shape: [values.length], strides: [1], offset: 0 }
}
const numbers = (backend: WasmSimd, { storage }: View): number[] =>
  Array.from(new Float32Array(backend.readSync(storage, 0, storage.bytes)))
const map = (expr: MapKernel["exprs"][number]): MapKernel => ({ kind: "map", exprs: [expr] })

describe("options", () => {
  it.each([0, -1, NaN])("refuse a memory limit of %s", (memoryLimit) => {
    expect(() => new WasmSimd({ memoryLimit })).toThrow(ValueError)
  })
  it.each([0, -1, 1.5, NaN])("refuse %s threads", (threads) => {
    expect(() => new WasmSimd({ threads })).toThrow(/threads: got .*, expected a whole number from 1, or false/)
  })
  it("say that more threads were asked for than a device has", () => {
    expect(new WasmSimd({ threads: 1000 }).threads).toEqual({
      working: 1,
      most: 64,
      reason: "one device has at most 64 threads",
    })
  })
  it("take false and 1 for the calling thread alone", () => {
    for (const threads of [false, 1] as const) {
      const backend = new WasmSimd({ threads })
      expect(backend.capabilities.threads).toBe(1)
      expect(backend.threads).toEqual({ working: 1, most: 1, reason: "one thread was asked for" })
      expect(backend.engine.memory.buffer).toBeInstanceOf(ArrayBuffer)
    }
  })
})

describe("memory", () => {
  it("counts what is in use, and its peak", () => {
    const backend = new WasmSimd()
    const a = backend.alloc(1000)
    const b = backend.alloc(24)
    backend.free(a)
    backend.free(a)
    expect(backend.memory()).toEqual({ bytes: 24, buffers: 1, peakBytes: 1024 })
    backend.free(b)
    expect(backend.memory()).toEqual({ bytes: 0, buffers: 0, peakBytes: 1024 })
    expect(() => backend.readSync(a, 0, 4)).toThrow(DisposedError)
  })

  it("over the limit is an OutOfMemoryError in the middle of a step; tensors stay intact and the next step works", () => {
    const backend = new WasmSimd({ memoryLimit: 4 * mib })
    const values = Array.from({ length: 65536 }, (_, i) => i)
    const weights = tensor(backend, values)
    const step = (): void => {
      const kept: View[] = []
      try {
        for (let i = 0; i < 40; i++) {
          const out = { ...weights, storage: backend.alloc(values.length * 4) }
          kept.push(out)
          backend.run(map(e.add(x, e.const(i, "float32"))), [weights], [out])
        }
      } finally {
        for (const { storage } of kept) backend.free(storage)
      }
    }
    expect(step).toThrow(OutOfMemoryError)
    expect(step).toThrow(
      "wasm-simd: out of memory: got a request for 262144 bytes with 4194304 in use in 16 buffers, " +
        "but the limit is 4194304 (memoryLimit); dispose tensors, use scope(), or take smaller batches",
    )
    expect(numbers(backend, weights)).toEqual(values)
    backend.run(map(e.mul(x, x)), [weights], [weights])
    expect(numbers(backend, weights)[300]).toBe(90000)
    expect(backend.memory()).toMatchObject({ bytes: 262144, buffers: 1 })
  })

  it("that is free, but in pieces, is said to be in pieces", () => {
    const backend = new WasmSimd({ memoryLimit: 4 * mib, threads: false })
    const pieces = Array.from({ length: 64 }, () => backend.alloc(mib / 16))
    for (let i = 0; i < pieces.length; i += 2) backend.free(pieces[i])
    expect(() => backend.alloc(2 * mib)).toThrow(OutOfMemoryError)
    expect(() => backend.alloc(2 * mib)).toThrow(
      /2097152 bytes for a buffer with 2097152 in use in 32 buffers, but the limit is 4194304 \(memoryLimit\), and what is free lies in pieces that are smaller;/,
    )
    expect(() => backend.alloc(4 * mib)).toThrow(/but the limit is 4194304 \(memoryLimit\); dispose/)
    for (let i = 1; i < pieces.length; i += 2) backend.free(pieces[i])
    expect(backend.alloc(4 * mib).bytes).toBe(4 * mib)
  })

  it("that only repeating a kernel needs is not missed: the kernel runs, and is not prepared", () => {
    const backend = new WasmSimd({ memoryLimit: mib, threads: false })
    const view = tensor(backend, [1, 2, 3])
    const kernel = map(e.add(x, x))
    backend.run(kernel, [view], [view])
    const { heap } = backend.engine
    const pieces: number[] = []
    const fill = (): void => {
      for (;;) pieces.push(heap.alloc(4096))
    }
    expect(fill).toThrow(HeapFull)
    expect(backend.prepare(kernel, [view], [view])).toBeNull()
    expect(numbers(backend, view)).toEqual([4, 8, 12])
    for (const address of pieces) heap.free(address)
    backend.prepare(kernel, [view], [view])?.()
    expect(numbers(backend, view)).toEqual([16, 32, 48])
  })

  it("that a kernel needs for itself and cannot have is an OutOfMemoryError too, and the kernel works later", () => {
    const backend = new WasmSimd({ memoryLimit: mib })
    const view = tensor(backend, [1, 2, 3])
    const { heap } = backend.engine
    const pieces: number[] = []
    for (const size of [65536, 4096, 1024]) {
      try {
        for (;;) pieces.push(heap.alloc(size))
      } catch {
        // Full at this size.
      }
    }
    const kernel = map(e.add(x, e.const(12345.5, "float32")))
    expect(() => backend.run(kernel, [view], [view])).toThrow(OutOfMemoryError)
    expect(() => backend.run(kernel, [view], [view])).toThrow(/4096 bytes for what map works with/)
    expect(numbers(backend, view)).toEqual([1, 2, 3])
    for (const address of pieces) heap.free(address)
    backend.run(kernel, [view], [view])
    expect(numbers(backend, view)).toEqual([12346.5, 12347.5, 12348.5])
  })

  it("that the engine refuses is said to be refused", () => {
    const backend = new WasmSimd({ threads: false })
    backend.engine.memory.grow = () => {
      throw new RangeError("no")
    }
    expect(() => backend.alloc(100 * mib)).toThrow(OutOfMemoryError)
    expect(() => backend.alloc(100 * mib)).toThrow(/the JavaScript engine refused to let the memory grow beyond 65536;/)
    expect(backend.memory()).toEqual({ bytes: 0, buffers: 0, peakBytes: 0 })
  })

  it("is as large as can be had where 4 GiB are not", () => {
    const real = WebAssembly.Memory
    class Small extends real {
      constructor(descriptor: WebAssembly.MemoryDescriptor) {
        if ((descriptor.maximum as number) > 10000) throw new RangeError("could not allocate memory")
        super(descriptor)
      }
    }
    vi.stubGlobal("WebAssembly", { ...namespace(), Memory: Small })
    const backend = new WasmSimd()
    expect(backend.capabilities.maxBufferBytes).toBe(8192 * 65536)
    const view = tensor(backend, [1, 2])
    backend.run(map(e.exp(x)), [view], [view])
    expect(numbers(backend, view)[0]).toBeCloseTo(Math.E, 6)
  })
})

/** WebAssembly's members, which are not enumerable. */
function namespace(): typeof WebAssembly {
  const members = Object.getOwnPropertyNames(WebAssembly).map((name) => [name, (WebAssembly as never)[name]])
  return Object.fromEntries(members) as typeof WebAssembly
}

describe("a closed device", () => {
  it("runs nothing any more, and takes frees of what is left", async () => {
    const backend = new WasmSimd()
    const view = tensor(backend, [1])
    await backend.close()
    await backend.close()
    expect(() => backend.alloc(4)).toThrow(DeviceError)
    expect(() => backend.run(map(x), [view], [view])).toThrow(/the device is closed/)
    await expect(backend.startThreads()).rejects.toThrow(DeviceError)
    expect(backend.threads.working).toBe(0)
    backend.free(view.storage)
    expect(backend.memory().buffers).toBe(0)
  })
  it("holds no memory, though a prepared kernel is held", async () => {
    const opened = async (): Promise<{ again: () => void; memory: WeakRef<WebAssembly.Memory> }> => {
      const backend = new WasmSimd({ threads: false })
      const view = tensor(backend, [1])
      const again = backend.prepare(map(e.add(x, x)), [view], [view]) as () => void
      const memory = new WeakRef(backend.engine.memory)
      await backend.close()
      return { again, memory }
    }
    setFlagsFromString("--expose-gc")
    const collect = runInNewContext("gc") as () => void
    const { again, memory } = await opened()
    for (let i = 0; i < 20 && memory.deref(); i++) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      collect()
    }
    expect(memory.deref()).toBeUndefined()
    expect(again).toThrow(/the device is closed/)
  })
})

describe("the provider", () => {
  const providers = [wasmSimd(), { name: "cpu-js", unavailable: async () => null, open: async () => new CpuJs() }]

  it("opens a device here", async () => {
    expect(await wasmSimd().unavailable()).toBeNull()
    expect((await openBackend("auto", providers)).backend.name).toBe("wasm-simd")
  })

  it("passes on to the next device without SIMD, and says why", async () => {
    vi.spyOn(WebAssembly, "validate").mockReturnValue(false)
    expect(await listDevices([wasmSimd()])).toEqual([
      {
        name: "wasm-simd",
        available: false,
        reason: "this JavaScript engine has WebAssembly, but without 128-bit SIMD",
      },
    ])
    const { backend, passedOver } = await openBackend("auto", providers)
    expect(backend.name).toBe("cpu-js")
    expect(passedOver.map(({ name }) => name)).toEqual(["wasm-simd"])
    expect(() => new WasmSimd()).toThrow(/^wasm-simd: cannot be opened: .* without 128-bit SIMD/)
  })

  it("says why without WebAssembly, under a strict policy, and without memory", async () => {
    const fail = (error: Error) => () => {
      throw error
    }
    class NoModule {
      constructor() {
        fail(new WebAssembly.CompileError("blocked by CSP"))()
      }
    }
    class NoMemory {
      constructor() {
        fail(new RangeError("could not allocate memory"))()
      }
    }
    const real = namespace()
    vi.stubGlobal("WebAssembly", undefined)
    expect(await wasmSimd().unavailable()).toBe("this JavaScript engine has no WebAssembly")
    vi.stubGlobal("WebAssembly", { ...real, Module: NoModule })
    expect(await wasmSimd().unavailable()).toMatch(/wasm-unsafe-eval.*blocked by CSP/)
    vi.stubGlobal("WebAssembly", { ...real, Memory: NoMemory })
    expect(await wasmSimd().unavailable()).toMatch(/no WebAssembly memory can be had/)
  })
})
