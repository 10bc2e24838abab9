// Indices outside their range: a kernel of its own looks for them before each gather or scatter, which then does nothing, and the
// next read tells. All of it stays in order with the queue.
import { collapse, IndexError, sizeOf, type View } from "@rondo/backend"
import type { Gpu } from "./gpu.js"
import { elementEntry, groupsFor } from "./map.js"
import { type Block, blockOf } from "./memory.js"
import { coordinates, walked } from "./nest.js"
import { param } from "./queue.js"

interface Run {
  readonly operation: string
  readonly size: number
  readonly dim: number
}

/** Kinds of run (operation, size and dim) that can be told apart between two reads. */
const mostRuns = 512
/** Words for each: the complement of the least position of a bad index, or 0; whether it was fetched; and the index. */
const runWords = 3
/** Bytes of the buffer that flags lie in. */
export const flagBytes = mostRuns * runWords * 4

/** Which runs had a bad index. */
export class IndexFlags {
  /** Filled with zeros by the device. */
  readonly block: Block
  private runs: Run[] = []
  private words = new Map<string, number>()
  /** Called when there is no room for another kind: flags must be taken. */
  onFull: () => void = () => {}

  constructor(block: Block) {
    this.block = block
  }

  /** Position of the first word of a kind of run. */
  wordFor(operation: string, size: number, dim: number): number {
    const key = `${operation} ${size} ${dim}`
    let word = this.words.get(key)
    if (word === undefined) {
      if (this.runs.length === mostRuns) this.onFull()
      word = runWords * this.runs.length
      this.runs.push({ operation, size, dim })
      this.words.set(key, word)
    }
    return word
  }

  /** Bytes that {@link take} would hand out. */
  get bytes(): number {
    return this.runs.length * runWords * 4
  }

  /** What ran since the last time, oldest first; the words are used anew from now on. */
  take(): { readonly runs: readonly Run[]; readonly bytes: number } {
    const { runs, bytes } = this
    // Of nothing, too, a list of its own: what is noted from now on is not what this read has fetched.
    if (runs.length === 0) return { runs: [], bytes }
    this.runs = []
    this.words = new Map()
    return { runs, bytes }
  }
}

/** The error for the first bad index, or null. */
export function indexError(runs: readonly Run[], words: Uint32Array): IndexError | null {
  const at = runs.findIndex((_, i) => words[runWords * i] !== 0)
  if (at < 0) return null
  const { operation, size, dim } = runs[at]
  const index = words[runWords * at + 2] | 0
  return new IndexError(`${operation}: index out of range: got ${index}, expected 0 <= index < ${size} at dim ${dim}`)
}

/**
 * Queues the search for indices outside `0 … size-1`. Returns the word that {@link guard} looks at. Of several bad ones the first
 * in memory is kept, by an atomic maximum: the message does not depend on scheduling.
 */
export function checkIndices(gpu: Gpu, operation: string, index: View, size: number, dim: number): number {
  const word = gpu.flags.wordFor(operation, size, dim)
  // A dim of stride 0 (an expanded index) is looked at once.
  const shape = index.shape.map((n, d) => (index.strides[d] === 0 ? 1 : n))
  const nest = collapse(shape, [index.strides])
  const rank = nest.shape.length
  const count = sizeOf(shape)
  const program = gpu.queue.program(`check ${rank}`, () => ({
    name: "check",
    kinds: ["r", "a"],
    code: `${elementEntry(param(0))}
  ${coordinates("i", "c", rank, 4).join("\n  ")}
  let at = ${walked(param(3), "c", rank, 4 + rank)};
  if (load0(at) >= ${param(1)}) { atomicMax(&slot1[${param(2)}], ~at); }
}`,
  }))
  const params = [count, size, word, index.offset, ...nest.shape, ...nest.strides[0]]
  gpu.queue.dispatch(program, [blockOf(index.storage, gpu), gpu.flags.block], params, groupsFor(gpu, count))
  return word
}

/** WGSL for the start of a kernel, after `i` is known: with a bad index it does nothing but fetch that. */
export const guard = (flags: number, index: number, word: string): string => `
  let bad = atomicLoad(&slot${flags}[${word}]);
  if (bad != 0u) {
    if (i == 0u && atomicLoad(&slot${flags}[${word} + 1u]) == 0u) {
      atomicStore(&slot${flags}[${word} + 1u], 1u);
      atomicStore(&slot${flags}[${word} + 2u], load${index}(~bad));
    }
    return;
  }`
