// Cases of the matmul kernel: odd sizes around every tile, batches, transposed and stride-0 operands, bias, accumulate, epilogue.
import { computeDType, type DType, e, isFloat, type MatmulKernel, sizeOf, type View } from "@rondo/backend"
import { compareValues, epsilon } from "../../compare.js"
import { type Layout, type Memory, withMemory } from "../../memory.js"
import { stored } from "../../naive.js"
import type { Case, Context } from "../../suite.js"

interface Setup {
  readonly dtype: DType
  readonly m: number
  readonly k: number
  readonly n: number
  readonly batch?: readonly number[]
  readonly layoutA?: Layout
  readonly layoutB?: Layout
  /** b has no batch dims of its own: stride 0. */
  readonly sharedB?: boolean
  /** One view is both operands, repeated over the batch dims with stride 0. */
  readonly itself?: boolean
  readonly bias?: "full" | "row"
  readonly accumulate?: boolean
  readonly epilogue?: boolean
}

const filled = (count: number, seed: number, dtype: DType): number[] => {
  // Products of uint32 pass 2^32; their sums stay where doubles are exact.
  const scale = isFloat(dtype) ? 0.21 : dtype === "uint32" ? 65537 : 1
  const low = dtype === "uint8" || dtype === "uint32" ? 0 : 9
  return Array.from({ length: count }, (_, i) => stored((((i * 29 + seed * 7) % 19) - low) * scale, dtype))
}

interface Operand {
  readonly view: View
  readonly values: readonly number[]
}

function operand(
  memory: Memory,
  shape: readonly number[],
  dtype: DType,
  seed: number,
  layout: Layout = "plain",
): Operand {
  const values = filled(sizeOf(shape), seed, dtype)
  return { view: memory.view(dtype, shape, values, layout), values }
}

/** The view repeated over leading dims without copying. */
function repeated(view: View, lead: readonly number[]): View {
  return { ...view, shape: [...lead, ...view.shape], strides: [...lead.map(() => 0), ...view.strides] }
}

function naiveProduct(setup: Setup, a: readonly number[], b: readonly number[]): number[] {
  const { m, k, n, batch = [], itself = false, sharedB = itself } = setup
  const out: number[] = []
  for (let p = 0; p < sizeOf(batch); p++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0
        for (let q = 0; q < k; q++)
          sum += a[((itself ? 0 : p) * m + i) * k + q] * b[((sharedB ? 0 : p) * k + q) * n + j]
        out.push(sum)
      }
    }
  }
  return out
}

async function runSetup(context: Context, memory: Memory, setup: Setup): Promise<{ got: number[]; want: number[] }> {
  const { dtype, m, k, n, batch = [], itself = false, sharedB = itself } = setup
  const a = operand(memory, itself ? [m, k] : [...batch, m, k], dtype, 1, setup.layoutA)
  const b = itself ? a : operand(memory, sharedB ? [k, n] : [...batch, k, n], dtype, 2, setup.layoutB)
  const shape = [...batch, m, n]
  const bias = setup.bias ? operand(memory, setup.bias === "row" ? [n] : shape, dtype, 3) : null
  const further = setup.epilogue ? operand(memory, shape, dtype, 4) : null
  const out = operand(memory, shape, dtype, 5)
  const compute = computeDType(dtype)
  const x = e.cast(e.input(0, dtype), compute)
  const epilogue = further
    ? e.cast(e.add(e.max(x, e.like(x, 0)), e.cast(e.input(1, dtype), compute)), dtype)
    : undefined
  const kernel: MatmulKernel = { kind: "matmul", bias: bias !== null, accumulate: setup.accumulate, epilogue }
  const second = sharedB ? repeated(b.view, batch) : b.view
  const views = [itself ? second : a.view, second]
  if (bias) views.push(setup.bias === "row" ? repeated(bias.view, shape.slice(0, -1)) : bias.view)
  if (further) views.push(further.view)
  context.backend.run(kernel, views, [out.view])
  const want = naiveProduct(setup, a.values, b.values).map((sum, i) => {
    let value = sum
    if (bias) value += bias.values[i % bias.values.length]
    if (setup.accumulate) value += out.values[i]
    if (further) value = Math.max(value, 0) + further.values[i]
    return stored(value, dtype)
  })
  return { got: await memory.read(out.view), want }
}

