// A window on the states inside of recurrent layers and cells, for those who measure. Nothing is measured here.
import type { Tensor } from "@rondo/core"

/** One time step of one layer in one direction, as it happens. */
export interface StepReport {
  /** The layer or cell that took the step. */
  readonly module: object
  /** The same for all steps of one call; the cell itself for cells, whose calls are one step each. */
  readonly run: object
  /** Number of the layer from below; 0 for cells. */
  readonly layer: number
  /** True for the way back. */
  readonly reverse: boolean
  /** Time; null for cells, which know none. */
  readonly time: number | null
  /** The new states: (h) or (h, c). */
  readonly states: readonly Tensor[]
}

type Listener = (report: StepReport) => void

let listener: Listener | null = null

/** Tells whoever listens. */
export function report(step: StepReport): void {
  listener?.(step)
}

/** True if somebody wants to hear: shortcuts that skip the states of single steps must then not be taken. */
export const listening = (): boolean => listener !== null

/** Runs `body` while `heard` hears of every step. The innermost listener hears alone. */
export function listen<T>(heard: Listener, body: () => T): T {
  const before = listener
  listener = heard
  try {
    return body()
  } finally {
    listener = before
  }
}
