// Gradient rules as one kernel: a rule is run once on expressions in place of tensors, and what it computes becomes a map.
// The rule stays the one definition; recorded backward passes still run it operation by operation.
import { computeDType, type DType, e, type Expr, isFloat, type MapKernel, sizeOf, type View } from "@rondo/backend"
import { execute, type OpInfo, output } from "./apply.js"
import type { Kept, Saved } from "./graph.js"
import { stretched } from "./place.js"
import { isFractional, type Input, type Row, rowValue, type Vjp } from "./row.js"
import { Tensor } from "./tensor.js"

/** Stands for a tensor inside a rule that is being traced. Its methods are Tensor's; only element-wise ones answer. */
interface Traced extends Tensor {
  readonly expr: Expr
}

/** Thrown inside a trace by whatever is not element-wise: the rule is then run operation by operation, always. */
class Untraceable extends Error {}

let tracing = false
export const isTracing = (): boolean => tracing

// All dims of the result count as one here: what matters for promotion is only whether there are any.
function traced(expr: Expr, dtype: DType, dimensional: boolean): Traced {
  const own = { expr, dtype, shape: dimensional ? [1] : [], storage: null, check: untraceable }
  return Object.assign(Object.create(Tensor.prototype) as Traced, own)
}

function untraceable(): never {
  throw new Untraceable("not element-wise")
}

/** A row's value on traced operands. */
export function traceRow(row: Row, operands: readonly Input[], params: readonly number[]): Tensor {
  const read = (x: Traced | number | boolean, dtype: DType): Expr =>
    typeof x === "object" ? e.cast(x.expr ?? untraceable(), dtype) : e.const(Number(x), dtype)
  const given = operands as readonly (Traced | number | boolean)[]
  const constants = (dtype: DType): Expr[] => params.map((value) => e.const(value, dtype))
  const { value, dtype } = rowValue(row, given, isFractional(row, params), read, constants)
  const dimensional = given.some((x) => typeof x === "object" && x.ndim > 0)
  return traced(value, dtype, dimensional)
}

/** Where a gradient comes from: an output of the kernel, the incoming gradient itself, or nowhere. */
type Source = number | "g" | null

interface Fused {
  readonly kernel: MapKernel
  readonly sources: readonly Source[]
  readonly dtypes: readonly DType[]
}

const names: readonly Kept[] = ["x", "y", "z"]
/** More kernels than this for one operation mean that its parameters vary freely: not worth compiling. */
const mostKernels = 64

type FusedRule = (grads: readonly (Tensor | null)[], saved: Saved) => (Tensor | null)[] | null

/** What is read for the gradients wanted: a bit for each input. */
function readsOf({ keep, keepFor }: Pick<OpInfo, "keep" | "keepFor">): (wants: number) => readonly Kept[] {
  if (!keepFor) return () => keep
  const known: (readonly Kept[])[] = []
  return (wants) =>
    (known[wants] ??= [...names, "out" as const].filter((k) =>
      keepFor.some((reads, i) => wants & (1 << i) && reads.includes(k)),
    ))
}

/** The rules of an operation as one kernel for each combination of dtypes and wants; null where that cannot be. */
export function fusedRule(rules: readonly (Vjp | null)[], held: Pick<OpInfo, "keep" | "keepFor">): FusedRule {
  const compiled = new Map<string, Fused | null>()
  const reads = readsOf(held)
  return ([g], saved) => {
    if (!g) return []
    let wants = 0
    for (let i = 0; i < saved.needs.length; i++) if (saved.needs[i]) wants |= 1 << i
    const kept = reads(wants)
    let key = `${g.dtype}${g.ndim > 0}${wants}`
    if (saved.params.length > 0) key += ` ${saved.params.join()}`
    const values: (Tensor | number)[] = []
    for (const k of kept) {
      const v = saved[k] as Tensor | number
      values.push(v)
      key += typeof v === "number" ? " n" : ` ${v.dtype}${v.ndim > 0}`
    }
    let fused = compiled.get(key)
    if (fused === undefined) {
      if (compiled.size >= mostKernels) return null
      fused = trace(rules, g, kept, values, saved)
      compiled.set(key, fused)
    }
    return fused && run(fused, g, values)
  }
}

function trace(
  rules: readonly (Vjp | null)[],
  g: Tensor,
  kept: readonly Kept[],
  values: readonly (Tensor | number)[],
  saved: Saved,
): Fused | null {
  let inputs = 0
  let scalars = 0
  const stand = (x: Tensor): Traced =>
    traced(e.cast(e.input(inputs++, x.dtype), computeDType(x.dtype)), x.dtype, x.ndim > 0)
  const symbol = stand(g)
  const compute = computeDType(g.dtype)
  const stands = values.map((v) =>
    typeof v === "number" ? traced(e.scalar(scalars++, compute), g.dtype, false) : stand(v),
  )
  const view = { needs: saved.needs, params: saved.params, shapes: saved.shapes }
  kept.forEach((k, i) => Object.assign(view, { [k]: stands[i] }))
  const results = evaluate(rules, symbol, view as unknown as Saved)
  if (!results) return null
  const exprs: Expr[] = []
  const dtypes: DType[] = []
  const sources = results.map((r): Source => {
    if (r === null || r === symbol) return r && "g"
    dtypes.push(r.dtype)
    return exprs.push(e.cast(r.expr, r.dtype)) - 1
  })
  if (dtypes.some((dtype) => !isFloat(dtype))) return null
  return { kernel: { kind: "map", exprs }, sources, dtypes }
}

function evaluate(rules: readonly (Vjp | null)[], g: Traced, saved: Saved): (Traced | null)[] | null {
  tracing = true
  try {
    return rules.map((rule, i) => (rule && saved.needs[i] ? (rule(g, saved) as Traced) : null))
  } catch (error) {
    if (error instanceof Untraceable) return null
    throw error
  } finally {
    tracing = false
  }
}

function run({ kernel, sources, dtypes }: Fused, g: Tensor, values: readonly (Tensor | number)[]): (Tensor | null)[] {
  const outputs = dtypes.map((dtype) => output(g.device, g.shape, dtype))
  if (outputs.length > 0 && sizeOf(g.shape) > 0) {
    const inputs: View[] = [g]
    const scalars: number[] = []
    for (const v of values) {
      if (typeof v === "number") scalars.push(v)
      else inputs.push(stretched(v, g.shape))
    }
    execute(kernel, inputs, outputs, scalars)
  }
  return sources.map((source) => (source === "g" ? g : source === null ? null : outputs[source]))
}
