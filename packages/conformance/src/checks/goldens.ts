// Check: the recorded calls of PyTorch, replayed on the backend: values and gradients must be PyTorch's.
import type { DType } from "@rondo/backend"
import { type Device, encode, grad, ops, type Tensor, upload } from "@rondo/core"
import { isDifferentiable, tensorsIn } from "../calls.js"
import { compareHosts, fail, hold, type Tolerance, tolerances } from "../compare.js"
import type { GoldenCall, Goldens } from "../goldens.js"
import { read } from "../read.js"
import type { Case, Check, Context } from "../suite.js"

/** Operations of the table that PyTorch has no counterpart for, each with the reason. */
const withoutCounterpart: Readonly<Record<string, string>> = {}

/** Operations whose gradients PyTorch computes with constants of float32 even in float64. */
const narrowConstants: readonly string[] = ["hardsigmoid", "celu"]

type Free = (...args: unknown[]) => unknown

/** The function that a name stands for: an operation, or the in-place form of an element-wise one. */
function functionOf(name: string): Free | null {
  if (ops[name]) return ops[name] as unknown as Free
  const base = ops[name.slice(0, -1)]?.op
  return name.endsWith("_") && base?.family === "elementwise" ? (base.inPlace as unknown as Free) : null
}

const numbers: Readonly<Record<string, number>> = { NaN, Infinity, "-Infinity": -Infinity }

/** Arguments as the file has them, with tensors on the device; `made` collects those in order. */
function argument(x: unknown, make: (name: string) => Tensor): unknown {
  if (Array.isArray(x)) return x.map((item) => argument(item, make))
  if (x === null || typeof x !== "object") return x
  const fields = x as Record<string, unknown>
  if (typeof fields.$ === "string") return make(fields.$)
  if (typeof fields["#"] === "string") return numbers[fields["#"]]
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, argument(value, make)]))
}

/** Uploads a tensor of the file; a device without int64 gets int32. */
function tensorOf(goldens: Goldens, device: Device, name: string): Tensor {
  const { dtype, shape, values } = goldens.tensor(name)
  return upload(device, encode(values, dtype), shape, dtype)
}

// Tolerances against another implementation of exp and its kin: both may be off by a few roundings.
const looser = (dtype: DType): Tolerance =>
  dtype === "float64"
    ? { rtol: 1e-9, atol: 1e-11 }
    : dtype === "float32"
      ? { rtol: 2e-5, atol: 4e-6 }
      : tolerances(dtype)

const hasName = (names: readonly (string | null)[] | undefined, i: number): boolean => typeof names?.[i] === "string"

interface Replay {
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly Tensor[]
}

async function replay(goldens: Goldens, device: Device, call: GoldenCall): Promise<Replay> {
  const f = functionOf(call.op)
  if (!f) return fail(`the table has no operation ${call.op}`)
  const inputs: Tensor[] = []
  const make = (name: string): Tensor => {
    const x = tensorOf(goldens, device, name)
    const wanted = hasName(call.grads, inputs.length)
    inputs.push(wanted ? x.requiresGrad_() : x)
    return inputs[inputs.length - 1]
  }
  const args = call.args.map((x) => argument(x, make))
  // A leaf cannot be changed in place: its copy is.
  if (call.inPlace) args[0] = (args[0] as Tensor).clone()
  return { inputs, outputs: tensorsIn(await f(...args)) }
}

async function compareCall(
  context: Context,
  goldens: Goldens,
  call: GoldenCall,
  tolerance: Tolerance | null,
): Promise<number> {
  const { inputs, outputs } = await replay(goldens, context.device, call)
  hold(outputs.length === call.out.length, `got ${outputs.length} results, PyTorch ${call.out.length}`)
  let worst = 0
  for (const [i, y] of outputs.entries()) {
    const what = outputs.length > 1 ? `result ${i}` : ""
    const want = goldens.tensor(call.out[i])
    worst = Math.max(
      worst,
      compareHosts(await read(y), want, tolerance ?? looser(want.dtype), { what, source: "PyTorch" }),
    )
  }
  if (!call.grads) return worst
  const roots = outputs.filter((_, i) => hasName(call.cotangents, i))
  const seeds = (call.cotangents ?? []).flatMap((name) =>
    name === null ? [] : [tensorOf(goldens, context.device, name)],
  )
  const wanted = inputs.filter((_, i) => hasName(call.grads, i))
  const names = call.grads.filter((name): name is string => name !== null)
  if (!roots.some((y) => y.requiresGrad)) {
    // Where PyTorch records a gradient of zeros, as through floor division, none at all is as good.
    hold(
      names.every((name) => Array.from(goldens.tensor(name).values).every((x) => x === 0)),
      "the results carry no gradient",
    )
    return worst
  }
  const found = grad(roots, wanted, { gradOutputs: seeds, allowUnused: true })
  for (const [i, g] of found.entries()) {
    const want = goldens.tensor(names[i])
    // PyTorch says zeros where nothing flows; none is as good.
    if (g === null)
      hold(
        Array.from(want.values).every((x) => x === 0),
        `gradient ${i}: got none, PyTorch some`,
      )
    else
      worst = Math.max(
        worst,
        compareHosts(
          await read(g),
          want,
          tolerance ?? looser(narrowConstants.includes(call.op) ? "float32" : want.dtype),
          { what: `gradient ${i}`, source: "PyTorch" },
        ),
      )
  }
  return worst
}

/** Whether the backend has every dtype that the call needs. */
function runnable(context: Context, goldens: Goldens, call: GoldenCall): boolean {
  const names: string[] = [...call.out]
  const collect = (x: unknown): void => {
    if (Array.isArray(x)) x.forEach(collect)
    else if (x !== null && typeof x === "object") {
      const { $ } = x as { $?: string }
      if (typeof $ === "string") names.push($)
      else Object.values(x).forEach(collect)
    }
  }
  collect(call.args)
  const dtypes = [call.dtype, ...names.map((name) => goldens.tensor(name).dtype)]
  return dtypes.every((dtype) => context.dtypes.includes(dtype))
}

/** Every operation must have been recorded; otherwise its name stands in the list above, with a reason. */
function coverage(goldens: Goldens, name: string): Case {
  const run = (): void => {
    const calls = goldens.calls.filter((call) => call.op === name)
    const reason = withoutCounterpart[name]
    if (reason) return hold(calls.length === 0, `has golden values, and also a reason for having none: ${reason}`)
    hold(calls.length > 0, "has no golden values: add a call to goldens/ops_*.py and run ops.py")
    const gradients = calls.some((call) => call.grads?.some((g) => g !== null))
    hold(gradients || !isDifferentiable(name), "is differentiable, and no golden call has gradients")
  }
  return { id: "is recorded", op: name, dtype: "-", run }
}

export const goldensCheck: Check = {
  name: "goldens",
  about: "Values and gradients are those of PyTorch 1.13.1, call for call, and every operation has such calls.",
  cases: (context) => {
    const { goldens } = context
    if (!goldens)
      return [
        { id: "file", op: "goldens", dtype: "-", run: () => fail("no golden values were given: pass options.goldens") },
      ]
    const calls = goldens.calls.filter((call) => runnable(context, goldens, call))
    return [
      ...Object.keys(ops).map((name) => coverage(goldens, name)),
      ...calls.map((call): Case => ({
        id: call.id,
        op: call.op,
        dtype: call.dtype,
        run: (tolerance) => compareCall(context, goldens, call, tolerance),
      })),
    ]
  },
}
