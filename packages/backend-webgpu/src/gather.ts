// The gather kernel: one thread an element, which reads its index, checks it, and fetches what it points to.
import { collapse, type GatherKernel, sizeOf, type View } from "@rondo/backend"
import { bind } from "./bindings.js"
import { checkIndices, guard } from "./flags.js"
import type { Gpu } from "./gpu.js"
import { apart, readBits, writeBits } from "./indexing.js"
import { elementEntry, groupsFor } from "./map.js"
import type { Block } from "./memory.js"
import { coordinates, walked } from "./nest.js"
import { param } from "./queue.js"

/** `out[i] = x[index[i]]` along `dim`. With a bad index nothing is written; the next read tells. */
export function runGather(gpu: Gpu, { dim }: GatherKernel, inputs: readonly View[], output: View): void {
  const count = sizeOf(output.shape)
  if (count === 0) return
  const scratch: Block[] = []
  const x = apart(gpu, inputs[0], output, scratch)
  const index = inputs[1]
  const { dtype } = output
  const fixed = x.strides.map((stride, d) => (d === dim ? 0 : stride))
  const nest = collapse(output.shape, [output.strides, fixed, index.strides])
  const rank = nest.shape.length
  const bindings = bind(gpu, [output], [x, index])
  const [toSlot, fromSlot, indexSlot] = bindings.slots
  const flagSlot = bindings.blocks.length
  const program = gpu.queue.program(`gather ${rank} ${dtype} ${bindings.key}`, () => {
    const [shapes, offsets, strides] = [3, 3 + rank, 6 + rank]
    const at = (view: number) => walked(param(offsets + view), "c", rank, strides + view * rank)
    const code = `${elementEntry(param(0))}${guard(flagSlot, indexSlot, param(2))}
  ${coordinates("i", "c", rank, shapes).join("\n  ")}
  let src = ${at(1)} + load${indexSlot}(${at(2)}) * ${param(1)};
  let bits = ${readBits(dtype, fromSlot, "src")};
  let to = ${at(0)};
  ${writeBits(dtype, toSlot, "to", "bits")}
}`
    return { name: "gather", kinds: [...bindings.kinds, "a"], code }
  })
  const word = checkIndices(gpu, "gather", index, x.shape[dim], dim)
  const offsets = [output.offset, x.offset, index.offset]
  const params = [count, x.strides[dim], word, ...nest.shape, ...offsets, ...nest.strides.flat()]
  gpu.queue.dispatch(program, [...bindings.blocks, gpu.flags.block], params, groupsFor(gpu, count))
  for (const block of scratch) gpu.pool.give(block)
}
