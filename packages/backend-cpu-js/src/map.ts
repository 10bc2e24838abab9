// The map kernel: expressions over blocks, and plain copies.
import { type HostArray, isContiguous, type MapKernel, sizeOf, type View } from "@rondo/backend"
import { blockSize, type Plan, planOf } from "./interpreter.js"
import { storeLoop } from "./loops/cast.js"
import { isHalf, type Loop, type StridedCopy } from "./loops/loop.js"
import { blockOf, elements } from "./storage.js"
import { copyLoop, copyView, Cursor, scatterBlock } from "./strided.js"

interface Store {
  readonly node: number
  readonly target: HostArray
  readonly copy: StridedCopy
  readonly cursor: Cursor
  /** Makes 16-bit floats of the register's numbers. */
  readonly convert: Loop | null
  /** True if the view is contiguous and `convert` may write into it. */
  readonly straight: boolean
}

const bits = new Uint16Array(blockSize)

function storeOf(node: number, view: View): Store {
  return {
    node,
    target: elements(view),
    copy: copyLoop(view.dtype),
    cursor: new Cursor(view.shape, view.strides, view.offset),
    convert: isHalf(view.dtype) ? storeLoop(view.dtype) : null,
    straight: isContiguous(view.shape, view.strides),
  }
}

/** Writes the block's values of one output, once every expression of the block is known. */
function store({ node, target, copy, cursor, convert, straight }: Store, plan: Plan, start: number, n: number): void {
  const source = plan.arrays[node]
  const from = plan.base[node] + plan.step[node] * start
  if (convert === null) return scatterBlock(copy, cursor, n, source, from, target)
  if (straight) {
    convert(n, target, cursor.at, source, from, source, 0, source, 0)
    cursor.advance(n)
  } else {
    convert(n, bits, 0, source, from, source, 0, source, 0)
    scatterBlock(copy, cursor, n, bits, 0, target)
  }
}

/** Runs compiled expressions over views of one shape. Blocks are evaluated whole before they are written. */
export function evaluateInto(
  plan: Plan,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
): void {
  const size = sizeOf(outputs[0].shape)
  if (size === 0) return
  plan.bind(inputs, scalars, size)
  const stores: Store[] = []
  for (let j = 0; j < outputs.length; j++) {
    if (!plan.writeTo(j, outputs[j], inputs)) stores.push(storeOf(plan.outputs[j], outputs[j]))
  }
  const block = stores.length === 0 ? plan.blockFor(size, outputs.length) : blockSize
  for (let start = 0; start < size; start += block) {
    const n = Math.min(block, size - start)
    plan.evaluate(start, n)
    for (const target of stores) store(target, plan, start, n)
  }
  plan.release()
}

/** Evaluates one expression an output for every element. */
export function runMap(
  kernel: MapKernel,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
): void {
  const only = kernel.exprs[0]
  if (kernel.exprs.length === 1 && only.kind === "input") {
    const from = inputs[only.index]
    copyView(from, blockOf(from.storage).array(from.dtype), outputs[0], elements(outputs[0]))
    return
  }
  evaluateInto(planOf(kernel, kernel.exprs), inputs, outputs, scalars)
}
