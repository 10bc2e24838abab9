// What becomes of a device whose threads die, hang, or never start: fewer threads, right results, and a word about it.
import { DeviceError } from "@rondo/backend"
import { afterEach, describe, expect, it, vi } from "vitest"
import type { WasmSimd } from "../backend.js"
import { beside, claimed, closeAll, counter, counters, open, poolOf, stateOf, until } from "../../test/threads.js"

afterEach(async () => {
  vi.restoreAllMocks()
  await closeAll()
})

interface NodeWorker {
  terminate(): Promise<unknown>
}
type Threads = Record<string, unknown> & { Worker: new (code: string, options: object) => NodeWorker }

/** Lets `make` stand in for Node's Worker; returns the workers that were made. */
function watchWorkers(change: (code: string) => string = (code) => code): NodeWorker[] {
  const made: NodeWorker[] = []
  const find = process.getBuiltinModule.bind(process) as (name: string) => unknown
  const threads = find("node:worker_threads") as Threads
  class Watched extends threads.Worker {
    constructor(code: string, options: object) {
      super(change(code), options)
      made.push(this)
    }
  }
  const stand = (name: string): unknown =>
    name === "node:worker_threads" ? { ...threads, Worker: Watched } : find(name)
  vi.spyOn(process, "getBuiltinModule").mockImplementation(stand as typeof process.getBuiltinModule)
  return made
}

/** Eight calls on numbers of their own come out right. */
function expectRight(backend: WasmSimd): void {
  const fn = counter(backend)
  const { at, read } = counters(backend, 8)
  for (let round = 0; round < 50; round++) {
    backend.engine.run(read().map((_, i) => ({ fn, args: [at + 64 * i, 9] })))
  }
  expect(read()).toEqual(new Array(8).fill(50))
}

const soon = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; !condition(); i++) {
    if (i > 5000) throw new Error("it never happened")
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
const forever = 2 ** 31 - 1

describe("a thread that ends", () => {
  it("between jobs is no longer counted, and reported once", async () => {
    const workers = watchWorkers()
    const heard: string[] = []
    const backend = open({ onWarning: (text) => heard.push(text) })
    expect(backend.capabilities.threads).toBe(4)
    await backend.startThreads()
    await workers[1].terminate()
    await soon(() => backend.threads.most === 3)
    expect(backend.threads).toEqual({ working: 3, most: 3, reason: "it ended with code 1" })
    expect(backend.capabilities.threads).toBe(3)
    expectRight(backend)
    await Promise.all([workers[0].terminate(), workers[2].terminate()])
    await soon(() => backend.threads.most === 1)
    expect(backend.engine.pieces(1e9)).toBe(1)
    expect(backend.capabilities.threads).toBe(1)
    expectRight(backend)
    expect(heard).toEqual([
      "wasm-simd: a thread was lost: it ended with code 1; the device goes on with those that are left",
    ])
  })

  it("unnoticed, since the program gave the event loop no turn, holds nothing up", async () => {
    const workers = watchWorkers()
    const backend = open()
    await backend.startThreads()
    for (const worker of workers) void worker.terminate()
    const start = performance.now()
    while (performance.now() - start < 100) expectRight(backend)
  })

  it("in the middle of a call is a DeviceError, and the next job works", async () => {
    const workers = watchWorkers()
    const heard: string[] = []
    const backend = open({ threads: 2, onWarning: (text) => heard.push(text) })
    await backend.startThreads()
    const fn = counter(backend)
    const { at } = counters(backend, 1)
    const pool = poolOf(backend)
    const job = beside(fn, [at, forever], () => {
      until(() => claimed(stateOf(pool, 1)))
      void workers[0].terminate()
    })
    expect(() => backend.engine.run(job)).toThrow(DeviceError)
    expect(heard).toHaveLength(1)
    expect(heard[0]).toMatch(/in the middle of a kernel/)
    expect(backend.threads).toMatchObject({ working: 1, most: 1 })
    expectRight(backend)
  })

  it("in the middle of a call lets the other threads finish theirs first", async () => {
    const workers = watchWorkers()
    const backend = open({ threads: 3 })
    await backend.startThreads()
    const fn = counter(backend)
    const { at, read } = counters(backend, 3)
    const pool = poolOf(backend)
    const [mine, lost] = beside(fn, [at, forever], () => {
      until(() => claimed(stateOf(pool, 1)) && claimed(stateOf(pool, 2)))
      const id = stateOf(pool, 1) % 1024
      void workers[id - 1].terminate()
    })
    const long = { fn, args: [at + 64, 5e8] }
    expect(() => backend.engine.run([mine, lost, long])).toThrow(/thread \d ended in the middle/)
    expect(read()).toEqual([0, 1, 0])
    expect(backend.threads.working).toBe(2)
    expectRight(backend)
  })
})

it("a thread that hangs is given up", async () => {
  const workers = watchWorkers((code) => code.replace("run.apply(null, args)", "for (;;);"))
  const backend = open({ threads: 2, patience: 300 })
  await backend.startThreads()
  const pool = poolOf(backend)
  const job = beside(counter(backend), [], () => until(() => claimed(stateOf(pool, 1))))
  expect(() => backend.engine.run(job)).toThrow(/made no progress in the middle of a kernel/)
  expect(workers).toHaveLength(1)
  expectRight(backend)
  expect(backend.threads.reason).toMatch(/no progress/)
})

it("a thread that cannot make the code puts the call back", async () => {
  const heard: string[] = []
  watchWorkers((code) => code.replace("new WebAssembly.Module(", "new WebAssembly.Module(1 + "))
  const backend = open({ onWarning: (text) => heard.push(text) })
  await backend.startThreads()
  expectRight(backend)
  await soon(() => (expectRight(backend), backend.threads.working === 1))
  expect(heard).toHaveLength(1)
  expect(heard[0]).toMatch(/WebAssembly\.Module\(\)/)
})

describe("threads that cannot start", () => {
  it("because the host refuses them", async () => {
    const heard: string[] = []
    watchWorkers(() => {
      throw new Error("no workers here")
    })
    const backend = open({ onWarning: (text) => heard.push(text) })
    expect(await backend.startThreads()).toBe(1)
    expect(backend.threads).toEqual({ working: 1, most: 1, reason: "no workers here" })
    expect(heard).toHaveLength(1)
    expectRight(backend)
  })

  it("because their program fails", async () => {
    watchWorkers(() => 'throw new Error("broken at the start")')
    const backend = open()
    expect(await backend.startThreads()).toBe(1)
    expect(backend.threads.reason).toMatch(/broken at the start/)
    expectRight(backend)
  })

  it("because memory cannot be shared", () => {
    vi.stubGlobal("SharedArrayBuffer", undefined)
    try {
      const backend = open()
      expect(backend.threads).toMatchObject({ working: 1, most: 1 })
      expect(backend.threads.reason).toMatch(/cross-origin isolated/)
      expectRight(backend)
    } finally {
      vi.unstubAllGlobals()
    }
  })
})

it("without onWarning Node's warnings are told", async () => {
  const workers = watchWorkers()
  const emit = vi.spyOn(process, "emitWarning").mockImplementation(() => {})
  const backend = open({ onWarning: undefined })
  await backend.startThreads()
  await workers[0].terminate()
  await soon(() => emit.mock.calls.length > 0)
  expect(emit.mock.calls[0]).toEqual([expect.stringMatching(/^wasm-simd: a thread was lost/), "RondoWarning"])
})
