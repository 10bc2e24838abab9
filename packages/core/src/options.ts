// Options of whatever takes an object of them (layers, losses, optimisers): a table beside each says which options there are
// and what fits them, and one reader holds every call to it. Arguments by position are arguments.ts's.
import { type OptionCheck, optionsReader, type RequiredOption } from "./arguments.js"

/**
 * What fits each option of `O`; none may be missing, and those that cannot be left out are marked with `!`. A check is the
 * name of a kind (`"count"`, `"tensor|null"`, `"rate!"`), the list of the values that there are, or a test with its words.
 */
export type OptionChecks<O> = {
  readonly [K in keyof O]-?: undefined extends O[K] ? OptionCheck : RequiredOption
}

interface Readers {
  readonly strict: (x: unknown) => void
  readonly loose: (x: unknown) => void
}
const made = new WeakMap<object, Map<string, Readers>>()

function readersOf(name: string, checks: object): Readers {
  let byName = made.get(checks)
  if (!byName) made.set(checks, (byName = new Map<string, Readers>()))
  let readers = byName.get(name)
  if (!readers) {
    const takes = checks as Readonly<Record<string, OptionCheck | RequiredOption>>
    readers = { strict: optionsReader(name, takes), loose: optionsReader(name, takes, { others: true }) }
    byName.set(name, readers)
  }
  return readers
}

/**
 * Gives back `options`, or an empty object for none, once every one of them is known and fits. `undefined` stands for the
 * default. For layers and optimisers of one's own: what the library's own constructors call.
 *
 * Throws a ValueError that names the caller and the option for anything but a plain object, for an unknown name (with the
 * one that was probably meant, and all that there are), for a value of another type or out of range, and for one that is
 * missing and cannot be left out; a DTypeError for an unknown dtype, a DisposedError for a disposed tensor.
 *
 * @param name - What errors call the caller.
 * @param checks - The table; keep it in a constant, so that it is read once.
 * @example
 * ```ts
 * interface GateOptions {
 *   readonly numHeads?: number
 *   readonly mode?: "soft" | "hard"
 * }
 * const gateChecks: OptionChecks<GateOptions> = { numHeads: "count", mode: ["soft", "hard"] }
 * class Gate {
 *   readonly numHeads: number
 *   constructor(options?: GateOptions) {
 *     const { numHeads = 1 } = checkOptions("Gate", gateChecks, options)
 *     this.numHeads = numHeads
 *   }
 * }
 * console.log(new Gate({ numHeads: 2 }).numHeads) // 2
 * ```
 */
export function checkOptions<O extends object>(name: string, checks: OptionChecks<O>, options: O | undefined): O {
  readersOf(name, checks).strict(options)
  return options ?? ({} as O)
}

/** As {@link checkOptions}, but lets other names pass: for objects that also hold what others wrote, as parameter groups do. */
export function checkKnownOptions<O extends object>(name: string, checks: OptionChecks<O>, options: object): void {
  readersOf(name, checks).loose(options)
}
