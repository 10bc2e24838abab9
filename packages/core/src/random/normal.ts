// Normal draws, the same numbers as PyTorch's CPU generator on both of its paths. The float32 block is in boxmuller.ts.
import { ValueError } from "@rondo/backend"
import { checkValue, real, realArray } from "./check.js"
import type { RealArrays, RealDType } from "./check.js"
import { fillUniform } from "./draws.js"
import { fma } from "./fma.js"
import type { Generator } from "./generator.js"
import { normalBlock32 } from "./boxmuller.js"
import { log, sinCos } from "./precise.js"

/** PyTorch transforms blocks of this many elements; smaller tensors are drawn one by one. */
const BLOCK = 16
const circle = new Float64Array(2)

/** Distribution, dtype and layout of `normal`. */
export interface NormalOptions<D extends RealDType> {
  dtype?: D
  /** Default 0. */
  mean?: number
  /** Standard deviation, default 1. */
  std?: number
  /** Whether PyTorch's tensor would be contiguous, default true: strided ones are drawn one by one at any size. */
  contiguous?: boolean
}

/**
 * `n` normal numbers, as `tensor.normal_(mean, std)` and `torch.randn(n)`. Two streams, as in PyTorch
 * (aten/src/ATen/native/cpu/DistributionTemplates.h):
 * - fewer than 16 elements, or not contiguous: `generator.normal()` for each, in double, then the cast. Uses the spare.
 * - otherwise: n uniforms of the dtype, turned in blocks of 16; a ragged end redraws the last 16. Ignores the spare.
 *
 * Measured against PyTorch 1.13.1 (x86-64, AVX2): float32 is bit-identical (10^8 draws). float64 is bit-identical in
 * 99.8 of 100 draws and off by at most 2 units of the last place in the others (10^6 draws on each path), since PyTorch
 * takes logarithms and sines from the C library.
 *
 * @throws ValueError for a negative or NaN `std`, or when `n` is no count.
 * @example
 * ```ts
 * // As torch.randn(2) after torch.manual_seed(0):
 * console.log(normal(new Generator(0), 2)) // Float32Array(2) [1.5409…, -0.2934…]
 * ```
 */
export function normal<D extends RealDType = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, mean = 0, std = 1, contiguous = true }: NormalOptions<D> = {},
): RealArrays[D] {
  checkValue(std >= 0, "normal_", ["std", std, "a value >= 0"])
  const out = realArray("normal_", n, dtype)
  if (n < BLOCK || !contiguous) {
    const { encode } = real[dtype]
    for (let i = 0; i < n; i++) out[i] = encode(generator.normal(mean, std))
    return out
  }
  fillUniform(generator, out, dtype)
  const transform = blockOf(out, { dtype, mean, std })
  for (let i = 0; i + BLOCK <= n; i += BLOCK) transform(i)
  if (n % BLOCK !== 0) {
    fillUniform(generator, out.subarray(n - BLOCK), dtype)
    transform(n - BLOCK)
  }
  return out
}

/** The function that turns the 16 uniforms from an index of `out` on into normals. */
function blockOf(out: RealArrays[RealDType], to: { dtype: RealDType; mean: number; std: number }) {
  const { dtype } = to
  const mean = real[dtype].round(to.mean)
  const std = real[dtype].round(to.std)
  if (out instanceof Float32Array) return (start: number): void => normalBlock32(out, start, mean, std)
  if (out instanceof Float64Array) return (start: number): void => normalBlock64(out, start, mean, std)
  return (start: number): void => normalBlock16(out, start, { dtype, mean, std })
}

function normalBlock64(data: Float64Array, start: number, mean: number, std: number): void {
  for (let j = start; j < start + 8; j++) {
    const radius = Math.sqrt(-2 * log(1 - data[j]))
    sinCos(2 * Math.PI * data[j + 8], circle)
    data[j] = fma(radius * circle[1], std, mean)
    data[j + 8] = fma(radius * circle[0], std, mean)
  }
}

/**
 * PyTorch rounds every single step of a bfloat16 block to bfloat16. In a float16 block only named values are rounded, and
 * what lies between is float32 with a fused last step.
 */
function normalBlock16(data: Uint16Array, start: number, to: { dtype: RealDType; mean: number; std: number }): void {
  const { dtype, mean, std } = to
  const { decode, encode, round } = real[dtype]
  const step = dtype === "bfloat16" ? round : Math.fround
  const last = dtype === "bfloat16" ? round : (x: number): number => x
  for (let j = start; j < start + 8; j++) {
    const u1 = round(1 - decode(data[j]))
    const radius = round(step(Math.sqrt(step(-2 * step(Math.log(u1))))))
    const theta = round(2 * Math.PI * decode(data[j + 8]))
    data[j] = encode(last(step(radius * step(Math.cos(theta))) * std) + mean)
    data[j + 8] = encode(last(step(radius * step(Math.sin(theta))) * std) + mean)
  }
}

/** Means and deviations of `normalEach`; arrays have one entry an element. */
export interface NormalEachOptions<D extends "float32" | "float64"> {
  dtype?: D
  mean: number | ArrayLike<number>
  std: number | ArrayLike<number>
}

/**
 * `n` normal numbers with their own means or deviations, as `torch.normal(mean, std)` with one or two tensors (already
 * broadcast): a draw as `normal`, scaled, then shifted, each step rounded to the dtype.
 *
 * @throws ValueError for a negative or NaN deviation, or an array whose length is not `n`; nothing is drawn then.
 */
export function normalEach<D extends "float32" | "float64" = "float32">(
  generator: Generator,
  n: number,
  { dtype = "float32" as D, mean, std }: NormalEachOptions<D>,
): RealArrays[D] {
  const means = perElement(mean, n, "mean")
  const stds = perElement(std, n, "std")
  if (stds) for (let i = 0; i < n; i++) checkValue(stds[i] >= 0, "normal", [`std at ${i}`, stds[i], "a value >= 0"])
  const out = normal<RealDType>(generator, n, { dtype, mean: 0, std: typeof std === "number" ? std : 1 })
  const { round } = real[dtype]
  // Storing into the array rounds to the dtype.
  if (stds) for (let i = 0; i < n; i++) out[i] *= round(stds[i])
  for (let i = 0; i < n; i++) out[i] += round(means ? means[i] : (mean as number))
  return out as RealArrays[D]
}

function perElement(value: number | ArrayLike<number>, n: number, name: string): ArrayLike<number> | undefined {
  if (typeof value === "number") return undefined
  if (value.length === n) return value
  throw new ValueError(`normal: ${name} has the wrong length: got ${value.length}, expected ${n}`)
}
