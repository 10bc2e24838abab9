// What is measured on a GPU, by name, and what must come out.
import { drawn } from "../workloads.js"
import { type GpuMeasured, type GpuPlan, type Products, timeProducts } from "./timing.js"

/** One case of a page. */
export interface GpuCase {
  readonly name: string
  readonly title: string
  /** PyTorch's loss at step 3 (`pytorch.py`), or element [0, 0] of the product, summed in float64. */
  readonly expected: number
  /** Floating point operations, for the rate. */
  readonly work?: number
}

const products = [1024, 2048] as const

/** Factors whose product has numbers of the same size, however often one multiplies: variance 1 / size. */
function factors(size: number) {
  const { data: a } = drawn(1, [size, size], 1)
  const { data: b } = drawn(2, [size, size], Math.sqrt(3 / size))
  return { a, b, size }
}

function firstElement(size: number): number {
  const { a, b } = factors(size)
  let sum = 0
  for (let k = 0; k < size; k++) sum += a[k] * b[k * size]
  return sum
}

let made: readonly GpuCase[] | null = null

/** All, in the order of the tables. The first call draws the matrices, to know what must come out. */
export const gpuCases = (): readonly GpuCase[] => (made ??= listCases())

const listCases = (): GpuCase[] => [
  {
    name: "W1",
    title: "Trajectory epoch: 1000 circular trajectories of 5 points, RNN(2, 10), Linear(10, 2), MSE, Adam",
    expected: 0.270914,
  },
  {
    name: "W3",
    title:
      "LSTM step: Embedding(96, 128), LSTM(128, 256), 64 steps, batch 32, Linear(256, 96), cross-entropy, clip, Adam",
    expected: 4.51645,
  },
  ...products.map((size) => ({
    name: `matmul ${size}`,
    title: `Product of two ${size} x ${size} matrices, float32`,
    expected: firstElement(size),
    work: 2 * size ** 3,
  })),
]

/** Their names. */
export const gpuCaseNames: readonly string[] = ["W1", "W3", ...products.map((size) => `matmul ${size}`)]

/** The products as cases. */
export const productCases = <T>(library: Products<T>, plan: GpuPlan): Record<string, () => Promise<GpuMeasured>> =>
  Object.fromEntries(
    products.map((size) => [`matmul ${size}`, () => timeProducts(`matmul ${size}`, library, factors(size), plan)]),
  )
