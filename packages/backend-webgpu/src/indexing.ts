// What gather and scatter share: elements as bits, indices that are checked, and operands that do not overlap the output.
import type { DType, View } from "@rondo/backend"
import type { Gpu } from "./gpu.js"
import { type Block, blockOf, GpuStorage } from "./memory.js"
import { perWord } from "./types.js"

/** An expression for the bits of element `index`; NaN keeps its payload. */
export function readBits(dtype: DType, slot: number, index: string): string {
  const per = perWord(dtype)
  if (per === 1) return `load${slot}(${index})`
  const [width, shift] = per === 2 ? [16, 1] : [8, 2]
  return `((load${slot}((${index}) >> ${shift}u) >> (((${index}) & ${per - 1}u) * ${width}u)) & ${2 ** width - 1}u)`
}

/** A statement that writes the bits of element `index`; slots of smaller elements than words must be atomic. */
export function writeBits(dtype: DType, slot: number, index: string, bits: string): string {
  const per = perWord(dtype)
  return per === 1 ? `store${slot}(${index}, ${bits});` : `put${32 / per}_${slot}(${index}, ${bits});`
}

/** The entries of a list but one. */
export const without = (list: readonly number[], dim: number): number[] => list.filter((_, d) => d !== dim)

/** The view itself, or one on a copy if it lies in the output's storage. The copy is in `scratch`, to be given back. */
export function apart(gpu: Gpu, view: View, output: View, scratch: Block[]): View {
  if (view.storage !== output.storage) return view
  const block = blockOf(view.storage, gpu)
  const copy = gpu.pool.take(view.storage.bytes)
  gpu.queue.copy(block, copy, view.storage.bytes)
  scratch.push(copy)
  return { ...view, storage: new GpuStorage(view.storage.bytes, copy, gpu) }
}
