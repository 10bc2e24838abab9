// What everything that emits vector arithmetic is handed: a function under construction and its constants.
import type { FunctionBuilder, Value } from "./assembler/function.js"
import type { Engine } from "./engine.js"

/** What emitting vector arithmetic needs: the function, and constants that are ready in locals. */
export class VectorCode {
  readonly f: FunctionBuilder
  readonly engine: Engine
  private readonly constants = new Map<string, Value>()
  private readonly loops: boolean

  /** `loops` false: the function has no loop, and there are more constants than registers. Each is loaded where it is used. */
  constructor(f: FunctionBuilder, engine: Engine, loops = true) {
    this.f = f
    this.engine = engine
    this.loops = loops
  }

  /** A constant in all lanes of one vector, loaded before any loop. */
  constant(type: "f32" | "f64" | "i32", value: number): Value {
    const key = `${type} ${Object.is(value, -0) ? "-0" : value}`
    let local = this.constants.get(key)
    if (!local) {
      const { f } = this
      const instruction = type === "f64" ? "v128.load64_splat" : "v128.load32_splat"
      const load = f.load(instruction, f.i32(this.engine.constant(type, value)))
      local = this.loops ? f.prologue(() => f.keep(load)) : load
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
