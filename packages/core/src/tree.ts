// Plain data with tensors in it, as JSON with the tensors beside it, and back. What JSON cannot say is spelled with a "$".
import { FormatError, ValueError } from "@rondo/backend"
import { noGrad } from "./graph.js"
import { Tensor } from "./tensor.js"

/** Tensors and bytes of a tree, by their paths; the paths of bytes end in `#bytes`. */
type Leaves = Map<string, Tensor | Uint8Array>

const maxDepth = 64
// Longer ones take JavaScript seconds to read, or are more than it can hold.
const maxDigits = 100_000

/** The tree as JSON. Tensors and bytes go to `leaves`; undefined entries of objects are left out, as JSON does. */
export function packTree(op: string, path: string, value: unknown, leaves: Leaves, depth = 0): unknown {
  if (depth > maxDepth) throw new ValueError(`${op}: ${path.slice(0, 100)} is nested too deeply, or contains itself`)
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? "-0" : String(value) }
    case "bigint": {
      const text = String(value)
      if (text.length > maxDigits) throw new ValueError(`${op}: ${path} has more than ${maxDigits} digits`)
      return { $bigint: text }
    }
    case "object":
      return value === null ? null : packObject(op, path, value, leaves, depth)
    default:
      throw new ValueError(`${op}: ${path} cannot be saved: got ${typeof value}, expected plain data and tensors`)
  }
}

function packObject(op: string, path: string, value: object, leaves: Leaves, depth: number): unknown {
  if (value instanceof Tensor || value instanceof Uint8Array) {
    // Names with dots in them can lead to one path twice, and a tensor's must not end as those of bytes do.
    let own = path
    while (leaves.has(own) || leaves.has(`${own}#bytes`) || own.endsWith("#bytes")) own += "'"
    const name = value instanceof Tensor ? own : `${own}#bytes`
    leaves.set(name, value)
    return value instanceof Tensor ? { $tensor: name } : { $bytes: name }
  }
  if (Array.isArray(value)) return value.map((item, i) => packTree(op, `${path}.${i}`, item, leaves, depth + 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    const kind = (value.constructor as { name?: string } | undefined)?.name ?? "an object"
    throw new ValueError(`${op}: ${path} cannot be saved: got ${kind}, expected plain data and tensors`)
  }
  const entries = Object.entries(value).flatMap(([name, item]): [string, unknown][] =>
    item === undefined ? [] : [[name, packTree(op, `${path}.${name}`, item, leaves, depth + 1)]],
  )
  // Names with a "$" in front are ours, and JSON.parse would not keep "__proto__" apart.
  if (entries.some(([name]) => name.startsWith("$") || name === "__proto__")) return { $entries: entries }
  return Object.fromEntries(entries)
}

/** The tree of a JSON value. Throws a FormatError for a leaf that is missing, and for a "$" that nobody wrote. */
export function unpackTree(
  op: string,
  path: string,
  value: unknown,
  leaves: ReadonlyMap<string, Tensor | Uint8Array>,
  depth = 0,
): unknown {
  if (depth > 2 * maxDepth) throw new FormatError(`${op}: ${path.slice(0, 100)} is nested too deeply`)
  const below = (name: string | number, item: unknown) => unpackTree(op, `${path}.${name}`, item, leaves, depth + 1)
  if (value === null || typeof value !== "object") return value
  if (Array.isArray(value)) return value.map((item, i) => below(i, item))
  const entries = Object.entries(value)
  const [[first, content] = ["", null]] = entries
  if (!first.startsWith("$")) return Object.fromEntries(entries.map(([name, item]) => [name, below(name, item)]))
  const fail = (): never => {
    throw new FormatError(`${op}: ${path}: cannot read ${JSON.stringify(value).slice(0, 60)}`)
  }
  if (entries.length !== 1) return fail()
  if (first === "$entries") {
    const pairs: unknown = content
    if (!Array.isArray(pairs) || !pairs.every((pair) => Array.isArray(pair) && typeof pair[0] === "string"))
      return fail()
    return Object.fromEntries((pairs as [string, unknown][]).map(([name, item]) => [name, below(name, item)]))
  }
  if (typeof content !== "string") return fail()
  if (first === "$number" && /^(-?Infinity|NaN|-0)$/.test(content)) return Number(content)
  if (first === "$bigint" && content.length <= maxDigits && /^-?\d+$/.test(content)) return BigInt(content)
  if (first !== "$tensor" && first !== "$bytes") return fail()
  const leaf = leaves.get(content)
  if (leaf instanceof Tensor !== (first === "$tensor")) {
    throw new FormatError(`${op}: ${path}: the file has no ${first.slice(1)} ${JSON.stringify(content)}`)
  }
  return leaf ?? fail()
}

/** A copy of plain data, tensors and lists included: what it holds stays as it is, whatever happens to the original. */
export function copyTree(value: unknown): unknown {
  if (value instanceof Tensor) return noGrad(() => value.detach().clone())
  if (value instanceof Uint8Array) return value.slice()
  if (Array.isArray(value)) return value.map(copyTree)
  if (value === null || typeof value !== "object") return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, copyTree(item)]))
}
