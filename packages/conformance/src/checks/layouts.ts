// Check: an operation does not care how its operands lie in memory.
import { type DType, isFloat, sizeOf } from "@rondo/backend"
import { type Device, encode, type Tensor, upload } from "@rondo/core"
import { type Call, isDifferentiable, opCalls, opNames, place, type Place } from "../calls.js"
import { compareHosts, hold, tolerances } from "../compare.js"
import { outcome } from "../read.js"
import type { Case, Check, Context } from "../suite.js"
import { type Leaf, valuesAs } from "../values.js"

interface Geometry {
  readonly strides: readonly number[]
  readonly offset: number
  readonly size: number
}

/** How the dims lie: from the innermost in memory outwards, with the gap between neighbours. */
function laid(shape: readonly number[], order: readonly number[], gap: number, offset: number): Geometry {
  const strides = new Array<number>(shape.length).fill(1)
  let step = gap
  for (const d of order) {
    strides[d] = step
    step *= Math.max(1, shape[d])
  }
  return { strides, offset, size: offset + Math.max(step, 1) + 1 }
}

const dims = (shape: readonly number[]): number[] => shape.map((_, d) => d)

function flipped(shape: readonly number[]): Geometry {
  const plain = laid(shape, dims(shape).reverse(), 1, 0)
  const last = shape.reduce((sum, size, d) => sum + Math.max(0, size - 1) * plain.strides[d], 0)
  return { strides: plain.strides.map((s) => -s), offset: last, size: plain.size }
}

const layouts: Record<string, (shape: readonly number[]) => Geometry> = {
  transposed: (shape) => laid(shape, dims(shape), 1, 0),
  stepped: (shape) => laid(shape, dims(shape).reverse(), 2, 1),
  flipped,
  offset: (shape) => laid(shape, dims(shape).reverse(), 1, 3),
  expanded: (shape) => {
    // The first dim that can be stretched has stride 0; the others lie as usual.
    const stretched = shape.findIndex((size) => size > 1)
    const plain = laid(shape.map((size, d) => (d === stretched ? 1 : size)), dims(shape).reverse(), 1, 0) // prettier-ignore
    return { ...plain, strides: plain.strides.map((s, d) => (d === stretched ? 0 : s)) }
  },
}

function positions(shape: readonly number[], { strides, offset }: Geometry): number[] {
  let list = [offset]
  shape.forEach((size, d) => {
    list = list.flatMap((at) => Array.from({ length: size }, (_, i) => at + i * strides[d]))
  })
  return list
}

/** Puts a leaf's numbers down in a layout, with other numbers in between. */
const placeIn =
  (layout: string): Place =>
  (device: Device, leaf: Leaf, dtype: DType): Tensor => {
    const geometry = layouts[layout](leaf.shape)
    const memory = new Array<number>(geometry.size).fill(dtype === "bool" ? 1 : leaf.kind === "int" ? 0 : 77)
    const values = valuesAs(leaf, dtype)
    positions(leaf.shape, geometry).forEach((at, i) => (memory[at] = values[i]))
    return upload(device, encode(memory, dtype), [geometry.size], dtype).asStrided(
      leaf.shape,
      geometry.strides,
      geometry.offset,
    )
  }

const refusesLayout = (error: Error | null): boolean =>
  error?.name === "ShapeError" && /strides|contiguous|share memory/.test(error.message)

function layoutCase(context: Context, call: Call, layout: string, dtype: DType): Case {
  const run: Case["run"] = async (tolerance) => {
    const grads = isDifferentiable(call.name) && isFloat(dtype)
    const strided = place(call, context.device, dtype, grads, placeIn(layout))
    const plain = strided.map((x) => x.detach().clone().requiresGrad_(x.requiresGrad))
    const want = await outcome(call, plain, grads)
    const got = await outcome(call, strided, grads)
    if (got.error && !want.error && refusesLayout(got.error)) return
    hold(got.error?.message === want.error?.message, `got ${String(got.error)}, contiguous ${String(want.error)}`)
    let worst = 0
    const options = { source: "contiguous" }
    got.outputs.forEach((y, i) => {
      worst = Math.max(
        worst,
        compareHosts(y, want.outputs[i], tolerance ?? tolerances(y.dtype), { ...options, what: `result ${i}` }),
      )
    })
    got.gradients.forEach((g, i) => {
      const other = want.gradients[i]
      if (g && other)
        worst = Math.max(
          worst,
          compareHosts(g, other, tolerance ?? tolerances(g.dtype), { ...options, what: `gradient ${i}` }),
        )
    })
    return worst
  }
  return { id: `${layout} ${call.label}`, op: call.name, dtype, run }
}

// Kernels may pack narrow dtypes into words: their addresses are worth a test of their own.
const probed: readonly DType[] = ["float32", "int32", "uint8", "bool", "bfloat16"]

export const layoutsCheck: Check = {
  name: "layouts",
  about:
    "Transposed, stepped, reversed, expanded and offset operands give what contiguous copies give, gradients included.",
  cases: (context) =>
    opNames().flatMap((name) =>
      probed.filter((dtype) => context.dtypes.includes(dtype)).flatMap((dtype) => {
        const calls = opCalls(name).filter((call) => call.leaves.some((leaf) => leaf.shape.length > 0 && sizeOf(leaf.shape) > 1))
        const some = dtype === "float32" ? calls : calls.slice(0, 1)
        return some.flatMap((call) => Object.keys(layouts).map((layout) => layoutCase(context, call, layout, dtype)))
      }),
    ), // prettier-ignore
}
