// Comparison, logic and choice, element by element: one row each. These have no gradient, except where's.
import { e, type Expr, isFloat } from "@rondo/backend"
import { binary, type BinaryOp, ternary, type TernaryOp, unary, type UnaryOp } from "../elementwise.js"

export const where: TernaryOp = ternary({
  name: "where",
  doc: "Second operand where the first (bool) is true, else the third.",
  condition: true,
  expr: (condition, x, y) => e.where(condition, x, y),
  vjp: [null, (g, s) => where(s.x, g, 0), (g, s) => where(s.x, 0, g)],
  keep: ["x"],
})

export const eq: BinaryOp = binary({ name: "eq", doc: "Equal.", expr: e.eq, vjp: null })
export const ne: BinaryOp = binary({ name: "ne", doc: "Not equal.", expr: e.ne, vjp: null })
export const lt: BinaryOp = binary({ name: "lt", doc: "Less than.", expr: e.lt, vjp: null })
export const le: BinaryOp = binary({ name: "le", doc: "Less than or equal.", expr: e.le, vjp: null })
export const gt: BinaryOp = binary({ name: "gt", doc: "Greater than.", expr: e.gt, vjp: null })
export const ge: BinaryOp = binary({ name: "ge", doc: "Greater than or equal.", expr: e.ge, vjp: null })
const truth = (x: Expr): Expr => e.cast(x, "bool")
export const logicalAnd: BinaryOp = binary({ name: "logicalAnd", doc: "Both are not zero.", expr: (x, y) => e.and(truth(x), truth(y)), vjp: null }) // prettier-ignore
export const logicalOr: BinaryOp = binary({ name: "logicalOr", doc: "One is not zero.", expr: (x, y) => e.or(truth(x), truth(y)), vjp: null }) // prettier-ignore
export const logicalXor: BinaryOp = binary({ name: "logicalXor", doc: "Exactly one is not zero.", expr: (x, y) => e.xor(truth(x), truth(y)), vjp: null }) // prettier-ignore
export const logicalNot: UnaryOp = unary({ name: "logicalNot", doc: "Is zero.", expr: (x) => e.not(truth(x)), vjp: null }) // prettier-ignore
export const bitwiseAnd: BinaryOp = binary({ name: "bitwiseAnd", doc: "Bits set in both; on bools: and.", expr: e.and, vjp: null }) // prettier-ignore
export const bitwiseOr: BinaryOp = binary({ name: "bitwiseOr", doc: "Bits set in one; on bools: or.", expr: e.or, vjp: null }) // prettier-ignore
export const bitwiseXor: BinaryOp = binary({ name: "bitwiseXor", doc: "Bits set in exactly one; on bools: xor.", expr: e.xor, vjp: null }) // prettier-ignore
export const bitwiseNot: UnaryOp = unary({ name: "bitwiseNot", doc: "All bits flipped; on bools: not.", expr: e.not, vjp: null }) // prettier-ignore
export const isnan: UnaryOp = unary({ name: "isnan", doc: "Is not a number.", expr: (x) => e.ne(x, x), vjp: null })
export const isinf: UnaryOp = unary({
  name: "isinf",
  doc: "Is an infinity.",
  expr: (x) => (isFloat(x.dtype) ? e.eq(e.abs(x), e.like(x, Infinity)) : e.ne(x, x)),
  vjp: null,
})
export const isfinite: UnaryOp = unary({
  name: "isfinite",
  doc: "Is neither infinite nor NaN.",
  expr: (x) => (isFloat(x.dtype) ? e.lt(e.abs(x), e.like(x, Infinity)) : e.eq(x, x)),
  vjp: null,
})
