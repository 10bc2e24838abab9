// What callers hand in: a function says once which kinds of arguments it takes, and one reader holds every call to that.
// Kinds are about types; whether a dim or an index is in range, the function itself must say.
import { checkDType, isDType, ValueError } from "@rondo/backend"
import { Device } from "./device.js"
import { nearest } from "./names.js"
import { Generator } from "./random/index.js"
import { Tensor } from "./tensor.js"

/** A test of one value. */
export interface KindInfo {
  /** What the error says was expected. */
  readonly words: string
  readonly fits: (x: unknown) => boolean
}

const isNumber = (x: unknown): boolean => typeof x === "number"
const isList = (x: unknown): boolean => Array.isArray(x) && x.every(isNumber)
const isTensor = (x: unknown): boolean => x instanceof Tensor
const isWithin = (x: unknown, low: number, high: number): boolean => typeof x === "number" && x >= low && x <= high
const isShare = (x: unknown): boolean => isWithin(x, 0, 1) && x !== 1

const kinds = {
  any: { words: "anything", fits: () => true },
  array: { words: "an array", fits: Array.isArray },
  betas: { words: "two numbers in [0, 1)", fits: (x) => Array.isArray(x) && x.length === 2 && x.every(isShare) },
  bytes: { words: "a Uint8Array", fits: (x) => x instanceof Uint8Array },
  count: { words: "a whole number of at least 1", fits: (x) => Number.isSafeInteger(x) && isWithin(x, 1, Infinity) },
  device: { words: 'a Device (open one with await device("…"))', fits: (x) => x instanceof Device },
  dim: { words: "a dim (an integer)", fits: isNumber },
  dims: { words: "a dim, an array of dims, or null for all", fits: (x) => isNumber(x) || x === null || isList(x) },
  dtype: { words: "a dtype", fits: isDType },
  flag: { words: "true or false", fits: (x) => typeof x === "boolean" },
  function: { words: "a function", fits: (x) => typeof x === "function" },
  generator: { words: "a Generator", fits: (x) => x instanceof Generator },
  integer: { words: "an integer", fits: Number.isSafeInteger },
  integers: { words: "an array of integers", fits: (x) => Array.isArray(x) && x.every(Number.isSafeInteger) },
  list: { words: "an array of numbers", fits: isList },
  null: { words: "null", fits: (x) => x === null },
  number: { words: "a number", fits: isNumber },
  numbers: { words: "a number or an array of numbers", fits: (x) => isNumber(x) || isList(x) },
  operand: {
    words: "a tensor, a number or a boolean",
    fits: (x) => isTensor(x) || isNumber(x) || typeof x === "boolean",
  },
  pair: {
    words: "two numbers",
    fits: (x) => isList(x) && (x as number[]).length === 2 && !(x as number[]).some(isNaN),
  },
  positive: { words: "a number above 0", fits: (x) => isWithin(x, 0, Infinity) && x !== 0 },
  probability: { words: "a number from 0 to 1", fits: (x) => isWithin(x, 0, 1) },
  rate: { words: "a number of at least 0", fits: (x) => isWithin(x, 0, Number.MAX_VALUE) },
  real: { words: "a number", fits: (x) => isNumber(x) && !Number.isNaN(x) },
  size: { words: "a whole number of at least 0", fits: (x) => Number.isSafeInteger(x) && isWithin(x, 0, Infinity) },
  tensor: { words: "a tensor", fits: isTensor },
  tensors: { words: "an array of tensors", fits: (x) => Array.isArray(x) && x.every(isTensor) },
  text: { words: "a string", fits: (x) => typeof x === "string" },
} satisfies Record<string, KindInfo>

/** A kind of argument. */
export type Kind = keyof typeof kinds
type OneOf = Kind | `${Kind}|${Kind}`
/** What fits an option: a kind (or either of two), one of a list of values, or what a test lets through. */
export type OptionCheck = OneOf | readonly (string | number | null)[] | KindInfo
/** What fits an option that cannot be left out. */
export type RequiredOption = `${OneOf}!`
/** Named options. */
export type TakesOptions = Readonly<Record<string, OptionCheck | RequiredOption>>
/**
 * Arguments by name, in their order. `?` marks what may be left out, `...` what takes all arguments that follow; `...sizes`
 * are numbers, one by one or as one array. An object stands for options.
 */
export type Takes = Readonly<Record<string, OneOf | `${OneOf}?` | `...${"any" | "tensor" | "sizes"}` | TakesOptions>>

/** What an argument is, in words for an error. */
export function describe(x: unknown): string {
  if (x === undefined || x === null || typeof x === "number" || typeof x === "boolean") return String(x)
  if (typeof x === "string") return `the string "${x.length > 40 ? `${x.slice(0, 40)}…` : x}"`
  if (Array.isArray(x)) return `[${x.slice(0, 4).map(describe).join(", ")}${x.length > 4 ? ", …" : ""}]`
  if (x instanceof Tensor) return `a ${x.dtype} tensor of shape [${x.shape.join(", ")}]`
  if (typeof x !== "object") return `a ${typeof x}`
  const { constructor } = x as { constructor?: { name?: string } }
  return constructor === undefined || constructor === Object ? "an object" : `a ${constructor.name}`
}

