// Loops that fold blocks of values into accumulators: the inside of every reduction.
import type { HostArray, ReduceOperator } from "@rondo/backend"
import type { FloatArray, IntArray } from "./loop.js"

/**
 * Folds `rows` rows of `len` values, from `a[at]` on, into accumulators: value `i` of row `j` goes to
 * `acc[to + j * rowStep + i * colStep]`. One of the steps is 1 and the other 0: rows are summed up, or added to each other.
 * `extra` holds one number an accumulator: what the sum has lost to rounding, or the position of the extremum; `first` is the
 * position of the first value.
 */
export type Fold<A extends HostArray = HostArray, S extends HostArray = HostArray, X extends HostArray = HostArray> = {
  fold(rows: number, len: number, a: A, at: number, acc: S, to: number, rowStep: number, colStep: number, extra: X, first: number): void
}["fold"] // prettier-ignore

type FloatFold<X extends HostArray = HostArray> = Fold<FloatArray, Float64Array, X>
type Int64 = BigInt64Array

/** Sums of float32 (and 16-bit floats): carried in double, so plain addition loses nothing that float32 shows. */
const sum: FloatFold = (rows, len, a, at, acc, to, rowStep, colStep) => {
  for (let j = 0; j < rows; j++) {
    const k = to + j * rowStep
    if (colStep === 0) {
      // Four chains hide the latency of the addition.
      let s0 = 0
      let s1 = 0
      let s2 = 0
      let s3 = 0
      const end = at + len
      for (; at + 3 < end; at += 4) {
        s0 += a[at]
        s1 += a[at + 1]
        s2 += a[at + 2]
        s3 += a[at + 3]
      }
      for (; at < end; at++) s0 += a[at]
      acc[k] += s0 + s1 + (s2 + s3)
    } else {
      for (let i = 0; i < len; i++) acc[k + i] += a[at + i]
      at += len
    }
  }
}

/** Sums of float64, compensated (A. Neumaier, ZAMM 54, 1974): the error does not grow with the number of terms. */
const compensatedSum: FloatFold<Float64Array> = (rows, len, a, at, acc, to, rowStep, colStep, lost) => {
  for (let j = 0; j < rows; j++) {
    let k = to + j * rowStep
    for (let i = 0; i < len; i++) {
      const v = a[at++]
      const s = acc[k]
      const t = s + v
      lost[k] += Math.abs(s) >= Math.abs(v) ? s - t + v : v - t + s
      acc[k] = t
      k += colStep
    }
  }
}

const prod: FloatFold = (rows, len, a, at, acc, to, rowStep, colStep) => {
  for (let j = 0; j < rows; j++) {
    let k = to + j * rowStep
    for (let i = 0; i < len; i++) {
      acc[k] *= a[at++]
      k += colStep
    }
  }
}

const max: FloatFold = (rows, len, a, at, acc, to, rowStep, colStep) => {
  for (let j = 0; j < rows; j++) {
    const k = to + j * rowStep
    if (colStep === 0) {
      let s = acc[k]
      for (let i = 0; i < len; i++) s = Math.max(s, a[at + i])
      acc[k] = s
    } else for (let i = 0; i < len; i++) acc[k + i] = Math.max(acc[k + i], a[at + i])
    at += len
  }
}

const min: FloatFold = (rows, len, a, at, acc, to, rowStep, colStep) => {
  for (let j = 0; j < rows; j++) {
    const k = to + j * rowStep
    if (colStep === 0) {
      let s = acc[k]
      for (let i = 0; i < len; i++) s = Math.min(s, a[at + i])
      acc[k] = s
    } else for (let i = 0; i < len; i++) acc[k + i] = Math.min(acc[k + i], a[at + i])
    at += len
  }
}

// NaN counts as greatest for argmax and as least for argmin; the first of equals stays. No position yet: -1.
const argmax: FloatFold<Int32Array> = (rows, len, a, at, acc, to, rowStep, colStep, positions, first) => {
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < len; i++) {
      const v = a[at++]
      const k = to + j * rowStep + i * colStep
      const s = acc[k]
      if (positions[k] < 0 || v > s || (v !== v && s === s)) {
        acc[k] = v
        positions[k] = first + (colStep === 0 ? i : j)
      }
    }
  }
}
const argmin: FloatFold<Int32Array> = (rows, len, a, at, acc, to, rowStep, colStep, positions, first) => {
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < len; i++) {
      const v = a[at++]
      const k = to + j * rowStep + i * colStep
      const s = acc[k]
      if (positions[k] < 0 || v < s || (v !== v && s === s)) {
        acc[k] = v
        positions[k] = first + (colStep === 0 ? i : j)
      }
    }
  }
}

/** Floats; accumulators are float64. */
export const floatFolds: Record<Exclude<ReduceOperator, "any" | "all"> | "compensatedSum", Fold> = {
  sum, compensatedSum, prod, max, min, argmax, argmin,
} // prettier-ignore

/** Integers up to 32 bits, and bool; accumulators are int32, of uint32 uint32, and wrap. */
export const intFolds: Record<ReduceOperator, Fold<IntArray, Int32Array | Uint32Array, Int32Array>> = {
  sum(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) acc[k] = (acc[k] + a[at++]) | 0
    }
  },
  prod(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) acc[k] = Math.imul(acc[k], a[at++])
    }
  },
  max(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) acc[k] = Math.max(acc[k], a[at++])
    }
  },
  min(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) acc[k] = Math.min(acc[k], a[at++])
    }
  },
  any(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) if (a[at++] !== 0) acc[k] = 1
    }
  },
  all(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) if (a[at++] === 0) acc[k] = 0
    }
  },
  argmax(rows, len, a, at, acc, to, rowStep, colStep, positions, first) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) {
        const v = a[at++]
        if (positions[k] >= 0 && v <= acc[k]) continue
        acc[k] = v
        positions[k] = first + (colStep === 0 ? i : j)
      }
    }
  },
  argmin(rows, len, a, at, acc, to, rowStep, colStep, positions, first) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) {
        const v = a[at++]
        if (positions[k] >= 0 && v >= acc[k]) continue
        acc[k] = v
        positions[k] = first + (colStep === 0 ? i : j)
      }
    }
  },
}

/** int64; accumulators are int64 and wrap. */
export const int64Folds: Record<Exclude<ReduceOperator, "any" | "all">, Fold<Int64, Int64, Int32Array>> = {
  sum(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) acc[k] += a[at++]
    }
  },
  prod(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) acc[k] *= a[at++]
    }
  },
  max(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep, at++) if (a[at] > acc[k]) acc[k] = a[at]
    }
  },
  min(rows, len, a, at, acc, to, rowStep, colStep) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep, at++) if (a[at] < acc[k]) acc[k] = a[at]
    }
  },
  argmax(rows, len, a, at, acc, to, rowStep, colStep, positions, first) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) {
        const v = a[at++]
        if (positions[k] >= 0 && v <= acc[k]) continue
        acc[k] = v
        positions[k] = first + (colStep === 0 ? i : j)
      }
    }
  },
  argmin(rows, len, a, at, acc, to, rowStep, colStep, positions, first) {
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = to + j * rowStep; i < len; i++, k += colStep) {
        const v = a[at++]
        if (positions[k] >= 0 && v >= acc[k]) continue
        acc[k] = v
        positions[k] = first + (colStep === 0 ? i : j)
      }
    }
  },
}
