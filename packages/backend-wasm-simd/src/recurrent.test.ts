// Whole layers over whole sequences, forward and backward, against the reference: every cell, odd sizes, strided operands.
import { CpuJs } from "@rondo/backend-cpu-js"
import { describe, expect, it } from "vitest"
import {
  type Backend,
  byteSize,
  contiguousStrides,
  type DType,
  hostView,
  type RecurrentCell,
  recurrentCells,
  sizeOf,
  type View,
} from "@rondo/backend"
import { WasmSimd } from "./backend.js"

const reference = new CpuJs()
const backends = [new WasmSimd(), new WasmSimd({ relaxed: false })]

interface Sizes {
  readonly steps: number
  readonly batch: number
  readonly units: number
}
interface Options {
  readonly bias: boolean
  readonly reverse: boolean
  /** Operands with strides of their own. */
  readonly odd?: boolean
  /** Gradients of the output: values, one zero for all, or one value for all. */
  readonly grad?: "values" | "zero" | "one"
}

const f32 = Math.fround
/** Numbers from -1 to 1 that are float32 exactly, the same at every call. */
const numbers = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => f32(Math.sin(seed * 131 + i * 1.7)))

function make(backend: Backend, dtype: DType, shape: readonly number[], seed: number | null, odd = false): View {
  const spread = odd ? 2 : 1
  const bytes = Math.max(1, sizeOf(shape)) * spread * byteSize(dtype)
  const storage = backend.alloc(bytes)
  const data = hostView(dtype, new ArrayBuffer(bytes)) as Float64Array
  if (seed !== null) numbers(sizeOf(shape), seed).forEach((x, i) => (data[i * spread] = x))
  backend.write(storage, data)
  return { storage, dtype, shape, strides: contiguousStrides(shape).map((s) => s * spread), offset: 0 }
}

function valuesOf(backend: Backend, view: View): number[] {
  const all = hostView(view.dtype, backend.readSync!(view.storage, 0, view.storage.bytes)) as Float64Array
  const spread = sizeOf(view.shape) > 1 ? view.strides[view.strides.length - 1] || 1 : 1
  return Array.from({ length: sizeOf(view.shape) }, (_, i) => all[i * spread])
}

/** All outputs of a forward and a backward run. */
function outcome(backend: Backend, cell: RecurrentCell, dtype: DType, sizes: Sizes, options: Options): number[][] {
  const { steps, batch, units } = sizes
  const { bias, reverse, odd = false, grad = "values" } = options
  const { gates, saved } = recurrentCells[cell]
  const lstm = cell === "lstm"
  const input = (shape: readonly number[], seed: number) => make(backend, dtype, shape, seed, odd)
  const output = (...shape: number[]) => make(backend, dtype, shape, null, odd)
  const weight = input([gates * units, units], 2)
  const h = input([batch, units], 4)
  const c = lstm ? [input([batch, units], 5)] : []
  const out = output(steps, batch, units)
  const cells = lstm ? [output(steps, batch, units)] : []
  const kept = saved > 0 ? [output(steps, batch, saved * units)] : []
  const b = bias ? [input([gates * units], 3)] : []
  backend.run(
    { kind: "recurrent", cell, bias, reverse, save: true },
    [input([steps, batch, gates * units], 1), weight, ...b, h, ...c],
    [out, ...cells, ...kept],
  )
  const one = (): View => ({
    ...make(backend, dtype, [1], grad === "one" ? 9 : null),
    shape: out.shape,
    strides: [0, 0, 0],
  })
  const projected = output(steps, batch, gates * units)
  const hidden = cell === "gru" ? [output(steps, batch, gates * units)] : []
  const dh = output(batch, units)
  const dc = lstm ? [output(batch, units)] : []
  backend.run(
    { kind: "recurrentBackward", cell, reverse },
    [
      grad === "values" ? input([steps, batch, units], 6) : one(),
      input([batch, units], 7),
      ...(lstm ? [input([batch, units], 8)] : []),
      weight, out, h, ...cells, ...c, ...kept,
    ], // prettier-ignore
    [projected, ...hidden, dh, ...dc],
  )
  return [out, ...cells, ...kept, projected, ...hidden, dh, ...dc].map((view) => valuesOf(backend, view))
}

function compare(cell: RecurrentCell, dtype: DType, sizes: Sizes, options: Options): void {
  const expected = outcome(reference, cell, dtype, sizes, options)
  const tolerance = dtype === "float64" ? 1e-12 : 2e-5
  for (const backend of backends) {
    outcome(backend, cell, dtype, sizes, options).forEach((list, o) => {
      const limit = tolerance * expected[o].reduce((most, y) => Math.max(most, Math.abs(y)), 1)
      list.forEach((x, i) => {
        const y = expected[o][i]
        if (!(Math.abs(x - y) <= limit)) expect.fail(`output ${o} at ${i}: got ${x}, expected ${y}`)
      })
    })
  }
}

const cells = Object.keys(recurrentCells) as RecurrentCell[]
const shapes: readonly Sizes[] = [
  { steps: 1, batch: 1, units: 1 },
  { steps: 1, batch: 1, units: 33 },
  { steps: 3, batch: 2, units: 5 },
  { steps: 5, batch: 20, units: 10 },
  { steps: 2, batch: 7, units: 64 },
  { steps: 0, batch: 3, units: 4 },
  { steps: 4, batch: 0, units: 4 },
  { steps: 2, batch: 700, units: 30 },
]

for (const cell of cells) {
  describe(cell, () => {
    for (const dtype of ["float32", "float64"] as const) {
      for (const sizes of shapes) {
        for (const bias of [true, false]) {
          const name = `${dtype} [${sizes.steps}, ${sizes.batch}, ${sizes.units}]${bias ? " with bias" : ""}`
          it(name, () => compare(cell, dtype, sizes, { bias, reverse: !bias }))
        }
      }
      const sizes = { steps: 4, batch: 9, units: 6 }
      it(`${dtype} of strided operands`, () => compare(cell, dtype, sizes, { bias: true, reverse: true, odd: true }))
      it(`${dtype} without a gradient of the output`, () =>
        compare(cell, dtype, sizes, { bias: true, reverse: false, grad: "zero" }))
      it(`${dtype} with one gradient for all outputs`, () =>
        compare(cell, dtype, sizes, { bias: true, reverse: false, grad: "one" }))
    }
  })
}
