// How a row of the element-wise table becomes a function: promotion, broadcasting, one map kernel, the record for backward.
import {
  broadcastShapes,
  type DType,
  dtypes,
  e,
  type Expr,
  kernels,
  type MapKernel,
  shapeText,
  ShapeError,
  ValueError,
  type View,
} from "@rondo/backend"
import { describe, isPlain } from "./arguments.js"
import { applyInPlace, checkStorable, commonDevice, execute, type OpInfo, output, recordOp } from "./apply.js"
import { constant } from "./constants.js"
import { defaultDType } from "./defaults.js"
import { checkDeviceDType } from "./device.js"
import { checkHeld } from "./held.js"
import { type Kept, mode, type Operand, type Rule, type Saved, wantsGrad } from "./graph.js"
import { sameShape, separate, stretched } from "./place.js"
import {
  type BinaryOp,
  type ElementwiseInfo,
  type Input,
  isFractional,
  type Row,
  rowValue,
  type TernaryOp,
  type UnaryOp,
  type Vjp,
} from "./row.js"
import type { Tensor } from "./tensor.js"
import { fusedRule, isTracing, traceRow } from "./trace.js"

export type { BinaryOp, ElementwiseInfo, Input, Row, Scalar, TernaryOp, UnaryOp } from "./row.js"

export const unary = (row: Row): UnaryOp => define(row, 1) as UnaryOp
export const binary = (row: Row): BinaryOp => define(row, 2) as BinaryOp
export const ternary = (row: Row): TernaryOp => define(row, 3) as TernaryOp

interface Compiled {
  readonly kernel: MapKernel
  readonly dtype: DType
}

/** @internal An operation as its row defines it. */
export interface Definition {
  readonly row: Row
  readonly arity: number
  readonly info: ElementwiseInfo
  readonly names: readonly string[]
  readonly compiled: Map<number | string, Compiled>
}

/** @internal The definitions of all element-wise operations. */
export const definitions = new WeakMap<ElementwiseInfo, Definition>()

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
  definitions.set(info, definition)
  const call = (...args: unknown[]): Tensor => run(definition, args)
  return Object.assign(call, { op: info })
}

/** @internal What gradients read, in all and for each operand. */
export function keepOf({ keep = [] }: Row): Pick<OpInfo, "keep" | "keepFor"> {
  const each = keep.filter((entry): entry is readonly Kept[] => typeof entry !== "string")
  return each.length > 0 ? { keep: [...new Set(each.flat())], keepFor: each } : { keep: keep as readonly Kept[] }
}

function ruleOf(row: Row): Rule | null {
  const { vjp } = row
  if (vjp === null) return null
  const rules = typeof vjp === "function" ? [vjp] : vjp
  const fused = fusedRule(rules, keepOf(row))
  // Second derivatives need the rule's own operations on the tape; otherwise one kernel does the same.
  return (grads, saved) => (mode.record ? null : fused(grads, saved)) ?? apart(rules, grads, saved)
}

/** @internal Gradients operation by operation. */
export const apart = (rules: readonly (Vjp | null)[], [g]: Parameters<Rule>[0], saved: Saved): (Tensor | null)[] =>
  rules.map((rule, i) => (rule && g && saved.needs[i] ? rule(g, saved) : null))

/** Splits the arguments into operands and parameter values. */
function readArguments({ row, arity, names }: Definition, args: readonly unknown[]) {
  const operands = args.slice(0, arity) as Input[]
  if (args.length < arity) throw new ValueError(`${row.name}: takes ${arity} operands, got ${args.length}`)
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
  const byName = typeof given === "object" && given !== null
  if (byName && !isPlain(given))
    throw new ValueError(`${row.name}: options must be numbers or a plain object: got ${describe(given)}`)
  const most = arity + (byName ? 1 : names.length)
  if (args.length > most) throw new ValueError(`${row.name}: takes at most ${most} arguments, got ${args.length}`)
  const options = byName ? (given as Readonly<Record<string, unknown>>) : null
  if (options) {
    const unknown = Object.keys(options).find((key) => !names.includes(key))
    if (unknown) throw new ValueError(`${row.name}: unknown option ${unknown}: expected ${names.join(", ")}`)
  }
  const params = names.map((name, i) => {
    const value = (options ? options[name] : args[arity + i]) ?? (row.params as Record<string, number>)[name]
    if (typeof value !== "number") throw new ValueError(`${row.name}: ${name} must be a number: got ${describe(value)}`)
    return value
  })
  return { operands, params }
}
const noParams: readonly number[] = []

const dtypeNumbers = Object.fromEntries(dtypes.map((dtype, i) => [dtype, i + 1])) as Record<DType, number>

