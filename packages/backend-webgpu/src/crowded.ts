// Maps over more buffers than one kernel may bind: outputs are computed in several dispatches, and what one of them still reads
// too many of is first copied into one buffer.
import { byteSize, DeviceError, type MapKernel, type View } from "@rondo/backend"
import { dispatchMap, type MapPlan, mayNeedParamBuffer, planOf } from "./elements.js"
import type { Gpu } from "./gpu.js"

import { type Block, blockOf, GpuStorage } from "./memory.js"

/** Buffers that one dispatch may bind, less one if the parameters may need it. */
function mostBuffers(gpu: Gpu, plan: MapPlan, operands: readonly View[]): number {
  return gpu.device.limits.maxStorageBuffersPerShaderStage - (mayNeedParamBuffer(plan, operands) ? 1 : 0)
}

const blocksOf = (gpu: Gpu, views: readonly View[]): Set<Block> =>
  new Set(views.map(({ storage }) => blockOf(storage, gpu)))

/** True if a map over these needs more buffers than there are. */
export function isCrowded(gpu: Gpu, plan: MapPlan, outputs: readonly View[], read: readonly View[]): boolean {
  const operands = [...outputs, ...read]
  const most = mostBuffers(gpu, plan, operands)
  return operands.length > most && blocksOf(gpu, operands).size > most
}

/** Copies of memory that live until the commands are queued. */
class Copies {
  private readonly gpu: Gpu
  private readonly blocks: Block[] = []

  constructor(gpu: Gpu) {
    this.gpu = gpu
  }

  /** The bytes between the first and the last element of a view, as whole words. */
  range({ shape, strides, offset, dtype }: View): { start: number; end: number } {
    let [first, last] = [offset, offset]
    shape.forEach((size, d) => {
      const reach = (size - 1) * strides[d]
      if (reach < 0) first += reach
      else last += reach
    })
    const bytes = byteSize(dtype)
    return { start: Math.floor((first * bytes) / 4) * 4, end: Math.ceil(((last + 1) * bytes) / 4) * 4 }
  }

  /** The views on copies that lie behind one another in one buffer. */
  of(views: readonly View[]): View[] {
    const { queue, pool } = this.gpu
    const ranges = views.map((view) => this.range(view))
    const bytes = ranges.reduce((sum, { start, end }) => sum + end - start, 0)
    const block = pool.take(bytes)
    this.blocks.push(block)
    const storage = new GpuStorage(bytes, block, this.gpu)
    let to = 0
    return views.map((view, i) => {
      const { start, end } = ranges[i]
      const from = blockOf(view.storage, this.gpu)
      queue.copies().copyBufferToBuffer(from.buffer, start, block.buffer, to, end - start)
      from.lastBatch = block.lastBatch = queue.batch
      const offset = view.offset + (to - start) / byteSize(view.dtype)
      to += end - start
      return { ...view, storage, offset }
    })
  }

  /** Commands that use them come before those of the next owner. */
  free(): void {
    for (const block of this.blocks.splice(0)) this.gpu.pool.give(block)
  }
}

const parts = new WeakMap<MapKernel, Map<string, MapKernel>>()

/** The kernel of some of the outputs: the same object every time. */
function partOf(kernel: MapKernel, outputs: readonly number[]): MapKernel {
  let known = parts.get(kernel)
  if (!known) parts.set(kernel, (known = new Map()))
  const key = outputs.join()
  let part = known.get(key)
  if (!part) known.set(key, (part = { kind: "map", exprs: outputs.map((o) => kernel.exprs[o]) }))
  return part
}

/** Evaluates a map over these operands. */
export type RunMap = (
  gpu: Gpu,
  kernel: MapKernel,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
) => void

/** Runs a map that {@link isCrowded}; `run` is given the parts. */
export function runCrowded(
  gpu: Gpu,
  kernel: MapKernel,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
  run: RunMap,
): void {
  const copies = new Copies(gpu)
  try {
    if (outputs.length === 1) return runPacked(gpu, kernel, inputs, outputs, scalars, copies)
    const groups = groupsOf(gpu, kernel, inputs, outputs)
    // An output that is an input too is written before later dispatches read it: they read a copy.
    const written = blocksOf(gpu, outputs)
    const { inputs: used } = planOf(kernel)
    const safe = inputs.map((view, i) =>
      used.includes(i) && written.has(blockOf(view.storage, gpu)) ? copies.of([view])[0] : view,
    )
    for (const group of groups) {
      run(gpu, partOf(kernel, group), safe, group.map((o) => outputs[o]), scalars) // prettier-ignore
    }
  } finally {
    copies.free()
  }
}

/** Cuts the list of outputs, in order, into groups that need as many buffers as there are, or into single ones. */
function groupsOf(gpu: Gpu, kernel: MapKernel, inputs: readonly View[], outputs: readonly View[]): number[][] {
  const groups: number[][] = []
  const most = mostBuffers(gpu, planOf(kernel), [...outputs, ...inputs])
  let group: number[] = []
  outputs.forEach((_, o) => {
    const wider = [...group, o]
    const read = planOf(partOf(kernel, wider)).inputs.map((index) => inputs[index])
    // Copies of inputs that are outputs as well come on top, so all of them are counted apart.
    const buffers = blocksOf(gpu, read).size + blocksOf(gpu, wider.map((one) => outputs[one])).size // prettier-ignore
    if (group.length > 0 && buffers > most) {
      groups.push(group)
      group = [o]
    } else group = wider
  })
  return [...groups, group]
}

/** One output of many inputs: the smallest inputs are copied into shared buffers until the others fit beside them. */
function runPacked(
  gpu: Gpu,
  kernel: MapKernel,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: readonly number[],
  copies: Copies,
): void {
  const plan = planOf(kernel)
  const read = plan.inputs.map((index) => inputs[index])
  const bytes = (view: View): number => {
    const { start, end } = copies.range(view)
    return end - start
  }
  const most = mostBuffers(gpu, plan, [...outputs, ...read])
  const order = [...read.keys()].sort((a, b) => bytes(read[a]) - bytes(read[b]))
  const packed: number[][] = [[]]
  let room = gpu.maxBufferBytes
  while (blocksOf(gpu, [...outputs, ...order.map((i) => read[i])]).size + packed.length > most) {
    const next = order.shift()
    if (next === undefined) {
      throw new DeviceError(
        `map: inputs do not fit: ${read.length} inputs for ${most} buffers of ${gpu.maxBufferBytes} bytes`,
      )
    }
    const size = bytes(read[next])
    if (size > room) {
      packed.push([])
      room = gpu.maxBufferBytes
    }
    packed[packed.length - 1].push(next)
    room -= size
  }
  const views = read.slice()
  for (const list of packed.filter(({ length }) => length > 0)) {
    const made = copies.of(list.map((i) => read[i]))
    list.forEach((i, k) => (views[i] = made[k]))
  }
  dispatchMap(gpu, plan, views, outputs, scalars)
}
