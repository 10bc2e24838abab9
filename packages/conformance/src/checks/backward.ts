// Check: gradients on the backend are those on the reference. Whether those are right is gradcheck's work.
import { type DType, isFloat } from "@rondo/backend"
import { type Call, inPlaceCalls, isDifferentiable, opCalls, opNames, place } from "../calls.js"
import { compareHosts, fail, tolerances } from "../compare.js"
import { outcome, sameError } from "../read.js"
import type { Case, Check, Context } from "../suite.js"

function backwardCase(context: Context, call: Call, dtype: DType): Case {
  const run: Case["run"] = async (tolerance) => {
    const { device, reference } = context
    const want = await outcome(call, place(call, reference, dtype, true), true)
    const got = await outcome(call, place(call, device, dtype, true), true)
    if (want.error || got.error) {
      return sameError(got, want, context)
    }
    let worst = 0
    want.gradients.forEach((g, i) => {
      const own = got.gradients[i]
      if ((g === null) !== (own === null))
        fail(`gradient ${i}: got ${own ? "one" : "none"}, reference ${g ? "one" : "none"}`)
      if (g && own)
        worst = Math.max(worst, compareHosts(own, g, tolerance ?? tolerances(g.dtype), { what: `gradient ${i}` }))
    })
    return worst
  }
  return { id: call.label, op: call.name, dtype, run }
}

const movable = (call: Call): boolean => call.leaves.some((leaf) => leaf.kind === "float" && leaf.wrt)

/** Calls through which gradients flow, in-place forms included. */
export const differentiableCalls = (name: string): Call[] =>
  isDifferentiable(name) ? [...opCalls(name), ...inPlaceCalls(name).filter((call) => call.label.startsWith("in place"))].filter(movable) : [] // prettier-ignore

export const backward: Check = {
  name: "backward",
  about:
    "Gradients of every differentiable operation, in-place forms included, are the reference's in every float dtype.",
  cases: (context) =>
    opNames().flatMap((name) =>
      context.dtypes
        .filter(isFloat)
        .flatMap((dtype) => differentiableCalls(name).map((call) => backwardCase(context, call, dtype))),
    ),
}
