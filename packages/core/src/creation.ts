// Making tensors: from host data, filled, counted, and in the likeness of others.
import {
  byteSize,
  type DType,
  DTypeError,
  hostArray,
  type HostArray,
  isFloat,
  kernels,
  shapeText,
  ShapeError,
  sizeOf,
  ValueError,
} from "@rondo/backend"
import { execute } from "./apply.js"
import { argumentReader, describe, optionsReader, type TakesOptions } from "./arguments.js"
import { defaultDType } from "./defaults.js"
import { checkDeviceDType, currentDevice, Device } from "./device.js"
import { checkHeld } from "./held.js"
import { encode, type Nested, upload } from "./host.js"
import { readSizesAndOptions, type SizesAndOptions } from "./op.js"
import { emptyTensor, Tensor } from "./tensor.js"

/** Where and as what a new tensor is made. */
export interface TensorOptions {
  /** Default: float32 (see setDefaultDType) for numbers, bool for booleans, int64 for bigints, the array's own for typed arrays. */
  readonly dtype?: DType
  /** Default: the device given to `use`. */
  readonly device?: Device
  readonly requiresGrad?: boolean
}

type Sizes = SizesAndOptions<TensorOptions>

function split(name: string, args: Sizes): { shape: number[]; options: TensorOptions } {
  const { shape, options } = readSizesAndOptions(name, args)
  return { shape, options: checked(name, options) }
}

const takesOptions: TakesOptions = { dtype: "dtype", device: "device", requiresGrad: "flag" }
const readers = new Map<string, (x: unknown) => void>()

function checked(name: string, options: TensorOptions): TensorOptions {
  let read = readers.get(name)
  if (!read) readers.set(name, (read = optionsReader(name, takesOptions)))
  read(options)
  return options
}

function finish(x: Tensor, options: TensorOptions): Tensor {
  return options.requiresGrad ? x.requiresGrad_() : x
}

function checkDevice(name: string, device: unknown): Device {
  if (device === undefined) return currentDevice()
  if (device instanceof Device) return device
  throw new ValueError(`${name}: device must be a Device, got ${typeof device}; open one with await device("…")`)
}

const readFull = argumentReader("full", { shape: "list", value: "number|flag", options: takesOptions })
const span = { start: "number", end: "number", steps: "number" } as const
const readLinspace = argumentReader("linspace", { ...span, options: takesOptions })
const readLogspace = argumentReader("logspace", { ...span, base: "number?", options: takesOptions })
const readEye = argumentReader("eye", { n: "number", m: "number", options: takesOptions })
const readFromBytes = argumentReader("fromBytes", {
  bytes: "bytes",
  shape: "list",
  dtype: "dtype",
  options: takesOptions,
})

const typedDTypes = new Map<unknown, DType>([
  [Float32Array, "float32"],
  [Float64Array, "float64"],
  [Int32Array, "int32"],
  [Uint32Array, "uint32"],
  [BigInt64Array, "int64"],
  [Uint8Array, "uint8"],
  [Uint8ClampedArray, "uint8"],
])

/** What {@link tensor} accepts: a value, nested arrays of one shape, or a typed array. */
export type TensorData = Nested | readonly TensorData[] | ArrayBufferView

/**
 * Makes a tensor from a value, nested arrays or a typed array, copying it.
 * Numbers become float32, whole or not: in JavaScript 1 and 1.0 are the same; ask for integers with `{ dtype: "int32" }`.
 * Throws a ShapeError for ragged arrays and a DTypeError for unknown dtypes.
 *
 * @example
 * ```ts
 * const x = tensor([[1, 2, 3], [4, 5, 6]]) // [2, 3], float32
 * const labels = tensor([1, 0], { dtype: "int32" }) // [2], int32
 * ```
 */
