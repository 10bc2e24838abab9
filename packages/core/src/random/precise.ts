// Natural logarithm, sine and cosine in float64, right to the last bit in all but about one of 10^5 results, and the
// same in every JavaScript engine. Only for the arguments that the draws have; not a general library.
import { productError, sumError } from "./fma.js"

// Math.log, Math.sin and Math.cos may differ between engines, and V8's are off by a bit in 3 to 7 of 100 results.
// PyTorch calls glibc, whose results are the correctly rounded ones in 99.9 of 100. So: tables as pairs of doubles,
// short series for the small remainder, and exact sums and products where their error would show.

/** Fixed point for building the tables: a bigint stands for itself times 2^-160. */
const ONE = 1n << 160n

/** A fixed-point number as the sum of two doubles. */
function pair(fixed: bigint): [high: number, low: number] {
  const high = Number(fixed) / 2 ** 160
  return [high, Number(fixed - BigInt(high * 2 ** 160)) / 2 ** 160]
}

/** ln(a / b) = 2 atanh((a - b) / (a + b)), by its power series. */
function logRatio(a: bigint, b: bigint): bigint {
  let sum = 0n
  let power = (2n * ONE * (a - b)) / (a + b)
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k
    power = (power * (a - b) ** 2n) / (a + b) ** 2n
  }
  return sum
}

/** Sine (`first` 1) or cosine (`first` 0) of i / 64, by the Taylor series. */
function trigOf(i: bigint, first: bigint): bigint {
  let sum = 0n
  let term = first === 1n ? (ONE * i) / 64n : ONE
  for (let k = first; term !== 0n; k += 2n) {
    sum += term
    term = (-term * i * i) / (4096n * (k + 1n) * (k + 2n))
  }
  return sum
}

/** pi by J. Machin's formula, 16 atan(1/5) - 4 atan(1/239). */
function pi(): bigint {
  const arctan = (x: bigint): bigint => {
    let sum = 0n
    let power = ONE / x
    for (let k = 1n; power !== 0n; k += 2n) {
      sum += power / k
      power = -power / (x * x)
    }
    return sum
  }
  return 16n * arctan(5n) - 4n * arctan(239n)
}

/** The leading `bits` bits behind the point of a fixed-point number, and what remains. */
function split(fixed: bigint, bits: bigint): [head: number, rest: bigint] {
  const drop = 160n - bits
  const head = (fixed >> drop) << drop
  return [Number(head) / 2 ** 160, fixed - head]
}

let built: ReturnType<typeof build> | undefined

/** Built on first use, in about a millisecond. */
const tables = () => (built ??= build())

function build() {
  // ln(c / 128) for c up to 182, pairs side by side; below 90 the table is not used.
  const logs = new Float64Array(2 * 183)
  for (let c = 90; c < 183; c++) logs.set(pair(logRatio(BigInt(c), 128n)), 2 * c)
  // Sine and cosine of i / 64 up to pi / 4: four doubles each.
  const trig = new Float64Array(4 * 52)
  for (let i = 0; i < 52; i++) trig.set([...pair(trigOf(BigInt(i), 1n)), ...pair(trigOf(BigInt(i), 0n))], 4 * i)
  const [ln2Head, ln2Rest] = split(logRatio(2n, 1n), 40n)
  // pi / 2 in three parts, two of them short, so that a few times them is exact.
  const [half1, rest] = split(pi() / 2n, 33n)
  const [half2, rest2] = split(rest, 66n)
  return { logs, trig, ln2Head, ln2Tail: pair(ln2Rest)[0], half1, half2, half3: pair(rest2)[0] }
}

const bits64 = new Float64Array(1)
const words = new Uint32Array(bits64.buffer)

/** ln x for a normal number x > 0. */
export function log(x: number): number {
  const { logs, ln2Head, ln2Tail } = tables()
  // x = m 2^e with m in [1, 2), then in [0.71, 1.42).
  bits64[0] = x
  let e = (words[1] >>> 20) - 1023
  words[1] = (words[1] & 0xfffff) | 0x3ff00000
  let m = bits64[0]
  if (m > Math.SQRT2) {
    m *= 0.5
    e += 1
  }
  const c = Math.round(m * 128)
  // ln m = ln(c / 128) + 2 atanh s, s = (m - c / 128) / (m + c / 128); |s| < 0.003.
  const center = c / 128
  const top = m - center
  const bottom = m + center
  const s = top / bottom
  const product = s * bottom
  const sLow = (top - product - productError(s, bottom, product) - s * sumError(m, center, bottom)) / bottom
  const s2 = s * s
  const series = s * s2 * (2 / 3 + s2 * (2 / 5 + s2 * (2 / 7 + s2 * (2 / 9))))
  const a = e * ln2Head
  const b = a + logs[2 * c]
  const high = b + 2 * s
  const low = sumError(a, logs[2 * c], b) + sumError(b, 2 * s, high)
  return high + (low + (e * ln2Tail + logs[2 * c + 1] + 2 * sLow + series))
}

/** Writes the sine and the cosine of `t`, 0 <= t < 7, to `out[0]` and `out[1]`. */
export function sinCos(t: number, out: Float64Array): void {
  const { trig, half1, half2, half3 } = tables()
  const quarter = Math.round(t * (2 / Math.PI))
  // r + rLow = t - quarter pi / 2, within pi / 4 of zero.
  const r1 = t - quarter * half1
  const r2 = r1 - quarter * half2
  const tail = sumError(r1, -quarter * half2, r2) - quarter * half3
  let r = r2 + tail
  let rLow = sumError(r2, tail, r)
  const negative = r < 0
  if (negative) {
    r = -r
    rLow = -rLow
  }
  // r = i / 64 + b, |b| <= 1/128.
  const i = Math.round(r * 64)
  const s = trig[4 * i]
  const sLow = trig[4 * i + 1]
  const c = trig[4 * i + 2]
  const cLow = trig[4 * i + 3]
  const b = r - i / 64
  const b2 = b * b
  const sinRest = rLow - b * b2 * (1 / 6 - b2 * (1 / 120 - b2 * (1 / 5040)))
  const versine = b2 * (0.5 - b2 * (1 / 24 - b2 * (1 / 720))) + b * rLow
  const sine = combine(s, c * b, productError(c, b, c * b) + sLow + cLow * b + c * sinRest - s * versine)
  const cosine = combine(c, -s * b, cLow - productError(s, b, s * b) - sLow * b - s * sinRest - c * versine)
  const signed = negative ? -sine : sine
  // A quarter turn maps (sin, cos) to (cos, -sin).
  const odd = (quarter & 1) === 1
  const flip = (quarter & 2) === 2
  const first = odd ? cosine : signed
  const second = odd ? -signed : cosine
  out[0] = flip ? -first : first
  out[1] = flip ? -second : second
}

/** `x + y + small`, the first sum exact. */
function combine(x: number, y: number, small: number): number {
  const sum = x + y
  return sum + (sumError(x, y, sum) + small)
}
