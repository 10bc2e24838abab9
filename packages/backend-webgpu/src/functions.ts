// The library of WGSL functions: operators that WGSL lacks, leaves inaccurate, or defines otherwise than the contract. The
// sources are in math/.
import { type DType, DTypeError, type Operator } from "@rondo/backend"
import { angles } from "./math/angles.js"
import { bits } from "./math/bits.js"
import { exponential } from "./math/exponential.js"
import { integers } from "./math/integers.js"
import { logarithm } from "./math/logarithm.js"
import { wgslType } from "./types.js"

interface Declaration {
  readonly source: string
  /** Other declarations that it names. */
  readonly needs: readonly string[]
}

/** Cuts sources into functions and structures, by name: the operator, then `_f` for floats, `_i` for integers or `_u` for uint32. */
function declarations(...sources: readonly string[]): Map<string, Declaration> {
  const found = new Map<string, string>()
  for (const text of sources.flatMap((source) => source.split(/^(?=fn |struct )/m))) {
    const name = /^(?:fn|struct) (\w+)/.exec(text)?.[1]
    // Comments are for readers of this repository: shaders go without.
    if (name) found.set(name, text.replace(/^\s*\/\/.*\n/gm, "").trimEnd())
  }
  return new Map(
    [...found].map(([name, source]) => {
      const words = new Set(source.match(/\w+/g))
      return [name, { source, needs: [...words].filter((word) => word !== name && found.has(word)) }]
    }),
  )
}

const library = declarations(bits, exponential, logarithm, angles, integers)

/** The name of the function for an operator on operands of `dtype`. */
export function functionSource(op: Operator, dtype: DType): string {
  const suffix = dtype === "uint8" && (op === "shl" || op === "shr") ? "b" : wgslType(dtype)[0]
  const name = `${op}_${suffix}`
  if (!library.has(name)) throw new DTypeError(`map: operator ${op} is not defined for ${dtype}`)
  return name
}

/** The source of functions and of all that they call. */
export function librarySource(names: Iterable<string>): string {
  const wanted = new Set(names)
  for (const name of wanted) for (const needed of (library.get(name) as Declaration).needs) wanted.add(needed)
  return [...wanted].map((name) => (library.get(name) as Declaration).source).join("\n")
}