export function tensor(values: TensorData, options: TensorOptions = {}): Tensor {
  if (values instanceof Tensor) throw new ValueError("tensor: got a tensor; copy it with clone().detach()")
  const device = checkDevice("tensor", checked("tensor", options).device)
  if (ArrayBuffer.isView(values)) return finish(fromTyped(values, options, device), options)
  const shape = shapeOf(values)
  const flat: (number | boolean | bigint)[] = []
  collect(values, shape, 0, flat)
  const dtype = options.dtype ?? inferDType(flat)
  checkWhole(flat, dtype)
  return finish(upload(device, encode(flat, dtype), shape, dtype), options)
}

const bounds: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  // Negative numbers of unsigned dtypes count from the end, as in PyTorch.
  uint8: [-255, 255],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [-(2 ** 32 - 1), 2 ** 32 - 1],
  int64: [-(2 ** 63), 2 ** 63 - 1],
}

/** What has no place in an integer dtype is refused, not wrapped; fractions are cut off. */
function checkWhole(values: ArrayLike<number | boolean | bigint>, dtype: DType): void {
  const range = bounds[dtype]
  if (!range) return
  for (let i = 0; i < values.length; i++) {
    const x = typeof values[i] === "boolean" ? 0 : (values[i] as number | bigint)
    const fits = typeof x === "bigint" ? BigInt.asIntN(64, x) === x : Number.isFinite(x)
    if (fits && Number(x) >= range[0] && Number(x) <= range[1]) continue
    throw new ValueError(
      `tensor: element ${i} cannot be held in ${dtype}: got ${String(x)}, expected ${range.join(" to ")}`,
    )
  }
}

function fromTyped(values: ArrayBufferView, options: TensorOptions, device: Device): Tensor {
  const own = typedDTypes.get(values.constructor)
  if (!own && options.dtype === undefined && !("length" in values))
    throw new DTypeError("tensor: a DataView has no elements; pass a typed array")
  const list = values as unknown as ArrayLike<number>
  const dtype = options.dtype ?? own ?? defaultDType()
  if (dtype !== own) checkWhole(list, dtype)
  const array = dtype === own && !(values instanceof Uint8ClampedArray) ? (values as HostArray) : encode(list, dtype)
  return upload(device, array, [list.length], dtype)
}

function shapeOf(values: TensorData): number[] {
  const shape: number[] = []
  for (let level: unknown = values; Array.isArray(level); level = level[0]) shape.push(level.length)
  return shape
}

function collect(value: unknown, shape: readonly number[], d: number, into: (number | boolean | bigint)[]): void {
  if (Array.isArray(value)) {
    if (d >= shape.length || value.length !== shape[d]) {
      throw new ShapeError(
        `tensor: the arrays are ragged: expected ${d < shape.length ? shape[d] : "a number"} at depth ${d}, got ${value.length} elements`,
      )
    }
    for (const inner of value) collect(inner, shape, d + 1, into)
    return
  }
  if (d < shape.length)
    throw new ShapeError(
      `tensor: the arrays are ragged: expected ${shape[d]} elements at depth ${d}, got ${String(value)}`,
    )
  if (typeof value !== "number" && typeof value !== "boolean" && typeof value !== "bigint") {
    throw new ValueError(
      `tensor: elements must be numbers, booleans or bigints, got ${value === null ? "null" : typeof value}`,
    )
  }
  into.push(value)
}

function inferDType(flat: readonly (number | boolean | bigint)[]): DType {
  if (flat.length === 0) return defaultDType()
  if (flat.every((x) => typeof x === "boolean")) return "bool"
  if (flat.every((x) => typeof x === "bigint")) return "int64"
  return defaultDType()
}

function filled(name: string, shape: readonly number[], value: number, dtype: DType, options: TensorOptions): Tensor {
  const device = checkDevice(name, options.device)
  checkDeviceDType(name, device, dtype)
  const out = emptyTensor(device, shape, dtype)
  if (sizeOf(shape) === 0) return finish(out, options)
  execute(kernels.fill(dtype), [], [out], [value])
  return finish(out, options)
}

/**
 * Zeros. Sizes are positional, or one array.
 *
 * @example
 * ```ts
 * const x = zeros(2, 3) // [2, 3], float32
 * const flags = zeros([4], { dtype: "bool" }) // [4], bool
 * ```
 */
