// Threads: every call runs once, errors arrive, and results are the same as without.
import { e, type Expr, type MapKernel, type View } from "@rondo/backend"
import { afterEach, describe, expect, it } from "vitest"
import type { WasmSimd } from "../backend.js"
import type { Call } from "../engine.js"
import { call as states } from "./control.js"
import { beside, closeAll, counter, counters, open, poolOf, stateOf, until } from "../../test/threads.js"

afterEach(closeAll)

describe("a job", () => {
  it("runs every call once, in several threads, for jobs of many sizes", async () => {
    const backend = open()
    expect(await backend.startThreads()).toBe(4)
    const fn = counter(backend)
    const { at, read } = counters(backend, 700)
    const expected = new Array<number>(700).fill(0)
    for (let round = 0; round < 3000; round++) {
      const count = round % 100 === 0 ? 700 : 2 + (round % 7)
      const calls = Array.from({ length: count }, (_, i) => ({ fn, args: [at + 64 * i, round % 50] }))
      backend.engine.run(calls)
      for (let i = 0; i < count; i++) expected[i]++
    }
    expect(read()).toEqual(expected)
    until(() => (backend.engine.run([1, 2].map((i) => ({ fn, args: [at, i] }))), poolOf(backend).sharedCalls > 0))
  })

  it("does not wait for threads that are starting", () => {
    const backend = open()
    const start = performance.now()
    expect(backend.engine.pieces(1e9)).toBe(1)
    expect(backend.engine.threads).toBe(1)
    expect(performance.now() - start).toBeLessThan(1000)
    expect(backend.threads).toEqual({ working: 1, most: 4, reason: "" })
  })

  it("with an error tells the caller, whoever ran the call, and the next job works", async () => {
    const backend = open()
    await backend.startThreads()
    const { trap } = backend.engine.compile("test trap", (module) => {
      const f = module.define("trap", [])
      f.store("i32.store", f.i32(-16), f.i32(1))
      return { trap: f }
    })
    const pool = poolOf(backend)
    const inWorker = beside(trap, [], () => until(() => stateOf(pool, 1) >= states.failed))
    expect(() => backend.engine.run(inWorker)).toThrow(WebAssembly.RuntimeError)
    expect(() => backend.engine.run(inWorker)).toThrow(/out of bounds/)
    const here: Call[] = [
      { fn: trap, args: [] },
      { fn: counter(backend), args: [counters(backend, 1).at, 0] },
    ]
    expect(() => backend.engine.run(here)).toThrow(/out of bounds/)
    const { at, read } = counters(backend, 8)
    backend.engine.run(read().map((_, i) => ({ fn: counter(backend), args: [at + 64 * i, 9] })))
    expect(read()).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
    expect(backend.threads.working).toBe(4)
  })

  it("whose arguments do not fit the table runs all the same", async () => {
    const backend = open()
    await backend.startThreads()
    const fn = counter(backend)
    const { at, read } = counters(backend, 5)
    backend.engine.run(
      read().map((_, i) => ({ fn, args: [at + 64 * i, 0, ...new Array<number>(i === 2 ? 20000 : 9000).fill(0)] })),
    )
    expect(read()).toEqual([1, 1, 1, 1, 1])
  })
})

describe("maps on four threads equal those on one, bit for bit", () => {
  const [x, y] = [e.input(0, "float32"), e.input(1, "float32")]
  const d = e.input(0, "float64")
  const exprs: Record<string, Expr> = {
    sum: e.add(x, y),
    "chain of functions": e.tanh(e.add(e.mul(e.exp(x), y), e.sigmoid(y))),
    comparison: e.gt(x, y),
    "to bytes": e.cast(e.abs(x), "uint8"),
    "double, through JavaScript": e.tan(e.log1p(e.abs(d))),
    power: e.pow(e.abs(d), e.input(1, "float64")),
  }
  const layouts: Record<string, (n: number) => Pick<View, "shape" | "strides" | "offset">> = {
    flat: (n) => ({ shape: [n], strides: [1], offset: 0 }),
    reversed: (n) => ({ shape: [n], strides: [-1], offset: n - 1 }),
    transposed: (n) => ({ shape: [7, n], strides: [1, 7], offset: 0 }),
    "row for all": (n) => ({ shape: [9, n], strides: [0, 1], offset: 0 }),
  }
  function outcome(backend: WasmSimd, expr: Expr, n: number, layout: string): Uint8Array {
    const dtype = expr === exprs.power || expr === exprs["double, through JavaScript"] ? "float64" : "float32"
    const make = (seed: number, view: Pick<View, "shape" | "strides" | "offset">, of: View["dtype"]): View => {
      const values = Float64Array.from({ length: 9 * n }, (_, i) => Math.sin(i * seed) * 4)
      const data = of === "float32" ? Float32Array.from(values) : values
      const storage = backend.alloc(data.byteLength)
      backend.write(storage, data)
      return { storage, dtype: of, ...view }
    }
    const input = layouts[layout](n)
    const rows = input.shape.length === 1 ? 1 : input.shape[0]
    const flat = { shape: input.shape, strides: rows === 1 ? [1] : [n, 1], offset: 0 }
    const inputs = [make(1.1, input, dtype), make(0.7, flat, dtype)]
    const output = make(0.3, flat, expr.dtype)
    const kernel: MapKernel = { kind: "map", exprs: [expr] }
    backend.run(kernel, inputs, [output])
    const result = new Uint8Array(backend.readSync(output.storage, 0, output.storage.bytes))
    for (const { storage } of [...inputs, output]) backend.free(storage)
    return result
  }
  for (const [name, expr] of Object.entries(exprs)) {
    it(name, async () => {
      const many = open()
      const one = open({ threads: false })
      expect(one.capabilities.threads).toBe(1)
      await many.startThreads()
      for (const layout of Object.keys(layouts)) {
        for (const n of [1, 5, 64, 65, 200, 4099]) {
          const equal = Buffer.compare(outcome(many, expr, n, layout), outcome(one, expr, n, layout)) === 0
          expect(equal, `${layout}, ${n}`).toBe(true)
        }
      }
      // On a busy machine it may take a while until another thread gets a turn.
      until(() => (outcome(many, expr, 4099, "flat"), poolOf(many).sharedCalls > 0))
    })
  }
})
