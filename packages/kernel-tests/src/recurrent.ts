// Cases of whole layers over whole sequences, forward and backward: every cell, odd sizes, strided operands.
import { type Backend, type DType, hostArray, isFloat, type RecurrentCell, recurrentCells } from "@rondo/backend"
import { describe, it } from "vitest"
import { compare, Placement } from "./agreement.js"
import { encode, type Operand, operandOf } from "./operands.js"
import type { Subject } from "./subject.js"

export interface LayerSizes {
  readonly steps: number
  readonly batch: number
  readonly units: number
}
interface Options {
  readonly dtype?: DType
  readonly bias?: boolean
  readonly reverse?: boolean
  /** Operands with strides of their own: spread out, or with their last two dims in the other order. */
  readonly odd?: "spread" | "turned"
  /** Gradients of the output: values, one zero for all, or one value for all. */
  readonly grad?: "values" | "zero" | "one"
  /** Whether what backward needs is written, and backward runs. */
  readonly save?: boolean
}

/** Numbers from -1 to 1, the same at every call; or zeros, without a seed. */
function sequence(dtype: DType, shape: readonly number[], seed: number | null, odd?: Options["odd"]): Operand {
  const spread = odd === "spread" ? 2 : 1
  const order = [...shape.keys()]
  if (odd === "turned") order.splice(-2, 2, ...order.slice(-2).reverse())
  const strides = new Array<number>(shape.length)
  let step = spread
  for (const d of order.reverse()) {
    strides[d] = step
    step *= Math.max(1, shape[d])
  }
  const data = hostArray(dtype, step + 4)
  for (let i = 0; seed !== null && i < data.length; i++) data[i] = encode(dtype, Math.fround(Math.sin(seed * 131 + i * 1.7))) // prettier-ignore
  return { dtype, shape, strides, offset: odd ? 2 : 0, data }
}

/** One number for all elements of a shape. */
const repeated = (dtype: DType, shape: readonly number[], value: number): Operand => ({
  ...operandOf(dtype, [1], [value]),
  ...{ shape, strides: shape.map(() => 0) },
})

/** Runs a layer forward and backward; gives all that the outputs' storages hold. */
export async function runLayer(
  backend: Backend,
  cell: RecurrentCell,
  { steps, batch, units }: LayerSizes,
  options: Options = {},
): Promise<number[][]> {
  const { dtype = "float32", bias = true, reverse = false, odd, grad = "values", save = true } = options
  const { gates, saved } = recurrentCells[cell]
  const lstm = cell === "lstm"
  const input = (seed: number, ...shape: number[]): Operand => sequence(dtype, shape, seed, odd)
  const output = (...shape: number[]): Operand => sequence(dtype, shape, null, odd)
  const state = (seed: number): Operand[] => (lstm ? [input(seed, batch, units)] : [])
  const weight = input(2, gates * units, units)
  const [h, c] = [input(4, batch, units), state(5)]
  const out = output(steps, batch, units)
  const cells = lstm ? [output(steps, batch, units)] : []
  const kept = saved > 0 && save ? [output(steps, batch, saved * units)] : []
  const added = bias ? [input(3, gates * units)] : []
  const placement = new Placement(backend)
  try {
    const forward = [input(1, steps, batch, gates * units), weight, ...added, h, ...c]
    placement.run({ kind: "recurrent", cell, bias, reverse, save }, forward, [out, ...cells, ...kept])
    const results = [out, ...cells, ...kept]
    if (save) {
      const gradient = grad === "values" ? input(6, steps, batch, units) : repeated(dtype, out.shape, grad === "one" ? 0.3 : 0) // prettier-ignore
      const given = [gradient, input(7, batch, units), ...state(8), weight, out, h, ...cells, ...c, ...kept]
      const hidden = cell === "gru" ? [output(steps, batch, gates * units)] : []
      const gradients = [output(steps, batch, gates * units), ...hidden, output(batch, units)]
      if (lstm) gradients.push(output(batch, units))
      placement.run({ kind: "recurrentBackward", cell, reverse }, given, gradients)
      results.push(...gradients)
    }
    return await Promise.all(results.map((one) => placement.read(one)))
  } finally {
    placement.free()
  }
}

