// Functions of floats on lanes: vector versions where there are any, else JavaScript's Math lane by lane.
import { type DType, DTypeError, type Operator } from "@rondo/backend"
import type { Value } from "./assembler/function.js"
import { imports } from "./imports.js"
import type { Lanes } from "./lanes.js"
import { castLanes, type VectorCode } from "./vector.js"

/** Emits `op` on operands of `dtype`. */
export function floatFunction(code: VectorCode, op: Operator, dtype: DType, args: readonly Lanes[]): Lanes {
  if (!(op in imports)) throw new DTypeError(`map: operator ${op} is not defined for ${dtype}`)
  if (dtype === "float64") return eachLane(code, op, args)
  const wide = args.map((arg) => castLanes(code, arg, "float32", "float64"))
  return castLanes(code, eachLane(code, op, wide), "float64", "float32")
}

/** Calls JavaScript for each of the four elements. */
function eachLane({ f }: VectorCode, op: string, args: readonly Lanes[]): Lanes {
  const callee = f.module.import(op, args.map(() => "f64" as const), "f64") // prettier-ignore
  const kept = args.map((arg) => arg.map((x) => f.keep(x)))
  return [0, 1].map((half) => {
    const lane = (i: number): Value =>
      f.invoke(callee, ...kept.map((arg) => f.lane("f64x2.extract_lane", i, arg[half])))
    return f.lane("f64x2.replace_lane", 1, f.op("f64x2.splat", lane(0)), lane(1))
  })
}
