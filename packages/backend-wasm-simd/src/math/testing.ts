// For the tests of functions: exact values in float64, and one function run on this backend.
import { e, erf, type Expr, hostView, type Operator, type View } from "@rondo/backend"
import { WasmSimd } from "../backend.js"

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))
/** C's pow, which differs from JavaScript's where the base is 1 or -1. */
const pow = (x: number, y: number): number => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : Math.pow(x, y))

/** What each function of one operand should give. */
export const unary: Readonly<Record<string, (x: number) => number>> = {
  ...{ exp: Math.exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p, log2: Math.log2, log10: Math.log10 },
  ...{ sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan },
  ...{ sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh, sigmoid, erf },
}
/** The same for two operands. */
export const binary: Readonly<Record<string, (x: number, y: number) => number>> = {
  pow,
  atan2: Math.atan2,
  mod: (x, y) => x % y,
}

/** The distance between neighbouring float32 at x. */
export function singleUlp(x: number): number {
  const size = Math.abs(x)
  let exponent = Math.floor(Math.log2(size))
  if (2 ** exponent > size) exponent--
  return 2 ** (Math.min(127, Math.max(-126, exponent)) - 23)
}

const devices = new Map<boolean, WasmSimd>()

/** `op` of columns of operands. */
export function apply(
  op: string,
  dtype: "float32" | "float64",
  columns: readonly (Float32Array | Float64Array)[],
  relaxed: boolean,
): Float32Array | Float64Array {
  let device = devices.get(relaxed)
  if (!device) devices.set(relaxed, (device = new WasmSimd({ relaxed, threads: false })))
  const backend = device
  const { length, byteLength } = columns[0]
  const make = (): View => ({ storage: backend.alloc(byteLength), dtype, shape: [length], strides: [1], offset: 0 })
  const inputs = columns.map(make)
  const output = make()
  columns.forEach((column, i) => backend.write(inputs[i].storage, column))
  const build = e[op as Operator] as (...args: Expr[]) => Expr
  backend.run({ kind: "map", exprs: [build(...columns.map((_, i) => e.input(i, dtype)))] }, inputs, [output])
  const result = hostView(dtype, backend.readSync(output.storage, 0, byteLength))
  for (const { storage } of [...inputs, output]) backend.free(storage)
  return result as Float32Array | Float64Array
}
