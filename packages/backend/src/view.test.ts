// Tests of strided views: broadcasting, reshaping and collapsing against brute force over every index.
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ShapeError } from "./errors.js"
import {
  broadcastShapes,
  broadcastStrides,
  collapse,
  contiguousStrides,
  isContiguous,
  reshapeStrides,
  sizeOf,
} from "./view.js"

/** Offsets of all elements in row-major order, by plain recursion. */
function offsets(shape: readonly number[], strides: readonly number[], at = 0): number[] {
  if (shape.length === 0) return [at]
  const out: number[] = []
  for (let i = 0; i < shape[0]; i++) out.push(...offsets(shape.slice(1), strides.slice(1), at + i * strides[0]))
  return out
}

const dim = fc.constantFrom(0, 1, 1, 2, 3, 4)
const shapes = fc.array(dim, { maxLength: 4 })

/** A shape with strides as views have them: permuted, stepped, flipped, expanded, or anything at all. */
const views = shapes.chain((shape) => {
  const rank = shape.length
  const permuted = fc.shuffledSubarray([...shape.keys()], { minLength: rank, maxLength: rank }).map((order) => {
    const packed = contiguousStrides(order.map((d) => shape[d]))
    return shape.map((_, d) => packed[order.indexOf(d)])
  })
  const factors = fc.array(fc.constantFrom(1, 1, 1, 2, -1, 0), { minLength: rank, maxLength: rank })
  return fc.tuple(fc.oneof(fc.constant(contiguousStrides(shape)), permuted), factors).map(([strides, by]) => ({
    shape,
    strides: strides.map((stride, d) => stride * by[d]),
  }))
})

/** Factors `n` into a random shape of that size. */
const shapeOf = (n: number) =>
  fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 4 }).map((wishes) => {
    const out: number[] = []
    let rest = n
    for (const wish of wishes) {
      if (rest % wish !== 0) continue
      out.push(wish)
      rest /= wish
    }
    if (rest !== 1) out.push(rest)
    return out
  })

describe("sizes and strides", () => {
  it("counts elements", () => {
    expect([sizeOf([]), sizeOf([3]), sizeOf([2, 0, 4]), sizeOf([2, 3, 4])]).toEqual([1, 3, 0, 24])
  })

  it("enumerates 0, 1, 2, … over contiguous strides", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const strides = contiguousStrides(shape)
        expect(offsets(shape, strides)).toEqual([...Array(sizeOf(shape)).keys()])
        expect(isContiguous(shape, strides)).toBe(true)
      }),
    )
  })

  it("calls a view contiguous exactly if it enumerates 0, 1, 2, …", () => {
    fc.assert(
      fc.property(views, ({ shape, strides }) => {
        const inOrder = offsets(shape, strides).every((at, i) => at === i)
        expect(isContiguous(shape, strides)).toBe(inOrder)
      }),
      { numRuns: 500 },
    )
  })
})

describe("broadcasting", () => {
  it("follows NumPy's rule", () => {
    expect(broadcastShapes("add")).toEqual([])
    expect(broadcastShapes("add", [], [2, 3])).toEqual([2, 3])
    expect(broadcastShapes("add", [3, 1], [4])).toEqual([3, 4])
    expect(broadcastShapes("add", [1], [0])).toEqual([0])
    expect(broadcastShapes("add", [0], [1])).toEqual([0])
    expect(broadcastShapes("where", [2, 1, 1], [3, 1], [4])).toEqual([2, 3, 4])
  })

  it("says which shapes do not fit, and where", () => {
    expect(() => broadcastShapes("add", [2, 3], [4])).toThrow(ShapeError)
    expect(() => broadcastShapes("add", [2, 3], [4])).toThrow("add: shapes do not broadcast: [2, 3] and [4] at dim -1")
    expect(() => broadcastShapes("add", [2, 0], [2, 2])).toThrow("at dim -1")
    expect(() => broadcastShapes("add", [3, 1], [2, 5])).toThrow("at dim -2")
  })

  it("stretches with stride 0", () => {
    expect(broadcastStrides([3, 1], [1, 1], [2, 3, 4])).toEqual([0, 1, 0])
    expect(broadcastStrides([], [], [2])).toEqual([0])
    expect(broadcastStrides([2], [-1], [2])).toEqual([-1])
    expect(broadcastStrides([1], [7], [1])).toEqual([7])
  })
})

describe("reshapeStrides", () => {
  it("shows the same elements in the same order, or says that it cannot", () => {
    const cases = views.chain((view) => fc.tuple(fc.constant(view), shapeOf(sizeOf(view.shape) || 1)))
    fc.assert(
      fc.property(cases, ([{ shape, strides }, target]) => {
        if (sizeOf(shape) === 0) return
        const result = reshapeStrides(shape, strides, target)
        if (result !== null) expect(offsets(target, result)).toEqual(offsets(shape, strides))
        else expect(expressible(offsets(shape, strides), target)).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })

  it("handles the empty, the scalar and the single", () => {
    expect(reshapeStrides([0, 3], [3, 1], [3, 0])).toEqual(contiguousStrides([3, 0]))
    expect(reshapeStrides([], [], [])).toEqual([])
    expect(offsets([1, 1], reshapeStrides([], [], [1, 1])!)).toEqual([0])
    expect(reshapeStrides([1, 1], [5, 9], [])).toEqual([])
    expect(reshapeStrides([2, 3], [1, 2], [6])).toBe(null)
    expect(reshapeStrides([4], [2], [2, 2])).toEqual([4, 2])
    expect(reshapeStrides([3, 2], [0, 0], [6])).toEqual([0])
  })
})

/** Brute force: do any strides over `shape` give these offsets? They are read off the neighbours of element 0. */
function expressible(list: readonly number[], shape: readonly number[]): boolean {
  const packed = contiguousStrides(shape)
  const strides = shape.map((size, d) => (size > 1 ? list[packed[d]] - list[0] : 0))
  const got = offsets(shape, strides, list[0])
  return got.every((at, i) => at === list[i])
}

describe("collapse", () => {
  it("keeps the enumeration of every view", () => {
    const pairs = views.chain((first) => {
      const rank = first.shape.length
      const other = fc.array(fc.constantFrom(0, 1, 2, 4, 12, -3), { minLength: rank, maxLength: rank })
      return fc.tuple(fc.constant(first), other)
    })
    fc.assert(
      fc.property(pairs, ([{ shape, strides }, other]) => {
        const nest = collapse(shape, [strides, other])
        expect(nest.shape.length).toBeLessThanOrEqual(shape.length)
        expect(nest.shape).not.toContain(1)
        expect(offsets(nest.shape, nest.strides[0])).toEqual(offsets(shape, strides))
        expect(offsets(nest.shape, nest.strides[1])).toEqual(offsets(shape, other))
      }),
      { numRuns: 1000 },
    )
  })

  it("makes one loop of what chains", () => {
    expect(collapse([2, 3, 4], [[12, 4, 1]])).toEqual({ shape: [24], strides: [[1]] })
    expect(collapse([2, 3, 4], [[12, 4, 1], [0, 0, 0]])).toEqual({ shape: [24], strides: [[1], [0]] }) // prettier-ignore
    expect(collapse([2, 3, 4], [[12, 4, 1], [4, 0, 1]]).shape).toEqual([2, 3, 4]) // prettier-ignore
    expect(collapse([1, 1], [[5, 7]])).toEqual({ shape: [], strides: [[]] })
    expect(collapse([4, 5], [[-5, -1]])).toEqual({ shape: [20], strides: [[-1]] })
  })
})
