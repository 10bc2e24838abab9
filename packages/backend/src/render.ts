// The one walk over expressions that every renderer shares: value numbering, use counts, then a fold into any target.
import type { DType } from "./dtype.js"
import type { Expr, Operator } from "./expr.js"

/** A node whose operands are earlier positions in the program. */
export type ProgramNode =
  | { readonly kind: "input" | "scalar"; readonly index: number; readonly dtype: DType }
  | { readonly kind: "const"; readonly value: number; readonly dtype: DType }
  | { readonly kind: "cast"; readonly args: readonly [number]; readonly dtype: DType; readonly from: DType }
  | {
      readonly kind: "op"
      readonly op: Operator
      readonly args: readonly number[]
      readonly dtype: DType
      readonly from: DType
    }

/** Expressions in an order where operands come first and equal sub-expressions stand once. */
export interface Program {
  readonly nodes: readonly ProgramNode[]
  /** Position of each expression's value. */
  readonly outputs: readonly number[]
  /** How many operands and outputs read each node: a target names a value that is read more than once. */
  readonly uses: readonly number[]
  /** Equal for equal expressions, whoever built them: the cache key. */
  readonly key: string
}

const constText = (value: number): string => (Object.is(value, -0) ? "-0" : String(value))

/**
 * Numbers the values of `expressions`: structurally equal sub-expressions become one node.
 *
 * @example
 * ```ts
 * const x = e.tanh(e.input(0, "float32"))
 * console.log(program([e.mul(x, x)]).nodes.map((node) => node.kind)) // ["input", "op", "op"]
 * ```
 */
export function program(expressions: readonly Expr[]): Program {
  const nodes: ProgramNode[] = []
  const keys: string[] = []
  const byKey = new Map<string, number>()
  const byObject = new Map<Expr, number>()

  const intern = (key: string, node: ProgramNode): number => {
    const known = byKey.get(key)
    if (known !== undefined) return known
    byKey.set(key, nodes.length)
    keys.push(key)
    return nodes.push(node) - 1
  }
  const visit = (x: Expr): number => {
    const known = byObject.get(x)
    if (known !== undefined) return known
    const at = number(x)
    byObject.set(x, at)
    return at
  }
  const number = (x: Expr): number => {
    const { dtype } = x
    switch (x.kind) {
      case "input":
        return intern(`i${x.index}:${dtype}`, { kind: "input", index: x.index, dtype })
      case "scalar":
        return intern(`s${x.index}:${dtype}`, { kind: "scalar", index: x.index, dtype })
      case "const":
        return intern(`${constText(x.value)}:${dtype}`, { kind: "const", value: x.value, dtype })
      case "cast": {
        const arg = visit(x.arg)
        return intern(`${dtype}(${arg})`, { kind: "cast", args: [arg], dtype, from: x.arg.dtype })
      }
      case "op": {
        const args = x.args.map(visit)
        // `where` is typed by the values it picks from, the others by their first operand.
        const from = x.args[x.op === "where" ? 1 : 0].dtype
        return intern(`${x.op}(${args.join(",")})`, { kind: "op", op: x.op, args, dtype, from })
      }
      default:
        return x satisfies never
    }
  }

  const outputs = expressions.map(visit)
  const uses = nodes.map(() => 0)
  for (const node of nodes) if ("args" in node) for (const arg of node.args) uses[arg]++
  for (const at of outputs) uses[at]++
  return { nodes, outputs, uses, key: `${keys.join(";")}>${outputs.join(",")}` }
}

/** What a language must know to print, emit or evaluate expressions: one function a kind of node. */
export interface Target<R> {
  input(index: number, dtype: DType): R
  scalar(index: number, dtype: DType): R
  const(value: number, dtype: DType): R
  cast(arg: R, from: DType, to: DType): R
  /** `from` is the operands' dtype (for `where`: of the values picked), `dtype` the result's. */
  op(op: Operator, args: readonly R[], from: DType, dtype: DType): R
  /** Called once for a value that is read more than once; returns how to refer to it from then on. */
  share?(value: R, dtype: DType, position: number): R
}

/**
 * Folds expressions into a target language and returns one result an expression.
 *
 * @example
 * ```ts
 * // A language in five lines: how each kind of node is written.
 * const prefix: Target<string> = {
 *   input: (index) => `a${index}`,
 *   scalar: (index) => `s${index}`,
 *   const: (value) => `${value}`,
 *   cast: (arg, from, to) => `${to}(${arg})`,
 *   op: (name, args) => `(${name} ${args.join(" ")})`,
 * }
 * const x = e.input(0, "float32")
 * console.log(render([e.mul(e.tanh(x), e.const(2, "float32"))], prefix)) // ["(mul (tanh a0) 2)"]
 * ```
 */
export function render<R>(expressions: readonly Expr[] | Program, target: Target<R>): R[] {
  const { nodes, outputs, uses } = "nodes" in expressions ? expressions : program(expressions)
  const values: R[] = []
  nodes.forEach((node, position) => {
    let value: R
    switch (node.kind) {
      case "input":
        value = target.input(node.index, node.dtype)
        break
      case "scalar":
        value = target.scalar(node.index, node.dtype)
        break
      case "const":
        value = target.const(node.value, node.dtype)
        break
      case "cast":
        value = target.cast(values[node.args[0]], node.from, node.dtype)
        break
      case "op":
        value = target.op(node.op, node.args.map((at) => values[at]), node.from, node.dtype) // prettier-ignore
        break
    }
    const computed = node.kind === "op" || node.kind === "cast"
    values.push(computed && uses[position] > 1 && target.share ? target.share(value, node.dtype, position) : value)
  })
  return outputs.map((at) => values[at])
}
