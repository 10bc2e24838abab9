// How operations other than element-wise ones carry their row: name, words, samples, and whether gradients flow.
import { IndexError, shapeText, ShapeError, sizeOf } from "@rondo/backend"
import { argumentReader, type Takes } from "./arguments.js"
import type { Sample } from "./samples.js"

/** What the conformance suite and the docs read from an operation. */
export interface StructuredInfo {
  readonly family: "reduce" | "movement" | "linalg" | "indexing" | "composite"
  readonly name: string
  /** Its arguments by name with their kinds: every call is held to that before anything else happens. */
  readonly takes: Takes
  readonly doc: string
  /** Calls that the suite makes: odd shapes, empty ones, every option. */
  readonly samples: readonly Sample[]
  /** False for operations whose result carries no gradient. Stated, never left out. */
  readonly differentiable: boolean
  /** True if the result shows the memory of the first operand. */
  readonly view?: boolean
  /** False if the first operand is not a tensor, so that the operation is no method. */
  readonly method?: false
  /** True if the operation changes its first operand. */
  readonly inPlace?: boolean
  /** Which tensor arguments the gradient check moves, where not all float ones. */
  readonly wrt?: readonly number[]
}

/** Joins a function with its row; its arguments are checked before it is called. */
export function op<F extends (...args: never[]) => unknown>(
  info: StructuredInfo,
  f: F,
): F & { readonly op: StructuredInfo } {
  const read = argumentReader(info.name, info.takes)
  const call = (...args: never[]): unknown => {
    read(args)
    return f(...args)
  }
  return Object.assign(call as F, { op: info })
}

/** Sizes or dims: as arguments, or as one array. */
export type Sizes = number[] | [readonly number[]]

/** Flattens the two ways to write sizes, and checks that they are integers. */
export function readSizes(name: string, sizes: Sizes): number[] {
  const list = (sizes.length === 1 && Array.isArray(sizes[0]) ? [...sizes[0]] : [...sizes]) as number[]
  for (const size of list) {
    if (!Number.isInteger(size))
      throw new ShapeError(`${name}: sizes must be integers, got [${list.map(String).join(", ")}]`)
  }
  return list
}

/** A dim counted from the front. Throws an IndexError outside -rank … rank-1 (0 dims count as one). */
export function readDim(name: string, dim: number, rank: number): number {
  const limit = Math.max(rank, 1)
  if (!Number.isInteger(dim) || dim < -limit || dim >= limit) {
    throw new IndexError(`${name}: dim out of range: got ${String(dim)}, expected ${-limit} to ${limit - 1}`)
  }
  return dim < 0 ? dim + limit : dim
}

/** Dims counted from the front, each named once; all of them for null or undefined. */
export function readDims(name: string, dims: number | readonly number[] | null | undefined, rank: number): number[] {
  if (dims === null || dims === undefined) return Array.from({ length: rank }, (_, d) => d)
  const list = (typeof dims === "number" ? [dims] : dims).map((d) => readDim(name, d, rank))
  if (new Set(list).size < list.length) throw new ShapeError(`${name}: a dim is named twice: [${list.join(", ")}]`)
  return rank === 0 ? [] : list
}

/** The shape `sizes` describes for `count` elements: one size may be -1. */
export function inferSizes(name: string, sizes: readonly number[], shape: readonly number[]): number[] {
  const count = sizeOf(shape)
  const open = sizes.indexOf(-1)
  if (sizes.some((size, d) => size < 0 && d !== open)) {
    throw new ShapeError(`${name}: at most one size may be -1 and none below it, got ${shapeText(sizes)}`)
  }
  const known = sizes.reduce((n, size, d) => (d === open ? n : n * size), 1)
  const out = [...sizes]
  if (open >= 0) {
    if (known === 0 || count % known !== 0) {
      throw new ShapeError(
        `${name}: ${shapeText(shape)} cannot become ${shapeText(sizes)}: ${count} elements do not divide`,
      )
    }
    out[open] = count / known
  } else if (known !== count) {
    throw new ShapeError(`${name}: ${shapeText(shape)} has ${count} elements, ${shapeText(sizes)} needs ${known}`)
  }
  return out
}

/** Sizes by position or in one array, then perhaps an object of options: how factories are called. */
export type SizesAndOptions<O> = readonly number[] | readonly [...number[], O] | readonly [readonly number[], O?]

/** Takes such a call apart. Throws a ShapeError for sizes that are none. */
export function readSizesAndOptions<O extends object>(
  name: string,
  args: SizesAndOptions<O>,
): { shape: number[]; options: O } {
  const last = args[args.length - 1]
  const hasOptions = typeof last === "object" && last !== null && !Array.isArray(last)
  const shape = readSizes(name, (hasOptions ? args.slice(0, -1) : args.filter((x) => x !== undefined)) as Sizes)
  if (shape.some((size) => size < 0))
    throw new ShapeError(`${name}: sizes must not be negative, got ${shapeText(shape)}`)
  return { shape, options: (hasOptions ? last : {}) as O }
}
