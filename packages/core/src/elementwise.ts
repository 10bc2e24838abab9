// How a row of the element-wise table becomes a function: promotion, broadcasting, one map kernel, the record for backward.
import {
  broadcastShapes,
  broadcastStrides,
  computeDType,
  type DType,
  DTypeError,
  e,
  type Expr,
  isFloat,
  kernels,
  type MapKernel,
  promote,
  promoteScalar,
  shapeText,
  ShapeError,
  ValueError,
  type View,
} from "@rondo/backend"
import { applyInPlace, checkStorable, commonDevice, execute, type OpInfo, output, recordOp } from "./apply.js"
import { defaultDType } from "./defaults.js"
import { checkDeviceDType, type Device } from "./device.js"
import { type Kept, type Operand, type Rule, type Saved, wantsGrad } from "./graph.js"
import type { Tensor } from "./tensor.js"

/** What a user may write for an operand: a number or boolean takes part by its category only, as in PyTorch. */
export type Scalar = number | boolean
export type Input = Tensor | Scalar

/** Gradient of one operand; `g` is that of the result. Written in differentiable operations. */
export type Vjp = (g: Tensor, saved: Saved) => Tensor

/** One row of the element-wise table: the operation, its gradient and where to test it. */
export interface Row {
  readonly name: string
  /** What it computes, for the docs. The first sentence stands alone. */
  readonly doc: string
  /** The value from the operands, then the parameters, all of one dtype (except `condition`). Written once for all backends. */
  readonly expr: (...operands: Expr[]) => Expr
  /** Gradient of each operand; null says that the operation, or that operand, is not differentiable. */
  readonly vjp: null | Vjp | readonly (Vjp | null)[]
  /** What `vjp` reads of operands (x, y, z) and result (out), in all or for each operand's gradient; default nothing. */
  readonly keep?: readonly Kept[] | readonly (readonly Kept[])[]
  /** Named numbers after the operands, with their defaults; handed to each run, so that changing one compiles nothing. */
  readonly params?: Readonly<Record<string, number>>
  /** True if integers are computed in floats, as for `exp` and `div`. */
  readonly float?: boolean
  /** True if the first operand is a bool that takes no part in promotion. */
  readonly condition?: boolean
  /** True if `vjp` takes numbers as they were written; else it gets tensors of zero dims in their place. */
  readonly plain?: boolean
  /** Where samples are drawn from, for each operand; default [-2, 2]. */
  readonly domain?: readonly [number, number] | readonly (readonly [number, number])[]
  /** Points where no finite difference may stand (of any operand, or of the difference of two). */
  readonly kinks?: readonly number[]
}

/** Everything the conformance suite and the docs read from an operation. */
export interface ElementwiseInfo
  extends OpInfo, Pick<Row, "doc" | "params" | "float" | "condition" | "domain" | "kinks"> {
  readonly family: "elementwise"
  readonly arity: 1 | 2 | 3
  /** The in-place form: changes the first operand. */
  readonly inPlace: (self: Tensor, ...rest: unknown[]) => Tensor
}

/** Parameters by position, or by name in one object. */
export type Params = (number | undefined)[] | [Readonly<Record<string, number | undefined>>]

export interface UnaryOp {
  (x: Tensor, ...params: Params): Tensor
  readonly op: ElementwiseInfo
}
export interface BinaryOp {
  (x: Input, y: Input, ...params: Params): Tensor
  readonly op: ElementwiseInfo
}
export interface TernaryOp {
  (x: Input, y: Input, z: Input, ...params: Params): Tensor
  readonly op: ElementwiseInfo
}

export const unary = (row: Row): UnaryOp => define(row, 1) as UnaryOp
export const binary = (row: Row): BinaryOp => define(row, 2) as BinaryOp
export const ternary = (row: Row): TernaryOp => define(row, 3) as TernaryOp

interface Compiled {
  readonly kernel: MapKernel
  readonly dtype: DType
}

interface Definition {
  readonly row: Row
  readonly arity: number
  readonly info: ElementwiseInfo
  readonly names: readonly string[]
  readonly compiled: Map<string, Compiled>
}

function define(row: Row, arity: 1 | 2 | 3) {
  const inPlace = (self: Tensor, ...rest: unknown[]): Tensor => runInPlace(definition, [self, ...rest] as unknown[])
  const info: ElementwiseInfo = {
    ...row,
    family: "elementwise",
    arity,
    vjp: ruleOf(row),
    ...keepOf(row),
    inPlace,
  }
  const names = Object.keys(row.params ?? {})
  const definition: Definition = { row, arity, info, names, compiled: new Map() }
  const call = (...args: unknown[]): Tensor => run(definition, args)
  return Object.assign(call, { op: info })
}

function keepOf({ keep = [] }: Row): Pick<OpInfo, "keep" | "keepFor"> {
  const each = keep.filter((entry): entry is readonly Kept[] => typeof entry !== "string")
  return each.length > 0 ? { keep: [...new Set(each.flat())], keepFor: each } : { keep: keep as readonly Kept[] }
}

