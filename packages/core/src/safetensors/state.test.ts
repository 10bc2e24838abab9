// State dicts as safetensors files: every dtype and input, streams in pieces, single tensors, and what a broken stream leaves.
import { DTypeError, dtypes, FormatError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { currentDevice, loadSafetensors, openSafetensors, saveSafetensors, serializeSafetensors, streamSafetensors, tensor, type Tensor, use, zeros } from "../index.js" // prettier-ignore

beforeAll(() => {
  use(new CpuJs())
})

const everything = (): Record<string, Tensor> => ({
  ...Object.fromEntries(dtypes.map((dtype) => [dtype, tensor([[0, 1, 1], [1, 0, 1]], { dtype })])),
  scalar: tensor(2.5),
  empty: zeros(0, 3),
  turned: tensor([[1, 2, 3], [4, 5, 6]]).transpose(0, 1),
}) // prettier-ignore

function expectSame(got: Record<string, Tensor>, wanted: Record<string, Tensor>): void {
  expect(Object.keys(got).sort()).toEqual(Object.keys(wanted).sort())
  for (const [name, x] of Object.entries(wanted)) {
    expect([got[name].dtype, got[name].shape]).toEqual([x.dtype, x.shape])
    expect(got[name].dataSync()).toEqual(x.dataSync())
  }
}

/** The bytes in pieces of these sizes, over and over. */
async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]
    yield bytes.slice(at, at + size)
    at += size
  }
}

describe("a state dict", () => {
  it("comes back from every kind of input", async () => {
    const file = await saveSafetensors(everything(), { note: "é" })
    const part = file as Uint8Array<ArrayBuffer>
    const inputs = [file, part.buffer, new Blob([part]), new File([part], "w"), new Response(part), pieces(file, [3, 100]), streamSafetensors(everything()), await openSafetensors(file)] // prettier-ignore
    for (const input of inputs) expectSame(await loadSafetensors(input), everything())
    expect((await openSafetensors(new Blob([part]))).metadata).toEqual({ note: "é" })
  })
  it("is streamed one tensor at a time, and the stream can be given up", async () => {
    const chunks: number[] = []
    const reader = streamSafetensors({ a: zeros(10), b: zeros(20, { dtype: "uint8" }), none: zeros(0) }).getReader()
    for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value.length)
    expect(chunks.slice(1)).toEqual([40, 20])
    await expect(streamSafetensors({ a: zeros(3) }).cancel()).resolves.toBeUndefined()
  })
  it("is read in part: only those bytes are touched", async () => {
    const file = await saveSafetensors(everything())
    const reads: number[] = []
    const read = async (offset: number, length: number) => {
      reads.push(length)
      return file.slice(offset, offset + length)
    }
    const found = await loadSafetensors({ size: file.length, read }, { names: ["int64", "bool"] })
    expect(Object.keys(found).sort()).toEqual(["bool", "int64"])
    expect(reads.slice(2).sort((a, b) => a - b)).toEqual([6, 48])
    expectSame(await loadSafetensors(pieces(file, [7]), { names: ["turned"] }), { turned: everything().turned })
    await expect(loadSafetensors(file, { names: ["nope"] })).rejects.toThrow(ValueError)
  })
  it("is converted, and its integers are widened", async () => {
    const file = await saveSafetensors({
      w: tensor([0.1, -2], { dtype: "bfloat16" }),
      i: tensor([3], { dtype: "int32" }),
    })
    const { w, i } = await loadSafetensors(file, { dtype: "float64" })
    expect([w.dtype, i.dtype, w.tolistSync()]).toEqual(["float64", "int32", [0.10009765625, -2]])
    const wide = serializeSafetensors({
      a: { dtype: "I8", shape: [2], data: new Uint8Array([255, 1]) },
      b: { dtype: "U16", shape: [1], data: new Uint8Array([255, 255]) },
      c: { dtype: "U64", shape: [1], data: new Uint8Array([255, 255, 255, 255, 0, 0, 0, 0]) },
    })
    const { a, b, c } = await loadSafetensors(wide)
    expect([a.tolistSync(), b.tolistSync(), c.tolistSync()]).toEqual([[-1, 1], [65535], [4294967295n]])
    const foreign = serializeSafetensors({ f: { dtype: "F8_E4M3", shape: [1], data: new Uint8Array(1) } })
    await expect(loadSafetensors(foreign)).rejects.toThrow(DTypeError)
  })
  it("survives any names, shapes and chunks", async () => {
    const shape = fc.array(fc.nat(4), { maxLength: 3 })
    const dict = fc.dictionary(
      fc.string({ unit: "grapheme", maxLength: 6 }),
      fc.tuple(shape, fc.constantFrom(...dtypes)),
      { maxKeys: 6 },
    )
    await fc.assert(
      fc.asyncProperty(dict, fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), async (entries, sizes) => {
        const tensors = Object.fromEntries(Object.entries(entries).filter(([name]) => name !== "__metadata__").map(([name, [shape, dtype]]) => [name, zeros(shape, { dtype }).add(1).to(dtype)])) // prettier-ignore
        const file = await saveSafetensors(tensors)
        expectSame(await loadSafetensors(pieces(file, sizes)), tensors)
        expectSame(await loadSafetensors(file), tensors)
      }),
      { numRuns: 60, interruptAfterTimeLimit: 10_000 },
    )
  })
})

