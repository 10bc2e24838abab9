// Random tensors: draws happen on the host with PyTorch's stream and are uploaded, so they are the same on every device.
import {
  computeDType,
  type DType,
  DTypeError,
  type HostArray,
  isFloat,
  ShapeError,
  shapeText,
  sizeOf,
  ValueError,
} from "@rondo/backend"
import { checkInPlace } from "./apply.js"
import { argumentReader, describe, optionsReader } from "./arguments.js"
import { type TensorOptions, zeros } from "./creation.js"
import { defaultDType } from "./defaults.js"
import { currentDevice } from "./device.js"
import { dataSync, decode, encode, upload, uploadDrawn } from "./host.js"
import { readSizesAndOptions, type SizesAndOptions } from "./op.js"
import { copy_ } from "./ops/fill.js"
import * as draws from "./random/index.js"
import { defaultGenerator, type Generator, type RealDType } from "./random/index.js"
import { Tensor } from "./tensor.js"

/** Options of a random tensor. */
export interface RandomOptions extends TensorOptions {
  /** Default: the process-wide generator that {@link manualSeed} seeds. */
  readonly generator?: Generator
}

type Sizes = SizesAndOptions<RandomOptions>

/**
 * Starts the random stream anew: the same numbers as `torch.manual_seed(seed)` on a CPU follow, on every device.
 *
 * @example
 * ```ts
 * manualSeed(1)
 * console.log(await randn(2).print()) // tensor([0.6614, 0.2669])
 * ```
 */
export function manualSeed(seed: number | bigint): Generator {
  return defaultGenerator().manualSeed(seed)
}
/**
 * The state of the process-wide generator, in PyTorch's 5056-byte layout.
 *
 * @example
 * ```ts
 * const state = getRngState()
 * const first = await rand(1).item()
 * setRngState(state)
 * console.log((await rand(1).item()) === first) // true
 * ```
 */
export const getRngState = (): Uint8Array => defaultGenerator().getState()
/** Continues from a state saved by {@link getRngState}, or by PyTorch. Throws a ValueError for anything else. */
export const setRngState = (state: Uint8Array): void => void defaultGenerator().setState(state)

function split(name: string, args: Sizes): { shape: number[]; options: RandomOptions } {
  const { shape, options } = readSizesAndOptions(name, args)
  readOptions[name]?.(options)
  return { shape, options }
}

const drawOptions = { dtype: "dtype", device: "device", requiresGrad: "flag", generator: "generator" } as const
const drawn = { generator: "generator" } as const
const readOptions: Readonly<Record<string, (x: unknown) => void>> = {
  rand: optionsReader("rand", drawOptions),
  randn: optionsReader("randn", drawOptions),
}
const inPlace = { x: "tensor" } as const
const read = {
  randint: argumentReader("randint", { low: "number", high: "number", shape: "list", options: drawOptions }),
  randperm: argumentReader("randperm", { n: "number", options: drawOptions }),
  normal: argumentReader("normal", { mean: "number", std: "number", shape: "list", options: drawOptions }),
  bernoulli: argumentReader("bernoulli", { probabilities: "tensor", options: drawn }),
  multinomial: argumentReader("multinomial", {
    weights: "tensor",
    samples: "number",
    options: { replacement: "flag", ...drawn },
  }),
  uniform_: argumentReader("uniform_", { ...inPlace, from: "number", to: "number", ...drawn }),
  normal_: argumentReader("normal_", { ...inPlace, mean: "number", std: "number", ...drawn }),
  truncNormal_: argumentReader("truncNormal_", {
    ...inPlace,
    options: { mean: "number", std: "number", a: "number", b: "number" },
    ...drawn,
  }),
  bernoulli_: argumentReader("bernoulli_", { ...inPlace, p: "number", ...drawn }),
  exponential_: argumentReader("exponential_", { ...inPlace, lambda: "number", ...drawn }),
  random_: argumentReader("random_", { ...inPlace, low: "number", high: "number", ...drawn }),
}

function realDType(name: string, dtype: DType | undefined): RealDType {
  const wanted = dtype ?? defaultDType()
  if (!isFloat(wanted)) throw new DTypeError(`${name}: draws floats, got dtype ${wanted}`)
  return wanted as RealDType
}

