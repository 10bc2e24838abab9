// Whole layers over whole sequences, forward and backward, against the reference: every cell, odd sizes, strided operands, both
// ways in which they run, and how many dispatches they take.
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterAll, describe, expect, it } from "vitest"
import {
  type Backend,
  contiguousStrides,
  type DType,
  hostArray,
  hostView,
  type RecurrentCell,
  recurrentCells,
  sizeOf,
  type View,
} from "@rondo/backend"
import { openForTest } from "../test/testing.js"

const reference = new CpuJs()
const device = await openForTest()
afterAll(() => device?.close())

interface Sizes {
  readonly steps: number
  readonly batch: number
  readonly units: number
}
interface Options {
  readonly bias: boolean
  readonly reverse: boolean
  /** Operands with strides of their own: spread out, or with their last two dims in the other order. */
  readonly odd?: "spread" | "turned"
  /** Gradients of the output: values, one zero for all, or one value for all. */
  readonly grad?: "values" | "zero" | "one"
  readonly save?: boolean
}

const f32 = Math.fround
const bits = new Uint32Array(1)
/** bfloat16 bits of a float32, cut off. */
const cut = (x: number): number => {
  new Float32Array(bits.buffer)[0] = x
  return bits[0] >>> 16
}
const uncut = (half: number): number => {
  bits[0] = half << 16
  return new Float32Array(bits.buffer)[0]
}
/** Numbers from -1 to 1, the same at every call. */
const numbers = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => f32(Math.sin(seed * 131 + i * 1.7)))

/** Position in storage of element `i` in row-major order. */
function place(view: View, i: number): number {
  let at = view.offset
  for (let d = view.shape.length - 1; d >= 0; d--) {
    at += (i % view.shape[d]) * view.strides[d]
    i = Math.floor(i / view.shape[d])
  }
  return at
}

function make(
  backend: Backend,
  dtype: DType,
  shape: readonly number[],
  seed: number | null,
  odd?: Options["odd"],
): View {
  const spread = odd === "spread" ? 2 : 1
  const strides = contiguousStrides(shape).map((s) => s * spread)
  if (odd === "turned" && shape.length > 1) {
    const [rows] = shape.slice(-2)
    strides.splice(-2, 2, 1, Math.max(rows, 1))
  }
  const data = hostArray(dtype, Math.max(2, sizeOf(shape) * spread + 4))
  const storage = backend.alloc(data.byteLength)
  const view: View = { storage, dtype, shape, strides, offset: odd ? 2 : 0 }
  if (seed !== null) {
    numbers(sizeOf(shape), seed).forEach((x, i) => (data[place(view, i)] = dtype === "bfloat16" ? cut(x) : x))
  }
  backend.write(storage, data)
  return view
}

async function valuesOf(backend: Backend, view: View): Promise<number[]> {
  const all = hostView(view.dtype, await backend.read(view.storage, 0, view.storage.bytes)) as Float32Array
  return Array.from({ length: sizeOf(view.shape) }, (_, i) => {
    const x = all[place(view, i)]
    return view.dtype === "bfloat16" ? uncut(x) : x
  })
}

/** All outputs of a forward and a backward run. */
async function outcome(
  backend: Backend,
  cell: RecurrentCell,
  dtype: DType,
  sizes: Sizes,
  options: Options,
): Promise<number[][]> {
  const { steps, batch, units } = sizes
  const { bias, reverse, odd, grad = "values", save = true } = options
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
  const forward = [input([steps, batch, gates * units], 1), weight, ...b, h, ...c]
  backend.run({ kind: "recurrent", cell, bias, reverse, save }, forward, [out, ...cells, ...(save ? kept : [])])
  if (!save) return Promise.all([out, ...cells].map((view) => valuesOf(backend, view)))
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
  return Promise.all([out, ...cells, ...kept, projected, ...hidden, dh, ...dc].map((view) => valuesOf(backend, view)))
}

async function compare(cell: RecurrentCell, sizes: Sizes, options: Options, dtype: DType = "float32"): Promise<void> {
  const expected = await outcome(reference, cell, dtype, sizes, options)
  const got = await outcome(device!, cell, dtype, sizes, options)
  const tolerance = dtype === "bfloat16" ? 4e-2 : 2e-5
  got.forEach((list, o) => {
    const limit = tolerance * expected[o].reduce((most, y) => Math.max(most, Math.abs(y)), 1)
    list.forEach((x, i) => {
      const y = expected[o][i]
      if (!(Math.abs(x - y) <= limit)) expect.fail(`output ${o} at ${i}: got ${x}, expected ${y}`)
    })
  })
}

