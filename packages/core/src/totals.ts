// Sums and means of an element-wise operation whose elements are written nowhere: what losses are. One kernel adds up the row's
// expression, and one gives all gradients.
import { type DType, DTypeError, e, type Expr, isFloat, type ReduceKernel, sizeOf } from "@rondo/backend"
import { commonDevice, execute, output, recordOp } from "./apply.js"
import { defaultDType } from "./defaults.js"
import { checkDeviceDType } from "./device.js"
import { apart, type Definition, definitions, keepOf, recorded, resultShape } from "./elementwise.js"
import { mode, type Operand, type Rule, wantsGrad } from "./graph.js"
import { div } from "./ops/arithmetic.js"
import { expand } from "./ops/movement.js"
import { stretched } from "./place.js"
import { type BinaryOp, type Input, isFractional, rowValue, type TernaryOp, type UnaryOp, type Vjp } from "./row.js"
import type { Tensor } from "./tensor.js"
import { fusedRule } from "./trace.js"

/** What is added up, and whether the sum is divided by how many there are. */
export type Total = "sum" | "mean"

// Rules are made outside of the operations: closures of one function share what they capture, and a rule must not hold operands.
type TotalRule = (shape: readonly number[]) => Rule
const rules = new WeakMap<Definition, Map<Total, TotalRule>>()

/** Where a mean keeps how many elements there were: as an operand, since what rules make of parameters is compiled for each value. */
const countOf = (definition: Definition): "y" | "z" | null => (["y", "z"] as const)[definition.arity - 1] ?? null

/** The gradient of the row with that of the total in the place of each element's. */
function totalRule(definition: Definition, total: Total): TotalRule {
  let known = rules.get(definition)
  if (!known) rules.set(definition, (known = new Map()))
  const found = known.get(total)
  if (found) return found
  const { row } = definition
  const own = typeof row.vjp === "function" ? [row.vjp] : (row.vjp ?? [])
  const slot = total === "mean" ? countOf(definition) : null
  const each = own.map((rule): Vjp | null => (rule && slot ? (g, saved) => rule(div(g, saved[slot]), saved) : rule))
  const fused = fusedRule(each, heldFor(definition, total))
  const made: TotalRule =
    (shape) =>
    ([g], saved) => {
      if (!g) return []
      const grads = [expand(total === "mean" && !slot ? div(g, sizeOf(shape)) : g, shape)]
      // Second derivatives need the rule's own operations on the tape; otherwise one kernel does the same.
      return (mode.record ? null : fused(grads, saved)) ?? apart(each, grads, saved)
    }
  known.set(total, made)
  return made
}

/** What the gradients read, the count among it. */
function heldFor(definition: Definition, total: Total): ReturnType<typeof keepOf> {
  const { keep, keepFor } = keepOf(definition.row)
  const slot = total === "mean" ? countOf(definition) : null
  if (!slot) return { keep, keepFor }
  return { keep: [...keep, slot], keepFor: keepFor?.map((reads) => [...reads, slot]) }
}

/**
 * The sum or the mean of an element-wise operation, as a tensor without dims: `totalOf("mean", squaredError, [x, y])` is
 * `squaredError(x, y).mean()` in fewer kernels. 16-bit floats add up in float32.
 *
 * Throws what the operation itself would for operands that do not fit together, and a DTypeError for operations that give no
 * floats or whose gradient reads the result of each element.
 *
 * @param params - The operation's parameters, all of them.
 * @example
 * ```ts
 * const loss = totalOf("mean", squaredError, [tensor([1, 2]), tensor([1, 4])])
 * console.log(await loss.item()) // 2
 * ```
 */
export function totalOf(
  total: Total,
  { op: info }: UnaryOp | BinaryOp | TernaryOp,
  operands: readonly Input[],
  params: readonly number[] = [],
): Tensor {
  const definition = definitions.get(info) as Definition
  const tensors = operands.filter((x): x is Tensor => typeof x === "object")
  const device = commonDevice(info.name, tensors)
  const shape = resultShape(info.name, tensors)
  const { kernel, dtype } = compiled(definition, operands, params, shape.length)
  checkDeviceDType(info.name, device, dtype)
  const sum = output(device, [], dtype)
  const ones = shape.map(() => 1)
  const numbers = operands.flatMap((x) => (typeof x === "object" ? [] : [Number(x)]))
  const views = tensors.map((x) => stretched(x, shape))
  execute(kernel, views, [{ storage: sum.storage, dtype, device, shape: ones, strides: ones, offset: 0 }], [...numbers, ...params]) // prettier-ignore
  const count = sizeOf(shape)
  const out = total === "mean" ? div(sum, count) : sum
  if (info.vjp !== null && wantsGrad(operands as Operand[])) {
    const held = { name: total, ...heldFor(definition, total), vjp: totalRule(definition, total)(shape) }
    const inputs = recorded(definition, operands, out)
    recordOp(held, total === "mean" && countOf(definition) ? [...inputs, count] : inputs, [out], params)
  }
  return out
}

/** The kernel for this combination of dtypes and numbers over `rank` dims, and the dtype of the elements. */
function compiled({ row, info }: Definition, operands: readonly Input[], params: readonly number[], rank: number) {
  const kinds = operands.map((x) => (typeof x === "object" ? `${x.dtype}${x.ndim > 0}` : Number.isInteger(x) ? "i" : typeof x)) // prettier-ignore
  const fractional = isFractional(row, params)
  const key = `${row.name} ${rank} ${kinds.join()} ${fractional} ${defaultDType()}`
  const found = made.get(key)
  if (found) return found
  let [tensors, scalars] = [0, 0]
  const read = (x: Input, dtype: DType): Expr =>
    typeof x === "object" ? e.cast(e.input(tensors++, x.dtype), dtype) : e.scalar(scalars++, dtype)
  const given = (dtype: DType): Expr[] => params.map((_, i) => e.scalar(scalars + i, dtype))
  const { value, dtype } = rowValue<Tensor>(row, operands, fractional, read, given)
  if (!isFloat(dtype) || info.keep.includes("out"))
    throw new DTypeError(`${row.name}: only sums of floats whose gradients do not read the elements are formed at once`)
  const dims = Array.from({ length: rank }, (_, d) => d)
  const kernel: ReduceKernel = { kind: "reduce", op: "sum", dims, expr: value }
  const fresh = { kernel, dtype }
  made.set(key, fresh)
  return fresh
}
const made = new Map<string, { readonly kernel: ReduceKernel; readonly dtype: DType }>()
