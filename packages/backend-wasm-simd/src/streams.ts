// Inputs of an inner loop, read four elements at a time whichever way they lie. Computes nothing.
import { byteSize, type DType } from "@rondo/backend"
import type { Local, Value } from "./assembler/function.js"
import { gatherLanes, keepLanes, type Lanes, loadLanes, splatLanes } from "./lanes.js"
import type { Walk } from "./map.js"
import type { VectorCode } from "./vector.js"

/** One input of a kernel, and how its neighbours along the vector's dim lie. */
export interface StreamInput {
  /** Its number in the expression. */
  readonly index: number
  readonly dtype: DType
  readonly walk: Walk
}

/** Reads all inputs of an expression. Groups of four elements lie one behind the other along the vector's dim. */
export class Streams {
  private readonly code: VectorCode
  private readonly inputs: readonly StreamInput[]
  private readonly groups: number
  /** For inputs with a stride of their own: byte distances of elements 1, 2 and 3, and of each group. */
  private readonly distances: (readonly Local[] | null)[]
  private readonly starts: (readonly Local[] | null)[]

  constructor(code: VectorCode, inputs: readonly StreamInput[], groups: number) {
    this.code = code
    this.inputs = inputs
    this.groups = groups
    const { f } = code
    const own = (count: number) => inputs.map(({ walk }) => (walk === "g" ? Array.from({ length: count }, () => f.local("i32")) : null)) // prettier-ignore
    this.distances = own(3)
    this.starts = own(groups)
  }

  /**
   * Sets what depends on the byte strides along the vector's dim. With `left`, the elements that there are, those behind the
   * end are read at the first one's place; without it all four are there.
   */
  prepare(steps: readonly Local[], left?: Value): void {
    const { f } = this.code
    this.inputs.forEach((_, i) => {
      this.distances[i]?.forEach((distance, k) => {
        const far = k === 0 ? steps[i] : steps[i].mul(k + 1)
        distance.set(left ? f.select(left.gt(k + 1), far, 0) : far)
      })
      this.starts[i]?.forEach((start, k) => start.set(steps[i].mul(4 * k)))
    })
  }

  /** Inputs that have one value for all lanes, by position; null for the others. */
  splats(at: readonly Local[]): (Lanes | null)[] {
    const { f } = this.code
    return this.inputs.map(({ dtype, walk }, i) => (walk === "s" ? keepLanes(f, splatLanes(f, dtype, at[i])) : null))
  }

  /** Lanes of one group of every input, by its number in the expression. */
  read(at: readonly Local[], group: number, splats: readonly (Lanes | null)[]): Lanes[] {
    const { f } = this.code
    const lanes: Lanes[] = []
    this.inputs.forEach(({ index, dtype, walk }, i) => {
      if (walk === "s") lanes[index] = splats[i] as Lanes
      else if (walk === "v") lanes[index] = keepLanes(f, loadLanes(f, dtype, at[i], 4 * group * byteSize(dtype)))
      else {
        const start = group === 0 ? at[i] : f.keep(at[i].add((this.starts[i] as Local[])[group]))
        lanes[index] = keepLanes(f, gatherLanes(f, dtype, start, this.distances[i] as Local[]))
      }
    })
    return lanes
  }

  /** Moves addresses on along the vector's dim. */
  advance(at: readonly Local[], steps: readonly Local[], groups = this.groups): void {
    this.inputs.forEach(({ dtype, walk }, i) => {
      if (walk === "v") at[i].inc(4 * groups * byteSize(dtype))
      else if (walk === "g") at[i].inc(steps[i].mul(4 * groups))
    })
  }
}