/** A number for the dtypes that a kernel depends on: that of the output if it is given, the default, and those of the operands. */
function kindsOf(operands: readonly Input[], into: DType | undefined): number {
  let kinds = (into ? dtypeNumbers[into] : 0) * 32 + dtypeNumbers[defaultDType()]
  for (const x of operands) {
    const kind =
      typeof x === "object"
        ? 2 * dtypeNumbers[x.dtype] + Number(x.shape.length === 0)
        : typeof x === "boolean"
          ? 29
          : 30 + Number(Number.isInteger(x))
    kinds = kinds * 32 + kind
  }
  return kinds
}

/** The kernel for this combination of dtypes, numbers and parameters; made once. */
function compile(
  definition: Definition,
  operands: readonly Input[],
  params: readonly number[],
  into?: DType,
): Compiled {
  const { compiled } = definition
  const kinds = kindsOf(operands, into)
  if (params.length === 0) {
    const found = compiled.get(kinds)
    if (found) return found
    const made = build(definition, operands, params as never[], false, into)
    compiled.set(kinds, made)
    return made
  }
  let key = `${kinds}`
  // Only fractional parameters promote: clamp(int, 0, 5) stays integer.
  const fractional = isFractional(definition.row, params)
  if (fractional) key += " p"
  // Parameters that nobody changed are constants, each for itself, which lets expressions leave out what they do not
  // do: clamp(int, { min: 0 }) has no upper limit, and integers have no infinity to stand for it.
  const constants = definition.names.map((name, i) => {
    return params[i] === (definition.row.params as Record<string, number>)[name] ? params[i] : null
  })
  constants.forEach((value, i) => (key += value === null ? ` ${i}` : ""))
  let found = compiled.get(key)
  if (!found) compiled.set(key, (found = build(definition, operands, constants, fractional, into)))
  if (definition.row.limits) {
    constants.forEach((value, i) => value === null && checkHeld(definition.row.name, params[i], found.dtype))
  }
  return found
}

function build(
  { row }: Definition,
  operands: readonly Input[],
  constants: readonly (number | null)[],
  fractional: boolean,
  into?: DType,
): Compiled {
  let tensors = 0
  let scalars = 0
  const read = (x: Input, dtype: DType): Expr =>
    typeof x === "object" ? e.cast(e.input(tensors++, x.dtype), dtype) : e.scalar(scalars++, dtype)
  const params = (dtype: DType): Expr[] =>
    constants.map((value, i) => (value === null ? e.scalar(scalars + i, dtype) : e.const(value, dtype)))
  const { value, dtype } = rowValue<Tensor>(row, operands, fractional, read, params)
  return { kernel: { kind: "map", exprs: [e.cast(value, into ?? dtype)] }, dtype }
}

function scalarValues(operands: readonly Input[], params: readonly number[]): number[] {
  const values: number[] = []
  for (const x of operands) if (typeof x !== "object") values.push(Number(x))
  return params.length ? values.concat(params) : values
}

function stretchedAll(tensors: readonly Tensor[], shape: readonly number[]): View[] {
  const views: View[] = []
  for (const x of tensors) views.push(stretched(x, shape))
  return views
}

const isTensor = (x: Input): x is Tensor => typeof x === "object"

function run(definition: Definition, args: readonly unknown[]): Tensor {
  const { row, info } = definition
  const { operands, params } = readArguments(definition, args)
  if (isTracing()) return traceRow(row, operands, params)
  const device = commonDevice(row.name, operands as Operand[])
  const { kernel, dtype } = compile(definition, operands, params)
  checkDeviceDType(row.name, device, dtype)
  const tensors = operands.filter(isTensor)
  const shape = resultShape(row.name, tensors)
  const out = output(device, shape, dtype)
  execute(kernel, stretchedAll(tensors, shape), [out], scalarValues(operands, params))
  if (info.vjp !== null && wantsGrad(operands as Operand[])) {
    const inputs = tensors.length === operands.length ? tensors : recorded(definition, operands, out)
    recordOp(info, inputs, [out], params)
  }
  return out
}

/** @internal Operands as the gradient rule reads them: rules are written for tensors, unless they say otherwise. */
export function recorded({ row, info }: Definition, operands: readonly Input[], out: Tensor): Operand[] {
  return operands.map((x, i) => {
    if (typeof x === "object") return x
    if (row.plain || !info.keep.includes((["x", "y", "z"] as const)[i])) return Number(x)
    const number = Number(x)
    if (number === 1 || Object.is(number, 0)) return constant(out.device, out.dtype, number as 0 | 1)
    const value = output(out.device, [], out.dtype)
    execute(kernels.fill(out.dtype), [], [value], [number])
    return value
  })
}

/** @internal The shape to which tensors broadcast. */
export function resultShape(name: string, tensors: readonly Tensor[]): readonly number[] {
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
  if (!isTensor(self)) throw new ValueError(`${name}: only a tensor can be changed in place: got ${describe(self)}`)
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
  const write = () => execute(kernel, separate(self, stretchedAll(tensors, shape)), [self], scalarValues(operands, params)) // prettier-ignore
  return applyInPlace(info, self, recorded(definition, operands, self), write, params)
}
