// Check: every operation gives what the reference gives, in every dtype, or throws the same error.
import { type DType, isFloat } from "@rondo/backend"
import { ops } from "@rondo/core"
import { type Call, opCalls, opNames, place, specialCalls } from "../calls.js"
import { compareHosts, fail, tolerances } from "../compare.js"
import { outcome, sameError } from "../read.js"
import type { Case, Check, Context } from "../suite.js"

function forwardCase(context: Context, call: Call, dtype: DType): Case {
  const run: Case["run"] = async (tolerance) => {
    const { device, reference } = context
    const want = await outcome(call, place(call, reference, dtype), false)
    const got = await outcome(call, place(call, device, dtype), false)
    if (want.error || got.error) {
      return sameError(got, want, context)
    }
    if (got.outputs.length !== want.outputs.length)
      fail(`got ${got.outputs.length} results, reference ${want.outputs.length}`)
    const errors = got.outputs.map((y, i) => {
      const what = got.outputs.length > 1 ? `result ${i}` : ""
      return compareHosts(y, want.outputs[i], tolerance ?? tolerances(y.dtype), { what })
    })
    return Math.max(0, ...errors)
  }
  return { id: call.label, op: call.name, dtype, run }
}

/** Operations in which an integer's sign can show: those that stay integers, and order or add them. */
function showsSign(name: string): boolean {
  const { op } = ops[name]
  return op.family === "elementwise" ? op.float !== true : op.family === "reduce" || op.family === "indexing"
}

/**
 * Integers and bools are tried on fewer shapes: the dtype is what differs, and many operations refuse it. uint32, whose kernels
 * are those of int32 but for the sign, is tried once, where that shows.
 */
function callsFor(name: string, dtype: DType): Call[] {
  if (dtype === "uint32") return showsSign(name) ? opCalls(name).slice(0, 1) : []
  const calls = opCalls(name)
  if (isFloat(dtype)) return [...calls, ...specialCalls(name)]
  return calls.filter((call, i) => i < 2 || call.label.includes("{"))
}

export const forward: Check = {
  name: "forward",
  about:
    "Every operation gives the reference's values, or its error, in every dtype: broadcast, empty, size 1, no dims, special values.",
  cases: (context) =>
    opNames().flatMap((name) =>
      context.dtypes.flatMap((dtype) => callsFor(name, dtype).map((call) => forwardCase(context, call, dtype))),
    ),
}
