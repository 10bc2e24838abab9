// Renders expressions to vector instructions, four elements at a time: the target that the contract's fold is given.
import { type DType, type Expr, type Operator, type Program, render, type Target } from "@rondo/backend"
import type { FunctionBuilder, Value } from "./assembler/function.js"
import type { Engine } from "./engine.js"
import { floatFunction } from "./functions.js"
import { boolOperator, integerOperator } from "./integers.js"
import { keepLanes, type Lanes } from "./lanes.js"

const evenLanes = [0, 2, 4, 6]
const lowTwice = [0, 0, 1, 1]
const highTwice = [2, 2, 3, 3]

/** What emitting vector arithmetic needs: the function, and constants that are ready in locals. */
export class VectorCode {
  readonly f: FunctionBuilder
  readonly engine: Engine
  private readonly constants = new Map<string, Value>()

  constructor(f: FunctionBuilder, engine: Engine) {
    this.f = f
    this.engine = engine
  }

  /** A constant in all lanes of one vector, loaded before any loop. */
  constant(type: "f32" | "f64" | "i32", value: number): Value {
    const key = `${type} ${Object.is(value, -0) ? "-0" : value}`
    let local = this.constants.get(key)
    if (!local) {
      const { f } = this
      const load = type === "f64" ? "v128.load64_splat" : "v128.load32_splat"
      local = f.prologue(() => f.keep(f.load(load, f.i32(this.engine.constant(type, value)))))
      this.constants.set(key, local)
    }
    return local
  }

  /** `a * b + c`, rounded once where the engine has fused multiply-add. */
  madd(type: "f32x4" | "f64x2", a: Value, b: Value, c: Value): Value {
    const { f } = this
    if (this.engine.relaxed) return f.op(`${type}.relaxed_madd`, a, b, c)
    return f.op(`${type}.add`, f.op(`${type}.mul`, a, b), c)
  }
}

/** Four masks of 32 bits from two vectors of two masks of 64 bits. */
const narrowMasks = (f: FunctionBuilder, [low, high]: Lanes): Lanes => [f.shuffle32(low, high, evenLanes)]
/** The reverse. */
function widenMasks(f: FunctionBuilder, [x]: Lanes): Lanes {
  const mask = f.keep(x)
  return [f.shuffle32(mask, mask, lowTwice), f.shuffle32(mask, mask, highTwice)]
}

/** The upper half of four 32-bit lanes, in the lower half. */
const upper = (f: FunctionBuilder, x: Value): Value => f.shuffle32(x, x, [2, 3, 2, 3])

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
    if (from === "int32" || from === "uint8") return [integerOperator(this.code, op, from, args[0][0], args[1]?.[0])]
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

/** Converts lanes as the `cast` node of the contract says. */
export function castLanes(code: VectorCode, arg: Lanes, from: DType, to: DType): Lanes {
  const { f } = code
  if (from === to) return arg
  if (to === "bool") {
    if (from === "float64") {
      const zero = code.constant("f64", 0)
      return narrowMasks(f, arg.map((x) => f.op("f64x2.ne", x, zero))) // prettier-ignore
    }
    return [f.op(from === "float32" ? "f32x4.ne" : "i32x4.ne", arg[0], code.constant("i32", 0))]
  }
  if (from === "float64") {
    const [low, high] = arg
    const instruction = to === "float32" ? "f32x4.demote_f64x2_zero" : "i32x4.trunc_sat_f64x2_s_zero"
    const joined = f.shuffle32(f.op(instruction, low), f.op(instruction, high), [0, 1, 4, 5])
    return to === "uint8" ? [f.op("v128.and", joined, code.constant("i32", 255))] : [joined]
  }
  if (from === "float32") {
    if (to === "float64") {
      const x = f.keep(arg[0])
      return [f.op("f64x2.promote_low_f32x4", x), f.op("f64x2.promote_low_f32x4", upper(f, x))]
    }
    const whole = f.op("i32x4.trunc_sat_f32x4_s", arg[0])
    return [to === "uint8" ? f.op("v128.and", whole, code.constant("i32", 255)) : whole]
  }
  const number = from === "bool" ? f.op("i32x4.neg", arg[0]) : arg[0]
  switch (to) {
    case "float32":
      return [f.op("f32x4.convert_i32x4_s", number)]
    case "float64": {
      const x = f.keep(number)
      return [f.op("f64x2.convert_low_i32x4_s", x), f.op("f64x2.convert_low_i32x4_s", upper(f, x))]
    }
    case "uint8":
      return [f.op("v128.and", number, code.constant("i32", 255))]
    default:
      return [number]
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
    const whole = f.op("i32.trunc_sat_f64_s", x)
    return [f.keep(f.op("i32x4.splat", dtype === "uint8" ? whole.and(255) : whole))]
  })
}

/** Emits expressions on four elements; the results are not kept in locals yet. */
export const renderLanes = (
  code: VectorCode,
  expressions: readonly Expr[] | Program,
  inputs: readonly Lanes[],
  scalars: readonly Lanes[],
): Lanes[] => render(expressions, new VectorTarget(code, inputs, scalars))
