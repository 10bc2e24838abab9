// The expression language: element-wise arithmetic as plain data, written once and rendered by every backend.
import { category, type DType, isFloat } from "./dtype.js"
import { DTypeError } from "./errors.js"

/** Functions of one real number; operand and result have the same float dtype. */
export const floatUnary = [
  "sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan",
  "sinh", "cosh", "tanh", "sigmoid", "erf", "floor", "ceil", "round", "trunc",
] as const // prettier-ignore
/** Operators of one operand of any numeric dtype (`not` also, and only, of bool and the integers: it flips bits). */
export const anyUnary = ["neg", "abs", "not"] as const
/**
 * Arithmetic on two operands of one dtype. For integers `div` truncates, `mod` has the dividend's sign, as in C, and both give
 * 0 where the divisor is 0; results wrap. `pow` follows C. `max` and `min` hand on NaN. Of bool, `add` and `max` mean or, `mul`
 * and `min` and, `sub` xor; the others are not defined.
 */
export const arithmetic = ["add", "sub", "mul", "div", "mod", "pow", "max", "min", "atan2"] as const
/**
 * Operators on bool (logical) and integers (bitwise). Shifts to the right are arithmetic, of uint8 and uint32 logical; the count is
 * taken modulo the width.
 */
export const bitwise = ["and", "or", "xor", "shl", "shr"] as const
/** Comparisons of two operands of one dtype; the result is bool. NaN compares false, except under `ne`. */
export const comparison = ["eq", "ne", "lt", "le", "gt", "ge"] as const

/** Operators of one operand. */
export type UnaryOperator = (typeof floatUnary)[number] | (typeof anyUnary)[number]
/** Operators of two operands. */
export type BinaryOperator = (typeof arithmetic)[number] | (typeof bitwise)[number] | (typeof comparison)[number]
/** Everything an `op` node can be. `where` picks its second operand where the first is true, else its third. */
export type Operator = UnaryOperator | BinaryOperator | "where"

/** All operators, in the order of the groups above. */
export const operators: readonly Operator[] = [
  ...floatUnary,
  ...anyUnary,
  ...arithmetic,
  ...bitwise,
  ...comparison,
  "where",
]

/** One node. Sharing an object, or building an equal one twice, means the value is computed once. */
export type Expr =
  /** The current element of input number `index`. */
  | { readonly kind: "input"; readonly index: number; readonly dtype: DType }
  /** A number that is part of the kernel. NaN and infinities are allowed. */
  | { readonly kind: "const"; readonly value: number; readonly dtype: DType }
  /** A number handed to each run: changing it compiles nothing anew. */
  | { readonly kind: "scalar"; readonly index: number; readonly dtype: DType }
  /**
   * Conversion, with C's truncation towards zero; to bool: is it not zero. Integers wrap, and so do floats from -2^31 on to uint32
   * (-1.5 gives 2^32 - 1); NaN and what is further beyond the range of an integer are unspecified.
   */
  | { readonly kind: "cast"; readonly arg: Expr; readonly dtype: DType }
  | { readonly kind: "op"; readonly op: Operator; readonly args: readonly Expr[]; readonly dtype: DType }

function fail(op: string, fact: string): never {
  throw new DTypeError(`${op}: ${fact}`)
}

function unary(op: UnaryOperator): (x: Expr) => Expr {
  const floatOnly = (floatUnary as readonly string[]).includes(op)
  return (x) => {
    if (floatOnly && !isFloat(x.dtype)) fail(op, `needs a float operand, got ${x.dtype}`)
    if (op === "not" && isFloat(x.dtype)) fail(op, `needs a bool or integer operand, got ${x.dtype}`)
    if (op !== "not" && x.dtype === "bool") fail(op, "is not defined for bool")
    return { kind: "op", op, args: [x], dtype: x.dtype }
  }
}

const notOfBool: readonly BinaryOperator[] = ["div", "mod", "pow", "shl", "shr"]

function binary(op: BinaryOperator): (x: Expr, y: Expr) => Expr {
  const compares = (comparison as readonly string[]).includes(op)
  const bits = (bitwise as readonly string[]).includes(op)
  return (x, y) => {
    if (x.dtype !== y.dtype) fail(op, `operands differ in dtype: ${x.dtype} and ${y.dtype}`)
    if (bits && category(x.dtype) === "float") fail(op, `needs bool or integer operands, got ${x.dtype}`)
    if (x.dtype === "bool" && notOfBool.includes(op)) fail(op, "is not defined for bool")
    if (op === "atan2" && !isFloat(x.dtype)) fail(op, `needs float operands, got ${x.dtype}`)
    return { kind: "op", op, args: [x, y], dtype: compares ? "bool" : x.dtype }
  }
}

const operatorBuilders = {
  ...(Object.fromEntries([...floatUnary, ...anyUnary].map((op) => [op, unary(op)])) as Record<
    UnaryOperator,
    (x: Expr) => Expr
  >),
  ...(Object.fromEntries([...arithmetic, ...bitwise, ...comparison].map((op) => [op, binary(op)])) as Record<
    BinaryOperator,
    (x: Expr, y: Expr) => Expr
  >),
}

/**
 * Builders for expressions. Operands of an operator must agree in dtype; `cast` converts.
 *
 * @example
 * ```ts
 * // One Adam-like step: x - rate * tanh(g), with the rate handed to each run.
 * const x = e.input(0, "float32")
 * const g = e.input(1, "float32")
 * const next = e.sub(x, e.mul(e.scalar(0, "float32"), e.tanh(g)))
 * console.log(next.dtype) // float32
 * ```
 */
export const e = {
  ...operatorBuilders,
  input: (index: number, dtype: DType): Expr => ({ kind: "input", index, dtype }),
  const: (value: number, dtype: DType): Expr => ({ kind: "const", value, dtype }),
  scalar: (index: number, dtype: DType): Expr => ({ kind: "scalar", index, dtype }),
  cast: (arg: Expr, dtype: DType): Expr => (arg.dtype === dtype ? arg : { kind: "cast", arg, dtype }),
  where: (condition: Expr, x: Expr, y: Expr): Expr => {
    if (condition.dtype !== "bool") fail("where", `condition must be bool, got ${condition.dtype}`)
    if (x.dtype !== y.dtype) fail("where", `operands differ in dtype: ${x.dtype} and ${y.dtype}`)
    return { kind: "op", op: "where", args: [condition, x, y], dtype: x.dtype }
  },
  /** A constant of the same dtype as `x`. */
  like: (x: Expr, value: number): Expr => ({ kind: "const", value, dtype: x.dtype }),
}
