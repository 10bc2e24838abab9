// Warnings: what PyTorch computes but warns of. Each is told once; where to, its user decides. Prints nothing itself.
import { emitWarning } from "@rondo/backend"

/** Hears a warning. */
export type WarningListener = (text: string) => void

/** Different texts that are told: shapes may be new at each step, and nobody reads that far. */
const mostTexts = 100
const told = new Set<string>()
let listener: WarningListener | null = null

/**
 * Hands warnings to `listen` instead of to Node's `process.emitWarning`; null undoes that. Pages have no such channel: without a
 * listener they hear nothing. A text is told once, and again after the listener changed.
 *
 * @example
 * ```ts
 * const heard: string[] = []
 * onWarning((text) => heard.push(text))
 * mseLoss(ones(2, 1), ones(2)) // compares all with all
 * onWarning(null)
 * console.log(heard.length) // 1
 * ```
 */
export function onWarning(listen: WarningListener | null): void {
  listener = listen
  told.clear()
}

/** Tells a warning, once. */
export function warn(text: string): void {
  if (told.has(text) || told.size >= mostTexts) return
  told.add(text)
  if (listener) return listener(text)
  emitWarning(text)
}
