// Functions of floats on lanes: which are emitted in place, which are called, and which are left to JavaScript lane by lane.
// The formulas are in math/.
import { type DType, DTypeError, type Operator } from "@rondo/backend"
import type { FunctionBuilder, Value } from "./assembler/function.js"
import { castLanes } from "./casts.js"
import { VectorCode } from "./code.js"
import { imports } from "./imports.js"
import type { Lanes } from "./lanes.js"
import * as angles from "./math/angles.js"
import * as exponential from "./math/exponential.js"
import { Formula, type Inline } from "./math/formula.js"
import * as logarithm from "./math/logarithm.js"
import * as single from "./math/single.js"

type Table = Partial<Record<Operator, Inline>>

/** Of float32, emitted in place: the hot ones. */
const inPlace: Table = {
  exp: single.exp,
  sigmoid: single.sigmoid,
  tanh: single.tanh,
  log: single.log,
  log1p: single.log1p,
  erf: single.erf,
}

/** Of float32, computed in float64 by a function of the module. */
const widened: Table = {
  sin: angles.sin(24),
  cos: angles.cos(24),
  tan: angles.tan,
  asin: angles.asin,
  acos: angles.acos,
  atan: angles.atan,
  atan2: angles.atan2,
  mod: angles.mod,
  expm1: exponential.expm1,
  sinh: exponential.sinh,
  cosh: exponential.cosh,
  log2: logarithm.log2,
  log10: logarithm.log10,
  pow: logarithm.pow,
}

/** Of float64, by a function of the module. */
const double: Table = {
  exp: exponential.exp,
  sigmoid: exponential.sigmoid,
  tanh: exponential.tanh,
  erf: exponential.erf,
  log: logarithm.log,
  sin: angles.sin(53),
  cos: angles.cos(53),
}

type Mask = (m: Formula, ...args: readonly Value[]) => Value
const hugeAngle: Mask = (m, x) => m.is("gt", m.abs(x), m.c(angles.largestAngle))

/** Operands that a formula is not good for: JavaScript is asked for those lanes, and for those alone. */
const rare: Partial<Record<Operator, Mask>> = {
  sin: hugeAngle,
  cos: hugeAngle,
  tan: hugeAngle,
  mod: (m, x, y) => m.is("gt", m.abs(m.div(x, y)), m.c(angles.largestQuotient)),
}

/** Emits `op` on operands of `dtype`. */
export function floatFunction(code: VectorCode, op: Operator, dtype: DType, args: readonly Lanes[]): Lanes {
  const { f } = code
  const emitted = dtype === "float32" ? inPlace[op] : undefined
  if (emitted) return [emitted(code, ...args.map(([x]) => f.keep(x)))]
  const called = (dtype === "float32" ? widened : double)[op]
  if (called) {
    const callee = callable(code, op, dtype, args.length, called)
    return args[0].map((_, half) => f.invoke(callee, ...args.map((arg) => arg[half])))
  }
  if (op in imports) return eachLane(code, op, dtype, args)
  throw new DTypeError(`map: operator ${op} is not defined for ${dtype}`)
}

/** A function of the module that computes `op` on one vector. */
function callable(user: VectorCode, op: Operator, dtype: DType, arity: number, formula: Inline): FunctionBuilder {
  const { module } = user.f
  const name = `${op} of ${dtype}`
  return module.once(name, () => {
    const f = module.define(name, new Array<"v128">(arity).fill("v128"), "v128", true)
    const code = new VectorCode(f, user.engine, false)
    const m = new Formula(code, dtype === "float32" ? "f32x4" : "f64x2")
    const result = f.keep(dtype === "float32" ? throughDouble(code, formula) : formula(code, ...f.args))
    if (op === "pow") result.set(logarithm.finishPow(m, result, f.args[0], f.args[1]))
    const isRare = rare[op]
    const mask = isRare && f.keep(isRare(m, ...f.args))
    if (mask) {
      f.if(f.op("v128.any_true", mask), () => {
        const [slow] = eachLane(code, op, dtype, f.args.map((x) => [x])) // prettier-ignore
        result.set(f.op("v128.bitselect", slow, result, mask))
      })
    }
    f.give(result)
    return f
  })
}

/** A formula of float64 on the two halves of float32 operands. */
function throughDouble(code: VectorCode, formula: Inline): Value {
  const { f } = code
  const wide = f.args.map((x) => castLanes(code, [x], "float32", "float64").map((half) => f.keep(half)))
  const halves = [0, 1].map((half) => f.keep(formula(code, ...wide.map((arg) => arg[half]))))
  return castLanes(code, halves, "float64", "float32")[0]
}

/** Calls JavaScript for each element. */
function eachLane(code: VectorCode, op: string, dtype: DType, args: readonly Lanes[]): Lanes {
  const { f } = code
  if (dtype === "float32") {
    const wide = args.map((arg) => castLanes(code, arg, "float32", "float64"))
    return castLanes(code, eachLane(code, op, "float64", wide), "float64", "float32")
  }
  const callee = f.module.import(op, args.map(() => "f64" as const), "f64") // prettier-ignore
  const kept = args.map((arg) => arg.map((x) => f.keep(x)))
  return kept[0].map((_, half) => {
    const lane = (i: number): Value =>
      f.invoke(callee, ...kept.map((arg) => f.lane("f64x2.extract_lane", i, arg[half])))
    return f.lane("f64x2.replace_lane", 1, f.op("f64x2.splat", lane(0)), lane(1))
  })
}
