// .npy and .npz: files that NumPy 1.24 wrote (conformance/goldens/numpy_files.py), and every way an archive can be wrong.
import { readFileSync } from "node:fs"
import { deflateRawSync } from "node:zlib"
import { DTypeError, FormatError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, describe, expect, it } from "vitest"
import { decode, loadNpy, loadNpz, type Tensor, use } from "../index.js"
import { crc32 } from "./zip.js"

interface Contents {
  dtype: string
  shape: number[]
  values: string[]
}
interface Entry extends Contents {
  name: string
  kind: "npy" | "npz" | "refused"
  file: string
  why: string
  arrays: Record<string, Contents>
}
const entries = JSON.parse(readFileSync(new URL("./goldens/files.json", import.meta.url), "utf8")) as Entry[]
const bytesOf = ({ file }: Entry): Uint8Array => new Uint8Array(Buffer.from(file, "base64"))
const of = (kind: Entry["kind"]): Entry[] => entries.filter((entry) => entry.kind === kind)
const named = (name: string): Uint8Array => bytesOf(entries.find((entry) => entry.name === name) as Entry)

beforeAll(() => {
  use(new CpuJs())
})

const wider: Record<string, string> = {
  int8: "int32",
  int16: "int32",
  uint16: "int32",
  uint64: "int64",
}

function expectContents(got: Tensor, { dtype, shape, values }: Contents): void {
  expect([got.dtype, got.shape]).toEqual([wider[dtype] ?? dtype, shape])
  expect(got.isContiguous()).toBe(true)
  const read = decode(got.dataSync(), got.dtype)
  const wanted = values.map((text) =>
    text === "True" ? 1 : text === "False" ? 0 : got.dtype === "int64" ? BigInt(text) : Number(text),
  )
  expect(Array.from(read as ArrayLike<number | bigint>)).toEqual(wanted)
}

describe(".npy", () => {
  it.each(of("npy"))("$name", async (entry) => {
    const bytes = bytesOf(entry)
    expectContents(await loadNpy(bytes), entry)
    // At an odd address, and from a Blob.
    const shifted = new Uint8Array(bytes.length + 1)
    shifted.set(bytes, 1)
    expectContents(await loadNpy(shifted.subarray(1)), entry)
    expectContents(await loadNpy(new Blob([bytes as Uint8Array<ArrayBuffer>])), entry)
  })
  it.each(of("refused"))("$name are refused", async (entry) => {
    await expect(loadNpy(bytesOf(entry))).rejects.toThrow(entry.why)
    await expect(loadNpy(bytesOf(entry))).rejects.toThrow(entry.why === "2^63" ? DTypeError : FormatError)
  })
  it("converts floats if asked to, and only floats", async () => {
    expect((await loadNpy(named("float32"), { dtype: "float64" })).dtype).toBe("float64")
    expect((await loadNpy(named("int32"), { dtype: "float64" })).dtype).toBe("int32")
  })
  it("says where a file is cut off, at every length", async () => {
    const bytes = named("float32")
    for (let length = 0; length < bytes.length; length++) {
      await expect(loadNpy(bytes.subarray(0, length))).rejects.toThrow(FormatError)
    }
    await expect(loadNpy(new Uint8Array([...bytes, 0]))).rejects.toThrow(
      /data do not fill \[2, 3\]: got 25 bytes, expected 24/,
    )
  })
  const header = (text: string, data = 0): Uint8Array => {
    const bytes = new Uint8Array(10 + text.length + data)
    bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, text.length & 255, text.length >> 8])
    bytes.set(new TextEncoder().encode(text), 10)
    return bytes
  }
  it.each<[string, string, RegExp]>([
    ["no dictionary", "(1, 2)", /header is no dictionary at byte 10/],
    ["a call", "{'descr': open('x'), }", /cannot be read from byte 11 on/],
    ["an entry twice", "{'descr': '<f4', 'descr': '<f4', }", /has descr twice/],
    ["an entry too few", "{'descr': '<f4', 'shape': (), }", /has descr, shape, expected descr, fortran_order, shape/],
    ["an entry too many", "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': (), }", /has descr, fortran_order, shape, x/],
    ["a size that is no number", "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2,), }", /shape: got \(1 2,\)/],
    ["a shape of petabytes", "{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740991, 9007199254740991), }", /more \(truncated\?\)/],
    ["a number for a shape", "{'descr': '<f4', 'fortran_order': False, 'shape': (4), }", /shape: got \(4\)/],
    ["a width that is none", "{'descr': '<f5', 'fortran_order': False, 'shape': (), }", /dtype '<f5' cannot be read/],
    ["text behind a dtype", "{'descr': '<f4,<f4', 'fortran_order': False, 'shape': (1,), }", /dtype '<f4,<f4' cannot be read/],
    ["a huge size beside an empty one", "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9007199254740991, 2), }", /sizes of \(0, 9007199254740991, 2\) overflow/],
    ["text behind the end", "{'descr': '<f4', 'fortran_order': False, 'shape': (), } x", /cannot be read from byte/],
  ])("%s in the header", async (_, text, message) => {
    await expect(loadNpy(header(text, 4))).rejects.toThrow(FormatError)
    await expect(loadNpy(header(text, 4))).rejects.toThrow(message)
  }) // prettier-ignore
  it("is not read beyond a header that lies", async () => {
    const bytes = header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }")
    const reads: [number, number][] = []
    const read = async (offset: number, length: number) => {
      reads.push([offset, length])
      return bytes.slice(offset, offset + length)
    }
    await expect(loadNpy({ size: 2 ** 50, read })).rejects.toThrow(/data do not fill \[2\]: got \d+ bytes, expected 8/)
    expect(reads).toEqual([[0, 12], [0, bytes.length]]) // prettier-ignore
    const long = new Uint8Array([0x93, ...new TextEncoder().encode("NUMPY"), 2, 0, 255, 255, 255, 127])
    await expect(loadNpy({ size: 2 ** 40, read: async (_, length) => long.slice(0, length) })).rejects.toThrow(
      /header too long: got 2147483647 bytes at byte 8/,
    )
  })
  it("of a version that nobody wrote is refused", async () => {
    const bytes = named("float32").slice()
    bytes[7] = 5
    await expect(loadNpy(bytes)).rejects.toThrow(/unknown version at byte 6: got 1.5, expected 1.0, 2.0 or 3.0/)
  })
})