export function zeros(...args: Sizes): Tensor {
  const { shape, options } = split("zeros", args)
  return filled("zeros", shape, 0, options.dtype ?? defaultDType(), options)
}
/**
 * Ones.
 *
 * @example
 * ```ts
 * console.log(await ones(2, 2).tolist()) // [[1, 1], [1, 1]]
 * ```
 */
export function ones(...args: Sizes): Tensor {
  const { shape, options } = split("ones", args)
  return filled("ones", shape, 1, options.dtype ?? defaultDType(), options)
}
/** Memory with whatever it holds. */
export function empty(...args: Sizes): Tensor {
  const { shape, options } = split("empty", args)
  const device = checkDevice("empty", options.device)
  const dtype = options.dtype ?? defaultDType()
  checkDeviceDType("empty", device, dtype)
  return finish(emptyTensor(device, shape, dtype), options)
}
/**
 * `shape` filled with `value`; booleans give bool, numbers the default float dtype.
 *
 * @example
 * ```ts
 * console.log(await full([2], 0.5).tolist(), full([2], true).dtype) // [0.5, 0.5] bool
 * ```
 */
export function full(shape: readonly number[], value: number | boolean, options: TensorOptions = {}): Tensor {
  readFull([shape, value, options])
  const sizes = split("full", [shape]).shape
  const dtype = options.dtype ?? (typeof value === "boolean" ? "bool" : defaultDType())
  checkHeld("full", Number(value), dtype)
  return filled("full", sizes, Number(value), dtype, options)
}

function like(name: string, x: Tensor, options: TensorOptions): [readonly number[], TensorOptions] {
  if (!(x instanceof Tensor)) throw new ValueError(`${name}: needs a tensor, got ${describe(x)}`)
  return [x.shape, { dtype: x.dtype, device: x.device, ...checked(name, options) }]
}
/**
 * Zeros with the shape, dtype and device of `x`.
 *
 * @example
 * ```ts
 * const y = zerosLike(ones(2, 3, { dtype: "int32" })) // [2, 3], int32
 * ```
 */
export const zerosLike = (x: Tensor, options: TensorOptions = {}): Tensor => zeros(...like("zerosLike", x, options))
/** Ones with the shape, dtype and device of `x`. */
export const onesLike = (x: Tensor, options: TensorOptions = {}): Tensor => ones(...like("onesLike", x, options))
/** Uninitialised, with the shape, dtype and device of `x`. */
export const emptyLike = (x: Tensor, options: TensorOptions = {}): Tensor => empty(...like("emptyLike", x, options))
/** Filled with `value`, with the shape, dtype and device of `x`. */
export const fullLike = (x: Tensor, value: number, options: TensorOptions = {}): Tensor => {
  const [shape, own] = like("fullLike", x, options)
  return full(shape, value, own)
}

/**
 * `start`, `start + step`, … below `end`. Whole numbers give int32 (PyTorch: int64), others the default float dtype.
 *
 * @example
 * ```ts
 * const whole = arange(6) // [6], int32
 * console.log(await arange(0, 1, 0.25).tolist()) // [0, 0.25, 0.5, 0.75]
 * ```
 */
export function arange(...args: readonly number[] | readonly [...number[], TensorOptions]): Tensor {
  const last = args[args.length - 1]
  const options = checked("arange", (typeof last === "object" ? last : {}) as TensorOptions)
  const numbers = (typeof last === "object" ? args.slice(0, -1) : args) as readonly number[]
  if (numbers.length < 1 || numbers.length > 3 || numbers.some((x) => typeof x !== "number"))
    throw new ValueError(`arange: takes an end, or start, end and step, as numbers: got ${describe(numbers)}`)
  const [start, end, step] = numbers.length === 1 ? [0, numbers[0], 1] : [numbers[0], numbers[1], numbers[2] ?? 1]
  const count = Math.ceil((end - start) / step)
  if (!Number.isFinite(count) || step === 0)
    throw new ValueError(`arange: needs finite numbers and a step: got ${numbers.join(", ")}`)
  if (count < 0) throw new ValueError(`arange: step ${step} does not lead from ${start} to ${end}`)
  const dtype = options.dtype ?? (numbers.every(Number.isInteger) ? "int32" : defaultDType())
  const values = hostArray("float64", count)
  for (let i = 0; i < count; i++) values[i] = start + i * step
  return finish(upload(checkDevice("arange", options.device), encode(values, dtype), [count], dtype), options)
}

