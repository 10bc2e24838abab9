// From a row of the op table to calls: which arguments each operation is tried with, and how they become tensors on a device.
import { type DType, isFloat, ValueError } from "@rondo/backend"
import { type Device, encode, type ElementwiseInfo, ops, type Sample, Tensor, upload } from "@rondo/core"
import { integers, type Leaf, special, spread, valuesAs } from "./values.js"

/** Makes a tensor of a leaf: replaced by the layout check to put the same numbers down in other ways. */
export type Place = (device: Device, leaf: Leaf, dtype: DType, slot: number) => Tensor

/** One call of an operation, not yet on any device. */
export interface Call {
  readonly name: string
  /** The arguments in short: `[t(2,3), 1]`. */
  readonly label: string
  readonly leaves: readonly Leaf[]
  /** The arguments, with the tensors given in the order of the leaves. */
  readonly arguments: (tensors: readonly Tensor[]) => unknown[]
  /** Calls the operation; every tensor in what it returns. Throws a ValueError if that is a promise. */
  readonly run: (tensors: readonly Tensor[]) => Tensor[]
  /** As `run`, for operations that read values back and so return a promise. */
  readonly runAsync: (tensors: readonly Tensor[]) => Promise<Tensor[]>
  /** True if some arguments are NaN, infinite or at the edge of the range: no place for gradients. */
  readonly special: boolean
  /** True if the operation changes its first operand. */
  readonly inPlace: boolean
}

/** Every operation's name. */
export const opNames = (): string[] => Object.keys(ops)

/** Operations that return promises; each has a twin of the same meaning that does not, whose name ends in `Sync`. */
export const isAsync = (name: string): boolean => `${name}Sync` in ops

/** Operations that return at once: what finite differences and the order of events can be checked of. */
export const synchronousNames = (): string[] => opNames().filter((name) => !isAsync(name))

/** True if gradients flow through the operation. */
export function isDifferentiable(name: string): boolean {
  const { op } = ops[name]
  return op.family === "elementwise" ? op.vjp !== null : op.differentiable
}

type Free = (...args: unknown[]) => unknown

/** The tensors in a result: one, several in an array, or in an object's fields. */
export function tensorsIn(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value]
  if (Array.isArray(value)) return value.flatMap(tensorsIn)
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype)
    return Object.values(value).flatMap(tensorsIn)
  return []
}

interface Described {
  readonly sample: "float" | "int" | "bool"
  readonly shape: readonly number[]
  readonly domain: readonly [number, number]
  readonly low: number
  readonly high: number
  readonly dtype: DType
}

const isDescribed = (x: unknown): x is Described => typeof x === "object" && x !== null && "sample" in x

function describe(x: unknown): string {
  if (isDescribed(x)) return `${{ float: "t", int: "int", bool: "mask" }[x.sample]}(${x.shape.join(",")})`
  if (Array.isArray(x)) return `[${x.map(describe).join(", ")}]`
  if (x !== null && typeof x === "object") {
    return `{ ${Object.entries(x).map(([key, value]) => `${key}: ${describe(value)}`).join(", ")} }` // prettier-ignore
  }
  return typeof x === "string" ? JSON.stringify(x) : String(x)
}

function leafOf(x: Described, slot: number, wrt: boolean): Leaf {
  if (x.sample === "float") return { kind: "float", shape: x.shape, values: spread(x.shape, x.domain, slot), wrt }
  if (x.sample === "bool") return { kind: "bool", shape: x.shape, values: integers(x.shape, 0, 2, slot), wrt: false }
  return { kind: "int", shape: x.shape, values: integers(x.shape, x.low, x.high, slot), dtype: x.dtype, wrt: false }
}

/** Replaces descriptions by tensors, wherever they stand in the arguments. */
function fill(x: unknown, take: () => Tensor): unknown {
  if (isDescribed(x)) return take()
  if (Array.isArray(x)) return x.map((item) => fill(item, take))
  if (x !== null && typeof x === "object" && Object.getPrototypeOf(x) === Object.prototype) {
    return Object.fromEntries(Object.entries(x).map(([key, value]) => [key, fill(value, take)]))
  }
  return x
}

