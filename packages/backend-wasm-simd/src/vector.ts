// Renders expressions to vector instructions, four elements at a time: the target that the contract's fold is given.
import { type DType, type Expr, type Operator, type Program, render, type Target } from "@rondo/backend"
import type { Value } from "./assembler/function.js"
import { castLanes, narrowMasks, widenMasks } from "./casts.js"
import type { VectorCode } from "./code.js"
import { floatFunction } from "./functions.js"
import { boolOperator, integerOperator } from "./integers.js"
import { keepLanes, type Lanes } from "./lanes.js"

export { castLanes } from "./casts.js"
export { VectorCode } from "./code.js"

const plainUnary: Partial<Record<Operator, string>> = {
  sqrt: "sqrt",
  floor: "floor",
  ceil: "ceil",
  round: "nearest",
  trunc: "trunc",
  neg: "neg",
  abs: "abs",
}
const plainBinary: Partial<Record<Operator, string>> = {
  add: "add",
  sub: "sub",
  mul: "mul",
  div: "div",
  max: "max",
  min: "min",
}
const comparisons: readonly Operator[] = ["eq", "ne", "lt", "le", "gt", "ge"]

/** Emits one expression after another. Inputs and scalars are given as lanes that may be used many times. */
export class VectorTarget implements Target<Lanes> {
  private readonly code: VectorCode
  private readonly inputs: readonly Lanes[]
  private readonly scalars: readonly Lanes[]

  constructor(code: VectorCode, inputs: readonly Lanes[], scalars: readonly Lanes[]) {
    this.code = code
    this.inputs = inputs
    this.scalars = scalars
  }

  input(index: number): Lanes {
    return this.inputs[index]
  }
  scalar(index: number): Lanes {
    return this.scalars[index]
  }
  const(value: number, dtype: DType): Lanes {
    const { code } = this
    switch (dtype) {
      case "float32":
        return [code.constant("f32", value)]
      case "float64":
        return [code.constant("f64", value), code.constant("f64", value)]
      case "bool":
        return [code.constant("i32", value !== 0 ? -1 : 0)]
      case "uint8":
        return [code.constant("i32", value & 255)]
      default:
        return [code.constant("i32", value | 0)]
    }
  }
  share(value: Lanes): Lanes {
    return keepLanes(this.code.f, value)
  }

  op(op: Operator, args: readonly Lanes[], from: DType): Lanes {
    const { f } = this.code
    if (op === "where") return this.where(args, from)
    if (from === "bool") return [boolOperator(f, op, args[0][0], args[1]?.[0])]
    if (from === "int32" || from === "uint32" || from === "uint8") {
      return [integerOperator(this.code, op, from, args[0][0], args[1]?.[0])]
    }
    const type = from === "float64" ? "f64x2" : "f32x4"
    const plain = plainUnary[op] ?? plainBinary[op]
    if (plain) return args[0].map((_, half) => f.op(`${type}.${plain}`, ...args.map((arg) => arg[half])))
    if (comparisons.includes(op)) {
      const masks = args[0].map((_, half) => f.op(`${type}.${op}`, args[0][half], args[1][half]))
      return from === "float64" ? narrowMasks(f, masks) : masks
    }
    return floatFunction(this.code, op, from, args)
  }

  private where([condition, x, y]: readonly Lanes[], from: DType): Lanes {
    const { f } = this.code
    const masks = from === "float64" ? widenMasks(f, condition) : condition
    return x.map((_, half) => f.op("v128.bitselect", x[half], y[half], masks[half]))
  }

  cast(arg: Lanes, from: DType, to: DType): Lanes {
    return castLanes(this.code, arg, from, to)
  }
}

/** A scalar of a run, which arrives as a float64 parameter, in all lanes; ready before any loop. */
export function scalarLanes(code: VectorCode, dtype: DType, x: Value): Lanes {
  const { f } = code
  return f.prologue(() => {
    if (dtype === "float64") {
      const both = f.keep(f.op("f64x2.splat", x))
      return [both, both]
    }
    if (dtype === "float32") return [f.keep(f.op("f32x4.splat", f.op("f32.demote_f64", x)))]
    if (dtype === "bool") return [f.keep(f.op("i32x4.splat", f.i32(0).sub(f.op("f64.ne", x, f.f64(0)))))]
    const pair = f.op("f64x2.splat", x)
    return keepLanes(f, castLanes(code, [pair, pair], "float64", dtype))
  })
}

/** Emits expressions on four elements; the results are not kept in locals yet. */
export const renderLanes = (
  code: VectorCode,
  expressions: readonly Expr[] | Program,
  inputs: readonly Lanes[],
  scalars: readonly Lanes[],
): Lanes[] => render(expressions, new VectorTarget(code, inputs, scalars))