interface Part {
  name: string
  data: Uint8Array
  deflate?: boolean
  /** Lies. */
  size?: number
  crc?: number
  packed?: Uint8Array
  offset?: number
  method?: number
  flags?: number
  /** What the local header says. */
  title?: string
  gap?: number
}

/** An archive; the directory says whatever the parts claim. */
function zip(parts: readonly Part[], count = parts.length): Uint8Array {
  const blocks: Uint8Array[] = []
  const central: Uint8Array[] = []
  let at = 0
  for (const { name, data, deflate, ...lies } of parts) {
    const title = new TextEncoder().encode(name)
    const packed = lies.packed ?? (deflate ? new Uint8Array(deflateRawSync(data)) : data)
    const fields = new DataView(new ArrayBuffer(46))
    fields.setUint32(0, 0x02014b50, true)
    fields.setUint16(8, lies.flags ?? 0, true)
    fields.setUint16(10, lies.method ?? (deflate ? 8 : 0), true)
    fields.setUint32(16, lies.crc ?? crc32(data), true)
    fields.setUint32(20, packed.length, true)
    fields.setUint32(24, lies.size ?? data.length, true)
    fields.setUint16(28, title.length, true)
    fields.setUint32(42, lies.offset ?? at, true)
    central.push(new Uint8Array(fields.buffer), title)
    const local = new Uint8Array(30)
    new DataView(local.buffer).setUint32(0, 0x04034b50, true)
    new DataView(local.buffer).setUint16(26, title.length, true)
    new DataView(local.buffer).setUint16(28, lies.gap ?? 0, true)
    blocks.push(local, new TextEncoder().encode(lies.title ?? name), packed)
    at += 30 + title.length + packed.length
  }
  const end = new DataView(new ArrayBuffer(22))
  end.setUint32(0, 0x06054b50, true)
  end.setUint16(10, count, true)
  end.setUint32(12, central.reduce((sum, { length }) => sum + length, 0), true)
  end.setUint32(16, at, true)
  return new Uint8Array(Buffer.concat([...blocks, ...central, new Uint8Array(end.buffer)]))
} // prettier-ignore