function describedIn(x: unknown): Described[] {
  if (isDescribed(x)) return [x]
  if (Array.isArray(x)) return x.flatMap(describedIn)
  return x !== null && typeof x === "object" ? Object.values(x).flatMap(describedIn) : []
}

function structuredCall(name: string, sample: Sample): Call {
  const { op } = ops[name]
  const wrt = op.family === "elementwise" ? undefined : op.wrt
  const leaves: Leaf[] = []
  sample.forEach((argument, i) => {
    for (const x of describedIn(argument)) leaves.push(leafOf(x, leaves.length, wrt ? wrt.includes(i) : true))
  })
  const inPlace = op.family !== "elementwise" && op.inPlace === true
  return makeCall(name, sample, leaves, ops[name] as unknown as Free, { inPlace })
}

function makeCall(
  name: string,
  sample: Sample,
  leaves: readonly Leaf[],
  f: Free,
  { inPlace = false, special: edge = false, label = "" },
): Call {
  const args = (tensors: readonly Tensor[]): unknown[] => {
    let next = 0
    return fill(sample, () => tensors[next++]) as unknown[]
  }
  // Changing a leaf that requires gradients is an error, so the operand is a copy of what was passed in.
  const own = (tensors: readonly Tensor[]) => (inPlace ? tensors.map((x, i) => (i === 0 ? x.clone() : x)) : tensors)
  const raw = (tensors: readonly Tensor[]): unknown => f(...args(own(tensors)))
  const run = (tensors: readonly Tensor[]): Tensor[] => {
    const result = raw(tensors)
    if (result instanceof Promise) throw new ValueError(`${name}: returned a promise`)
    return tensorsIn(result)
  }
  const runAsync = async (tensors: readonly Tensor[]): Promise<Tensor[]> => tensorsIn(await raw(tensors))
  return { name, label: `${label}${describe(sample)}`, leaves, arguments: args, run, runAsync, special: edge, inPlace }
}

// ---- element-wise operations: their rows say where samples come from, not which shapes

const shapes: Record<number, readonly (readonly (readonly number[] | "number")[])[]> = {
  1: [[[2, 3]], [[]], [[1]], [[0, 2]]],
  2: [[[2, 3], [2, 3]], [[2, 1], [3]], [[], [2]], [[3], []], [[2, 2], "number"], ["number", [3]], [[0, 2], [2]], [[], []]],
  3: [[[2, 3], [2, 3], [2, 3]], [[2, 1], [3], []], [[3], "number", [3]], [[3], [2, 1], "number"], [[0], [1], [0]]],
} // prettier-ignore

/** A value of a parameter that is not its default, and moves the result. */
function otherParameter(value: number): number {
  if (value === -Infinity) return -0.7
  if (value === Infinity) return 0.9
  return Math.abs(value) > 1e30 ? value / 2 : value * 1.5 + 0.25
}

function domainOf(info: ElementwiseInfo, operand: number): readonly [number, number] {
  const { domain } = info
  if (!domain) return [-2, 2]
  return typeof domain[0] === "number"
    ? (domain as readonly [number, number])
    : (domain[operand] as readonly [number, number])
}

function elementwiseSample(info: ElementwiseInfo, operands: readonly (readonly number[] | "number")[]): Sample {
  return operands.map((shape, i) => {
    const domain = domainOf(info, i)
    const bool = i === 0 && info.condition
    if (shape === "number") return bool ? true : Number((domain[0] + (domain[1] - domain[0]) * 0.71).toFixed(3))
    return bool ? { sample: "bool", shape } : { sample: "float", shape, domain }
  })
}

function elementwiseCall(name: string, sample: Sample, f: Free, inPlace = false): Call {
  const info = ops[name].op as ElementwiseInfo
  const options = sample[info.arity] as Record<string, number> | undefined
  const kinks = [...(info.kinks ?? []), ...Object.values(options ?? {})]
  const leaves = sample.slice(0, info.arity).filter(isDescribed).map((x, slot) => {
    const leaf = leafOf(x, slot, true)
    return leaf.kind === "float" ? { ...leaf, values: spread(x.shape, x.domain, slot, kinks) } : leaf
  }) // prettier-ignore
  return makeCall(name, sample, leaves, f, { inPlace, label: inPlace ? "in place " : "" })
}

