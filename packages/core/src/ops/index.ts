// All operations by name: what becomes a method, what the conformance suite walks through, what the docs list.
import type { ElementwiseInfo } from "../elementwise.js"
import type { StructuredInfo } from "../op.js"
import type { Tensor } from "../tensor.js"
import * as activation from "./activation.js"
import * as arithmetic from "./arithmetic.js"
import * as arranging from "./arranging.js"
import * as conversion from "./conversion.js"
import * as einsum from "./einsum.js"
import * as embedding from "./embedding.js"
import * as fill from "./fill.js"
import * as gather from "./gather.js"
import * as indexing from "./indexing.js"
import * as linalg from "./linalg.js"
import * as linear from "./linear.js"
import * as logic from "./logic.js"
import * as loss from "./loss.js"
import * as movement from "./movement.js"
import * as rectifiers from "./rectifiers.js"
import * as recurrent from "./recurrent.js"
import * as reduce from "./reduce.js"
import * as repeating from "./repeating.js"
import * as rows from "./rows.js"
import * as scan from "./scan.js"
import * as selection from "./selection.js"
import * as shaping from "./shaping.js"
import * as slicing from "./slicing.js"
import * as softmax from "./softmax.js"
import * as sort from "./sort.js"
import * as standardize from "./standardize.js"

const modules = {
  ...activation,
  ...arithmetic,
  ...arranging,
  ...conversion,
  ...einsum,
  ...embedding,
  ...fill,
  ...gather,
  ...indexing,
  ...linalg,
  ...linear,
  ...logic,
  ...loss,
  ...movement,
  ...rectifiers,
  ...recurrent,
  ...reduce,
  ...repeating,
  ...rows,
  ...scan,
  ...selection,
  ...shaping,
  ...slicing,
  ...softmax,
  ...sort,
  ...standardize,
}
type Modules = typeof modules

/** Names that PyTorch uses and JavaScript reserves, or that mean something else as a free function. */
const methodNames = { variance: "var", transposed: "t" } as const
type MethodNames = typeof methodNames
type MethodName<K> = K extends keyof MethodNames ? MethodNames[K] : K

/** Operations whose first operand is not a tensor: no methods. Their rows say `method: false`. */
type Free = "cat" | "stack" | "einsum" | "meshgrid" | "hstack" | "vstack" | "bucketize" | "recurrent" | "recurrentStep"
type OpNames = {
  [K in keyof Modules]: Modules[K] extends { readonly op: ElementwiseInfo | StructuredInfo } ? K : never
}[keyof Modules]
type ElementwiseNames = {
  [K in keyof Modules]: Modules[K] extends { readonly op: ElementwiseInfo } ? K : never
}[keyof Modules]

type Bound<F> = F extends (x: never, ...rest: infer A) => infer R ? (...rest: A) => R : never

/** The methods that the tables give to Tensor. */
export type OpMethods = {
  [K in Exclude<OpNames, Free | ElementwiseNames | "max" | "min" | "median"> as MethodName<K>]: Bound<Modules[K]>
} & {
  [K in ElementwiseNames]: Bound<Modules[K]>
} & {
  [K in ElementwiseNames as `${K}_`]: Bound<Modules[K]>
} & {
  /** Largest element; with `dim`: values and int32 positions. */
  max(): Tensor
  max(dim: number, options?: reduce.ReduceOptions): reduce.Extremes
  /** Smallest element; with `dim`: values and int32 positions. */
  min(): Tensor
  min(dim: number, options?: reduce.ReduceOptions): reduce.Extremes
  /** The lower of the two middle elements; with `dim`: values and int32 positions. */
  median(): Tensor
  median(dim: number, options?: reduce.ReduceOptions): reduce.Extremes
}

/** An operation with its row. */
export type Op = ((...args: never[]) => unknown) & { readonly op: ElementwiseInfo | StructuredInfo }

/** Every operation, by the name of its function. */
export const ops: Readonly<Record<string, Op>> = Object.fromEntries(
  Object.entries(modules as Record<string, unknown>).filter((entry): entry is [string, Op] => {
    const [, value] = entry
    return typeof value === "function" && "op" in value
  }),
)

/** @internal The name under which an operation is a method of Tensor, or null. */
export function methodName(name: string): string | null {
  const { op } = ops[name]
  if (op.family !== "elementwise" && op.method === false) return null
  return (methodNames as Record<string, string>)[name] ?? name
}

export * from "./activation.js"
export * from "./arithmetic.js"
export * from "./arranging.js"
export * from "./conversion.js"
export * from "./einsum.js"
export * from "./embedding.js"
export * from "./fill.js"
export * from "./gather.js"
export * from "./indexing.js"
export * from "./linalg.js"
export * from "./linear.js"
export * from "./logic.js"
export * from "./loss.js"
export * from "./movement.js"
export * from "./rectifiers.js"
export * from "./recurrent.js"
export * from "./reduce.js"
export * from "./repeating.js"
export * from "./rows.js"
export * from "./scan.js"
export * from "./selection.js"
export * from "./shaping.js"
export * from "./slicing.js"
export * from "./softmax.js"
export * from "./sort.js"
export * from "./standardize.js"
