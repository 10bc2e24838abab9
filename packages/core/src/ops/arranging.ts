// Copies of a tensor's elements in another order or with a border: flip, roll, rot90, pad, triangles and diagonals.
import {
  computeDType,
  type DType,
  e,
  kernels,
  type MapKernel,
  shapeText,
  ShapeError,
  sizeOf,
  ValueError,
} from "@rondo/backend"
import { apply, execute, output } from "../apply.js"
import { copyOf } from "../place.js"
import type { Rule } from "../graph.js"
import { checkHeld } from "../held.js"
import { upload } from "../host.js"
import { op, readDim, readDims, readSizes, type Sizes } from "../op.js"
import { t } from "../samples.js"
import type { Geometry, Tensor } from "../tensor.js"
import { stepped, target, viewOf } from "./geometry.js"
import { takeRows } from "./lookup.js"
import { clone, diagonal, inZeros, reshape, transpose } from "./movement.js"

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
const flipRule =
  (dims: number[]): Rule =>
  ([g]) => [g && flip(g, dims)]
const rollRule =
  (shifts: readonly number[], dims: readonly number[]): Rule =>
  ([g]) => [g && roll(g, shifts, dims)]
const padRule =
  (borders: readonly (readonly [number, number])[]): Rule =>
  ([g]) => [g && constantPad(g, borders, 0)]
const triangleRule =
  (name: "tril" | "triu", offset: number): Rule =>
  ([g]) => [g && (name === "tril" ? tril : triu)(g, offset)]
const diagonalRule =
  (offset: number): Rule =>
  ([g]) => [g && diagonal(g, offset)]

export const flip = op(
  {
    family: "movement",
    name: "flip",
    takes: { x: "tensor", dims: "...sizes" },
    doc: "The elements along `dims` in reverse order; a copy.",
    samples: [[t(2, 3), 0], [t(2, 3, 2), [0, -1]], [t(3), 0], [t(0, 2), 0], [t(2)]],
    differentiable: true,
  },
  (x: Tensor, ...dims: Sizes): Tensor => {
    const list = readDims("flip", readSizes("flip", dims), x.ndim)
    const [out] = apply({ name: "flip", keep: [], vjp: flipRule(list) }, [x], (device) => {
      const reversed = list.reduce<Geometry>((place, d) => stepped(place, d, place.shape[d] - 1, place.shape[d], -1), x)
      return [copyOf(device, viewOf(x, reversed))]
    })
    return out
  },
)

/** Moves the elements of dim `d` by `shift` places, the last ones to the front. */
function rolled(x: Tensor, shift: number, d: number): Tensor {
  const size = x.shape[d]
  const by = size === 0 ? 0 : ((shift % size) + size) % size
  const out = output(x.device, x.shape, x.dtype)
  const move = (from: number, to: number, length: number): void => {
    if (length === 0 || sizeOf(x.shape) === 0) return
    execute(
      kernels.copy(x.dtype, x.dtype),
      [viewOf(x, stepped(x, d, from, length))],
      [target(out, stepped(out, d, to, length))],
    )
  }
  move(size - by, 0, by)
  move(0, by, size - by)
  return out
}

export const roll = op(
  {
    family: "movement",
    name: "roll",
    takes: { x: "tensor", shifts: "numbers", dims: "numbers?" },
    doc: "Elements moved by `shifts` along `dims`, around the end; without dims over the flattened tensor.",
    samples: [
      [t(4, 2), 1, 0],
      [t(2, 3), [-1, 4], [0, 1]],
      [t(2, 3), 2],
      [t(0, 3), 1, 0],
      [t(), 1],
    ],
    differentiable: true,
  },
  (x: Tensor, shifts: number | readonly number[], dims?: number | readonly number[]): Tensor => {
    const by = typeof shifts === "number" ? [shifts] : [...shifts]
    if (by.some((shift) => !Number.isInteger(shift)))
      throw new ValueError(`roll: shifts must be integers: got [${by.join(", ")}]`)
    if (dims === undefined) {
      if (by.length !== 1) throw new ValueError(`roll: without dims there is one shift: got [${by.join(", ")}]`)
      return reshape(roll(reshape(x, -1), by, 0), x.shape)
    }
    const along = (typeof dims === "number" ? [dims] : dims).map((d) => readDim("roll", d, x.ndim))
    if (along.length !== by.length || by.length === 0) {
      throw new ValueError(`roll: shifts and dims must be as many: got ${by.length} and ${along.length}`)
    }
    const [out] = apply(
      {
        name: "roll",
        keep: [],
        vjp: rollRule(
          by.map((shift) => -shift),
          along,
        ),
      },
      [x],
      () => [along.reduce((moved, d, i) => rolled(moved, by[i], d), x)],
    )
    return out
  },
)

