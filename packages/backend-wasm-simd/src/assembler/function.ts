// A small language for kernels on top of the assembler: values are trees that emit themselves where they are used,
// statements emit at once. The order of statements is the order of the code, which is what register tiles need.
import { instruction, leb, type ValueType } from "./instructions.js"
import type { Callable, ModuleBuilder } from "./module.js"

/** Values of 32-bit integers may be written as numbers. */
export type Operand = Value | number

// Most of a first step's JavaScript runs here, before it is compiled: plain loops and few lists, no closures over elements.

/** Signed numbers in base 128. */
function signed(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ;) {
    const low = rest & 127
    rest >>= 7
    if ((rest === 0 && !(low & 64)) || (rest === -1 && low & 64)) {
      bytes.push(low)
      return bytes
    }
    bytes.push(low | 128)
  }
}

function signed64(value: bigint): number[] {
  const bytes: number[] = []
  let rest = value
  for (;;) {
    const low = Number(rest & 127n)
    rest >>= 7n
    if ((rest === 0n && !(low & 64)) || (rest === -1n && low & 64)) return [...bytes, low]
    bytes.push(low | 128)
  }
}

/**
 * Something that leaves one value on the stack. Using it twice emits it twice: `FunctionBuilder.keep` makes a local of
 * what is needed more than once. The arithmetic here is that of 32-bit integers, which addresses and counters are.
 */
export class Value {
  readonly f: FunctionBuilder
  readonly type: ValueType
  readonly emit: () => void
  constructor(f: FunctionBuilder, type: ValueType, emit: () => void) {
    this.f = f
    this.type = type
    this.emit = emit
  }

  add(x: Operand): Value {
    return x === 0 ? this : this.f.op("i32.add", this, x)
  }
  sub(x: Operand): Value {
    return x === 0 ? this : this.f.op("i32.sub", this, x)
  }
  mul(x: Operand): Value {
    return this.f.op("i32.mul", this, x)
  }
  /** Unsigned division. */
  div(x: Operand): Value {
    return this.f.op("i32.div_u", this, x)
  }
  /** Unsigned remainder. */
  rem(x: Operand): Value {
    return this.f.op("i32.rem_u", this, x)
  }
  and(x: Operand): Value {
    return this.f.op("i32.and", this, x)
  }
  or(x: Operand): Value {
    return this.f.op("i32.or", this, x)
  }
  shl(x: Operand): Value {
    return x === 0 ? this : this.f.op("i32.shl", this, x)
  }
  /** Shift to the right, filling with zeros. */
  shr(x: Operand): Value {
    return this.f.op("i32.shr_u", this, x)
  }
  /** Signed comparisons: counters, not addresses. */
  lt(x: Operand): Value {
    return this.f.op("i32.lt_s", this, x)
  }
  le(x: Operand): Value {
    return this.f.op("i32.le_s", this, x)
  }
  gt(x: Operand): Value {
    return this.f.op("i32.gt_s", this, x)
  }
  ge(x: Operand): Value {
    return this.f.op("i32.ge_s", this, x)
  }
  eq(x: Operand): Value {
    return this.f.op("i32.eq", this, x)
  }
  ne(x: Operand): Value {
    return this.f.op("i32.ne", this, x)
  }
}

/** A variable. */
export class Local extends Value {
  readonly index: number
  constructor(f: FunctionBuilder, type: ValueType, index: number) {
    super(f, type, () => f.indexed(0x20, index))
    this.index = index
  }
  set(x: Operand): this {
    this.f.value(x).emit()
    this.f.indexed(0x21, this.index)
    return this
  }
  /** Adds to a 32-bit integer. */
  inc(x: Operand): this {
    return x === 0 ? this : this.set(this.add(x))
  }
}

/** Code of one function, as it grows. */
export class FunctionBuilder implements Callable {
  readonly module: ModuleBuilder
  readonly name: string
  readonly params: readonly ValueType[]
  readonly result: ValueType | null
  readonly locals: ValueType[] = []
  private readonly head: (number | Callable)[] = []
  private readonly main: (number | Callable)[] = []
  private current = this.main
  /** The parameters as variables. */
  readonly args: readonly Local[]

  constructor(module: ModuleBuilder, name: string, params: readonly ValueType[], result: ValueType | null) {
    this.module = module
    this.name = name
    this.params = params
    this.result = result
    this.args = params.map((type, i) => new Local(this, type, i))
  }

