// The map kernel: one dispatch, or several where operands are in more buffers than a kernel may bind.
import { type MapKernel, sizeOf, type View } from "@rondo/backend"
import { isCrowded, runCrowded } from "./crowded.js"
import { dispatchMap, planOf } from "./elements.js"
import type { Gpu } from "./gpu.js"

export { elementEntry, groupsFor, groupSize, scalarBits } from "./elements.js"

/** Evaluates one expression an output for every element. */
export function runMap(
  gpu: Gpu,
  kernel: MapKernel,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
): void {
  if (sizeOf(outputs[0].shape) === 0) return
  const plan = planOf(kernel)
  const read = plan.inputs.map((index) => inputs[index])
  if (isCrowded(gpu, plan, outputs, read)) runCrowded(gpu, kernel, inputs, outputs, scalars, runMap)
  else dispatchMap(gpu, plan, read, outputs, scalars)
}