function place(draw: () => HostArray, shape: readonly number[], dtype: DType, options: TensorOptions): Tensor {
  const out = uploadDrawn(options.device ?? currentDevice(), draw, shape, dtype)
  return options.requiresGrad ? out.requiresGrad_() : out
}

/**
 * Uniform numbers in [0, 1). Sizes are positional, or one array.
 *
 * @example
 * ```ts
 * manualSeed(0)
 * console.log(await rand(2).print()) // tensor([0.4963, 0.7682])
 * ```
 */
export function rand(...args: Sizes): Tensor {
  const { shape, options } = split("rand", args)
  const dtype = realDType("rand", options.dtype)
  const generator = options.generator ?? defaultGenerator()
  return place(() => draws.rand(generator, sizeOf(shape), dtype), shape, dtype, options)
}
/**
 * Normal numbers with mean 0 and standard deviation 1.
 *
 * @example
 * ```ts
 * manualSeed(0)
 * console.log(await randn(2).print()) // tensor([ 1.5410, -0.2934])
 * const own = randn(3, { generator: new Generator(7) }) // [3], float32
 * ```
 */
export function randn(...args: Sizes): Tensor {
  const { shape, options } = split("randn", args)
  const dtype = realDType("randn", options.dtype)
  const generator = options.generator ?? defaultGenerator()
  return place(() => draws.normal(generator, sizeOf(shape), { dtype }), shape, dtype, options)
}
/**
 * Whole numbers in [low, high), int32 unless asked otherwise.
 *
 * @example
 * ```ts
 * manualSeed(0)
 * console.log(await randint(0, 10, [4]).tolist()) // [4, 9, 3, 0]
 * ```
 */
export function randint(low: number, high: number, shape: readonly number[], options: RandomOptions = {}): Tensor {
  read.randint([low, high, shape, options])
  const sizes = split("randint", [shape]).shape
  const dtype = options.dtype ?? "int32"
  const generator = options.generator ?? defaultGenerator()
  const draw = () => draws.randint(generator, sizeOf(sizes), { low, high, dtype }) as HostArray
  return place(draw, sizes, dtype, options)
}
/**
 * The numbers 0 to n-1 in random order, int32 unless asked otherwise.
 *
 * @example
 * ```ts
 * manualSeed(0)
 * console.log(await randperm(4).tolist()) // [0, 1, 3, 2]
 * ```
 */
export function randperm(n: number, options: RandomOptions = {}): Tensor {
  read.randperm([n, options])
  const dtype = options.dtype ?? "int32"
  const generator = options.generator ?? defaultGenerator()
  const draw = (): HostArray => {
    const values = draws.randperm(generator, n)
    return dtype === "int32" ? values : encode(values, dtype)
  }
  return place(draw, [n], dtype, options)
}

function like(name: "randLike" | "randnLike", x: Tensor, given: RandomOptions): Tensor {
  if (!(x instanceof Tensor)) throw new ValueError(`${name}: needs a tensor, got ${describe(x)}`)
  const options = { dtype: x.dtype, device: x.device, ...given }
  // PyTorch lays the result out as x is, so that numbers run in the order of memory.
  const order = x.strides.every((stride, d) => stride > 0 || x.shape[d] < 2) ? byStride(x) : x.shape.map((_, d) => d)
  if (order.every((d, i) => d === i)) return (name === "randLike" ? rand : randn)(x.shape, options)
  const memory = zeros(order.map((d) => x.shape[d]), { dtype: options.dtype, device: options.device }) // prettier-ignore
  const laid = memory.permute(order.map((_, d) => order.indexOf(d)))
  const out = (name === "randLike" ? uniform_(laid, 0, 1, options.generator) : normal_(laid, 0, 1, options.generator)).contiguous() // prettier-ignore
  return options.requiresGrad ? out.requiresGrad_() : out
}
/** Uniform numbers in [0, 1) with the shape, dtype and device of `x`. */
export const randLike = (x: Tensor, options: RandomOptions = {}): Tensor => like("randLike", x, options)
/** Normal numbers with the shape, dtype and device of `x`. */
export const randnLike = (x: Tensor, options: RandomOptions = {}): Tensor => like("randnLike", x, options)