function ruleOf(row: Row): Rule | null {
  const { vjp } = row
  if (vjp === null) return null
  const list = typeof vjp === "function" ? [vjp] : vjp
  return ([g], saved) => list.map((f, i) => (f && g && saved.needs[i] ? f(g, saved) : null))
}

/** Splits the arguments into operands and parameter values. */
function readArguments({ row, arity, names }: Definition, args: readonly unknown[]) {
  const operands = args.slice(0, arity) as Input[]
  for (const x of operands) {
    if (typeof x !== "number" && typeof x !== "boolean" && !(typeof x === "object" && x !== null && "storage" in x)) {
      throw new ValueError(`${row.name}: operand is neither a tensor nor a number: got ${describe(x)}`)
    }
  }
  if (names.length === 0) {
    if (args.length > arity)
      throw new ValueError(`${row.name}: takes ${arity} operands and no options, got ${args.length} arguments`)
    return { operands, params: noParams }
  }
  const given = args[arity]
  const byName = typeof given === "object" && given !== null ? (given as Record<string, number | undefined>) : null
  if (byName) {
    const unknown = Object.keys(byName).find((key) => !names.includes(key))
    if (unknown) throw new ValueError(`${row.name}: unknown option ${unknown}: expected ${names.join(", ")}`)
  }
  const params = names.map((name, i) => {
    const value =
      (byName ? byName[name] : (args[arity + i] as number | undefined)) ?? (row.params as Record<string, number>)[name]
    if (typeof value !== "number") throw new ValueError(`${row.name}: ${name} must be a number, got ${describe(value)}`)
    return value
  })
  return { operands, params }
}
const noParams: readonly number[] = []
const describe = (x: unknown): string => (x === null ? "null" : Array.isArray(x) ? "an array" : typeof x)

/** The kernel for this combination of dtypes, numbers and parameters; made once. */
function compile(
  definition: Definition,
  operands: readonly Input[],
  params: readonly number[],
  into?: DType,
): Compiled {
  const { compiled } = definition
  let key = (into ?? "") + (defaultDType() === "float32" ? "" : defaultDType())
  for (const x of operands)
    key +=
      typeof x === "object"
        ? ` ${x.dtype}${x.shape.length === 0 ? 0 : ""}`
        : typeof x === "boolean"
          ? " b"
          : Number.isInteger(x)
            ? " i"
            : " f"
  // Only fractional parameters promote: clamp(int, 0, 5) stays integer.
  const fractional = params.some((value) => Number.isFinite(value) && !Number.isInteger(value))
  if (fractional) key += " p"
  // Parameters that nobody changed are constants, which lets expressions leave out what they do not do.
  const changed = definition.names.some(
    (name, i) => params[i] !== (definition.row.params as Record<string, number>)[name],
  )
  if (changed) key += " changed"
  const found = compiled.get(key)
  if (found) return found
  const made = build(definition, operands, changed ? null : params, params.length, fractional, into)
  compiled.set(key, made)
  return made
}

function build(
  { row }: Definition,
  operands: readonly Input[],
  constants: readonly number[] | null,
  count: number,
  fractional: boolean,
  into?: DType,
): Compiled {
  const from = row.condition ? 1 : 0
  const promoting = operands.slice(from)
  let dtype = promotedDType(promoting)
  if ((row.float || fractional) && !isFloat(dtype)) dtype = defaultDType()
  const compute = computeDType(dtype)
  let tensors = 0
  let scalars = 0
  const args = operands.map((x, i) => {
    const own = i < from ? "bool" : compute
    return typeof x === "object" ? e.cast(e.input(tensors++, x.dtype), own) : e.scalar(scalars++, own)
  })
  for (let i = 0; i < count; i++) args.push(constants ? e.const(constants[i], compute) : e.scalar(scalars++, compute))
  const value = named(row, args)
  const result = into ?? (value.dtype === compute ? dtype : value.dtype)
  return {
    kernel: { kind: "map", exprs: [e.cast(value, result)] },
    dtype: value.dtype === compute ? dtype : value.dtype,
  }
}

/** The row's expression; where it refuses a dtype, the error names the operation rather than the operator inside. */
function named({ name, expr }: Row, args: readonly Expr[]): Expr {
  try {
    return expr(...args)
  } catch (error) {
    if (error instanceof DTypeError) throw new DTypeError(`${name}: ${error.fact}`)
    throw error
  }
}

