// The scan kernel: running sums, products, maxima and minima along one dim.
import { computeDType, type HostArray, kernels, type ScanKernel, type View } from "@rondo/backend"
import { family, type FloatArray, type IntArray, isHalf } from "./loops/loop.js"
import { runMap } from "./map.js"
import { elements, scratchView } from "./storage.js"
import { eachRow } from "./strided.js"

/** One line: `n` elements from `a[ao]` on, `as` apart, to `r[ro]` on, `rs` apart. */
type Line<A extends HostArray = HostArray> = {
  line(n: number, r: A, ro: number, rs: number, a: A, ao: number, as: number): void
}["line"]

// float32 runs in double and is rounded at every store, as PyTorch's cumsum and cumprod do on a CPU.
const floatLines: Record<"sum" | "prod", Line<FloatArray>> = {
  sum(n, r, ro, rs, a, ao, as) {
    let s = 0
    for (let i = 0; i < n; i++) r[ro + i * rs] = s += a[ao + i * as]
  },
  prod(n, r, ro, rs, a, ao, as) {
    let s = 1
    for (let i = 0; i < n; i++) r[ro + i * rs] = s *= a[ao + i * as]
  },
}

const intLines: Record<"sum" | "prod", Line<IntArray>> = {
  sum(n, r, ro, rs, a, ao, as) {
    let s = 0
    for (let i = 0; i < n; i++) r[ro + i * rs] = s = (s + a[ao + i * as]) | 0
  },
  prod(n, r, ro, rs, a, ao, as) {
    let s = 1
    for (let i = 0; i < n; i++) r[ro + i * rs] = s = Math.imul(s, a[ao + i * as])
  },
}

const int64Lines: Record<"sum" | "prod", Line<BigInt64Array>> = {
  sum(n, r, ro, rs, a, ao, as) {
    let s = 0n
    for (let i = 0; i < n; i++) r[ro + i * rs] = s = BigInt.asIntN(64, s + a[ao + i * as])
  },
  prod(n, r, ro, rs, a, ao, as) {
    let s = 1n
    for (let i = 0; i < n; i++) r[ro + i * rs] = s = BigInt.asIntN(64, s * a[ao + i * as])
  },
}

const lines = { float: floatLines, int: intLines, int64: int64Lines } as unknown as Record<
  "float" | "int" | "int64",
  Record<"sum" | "prod", Line>
>

/**
 * A line of running extrema and where they stand, by the rule of torch.cummax: a NaN is taken over and stays (each further NaN
 * takes over its position), and of equal values the last counts.
 */
function extremeLine<T extends number | bigint>(
  greatest: boolean,
  n: number,
  r: { [i: number]: T },
  ro: number,
  rs: number,
  a: { readonly [i: number]: T },
  ao: number,
  as: number,
  positions: Int32Array,
  po: number,
  ps: number,
  reverse: boolean,
): void {
  let best = a[ao]
  let at = 0
  for (let i = 0; i < n; i++) {
    const v = a[ao + i * as]
    const isNaN = v !== v
    if (isNaN || (best === best && (greatest ? v >= best : v <= best))) {
      best = v
      at = i
    }
    r[ro + i * rs] = best
    positions[po + i * ps] = reverse ? n - 1 - at : at
  }
}

/** Scans along `dim`, from its end if `reverse`. Positions always count from the start of the dim. */
export function runScan(kernel: ScanKernel, input: View, outputs: readonly View[]): void {
  const [output, positions] = outputs
  if (isHalf(input.dtype)) {
    const dtype = computeDType(input.dtype)
    const wide = scratchView(input.shape, dtype)
    const result = scratchView(input.shape, dtype)
    runMap(kernels.copy(input.dtype, dtype), [input], [wide], [])
    runScan(kernel, wide, [result, ...outputs.slice(1)])
    return runMap(kernels.copy(dtype, output.dtype), [result], [output], [])
  }
  const { op, dim } = kernel
  const reverse = kernel.reverse === true
  const n = input.shape[dim]
  if (n === 0) return
  const views = [output, input, ...(op === "max" || op === "min" ? [positions] : [])]
  const arrays = views.map(elements)
  const shape = input.shape.filter((_, d) => d !== dim)
  const across = views.map((view) => view.strides.filter((_, d) => d !== dim))
  const sign = reverse ? -1 : 1
  const along = views.map((view) => sign * view.strides[dim])
  const starts = views.map((view) => view.offset + (reverse ? (n - 1) * view.strides[dim] : 0))
  const [r, a] = arrays
  eachRow(shape, across, starts, (count, at, step) => {
    for (let k = 0; k < count; k++) {
      const ro = at[0] + k * step[0]
      const ao = at[1] + k * step[1]
      if (op === "sum" || op === "prod") lines[family(input.dtype)][op](n, r, ro, along[0], a, ao, along[1])
      else {
        const po = at[2] + k * step[2]
        const p = arrays[2] as Int32Array
        extremeLine(
          op === "max",
          n,
          r as Float64Array,
          ro,
          along[0],
          a as Float64Array,
          ao,
          along[1],
          p,
          po,
          along[2],
          reverse,
        )
      }
    }
  })
}