describe(".npz", () => {
  it.each(of("npz"))("of $name", async (entry) => {
    const all = await loadNpz(bytesOf(entry))
    expect(Object.keys(all)).toEqual(Object.keys(entry.arrays))
    for (const [name, contents] of Object.entries(entry.arrays)) expectContents(all[name], contents)
  })
  it("reads only what is wanted", async () => {
    const bytes = named("savez")
    const reads: number[] = []
    const read = async (offset: number, length: number) => {
      reads.push(length)
      return bytes.slice(offset, offset + length)
    }
    const found = await loadNpz({ size: bytes.length, read }, { names: ["labels"] })
    expect(Object.keys(found)).toEqual(["labels"])
    // The end, the directory, one local header, one array.
    expect(reads).toHaveLength(4)
    await expect(loadNpz(bytes, { names: ["nope"] })).rejects.toThrow(ValueError)
  })
  it("says where an archive is cut off, at every length", async () => {
    const bytes = named("savez_compressed")
    for (let length = 0; length < bytes.length; length += 7) {
      await expect(loadNpz(bytes.subarray(0, length))).rejects.toThrow(FormatError)
    }
  })
  const good = () => ({ name: "w.npy", data: named("float32") })
  it("of our own making is read, deflated or not", async () => {
    expect(Object.keys(await loadNpz(zip([good(), { ...good(), name: "v.npy", deflate: true }])))).toEqual(["w", "v"])
  })
  it("is told how much may be unpacked", async () => {
    await expect(loadNpz(zip([good()]), { maxBytes: NaN })).rejects.toThrow(/maxBytes must be at least 0: got NaN/)
    await expect(loadNpz(zip([good()]), { maxBytes: 151 })).rejects.toThrow(/arrays of 152 bytes .* at most 151/)
    expect(Object.keys(await loadNpz(zip([good()]), { maxBytes: 152 }))).toEqual(["w"])
  })
  it("a bomb is refused before it is unpacked", async () => {
    const zeros = new Uint8Array(100 * 2 ** 20)
    const packed = new Uint8Array(deflateRawSync(zeros))
    const before = process.memoryUsage().arrayBuffers
    const lie = { name: "w.npy", data: new Uint8Array(0), packed, method: 8 }
    // As much as it holds: over the limit. Less: stopped at the first byte too many. More than deflate can: impossible.
    await expect(loadNpz(zip([{ ...lie, size: zeros.length }]))).rejects.toThrow(
      /arrays of 104857600 bytes .* raise maxBytes/,
    )
    await expect(loadNpz(zip([{ ...lie, size: 1000 }]))).rejects.toThrow(
      /wrong size: got more than 1000 bytes, expected 1000/,
    )
    await expect(loadNpz(zip([{ ...lie, size: 2 ** 31 }]))).rejects.toThrow(
      /cannot hold 2147483648: deflate reaches at most 1032 to 1/,
    )
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 2 ** 20)
  })
  it.each<[string, () => Uint8Array, RegExp]>([
    [
      "a wrong checksum",
      () => zip([{ ...good(), crc: 1 }]),
      /"w.npy": wrong checksum: got 0x[0-9a-f]{8}, expected 0x00000001/,
    ],
    ["too few bytes", () => zip([{ ...good(), deflate: true, size: 200 }]), /wrong size: got 152 bytes, expected 200/],
    [
      "broken deflate data",
      () => zip([{ ...good(), method: 8, packed: new Uint8Array(152).fill(255) }]),
      /broken deflate data/,
    ],
    ["an unknown method", () => zip([{ ...good(), method: 12 }]), /unknown compression: got method 12/],
    ["a password", () => zip([{ ...good(), flags: 1 }]), /is encrypted/],
    [
      "overlapping entries",
      () => zip([good(), { ...good(), name: "v.npy", offset: 5 }]),
      /"v.npy" overlaps another at byte 5/,
    ],
    ["an entry behind the end", () => zip([{ ...good(), offset: 100 }]), /"w.npy" out of range/],
    ["a name twice", () => zip([good(), good()]), /"w.npy" appears twice/],
    [
      "a name with .npy and without",
      () => zip([good(), { ...good(), name: "w" }]),
      /two arrays "w" in the file: with .npy behind the name and without/,
    ],
    [
      "a count that leaves entries out",
      () => zip([good(), { ...good(), name: "v.npy" }], 1),
      /zip directory of 1 entries ends at byte \d+, expected \d+/,
    ],
    [
      "two names for one entry",
      () => zip([{ ...good(), title: "v.npy" }]),
      /"w.npy": has another name at byte 0 than in the directory/,
    ],
    [
      "data that reach into the next entry",
      () =>
        zip([
          { ...good(), gap: 40 },
          { ...good(), name: "v.npy" },
        ]),
      /"w.npy": out of range: its data end at byte 227, expected at most 187/,
    ],
    ["a stored entry of another size", () => zip([{ ...good(), size: 3 }]), /stored, but 152 bytes stand for 3/],
    ["an array that is none", () => zip([{ name: "w.npy", data: new Uint8Array(20) }]), /array "w": no .npy file/],
  ])("%s is a FormatError", async (_, make, text) => {
    await expect(loadNpz(make())).rejects.toThrow(FormatError)
    await expect(loadNpz(make())).rejects.toThrow(text)
  })
})