  /** Bytes; a callable stands for its index, which is known when the module is written. */
  get code(): readonly (number | Callable)[] {
    return [...this.head, ...this.main]
  }
  raw(...bytes: readonly number[]): void {
    this.current.push(...bytes)
  }
  /** An instruction with a number behind it. */
  indexed(code: number, index: number): void {
    if (index < 128) this.current.push(code, index)
    else this.current.push(code, ...leb(index))
  }
  private memory(code: readonly number[], offset: number, lane: number | undefined): void {
    this.current.push(...code)
    this.indexed(0, offset)
    if (lane !== undefined) this.current.push(lane)
  }
  /**
   * Emits at the start of the function, before everything that was and will be emitted: for what loops need ready in a local.
   * May read parameters, and locals that were set in an earlier prologue.
   */
  prologue<T>(emit: () => T): T {
    const before = this.current
    this.current = this.head
    try {
      return emit()
    } finally {
      this.current = before
    }
  }

  value(x: Operand): Value {
    return typeof x === "number" ? this.i32(x) : x
  }
  i32(x: number): Value {
    return new Value(this, "i32", () => this.current.push(0x41, ...signed(x | 0)))
  }
  i64(x: bigint): Value {
    return new Value(this, "i64", () => this.current.push(0x42, ...signed64(BigInt.asIntN(64, x))))
  }
  f32(x: number): Value {
    return new Value(this, "f32", () => this.raw(0x43, ...new Uint8Array(new Float32Array([x]).buffer)))
  }
  f64(x: number): Value {
    return new Value(this, "f64", () => this.raw(0x44, ...new Uint8Array(new Float64Array([x]).buffer)))
  }
  /** A vector constant of 16 bytes. Inside loops prefer a local that was loaded before: engines rebuild constants each time. */
  v128(bytes: ArrayBufferView): Value {
    const list = new Uint8Array(bytes.buffer, bytes.byteOffset, 16)
    return new Value(this, "v128", () => this.raw(0xfd, 0x0c, ...list))
  }
  zero(): Value {
    return this.v128(new Uint8Array(16))
  }

