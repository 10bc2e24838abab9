// Malformed files of every format that core reads: whatever bytes come, a typed error or a result, never anything else, in
// bounded memory. Files are random bytes, and good files with random damage.
import { readFileSync } from "node:fs"
import { RondoError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { loadCheckpoint, loadNpy, loadNpz, loadSafetensors, parseSafetensors, saveCheckpoint, saveSafetensors, tensor, use, zeros } from "./index.js" // prettier-ignore

const numpy = JSON.parse(readFileSync(new URL("./numpy/goldens/files.json", import.meta.url), "utf8")) as {
  name: string
  file: string
}[]
const npy = (name: string): Uint8Array =>
  new Uint8Array(Buffer.from(numpy.find((entry) => entry.name === name)?.file ?? "", "base64"))

const held = { stateDict: () => ({ w: tensor([1, 2]), best: Infinity }), loadStateDict: () => undefined }

beforeAll(() => {
  use(new CpuJs())
})

/** What may happen to a file: bytes replaced, cut out, doubled, the end cut off, numbers made large. */
type Damage = { kind: "set" | "cut" | "copy" | "end" | "large"; at: number; value: number }
const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom("set", "set", "cut", "copy", "end", "large"),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  value: fc.nat(255),
})

function damaged(bytes: Uint8Array, damages: readonly Damage[]): Uint8Array {
  let list = [...bytes]
  for (const { kind, at, value } of damages) {
    // Headers are where the decisions are: half of the damage is done to the first 200 bytes.
    const place = Math.floor(at * (value % 2 === 0 ? Math.min(list.length, 200) : list.length))
    if (kind === "set") list[place] = value
    else if (kind === "cut") list.splice(place, 1 + (value % 8))
    else if (kind === "copy") list.splice(place, 0, ...list.slice(place, place + 1 + (value % 8)))
    else if (kind === "end") list = list.slice(0, place)
    else list.splice(place, 4, 255, 255, 255, value)
  }
  return Uint8Array.from(list, (byte) => byte ?? 0)
}

async function survives(read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): Promise<void> {
  try {
    await read(bytes)
  } catch (error) {
    if (error instanceof RondoError) return
    throw error
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 13) yield bytes.slice(at, at + 13)
}

const limits = { numRuns: 400, interruptAfterTimeLimit: 6_000 }

describe("malformed files", () => {
  const readers: [string, () => Promise<Uint8Array> | Uint8Array, (bytes: Uint8Array) => unknown][] = [
    ["safetensors", () => saveSafetensors({ a: tensor([1, 2, 3]), "b.c": zeros(2, 2, { dtype: "int64" }) }, { x: "y" }), loadSafetensors],
    ["safetensors at once", () => saveSafetensors({ a: zeros(3), b: zeros(0) }), parseSafetensors],
    ["safetensors in a stream", () => saveSafetensors({ a: tensor([1, 2, 3]), b: zeros(5) }), (bytes) => loadSafetensors(pieces(bytes))],
    ["npy", () => npy("Fortran order"), loadNpy],
    ["npz, stored", () => npy("savez"), (bytes) => loadNpz(bytes, { maxBytes: 2 ** 22 })],
    ["npz, deflated", () => npy("savez_compressed"), (bytes) => loadNpz(bytes, { maxBytes: 2 ** 22 })],
    ["checkpoints", () => saveCheckpoint({ loader: held, extra: { deep: [1, { a: -0 }] }, generator: null }), (bytes) => loadCheckpoint(bytes, { loader: held, generator: null })],
  ] // prettier-ignore
  it.each(readers)("%s: a typed error or a result", async (_, make, read) => {
    const good = await make()
    await read(good)
    const before = process.memoryUsage().arrayBuffers
    const file = fc.oneof(
      { weight: 6, arbitrary: fc.array(damage, { minLength: 1, maxLength: 4 }).map((list) => damaged(good, list)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
    )
    await fc.assert(
      fc.asyncProperty(file, (bytes) => survives(read, bytes)),
      limits,
    )
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(256 * 2 ** 20)
  })
})
