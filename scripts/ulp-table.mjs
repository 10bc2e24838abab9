// Measures the error of every float32 and float64 function of this backend and writes the tables of docs/accuracy.md.
// Run with an engine that has relaxed SIMD (Node 22 or later):
//   node --import tsx scripts/ulp-table.mjs [--every 7] [--only exp,log] [--write]
// `--every 1` takes each of the 2^32 bit patterns. Without `--write` the rows are printed only; with it, those of `--only` are
// replaced. Throws at a result that is wrong where there is nothing to measure: NaN, infinity, zero.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { e, erf } from "../packages/backend/src/index.ts"
import { WasmSimd } from "../packages/backend-wasm-simd/src/backend.ts"
import { hasRelaxed } from "../packages/backend-wasm-simd/src/probe.ts"

const { values: options } = parseArgs({
  options: {
    every: { type: "string", default: "7" },
    pairs: { type: "string", default: "20000000" },
    only: { type: "string" },
    write: { type: "boolean", default: false },
  },
})
const every = Number(options.every)
const batch = 1 << 16

const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))
const power = (x, y) => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : Math.pow(x, y))
const names = "exp sigmoid tanh log erf sin cos tan asin acos atan sinh cosh expm1 log1p log2 log10".split(" ")
const unary = Object.fromEntries(names.map((name) => [name, Math[name]]))
Object.assign(unary, { sigmoid, erf })
const binary = { pow: power, atan2: Math.atan2, mod: (x, y) => x % y }
const doubles = ["exp", "sigmoid", "tanh", "log", "erf", "sin", "cos"]

/** One function on one engine, on batches that lie in its memory. */
class Trial {
  constructor(op, arity, dtype, relaxed) {
    this.backend = new WasmSimd({ relaxed, threads: false })
    const views = Array.from({ length: arity + 1 }, () => this.view(dtype))
    this.out = views.pop()
    this.inputs = views
    this.dtype = dtype
    this.kernel = { kind: "map", exprs: [e[op](...views.map((_, i) => e.input(i, dtype)))] }
    this.worst = 0
    this.at = []
    this.wrong = null
  }
  view(dtype) {
    const storage = this.backend.alloc(batch * (dtype === "float32" ? 4 : 8))
    return { storage, dtype, shape: [batch], strides: [1], offset: 0 }
  }
  run(columns) {
    columns.forEach((column, i) => this.backend.write(this.inputs[i].storage, column))
    this.backend.run(this.kernel, this.inputs, [this.out])
    const bytes = this.backend.readSync(this.out.storage, 0, this.out.storage.bytes)
    return this.dtype === "float32" ? new Float32Array(bytes) : new Float64Array(bytes)
  }
  judge(columns, expected) {
    const got = this.run(columns)
    const narrow = this.dtype === "float32"
    for (let i = 0; i < batch; i++) {
      const want = expected[i]
      const y = got[i]
      const rounded = narrow ? Math.fround(want) : want
      // Correctly rounded, as most are: at most half an ulp, for which one in 64 is enough to look at.
      if (y === rounded && i % 64 && (y !== 0 || Object.is(y, rounded))) continue
      if (isEdge(want) || y - want !== y - want || Math.abs(y - want) === Infinity) {
        // Right below the largest float a result may be infinite or not, by its last bit.
        const overflows = narrow && Math.abs(want) > 3.4028234e38 && Math.abs(y) > 3.4028234e38 && y * want > 0
        if (!Object.is(y, rounded) && !overflows) this.wrong ??= { x: columns.map((column) => column[i]), got: y, want }
        continue
      }
      const ulps = Math.abs(y - want) / (narrow ? singleUlp(want) : doubleUlp(want))
      if (ulps > this.worst) {
        this.worst = ulps
        this.at = columns.map((column) => column[i])
      }
    }
  }
}

/** Zero, infinite or NaN: right or wrong, but not more or less so. */
const isEdge = (x) => x === 0 || x - x !== 0

const words = new DataView(new ArrayBuffer(8))
/** The distance between float32 neighbours of x. */
function singleUlp(x) {
  words.setFloat64(0, x)
  const exponent = ((words.getUint32(0) >>> 20) & 2047) - 1023
  return 2 ** (Math.min(127, Math.max(-126, exponent)) - 23)
}
function doubleUlp(x) {
  words.setFloat64(0, x)
  const exponent = ((words.getUint32(0) >>> 20) & 2047) - 1023
  return 2 ** Math.max(-1074, Math.max(-1022, exponent) - 52)
}

const variants = hasRelaxed() ? [true, false] : [false]

