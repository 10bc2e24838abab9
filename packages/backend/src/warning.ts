// Where a warning goes that nobody asked to hear. Prints nothing itself.

/**
 * Hands a warning to Node's channel for such news, `process.emitWarning`, which its user can listen to or turn off. Pages have none
 * that is not the console: there it does nothing.
 *
 * @example
 * ```ts
 * emitWarning("abacus: a bead is missing; counting goes on without it")
 * ```
 */
export function emitWarning(text: string): void {
  const { process } = globalThis as { process?: { emitWarning?: (text: string, name: string) => void } }
  process?.emitWarning?.(text, "RondoWarning")
}
