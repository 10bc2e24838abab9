// Products of float matrices, any strides: packed and register-tiled for large ones, in place for small ones.
import type { FloatArray } from "./loops/loop.js"

/** A matrix inside a typed array: element `(i, j)` is `array[at + i * rowStep + j * colStep]`. */
export interface Matrix<A = FloatArray> {
  readonly array: A
  readonly at: number
  readonly rowStep: number
  readonly colStep: number
}

/** `out = a[m, k] @ b[k, n]`, plus `bias` and `old` where there are any. */
export interface Product<A = FloatArray> {
  readonly m: number
  readonly n: number
  readonly k: number
  readonly a: Matrix<A>
  readonly b: Matrix<A>
  readonly out: Matrix<A>
  readonly bias: Matrix<A> | null
  readonly old: Matrix<A> | null
}

// Blocks of 128 x 256 of `a` and 256 x 256 of `b`, as doubles, and their 128 x 256 sums fit a second-level cache of 1 MB.
// Packing into doubles saves the conversion of every float32 operand in the inner loop, and one loop serves both dtypes.
const mBlock = 128
const nBlock = 256
const kBlock = 256
const packedA = new Float64Array(mBlock * kBlock)
const packedB = new Float64Array(nBlock * kBlock)
const sums = new Float64Array(mBlock * nBlock)

/** Lays `lines` rows of a (or columns of b) out in panels of four: `[panel][k][4]`, filled up with zeros. */
function pack(
  source: FloatArray,
  at: number,
  lines: number,
  lineStep: number,
  k: number,
  kStep: number,
  target: Float64Array,
): void {
  let to = 0
  for (let line = 0; line < lines; line += 4) {
    const have = Math.min(4, lines - line)
    const from = at + line * lineStep
    if (have === 4) {
      for (let p = 0, x = from; p < k; p++, x += kStep, to += 4) {
        target[to] = source[x]
        target[to + 1] = source[x + lineStep]
        target[to + 2] = source[x + 2 * lineStep]
        target[to + 3] = source[x + 3 * lineStep]
      }
    } else {
      for (let p = 0; p < k; p++, to += 4) {
        for (let q = 0; q < 4; q++) target[to + q] = q < have ? source[from + p * kStep + q * lineStep] : 0
      }
    }
  }
}

/** Adds the product of a panel of a and a panel of b to a 4 x 4 tile of `sums`. */
function tile(k: number, ap: number, bp: number, to: number): void {
  let c00 = 0, c01 = 0, c02 = 0, c03 = 0, c10 = 0, c11 = 0, c12 = 0, c13 = 0 // prettier-ignore
  let c20 = 0, c21 = 0, c22 = 0, c23 = 0, c30 = 0, c31 = 0, c32 = 0, c33 = 0 // prettier-ignore
  const a = packedA
  const b = packedB
  for (let p = 0; p < k; p++) {
    const b0 = b[bp]
    const b1 = b[bp + 1]
    const b2 = b[bp + 2]
    const b3 = b[bp + 3]
    const a0 = a[ap]
    c00 += a0 * b0
    c01 += a0 * b1
    c02 += a0 * b2
    c03 += a0 * b3
    const a1 = a[ap + 1]
    c10 += a1 * b0
    c11 += a1 * b1
    c12 += a1 * b2
    c13 += a1 * b3
    const a2 = a[ap + 2]
    c20 += a2 * b0
    c21 += a2 * b1
    c22 += a2 * b2
    c23 += a2 * b3
    const a3 = a[ap + 3]
    c30 += a3 * b0
    c31 += a3 * b1
    c32 += a3 * b2
    c33 += a3 * b3
    ap += 4
    bp += 4
  }
  addRow(to, c00, c01, c02, c03)
  addRow(to + nBlock, c10, c11, c12, c13)
  addRow(to + 2 * nBlock, c20, c21, c22, c23)
  addRow(to + 3 * nBlock, c30, c31, c32, c33)
}

function addRow(to: number, x0: number, x1: number, x2: number, x3: number): void {
  sums[to] += x0
  sums[to + 1] += x1
  sums[to + 2] += x2
  sums[to + 3] += x3
}

/** Writes finished sums, `[rows][width]`, to the output from `(i0, j0)` on; the store rounds, once. */
function finish(product: Product, width: number, i0: number, rows: number, j0: number, cols: number): void {
  const { out, bias, old } = product
  for (let i = 0; i < rows; i++) {
    if (bias !== null) addTo(sums, i * width, cols, bias, i0 + i, j0)
    if (old !== null) addTo(sums, i * width, cols, old, i0 + i, j0)
    const { array, colStep } = out
    let to = out.at + (i0 + i) * out.rowStep + j0 * colStep
    for (let j = 0; j < cols; j++, to += colStep) array[to] = sums[i * width + j]
  }
}

function addTo(target: Float64Array, to: number, n: number, matrix: Matrix, row: number, col: number): void {
  const { array, colStep } = matrix
  let from = matrix.at + row * matrix.rowStep + col * colStep
  for (let j = 0; j < n; j++, from += colStep) target[to + j] += array[from]
}