describe("a stream that is wrong", () => {
  it("is told from a whole one, wherever it is cut", async () => {
    const file = await saveSafetensors({ a: tensor([1, 2, 3]), b: tensor([4, 5], { dtype: "float64" }) })
    for (let length = 0; length < file.length; length++) {
      await expect(loadSafetensors(pieces(file.subarray(0, length), [5]))).rejects.toThrow(FormatError)
    }
    await expect(loadSafetensors(pieces(file.subarray(0, file.length - 1), [5]))).rejects.toThrow(/truncated in tensor "a": the stream ended at byte \d+, expected 1 more/)
    await expect(loadSafetensors(pieces(new Uint8Array([...file, 0]), [5]))).rejects.toThrow(/bytes after the last tensor/)
  }) // prettier-ignore
  it("costs no memory for what it only promises", async () => {
    const text = `{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}`
    const head = new Uint8Array(8 + text.length)
    new DataView(head.buffer).setBigUint64(0, BigInt(text.length), true)
    head.set(new TextEncoder().encode(text), 8)
    const before = process.memoryUsage().arrayBuffers
    await expect(loadSafetensors(pieces(head, [16]))).rejects.toThrow(/truncated in tensor "w"/)
    await expect(loadSafetensors(head)).rejects.toThrow(FormatError)
    // A header of 99 MB that is not there.
    const long = new Uint8Array(8)
    new DataView(long.buffer).setBigUint64(0, 99_000_000n, true)
    await expect(loadSafetensors(pieces(long, [8]))).rejects.toThrow(/truncated in the header/)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20)
  })
  it("leaves no tensor behind, and is closed", async () => {
    const file = await saveSafetensors({ a: zeros(100), b: zeros(100) })
    const { backend } = currentDevice()
    const before = backend.memory().bytes
    let closed = false
    async function* source() {
      try {
        yield* pieces(file.subarray(0, file.length - 4), [64])
      } finally {
        closed = true
      }
    }
    await expect(loadSafetensors(source())).rejects.toThrow(FormatError)
    expect([backend.memory().bytes, closed]).toEqual([before, true])
    await expect(loadSafetensors(7 as never)).rejects.toThrow(ValueError)
    await expect(loadSafetensors(new Response(null, { status: 404 }))).rejects.toThrow(/status 404/)
    await expect(saveSafetensors({ a: 1 as never })).rejects.toThrow(/"a" is no tensor/)
  })
})
