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
  it("lists all eight, narrowest first", () => {
    expect(dtypes).toEqual(["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
  })

  it("knows sizes and categories", () => {
    expect(dtypes.map(byteSize)).toEqual([1, 1, 4, 8, 2, 2, 4, 8])
    expect(dtypes.map(category)).toEqual(["bool", "int", "int", "int", "float", "float", "float", "float"])
    expect(dtypes.filter(isFloat)).toEqual(["float16", "bfloat16", "float32", "float64"])
  })

  it("computes with 16-bit floats in float32 and with the others as they are", () => {
    expect(dtypes.map(computeDType)).toEqual([
      "bool",
      "uint8",
      "int32",
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
  })
})

describe("promote", () => {
  // torch.promote_types of PyTorch 1.13.1, rows and columns in the order of `dtypes`.
  const letters: Record<string, DType> = {
    b: "bool", u: "uint8", i: "int32", l: "int64", h: "float16", B: "bfloat16", f: "float32", d: "float64",
  } // prettier-ignore
  const table = ["builhBfd", "uuilhBfd", "iiilhBfd", "llllhBfd", "hhhhhffd", "BBBBfBfd", "fffffffd", "dddddddd"]

  it("is PyTorch's table", () => {
    const got = dtypes.map((a) => dtypes.map((b) => promote(a, b)))
    expect(got).toEqual(table.map((row) => [...row].map((letter) => letters[letter])))
  })

  it("lets a scalar add its category only", () => {
    expect(promoteScalar("float16", 2.5)).toBe("float16")
    expect(promoteScalar("float32", 2)).toBe("float32")
    expect(promoteScalar("uint8", 300)).toBe("uint8")
    expect(promoteScalar("int64", true)).toBe("int64")
    expect(promoteScalar("int64", 0.5)).toBe("float32")
    expect(promoteScalar("bool", NaN)).toBe("float32")
    expect(promoteScalar("int32", Infinity)).toBe("float32")
    expect(promoteScalar("bool", false)).toBe("bool")
    expect(promoteScalar("bool", 2)).toBe("int32")
  })
})
