// Rows of the element-wise table as data, and the value of one: promotion of dtypes, then its expression.
import { computeDType, type DType, DTypeError, type Expr, isFloat, promote, promoteScalar } from "@rondo/backend"
import type { OpInfo } from "./apply.js"
import { defaultDType } from "./defaults.js"
import type { Kept, Saved } from "./graph.js"
import type { Tensor } from "./tensor.js"

/** What a user may write for an operand: a number or boolean takes part by its category only, as in PyTorch. */
export type Scalar = number | boolean
/** An operand: a tensor or a plain number. */
export type Input = Tensor | Scalar

/** Gradient of one operand; `g` is that of the result. Written in differentiable operations. */
export type Vjp = (g: Tensor, saved: Saved) => Tensor

/** One row of the element-wise table: the operation, its gradient and where to test it. */
export interface Row {
  readonly name: string
  /** What it computes, for the docs. The first sentence stands alone. */
  readonly doc: string
  /** The value from the operands, then the parameters, all of one dtype (except `condition`). Written once for all backends. */
  readonly expr: (...operands: Expr[]) => Expr
  /** Gradient of each operand; null says that the operation, or that operand, is not differentiable. */
  readonly vjp: null | Vjp | readonly (Vjp | null)[]
  /** What `vjp` reads of operands (x, y, z) and result (out), in all or for each operand's gradient; default nothing. */
  readonly keep?: readonly Kept[] | readonly (readonly Kept[])[]
  /** Named numbers after the operands, with their defaults; handed to each run, so that changing one compiles nothing. */
  readonly params?: Readonly<Record<string, number>>
  /** True if the parameters are limits: bools count as numbers beside them, and an integer must hold them or become a float. */
  readonly limits?: boolean
  /** True if integers are computed in floats, as for `exp` and `div`. */
  readonly float?: boolean
  /** True if the first operand is a bool that takes no part in promotion. */
  readonly condition?: boolean
  /** True if `vjp` takes numbers as they were written; else it gets tensors of zero dims in their place. */
  readonly plain?: boolean
  /** Where samples are drawn from, for each operand; default [-2, 2]. */
  readonly domain?: readonly [number, number] | readonly (readonly [number, number])[]
  /** Points where no finite difference may stand (of any operand, or of the difference of two). */
  readonly kinks?: readonly number[]
}

/** Everything the conformance suite and the docs read from an operation. */
export interface ElementwiseInfo
  extends OpInfo, Pick<Row, "doc" | "params" | "float" | "condition" | "domain" | "kinks"> {
  readonly family: "elementwise"
  readonly arity: 1 | 2 | 3
  /** The in-place form: changes the first operand. */
  readonly inPlace: (self: Tensor, ...rest: unknown[]) => Tensor
}

/** Parameters by position, or by name in one object. */
export type Params = (number | undefined)[] | [Readonly<Record<string, number | undefined>>]

/** An element-wise operation of one operand: its function with its row. */
export interface UnaryOp {
  (x: Tensor, ...params: Params): Tensor
  readonly op: ElementwiseInfo
}
/** An element-wise operation of two operands, which broadcast. */
export interface BinaryOp {
  (x: Input, y: Input, ...params: Params): Tensor
  readonly op: ElementwiseInfo
}
/** An element-wise operation of three operands, which broadcast. */
export interface TernaryOp {
  (x: Input, y: Input, z: Input, ...params: Params): Tensor
  readonly op: ElementwiseInfo
}

/** What promotion must know of a tensor. */
export type Typed = Pick<Tensor, "dtype" | "ndim">

/** The value of a row, and the dtype that its result has. */
export interface RowValue {
  readonly value: Expr
  readonly dtype: DType
}

/**
 * True if a parameter makes integers into floats: clamp(int, 0, 5) stays integer, clamp(int, 0.5) and clamp(int, NaN) do not. An
 * infinity that is the default is a limit that is not there.
 */
export const isFractional = (row: Row, params: readonly number[]): boolean =>
  params.some((value, i) => {
    if (Number.isFinite(value)) return !Number.isInteger(value)
    return row.limits === true && value !== Object.values(row.params as Record<string, number>)[i]
  })

/**
 * Evaluates a row on expressions: `read` gives each operand in the dtype asked for, `params` are expressions already
 * made for the dtype of the arithmetic, which is handed to them.
 */
export function rowValue<X extends Typed>(
  row: Row,
  operands: readonly (X | Scalar)[],
  fractional: boolean,
  read: (x: X | Scalar, dtype: DType) => Expr,
  params: (dtype: DType) => readonly Expr[],
): RowValue {
  const from = row.condition ? 1 : 0
  let dtype = promotedDType(row.name, operands.slice(from))
  if (row.limits && dtype === "bool") dtype = "int32"
  if ((row.float || fractional) && !isFloat(dtype)) dtype = defaultDType()
  const compute = computeDType(dtype)
  const args = operands.map((x, i) => read(x, i < from ? "bool" : compute))
  const value = named(row, [...args, ...params(compute)])
  return { value, dtype: value.dtype === compute ? dtype : value.dtype }
}

/** The row's expression; where it refuses a dtype, the error names the operation rather than the operator inside. */
function named({ name, expr }: Row, args: readonly Expr[]): Expr {
  try {
    return expr(...args)
  } catch (error) {
    if (error instanceof DTypeError) throw new DTypeError(`${name}: ${error.fact}`)
    throw error
  }
}

/** The dtype in which tensors and numbers meet: tensors first; of the 0-dim ones only the category counts beside others. */
export function promotedDType(operation: string, operands: readonly (Typed | Scalar)[]): DType {
  const tensors = operands.filter((x): x is Typed => typeof x === "object")
  const numbers = operands.filter((x): x is Scalar => typeof x !== "object")
  const dimensional = tensors.filter((x) => x.ndim > 0)
  let dtype: DType | null = null
  for (const x of dimensional) dtype = dtype ? promote(dtype, x.dtype, operation) : x.dtype
  for (const x of tensors) {
    if (x.ndim > 0) continue
    if (dtype === null) dtype = x.dtype
    else dtype = dimensional.length === 0 ? promote(dtype, x.dtype, operation) : promoteZeroDim(dtype, x.dtype)
  }
  for (const x of numbers) {
    dtype = dtype ?? (typeof x === "boolean" ? "bool" : Number.isInteger(x) ? "int32" : defaultDType())
    const wider = promoteScalar(dtype, x)
    dtype = wider === dtype ? dtype : isFloat(wider) ? defaultDType() : wider
  }
  return dtype as DType
}

const order = { bool: 0, int: 1, float: 2 }
function promoteZeroDim(dtype: DType, zeroDim: DType): DType {
  const rank = (d: DType) => order[d === "bool" ? "bool" : isFloat(d) ? "float" : "int"]
  return rank(zeroDim) > rank(dtype) ? zeroDim : dtype
}