/**
 * `steps` numbers from `start` to `end`, both included.
 *
 * @example
 * ```ts
 * console.log(await linspace(0, 1, 5).tolist()) // [0, 0.25, 0.5, 0.75, 1]
 * ```
 */
export function linspace(start: number, end: number, steps: number, options: TensorOptions = {}): Tensor {
  readLinspace([start, end, steps, options])
  if (!Number.isInteger(steps) || steps < 0)
    throw new ValueError(`linspace: steps must be a whole number, got ${steps}`)
  const dtype = options.dtype ?? defaultDType()
  // As PyTorch: from both ends towards the middle, each product rounded in the dtype.
  const round = dtype === "float64" || !isFloat(dtype) ? (x: number) => x : Math.fround
  const step = steps > 1 ? round((end - start) / (steps - 1)) : 0
  const at = (i: number) =>
    i < steps / 2 ? round(start + round(step * i)) : round(end - round(step * (steps - 1 - i)))
  const values = hostArray("float64", steps)
  for (let i = 0; i < steps; i++) values[i] = steps === 1 ? start : at(i)
  return finish(upload(checkDevice("linspace", options.device), encode(values, dtype), [steps], dtype), options)
}

/**
 * `base` to the powers from `start` to `end`.
 *
 * @example
 * ```ts
 * console.log(await logspace(0, 2, 3).tolist()) // [1, 10, 100…]
 * ```
 */
export function logspace(start: number, end: number, steps: number, base = 10, options: TensorOptions = {}): Tensor {
  readLogspace([start, end, steps, base, options])
  const exponents = linspace(start, end, steps, {
    ...options,
    dtype: "float64",
    requiresGrad: false,
    device: checkDevice("logspace", options.device),
  })
  return finish(
    exponents
      .mul(Math.log(base))
      .exp()
      .to(options.dtype ?? defaultDType()),
    options,
  )
}

/**
 * Ones on the main diagonal of an n x m matrix.
 *
 * @example
 * ```ts
 * console.log(await eye(2, 3).tolist()) // [[1, 0, 0], [0, 1, 0]]
 * ```
 */
export function eye(n: number, ...rest: readonly [number?, TensorOptions?] | readonly [TensorOptions?]): Tensor {
  const m = typeof rest[0] === "number" ? rest[0] : n
  const options = (rest.find((x) => typeof x === "object") ?? {}) as TensorOptions
  readEye([n, m, options])
  const { shape } = split("eye", [n, m])
  const dtype = options.dtype ?? defaultDType()
  const one = encode([1], dtype)[0]
  const values = hostArray(dtype, n * m)
  for (let i = 0; i < Math.min(n, m); i++) values[i * m + i] = one as never
  return finish(upload(checkDevice("eye", options.device), values, shape, dtype), options)
}

/**
 * A tensor over bytes in row-major order, as a file or another library has them.
 *
 * @example
 * ```ts
 * const bytes = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer)
 * console.log(await fromBytes(bytes, [2, 2], "float32").tolist()) // [[1, 2], [3, 4]]
 * ```
 */
export function fromBytes(
  bytes: Uint8Array,
  shape: readonly number[],
  dtype: DType,
  options: TensorOptions = {},
): Tensor {
  readFromBytes([bytes, shape, dtype, options])
  if (bytes.byteLength !== sizeOf(shape) * byteSize(dtype)) {
    throw new ShapeError(`fromBytes: ${bytes.byteLength} bytes do not fill ${shapeText(shape)} of ${dtype}`)
  }
  const values = hostArray(dtype, sizeOf(shape))
  new Uint8Array(values.buffer).set(bytes)
  return finish(upload(checkDevice("fromBytes", options.device), values, shape, dtype), options)
}