export const rot90 = op(
  {
    family: "movement",
    name: "rot90",
    takes: { x: "tensor", k: "integer?", dims: "list?" },
    doc: "Turned by `k` quarters from the first of two dims towards the second.",
    samples: [[t(2, 3)], [t(2, 3), -1], [t(2, 3, 2), 2, [1, 2]], [t(2, 3), 4]],
    differentiable: true,
  },
  (x: Tensor, k = 1, dims: readonly number[] = [0, 1]): Tensor => {
    const pair = readDims("rot90", dims, x.ndim)
    if (pair.length !== 2) throw new ShapeError(`rot90: needs two dims: got [${dims.join(", ")}]`)
    const [a, b] = pair
    switch (((k % 4) + 4) % 4) {
      case 0:
        return clone(x)
      case 1:
        return transpose(flip(x, b), a, b)
      case 2:
        return flip(x, a, b)
      case 3:
        return flip(transpose(x, a, b), b)
      default:
        throw new ValueError(`rot90: k must be an integer: got ${k}`)
    }
  },
)

/** How `pad` fills the border. */
export type PadMode = "constant" | "reflect" | "replicate" | "circular"

/** Before and after each dim, from the padding as written: the last dim first. */
function readPadding(x: Tensor, padding: readonly number[]): [number, number][] {
  if (padding.length % 2 !== 0 || padding.length > 2 * x.ndim || padding.some((p) => !Number.isInteger(p))) {
    throw new ShapeError(
      `pad: padding must be integer pairs for at most ${x.ndim} dims, last first: got [${padding.join(", ")}]`,
    )
  }
  return x.shape.map((size, d) => {
    const at = 2 * (x.ndim - 1 - d)
    const [before, after] = [padding[at] ?? 0, padding[at + 1] ?? 0]
    if (size + before + after < 0)
      throw new ShapeError(`pad: [${padding.join(", ")}] leaves dim ${d} of ${shapeText(x.shape)} with a negative size`)
    return [before, after]
  })
}

function constantPad(x: Tensor, borders: readonly (readonly [number, number])[], value: number): Tensor {
  const vjp = padRule(borders.map(([before, after]) => [-before, -after] as const))
  const [out] = apply({ name: "constantPadNd", keep: [], vjp }, [x], (device) => {
    const result = output(
      device,
      x.shape.map((size, d) => size + borders[d][0] + borders[d][1]),
      x.dtype,
    )
    if (sizeOf(result.shape) > 0) execute(kernels.fill(x.dtype), [], [result], [value])
    let [from, to]: [Geometry, Geometry] = [x, result]
    borders.forEach(([before, after], d) => {
      // A negative border cuts off.
      const length = Math.max(0, x.shape[d] + Math.min(0, before) + Math.min(0, after))
      from = stepped(from, d, Math.max(0, -before), length)
      to = stepped(to, d, Math.max(0, before), length)
    })
    if (sizeOf(from.shape) > 0) execute(kernels.copy(x.dtype, x.dtype), [viewOf(x, from)], [target(result, to)])
    return [result]
  })
  return out
}

/** Which position of a dim of `size` shows at position `i` (negative before it). */
const borderPosition: Record<Exclude<PadMode, "constant">, (i: number, size: number) => number> = {
  reflect: (i, size) => (i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i),
  replicate: (i, size) => Math.min(size - 1, Math.max(0, i)),
  circular: (i, size) => ((i % size) + size) % size,
}

function checkBorder(
  mode: Exclude<PadMode, "constant">,
  x: Tensor,
  d: number,
  border: readonly [number, number],
): void {
  const size = x.shape[d]
  const most = mode === "reflect" ? Math.max(0, size - 1) : mode === "circular" ? size : size > 0 ? Infinity : 0
  if (Math.max(...border) <= most) return
  throw new ShapeError(
    `pad: a ${mode} border may be at most ${most} wide at dim ${d} of ${shapeText(x.shape)}: got [${border.join(", ")}]`,
  )
}

/**
 * Adds a border: `padding` lists pairs of widths, before and after, from the last dim backwards. Negative widths cut
 * off.
 * `value` fills a constant border. Unlike PyTorch, the other modes work on any dims.
 *
 * @example
 * ```ts
 * console.log(pad(ones(2, 3), [1, 2]).shape) // [2, 6]
 * console.log(await pad(arange(3), [1, 1], "circular").tolist()) // [2, 0, 1, 2, 0]
 * ```
 */