/**
 * Normal numbers with a mean and a standard deviation for all.
 *
 * @example
 * ```ts
 * const x = normal(5, 0.1, [2, 3]) // [2, 3], float32
 * ```
 */
export function normal(mean: number, std: number, shape: readonly number[], options: RandomOptions = {}): Tensor {
  read.normal([mean, std, shape, options])
  const sizes = split("normal", [shape]).shape
  const dtype = realDType("normal", options.dtype)
  const generator = options.generator ?? defaultGenerator()
  return place(() => draws.normal(generator, sizeOf(sizes), { dtype, mean, std }), sizes, dtype, options)
}

/**
 * 1 with the probability that each element of `probabilities` gives, else 0. Reads the probabilities at once.
 *
 * @example
 * ```ts
 * console.log(await bernoulli(tensor([0, 1, 1])).tolist()) // [0, 1, 1]
 * ```
 */
export function bernoulli(probabilities: Tensor, options: { readonly generator?: Generator } = {}): Tensor {
  read.bernoulli([probabilities, options])
  const dtype = realDType("bernoulli", probabilities.dtype)
  const values = decode(dataSync(probabilities.detach()), dtype)
  const wide = dtype === "float64" ? (values as Float64Array) : (values as Float32Array)
  const drawn = draws.bernoulliTensor(options.generator ?? defaultGenerator(), wide)
  return upload(probabilities.device, encode(drawn, dtype), probabilities.shape, dtype)
}

/**
 * `samples` positions drawn by weight from each row of `weights` ([N] or [R, N]); int32. Reads the weights at once.
 *
 * @example
 * ```ts
 * console.log(await multinomial(tensor([0, 3, 0]), 4, { replacement: true }).tolist()) // [1, 1, 1, 1]
 * ```
 */
export function multinomial(
  weights: Tensor,
  samples: number,
  options: { readonly replacement?: boolean; readonly generator?: Generator } = {},
): Tensor {
  read.multinomial([weights, samples, options])
  if (weights.ndim !== 1 && weights.ndim !== 2)
    throw new ShapeError(`multinomial: weights must have 1 or 2 dims, got ${shapeText(weights.shape)}`)
  const dtype = realDType("multinomial", weights.dtype)
  const rows = weights.ndim === 2 ? weights.shape[0] : 1
  const values = decode(dataSync(weights.detach()), dtype) as Float32Array
  const drawn = draws.multinomial(options.generator ?? defaultGenerator(), values, {
    samples,
    replacement: options.replacement,
    rows,
  })
  return upload(
    weights.device,
    Int32Array.from(drawn as ArrayLike<number>),
    weights.ndim === 2 ? [rows, samples] : [samples],
    "int32",
  )
}

/** Writes host values into `x`, whatever its strides: elements were drawn in the order in which PyTorch fills memory. */
function fillWith(name: string, x: Tensor, draw: () => HostArray, order = memoryOrder(x)): Tensor {
  checkInPlace(name, x)
  const shape = order ? order.map((d) => x.shape[d]) : x.shape
  const drawn = uploadDrawn(x.device, draw, shape, x.dtype)
  const source = order ? drawn.permute(order.map((_, d) => order.indexOf(d))) : drawn
  // What x was made of no longer matters to it: copying drops its history.
  return copy_(x, source)
}

/** Dims by falling stride; those of size 1, whose stride says nothing, stay where they are among equals. */
const byStride = (x: Tensor): number[] => x.shape.map((_, d) => d).sort((a, b) => x.strides[b] - x.strides[a] || a - b)

/** Dims by falling stride if `x` is a gapless permutation of memory, else null: PyTorch then fills in row-major order. */
function memoryOrder(x: Tensor): readonly number[] | null {
  if (x.isContiguous()) return null
  const order = byStride(x)
  let step = 1
  for (const d of [...order].reverse()) {
    if (x.shape[d] !== 1 && x.strides[d] !== step) return null
    step *= x.shape[d]
  }
  return order
}

