// What the single operations can reach at best or at least on this machine, as a row of their table: products at the speed of a
// register tile that never leaves the first-level cache, everything else as the loop that one would write in JavaScript.
import loadWabt from "wabt"
import { type Operation, operations } from "./operations.js"
import { type Cases, type Measured, runCases, timeOp } from "./timing.js"
import { drawn } from "./workloads.js"

const depth = 256
const [rows, columns] = [6, 2]
const list = (count: number, text: (i: number) => string): string => Array.from({ length: count }, (_, i) => text(i)).join("\n") // prettier-ignore

/** A tile of 6 x 8 sums over a depth of 256, in WebAssembly text: independent of the assembler that it is the measure of. */
function tileText(fused: boolean): string {
  const sum = (i: number, j: number): string => `$c${i}_${j}`
  const product = (i: number, j: number): string =>
    fused
      ? `(f32x4.relaxed_madd (local.get $x) (local.get $b${j}) (local.get ${sum(i, j)}))`
      : `(f32x4.add (f32x4.mul (local.get $x) (local.get $b${j})) (local.get ${sum(i, j)}))`
  const each = (text: (i: number, j: number) => string): string => list(rows, (i) => list(columns, (j) => text(i, j)))
  // a lies at 0, row after row; b behind it, eight columns a row; c behind that.
  const b = rows * depth * 4
  return `(module (memory (export "memory") 1)
  (func (export "run") (param $times i32)
    (local $k i32) (local $a i32) (local $b i32) (local $x v128) ${list(columns, (j) => `(local $b${j} v128)`)}
    ${each((i, j) => `(local ${sum(i, j)} v128)`)}
    (loop $again
      (local.set $k (i32.const ${depth})) (local.set $a (i32.const 0)) (local.set $b (i32.const ${b}))
      (loop $step
        ${list(columns, (j) => `(local.set $b${j} (v128.load offset=${16 * j} (local.get $b)))`)}
        ${list(
          rows,
          (i) => `(local.set $x (v128.load32_splat offset=${i * depth * 4} (local.get $a)))
        ${list(columns, (j) => `(local.set ${sum(i, j)} ${product(i, j)})`)}`,
        )}
        (local.set $a (i32.add (local.get $a) (i32.const 4)))
        (local.set $b (i32.add (local.get $b) (i32.const 32)))
        (br_if $step (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    ${each((i, j) => `(v128.store offset=${b + depth * 32 + 16 * (i * columns + j)} (i32.const 0) (local.get ${sum(i, j)}))`)}))`
}

/** The tile as a function of how often it runs, with fused multiply-add where the engine has it. */
async function tile(): Promise<(times: number) => void> {
  const wabt = await loadWabt()
  const bytes = [true, false]
    .map((fused) => {
      const module = wabt.parseWat("tile", tileText(fused), { simd: true, relaxed_simd: true })
      return new Uint8Array(module.toBinary({}).buffer)
    })
    .find((binary) => WebAssembly.validate(binary))
  if (!bytes) throw new Error("this engine has no SIMD")
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  return exports.run as (times: number) => void
}

/** A product's time at the tile's speed. */
async function productTime({ name, work }: Operation): Promise<Measured> {
  const run = await tile()
  const each = 2 * rows * columns * 4 * depth
  const times = 1000
  const { median_ms = NaN, min_ms = NaN, ...rest } = await timeOp(name, () => run(times))
  const scale = work / each / times
  return { ...rest, median_ms: median_ms * scale, min_ms: min_ms * scale }
}

type Loop = (x: Float32Array, y: Float32Array, out: Float32Array) => void

const add: Loop = (x, y, out) => {
  for (let i = 0; i < x.length; i++) out[i] = x[i] + y[i]
}

/** Loops as one would write them; one a function, since a loop that calls any of them could not be compiled for one. */
const loops: Record<Exclude<Operation["kind"], "matmul" | "recurrence">, Loop> = {
  add,
  small: add,
  exp: (x, _, out) => {
    for (let i = 0; i < x.length; i++) out[i] = Math.exp(x[i])
  },
  tanh: (x, _, out) => {
    for (let i = 0; i < x.length; i++) out[i] = Math.tanh(x[i])
  },
  sigmoid: (x, _, out) => {
    for (let i = 0; i < x.length; i++) out[i] = 1 / (1 + Math.exp(-x[i]))
  },
  sum: (x, _, out) => {
    let total = 0
    for (let i = 0; i < x.length; i++) total += x[i]
    out[0] = total
  },
  softmax: (x, _, out) => {
    const width = Math.sqrt(x.length)
    for (let from = 0; from < x.length; from += width) {
      let [most, total] = [-Infinity, 0]
      for (let i = from; i < from + width; i++) if (x[i] > most) most = x[i]
      for (let i = from; i < from + width; i++) total += out[i] = Math.exp(x[i] - most)
      for (let i = from; i < from + width; i++) out[i] /= total
    }
  },
}

async function loopTime({ name, kind, size }: Operation): Promise<Measured> {
  const count = kind === "softmax" ? size * size : size
  const [x, y] = [1, 2].map((seed) => Float32Array.from(drawn(seed, [count], 1).data))
  const out = new Float32Array(count)
  const loop = loops[kind as keyof typeof loops]
  return timeOp(name, () => loop(x, y, out))
}

const cases: Cases = Object.fromEntries(
  operations.map((one) => [
    one.name,
    () => (one.kind === "matmul" || one.kind === "recurrence" ? productTime(one) : loopTime(one)),
  ]),
)

void runCases(cases, process.argv.slice(2))
