// For the tests of functions: one function run on this backend.
import { e, type Expr, hostView, type Operator, type View } from "@rondo/backend"
import { WasmSimd } from "../src/backend.js"

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
