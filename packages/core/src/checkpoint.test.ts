// Checkpoints: what goes in comes out, a file that does not fit changes nothing. Resuming a training run is tested in optim.
import { DisposedError, FormatError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import {
  currentDevice,
  Generator,
  loadCheckpoint,
  loadSafetensors,
  manualSeed,
  openSafetensors,
  rand,
  saveCheckpoint,
  saveSafetensors,
  serializeSafetensors,
  type Stateful,
  Tensor,
  tensor,
  use,
  zeros,
} from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

/** A part that holds any value. */
class Holder implements Stateful {
  value: unknown
  loads = 0
  constructor(value: unknown) {
    this.value = value
  }
  stateDict(): unknown {
    return this.value
  }
  loadStateDict(value: never): void {
    this.loads++
    this.value = value
  }
}

const plain = (value: unknown): unknown =>
  value instanceof Tensor ? { dtype: value.dtype, list: value.tolistSync() } : Array.isArray(value) ? value.map(plain) : value !== null && typeof value === "object" && !(value instanceof Uint8Array) ? Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)])) : value // prettier-ignore

describe("a checkpoint", () => {
  it("holds numbers of all kinds, tensors, bytes and odd names, bit by bit", async () => {
    const value = {
      numbers: [0, -0, 0.1, 1e308, Infinity, -Infinity, NaN, 2n ** 70n],
      nested: [{ a: [] }, {}, null, true, "x"],
      tensors: [tensor([1, 2]), tensor([true]), zeros(0, 2, { dtype: "int64" })],
      bytes: new Uint8Array([1, 2, 255]),
      $dollar: { $number: "NaN" },
      ["__proto__"]: 3,
      "a.b": tensor(1),
      a: { b: tensor(2) },
    }
    const holder = new Holder(value)
    const file = await saveCheckpoint({ loader: holder, extra: value })
    holder.value = null
    const { extra } = await loadCheckpoint(file, { loader: holder })
    expect(plain(holder.value)).toEqual(plain(value))
    expect(plain(extra)).toEqual(plain(value))
    expect(Object.is((extra as typeof value).numbers[1], -0)).toBe(true)
  })
  it("gives back any plain data", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), async (value) => {
        const { extra } = await loadCheckpoint(await saveCheckpoint({ extra: value }), {})
        expect(extra).toEqual(value)
      }),
      { numRuns: 100, interruptAfterTimeLimit: 5_000 },
    )
  })
  it("continues random streams: the process-wide one, one of yours, or none", async () => {
    manualSeed(5)
    rand(3)
    const file = await saveCheckpoint({})
    const wanted = rand(4).tolistSync()
    manualSeed(1)
    await loadCheckpoint(file, {})
    expect(rand(4).tolistSync()).toEqual(wanted)
    const own = new Generator(3)
    const other = await saveCheckpoint({ generator: own })
    const next = rand(4, { generator: own }).tolistSync()
    const fresh = new Generator(9)
    await loadCheckpoint(other, { generator: fresh })
    expect(rand(4, { generator: fresh }).tolistSync()).toEqual(next)
    const before = own.getState()
    await loadCheckpoint(await saveCheckpoint({ generator: null }), { generator: own })
    expect(own.getState()).toEqual(before)
  })
  it("is a safetensors file that names its tensors by part", async () => {
    const { entries } = await openSafetensors(await saveCheckpoint({ model: new Holder({ "rnn.weight": zeros(2) }) }))
    expect([...entries.keys()].sort()).toEqual(["model.rnn.weight", "random"])
  })
  it("holds the moment of the call, where a device can be read at once", async () => {
    const [w, bytes] = [tensor([1, 2]), new Uint8Array([1])]
    const saving = saveCheckpoint({ model: new Holder({ w }), extra: { bytes, list: [1] } })
    manualSeed(123)
    w.zero_()
    const model = new Holder({ w: zeros(2) })
    await loadCheckpoint(await saving, { model })
    expect(plain(model.value)).toEqual({ w: { dtype: "float32", list: [1, 2] } })
    const file = saveSafetensors({ w: w.add_(3) })
    w.zero_()
    expect((await loadSafetensors(await file)).w.tolistSync()).toEqual([3, 3])
  })
  it("refuses what it cannot save", async () => {
    for (const [extra, text] of [
      [() => 1, /extra cannot be saved: got function/],
      [{ m: new Map() }, /extra.m cannot be saved: got Map/],
      [Symbol("x"), /got symbol/],
      [{ n: 10n ** 100_000n }, /extra.n has more than 100000 digits/],
    ] as [unknown, RegExp][]) {
      await expect(saveCheckpoint({ extra })).rejects.toThrow(ValueError)
      await expect(saveCheckpoint({ extra })).rejects.toThrow(text)
    }
    const loop: unknown[] = []
    loop.push(loop)
    await expect(saveCheckpoint({ extra: loop })).rejects.toThrow(/nested too deeply, or contains itself/)
    await expect(saveCheckpoint({ model: {} as never })).rejects.toThrow(/model has no stateDict and loadStateDict/)
  })
})

