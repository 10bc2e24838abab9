// The safetensors format: bytes that the reference implementation's own tests hold, every way a file can be wrong, and
// properties over random files. Reference bytes: huggingface/safetensors, safetensors/src/tensor.rs (mod tests) and
// bindings/python/tests/test_simple.py.
import { DTypeError, FormatError, ShapeError, ValueError } from "@rondo/backend"
import fc from "fast-check"
import { describe, expect, test } from "vitest"

import {
  isForeignDType,
  openSafetensors,
  parseSafetensors,
  serializeSafetensors,
  type SafetensorsTensor,
  type StoredDType,
} from "./index.js"

/** One byte a character, as in a Python bytes literal. */
const latin = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))
const zeros = (count: number): string => "\0".repeat(count)

/** A file with this header text (UTF-8), its length in front, and `data` bytes of zeros behind. */
function file(header: string, data = 0): Uint8Array {
  const text = new TextEncoder().encode(header)
  const bytes = new Uint8Array(8 + text.length + data)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
  bytes.set(text, 8)
  return bytes
}

const entry = (shape: string, offsets: string, dtype = '"F32"'): string =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`

function source(bytes: Uint8Array) {
  const reads: [number, number][] = []
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    reads.push([offset, length])
    return bytes.slice(offset, offset + length)
  }
  return { size: bytes.length, read, reads }
}

describe("files of the reference implementation", () => {
  const six = new Uint8Array(new Float32Array([0, 1, 2, 3, 4, 5]).buffer)
  const sixText = "\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40"
  const metadata = { framework: "pt" }
  const i32 = { dtype: "int32" as const, shape: [2, 2], data: new Uint8Array(16) }
  const written: [string, Record<string, SafetensorsTensor>, Record<string, string> | undefined, string][] = [
    [
      "test_serialization",
      { "attn.0": { dtype: "float32", shape: [1, 2, 3], data: six } },
      undefined,
      `@${zeros(7)}{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}${sixText}`,
    ],
    [
      "test_serialization_forced_alignement",
      { attn0: { dtype: "float32", shape: [1, 1, 2, 3], data: six } },
      undefined,
      `H${zeros(7)}{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       ${sixText}`,
    ],
    [
      "test_serialization_fp4",
      { "attn.0": { dtype: "F4", shape: [1, 2], data: new Uint8Array(1) } },
      undefined,
      `@${zeros(7)}{"attn.0":{"dtype":"F4","shape":[1,2],"data_offsets":[0,1]}}    \0`,
    ],
    ["test_empty", {}, undefined, `\x08${zeros(7)}{}      `],
    ["test_empty, metadata", {}, metadata, `(${zeros(7)}{"__metadata__":{"framework":"pt"}}     `],
    [
      "test_serialization_forces_alignment",
      { test2: { dtype: "float16", shape: [2, 2], data: new Uint8Array(8) }, test1: i32 },
      undefined,
      `\x80${zeros(7)}{"test1":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]},` +
        `"test2":{"dtype":"F16","shape":[2,2],"data_offsets":[16,24]}}      ${zeros(24)}`,
    ],
    [
      "test_serialization_metadata",
      { test1: i32 },
      metadata,
      `\`${zeros(7)}{"__metadata__":{"framework":"pt"},` +
        `"test1":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}} ${zeros(16)}`,
    ],
  ]

  test.each(written)("%s is written and read alike", (_, tensors, data, text) => {
    expect(serializeSafetensors(tensors, data)).toEqual(latin(text))
    const parsed = parseSafetensors(latin(text))
    expect(Object.fromEntries(parsed.tensors)).toEqual(tensors)
    expect(parsed.metadata).toEqual(data ?? {})
  })

  test("test_empty_shapes_allowed, test_deserialization, test_deserialization_metadata are read", () => {
    const scalar = latin(`8${zeros(7)}{"test":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}${zeros(4)}`)
    expect(parseSafetensors(scalar).tensors.get("test")).toEqual({
      dtype: "int32",
      shape: [],
      data: new Uint8Array(4),
    })
    const odd = latin(`<${zeros(7)}{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}${zeros(16)}`)
    expect(parseSafetensors(odd).tensors.get("test")).toEqual(i32)
    const spaced = `{"__metadata__":{"framework":"pt"},"test1":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}`
    expect(parseSafetensors(latin(`f${zeros(7)}${spaced}       ${zeros(16)}`)).metadata).toEqual(metadata)
  })
})

