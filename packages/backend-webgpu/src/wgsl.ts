// Renders expressions to WGSL: the target that the contract's fold is given, and the functions whose accuracy WGSL leaves open.
import { type DType, DTypeError, type Expr, type Operator, type Program, render, type Target } from "@rondo/backend"
import { functionSource } from "./functions.js"
import { wgslType } from "./types.js"

/** A float32 as a WGSL expression; what literals cannot say goes through its bits, in a way that compilers do not fold. */
export function floatLiteral(value: number): string {
  const x = Math.fround(value)
  if (Number.isFinite(x) && (Math.abs(x) >= 2 ** -126 || Object.is(x, 0))) {
    const text = String(x)
    return `${/[.e]/.test(text) ? text : `${text}.0`}f`
  }
  // A constant expression that is not finite is an error in WGSL, and a denormal one may be taken for 0; `zero_bits` is only
  // known at run time.
  return `bitcast<f32>(0x${bitsOfFloat(x).toString(16)}u | zero_bits)`
}

const floatBits = new Float32Array(1)
const wordBits = new Uint32Array(floatBits.buffer)

/** The bits of a float32. */
export function bitsOfFloat(value: number): number {
  floatBits[0] = value
  return wordBits[0]
}

/** What WGSL's own operators do right: for floats the first three alone, since drivers may take NaN for impossible. */
const infix: Partial<Record<Operator, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  and: "&",
  or: "|",
  xor: "^",
}
const boolCompare: Partial<Record<Operator, (a: string, b: string) => string>> = {
  eq: (a, b) => `(${a} == ${b})`,
  ne: (a, b) => `(${a} != ${b})`,
  lt: (a, b) => `(!${a} && ${b})`,
  le: (a, b) => `(!${a} || ${b})`,
  gt: (a, b) => `(${a} && !${b})`,
  ge: (a, b) => `(${a} || !${b})`,
  and: (a, b) => `(${a} && ${b})`,
  or: (a, b) => `(${a} || ${b})`,
  xor: (a, b) => `(${a} != ${b})`,
  add: (a, b) => `(${a} || ${b})`,
  max: (a, b) => `(${a} || ${b})`,
  mul: (a, b) => `(${a} && ${b})`,
  min: (a, b) => `(${a} && ${b})`,
  sub: (a, b) => `(${a} != ${b})`,
}

/** Collects statements while expressions are rendered: shared values become `let`s. */
export class WgslTarget implements Target<string> {
  /** Statements, in order. */
  readonly statements: string[]
  /** Names of library functions in use. */
  readonly functions = new Set<string>()
  private readonly read: (index: number) => string
  private readonly scalarAt: (index: number) => string
  private readonly prefix: string

  /**
   * `read` and `scalarAt` give WGSL expressions for inputs and scalars; names of `let`s start with `prefix`. Statements are put
   * behind those given.
   */
  constructor(
    read: (index: number) => string,
    scalarAt: (index: number) => string,
    prefix = "v",
    statements: string[] = [],
  ) {
    this.statements = statements
    this.read = read
    this.scalarAt = scalarAt
    this.prefix = prefix
  }

  private readonly inputs = new Map<number, string>()
  input(index: number): string {
    let name = this.inputs.get(index)
    if (!name) {
      name = `${this.prefix}i${index}`
      this.statements.push(`let ${name} = ${this.read(index)};`)
      this.inputs.set(index, name)
    }
    return name
  }
  scalar(index: number, dtype: DType): string {
    const bits = this.scalarAt(index)
    const type = wgslType(dtype)
    if (type === "bool") return `(${bits} != 0u)`
    return `bitcast<${type}>(${bits})`
  }
  const(value: number, dtype: DType): string {
    switch (wgslType(dtype)) {
      case "bool":
        return value !== 0 ? "true" : "false"
      case "i32":
        return dtype === "uint8" ? `${value & 255}i` : `i32(${value | 0})`
      case "u32":
        return `${value >>> 0}u`
      default:
        return floatLiteral(value)
    }
  }
  share(value: string, _: DType, position: number): string {
    const name = `${this.prefix}${position}`
    this.statements.push(`let ${name} = ${value};`)
    return name
  }
  cast(arg: string, from: DType, to: DType): string {
    const [a, b] = [wgslType(from), wgslType(to)]
    if (b === "bool") return a === "bool" ? arg : a === "f32" ? `((bitcast<u32>(${arg}) << 1u) != 0u)` : `(${arg} != 0)`
    if (a === "bool") return `select(${b}(0), ${b}(1), ${arg})`
    let value = arg
    if (a !== "f32" && b === "f32") value = from === "uint8" ? `f32(${arg})` : this.call(`float_of_${a}`, arg)
    else if (a === "f32" && b !== "f32") value = this.call(`${b}_of_float`, arg)
    else if (a !== b) value = `bitcast<${b}>(${arg})`
    if (to === "uint8" && from !== "uint8") return `(${value} & 255)`
    if ((to === "float16" || to === "bfloat16") && from !== to) return this.round(value, to)
    return value
  }
  private call(name: string, ...args: readonly string[]): string {
    this.functions.add(name)
    return `${name}(${args.join(", ")})`
  }
  /** Rounds a float32 value to a 16-bit float that it is stored as. */
  private round(value: string, dtype: DType): string {
    return dtype === "float16" ? `f16_from(f16_to(${value}))` : `bf16_from(bf16_to(${value}))`
  }
  op(op: Operator, args: readonly string[], from: DType, dtype: DType): string {
    const result = this.plain(op, args, from)
    return dtype === "float16" || dtype === "bfloat16" ? this.round(result, dtype) : result
  }
  private plain(op: Operator, args: readonly string[], from: DType): string {
    const [a, b, c] = args
    if (op === "where") return `select(${c}, ${b}, ${a})`
    const type = wgslType(from)
    if (type === "bool") {
      if (op === "not") return `!${a}`
      const made = boolCompare[op]
      if (made) return made(a, b)
      throw new DTypeError(`map: operator ${op} is not defined for bool`)
    }
    const sign = infix[op]
    if (sign && (type !== "f32" || "+-*".includes(sign))) {
      const value = `(${a} ${sign} ${b})`
      return from === "uint8" && "+-*".includes(sign) ? `(${value} & 255)` : value
    }
    const value = this.call(functionSource(op, from), ...args)
    return from === "uint8" && (op === "neg" || op === "not" || op === "shl" || op === "pow")
      ? `(${value} & 255)`
      : value
  }
}

/** Expressions as WGSL: statements to run first, then one expression an output. */
export function renderWgsl(
  expressions: readonly Expr[] | Program,
  target: WgslTarget,
): { statements: readonly string[]; values: readonly string[] } {
  const values = render(expressions, target)
  return { statements: target.statements, values }
}
