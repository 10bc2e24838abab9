// Seeds, states and bad input of the generator; states are PyTorch's own bytes (goldens/states.json).
import { ValueError } from "@rondo/backend"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import states from "./goldens/states.json" with { type: "json" }
import { Generator, defaultGenerator, normal, rand } from "./index.js"

const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"))
const hex = (array: Float32Array | Uint8Array): string =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("hex")

describe("states are exchanged with PyTorch", () => {
  test.each(states)("$name", ({ seed, draws, state, randn }) => {
    const own = new Generator(BigInt(seed))
    for (const { op, n } of draws) void (op === "rand" ? rand(own, n) : normal(own, n))
    expect(hex(own.getState())).toBe(hex(bytes(state)))
    const loaded = new Generator().setState(bytes(state))
    expect(loaded.initialSeed()).toBe(BigInt.asUintN(64, BigInt(seed)))
    for (const g of [own, loaded, loaded.clone()]) {
      // The clone starts after the three draws of `loaded`, so it only gets the same state once more.
      g.setState(bytes(state))
      expect([2, 20, 3].map((n) => hex(normal(g, n)))).toEqual(randn.map((text) => hex(bytes(text))))
    }
  })

  test("from a view into a larger buffer", () => {
    const state = bytes(states[0].state)
    const padded = new Uint8Array(state.length + 3)
    padded.set(state, 3)
    expect(hex(new Generator().setState(padded.subarray(3)).getState())).toBe(hex(state))
  })
})

describe("seeds", () => {
  test("are kept as 64 unsigned bits", () => {
    expect(new Generator().initialSeed()).toBe(67280421310721n)
    expect(new Generator(-1).initialSeed()).toBe(2n ** 64n - 1n)
    expect(new Generator(2 ** 53).initialSeed()).toBe(2n ** 53n)
    expect(new Generator(-(2n ** 63n)).initialSeed()).toBe(2n ** 63n)
  })

  test.each([1.5, NaN, Infinity, "3", null, true, 2n ** 64n, -(2n ** 63n) - 1n, 2 ** 65])("refuses %s", (seed) => {
    const g = new Generator(4)
    const before = hex(g.getState())
    expect(() => g.manualSeed(seed as number)).toThrow(ValueError)
    expect(() => g.manualSeed(seed as number)).toThrow(/^manualSeed: seed is (no whole number|out of range): got /)
    expect(hex(g.getState())).toBe(before)
  })

  test("manualSeed drops the spare normal, other draws keep it", () => {
    const g = new Generator(9)
    const [, second] = normal(new Generator(9), 2)
    normal(g, 1)
    rand(g, 3)
    normal(g, 16)
    expect(normal(g, 1)[0]).toBe(second)
    normal(g, 1)
    expect(normal(g.manualSeed(9), 2)[1]).toBe(second)
  })

  test("seed() is unpredictable and reported", () => {
    const g = new Generator()
    const seeds = new Set(Array.from({ length: 20 }, () => g.seed()))
    expect(seeds.size).toBe(20)
    const last = g.seed()
    expect(g.initialSeed()).toBe(last)
    expect(rand(g, 4)).toEqual(rand(new Generator(last), 4))
  })

  test("the default generator is one, and not the fixed seed's", () => {
    expect(defaultGenerator()).toBe(defaultGenerator())
    expect(defaultGenerator().initialSeed()).not.toBe(67280421310721n)
  })
})

test("getState and setState continue any stream at any point", () => {
  const step = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 700 }))
  const run = (g: Generator, [plain, n]: [boolean, number]): string => hex(plain ? rand(g, n) : normal(g, n % 40))
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
      fc.array(step),
      fc.array(step),
      (seed, before, after) => {
        const g = new Generator(seed)
        for (const s of before) run(g, s)
        const copy = g.clone()
        const loaded = new Generator(1).setState(g.getState())
        const want = after.map((s) => run(g, s))
        expect(after.map((s) => run(copy, s))).toEqual(want)
        expect(after.map((s) => run(loaded, s))).toEqual(want)
        expect(hex(loaded.getState())).toBe(hex(g.getState()))
      },
    ),
    { numRuns: 60 },
  )
})

describe("setState refuses, unchanged", () => {
  const changed = (edit: (view: DataView) => void): Uint8Array => {
    const state = new Generator(3).getState()
    edit(new DataView(state.buffer))
    return state
  }
  test.each([
    ["another size", new Uint8Array(5048), /wrong size of state: got 5048 bytes, expected 5056/],
    ["zeros", new Uint8Array(5056), /invalid mt19937 state/],
    ["an array of numbers", [1, 2, 3], /no Uint8Array: got \[object Array\]/],
    ["left 0", changed((view) => view.setInt32(8, 0, true)), /left 0, next 0/],
    ["left 625", changed((view) => view.setInt32(8, 625, true)), /left 625/],
    ["not seeded", changed((view) => view.setInt32(12, 0, true)), /seeded 0/],
    ["next 625", changed((view) => view.setUint32(16, 625, true)), /next 625/],
    [
      "counters past the end",
      changed((view) => (view.setInt32(8, 400, true), view.setUint32(16, 400, true))),
      /left 400/,
    ],
  ])("%s", (_, state, message) => {
    const g = new Generator(8)
    normal(g, 1)
    const before = hex(g.getState())
    expect(() => g.setState(state as Uint8Array)).toThrow(ValueError)
    expect(() => g.setState(state as Uint8Array)).toThrow(message)
    expect(hex(g.getState())).toBe(before)
  })
})