function singles(op) {
  const trials = variants.map((relaxed) => new Trial(op, 1, "float32", relaxed))
  const x = new Float32Array(batch)
  const bits = new Uint32Array(x.buffer)
  const expected = new Float64Array(batch)
  const reference = unary[op]
  let count = 0
  for (let start = 0; start < 2 ** 32; start += batch * every) {
    for (let i = 0; i < batch; i++) bits[i] = Math.min(start + i * every, 2 ** 32 - 1)
    for (let i = 0; i < batch; i++) expected[i] = reference(x[i])
    for (const trial of trials) trial.judge([x], expected)
    count += batch
  }
  return { op, trials, count }
}

/** Random pairs: half of them any bits, half of them sizes at which results are ordinary. */
function pairs(op) {
  const trials = variants.map((relaxed) => new Trial(op, 2, "float32", relaxed))
  const columns = [new Float32Array(batch), new Float32Array(batch)]
  const bits = columns.map(({ buffer }) => new Uint32Array(buffer))
  const expected = new Float64Array(batch)
  const reference = binary[op]
  let state = 1
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0)
  const mixed = () => (random() ^ (random() >>> 16)) >>> 0
  const total = Number(options.pairs)
  for (let done = 0; done < total; done += batch) {
    for (let i = 0; i < batch; i++) {
      for (const own of bits) own[i] = mixed()
      if (i % 2) continue
      columns[0][i] = 2 ** (mixed() / 2 ** 26 - 32) * (i % 4 && op === "pow" ? 1 : mixed() & 1 ? 1 : -1)
      const limit = op === "pow" ? 150 / Math.max(0.01, Math.abs(Math.log2(Math.abs(columns[0][i])))) : 1000
      columns[1][i] = (mixed() / 2 ** 31 - 1) * limit
      if (i % 8 === 0) columns[1][i] = Math.round(columns[1][i])
    }
    for (let i = 0; i < batch; i++) expected[i] = reference(columns[0][i], columns[1][i])
    for (const trial of trials) trial.judge(columns, expected)
  }
  return { op, trials, count: total }
}

/** Random float64: any bits, and sizes at which results are ordinary. */
function wide(op) {
  const trials = variants.map((relaxed) => new Trial(op, 1, "float64", relaxed))
  const x = new Float64Array(batch)
  const bits = new Uint32Array(x.buffer)
  const expected = new Float64Array(batch)
  let state = 7
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0)
  const mixed = () => (random() ^ (random() >>> 16)) >>> 0
  const total = Number(options.pairs)
  for (let done = 0; done < total; done += batch) {
    for (let i = 0; i < batch; i++) {
      bits[2 * i] = mixed()
      bits[2 * i + 1] = mixed()
      if (i % 4 === 1) x[i] = (mixed() / 2 ** 31 - 1) * 30 + mixed() * 2 ** -60
      else if (i % 4 === 2) x[i] = (mixed() / 2 ** 31 - 1) * 750
      else if (i % 4 === 3) x[i] = Math.exp((mixed() / 2 ** 31 - 1) * 20)
    }
    for (let i = 0; i < batch; i++) expected[i] = unary[op](x[i])
    for (const trial of trials) trial.judge([x], expected)
  }
  return { op, trials, count: total }
}

const digits = (x) => (Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(6))))
function row({ op, trials, count }) {
  for (const { wrong } of trials) {
    if (wrong) throw new Error(`${op} of ${wrong.x.join(", ")}: got ${wrong.got}, expected ${wrong.want}`)
  }
  const cells = trials.map(({ worst, at }) => `${worst.toFixed(2)} | ${at.map(digits).join(", ") || "none"}`)
  return `| \`${op}\` | ${cells.join(" | ")} | ${count.toLocaleString("en-US")} |`
}

const only = options.only?.split(",")
const wanted = (list) => list.filter((op) => !only || only.includes(op))
const tell = (result) => {
  const line = row(result)
  console.log(line)
  return line
}
const tables = {
  float32: wanted(Object.keys(unary)).map((op) => tell(singles(op))),
  pairs: wanted(Object.keys(binary)).map((op) => tell(pairs(op))),
  float64: wanted(doubles).map((op) => tell(wide(op))),
}

if (options.write) {
  const file = fileURLToPath(new URL("../docs/accuracy.md", import.meta.url))
  let text = readFileSync(file, "utf8")
  const engine = `Node ${process.versions.node} (V8 ${process.versions.v8.split("-")[0]})`
  text = text.replace(/Measured on .*?, one in \d+/, `Measured on ${engine}, one in ${every}`)
  for (const [name, lines] of Object.entries(tables)) {
    const place = new RegExp(`(<!-- ${name} -->\n\n(?:\\|.*\n){2})((?:\\|.*\n)*)`)
    text = text.replace(place, (_, head, before) => {
      const rows = new Map([...before.split("\n").filter(Boolean), ...lines].map((line) => [line.split("`")[1], line]))
      return `${head}${[...rows.values()].join("\n")}\n`
    })
  }
  writeFileSync(file, text)
}
