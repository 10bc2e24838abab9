// Tests of named operands and joined rows: the orders that the kernels' descriptions give, and every element in its place.
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ValueError } from "./errors.js"
import { checkByteRange, joinRows, recurrentBackwardOperands, recurrentOperands } from "./operands.js"
import { type RecurrentCell, recurrentCells } from "./recurrent.js"
import { contiguousStrides, type View } from "./view.js"

const storage = { bytes: 1 << 16 }
const view = (shape: readonly number[], strides = contiguousStrides(shape), offset = 0): View => {
  return { storage, dtype: "float32", shape, strides, offset }
}

describe("operands of recurrent kernels", () => {
  const named = (name: string): View => ({ ...view([1]), storage: { bytes: 4, name } as View["storage"] })
  const nameOf = (one: View | null): string | null => one && (one.storage as unknown as { name: string }).name
  const namesOf = (operands: object): object =>
    Object.fromEntries(Object.entries(operands).flatMap(([name, one]) => (one ? [[name, nameOf(one as View)]] : [])))
  const own = (names: string): object => Object.fromEntries(names.split(" ").map((name) => [name, name]))

  it.each([
    ["tanh", false, "projected weight h", "output"],
    ["relu", true, "projected weight bias h", "output"],
    ["gru", true, "projected weight bias h", "output saved"],
    ["lstm", false, "projected weight h c", "output cells saved"],
    ["lstm", true, "projected weight bias h c", "output cells saved"],
  ] as const)("of a layer of %s cells, bias %s", (cell, bias, inputs, outputs) => {
    const kernel = { kind: "recurrent", cell, bias, reverse: false, save: true } as const
    const got = recurrentOperands(kernel, inputs.split(" ").map(named), outputs.split(" ").map(named))
    expect(namesOf(got)).toEqual(own(`${inputs} ${outputs}`))
  })

  it("saves nothing where nothing is given", () => {
    const kernel = { kind: "recurrent", cell: "lstm", bias: false, reverse: false, save: false } as const
    const got = recurrentOperands(kernel, ["projected", "weight", "h", "c"].map(named), ["output", "cells"].map(named))
    expect(got.saved).toBeNull()
  })

  it.each([
    ["tanh", "gradOutput gradH weight output h", "projected dh"],
    ["relu", "gradOutput gradH weight output h", "projected dh"],
    ["gru", "gradOutput gradH weight output h saved", "projected hidden dh"],
    ["lstm", "gradOutput gradH gradC weight output h cells c saved", "projected dh dc"],
  ] as const)("of the gradients of %s cells", (cell, inputs, outputs) => {
    const kernel = { kind: "recurrentBackward", cell, reverse: true } as const
    const got = recurrentBackwardOperands(kernel, inputs.split(" ").map(named), outputs.split(" ").map(named))
    expect(namesOf(got)).toEqual(own(`${inputs} ${outputs}`))
  })

  it("knows every cell", () => {
    const cells: RecurrentCell[] = ["tanh", "relu", "lstm", "gru"]
    expect(Object.keys(recurrentCells).sort()).toEqual(cells.sort())
  })
})

describe("joinRows", () => {
  /** Offsets of a matrix or a batch of matrices, row by row. */
  const rowsOf = ({ shape, strides, offset }: View): number[][] => {
    let starts = [offset]
    for (let d = 0; d < shape.length - 1; d++) {
      starts = starts.flatMap((at) => Array.from({ length: shape[d] }, (_, i) => at + i * strides[d]))
    }
    const last = shape.length - 1
    return starts.map((at) => Array.from({ length: shape[last] }, (_, i) => at + i * strides[last]))
  }

  it("keeps every row where it was and leaves one b, or changes nothing", () => {
    const dim = fc.constantFrom(1, 2, 3)
    const cases = fc.record({
      batch: fc.array(dim, { minLength: 1, maxLength: 2 }),
      sizes: fc.tuple(dim, dim, dim),
      turned: fc.boolean(),
      shared: fc.boolean(),
      bias: fc.boolean(),
    })
    fc.assert(
      fc.property(cases, ({ batch, sizes: [m, k, n], turned, shared, bias }) => {
        const out = view([...batch, m, n], undefined, 5)
        const rows = view([...batch, m, k])
        // Rows that lie behind one another only within a batch.
        const a = turned ? { ...rows, strides: [...contiguousStrides(batch).map((s) => s * m * k), 1, m] } : rows
        const own = view([k, n], undefined, 7)
        const b = view([...batch, k, n], [...contiguousStrides(batch).map((s) => (shared ? 0 : s * k * n)), n, 1], 7)
        const plain = view([...batch, m, n], [...batch.map(() => 0), 0, 1])
        const views = bias ? [out, a, b, plain] : [out, a, b]
        const joined = joinRows(views)
        if (joined === views) return
        expect(joined.map(({ shape }) => shape.length)).toEqual(views.map(() => 2))
        views.forEach((one, v) => expect(rowsOf(joined[v])).toEqual(v === 2 ? rowsOf(own) : rowsOf(one)))
      }),
    )
  })

  it("joins rows that lie behind one another under one b", () => {
    const b = view([4, 2, 5], [0, 5, 1])
    expect(joinRows([view([4, 3, 5]), view([4, 3, 2]), b]).map(({ shape }) => shape)).toEqual([[12, 5], [12, 2], [2, 5]]) // prettier-ignore
  })

  it("does not lose a view that is both a and b", () => {
    const square = view([4, 1, 1], [0, 1, 1])
    const joined = joinRows([view([4, 1, 1]), square, square])
    expect(joined.map(({ shape }) => shape)).toEqual([[4, 1], [4, 1], [1, 1]]) // prettier-ignore
    expect(joined[1].strides[0]).toBe(0)
  })
})

describe("checkByteRange", () => {
  it("takes ranges within the storage and refuses others", () => {
    checkByteRange("read", 8, 0, 8)
    checkByteRange("read", 8, 8, 0)
    for (const [from, length] of [
      [-4, 4],
      [0, 12],
      [8, 4],
      [4, -4],
    ]) {
      expect(() => checkByteRange("read", 8, from, length)).toThrow(ValueError)
    }
  })
})