function packedProduct(product: Product): void {
  const { m, n, k, a, b } = product
  for (let j0 = 0; j0 < n; j0 += nBlock) {
    const cols = Math.min(nBlock, n - j0)
    for (let i0 = 0; i0 < m; i0 += mBlock) {
      const rows = Math.min(mBlock, m - i0)
      sums.fill(0)
      for (let p0 = 0; p0 < k; p0 += kBlock) {
        const depth = Math.min(kBlock, k - p0)
        pack(a.array, a.at + i0 * a.rowStep + p0 * a.colStep, rows, a.rowStep, depth, a.colStep, packedA)
        // With a single block of k, the block of b is still there from the rows above.
        if (i0 === 0 || k > kBlock) {
          pack(b.array, b.at + p0 * b.rowStep + j0 * b.colStep, cols, b.colStep, depth, b.rowStep, packedB)
        }
        for (let j = 0; j < cols; j += 4) {
          for (let i = 0; i < rows; i += 4) tile(depth, i * depth, j * depth, i * nBlock + j)
        }
      }
      finish(product, nBlock, i0, rows, j0, cols)
    }
  }
}

/** One row of sums, four columns at a time, reading both operands where they lie. */
function directRow(k: number, n: number, a: FloatArray, at: number, aStep: number, b: Matrix, to: number): void {
  const { array, rowStep, colStep } = b
  let j = 0
  for (; j + 3 < n; j += 4) {
    let s0 = 0
    let s1 = 0
    let s2 = 0
    let s3 = 0
    let x = b.at + j * colStep
    for (let p = 0, y = at; p < k; p++, y += aStep, x += rowStep) {
      const v = a[y]
      s0 += v * array[x]
      s1 += v * array[x + colStep]
      s2 += v * array[x + 2 * colStep]
      s3 += v * array[x + 3 * colStep]
    }
    sums[to + j] = s0
    sums[to + j + 1] = s1
    sums[to + j + 2] = s2
    sums[to + j + 3] = s3
  }
  for (; j < n; j++) {
    let s = 0
    let x = b.at + j * colStep
    for (let p = 0, y = at; p < k; p++, y += aStep, x += rowStep) s += a[y] * array[x]
    sums[to + j] = s
  }
}

function directProduct(product: Product): void {
  const { m, n, k, a, b } = product
  for (let j0 = 0; j0 < n; j0 += sums.length) {
    const cols = Math.min(sums.length, n - j0)
    const chunk = Math.max(1, Math.min(m, Math.floor(4096 / cols)))
    const part = { ...b, at: b.at + j0 * b.colStep }
    for (let i0 = 0; i0 < m; i0 += chunk) {
      const rows = Math.min(chunk, m - i0)
      for (let i = 0; i < rows; i++) {
        directRow(k, cols, a.array, a.at + (i0 + i) * a.rowStep, a.colStep, part, i * cols)
      }
      finish(product, cols, i0, rows, j0, cols)
    }
  }
}

/** Bias of column `j`, the same for every row; 0 beyond the edge. */
const startOf = ({ bias, n }: Product, j: number): number =>
  bias !== null && j < n ? bias.array[bias.at + j * bias.colStep] : 0

/** Small b, packed once; a is read where it lies, two rows at a time, and results are stored without a detour. */
function narrowProduct(product: Product): void {
  const { n, k, b } = product
  pack(b.array, b.at, n, b.colStep, k, b.rowStep, packedB)
  for (let j = 0; j < n; j += 4) narrowPanel(product, j)
}

/** Columns `j` to `j + 3` of all rows. */
function narrowPanel(product: Product, j: number): void {
  const { m, n, k, a, out } = product
  const { array, rowStep, colStep } = a
  const packed = packedB
  const s0 = startOf(product, j)
  const s1 = startOf(product, j + 1)
  const s2 = startOf(product, j + 2)
  const s3 = startOf(product, j + 3)
  for (let i = 0; i < m; i += 2) {
    // The last row of an odd number is computed twice, and stored once.
    const second = i + 1 < m ? rowStep : 0
    let c0 = s0, c1 = s1, c2 = s2, c3 = s3, d0 = s0, d1 = s1, d2 = s2, d3 = s3 // prettier-ignore
    let x = a.at + i * rowStep
    for (let p = 0, z = j * k; p < k; p++, x += colStep, z += 4) {
      const v = array[x]
      const u = array[x + second]
      const b0 = packed[z]
      const b1 = packed[z + 1]
      const b2 = packed[z + 2]
      const b3 = packed[z + 3]
      c0 += v * b0
      c1 += v * b1
      c2 += v * b2
      c3 += v * b3
      d0 += u * b0
      d1 += u * b1
      d2 += u * b2
      d3 += u * b3
    }
    const to = out.at + i * out.rowStep + j * out.colStep
    storeRow(out, to, n - j, c0, c1, c2, c3)
    if (i + 1 < m) storeRow(out, to + out.rowStep, n - j, d0, d1, d2, d3)
  }
}

function storeRow(
  { array, colStep }: Matrix,
  to: number,
  cols: number,
  x0: number,
  x1: number,
  x2: number,
  x3: number,
): void {
  array[to] = x0
  if (cols > 1) array[to + colStep] = x1
  if (cols > 2) array[to + 2 * colStep] = x2
  if (cols > 3) array[to + 3 * colStep] = x3
}

// Up to this many doubles, packed b stays in the first-level cache or close to it.
const narrowLimit = 16384

/** Multiplies float matrices. Sums are carried in double and rounded once, when they are stored. */
export function floatProduct(product: Product): void {
  const { m, n, k, bias, old } = product
  const plain = old === null && (bias === null || bias.rowStep === 0)
  if (plain && m >= 4 && k * (n + 3) <= narrowLimit) narrowProduct(product)
  // Packing both pays when every packed element is used several times.
  else if (m >= 8 && n >= 8 && k >= 8 && m * n * k >= 32768) packedProduct(product)
  else directProduct(product)
}
