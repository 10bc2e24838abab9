// The one that listens while a step is captured, or nobody: what memory, kernels and gradients ask on their way. What is done with
// what it hears is recording.ts's work.
import { type Backend, type Kernel, ValueError, type View } from "@rondo/backend"
import type { Device } from "./device.js"
import { mode } from "./graph.js"
import type { Handle } from "./lifetime.js"
import type { Tensor } from "./tensor.js"

/** Hears everything that a body does. */
export interface Tape {
  /** Memory that stays where it is between replays. */
  allocate(device: Device, bytes: number): Handle
  /** Runs a kernel. */
  run(
    backend: Backend,
    kernel: Kernel,
    inputs: readonly View[],
    outputs: readonly View[],
    scalars: readonly number[] | undefined,
  ): void
  /** Something that is no kernel and is to be done again at this place of every replay. */
  did(again: () => void): void
  /** A part that {@link uncaptured} ran beside, to be run again at this place of every replay. */
  ranAside(again: () => void): void
  /** A tensor that is used: its memory must be there at every replay. */
  saw(tensor: Tensor): void
  /** A leaf whose gradient is read. */
  readGrad(leaf: Tensor, value: Tensor | null): void
  /** A tensor whose gradient became another. */
  setGrad(leaf: Tensor, value: Tensor | null): void
  /** True where values may not be read. */
  readonly refuses: boolean
  /** Who listens to what is not recorded, and keeps what it uses. */
  readonly aside: Tape
}

/** Who listens. */
export let tape: Tape | null = null

/** Makes `next` listen while `body` runs. */
export function withTape<T>(next: Tape | null, body: () => T): T {
  const before = tape
  tape = next
  try {
    return body()
  } finally {
    tape = before
  }
}

/** For what a replay could not do again: throws a ValueError that names `operation` and says why, while a step is captured. */
export function refuseCapture(operation: string, why: string): void {
  if (tape?.refuses) throw new ValueError(`${operation}: cannot be captured: ${why}`)
}

/** Throws a ValueError if a step is captured: rows differ in their number from call to call. */
export const refuseRows = (): void =>
  refuseCapture("backward", "gradients in rows differ in their number; use an embedding without sparse")

/**
 * Runs `body`, which changes tensors that were there before, in place. Inside {@link capture} it is not recorded but called at every
 * replay: for steps whose numbers change from call to call, as those of optimisers and schedulers do, and for reading values. What it
 * uses of the captured body it must use when that is recorded, at the second call.
 *
 * Throws a ValueError for what is no function.
 *
 * @example
 * ```ts
 * const [x, rate] = [ones(2), { value: 1 }]
 * const step = capture(() => {
 *   const grown = x.mul(2)
 *   uncaptured(() => x.copy_(grown.add(rate.value)))
 * })
 * for (rate.value of [1, 10, 100]) step()
 * console.log(await x.tolist()) // [132, 132]
 * ```
 */
export function uncaptured(body: () => void): void {
  if (typeof body !== "function") throw new ValueError(`uncaptured: needs a function to run, got ${typeof body}`)
  if (!tape) return body()
  const listening = tape
  const { record } = mode
  withTape(listening.aside, body)
  // A replay knows nothing of the noGrad around.
  listening.ranAside(() => {
    const before = mode.record
    mode.record = record
    try {
      body()
    } finally {
      mode.record = before
    }
  })
}
