// Tests of the dtype table: sizes, host arrays and PyTorch's promotion rules.
import { describe, expect, it } from "vitest"
import {
  byteSize,
  category,
  checkDType,
  computeDType,
  type DType,
  dtypes,
  hostArray,
  hostView,
  isDType,
  isFloat,
  promote,
  promoteScalar,
} from "./dtype.js"
import { DTypeError } from "./errors.js"

describe("dtypes", () => {
  it("lists all nine, narrowest first", () => {
    expect(dtypes).toEqual(["bool", "uint8", "int32", "uint32", "int64", "float16", "bfloat16", "float32", "float64"])
  })

  it("knows sizes and categories", () => {
    expect(dtypes.map(byteSize)).toEqual([1, 1, 4, 4, 8, 2, 2, 4, 8])
    expect(dtypes.map(category)).toEqual(["bool", "int", "int", "int", "int", "float", "float", "float", "float"])
    expect(dtypes.filter(isFloat)).toEqual(["float16", "bfloat16", "float32", "float64"])
  })

  it("computes with 16-bit floats in float32 and with the others as they are", () => {
    expect(dtypes.map(computeDType)).toEqual([
      "bool",
      "uint8",
      "int32",
      "uint32",
      "int64",
      "float32",
      "float32",
      "float32",
      "float64",
    ])
  })

  it("recognises names and nothing else", () => {
    expect(isDType("int64")).toBe(true)
    for (const other of ["int16", "toString", "", 3, null, undefined]) expect(isDType(other)).toBe(false)
    expect(checkDType("zeros", "bool")).toBe("bool")
    expect(() => checkDType("zeros", "int16")).toThrow(DTypeError)
    expect(() => checkDType("zeros", "int16")).toThrow("zeros: unknown dtype: got int16, expected one of bool, uint8")
  })

  it("makes zeroed host arrays and views of existing bytes", () => {
    for (const dtype of dtypes) {
      const array = hostArray(dtype, 3)
      expect([array.length, array.BYTES_PER_ELEMENT]).toEqual([3, byteSize(dtype)])
      expect(Array.from(array as Float32Array, Number)).toEqual([0, 0, 0])
    }
    const bytes = new Float32Array([1, 2, 3, 4]).buffer
    expect(Array.from(hostView("float32", bytes, 4, 2) as Float32Array)).toEqual([2, 3])
    expect(hostView("int64", bytes)).toBeInstanceOf(BigInt64Array)
    expect(hostView("uint32", bytes)).toEqual(new Uint32Array([0x3f800000, 0x40000000, 0x40400000, 0x40800000]))
  })
})

describe("promote", () => {
  // torch.promote_types of PyTorch 1.13.1, rows and columns in the order of `dtypes`.
  const letters: Record<string, DType> = {
    b: "bool", u: "uint8", i: "int32", l: "int64", h: "float16", B: "bfloat16", f: "float32", d: "float64",
  } // prettier-ignore
  const table = ["builhBfd", "uuilhBfd", "iiilhBfd", "llllhBfd", "hhhhhffd", "BBBBfBfd", "fffffffd", "dddddddd"]

  it("is PyTorch's table", () => {
    const old = dtypes.filter((dtype) => dtype !== "uint32")
    const got = old.map((a) => old.map((b) => promote(a, b)))
    expect(got).toEqual(table.map((row) => [...row].map((letter) => letters[letter])))
  })

  // promoteTypes of PyTorch 2.5 (c10/core/ScalarType.cpp) gives the float beside a float and throws for all others; bool is ours.
  it("gives uint32 beside floats and bool only", () => {
    const refuses = (a: DType, b: DType): void => {
      const text = `add: Promotion for uint32 is not supported beside other integers: got ${a} and ${b}; convert one with .to(dtype)`
      expect(() => promote(a, b, "add")).toThrow(new DTypeError(text))
    }
    for (const dtype of dtypes.filter(isFloat)) {
      expect(promote("uint32", dtype)).toBe(dtype)
      expect(promote(dtype, "uint32")).toBe(dtype)
    }
    for (const dtype of ["uint8", "int32", "int64"] as const) {
      refuses("uint32", dtype)
      refuses(dtype, "uint32")
    }
    expect([promote("uint32", "uint32"), promote("uint32", "bool"), promote("bool", "uint32")]).toEqual(Array(3).fill("uint32")) // prettier-ignore
  })

  it("lets a scalar add its category only", () => {
    expect(promoteScalar("float16", 2.5)).toBe("float16")
    expect(promoteScalar("float32", 2)).toBe("float32")
    expect(promoteScalar("uint8", 300)).toBe("uint8")
    expect(promoteScalar("uint32", -2)).toBe("uint32")
    expect(promoteScalar("uint32", true)).toBe("uint32")
    expect(promoteScalar("uint32", 0.5)).toBe("float32")
    expect(promoteScalar("int64", true)).toBe("int64")
    expect(promoteScalar("int64", 0.5)).toBe("float32")
    expect(promoteScalar("bool", NaN)).toBe("float32")
    expect(promoteScalar("int32", Infinity)).toBe("float32")
    expect(promoteScalar("bool", false)).toBe("bool")
    expect(promoteScalar("bool", 2)).toBe("int32")
  })
})
