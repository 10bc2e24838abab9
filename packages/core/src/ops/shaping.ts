// Joining tensors and taking them apart: cat, stack and their reverses. Each way is one node, whatever the number of
// parts.
import { type DType, kernels, promote, shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { apply, commonDevice, execute, output, recordOp } from "../apply.js"
import { type Rule, wantsGrad } from "../graph.js"
import { op, readDim } from "../op.js"
import { t } from "../samples.js"
import { type Geometry, type Tensor, windowOn } from "../tensor.js"
import { selected, stepped, target } from "./geometry.js"
import { reshape, unsqueeze, zerosOf } from "./movement.js"
import { narrow } from "./slicing.js"

function checkList(name: string, tensors: readonly Tensor[]): void {
  if (!Array.isArray(tensors)) throw new ValueError(`${name}: needs an array of tensors, got ${typeof tensors}`)
  if (tensors.length === 0) throw new ValueError(`${name}: needs at least one tensor, got none`)
  commonDevice(name, tensors)
}

const promoted = (name: string, tensors: readonly Tensor[]): DType =>
  tensors.map((x) => x.dtype).reduce((a, b) => promote(a, b, name))

/** Writes `source`, converted, to a window of `out`. */
function writeTo(out: Tensor, window: Geometry, source: Tensor): void {
  if (sizeOf(source.shape) > 0) execute(kernels.copy(source.dtype, out.dtype), [source], [target(out, window)])
}

// PyTorch still lets vectors of no elements join anything.
const isNothing = (x: Tensor): boolean => x.ndim === 1 && x.shape[0] === 0

/** `cat: sizes differ outside dim 0: [2, 3] and [2, 4]` */
function checkJoinable(tensors: readonly Tensor[], d: number): void {
  const [first] = tensors
  for (const x of tensors) {
    if (x.ndim !== first.ndim)
      throw new ShapeError(`cat: numbers of dims differ: ${shapeText(first.shape)} and ${shapeText(x.shape)}`)
    if (x.shape.some((size, i) => i !== d && size !== first.shape[i])) {
      throw new ShapeError(`cat: sizes differ outside dim ${d}: ${shapeText(first.shape)} and ${shapeText(x.shape)}`)
    }
  }
}

/**
 * Joins tensors along a dim that they have. Dtypes are promoted.
 *
 * @example
 * ```ts
 * console.log(cat([zeros(2, 3), ones(1, 3)]).shape) // [3, 3]
 * ```
 */
export const cat = op(
  {
    family: "movement",
    name: "cat",
    takes: { tensors: "tensors", dim: "dim?" },
    doc: "Tensors joined along `dim`, which they have; dtypes are promoted.",
    samples: [
      [[t(2, 3), t(1, 3)]],
      [[t(2, 3), t(2, 1), t(2, 2)], -1],
      [[t(0), t(2, 3)], 1],
      [[t(2, 0), t(2, 3)], 1],
      [[t(2)], 0],
    ],
    differentiable: true,
    method: false,
  },
  (tensors: readonly Tensor[], dim = 0): Tensor => {
    checkList("cat", tensors)
    const flat = tensors.findIndex((x) => x.ndim === 0)
    if (flat >= 0) throw new ShapeError(`cat: tensors without dims cannot be joined: number ${flat}; use stack`)
    const parts = tensors.filter((x) => !isNothing(x))
    const [first] = parts.length > 0 ? parts : tensors
    const d = readDim("cat", dim, first.ndim)
    checkJoinable(parts, d)
    const lengths = tensors.map((x) => (isNothing(x) && !isNothing(first) ? 0 : x.shape[d]))
    const total = lengths.reduce((a, b) => a + b, 0)
    const vjp = catRule(tensors.map((x) => x.shape), lengths, d) // prettier-ignore
    const [out] = apply({ name: "cat", keep: [], vjp }, tensors, (device) => {
      const shape = first.shape.map((size, i) => (i === d ? total : size))
      const result = output(device, shape, promoted("cat", tensors))
      let start = 0
      tensors.forEach((x, i) => {
        if (lengths[i] > 0) writeTo(result, stepped(result, d, start, lengths[i]), x)
        start += lengths[i]
      })
      return [result]
    })
    return out
  },
)

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
function catRule(shapes: readonly (readonly number[])[], lengths: readonly number[], d: number): Rule {
  return ([g], s) => {
    if (!g) return []
    let start = 0
    return lengths.map((length, i) => {
      start += length
      if (!s.needs[i]) return null
      const part = narrow(g, d, start - length, length)
      return length === 0 ? reshape(part, shapes[i]) : part
    })
  }
}

/** Joins tensors of one shape along a new dim. */
export const stack = op(
  {
    family: "movement",
    name: "stack",
    takes: { tensors: "tensors", dim: "dim?" },
    doc: "Tensors of one shape joined along a new `dim`; dtypes are promoted.",
    samples: [[[t(2, 3), t(2, 3)]], [[t(3), t(3), t(3)], -1], [[t(), t()]], [[t(0, 2)], 1]],
    differentiable: true,
    method: false,
  },
  (tensors: readonly Tensor[], dim = 0): Tensor => {
    checkList("stack", tensors)
    const [first] = tensors
    const d = readDim("stack", dim, first.ndim + 1)
    const other = tensors.find((x) => x.ndim !== first.ndim || x.shape.some((size, i) => size !== first.shape[i]))
    if (other) throw new ShapeError(`stack: shapes differ: ${shapeText(first.shape)} and ${shapeText(other.shape)}`)
    return stacked(tensors, d)
  },
)

const stackRule =
  (d: number): Rule =>
  ([g]) =>
    g ? unbind(g, d) : []

function stacked(tensors: readonly Tensor[], d: number): Tensor {
  const [out] = apply({ name: "stack", keep: [], vjp: stackRule(d) }, tensors, (device) => {
    const { shape } = tensors[0]
    const result = output(device, [...shape.slice(0, d), tensors.length, ...shape.slice(d)], promoted("stack", tensors))
    tensors.forEach((x, i) => writeTo(result, selected(result, d, i), x))
    return [result]
  })
  return out
}

/** Windows on `x` as the outputs of one node: their gradients are joined once, not padded and added one by one. */
function windows(name: string, x: Tensor, places: readonly Geometry[], join: Join): Tensor[] {
  x.check(name)
  const parts = places.map((place) => windowOn(x, place))
  if (wantsGrad([x]) && parts.length > 0) recordOp({ name, keep: [], vjp: windowsRule(places, join) }, [x], parts)
  return parts
}

type Join = (grads: readonly Tensor[]) => Tensor
const stackAlong =
  (d: number): Join =>
  (grads) =>
    stacked(grads, d)
const catAlong =
  (d: number): Join =>
  (grads) =>
    cat(grads, d)

function windowsRule(places: readonly Geometry[], join: Join): Rule {
  const shapes = places.map((place) => place.shape)
  return (grads) => {
    const some = grads.find((g) => g !== null)
    if (!some) return []
    // One zero serves all neighbours of a size whose gradient never came.
    let zero: Tensor | null = null
    const missing = (shape: readonly number[]): Tensor =>
      zero && sizeOf(zero.shape) === sizeOf(shape) ? zero : (zero = zerosOf(some, shape))
    return [join(grads.map((g, i) => g ?? missing(shapes[i])))]
  }
}

/**
 * The positions of `dim` one by one, as views. Going back joins all their gradients at once, so that a sequence costs
 * its length.
 *
 * @example
 * ```ts
 * const sequence = randn(6, 4) // [6, 4]
 * let h = zeros(4)
 * for (const x of unbind(sequence)) h = h.add(x).tanh()
 * console.log(h.shape) // [4]
 * ```
 */
export const unbind = op(
  {
    family: "movement",
    name: "unbind",
    takes: { x: "tensor", dim: "dim?" },
    doc: "The positions of `dim` one by one, as views.",
    samples: [[t(3, 2)], [t(2, 3, 2), -2], [t(3)], [t(2, 0)]],
    differentiable: true,
    view: true,
  },
  (x: Tensor, dim = 0): Tensor[] => {
    if (x.ndim === 0) throw new ShapeError("unbind: a tensor without dims has nothing to take apart")
    const d = readDim("unbind", dim, x.ndim)
    const places = Array.from({ length: x.shape[d] }, (_, i) => selected(x, d, i))
    return windows("unbind", x, places, stackAlong(d))
  },
)

function readParts(x: Tensor, sizes: number | readonly number[], d: number): number[] {
  const size = x.shape[d]
  if (typeof sizes !== "number") {
    if (sizes.some((n) => !Number.isInteger(n) || n < 0) || sizes.reduce((a, b) => a + b, 0) !== size) {
      throw new ShapeError(
        `split: the sizes must add up to dim ${d} of ${shapeText(x.shape)}: got [${sizes.join(", ")}], expected a sum of ${size}`,
      )
    }
    return [...sizes]
  }
  if (!Number.isInteger(sizes) || sizes < 0 || (sizes === 0 && size > 0)) {
    throw new ValueError(`split: the size of a part must be a positive integer: got ${sizes}`)
  }
  const count = sizes === 0 ? 1 : Math.max(1, Math.ceil(size / sizes))
  return Array.from({ length: count }, (_, i) => Math.min(sizes, size - i * sizes))
}

/** Parts of `sizes` along `dim`, or of one size each (the last may be smaller), as views. */
export const split = op(
  {
    family: "movement",
    name: "split",
    takes: { x: "tensor", sizes: "numbers", dim: "dim?" },
    doc: "Parts of one size (the last may be smaller) or of given sizes along `dim`, as views.",
    samples: [
      [t(5, 2), 2],
      [t(2, 5), [1, 0, 4], -1],
      [t(0, 2), 2],
      [t(4), 4],
    ],
    differentiable: true,
    view: true,
  },
  (x: Tensor, sizes: number | readonly number[], dim = 0): Tensor[] => {
    if (x.ndim === 0) throw new ShapeError("split: a tensor without dims has nothing to take apart")
    const d = readDim("split", dim, x.ndim)
    let start = 0
    const places = readParts(x, sizes, d).map((length) => stepped(x, d, (start += length) - length, length))
    return windows("split", x, places, catAlong(d))
  },
)

/** At most `count` parts of equal size along `dim`, as views; the last may be smaller. */
export const chunk = op(
  {
    family: "movement",
    name: "chunk",
    takes: { x: "tensor", count: "number", dim: "dim?" },
    doc: "At most `count` parts of equal size along `dim` (the last may be smaller), as views.",
    samples: [
      [t(6, 2), 3],
      [t(2, 5), 2, -1],
      [t(5), 4],
      [t(2), 5],
      [t(0, 2), 3],
    ],
    differentiable: true,
    view: true,
  },
  (x: Tensor, count: number, dim = 0): Tensor[] => {
    if (!Number.isInteger(count) || count < 1)
      throw new ValueError(`chunk: the number of parts must be a positive integer: got ${count}`)
    if (x.ndim === 0) throw new ShapeError("chunk: a tensor without dims has nothing to take apart")
    const d = readDim("chunk", dim, x.ndim)
    const size = Math.ceil(x.shape[d] / count)
    // An empty dim gives all its parts, as in PyTorch.
    return size === 0 ? split(x, new Array<number>(count).fill(0), d) : split(x, size, d)
  },
)

const atLeast = (x: Tensor, rank: 1 | 2): Tensor => {
  if (x.ndim === 0) return reshape(x, rank === 1 ? [1] : [1, 1])
  return x.ndim < rank ? unsqueeze(x, 0) : x
}

/** Joins side by side: vectors along dim 0, all others along dim 1. */
export const hstack = op(
  {
    family: "movement",
    name: "hstack",
    takes: { tensors: "tensors" },
    doc: "Tensors side by side: along dim 1, vectors along dim 0.",
    samples: [[[t(2, 3), t(2, 1)]], [[t(2), t(3)]], [[t(), t()]]],
    differentiable: true,
    method: false,
  },
  (tensors: readonly Tensor[]): Tensor => {
    checkList("hstack", tensors)
    return cat(
      tensors.map((x) => atLeast(x, 1)),
      tensors[0].ndim <= 1 ? 0 : 1,
    )
  },
)

/** Joins one below the other: along dim 0, vectors as rows. */
export const vstack = op(
  {
    family: "movement",
    name: "vstack",
    takes: { tensors: "tensors" },
    doc: "Tensors one below the other: along dim 0, vectors as rows.",
    samples: [[[t(2, 3), t(1, 3)]], [[t(3), t(3)]], [[t(), t()]]],
    differentiable: true,
    method: false,
  },
  (tensors: readonly Tensor[]): Tensor => {
    checkList("vstack", tensors)
    return cat(
      tensors.map((x) => atLeast(x, 2)),
      0,
    )
  },
)