function elementwiseCalls(name: string): Call[] {
  const info = ops[name].op as ElementwiseInfo
  const f = ops[name] as unknown as Free
  const samples = shapes[info.arity].map((operands) => elementwiseSample(info, operands))
  // A condition that is a number has no tensor to choose by.
  const usable = samples.filter((sample) => !info.condition || typeof sample[0] === "object")
  const calls = usable.map((sample) => elementwiseCall(name, sample, f))
  const { params } = info
  if (params && Object.keys(params).length > 0) {
    const other = Object.fromEntries(Object.entries(params).map(([key, value]) => [key, otherParameter(value)]))
    calls.push(elementwiseCall(name, [...samples[0], other], f))
    const [first, ...rest] = Object.keys(params)
    if (rest.length > 0) calls.push(elementwiseCall(name, [...samples[0], { [first]: other[first] }], f))
  }
  return calls
}

/** Calls of the in-place forms: none for operations whose first operand is a condition. */
export function inPlaceCalls(name: string): Call[] {
  const info = ops[name].op
  if (info.family !== "elementwise") return info.inPlace ? opCalls(name) : []
  if (info.condition) return []
  const operands: Record<number, readonly (readonly number[] | "number")[][]> = {
    1: [[[2, 3]], [[]]],
    2: [
      [[2, 3], [3]],
      [[2, 2], "number"],
    ],
    3: [[[2, 3], [2, 1], [3]]],
  }
  return operands[info.arity].map((list) => elementwiseCall(name, elementwiseSample(info, list), info.inPlace as Free, true)) // prettier-ignore
}

/** The calls that the suite makes of an operation. */
export function opCalls(name: string): Call[] {
  const { op } = ops[name]
  return op.family === "elementwise" ? elementwiseCalls(name) : op.samples.map((sample) => structuredCall(name, sample))
}

/** Element-wise operations at NaN, infinities, signed zeros, ties of rounding and the ends of the range. */
export function specialCalls(name: string): Call[] {
  const info = ops[name].op
  if (info.family !== "elementwise" || info.condition) return []
  const some = [NaN, Infinity, -Infinity, 0, -0, 1, -2.5, 3]
  const lists: readonly (readonly number[])[] =
    info.arity === 1
      ? [special]
      : Array.from({ length: info.arity }, (_, k) => Array.from({ length: 8 ** info.arity }, (_, i) => some[Math.floor(i / 8 ** k) % 8])) // prettier-ignore
  const sample = lists.map((list) => ({ sample: "float", shape: [list.length], domain: [0, 1] }))
  const leaves = lists.map((values): Leaf => ({ kind: "float", shape: [values.length], values, wrt: false }))
  return [makeCall(name, sample, leaves, ops[name] as unknown as Free, { special: true, label: "special " })]
}

// ---- tensors

/** The dtype that a leaf has when floats are `dtype`. */
export function leafDType(leaf: Leaf, dtype: DType, device: Device): DType {
  if (leaf.kind === "float") return dtype
  if (leaf.kind === "bool") return "bool"
  const wanted = leaf.dtype ?? "int32"
  return device.backend.capabilities.dtypes.includes(wanted) ? wanted : "int32"
}

/** A contiguous tensor of the leaf's numbers. */
export const contiguousPlace: Place = (device, leaf, dtype) =>
  upload(device, encode(valuesAs(leaf, dtype), dtype), leaf.shape, dtype)

/** The tensors of a call on `device`; those that gradients are checked of require them, if asked for. */
export function place(call: Call, device: Device, dtype: DType, grads = false, how: Place = contiguousPlace): Tensor[] {
  return call.leaves.map((leaf, slot) => {
    const own = leafDType(leaf, dtype, device)
    const x = how(device, leaf, own, slot)
    return grads && leaf.wrt && isFloat(own) ? x.detach().requiresGrad_() : x
  })
}