/** The dtype in which tensors and numbers meet: tensors first; of the 0-dim ones only the category counts beside others. */
export function promotedDType(operands: readonly Input[]): DType {
  const tensors = operands.filter((x): x is Tensor => typeof x === "object")
  const numbers = operands.filter((x): x is Scalar => typeof x !== "object")
  const dimensional = tensors.filter((x) => x.ndim > 0)
  let dtype: DType | null = null
  for (const x of dimensional) dtype = dtype ? promote(dtype, x.dtype) : x.dtype
  for (const x of tensors) {
    if (x.ndim > 0) continue
    dtype =
      dtype === null ? x.dtype : dimensional.length === 0 ? promote(dtype, x.dtype) : promoteZeroDim(dtype, x.dtype)
  }
  for (const x of numbers) {
    dtype = dtype ?? (typeof x === "boolean" ? "bool" : Number.isInteger(x) ? "int32" : defaultDType())
    const wider = promoteScalar(dtype, x)
    dtype = wider === dtype ? dtype : isFloat(wider) ? defaultDType() : wider
  }
  return dtype as DType
}

const order = { bool: 0, int: 1, float: 2 }
function promoteZeroDim(dtype: DType, zeroDim: DType): DType {
  const rank = (d: DType) => order[d === "bool" ? "bool" : isFloat(d) ? "float" : "int"]
  return rank(zeroDim) > rank(dtype) ? zeroDim : dtype
}

function scalarValues(operands: readonly Input[], params: readonly number[]): number[] {
  const values: number[] = []
  for (const x of operands) if (typeof x !== "object") values.push(Number(x))
  return params.length ? values.concat(params) : values
}

const isTensor = (x: Input): x is Tensor => typeof x === "object"

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false
  for (let d = 0; d < a.length; d++) if (a[d] !== b[d]) return false
  return true
}

/** `x` as a view stretched to `shape` by strides alone. */
export function stretched(x: View & Pick<Tensor, "device">, shape: readonly number[]): View {
  if (sameShape(x.shape, shape)) return x
  const strides = broadcastStrides(x.shape, x.strides, shape)
  return { storage: x.storage, dtype: x.dtype, shape, strides, offset: x.offset }
}

function run(definition: Definition, args: readonly unknown[]): Tensor {
  const { row, info } = definition
  const { operands, params } = readArguments(definition, args)
  const device = commonDevice(row.name, operands as Operand[])
  const { kernel, dtype } = compile(definition, operands, params)
  checkDeviceDType(row.name, device, dtype)
  const tensors = operands.filter(isTensor)
  const shape = resultShape(row.name, tensors)
  const out = output(device, shape, dtype)
  execute(kernel, tensors.map((x) => stretched(x, shape)), [out], scalarValues(operands, params)) // prettier-ignore
  if (info.vjp !== null && wantsGrad(operands as Operand[]))
    recordOp(info, recorded(definition, operands, out), [out], params)
  return out
}

/** Operands as the gradient rule reads them: rules are written for tensors, unless they say otherwise. */
function recorded({ row, info }: Definition, operands: readonly Input[], out: Tensor): Operand[] {
  return operands.map((x, i) => {
    if (typeof x === "object") return x
    if (row.plain || !info.keep.includes((["x", "y", "z"] as const)[i])) return Number(x)
    const value = output(out.device, [], out.dtype)
    execute(kernels.fill(out.dtype), [], [value], [Number(x)])
    return value
  })
}

function resultShape(name: string, tensors: readonly Tensor[]): readonly number[] {
  const { shape } = tensors[0]
  for (let i = 1; i < tensors.length; i++) {
    if (!sameShape(shape, tensors[i].shape)) return broadcastShapes(name, ...tensors.map((x) => x.shape))
  }
  return shape
}

function runInPlace(definition: Definition, args: readonly unknown[]): Tensor {
  const { row, info } = definition
  const { operands, params } = readArguments(definition, args)
  const self = operands[0] as Tensor
  const name = `${row.name}_`
  commonDevice(name, operands as Operand[])
  const { kernel, dtype } = compile(definition, operands, params, self.dtype)
  checkStorable(name, dtype, self)
  const tensors = operands.filter(isTensor)
  const shape = resultShape(name, tensors)
  if (!sameShape(shape, self.shape)) {
    throw new ShapeError(
      `${name}: the result of shape ${shapeText(shape)} does not fit the tensor of shape ${shapeText(self.shape)}`,
    )
  }
  const write = () => execute(kernel, separate(self, tensors.map((x) => stretched(x, shape))), [self], scalarValues(operands, params)) // prettier-ignore
  return applyInPlace(info, self, recorded(definition, operands, self), write, params)
}

/** Operands that overlap `self` in another order are copied first: a kernel may only alias a view that is wholly equal. */
export function separate(self: Tensor, operands: readonly View[]): View[] {
  return operands.map((x) => {
    if (x === self || x.storage !== self.storage) return x
    const equal = x.offset === self.offset && x.strides.every((s, d) => s === self.strides[d] || self.shape[d] === 1)
    return equal ? x : copyOf(self.device, x)
  })
}

/** An unrecorded contiguous copy of a view, converted to `dtype`. */
export function copyOf(device: Device, x: View, dtype: DType = x.dtype): Tensor {
  const out = output(device, x.shape, dtype)
  execute(kernels.copy(x.dtype, dtype), [x], [out])
  return out
}
