// The one that listens while a step is captured, or nobody: what memory, kernels and gradients ask on their way. What is done with
// what it hears is recording.ts's work.
import { type Kernel, ValueError, type View } from "@rondo/backend"
import type { Device } from "./device.js"
import type { Handle } from "./lifetime.js"
import type { Tensor } from "./tensor.js"

/** Hears everything that a body does. */
export interface Tape {
  /** Memory that stays where it is between replays. */
  allocate(device: Device, bytes: number): Handle
  /** A kernel that ran. */
  ran(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars: readonly number[] | undefined): void
  /** Something that is no kernel and is to be done again at this place of every replay. */
  did(again: () => void): void
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

/** Throws a ValueError while a step is captured. */
export function refuseCapture(operation: string, why: string): void {
  if (tape?.refuses) throw new ValueError(`${operation}: cannot be captured: ${why}`)
}

/**
 * Runs `body`, which changes tensors that were there before, in place. Inside {@link capture} it is not recorded but called at every
 * replay: for steps whose numbers change from call to call, as those of optimisers do.
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
  if (!tape) return body()
  const listening = tape
  withTape(listening.aside, body)
  listening.did(body)
}
