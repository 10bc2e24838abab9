// Check: operations leave their operands alone, share memory only where they say so, and in-place forms are counted.
import { type DType, DTypeError, isFloat } from "@rondo/backend"
import { noGrad, ops, type Tensor } from "@rondo/core"
import { type Call, inPlaceCalls, isDifferentiable, opCalls, synchronousNames, place } from "../calls.js"
import { compareHosts, hold } from "../compare.js"
import { gradients, read, readAll } from "../read.js"
import type { Case, Check, Context } from "../suite.js"

const isView = (name: string): boolean => {
  const { op } = ops[name]
  return op.family !== "elementwise" && op.view === true
}

/** Operations that are no views and still may hand back their operand, or a window on it: PyTorch's do as well. */
const mayShare: Readonly<Record<string, string>> = {
  contiguous: "hands back what is contiguous",
  toDType: "hands back what has the dtype",
  einsum: "an equation that only rearranges one operand shows it",
  meshgrid: "coordinates are stretched views of the vectors",
  diff: "of order 0 there is nothing to do",
}
/** Views that copy for some arguments. */
const mayCopy: Readonly<Record<string, string>> = {
  index: "lists, masks and tensors of indices pick elements from anywhere",
}

const exact = {}

function inputsUnchanged(context: Context, call: Call, dtype: DType): Case {
  const run = async (): Promise<void> => {
    const grads = isDifferentiable(call.name) && isFloat(dtype)
    const tensors = place(call, context.device, dtype, grads)
    const before = await readAll(tensors)
    const versions = tensors.map((x) => x.handle.version)
    const recorded = call.run(tensors)
    if (grads) gradients(recorded, tensors)
    const plain = noGrad(() => call.run(tensors))
    for (const [i, x] of tensors.entries()) {
      compareHosts(await read(x), before[i], exact, {
        what: `operand ${i}`,
        source: "before the call",
        signedZero: true,
      })
      hold(x.handle.version === versions[i], `operand ${i}: its version changed`)
    }
    const values = await readAll(recorded)
    for (const [i, y] of plain.entries()) {
      compareHosts(await read(y), values[i], exact, {
        what: `result ${i} under noGrad`,
        source: "recorded",
        signedZero: true,
      })
      hold(!y.requiresGrad || tensors.includes(y), `result ${i} under noGrad requires gradients`)
    }
  }
  return { id: `operands unchanged ${call.label}`, op: call.name, dtype, run }
}

function sharing(context: Context, call: Call, dtype: DType): Case {
  const run = (): void => {
    const tensors = place(call, context.device, dtype)
    const outputs = call.run(tensors)
    const shared = (y: Tensor): boolean => tensors.some((x) => x.storage === y.storage)
    const view = isView(call.name)
    outputs.forEach((y, i) => {
      if (view) hold(shared(y) || call.name in mayCopy, `result ${i} of a view does not share its operand's memory`)
      else if (!(call.name in mayShare)) hold(!shared(y), `result ${i} shares memory with an operand`)
    })
  }
  return { id: `memory ${call.label}`, op: call.name, dtype, run }
}

function changesFirst(context: Context, call: Call, dtype: DType): Case {
  const run = async (): Promise<void> => {
    const tensors = place(call, context.device, dtype)
    const [first] = tensors
    const f = (ops[call.name].op.family === "elementwise" ? (ops[call.name].op as { inPlace: unknown }).inPlace : ops[call.name]) as (...args: unknown[]) => Tensor // prettier-ignore
    const { version } = first.handle
    const others = await readAll(tensors.slice(1))
    const result = f(...call.arguments(tensors))
    hold(result === first, "the in-place form does not return its operand")
    hold(first.handle.version > version, "the in-place form does not raise the version")
    for (const [i, x] of tensors.slice(1).entries()) {
      compareHosts(await read(x), others[i], exact, { what: `operand ${i + 1}`, source: "before the call" })
    }
    if (!isFloat(dtype)) return
    // A tensor that exp saved must not change before backward reads it.
    const leaf = place(call, context.device, dtype, true)[0]
    const y = leaf.exp()
    noGrad(() => f(...call.arguments([y, ...tensors.slice(1)])))
    let message = "no error"
    try {
      y.sum().backward()
    } catch (error) {
      message = String(error)
    }
    hold(
      /changed in place/.test(message),
      `backward through a changed saved tensor: got ${message}, expected a GradientError`,
    )
  }
  return { id: call.label, op: call.name, dtype, run }
}

/** Float32, or int32 for what floats do not have; null if the call has neither. */
export function dtypeOf(context: Context, call: Call): DType | null {
  for (const dtype of ["float32", "int32"] as const) {
    try {
      call.run(place(call, context.reference, dtype))
      return dtype
    } catch (error) {
      if (!(error instanceof DTypeError)) throw error
    }
  }
  return null
}

function casesOf(context: Context, name: string): Case[] {
  const typed = (calls: readonly Call[], make: (call: Call, dtype: DType) => Case[]): Case[] =>
    calls.flatMap((call) => {
      const dtype = dtypeOf(context, call)
      return dtype === null ? [] : make(call, dtype)
    })
  return [
    ...typed(opCalls(name), (call, dtype) => [inputsUnchanged(context, call, dtype), ...(call.inPlace ? [] : [sharing(context, call, dtype)])]), // prettier-ignore
    ...typed(inPlaceCalls(name), (call, dtype) => [changesFirst(context, call, dtype)]),
  ]
}

export const purity: Check = {
  name: "purity",
  about:
    "Operands stay as they are, recording changes no value, memory is shared by views alone, in-place changes are counted and caught.",
  cases: (context) => synchronousNames().flatMap((name) => casesOf(context, name)),
}
