// Check: every operation gives what the reference gives, in every dtype, or throws the same error.
import { type DType, isFloat } from "@rondo/backend"
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

/** Integers and bools are tried on fewer shapes: the dtype is what differs, and many operations refuse it. */
function callsFor(name: string, dtype: DType): Call[] {
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
