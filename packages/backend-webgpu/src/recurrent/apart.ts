// Runs layers on adapters on which threads should not wait for each other: over the whole sequence where a thread can hold its
// rows, else step by step.
import { recurrentCells } from "@rondo/backend"
import type { Gpu } from "../gpu.js"
import { groupsFor, groupSize } from "../map.js"
import type { Quads } from "../matmul/block.js"
import type { ShaderSource } from "../queue.js"
import { aloneBackward, aloneForward, aloneCut, aloneThreads } from "./alone.js"
import { blockBackward, blockCut, type BlockCut, blockForward, blocksOf, stepThreads } from "./block-step.js"
import type { BackwardForm, BackwardName, ForwardForm, ForwardName } from "./cells.js"
import type { Operands } from "./operands.js"
import { sequenceFirst } from "./sequence.js"
import { step } from "./step.js"

/** A layer to run; `quads` is how its weights could be read four words at a time. */
export interface Layer<Form, Name extends string> {
  readonly form: Omit<Form, "operands">
  readonly steps: number
  readonly batch: number
  readonly quads: Quads
  /** Operands whose parameters start at `first`. */
  readonly operands: (first: number, inFours?: "weight") => Operands<Name>
}

/** The operands for a block, whose weights are read four words at a time if they are alone in their buffer. */
function placed<Name extends string>(cut: BlockCut, first: number, operands: Layer<unknown, Name>["operands"]) {
  const all = operands(first, cut.quads ? "weight" : undefined)
  const { rows, units } = cut
  const own: BlockCut = { rows, units, quads: all.fours ? cut.quads : null }
  return { all, cut: own, key: `${rows} ${units} ${own.quads} ${all.key}` }
}

const groupsOf = (gpu: Gpu, threads: number, each: number): [number, number, number] =>
  groupsFor(gpu, Math.ceil(threads / each) * groupSize)

/** One dispatch over the whole sequence. */
function launchAlone<Name extends string>(
  gpu: Gpu,
  { steps, batch, operands }: Layer<unknown, Name>,
  wanted: BlockCut,
  name: string,
  source: (all: Operands<Name>, cut: BlockCut) => ShaderSource,
): void {
  const { all, cut, key } = placed(wanted, sequenceFirst, operands)
  const compiled = gpu.queue.program(`${name} ${key}`, () => source(all, cut))
  const groups = groupsOf(gpu, Math.ceil(batch / cut.rows), aloneThreads)
  gpu.queue.dispatch(compiled, all.bindings.blocks, [steps, batch, ...all.params()], groups)
}

/** Forward; `params` are those of each step. */
export function forwardApart(gpu: Gpu, layer: Layer<ForwardForm, ForwardName>, params: readonly number[][]): void {
  const { form, batch, quads, operands } = layer
  const { cell, dtype, units, reverse } = form
  const { gates } = recurrentCells[cell]
  const alone = aloneCut(cell, units, batch, quads, false)
  if (alone) {
    return launchAlone(gpu, layer, alone, `recurrent alone ${cell} ${dtype} ${units} ${reverse}`, (all, own) =>
      aloneForward({ ...form, operands: all }, own),
    )
  }
  const { all, cut, key } = placed(blockCut(gates, batch, units, quads), step.first, operands)
  const groups = groupsOf(gpu, blocksOf(units, batch, cut), stepThreads)
  const fixed = all.params()
  params.forEach((own, i) => {
    const isFirst = i === 0
    const compiled = gpu.queue.program(`recurrent block ${cell} ${dtype} ${units} ${key} ${isFirst}`, () =>
      blockForward({ ...form, operands: all }, cut, isFirst),
    )
    gpu.queue.dispatch(compiled, all.bindings.blocks, [...own, ...fixed], groups)
  })
}

/** Backward; `params` are those of each step, and of what comes behind the last. */
export function backwardApart(gpu: Gpu, layer: Layer<BackwardForm, BackwardName>, params: readonly number[][]): void {
  const { form, batch, quads, operands } = layer
  const { cell, dtype, units, reverse } = form
  const alone = aloneCut(cell, units, batch, quads, true)
  if (alone) {
    return launchAlone(gpu, layer, alone, `recurrentBackward alone ${cell} ${dtype} ${units} ${reverse}`, (all, own) =>
      aloneBackward({ ...form, operands: all }, own),
    )
  }
  const { all, cut, key } = placed(blockCut(1, batch, units, quads), step.first, operands)
  const groups = groupsOf(gpu, blocksOf(units, batch, cut), stepThreads)
  const name = `recurrentBackward block ${cell} ${dtype} ${units} ${reverse} ${key}`
  const compiled = gpu.queue.program(name, () => blockBackward({ ...form, operands: all }, cut))
  const fixed = all.params()
  for (const own of params) gpu.queue.dispatch(compiled, all.bindings.blocks, [...own, ...fixed], groups)
}
