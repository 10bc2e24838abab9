// Start values with a pattern: orthogonal rows, kernels that hand on their input, mostly zeros. Computed on the host.
import { shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { checkOptions, decode, defaultGenerator, draws, encode, noGrad, type OptionChecks, refuseCapture, type Tensor, upload } from "@rondo/core" // prettier-ignore
import type { DrawOptions } from "./init.js"

/** Overwrites `x` with host numbers in row-major order. */
function write(x: Tensor, values: ArrayLike<number>): void {
  noGrad(() => x.copy_(upload(x.device, encode(values, x.dtype), x.shape, x.dtype)))
}

/** Normal numbers of the dtype of `x`, as doubles. */
function normals(x: Tensor, std: number, { generator = defaultGenerator() }: DrawOptions): Float64Array {
  refuseCapture("init", "these start values are computed on the host; draw them outside")
  const drawn = draws.normal(generator, sizeOf(x.shape), { dtype: x.dtype as "float32", mean: 0, std })
  return Float64Array.from(decode(drawn, x.dtype) as ArrayLike<number>)
}

/**
 * The orthogonal factor of a row-major [rows, columns] matrix with rows >= columns, so signed that the diagonal of the
 * other factor is positive: Householder's reflections (Golub and Van Loan, Matrix Computations, 5.2). Changes `a`.
 */
function orthogonalFactor(a: Float64Array, rows: number, columns: number): Float64Array {
  const vectors: Float64Array[] = []
  const signs: number[] = []
  for (let k = 0; k < columns; k++) {
    const v = Float64Array.from({ length: rows }, (_, i) => (i < k ? 0 : a[i * columns + k]))
    const length = Math.hypot(...v)
    // The reflection takes the column to -sign(v[k]) length.
    signs.push(length === 0 ? 0 : v[k] >= 0 ? -1 : 1)
    v[k] += v[k] >= 0 ? length : -length
    const norm = Math.hypot(...v)
    if (norm > 0) for (let i = k; i < rows; i++) v[i] /= norm
    reflect(a, columns, v, k)
    vectors.push(v)
  }
  const q = new Float64Array(rows * columns)
  for (let k = 0; k < columns; k++) q[k * columns + k] = 1
  for (let k = columns - 1; k >= 0; k--) reflect(q, columns, vectors[k], k)
  return q.map((value, i) => value * signs[i % columns])
}

/** a - 2 v (v a), for a unit vector that is 0 before row `from`. */
function reflect(a: Float64Array, columns: number, v: Float64Array, from: number): void {
  for (let j = 0; j < columns; j++) {
    let dot = 0
    for (let i = from; i < v.length; i++) dot += v[i] * a[i * columns + j]
    for (let i = from; i < v.length; i++) a[i * columns + j] -= 2 * dot * v[i]
  }
}

const flipped = (a: Float64Array, rows: number, columns: number): Float64Array =>
  Float64Array.from({ length: rows * columns }, (_, i) => a[(i % rows) * columns + Math.floor(i / rows)])

/** Options of {@link orthogonal_}. */
export interface OrthogonalOptions extends DrawOptions {
  /** Factor of all values. Default 1. */
  readonly gain?: number
}
const drawChecks: OptionChecks<DrawOptions> = { generator: "generator" }
const orthogonalChecks: OptionChecks<OrthogonalOptions> = { gain: "real", ...drawChecks }

/**
 * Fills `x`, seen as a matrix of its first dim and all others, with orthonormal rows or columns, whichever are fewer (Saxe
 * et al. 2013): a recurrence that neither grows nor shrinks its state. Throws a ShapeError below 2 dims.
 *
 * @example
 * ```ts
 * const rnn = new RNN(3, 4)
 * init.orthogonal_(rnn.weight_hh_l0, { gain: init.calculateGain("tanh") })
 * ```
 */
export function orthogonal_<T extends Tensor>(x: T, options?: OrthogonalOptions): T {
  const { gain = 1, ...draw } = checkOptions("orthogonal_", orthogonalChecks, options)
  if (x.ndim < 2) throw new ShapeError(`orthogonal_: needs at least 2 dims: got ${shapeText(x.shape)}`)
  const count = sizeOf(x.shape)
  if (count === 0) return x
  const rows = x.shape[0]
  const columns = count / rows
  const drawn = normals(x, 1, draw)
  const q =
    rows < columns
      ? flipped(orthogonalFactor(flipped(drawn, rows, columns), columns, rows), columns, rows)
      : orthogonalFactor(drawn, rows, columns)
  write(x, q.map((value) => value * gain)) // prettier-ignore
  return x
}

/**
 * Fills a convolution's weight `[out, in, ...kernel]` (3, 4 or 5 dims) so that it hands on its input: 1 in the middle of
 * the kernels from channel i to channel i of each group, else 0. Throws a ShapeError for other ranks and a ValueError if
 * the groups do not divide `out`.
 *
 * @example
 * ```ts
 * const weight = init.dirac_(zeros(2, 2, 3)) // [2, 2, 3]
 * console.log(await weight.select(0, 0).tolist()) // [[0, 1, 0], [0, 0, 0]]
 * ```
 */
export function dirac_<T extends Tensor>(x: T, groups = 1): T {
  if (x.ndim < 3 || x.ndim > 5) throw new ShapeError(`dirac_: needs 3, 4 or 5 dims: got ${shapeText(x.shape)}`)
  const [out, inputs, ...kernel] = x.shape
  if (!Number.isInteger(groups) || groups < 1 || out % groups !== 0) {
    throw new ValueError(`dirac_: the groups must divide the ${out} outputs: got ${groups}`)
  }
  const values = new Float64Array(sizeOf(x.shape))
  const field = sizeOf(kernel)
  const middle = kernel.reduce((at, size) => at * size + Math.floor(size / 2), 0)
  const each = out / groups
  for (let o = 0; o < out; o++) if (o % each < inputs) values[(o * inputs + (o % each)) * field + middle] = 1
  write(x, values)
  return x
}

/**
 * Fills a matrix with normal numbers, of which the share `sparsity` (rounded up) of each column is set to 0 (Martens 2010).
 * Throws a ShapeError unless `x` has 2 dims, and a ValueError for a share outside of 0 to 1.
 *
 * @example
 * ```ts
 * const layer = new Linear(4, 10)
 * init.sparse_(layer.weight, 0.9)
 * console.log(await layer.weight.ne(0).sum(0).tolist()) // [1, 1, 1, 1]
 * ```
 */
export function sparse_<T extends Tensor>(x: T, sparsity: number, std = 0.01, options?: DrawOptions): T {
  const { generator = defaultGenerator() } = checkOptions("sparse_", drawChecks, options)
  if (x.ndim !== 2) throw new ShapeError(`sparse_: needs 2 dims: got ${shapeText(x.shape)}`)
  if (!(sparsity >= 0 && sparsity <= 1)) {
    throw new ValueError(`sparse_: sparsity must lie between 0 and 1: got ${sparsity}`)
  }
  const [rows, columns] = x.shape
  const values = normals(x, std, { generator })
  const zeros = Math.ceil(sparsity * rows)
  for (let column = 0; column < columns; column++) {
    const order = draws.randperm(generator, rows)
    for (const row of order.subarray(0, zeros)) values[row * columns + column] = 0
  }
  write(x, values)
  return x
}