const cells = Object.keys(recurrentCells) as RecurrentCell[]
// Layers that run as one dispatch, with one, two and four rows a thread and with weights that fit workgroup memory or do not; and
// layers that take one a step, with one, few and many rows a workgroup.
const shapes: readonly (readonly [steps: number, batch: number, units: number])[] = [
  [1, 1, 1],
  [3, 2, 5],
  [5, 20, 10],
  [0, 3, 4],
  [4, 0, 4],
  [3, 130, 9],
  [2, 259, 11],
  [3, 3, 140],
  [2, 1, 140],
  [2, 18, 140],
  [1, 129, 140],
]

for (const cell of cells) {
  describe.runIf(device)(cell, () => {
    for (const [i, [steps, batch, units]] of shapes.entries()) {
      const bias = i % 2 === 0
      it(`[${steps}, ${batch}, ${units}]${bias ? " with bias" : ""}`, () =>
        compare(cell, { steps, batch, units }, { bias, reverse: i % 3 !== 0 }))
    }
    for (const reverse of [false, true]) {
      it(`more units than a workgroup has threads${reverse ? ", reversed" : ""}`, () =>
        compare(cell, { steps: 3, batch: 2, units: 257 }, { bias: true, reverse }))
    }
    const small: Sizes = { steps: 4, batch: 9, units: 6 }
    const large: Sizes = { steps: 2, batch: 5, units: 140 }
    for (const [name, sizes] of [
      ["small", small],
      ["large", large],
    ] as const) {
      it(`${name}, of strided operands`, () => compare(cell, sizes, { bias: true, reverse: true, odd: "spread" }))
      it(`${name}, of transposed operands`, () => compare(cell, sizes, { bias: true, reverse: false, odd: "turned" }))
      it(`${name}, without a gradient of the output`, () =>
        compare(cell, sizes, { bias: true, reverse: false, grad: "zero" }))
      it(`${name}, with one gradient for all outputs`, () =>
        compare(cell, sizes, { bias: true, reverse: true, grad: "one" }))
      it(`${name}, without what backward needs`, () =>
        compare(cell, sizes, { bias: true, reverse: false, save: false }))
      it(`${name}, of bfloat16`, () => compare(cell, sizes, { bias: true, reverse: false }, "bfloat16"))
    }
  })
}

describe.runIf(device)("dispatches", () => {
  /** Dispatches of a forward and a backward run. */
  async function count(cell: RecurrentCell, sizes: Sizes): Promise<number> {
    const { queue } = device!.gpu
    const before = queue.dispatches
    await outcome(device!, cell, "float32", sizes, { bias: true, reverse: false })
    return queue.dispatches - before
  }
  it("are three or four for layers that fit workgroups, however long the sequence", async () => {
    expect(await count("tanh", { steps: 100, batch: 4, units: 10 })).toBe(3)
    expect(await count("lstm", { steps: 40, batch: 2, units: 20 })).toBe(3)
    // The weights do not fit: they are turned first.
    expect(await count("gru", { steps: 6, batch: 2, units: 100 })).toBe(4)
  })
  it("are one a step in each direction, and two more, for an LSTM of 256 units over 64 steps", async () => {
    const started = device!.gpu.queue.dispatches
    expect(await count("lstm", { steps: 64, batch: 1, units: 256 })).toBe(64 + 64 + 2)
    expect(device!.gpu.queue.dispatches - started).toBeLessThan(200)
  })
})

it.runIf(device)("NaN and infinities pass as they do in the reference", async () => {
  for (const cell of cells) {
    const run = async (backend: Backend) => {
      const { gates } = recurrentCells[cell]
      const projected = make(backend, "float32", [3, 2, gates * 4], 1)
      const data = Float32Array.from(numbers(3 * 2 * gates * 4, 1))
      data[2] = NaN
      data[gates * 4 + 1] = Infinity
      backend.write(projected.storage, data)
      const state = cell === "lstm" ? [make(backend, "float32", [2, 4], 5)] : []
      const outputs = ["h", ...state].map(() => make(backend, "float32", [3, 2, 4], null))
      const weight = make(backend, "float32", [gates * 4, 4], 2)
      const kernel = { kind: "recurrent", cell, bias: false, reverse: false, save: false } as const
      backend.run(kernel, [projected, weight, make(backend, "float32", [2, 4], 4), ...state], outputs)
      return valuesOf(backend, outputs[0])
    }
    const [got, expected] = [await run(device!), await run(reference)]
    expect(got.map(Number.isNaN)).toEqual(expected.map(Number.isNaN))
    got.forEach((x, i) => Number.isFinite(expected[i]) && expect(Math.abs(x - expected[i])).toBeLessThan(1e-5))
  }
})
