// Indexing along one dim by index tensors: gather and scatter in their PyTorch forms.
import { shapeText, ShapeError, sizeOf, type View } from "@rondo/backend"
import { apply, applyInPlace, commonDevice } from "../apply.js"
import { copyOf } from "../place.js"
import type { Rule } from "../graph.js"
import { checkHeld } from "../held.js"
import { op, readDim } from "../op.js"
import { indices, t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import {
  checkIndexDType,
  checkRanks,
  checkSameDType,
  numberView,
  runGather,
  runScatter,
  type ScatterMode,
} from "./lookup.js"
import { zerosOf } from "./movement.js"
import { narrow } from "./slicing.js"

/** Throws unless `index` lies within `x` in every dim but `d` (all of them for -1). */
function checkWithin(name: string, index: Tensor, x: Tensor, d: number, what: string): void {
  if (sizeOf(index.shape) === 0) return
  if (index.shape.every((size, i) => i === d || size <= (x.shape[i] ?? 1))) return
  const where = d < 0 ? "" : ` outside dim ${d}`
  throw new ShapeError(`${name}: the index ${shapeText(index.shape)} exceeds the ${what} ${shapeText(x.shape)}${where}`)
}

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
/** @internal Adds a gradient back to where its values were taken from, along dim `d` of `shape`; reads the positions as `y`. */
export const gatherRule =
  (shape: readonly number[], d: number): Rule =>
  ([g], saved) => [g && addedUp(shape, d, saved.y, g)]

const addedUpRule =
  (d: number): Rule =>
  ([g], saved) => [null, g && gather(g, d, saved.x)]

/** Zeros of `shape` with `source`, which has the shape of the index, added along dim `d`. */
function addedUp(shape: readonly number[], d: number, index: Tensor, source: Tensor): Tensor {
  const [out] = apply({ name: "scatterAdd", keep: ["x"], vjp: addedUpRule(d) }, [index, source], () => {
    const sums = zerosOf(source, shape)
    runScatter(sums, d, index, source, "add")
    return [sums]
  })
  return out
}

export const gather = op(
  {
    family: "indexing",
    name: "gather",
    takes: { x: "tensor", dim: "dim", index: "tensor" },
    doc: "`out[i][j] = x[index[i][j]][j]` for dim 0, and so on; `index` may be smaller than x in other dims.",
    samples: [
      [t(3, 4), 0, indices(3, 5, 4)],
      [t(3, 4), -1, indices(4, 2, 3)],
      [t(2, 3, 4), 1, indices(3, 2, 5, 4)],
      [t(3), 0, indices(3, 0)],
      [t(), 0, indices(1)],
    ],
    differentiable: true,
  },
  (x: Tensor, dim: number, index: Tensor): Tensor => {
    commonDevice("gather", [x, index])
    const d = readDim("gather", dim, x.ndim)
    checkIndexDType("gather", index)
    checkRanks("gather", x, index)
    checkWithin("gather", index, x, d, "input")
    // Within the narrowed input, a gradient is scattered into zeros of its own size.
    let source = x
    if (sizeOf(index.shape) > 0)
      for (let i = 0; i < x.ndim; i++)
        if (i !== d && index.shape[i] < x.shape[i]) source = narrow(source, i, 0, index.shape[i])
    const [out] = apply({ name: "gather", keep: ["y"], vjp: gatherRule(source.shape, d) }, [source, index], () => [
      runGather(source, d, index),
    ])
    return out
  },
)

interface ScatterForm {
  readonly index: Tensor
  readonly source: Tensor | number
  readonly d: number
}

/** Checks the operands; a source larger than the index is narrowed to it. */
function readScatter(name: string, x: Tensor, dim: number, index: Tensor, source: Tensor | number): ScatterForm {
  commonDevice(name, [x, index, source])
  const d = readDim(name, dim, x.ndim)
  checkIndexDType(name, index)
  checkRanks(name, x, index)
  checkWithin(name, index, x, d, "input")
  if (typeof source !== "object") checkHeld(name, Number(source), x.dtype)
  if (typeof source !== "object") return { index, source, d }
  checkSameDType(name, x, source)
  checkRanks(name, x, source, "source")
  checkWithin(name, index, source, -1, "source")
  let fitting = source
  for (let i = 0; i < source.ndim; i++) {
    if ((index.shape[i] ?? 1) < source.shape[i]) fitting = narrow(fitting, i, 0, index.shape[i] ?? 1)
  }
  return { index, source: fitting, d }
}

const scatterRule =
  (d: number, mode: ScatterMode): Rule =>
  ([g], saved) => {
    if (!g) return []
    const own = mode === "add" ? g : scatter(g, d, saved.y, 0)
    return [saved.needs[0] ? own : null, null, saved.needs[2] ? gather(g, d, saved.y) : null]
  }

function scattered(name: string, mode: ScatterMode) {
  return (x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor => {
    const form = readScatter(name, x, dim, index, source)
    const inputs = typeof form.source === "object" ? [x, index, form.source] : [x, index]
    const [out] = apply({ name, keep: ["y"], vjp: scatterRule(form.d, mode) }, inputs, (device) => {
      const copy = copyOf(device, x)
      scatterInto(copy, form, mode)
      return [copy]
    })
    return out
  }
}

function scatteredInPlace(name: string, mode: ScatterMode) {
  return (x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor => {
    const form = readScatter(`${name}_`, x, dim, index, source)
    const inputs = typeof form.source === "object" ? [x, form.index, form.source] : [x, form.index]
    return applyInPlace({ name, keep: ["y"], vjp: scatterRule(form.d, mode) }, x, inputs, () =>
      scatterInto(x, form, mode),
    )
  }
}

function scatterInto(into: Tensor, { index, source, d }: ScatterForm, mode: ScatterMode): void {
  const values = typeof source === "object" ? source : numberView(into, source, index.shape)
  const apart = (x: View): View => (x.storage === into.storage ? copyOf(into.device, x) : x)
  runScatter(into, d, apart(index), apart(values), mode)
}

// No two indices name one place: which of two equal ones wins has no derivative.
const scatterSamples = [
  [t(3, 4), 0, indices(1, 1, 4), t(1, 4)],
  [t(3, 4), -1, indices(1, 2, 1), t(2, 3)],
  [t(3, 4), 1, indices(1, 3, 1), 1.5],
  [t(3), 0, indices(3, 0), t(0)],
  [t(), 0, indices(1), t()],
]
const addSamples = [
  [t(3, 4), 0, indices(3, 5, 4), t(5, 4)],
  [t(3, 4), -1, indices(4, 2, 3), t(3, 3)],
  [t(2, 3), 1, indices(1, 2, 0), t(2, 0)],
]
const [replaceDoc, addDoc] = [
  "`out[index[i][j]][j] = source[i][j]` for dim 0, and so on; the source may be a number.",
  "As scatter, adding: equal indices sum up.",
]

export const scatter = op(
  {
    family: "indexing",
    name: "scatter",
    takes: { x: "tensor", dim: "dim", index: "tensor", source: "tensor|number" },
    doc: replaceDoc,
    samples: scatterSamples,
    differentiable: true,
  },
  scattered("scatter", "replace"),
)
export const scatter_ = op(
  {
    family: "indexing",
    name: "scatter_",
    takes: { x: "tensor", dim: "dim", index: "tensor", source: "tensor|number" },
    doc: replaceDoc,
    samples: scatterSamples,
    differentiable: true,
    inPlace: true,
  },
  scatteredInPlace("scatter", "replace"),
)
export const scatterAdd = op(
  {
    family: "indexing",
    name: "scatterAdd",
    takes: { x: "tensor", dim: "dim", index: "tensor", source: "tensor|number" },
    doc: addDoc,
    samples: addSamples,
    differentiable: true,
  },
  scattered("scatterAdd", "add"),
)
export const scatterAdd_ = op(
  {
    family: "indexing",
    name: "scatterAdd_",
    takes: { x: "tensor", dim: "dim", index: "tensor", source: "tensor|number" },
    doc: addDoc,
    samples: addSamples,
    differentiable: true,
    inPlace: true,
  },
  scatteredInPlace("scatterAdd", "add"),
)
