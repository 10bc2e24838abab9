// Check: first and second derivatives of every differentiable operation against finite differences in float64.
import { isFloat, sizeOf } from "@rondo/backend"
import { gradcheck, gradgradcheck, type Tensor } from "@rondo/core"
import { type Call, synchronousNames, place } from "../calls.js"
import { hold } from "../compare.js"
import { differentiable } from "../read.js"
import type { Case, Check, Context } from "../suite.js"
import { differentiableCalls } from "./backward.js"

/** Calls whose gradient is by definition not the derivative: compared with PyTorch's alone. */
const notDerivatives: Readonly<Record<string, RegExp>> = { embedding: /paddingIdx|scaleGradByFreq/ }

const moves = (call: Call): boolean => call.leaves.some((leaf) => leaf.wrt && sizeOf(leaf.shape) > 0)

function cases(context: Context, name: string, order: 1 | 2): Case[] {
  return differentiableCalls(name)
    .filter((call) => moves(call) && !notDerivatives[name]?.test(call.label))
    .map((call) => ({
      id: call.label,
      op: name,
      dtype: "float64",
      run: async () => {
        const tensors = place(call, context.device, "float64", true)
        const f = (...inputs: Tensor[]): Tensor[] => call.run(inputs)
        // A result may lack gradients by its arguments alone (a conversion to an integer dtype): then none are due.
        const outputs = call.run(tensors)
        if (differentiable(outputs).length === 0) {
          return hold(
            outputs.every((y) => !isFloat(y.dtype) || sizeOf(y.shape) === 0),
            "a float result carries no gradient",
          )
        }
        // A narrower dtype on the way makes finite differences noise.
        if (outputs.some((y) => isFloat(y.dtype) && y.dtype !== "float64")) return
        await (order === 1 ? gradcheck : gradgradcheck)(f, tensors)
      },
    }))
}

const available = (context: Context): boolean => context.dtypes.includes("float64")

export const firstOrder: Check = {
  name: "gradcheck",
  about: "Gradients agree with central differences in float64, on devices that have float64.",
  cases: (context) => (available(context) ? synchronousNames().flatMap((name) => cases(context, name, 1)) : []),
}

export const secondOrder: Check = {
  name: "gradgradcheck",
  about: "Gradients of gradients agree with central differences in float64, on devices that have float64.",
  cases: (context) => (available(context) ? synchronousNames().flatMap((name) => cases(context, name, 2)) : []),
}
