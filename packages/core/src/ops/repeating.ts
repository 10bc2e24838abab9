// Repeating elements: repeat, tile, repeatInterleave and the grids that meshgrid spans.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { commonDevice } from "../apply.js"
import { dataSync, upload } from "../host.js"
import { op, readDim, readSizes, type Sizes } from "../op.js"
import { t } from "../samples.js"
import { Tensor } from "../tensor.js"
import { takeRows } from "./lookup.js"
import { clone, expand, reshape } from "./movement.js"
import { needSyncRead } from "./selection.js"

export const repeat = op(
  {
    family: "movement",
    name: "repeat",
    takes: { x: "tensor", counts: "...sizes" },
    doc: "The tensor repeated `counts` times along its dims (more counts add dims in front); a copy.",
    samples: [
      [t(2, 3), 2, 1],
      [t(3), [2, 2]],
      [t(), 3],
      [t(2, 3), 0, 1],
      [t(2, 1), 1, 3],
    ],
    differentiable: true,
  },
  (x: Tensor, ...counts: Sizes): Tensor => {
    const times = readSizes("repeat", counts)
    if (times.length < x.ndim || times.some((n) => n < 0)) {
      throw new ShapeError(
        `repeat: needs a count from 0 for each dim of ${shapeText(x.shape)}: got [${times.join(", ")}]`,
      )
    }
    const shape = [...new Array<number>(times.length - x.ndim).fill(1), ...x.shape]
    if (times.every((n) => n === 1)) return clone(reshape(x, shape))
    // [a, b] as [1, a, 1, b], stretched to [n, a, m, b]
    const apart = reshape(
      x,
      shape.flatMap((size) => [1, size]),
    )
    const stretched = expand(
      apart,
      shape.flatMap((size, d) => [times[d], size]),
    )
    return reshape(
      clone(stretched),
      shape.map((size, d) => size * times[d]),
    )
  },
)

export const tile = op(
  {
    family: "movement",
    name: "tile",
    takes: { x: "tensor", counts: "...sizes" },
    doc: "As repeat; fewer counts than dims repeat the last ones.",
    samples: [
      [t(2, 3), 2],
      [t(3), 2, 2],
      [t(2, 3), [2, 1]],
    ],
    differentiable: true,
  },
  (x: Tensor, ...counts: Sizes): Tensor => {
    const times = readSizes("tile", counts)
    return repeat(x, [...new Array<number>(Math.max(0, x.ndim - times.length)).fill(1), ...times])
  },
)

function readCounts(repeats: readonly number[] | Tensor): readonly number[] {
  if (!(repeats instanceof Tensor)) return repeats
  needSyncRead("repeatInterleave", repeats, "an array of counts")
  if (repeats.ndim > 1)
    throw new ShapeError(`repeatInterleave: the counts must be a vector: got ${shapeText(repeats.shape)}`)
  return Array.from(dataSync(repeats), Number)
}

/** Repeats each element, not the whole: 1, 1, 2, 2. Counts that are a tensor are read by the host. */
export const repeatInterleave = op(
  {
    family: "movement",
    name: "repeatInterleave",
    takes: { x: "tensor", repeats: "numbers|tensor", dim: "dim?" },
    doc: "Each position of `dim` repeated in place, all equally often or each its own number of times.",
    samples: [
      [t(2, 3), 2],
      [t(2, 3), 2, 1],
      [t(3, 2), [1, 0, 2], 0],
      [t(3), [2], -1],
      [t(), 3],
      [t(2, 2), 0, 0],
    ],
    differentiable: true,
  },
  (x: Tensor, repeats: number | readonly number[] | Tensor, dim?: number): Tensor => {
    const source = dim === undefined ? reshape(x, -1) : x
    if (source.ndim === 0) return repeatInterleave(reshape(source, 1), repeats, dim)
    const d = readDim("repeatInterleave", dim ?? 0, source.ndim)
    const size = source.shape[d]
    const given = typeof repeats === "number" ? [repeats] : readCounts(repeats)
    if (given.some((n) => !Number.isInteger(n) || n < 0))
      throw new ValueError(`repeatInterleave: counts must be integers from 0: got [${given.join(", ")}]`)
    if (given.length !== 1 && given.length !== size) {
      throw new ShapeError(
        `repeatInterleave: needs 1 or ${size} counts for dim ${d} of ${shapeText(source.shape)}: got ${given.length}`,
      )
    }
    if (given.length === 1) {
      const [before, after] = [source.shape.slice(0, d), source.shape.slice(d + 1)]
      const wide = expand(reshape(source, [...before, size, 1, ...after]), [...before, size, given[0], ...after])
      return reshape(clone(wide), [...before, size * given[0], ...after])
    }
    const places = Int32Array.from(given.flatMap((n, i) => new Array<number>(n).fill(i)))
    return takeRows("repeatInterleave", source, d, upload(source.device, places, [places.length], "int32"))
  },
)

/** Options of {@link meshgrid}. */
export interface MeshgridOptions {
  /** "ij": the first vector runs along dim 0 (default). "xy": along dim 1, as for plotting. */
  readonly indexing?: "ij" | "xy"
}

/** Views of vectors, each stretched over the grid that all of them span. */
export const meshgrid = op(
  {
    family: "movement",
    name: "meshgrid",
    takes: { tensors: "tensors", options: { indexing: "text" } },
    doc: "The coordinates of the grid that vectors span: one tensor each, all of one shape.",
    samples: [[[t(2), t(3)]], [[t(2), t(3), t(4)], { indexing: "xy" }], [[t(), t(2)]], [[t(0), t(2)]]],
    differentiable: true,
    method: false,
  },
  (tensors: readonly Tensor[], { indexing = "ij" }: MeshgridOptions = {}): Tensor[] => {
    if (tensors.length === 0) throw new ValueError("meshgrid: needs at least one tensor, got none")
    commonDevice("meshgrid", tensors)
    const deep = tensors.find((x) => x.ndim > 1)
    if (deep) throw new ShapeError(`meshgrid: needs vectors, got ${shapeText(deep.shape)}`)
    if (indexing !== "ij" && indexing !== "xy")
      throw new ValueError(`meshgrid: unknown indexing: got ${String(indexing)}, expected ij or xy`)
    const along = tensors.map((_, i) => i)
    if (indexing === "xy" && along.length > 1) [along[0], along[1]] = [1, 0]
    const shape = new Array<number>(tensors.length).fill(1)
    tensors.forEach((x, i) => (shape[along[i]] = sizeOf(x.shape)))
    return tensors.map((x, i) =>
      expand(
        reshape(
          x,
          shape.map((_, d) => (d === along[i] ? sizeOf(x.shape) : 1)),
        ),
        shape,
      ),
    )
  },
)