/**
 * Fills `x` with uniform numbers in [from, to).
 *
 * @example
 * ```ts
 * const x = uniform_(zeros(2, 3), -1, 1) // [2, 3]
 * console.log(await x.abs().max().item() <= 1) // true
 * ```
 */
export function uniform_(x: Tensor, from = 0, to = 1, generator: Generator = defaultGenerator()): Tensor {
  read.uniform_([x, from, to, generator])
  const dtype = realDType("uniform_", x.dtype)
  return fillWith("uniform_", x, () => draws.uniform(generator, sizeOf(x.shape), { dtype, from, to }))
}
/**
 * Fills `x` with normal numbers.
 *
 * @example
 * ```ts
 * manualSeed(0)
 * console.log(await normal_(zeros(2), 10).print()) // tensor([11.5410,  9.7066])
 * ```
 */
export function normal_(x: Tensor, mean = 0, std = 1, generator: Generator = defaultGenerator()): Tensor {
  read.normal_([x, mean, std, generator])
  const dtype = realDType("normal_", x.dtype)
  const contiguous = x.isContiguous()
  return fillWith("normal_", x, () => draws.normal(generator, sizeOf(x.shape), { dtype, mean, std, contiguous }))
}
/** Fills `x` with normal numbers within [a, b]; options in PyTorch's order. */
export function truncNormal_(
  x: Tensor,
  options: Omit<draws.TruncNormalOptions<RealDType>, "dtype"> = {},
  generator: Generator = defaultGenerator(),
): Tensor {
  read.truncNormal_([x, options, generator])
  const dtype = realDType("truncNormal_", x.dtype)
  return fillWith("truncNormal_", x, () => draws.truncNormal(generator, sizeOf(x.shape), { ...options, dtype }))
}
/** Fills `x` with 1 at probability `p`, else 0. */
export function bernoulli_(x: Tensor, p = 0.5, generator: Generator = defaultGenerator()): Tensor {
  read.bernoulli_([x, p, generator])
  return fillWith(
    "bernoulli_",
    x,
    () => draws.bernoulli(generator, sizeOf(x.shape), { p, dtype: x.dtype }) as HostArray,
  )
}
/** Fills `x` with exponentially distributed numbers. */
export function exponential_(x: Tensor, lambda = 1, generator: Generator = defaultGenerator()): Tensor {
  read.exponential_([x, lambda, generator])
  const dtype = realDType("exponential_", x.dtype)
  return fillWith("exponential_", x, () => draws.exponential(generator, sizeOf(x.shape), { dtype, lambda }))
}
/** Fills `x` with whole numbers in [low, high). */
export function random_(x: Tensor, low: number, high: number, generator: Generator = defaultGenerator()): Tensor {
  read.random_([x, low, high, generator])
  if (x.dtype === "bool") throw new ValueError("random_: a bool tensor has no range; use bernoulli_")
  const draw = () => draws.randint(generator, sizeOf(x.shape), { low, high, dtype: x.dtype }) as HostArray
  return fillWith("random_", x, draw)
}

/** A dropout mask already scaled: 0 with probability `p`, else 1 / (1 - p). Draws nothing for p = 0 and p = 1. */
export function dropoutMask(x: Tensor, p: number, generator: Generator = defaultGenerator()): Tensor {
  const dtype = realDType("dropout", computeDType(x.dtype))
  // Row by row however x lies in memory: PyTorch's mask is contiguous.
  return uploadDrawn(x.device, () => draws.dropoutMask(generator, sizeOf(x.shape), { p, dtype }), x.shape, dtype)
}

/** The slopes that a randomised leaky relu gives to the elements of `x` while training. Reads `x` at once. */
export function rreluSlopes(
  x: Tensor,
  lower: number,
  upper: number,
  generator: Generator = defaultGenerator(),
): Tensor {
  const dtype = realDType("rrelu", x.dtype)
  const values = decode(dataSync(x.detach()), dtype) as ArrayLike<number>
  return upload(x.device, draws.rreluSlopes(generator, values, { dtype, lower, upper }), x.shape, dtype)
}