  /** Any instruction without immediates. Numbers among the operands are 32-bit integers. */
  op(name: string, ...operands: readonly Operand[]): Value {
    const { code, takes, gives, immediate } = instruction(name)
    const values = this.checked(name, takes, operands)
    if (immediate !== "none" || gives === null) throw new Error(`wasm-simd: ${name} is not plain arithmetic`)
    return new Value(this, gives, () => {
      for (let i = 0; i < values.length; i++) values[i].emit()
      this.current.push(...code)
    })
  }
  /** An instruction on one lane. */
  lane(name: string, lane: number, ...operands: readonly Operand[]): Value {
    const { code, takes, gives } = instruction(name)
    const values = this.checked(name, takes, operands)
    return new Value(this, gives as ValueType, () => {
      for (let i = 0; i < values.length; i++) values[i].emit()
      this.current.push(...code, lane)
    })
  }
  /** Reads memory at `address + offset`. `more` are the further operands of `v128.load32_lane` and its kin. */
  load(name: string, address: Operand, offset = 0, more: readonly Operand[] = [], lane?: number): Value {
    const { code, takes, gives } = instruction(name)
    const values = this.checked(name, takes, more.length === 0 ? [address] : [address, ...more])
    return new Value(this, gives as ValueType, () => {
      for (let i = 0; i < values.length; i++) values[i].emit()
      this.memory(code, offset, lane)
    })
  }
  /** Writes `x` at `address + offset`: a statement. */
  store(name: string, address: Operand, x: Operand, offset = 0, lane?: number): void {
    const { code, takes } = instruction(name)
    const values = this.checked(name, takes, [address, x])
    for (let i = 0; i < values.length; i++) values[i].emit()
    this.memory(code, offset, lane)
  }
  /** Sixteen bytes picked from those of `a` (0 to 15) and `b` (16 to 31). */
  shuffle(a: Value, b: Value, bytes: readonly number[]): Value {
    return new Value(this, "v128", () => {
      a.emit()
      b.emit()
      this.raw(0xfd, 0x0d, ...bytes)
    })
  }
  /** Four 32-bit lanes picked from those of `a` (0 to 3) and `b` (4 to 7). */
  shuffle32(a: Value, b: Value, lanes: readonly number[]): Value {
    return this.shuffle(
      a,
      b,
      lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)),
    )
  }
  /** `a` where the 32-bit integer `condition` is not zero, else `b`; both are evaluated. */
  select(condition: Operand, a: Operand, b: Operand): Value {
    const [x, y, c] = [a, b, condition].map((one) => this.value(one))
    if (x.type !== y.type) throw new Error(`wasm-simd: select of ${x.type} and ${y.type}`)
    return new Value(this, x.type, () => {
      x.emit()
      y.emit()
      c.emit()
      if (x.type === "v128") this.raw(0x1c, 1, 0x7b)
      else this.raw(0x1b)
    })
  }

  private checked(name: string, takes: readonly ValueType[], operands: readonly Operand[]): Value[] {
    const values: Value[] = []
    let fits = operands.length === takes.length
    for (let i = 0; i < operands.length; i++) {
      const x = operands[i]
      const value = typeof x === "number" ? this.i32(x) : x
      if (value.type !== takes[i]) fits = false
      values.push(value)
    }
    if (fits) return values
    throw new Error(`wasm-simd: ${name} takes ${takes.join(" ")}, got ${values.map((x) => x.type).join(" ")}`)
  }

  /** A new variable; zero without `init`, but not set anew when code runs again. */
  local(type: ValueType, init?: Operand): Local {
    const made = new Local(this, type, this.args.length + this.locals.length)
    this.locals.push(type)
    if (init !== undefined) made.set(init)
    return made
  }
  /** A variable that holds `x` from here on. */
  keep(x: Operand): Local {
    const value = this.value(x)
    return this.local(value.type, value)
  }

  /** `while (condition) body`. */
  while(condition: () => Value, body: () => void): void {
    this.raw(0x02, 0x40, 0x03, 0x40)
    condition().emit()
    this.raw(0x45, 0x0d, 1)
    body()
    this.raw(0x0c, 0, 0x0b, 0x0b)
  }
  /** `do body while (condition)`: one branch less each time round. */
  doWhile(body: () => void, condition: () => Value): void {
    this.raw(0x03, 0x40)
    body()
    condition().emit()
    this.raw(0x0d, 0, 0x0b)
  }
  /** Counts a fresh variable from 0 to `count - 1`. */
  times(count: Operand, body: (i: Local) => void): void {
    const i = this.local("i32", 0)
    const end = typeof count === "number" || count instanceof Local ? count : this.keep(count)
    this.while(
      () => i.lt(end),
      () => {
        body(i)
        i.inc(1)
      },
    )
  }
  if(condition: Operand, then: () => void, otherwise?: () => void): void {
    this.value(condition).emit()
    this.raw(0x04, 0x40)
    then()
    if (otherwise) {
      this.raw(0x05)
      otherwise()
    }
    this.raw(0x0b)
  }
  /** A call for its effect. */
  call(callable: Callable, ...operands: readonly Operand[]): void {
    for (const x of this.checkCall(callable, operands)) x.emit()
    this.current.push(0x10, callable)
    if (callable.result) this.raw(0x1a)
  }
  /** A call for its value. */
  invoke(callable: Callable, ...operands: readonly Operand[]): Value {
    const values = this.checkCall(callable, operands)
    if (!callable.result) throw new Error(`wasm-simd: ${callable.name} gives nothing`)
    return new Value(this, callable.result, () => {
      for (const x of values) x.emit()
      this.current.push(0x10, callable)
    })
  }
  private checkCall({ name, params }: Callable, operands: readonly Operand[]): Value[] {
    return this.checked(name, params, operands)
  }
  /** Leaves the function, with `x` as its result. */
  return(x?: Operand): void {
    if (x !== undefined) this.value(x).emit()
    this.raw(0x0f)
  }
  /** The result, as the last statement. */
  give(x: Operand): void {
    this.value(x).emit()
  }
  memoryCopy(to: Operand, from: Operand, bytes: Operand): void {
    for (const x of [to, from, bytes]) this.value(x).emit()
    this.raw(0xfc, 0x0a, 0, 0)
  }
  memoryFill(to: Operand, byte: Operand, bytes: Operand): void {
    for (const x of [to, byte, bytes]) this.value(x).emit()
    this.raw(0xfc, 0x0b, 0)
  }
}
