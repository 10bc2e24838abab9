// What is multiplied, in the form in which all kernels of this folder take it: one matrix product a batch entry, each operand
// with its strides, in as few batch dims as possible. Runs nothing.
import { collapse, type View } from "@rondo/backend"

/** One operand: rows and columns of its matrices by strides, and its strides along the batch dims. */
export interface Placed {
  readonly view: View
  readonly row: number
  readonly col: number
  readonly batch: readonly number[]
}

/** `out[m, n] = a[m, k] @ b[k, n]` for every batch entry. */
export interface Problem {
  readonly m: number
  readonly n: number
  readonly k: number
  /** Sizes of the batch dims. */
  readonly batch: readonly number[]
  readonly batches: number
  readonly a: Placed
  readonly b: Placed
  /** The output, then what is read for each of its elements. */
  readonly wholes: readonly Placed[]
}

const matrix = (view: View): Placed => {
  const rank = view.shape.length
  return { view, row: view.strides[rank - 2], col: view.strides[rank - 1], batch: view.strides.slice(0, -2) }
}

const transposed = ({ view, row, col, batch }: Placed): Placed => ({ view, row: col, col: row, batch })

/** The same problem for the transposed output. */
export function transpose({ m, n, a, b, wholes, ...rest }: Problem): Problem {
  return { ...rest, m: n, n: m, a: transposed(b), b: transposed(a), wholes: wholes.map(transposed) }
}

/** Joins the rows of all batch entries into one matrix where b is the same for all of them. */
function joinRows(problem: Problem): Problem {
  const { m, batch, a, b, wholes } = problem
  if (batch.length === 0 || b.batch.some((stride) => stride !== 0)) return problem
  const rows = [a, ...wholes]
  const nest = collapse([...batch, m], rows.map((x) => [...x.batch, x.row])) // prettier-ignore
  if (nest.shape.length !== 1) return problem
  const [first, ...others] = rows.map((x, i): Placed => ({ ...x, row: nest.strides[i][0], batch: [] }))
  return { ...problem, m: nest.shape[0], batch: [], batches: 1, a: first, b: { ...b, batch: [] }, wholes: others }
}

/** Describes a product. `wholes` have the output's shape; the first is the output. No size may be 0 but that of k. */
export function problemOf(a: View, b: View, wholes: readonly View[]): Problem {
  const { shape } = wholes[0]
  const [m, n] = shape.slice(-2)
  const all = [a, b, ...wholes].map(matrix)
  const nest = collapse(shape.slice(0, -2), all.map((x) => x.batch)) // prettier-ignore
  const [left, right, ...rest] = all.map((x, i): Placed => ({ ...x, batch: nest.strides[i] }))
  const batches = nest.shape.reduce((product, size) => product * size, 1)
  const k = a.shape[a.shape.length - 1]
  const problem = joinRows({ m, n, k, batch: nest.shape, batches, a: left, b: right, wholes: rest })
  // Threads beside each other write columns beside each other.
  const [out] = problem.wholes
  return Math.abs(out.row) < Math.abs(out.col) && problem.m > 1 ? transpose(problem) : problem
}