describe("reading", () => {
  test("data are views of the file, in the order of their offsets", () => {
    const bytes = file(
      `{"b":${entry("[2]", "[4,12]")},"a":${entry("[1]", "[0,4]")},"e":${entry("[0,3]", "[4,4]")}}`,
      12,
    )
    const { tensors } = parseSafetensors(bytes)
    expect([...tensors.keys()]).toEqual(["a", "e", "b"])
    expect(tensors.get("b")?.data.buffer).toBe(bytes.buffer)
    bytes[bytes.length - 1] = 7
    expect(tensors.get("b")?.data[7]).toBe(7)
  })

  test("foreign dtypes keep their names and bytes", () => {
    const bytes = file(`{"x":${entry("[3]", "[0,3]", '"F8_E4M3"')},"y":${entry("[2]", "[3,7]", '"U16"')}}`, 7)
    const { tensors } = parseSafetensors(bytes)
    expect([...tensors.values()].map((t) => [t.dtype, t.data.length])).toEqual([
      ["F8_E4M3", 3],
      ["U16", 4],
    ])
    expect([...tensors.values()].every((t) => isForeignDType(t.dtype))).toBe(true)
    expect(isForeignDType("float32")).toBe(false)
  })

  test("names may be anything JSON can say, __proto__ too", () => {
    const bytes = file(
      `{"__metadata__":{"__proto__":"x"},"__proto__":${entry("[1]", "[0,4]")},` +
        `"\\u00e9\\n\\ud83d\\ude00":${entry("[0]", "[4,4]")},"":${entry("[0]", "[4,4]")}}`,
      4,
    )
    const { tensors, metadata } = parseSafetensors(bytes)
    expect([...tensors.keys()]).toEqual(["__proto__", "é\n😀", ""])
    expect(Object.entries(metadata)).toEqual([["__proto__", "x"]])
  })

  test("what the reference accepts beyond the letter: null metadata, unknown fields, white space", () => {
    const more = '"more":[{"k":[1.5e3,-2,true,false,null]}]'
    const text = `{ "__metadata__" : null ,\n"x":{"shape":[1],${more},"dtype":"U8","data_offsets":[0,1]} }\t `
    expect(parseSafetensors(file(text, 1)).tensors.get("x")?.shape).toEqual([1])
  })

  test("a huge dimension beside an empty one holds nothing", () => {
    const bytes = file(`{"x":${entry("[9007199254740991,0,1]", "[0,0]")}}`)
    expect(parseSafetensors(bytes).tensors.get("x")?.data.length).toBe(0)
  })
})

