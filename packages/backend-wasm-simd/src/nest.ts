// Loop nests: how kernels other than map emit them, and how calls of them are made ready once for a layout of views. Knows
// no operation.
import { byteSize, type DType, type View } from "@rondo/backend"
import type { FunctionBuilder, Local, Value } from "./assembler/function.js"
import type { Call, Compiled, Engine } from "./engine.js"
import type { Walk } from "./map.js"
import { addressOf } from "./storage.js"

/** An operand at the start of a nest: its address and its byte stride along each dim. */
export interface Walker {
  readonly at: Value
  readonly steps: readonly Local[]
}

/**
 * Emits loops over `sizes` (all at least 1), outermost first. `body` gets the addresses of the current element, in variables
 * that it may change.
 */
export function emitNest(
  f: FunctionBuilder,
  sizes: readonly Local[],
  walkers: readonly Walker[],
  body: (at: readonly Local[]) => void,
): void {
  const at = walkers.map((walker) => f.keep(walker.at))
  if (sizes.length === 0) return body(at)
  const left = f.keep(sizes[0])
  f.doWhile(
    () => {
      const inside = walkers.map(({ steps }, i) => ({ at: at[i], steps: steps.slice(1) }))
      emitNest(f, sizes.slice(1), inside, body)
      walkers.forEach(({ steps }, i) => at[i].inc(steps[0]))
      left.set(left.sub(1))
    },
    () => left,
  )
}

/** How neighbours along a dim lie, from their byte stride. */
export function walkOf(dtype: DType, step: number): Walk {
  if (step === byteSize(dtype)) return "v"
  return step === 0 ? "s" : "g"
}

/** A dim over which a call may be cut into pieces that do not depend on each other. */
export interface Cut {
  /** Which argument is its size. */
  readonly slot: number
  /** Pieces are multiples of this, so that every element is computed by the same code however the work is cut. */
  readonly unit: number
  /** Byte stride of each view along it. */
  readonly steps: readonly number[]
}

/** A call that is ready but for its addresses and scalars. */
export interface Ready {
  readonly fn: Compiled
  readonly args: number[]
  /** Which arguments are the views' addresses, and how many bytes behind the view's start each lies. */
  readonly slots: readonly number[]
  readonly offsets?: readonly number[]
  /** Scalars follow from this argument on. */
  readonly scalarsAt?: number
  readonly cut: Cut | null
  /** About how many nanoseconds it takes. */
  readonly work: number
}

/** Kernels count with signed 32-bit integers: longer dims, which only single bytes in gigabytes have, are cut. */
export const mostCounted = 2 ** 30

/** Runs a ready call on views: those that `slots` were made for, in that order. */
export function runReady(engine: Engine, ready: Ready, views: readonly View[], scalars: readonly number[] = []): void {
  const { fn, args, slots, offsets, cut, scalarsAt } = ready
  for (let i = 0; i < slots.length; i++) args[slots[i]] = addressOf(views[i]) + (offsets ? offsets[i] : 0)
  if (scalarsAt !== undefined) for (let i = scalarsAt; i < args.length; i++) args[i] = scalars[i - scalarsAt]
  const pieces = cut ? Math.max(engine.pieces(ready.work), Math.ceil(args[cut.slot] / mostCounted)) : 1
  if (pieces === 1) engine.call(fn, args)
  else engine.run(cutCalls(ready, cut as Cut, pieces))
}

function cutCalls({ fn, args, slots }: Ready, { slot, unit, steps }: Cut, pieces: number): Call[] {
  const size = args[slot]
  const step = Math.ceil(size / pieces / unit) * unit
  const calls: Call[] = []
  for (let first = 0; first < size; first += step) {
    const own = [...args]
    own[slot] = Math.min(step, size - first)
    slots.forEach((at, v) => (own[at] += first * steps[v]))
    calls.push({ fn, args: own })
  }
  return calls
}

interface Layout {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

const layoutsKept = 16

/** What was made for views of one layout, found again by comparing them. Holds no storage. */
export class LayoutCache<T> {
  private readonly layouts: (readonly Layout[])[] = []
  private readonly made: T[] = []
  private next = 0

  /** What `make` gives for views of this layout; the oldest of many layouts is forgotten. */
  get(inputs: readonly View[], outputs: readonly View[], make: () => T): T {
    for (let i = 0; i < this.layouts.length; i++) {
      if (sameLayouts(this.layouts[i], inputs, outputs)) return this.made[i]
    }
    const made = make()
    this.layouts[this.next] = [...inputs, ...outputs].map(({ dtype, shape, strides }) => {
      return { dtype, shape: [...shape], strides: [...strides] }
    })
    this.made[this.next] = made
    this.next = (this.next + 1) % layoutsKept
    return made
  }
}

function sameLayouts(known: readonly Layout[], inputs: readonly View[], outputs: readonly View[]): boolean {
  const count = inputs.length
  if (known.length !== count + outputs.length) return false
  for (let v = 0; v < known.length; v++) {
    if (!sameLayout(known[v], v < count ? inputs[v] : outputs[v - count])) return false
  }
  return true
}

function sameLayout(a: Layout, b: View): boolean {
  const rank = a.shape.length
  if (a.dtype !== b.dtype || b.shape.length !== rank) return false
  for (let d = 0; d < rank; d++) if (a.shape[d] !== b.shape[d] || a.strides[d] !== b.strides[d]) return false
  return true
}