describe("a checkpoint that does not fit", () => {
  const model = (size: number) => new Holder({ w: zeros(size), b: zeros(1) })
  const text = (value: unknown) => serializeSafetensors({}, { "rondo.checkpoint": typeof value === "string" ? value : JSON.stringify(value) }) // prettier-ignore
  /** A file that promises random state and holds these tensors of the model alone. */
  const lacking = (...tensors: [string, number][]): Uint8Array => {
    const entries = tensors.map(([name, size]) => [name, { dtype: "float32" as const, shape: [size], data: new Uint8Array(4 * size) }]) // prettier-ignore
    const model = Object.fromEntries(tensors.map(([name]) => [name.slice(6), { $tensor: name }]))
    const description = { version: 1, random: true, parts: { model, optimizer: 1 }, extra: null }
    return serializeSafetensors(Object.fromEntries(entries), { "rondo.checkpoint": JSON.stringify(description) })
  }
  it.each<[string, () => Promise<Uint8Array> | Uint8Array, RegExp]>([
    ["plain weights", () => saveSafetensors({ w: zeros(2), b: zeros(1) }), /no checkpoint: the file's metadata lacks rondo.checkpoint/],
    ["another version", () => text({ version: 2 }), /unknown version of checkpoints: got 2, expected 1/],
    ["broken JSON", () => text("{"), /metadata rondo.checkpoint is not valid JSON/],
    ["no parts", () => text({ version: 1, parts: [] }), /lists no parts/],
    ["a part too few", () => saveCheckpoint({ model: model(2) }), /the file has no optimizer; it has model/],
    ["a part too many", () => saveCheckpoint({ model: model(2), optimizer: new Holder(1), others: { ema: new Holder(1) } }), /the file has others.ema as well/],
    ["another shape", () => saveCheckpoint({ model: model(3), optimizer: new Holder(1) }), /model: w: got shape \[3\], expected \[2\]/],
    ["other names", () => saveCheckpoint({ model: new Holder({ w: zeros(2), c: zeros(1) }), optimizer: new Holder(1) }), /b is missing; c is unexpected/],
    ["a tensor that is not there", () => text({ version: 1, random: false, parts: { model: { w: { $tensor: "q" } }, optimizer: 1 } }), /model.w: the file has no tensor "q"/],
    ["a mark that nobody wrote", () => text({ version: 1, random: false, parts: { model: { $code: "1" }, optimizer: 1 } }), /model: cannot read/],
    ["a number of millions of digits", () => text({ version: 1, random: false, parts: { model: { $bigint: "9".repeat(3e6) }, optimizer: 1 } }), /model: cannot read/],
    ["no random state", () => lacking(["model.w", 2], ["model.b", 1]), /random state is missing/],
    ["half a file", async () => (await saveCheckpoint({ model: model(2), optimizer: new Holder(1) })).slice(0, 200), /truncated/],
  ])("%s: a FormatError, and nothing has changed", async (_, make, message) => {
    const parts = { model: model(2), optimizer: new Holder("mine") }
    const generator = new Generator(4)
    const before = generator.getState()
    const file = await make()
    await expect(loadCheckpoint(file, { ...parts, generator })).rejects.toThrow(FormatError)
    await expect(loadCheckpoint(file, { ...parts, generator })).rejects.toThrow(message)
    expect([parts.model.loads, parts.optimizer.loads, parts.optimizer.value]).toEqual([0, 0, "mine"])
    expect(generator.getState()).toEqual(before)
  }) // prettier-ignore
  it("is undone if a part refuses it at the last moment", async () => {
    const refuses = { stateDict: () => 1, loadStateDict: () => { throw new ValueError("loader: no") } } // prettier-ignore
    const file = await saveCheckpoint({ optimizer: new Holder("saved"), loader: refuses })
    const optimizer = new Holder("mine")
    const generator = new Generator(4)
    const before = generator.getState()
    await expect(loadCheckpoint(file, { optimizer, loader: refuses, generator })).rejects.toThrow(
      /loadCheckpoint: loader: loader: no/,
    )
    expect(optimizer.value).toBe("mine")
    expect(generator.getState()).toEqual(before)
  })
  it("is undone for parts that load into their own tensors, and for the one that refuses", async () => {
    /** As a module: its state shares memory with it, and is copied into. */
    class InPlace implements Stateful {
      readonly w: Tensor
      readonly limit: number
      constructor(values: number[], limit = Infinity) {
        this.w = tensor(values)
        this.limit = limit
      }
      stateDict() {
        return { w: this.w }
      }
      loadStateDict({ w }: { w: Tensor }): void {
        this.w.copy_(w)
        if (Number(w.select(0, 0).itemSync()) > this.limit) throw new ValueError("too much")
      }
    }
    const file = await saveCheckpoint({ others: { ema: new InPlace([7, 8]), next: new InPlace([9]) } })
    const parts = { ema: new InPlace([1, 2]), next: new InPlace([3], 5) }
    await expect(loadCheckpoint(file, { others: parts })).rejects.toThrow(/others.next: too much/)
    expect([parts.ema.w.tolistSync(), parts.next.w.tolistSync()]).toEqual([[1, 2], [3]])
  })
  it("frees what it had read", async () => {
    const device = currentDevice()
    const made: Tensor[] = []
    const refuses = { stateDict: () => ({ w: zeros(1000) }), loadStateDict: ({ w }: { w: Tensor }) => { made.push(w); throw new ValueError("no") } } // prettier-ignore
    const file = await saveCheckpoint({ loader: refuses, extra: [zeros(10)] })
    await expect(loadCheckpoint(file, { loader: refuses }, { device })).rejects.toThrow(FormatError)
    expect(() => made[0].sum()).toThrow(DisposedError)
  })
})

it("a tensor whose name ends as those of bytes do stays a tensor", async () => {
  const value = { "w#bytes": tensor([1]), w: new Uint8Array([2]), "w#bytes'": tensor([3]) }
  const { extra } = await loadCheckpoint(await saveCheckpoint({ extra: value }), {})
  expect(plain(extra)).toEqual(plain(value))
})