/** True for objects that were written as `{ … }`: no class stands behind them. */
export function isPlain(x: unknown): x is Readonly<Record<string, unknown>> {
  if (typeof x !== "object" || x === null) return false
  const prototype: unknown = Object.getPrototypeOf(x)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Checks all arguments of one call. */
type Reader = (args: readonly unknown[]) => void
/** Checks one argument, or those from it on. */
type Part = (args: readonly unknown[], i: number) => void

function refuse(name: string, parameter: string, words: string, x: unknown): never {
  throw new ValueError(`${name}: ${parameter} must be ${words}: got ${describe(x)}`)
}

function fitting(name: string, parameter: string, text: string): (x: unknown) => void {
  const optional = text.endsWith("?")
  const infos = (optional ? text.slice(0, -1) : text).split("|").map((kind) => kinds[kind as Kind] as KindInfo)
  const words = infos.map((info) => info.words).join(" or ")
  const [{ fits }, other] = infos
  const named = infos[0] === kinds.dtype
  const holds = infos[0] === kinds.tensor
  // Nearly every call of every operation.
  if (text === "tensor") return (x) => (x instanceof Tensor ? x.check(name) : refuse(name, parameter, words, x))
  return (x) => {
    if (x === undefined && optional) return
    if (fits(x)) return holds ? (x as Tensor).check(name) : undefined
    if (other?.fits(x)) return
    if (named && typeof x === "string") checkDType(name, x)
    refuse(name, parameter, words, x)
  }
}

/** Checks one option, and names it where it must not be missing. */
function optionReader(name: string, key: string, check: OptionCheck | RequiredOption): (x: unknown) => void {
  if (typeof check === "string") return fitting(name, key, check.endsWith("!") ? check.slice(0, -1) : `${check}?`)
  const listed = Array.isArray(check) ? (check as readonly unknown[]) : null
  const { words, fits } = listed ? { words: alternatives(listed), fits: (x: unknown) => listed.includes(x) } : (check as KindInfo)
  return (x) => {
    if (x !== undefined && !fits(x)) refuse(name, key, words, x)
  }
} // prettier-ignore

/** `"a", "b" or 1` */
function alternatives(values: readonly unknown[]): string {
  const words = values.map((value) => JSON.stringify(value))
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`
}

/** Makes the reader of options alone; see {@link argumentReader}. With `others`, unknown names are let pass. */
export function optionsReader(name: string, takes: TakesOptions, { others = false } = {}): (x: unknown) => void {
  const known = Object.keys(takes)
  const readers = new Map(known.map((key) => [key, optionReader(name, key, takes[key])]))
  const needed = known.filter((key) => typeof takes[key] === "string" && takes[key].endsWith("!"))
  return (x) => {
    if (x !== undefined && !isPlain(x)) refuse(name, "options", "a plain object", x)
    const options: Readonly<Record<string, unknown>> = x ?? {}
    for (const key of Object.keys(options)) {
      const read = readers.get(key)
      if (read) read(options[key])
      else if (!others) refuseUnknown(name, key, known)
    }
    for (const key of needed) if (options[key] === undefined) readers.get(key)?.(undefined)
  }
}

function refuseUnknown(name: string, key: string, known: readonly string[]): never {
  const meant = nearest(key, known)
  throw new ValueError(
    `${name}: unknown option ${key}: expected ${known.join(", ") || "none"}${meant === null ? "" : `; did you mean ${meant}?`}`,
  )
}

function sizesReader(name: string, parameter: string): Part {
  const words = "integers, one by one or as one array"
  return (args, from) => {
    const sizes = args.slice(from)
    if (!(sizes.length === 1 && isList(sizes[0])) && !isList(sizes)) refuse(name, parameter, words, sizes)
  }
}

function partOf(name: string, parameter: string, kind: Takes[string]): Part {
  if (typeof kind === "object") {
    const read = optionsReader(name, kind)
    return (args, i) => read(args[i])
  }
  if (kind === "...sizes") return sizesReader(name, parameter)
  const rest = kind.startsWith("...")
  const read = fitting(name, parameter, rest ? kind.slice(3) : kind)
  if (!rest) return (args, i) => read(args[i])
  return (args, from) => {
    for (let i = from; i < args.length; i++) read(args[i])
  }
}

/**
 * Makes the reader of a function's arguments. It throws a ValueError that names the function, the parameter, what it got and
 * what it expects, for arguments of another kind, options of unknown names, and arguments too many; a DTypeError
 * for unknown dtypes and a DisposedError for disposed tensors.
 */
export function argumentReader(name: string, takes: Takes): Reader {
  const entries = Object.entries(takes)
  const parts = entries.map(([parameter, kind]) => partOf(name, parameter, kind))
  const last = entries.at(-1)?.[1]
  const most = typeof last === "string" && last.startsWith("...") ? Infinity : parts.length
  return (args) => {
    for (let i = 0; i < parts.length; i++) parts[i](args, i)
    if (args.length > most)
      throw new ValueError(
        `${name}: takes at most ${most} arguments (${Object.keys(takes).join(", ")}), got ${args.length}`,
      )
  }
}