// Relative to the largest number of an output.
const tolerances: Partial<Record<DType, number>> = { float64: 1e-12, float32: 2e-5, float16: 5e-3, bfloat16: 4e-2 }

const small: LayerSizes = { steps: 4, batch: 9, units: 6 }
const large: LayerSizes = { steps: 2, batch: 5, units: 140 }
// The cut-offs of backends lie between these: rows a thread, units a workgroup, weights that fit its memory, blocks of rows.
type Shape = readonly [steps: number, batch: number, units: number]
const shapes: readonly Shape[] = [
  [1, 1, 1], [3, 2, 5], [5, 20, 10], [0, 3, 4], [4, 0, 4], [3, 130, 9], [2, 259, 11], [3, 3, 140], [2, 1, 140], [2, 18, 140],
  [1, 129, 140], [3, 2, 257], [3, 64, 40],
] // prettier-ignore
const further: readonly Shape[] = [[1, 1, 33], [2, 7, 64], [2, 700, 30]] // prettier-ignore

/** Registers the cases. */
export function describeLayers({ devices, reference, dtypes, slow, agree }: Subject): void {
  const check = async (cell: RecurrentCell, sizes: LayerSizes, options: Options): Promise<void> => {
    const expected = await runLayer(reference, cell, sizes, options)
    for (const [which, device] of devices.entries()) {
      const got = await runLayer(device, cell, sizes, options)
      got.forEach((list, o) => {
        const scale = expected[o].reduce((most, y) => Math.max(most, Math.abs(y)), 1)
        const tolerance = { relative: tolerances[options.dtype ?? "float32"] as number, scale }
        compare(`device ${which}, output ${o}`, list, expected[o], tolerance)
      })
    }
  }
  const cells = Object.keys(recurrentCells) as RecurrentCell[]
  const own = dtypes.filter((dtype) => isFloat(dtype) && dtype in tolerances)

  for (const cell of cells) {
    describe(cell, () => {
      for (const dtype of own) {
        const half = dtype === "float16" || dtype === "bfloat16"
        for (const [i, [steps, batch, units]] of (half ? [] : slow ? shapes : [...shapes, ...further]).entries()) {
          const name = `${dtype} [${steps}, ${batch}, ${units}]`
          const few = slow && units < 257
          if (!few || i % 2 === 0)
            it(`${name} with bias, reversed`, () => check(cell, { steps, batch, units }, { dtype, reverse: true }))
          if (!few || i % 2 === 1) it(name, () => check(cell, { steps, batch, units }, { dtype, bias: false }))
        }
        // float16 is read and written as bfloat16 is.
        for (const sizes of slow && dtype === "float16" ? [small] : [small, large]) {
          const name = `${dtype} of ${sizes.units} units`
          it(name, () => check(cell, sizes, { dtype }))
          it(`${name}, of strided operands`, () => check(cell, sizes, { dtype, reverse: true, odd: "spread" }))
          // Those of 16-bit floats differ in how they are read and written only.
          if (half) continue
          it(`${name}, of transposed operands`, () => check(cell, sizes, { dtype, odd: "turned" }))
          it(`${name}, without a gradient of the output`, () => check(cell, sizes, { dtype, grad: "zero" }))
          it(`${name}, with one gradient for all outputs`, () => check(cell, sizes, { dtype, reverse: true, grad: "one" })) // prettier-ignore
          it(`${name}, without what backward needs`, () => check(cell, sizes, { dtype, save: false }))
        }
      }
    })
  }

  it("NaN and infinities pass as they do in the reference", async () => {
    for (const cell of cells) {
      const { gates } = recurrentCells[cell]
      const projected = sequence("float32", [3, 2, gates * 4], 1)
      projected.data[2] = NaN
      projected.data[gates * 4 + 1] = Infinity
      const state = cell === "lstm" ? [sequence("float32", [2, 4], 5)] : []
      const inputs = [projected, sequence("float32", [gates * 4, 4], 2), sequence("float32", [2, 4], 4), ...state]
      const outputs = ["h", ...state].map(() => sequence("float32", [3, 2, 4], null))
      const kernel = { kind: "recurrent", cell, bias: false, reverse: false, save: false } as const
      await agree(cell, kernel, inputs, outputs, { relative: 1e-5, scale: 1 })
    }
  })
}