export const pad = op(
  {
    family: "movement",
    name: "pad",
    takes: { x: "tensor", padding: "list", mode: "text?", value: "number?" },
    doc: "A border: `padding` holds widths before and after the dims, the last dim first; negative ones cut off.",
    samples: [
      [t(2, 3), [1, 2]],
      [t(2, 3), [0, 1, 2, -1], "constant", 1.5],
      [t(2, 4), [-1, -2]],
      [t(0, 2), [1, 1, 1, 0]],
      [t(1, 2, 4), [3, 2], "reflect"],
      [t(1, 2, 4), [3, 5, 1, 0], "replicate"],
      [t(1, 3, 4), [4, 1, 0, 2], "circular"],
      [t(2, 3), []],
    ],
    differentiable: true,
  },
  (x: Tensor, padding: readonly number[], mode: PadMode = "constant", value = 0): Tensor => {
    const borders = readPadding(x, padding)
    if (mode === "constant") checkHeld("pad", value, x.dtype)
    if (mode === "constant") return constantPad(x, borders, value)
    const position = borderPosition[mode]
    if (!position)
      throw new ValueError(`pad: unknown mode: got ${String(mode)}, expected constant, reflect, replicate or circular`)
    borders.forEach((border, d) => checkBorder(mode, x, d, border))
    return borders.reduce((padded, [before, after], d) => {
      if (before === 0 && after === 0) return padded
      // What a negative border cuts off does not come back at the other end.
      const first = Math.max(0, -before)
      const size = x.shape[d] - first - Math.max(0, -after)
      const start = Math.max(0, before)
      const places = Int32Array.from(
        { length: size + start + Math.max(0, after) },
        (_, i) => first + position(i - start, size),
      )
      return takeRows("pad", padded, d, upload(x.device, places, [places.length], "int32"))
    }, x)
  },
)

const triangleKernels = new Map<string, MapKernel>()

/** Input 2 where column - row is at most (or at least) scalar 0, else zero. */
function triangleKernel(lower: boolean, dtype: DType): MapKernel {
  const key = `${lower} ${dtype}`
  let kernel = triangleKernels.get(key)
  if (!kernel) {
    const above = e.sub(e.input(1, "int32"), e.input(0, "int32"))
    const inside = (lower ? e.le : e.ge)(above, e.scalar(0, "int32"))
    const value = e.cast(e.input(2, dtype), computeDType(dtype))
    kernel = { kind: "map", exprs: [e.cast(e.where(inside, value, e.like(value, 0)), dtype)] }
    triangleKernels.set(key, kernel)
  }
  return kernel
}

function triangle(name: "tril" | "triu") {
  const f = (x: Tensor, offset = 0): Tensor => {
    if (x.ndim < 2) throw new ShapeError(`${name}: needs at least 2 dims, got ${shapeText(x.shape)}`)
    if (!Number.isInteger(offset)) throw new ValueError(`${name}: diagonal must be an integer: got ${offset}`)
    const [out] = apply({ name, keep: [], vjp: triangleRule(name, offset) }, [x], (device) => {
      const result = output(device, x.shape, x.dtype)
      if (sizeOf(x.shape) === 0) return [result]
      const [rows, columns] = x.shape.slice(-2)
      const count = upload(
        device,
        Int32Array.from({ length: Math.max(rows, columns) }, (_, i) => i),
        [Math.max(rows, columns)],
        "int32",
      )
      const along = (back: number) =>
        viewOf(count, { shape: x.shape, strides: x.shape.map((_, d) => (d === x.ndim - back ? 1 : 0)), offset: 0 })
      execute(triangleKernel(name === "tril", x.dtype), [along(2), along(1), x], [result], [offset])
      return [result]
    })
    return out
  }
  return f
}

const triangleSamples = [[t(3, 4)], [t(4, 3), 1], [t(2, 3, 3), -1], [t(0, 3)]]
export const tril = op(
  {
    family: "movement",
    name: "tril",
    takes: { x: "tensor", offset: "integer?" },
    doc: "The last two dims with zeros above the diagonal `offset` above the main one.",
    samples: triangleSamples,
    differentiable: true,
  },
  triangle("tril"),
)
export const triu = op(
  {
    family: "movement",
    name: "triu",
    takes: { x: "tensor", offset: "integer?" },
    doc: "The last two dims with zeros below the diagonal `offset` above the main one.",
    samples: triangleSamples,
    differentiable: true,
  },
  triangle("triu"),
)

function diagonalMatrix(x: Tensor, offset: number): Tensor {
  const size = x.shape[0] + Math.abs(offset)
  const [out] = apply({ name: "diag", keep: [], vjp: diagonalRule(offset) }, [x], () => {
    const start = offset >= 0 ? offset : -offset * size
    return [inZeros(x, [size, size], { shape: x.shape, strides: [size + 1], offset: start })]
  })
  return out
}

export const diag = op(
  {
    family: "movement",
    name: "diag",
    takes: { x: "tensor", offset: "integer?" },
    doc: "A matrix with the vector on the diagonal `offset` above the main one; of a matrix, that diagonal, copied.",
    samples: [[t(3)], [t(2), 1], [t(2), -2], [t(3, 4)], [t(3, 4), -1], [t(0)], [t(1)]],
    differentiable: true,
  },
  (x: Tensor, offset = 0): Tensor => {
    if (x.ndim < 1 || x.ndim > 2)
      throw new ShapeError(`diag: needs a vector or a matrix, got ${shapeText(x.shape)}; use diagonal`)
    return x.ndim === 1 ? diagonalMatrix(x, offset) : clone(diagonal(x, offset))
  },
)