describe("files that are wrong say where", () => {
  const one = entry("[1]", "[0,4]")
  const badUtf8 = file(`{"aX":${one}}`, 4)
  badUtf8[8 + 3] = 0xff
  const cutUtf8 = file(`{"a`, 1)
  cutUtf8[0] = 4
  cutUtf8[11] = 0xe2
  const deep = "[".repeat(100_000)
  const ones = (count: number): string => Array(count).fill(1).join()
  const cases: [string, Uint8Array, RegExp][] = [
    ["no bytes", new Uint8Array(0), /truncated in the header's length: got 0 bytes, expected at least 8/],
    ["7 bytes", new Uint8Array(7), /got 7 bytes/],
    ["empty header", new Uint8Array(8), /does not start with "\{" at byte 8: got an empty header/],
    [
      "header past the end",
      latin(`<${zeros(7)}{}`),
      /truncated in the header: it is 60 bytes long from byte 8, .* 10 bytes/,
    ],
    ["header over 100 MB", latin(`\x01\xe1\xf5\x05${zeros(4)}{}`), /header too long: got 100000001 bytes at byte 0/],
    ["header over 2^32", latin(`<${zeros(4)}\xff\xff\xff{}`), /header too long: got 18446742974197923900 bytes/],
    ["leading space", file(" {}"), /does not start with "\{" at byte 8: got 0x20/],
    ["a list", file("[]"), /does not start with "\{" at byte 8: got 0x5b/],
    ["byte order mark", file("\ufeff{}"), /at byte 8: got 0xef/],
    ["not UTF-8", badUtf8, /not UTF-8 at byte 11: 0xff is out of place/],
    ["UTF-8 cut off", cutUtf8, /not UTF-8 at byte 12: ends inside a character/],
    ["not JSON", file(`{"a":}`), /not valid JSON at byte 13: got "}", expected a JSON value/],
    ["JSON cut off", file(`{"a":`), /not valid JSON at byte 13: got the end, expected a JSON value/],
    ["offset counts bytes, not characters", file(`{"é😀":}`), /not valid JSON at byte 18/],
    ["single quotes", file(`{'a':1}`), /at byte 9: got "'", expected a key in double quotes/],
    ["trailing comma", file(`{"a":${one},}`, 4), /expected a key in double quotes/],
    ["missing comma", file(`{"a":${one} "b":${one}}`, 4), /expected "," or "}"/],
    ["missing colon", file(`{"a" 1}`), /at byte 13: got "1", expected ":"/],
    ["text after the object", file(`{} x`), /at byte 11: got "x", expected the end of the header/],
    ["zeros after the object", file(`{}\0`), /expected the end of the header/],
    ["open string", file(`{"a`), /at byte 9: a string does not end/],
    ["control character", file(`{"a\n":1}`), /at byte 11: .* no control characters/],
    ["unknown escape", file(`{"a\\x41":1}`), /at byte 11: unknown escape/],
    ["lone surrogate", file(`{"\\ud800":1}`), /at byte 9: a string is not valid Unicode/],
    ["NaN", file(`{"a":NaN}`), /at byte 13: got "N", expected a JSON value/],
    ["leading zero", file(`{"a":${entry("[01]", "[0,4]")}}`), /expected "," or "\]"/],
    ["deep nesting", file(`{"a":${deep}`), /nested more than 64 deep/],
    ["duplicate tensor", file(`{"a":${one},"a":${one}}`, 4), /duplicate key "a"/],
    ["duplicate by escape", file(`{"a":${one},"\\u0061":${one}}`, 4), /duplicate key "a"/],
    ["duplicate field", file(`{"a":{"dtype":"U8","dtype":"U8"}}`), /duplicate key "dtype"/],
    ["duplicate metadata", file(`{"__metadata__":{"k":"1","k":"2"}}`), /duplicate key "k"/],
    ["metadata a list", file(`{"__metadata__":[]}`), /__metadata__ is not an object of strings: got a list/],
    ["metadata a number", file(`{"__metadata__":{"k":1}}`), /value of "k" is not a string: got a number/],
    ["metadata nested", file(`{"__metadata__":{"k":{}}}`), /value of "k" is not a string: got an object/],
    ["entry a list", file(`{"a":[]}`), /tensor "a" is not described by an object: got a list/],
    ["no dtype", file(`{"a":{"shape":[],"data_offsets":[0,4]}}`, 4), /tensor "a": unknown dtype: got nothing/],
    [
      "unknown dtype",
      file(`{"a":${entry("[1]", "[0,4]", '"F31"')}}`, 4),
      /unknown dtype: got "F31", expected one of BOOL/,
    ],
    ["our name for a dtype", file(`{"a":${entry("[1]", "[0,4]", '"float32"')}}`, 4), /unknown dtype: got "float32"/],
    ["an inherited name", file(`{"a":${entry("[1]", "[0,4]", '"toString"')}}`, 4), /unknown dtype: got "toString"/],
    ["no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), /tensor "a": shape is not a list: got nothing/],
    ["negative size", file(`{"a":${entry("[-1]", "[0,4]")}}`, 4), /shape holds -1, expected integers/],
    ["minus zero", file(`{"a":${entry("[-0]", "[0,0]")}}`), /shape holds -0, expected integers/],
    ["fraction", file(`{"a":${entry("[1.5]", "[0,4]")}}`, 4), /shape holds 1.5, expected integers/],
    ["whole fraction", file(`{"a":${entry("[1.0]", "[0,4]")}}`, 4), /shape holds 1\.0, expected integers/],
    ["exponent", file(`{"a":${entry("[1e0]", "[0,4]")}}`, 4), /tensor "a": shape holds 1e0,/],
    ["size over 2^53", file(`{"a":${entry("[9007199254740992]", "[0,4]")}}`, 4), /shape holds 9007199254740992/],
    [
      "size with a million digits",
      file(`{"a":${entry(`[${"9".repeat(1e6)}]`, "[0,4]")}}`, 4),
      /shape holds 9{100}\.\.\., expected/,
    ],
    ["size as text", file(`{"a":${entry('["1"]', "[0,4]")}}`, 4), /shape holds a string/],
    [
      "product overflows",
      file(`{"a":${entry("[4294967296,4294967296,4294967296]", "[0,4]")}}`, 4),
      /larger than the file's 4 bytes/,
    ],
    [
      "product beside an empty size overflows",
      file(`{"a":${entry("[9007199254740991,0,9007199254740991]", "[0,0]")}}`),
      /tensor "a": sizes of \[9007199254740991, 0, 9007199254740991\] overflow/,
    ],
    [
      "65 dims",
      file(`{"a":${entry(`[${ones(65)}]`, "[0,4]")}}`, 4),
      /tensor "a": shape has 65 dims, expected at most 64/,
    ],
    ["a list of thousands", file(`{"a":${entry(`[${ones(2000)}]`, "[0,4]")}}`, 4), /a list of more than 1024 items/],
    ["no offsets", file(`{"a":{"dtype":"F32","shape":[1]}}`, 4), /data_offsets is not a list: got nothing/],
    ["one offset", file(`{"a":${entry("[1]", "[0]")}}`, 4), /data_offsets: got 1 numbers, expected 2/],
    ["three offsets", file(`{"a":${entry("[1]", "[0,4,8]")}}`, 4), /data_offsets: got 3 numbers, expected 2/],
    ["negative offset", file(`{"a":${entry("[1]", "[-4,0]")}}`, 4), /data_offsets holds -4/],
    ["backwards", file(`{"a":${entry("[1]", "[4,0]")}}`, 4), /data_offsets run backwards: got \[4, 0\]/],
    [
      "truncated data",
      file(`{"a":${one}}`, 3),
      /tensor "a": data out of range: got data_offsets \[0, 4\], but the file holds 3/,
    ],
    [
      "too few bytes",
      file(`{"a":${entry("[2]", "[0,4]")}}`, 4),
      /tensor "a": data does not fit the shape: .* larger than/,
    ],
    ["too many bytes", file(`{"a":${entry("[1]", "[0,8]")}}`, 8), /got 8 bytes, expected 4 for F32 \[1\]/],
    [
      "half a byte",
      file(`{"a":${entry("[1,3]", "[0,2]", '"F4"')}}`, 2),
      /F4 \[1, 3\] does not fill whole bytes: got 12 bits/,
    ],
    ["overlap", file(`{"a":${one},"b":${one}}`, 4), /tensor "b" overlaps tensor "a": its data begins at 0, expected 4/],
    ["hole", file(`{"a":${one},"b":${entry("[1]", "[8,12]")}}`, 12), /tensor "b" leaves a hole after tensor "a"/],
    [
      "hole in front",
      file(`{"a":${entry("[1]", "[4,8]")}}`, 8),
      /tensor "a" leaves a hole after the start of the data/,
    ],
    ["bytes behind", file(`{"a":${one}}`, 5), /bytes after the last tensor: data ends at 4, but the file holds 5/],
    ["bytes but no tensors", file(`{}`, 1), /data ends at 0, but the file holds 1/],
  ]

  test.each(cases)("%s", async (_, bytes, message) => {
    expect(() => parseSafetensors(bytes)).toThrow(FormatError)
    expect(() => parseSafetensors(bytes)).toThrow(message)
    await expect(openSafetensors(source(bytes))).rejects.toThrow(message)
  })

  test("millions of empty entries cost no more than the first", () => {
    const parts: string[] = []
    for (let i = 0; i < 1_000_000; i++) parts.push(`"${i}":{}`)
    const bytes = file(`{${parts.join()}}`)
    const start = performance.now()
    expect(() => parseSafetensors(bytes)).toThrow(/tensor "0": unknown dtype: got nothing/)
    // Building them all takes seconds, and hundreds of megabytes.
    expect(performance.now() - start).toBeLessThan(500)
  })

  test("names in messages are cut", () => {
    const bytes = file(`{"${"n".repeat(10_000)}":[]}`)
    expect(() => parseSafetensors(bytes)).toThrow(/tensor "n{100}\.\.\."/)
  })
})

describe("reading on request", () => {
  const bytes = serializeSafetensors(
    {
      a: { dtype: "uint8", shape: [3], data: new Uint8Array([1, 2, 3]) },
      e: { dtype: "uint8", shape: [0], data: new Uint8Array(0) },
      b: { dtype: "int64", shape: [1], data: new Uint8Array(8).fill(9) },
    },
    { k: "v" },
  )

  test("only the header is read at first, then single tensors", async () => {
    const from = source(bytes)
    const reader = await openSafetensors(from)
    const start = bytes.length - 11
    expect(from.reads).toEqual([
      [0, 8],
      [8, start - 8],
    ])
    expect([...reader.entries.keys()]).toEqual(["b", "a", "e"])
    expect(reader.metadata).toEqual({ k: "v" })
    expect(await reader.read("a")).toEqual({ dtype: "uint8", shape: [3], data: new Uint8Array([1, 2, 3]) })
    expect(from.reads[2]).toEqual([start + 8, 3])
    expect((await reader.read("e")).data.length).toBe(0)
    expect(from.reads.length).toBe(3)
  })

  test("unknown names, short reads and odd sizes are errors", async () => {
    const reader = await openSafetensors(source(bytes))
    await expect(reader.read("c")).rejects.toThrow(ValueError)
    await expect(reader.read("c")).rejects.toThrow('no tensor "c" in the file; it holds "b", "a", "e"')
    const short = { ...source(bytes), read: async () => new Uint8Array(5) }
    await expect(openSafetensors(short)).rejects.toThrow("source gave 5 bytes at byte 0, expected 8")
    await expect(openSafetensors({ ...source(bytes), size: -1 })).rejects.toThrow(ValueError)
  })
})

describe("writing", () => {
  const u8 = (count: number): SafetensorsTensor => ({ dtype: "uint8", shape: [count], data: new Uint8Array(count) })
  const order = (tensors: Record<string, SafetensorsTensor>): string[] => [
    ...parseSafetensors(serializeSafetensors(tensors)).tensors.keys(),
  ]

  test("widest first, then by the names' UTF-8 bytes", () => {
    const tensors: Record<string, SafetensorsTensor> = {
      "😀": u8(1),
      "\uffee": u8(1),
      b: u8(1),
      B: u8(1),
      "10": u8(1),
      "9": u8(1),
    }
    expect(order(tensors)).toEqual(["10", "9", "B", "b", "\uffee", "😀"])
    const data = new Uint8Array(8)
    const all = ["BOOL", "U8", "I8", "F16", "BF16", "F32", "F64", "I64"]
    const ours: StoredDType[] = ["bool", "uint8", "I8", "float16", "bfloat16", "float32", "float64", "int64"]
    const sizes = [8, 8, 8, 4, 4, 2, 1, 1]
    const mixed = Object.fromEntries(ours.map((dtype, i) => [all[i], { dtype, shape: [sizes[i]], data }]))
    expect(order(mixed)).toEqual([...all].reverse())
  })

  test("a record and a Map give the same bytes, whatever their order", () => {
    const expected = serializeSafetensors({ a: u8(1), b: u8(2) }, { x: "1", y: "2" })
    const map = new Map([
      ["b", u8(2)],
      ["a", u8(1)],
    ])
    expect(serializeSafetensors(map, { y: "2", x: "1" })).toEqual(expected)
  })

  test.each<[string, Record<string, SafetensorsTensor>, Record<string, string>, new (m: string) => Error, string]>([
    [
      "unknown dtype",
      { a: { ...u8(1), dtype: "F32" as StoredDType } },
      {},
      DTypeError,
      'tensor "a": unknown dtype: got F32',
    ],
    ["fractional size", { a: { ...u8(1), shape: [0.5] } }, {}, ShapeError, "shape holds 0.5"],
    ["negative size", { a: { ...u8(1), shape: [-1] } }, {}, ShapeError, "shape holds -1"],
    ["short data", { a: { ...u8(1), shape: [2] } }, {}, ShapeError, "got 1 bytes, expected 2 for U8 [2]"],
    ["reserved name", { __metadata__: u8(1) }, {}, ValueError, "reserved"],
    ["name that is not Unicode", { "\ud800": u8(1) }, {}, ValueError, "not valid Unicode"],
    ["metadata that is not Unicode", {}, { a: "\udc00" }, ValueError, "not valid Unicode"],
    ["metadata that is no string", {}, { a: 1 as unknown as string }, ValueError, 'metadata "a" is not a string'],
  ])("%s is refused", (_, tensors, metadata, type, message) => {
    expect(() => serializeSafetensors(tensors, metadata)).toThrow(type)
    expect(() => serializeSafetensors(tensors, metadata)).toThrow(message)
  })
})

describe("properties", () => {
  const bytesOf: Partial<Record<StoredDType, number>> = {
    bool: 1,
    float16: 2,
    float32: 4,
    int64: 8,
    U16: 2,
    F8_E5M2: 1,
  }
  const tensor = fc
    .record({
      dtype: fc.constantFrom(...(Object.keys(bytesOf) as StoredDType[])),
      shape: fc.array(fc.nat(4), { maxLength: 4 }),
      seed: fc.nat(255),
    })
    .map(({ dtype, shape, seed }): SafetensorsTensor => {
      const count = shape.reduce((a, b) => a * b, bytesOf[dtype] ?? 0)
      return { dtype, shape, data: Uint8Array.from({ length: count }, (_, i) => (i * 31 + seed) & 255) }
    })
  const text = fc.string({ unit: "binary", maxLength: 8 })
  const name = text.filter((s) => s !== "__metadata__")
  const content = fc.record({
    tensors: fc.dictionary(name, tensor, { maxKeys: 5 }),
    metadata: fc.dictionary(text, text),
  })

  test("what is written is read", () => {
    fc.assert(
      fc.property(content, ({ tensors, metadata }) => {
        const bytes = serializeSafetensors(tensors, metadata)
        const parsed = parseSafetensors(bytes)
        expect(new Map(Object.entries(tensors))).toEqual(parsed.tensors)
        expect(Object.entries(parsed.metadata).sort()).toEqual(Object.entries(metadata).sort())
        expect(serializeSafetensors(parsed.tensors, parsed.metadata)).toEqual(bytes)
      }),
      { numRuns: 300 },
    )
  })

  const tries = (bytes: Uint8Array): void => {
    try {
      parseSafetensors(bytes)
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError)
    }
  }

  test("every truncation is a FormatError", () => {
    fc.assert(
      fc.property(content, fc.nat(), ({ tensors, metadata }, cut) => {
        const bytes = serializeSafetensors(tensors, metadata)
        expect(() => parseSafetensors(bytes.subarray(0, cut % bytes.length))).toThrow(FormatError)
      }),
      { numRuns: 500 },
    )
  })

  test("changed, removed and inserted bytes give a file or a FormatError", () => {
    const edit = fc.record({ at: fc.nat(), value: fc.nat(255), kind: fc.constantFrom("set", "cut", "add") })
    fc.assert(
      fc.property(content, fc.array(edit, { minLength: 1, maxLength: 4 }), ({ tensors, metadata }, edits) => {
        const bytes = [...serializeSafetensors(tensors, metadata)]
        for (const { at, value, kind } of edits) {
          const index = at % bytes.length
          if (kind === "set") bytes[index] = value
          else bytes.splice(index, kind === "cut" ? 1 : 0, ...(kind === "add" ? [value] : []))
        }
        tries(Uint8Array.from(bytes))
      }),
      { numRuns: 2000 },
    )
  })

  test("any text as a header gives a file or a FormatError", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      "\\",
      "0",
      "-",
      "1e9",
      '"dtype"',
      '"a"',
      "null",
      "é",
      " ",
    )
    const soup = fc.oneof(
      fc.array(pieces, { maxLength: 30 }).map((list) => `{${list.join("")}`),
      fc.json().map((j) => `{"a":${j}}`),
    )
    fc.assert(
      fc.property(soup, fc.nat(9), (header, data) => tries(file(header, data))),
      { numRuns: 2000 },
    )
  })
})