function matmulCase(context: Context, setup: Setup): Case {
  const { dtype, m, k, n, batch = [], layoutA = "plain", layoutB = "plain" } = setup
  const run: Case["run"] = (tolerance) =>
    withMemory(context.backend, async (memory) => {
      const { got, want } = await runSetup(context, memory, setup)
      // Each product is at most 4; a sum of k of them in any order is off by about k roundings, and the store by one more.
      const slack = isFloat(dtype) ? epsilon(dtype) + epsilon(computeDType(dtype)) * k : 0
      return compareValues(got, want, dtype, tolerance ?? { rtol: 2 * slack, atol: 4 * slack }, { source: "naive" })
    })
  const extras = [
    setup.sharedB && "shared b",
    setup.itself && "by itself",
    setup.bias && `${setup.bias} bias`,
    setup.accumulate && "accumulate",
    setup.epilogue && "epilogue",
  ]
  const text =
    `${[...batch, `${m}x${k}x${n}`].join(" ")} ${layoutA} ${layoutB} ${extras.filter(Boolean).join(" ")}`.trim()
  return { id: text, op: "matmul", dtype, run }
}

const sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 70]

function sizeSweep(dtype: DType): Setup[] {
  return sizes.map((m, i) => ({ dtype, m, k: sizes[(i * 5 + 3) % sizes.length], n: sizes[(i * 7 + 1) % sizes.length] }))
}

const layouts: readonly Layout[] = ["plain", "permuted", "stepped", "reversed"]

function structures(dtype: DType): Setup[] {
  const base = { dtype, m: 5, k: 6, n: 7 }
  return [
    ...layouts.flatMap((layoutA) => layouts.map((layoutB) => ({ ...base, layoutA, layoutB }))),
    { ...base, layoutA: "permuted", layoutB: "permuted", m: 33, k: 17, n: 20 },
    { ...base, batch: [3] },
    { ...base, batch: [2, 3], layoutA: "permuted" },
    { ...base, batch: [3], sharedB: true },
    { ...base, batch: [2, 2], sharedB: true, layoutA: "stepped" },
    { ...base, batch: [3], itself: true, k: 5, n: 5 },
    { ...base, batch: [3], itself: true, k: 5, n: 5, bias: "row", layoutA: "permuted" },
    { ...base, bias: "full" },
    { ...base, bias: "row" },
    { ...base, batch: [2], bias: "row", sharedB: true },
    { ...base, accumulate: true },
    { ...base, accumulate: true, bias: "row", m: 20, k: 9, n: 35 },
    { ...base, epilogue: true },
    { ...base, epilogue: true, bias: "full", accumulate: true },
    { ...base, m: 1, k: 70, n: 1 },
    { ...base, m: 70, k: 1, n: 70 },
    { ...base, m: 1, k: 33, n: 65 },
    { ...base, m: 65, k: 33, n: 1 },
    { ...base, k: 200 },
  ]
}

/** What a dtype's arithmetic shows in: sums that are added to, and long ones. */
const arithmetic = ({ bias, accumulate, epilogue, k }: Setup): boolean =>
  bias === "full" || accumulate === true || epilogue === true || k >= 70

/** bool has no products, and core never multiplies uint8 matrices of more than it can hold. */
export function matmulCases(context: Context): Case[] {
  const usable = context.dtypes.filter((dtype) => dtype !== "bool" && dtype !== "uint8")
  const swept = usable.filter((dtype) => dtype === "float32" || dtype === "float64")
  const structured = usable.flatMap((dtype) =>
    // Layouts are those of int32.
    dtype === "uint32" ? structures(dtype).filter(arithmetic) : structures(dtype),
  )
  return [...swept.flatMap(sizeSweep), ...structured].map((setup) => matmulCase(context, setup))
}
