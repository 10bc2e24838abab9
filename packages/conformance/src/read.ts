// From tensors on a device to numbers on the host, and the gradients of a call under fixed weights.
import { isFloat, RondoError, sizeOf } from "@rondo/backend"
import { type Device, decode, encode, grad, noGrad, type Tensor, upload } from "@rondo/core"
import type { Call } from "./calls.js"
import { hold, type Host } from "./compare.js"
import { isRefusal } from "./suite.js"

/** The numbers of a tensor; int64 as numbers. */
export async function read(x: Tensor): Promise<Host> {
  const raw = await noGrad(() => x.detach()).data()
  return { dtype: x.dtype, shape: [...x.shape], values: Array.from(decode(raw, x.dtype) as ArrayLike<number>, Number) }
}

/** The numbers of several tensors. */
export const readAll = (list: readonly Tensor[]): Promise<Host[]> => Promise.all(list.map(read))

/** Weights that differ from element to element, so that errors cannot cancel. */
export function weightsFor(y: Tensor, salt = 0): Tensor {
  const values = Float64Array.from({ length: sizeOf(y.shape) }, (_, i) => 0.5 + 0.25 * ((i * 5 + salt * 3) % 7))
  return upload(y.device, encode(values, y.dtype), y.shape, y.dtype)
}

/** The results that carry gradients. */
export const differentiable = (outputs: readonly Tensor[]): Tensor[] =>
  outputs.filter((y) => isFloat(y.dtype) && y.requiresGrad)

/** Gradients of `inputs` from those of the outputs that carry any; null where an input was not used. */
export function gradients(outputs: readonly Tensor[], inputs: readonly Tensor[]): (Tensor | null)[] {
  const roots = differentiable(outputs)
  const wanted = inputs.filter((x) => x.requiresGrad)
  if (roots.length === 0 || wanted.length === 0) return []
  return grad(roots, wanted, { gradOutputs: roots.map(weightsFor), allowUnused: true })
}

/** What a call did: values, gradients, or the error that it threw. */
export interface Outcome {
  readonly outputs: readonly Host[]
  readonly gradients: readonly (Host | null)[]
  readonly error: Error | null
}

/** Runs a call and reads everything back. */
export async function outcome(call: Call, tensors: readonly Tensor[], withGradients: boolean): Promise<Outcome> {
  try {
    const outputs = await call.runAsync(tensors)
    const found = withGradients ? gradients(outputs, tensors) : []
    return {
      outputs: await readAll(outputs),
      gradients: await Promise.all(found.map((g) => (g ? read(g) : null))),
      error: null,
    }
  } catch (error) {
    return { outputs: [], gradients: [], error: error instanceof Error ? error : new Error(String(error)) }
  }
}

/** The text of an error without the name of the device, so that two devices can be compared. */
export const errorText = (error: Error, device: Device): string =>
  `${error.name}: ${error.message.replaceAll(device.name, "<device>")}`

/** Two calls of which at least one threw: both must throw the same typed error, which names its operation. */
export function sameError(
  got: Outcome,
  want: Outcome,
  devices: { readonly device: Device; readonly reference: Device },
): void {
  // A device may lack what the reference has, if it says so.
  if (got.error && !want.error && isRefusal(got.error, devices.device.backend)) return
  const g = got.error ? errorText(got.error, devices.device) : "no error"
  const w = want.error ? errorText(want.error, devices.reference) : "no error"
  hold(g === w, `got ${g}, reference ${w}`)
  hold(got.error instanceof RondoError, `not an error of Rondo: ${g}`)
}
