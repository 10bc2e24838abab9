// What everybody trains: deterministic data and initial weights, the same numbers for every library, so that losses can be
// compared digit by digit. pytorch.py repeats the generator in NumPy. Imports nothing: peers load it too.

/** Float values in row-major order, weights in PyTorch's layout [out, in]. */
export interface Values {
  readonly data: Float32Array
  readonly shape: readonly number[]
}

/** One recurrent layer: `w_ih` [G H, I], `w_hh` [G H, H], biases [G H], with G gates. */
export interface RecurrentWeights {
  readonly w_ih: Values
  readonly w_hh: Values
  readonly b_ih: Values
  readonly b_hh: Values
}

/** One linear layer: `w` [O, I], `b` [O]. */
export interface LinearWeights {
  readonly w: Values
  readonly b: Values
}

/** n uniforms in [0, 1): mulberry32 in its counter form (Tommy Ettinger, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c). */
export function uniforms(seed: number, n: number): Float64Array {
  const out = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    let t = (seed + Math.imul(0x6d2b79f5, i + 1)) | 0
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    out[i] = ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return out
}

/** Uniform numbers within ±bound. */
export function drawn(seed: number, shape: readonly number[], bound: number): Values {
  const u = uniforms(
    seed,
    shape.reduce((a, b) => a * b, 1),
  )
  return { data: Float32Array.from(u, (x) => -bound + 2 * bound * x), shape }
}

/** [r, c] -> [c, r], for libraries that keep weights as [in, out]. */
export function transpose({ data, shape: [rows, columns] }: Values): Values {
  const out = new Float32Array(data.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]
  return { data: out, shape: [columns, rows] }
}

/** [B, T, I] -> [T, B, I], flat. */
export function timeMajor<A extends Float32Array | Int32Array>(x: A, batch: number, steps: number, width = 1): A {
  const out = x.slice() as A
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < steps; t++) {
      for (let i = 0; i < width; i++) out[(t * batch + b) * width + i] = x[(b * steps + t) * width + i]
    }
  }
  return out
}

function recurrent(seed: number, inputs: number, hidden: number, gates: number): RecurrentWeights {
  const bound = 1 / Math.sqrt(hidden)
  const rows = gates * hidden
  return {
    w_ih: drawn(seed, [rows, inputs], bound),
    w_hh: drawn(seed + 1, [rows, hidden], bound),
    b_ih: drawn(seed + 2, [rows], bound),
    b_hh: drawn(seed + 3, [rows], bound),
  }
}

function linear(seed: number, inputs: number, outputs: number): LinearWeights {
  const bound = 1 / Math.sqrt(inputs)
  return { w: drawn(seed, [outputs, inputs], bound), b: drawn(seed + 1, [outputs], bound) }
}

/** Points on circles: `steps` of them to see, x [N, T, width], and the next one to predict, y [N, width]. */
function trajectories(count: number, steps: number, width: 1 | 2, seed: number): { x: Float32Array; y: Float32Array } {
  const u = uniforms(seed, 3 * count)
  const x = new Float32Array(count * steps * width)
  const y = new Float32Array(count * width)
  for (let i = 0; i < count; i++) {
    const start = 2 * Math.PI * u[3 * i]
    const turn = 0.2 + 0.4 * u[3 * i + 1]
    const radius = 0.5 + 0.5 * u[3 * i + 2]
    for (let t = 0; t <= steps; t++) {
      const angle = start + turn * t
      const point = [radius * Math.cos(angle), radius * Math.sin(angle)].slice(2 - width)
      if (t < steps) x.set(point, (i * steps + t) * width)
      else y.set(point, i * width)
    }
  }
  return { x, y }
}

function W1() {
  const [N, T, I, H, O] = [1000, 5, 2, 10, 2]
  const weights = { rnn: recurrent(101, I, H, 1), out: linear(105, H, O) }
  return { N, T, I, H, O, lr: 0.01, ...trajectories(N, T, I as 2, 11), ...weights }
}

function W1b() {
  const [N, T, I, H, O] = [1000, 5, 1, 5, 1]
  const weights = { inp: linear(201, I, H), hh: drawn(203, [H, H], 1 / Math.sqrt(H)), out: linear(205, H, O) }
  return { N, T, I, H, O, lr: 0.01, ...trajectories(N, T, I as 1, 12), ...weights }
}

function W2() {
  const [N, T, I, H, O] = [1000, 100, 1, 100, 1]
  const u = uniforms(13, 4 * N)
  const x = new Float32Array(N * T)
  const y = new Float32Array(N)
  for (let i = 0; i < N; i++) {
    const [first, second, a, b] = u.subarray(4 * i, 4 * i + 4)
    x[i * T + Math.floor(first * 50)] = a
    x[i * T + 50 + Math.floor(second * 50)] = b
    y[i] = a + b
  }
  return { N, T, I, H, O, lr: 0.001, x, y, rnn: recurrent(301, I, H, 1), out: linear(305, H, O) }
}

function W3() {
  const [B, T, V, E, H] = [32, 64, 96, 128, 256]
  const n = B * (T + 1)
  const letters = uniforms(14, 64 * 10)
  const order = uniforms(15, n)
  // A vocabulary of 64 words of 2 to 8 letters; symbol 0 is the space.
  const word = (k: number) =>
    Array.from({ length: 2 + Math.floor(letters[k * 10] * 7) }, (_, j) => 1 + Math.floor(letters[k * 10 + 1 + j] * 95))
  const text: number[] = []
  for (let k = 0; text.length < n; k++) text.push(...word(Math.floor(order[k] * 64)), 0)
  const ids = new Int32Array(B * T)
  const targets = new Int32Array(B * T)
  for (let b = 0; b < B; b++) {
    const line = text.slice(b * (T + 1), (b + 1) * (T + 1))
    ids.set(line.slice(0, T), b * T)
    targets.set(line.slice(1), b * T)
  }
  const weights = { emb: drawn(401, [V, E], 0.1), rnn: recurrent(402, E, H, 4), out: linear(406, H, V) }
  return { B, T, V, E, H, lr: 0.002, clip: 1, ids, targets, ...weights }
}

function W4(updateBias = 2) {
  const [B, T, V, E, H] = [32, 200, 20000, 64, 128]
  const u = uniforms(16, 2 * B * T)
  const ids = new Int32Array(B * T)
  const y = Float32Array.from({ length: B }, (_, b) => b % 2)
  for (let i = 0; i < B * T; i++) {
    const label = y[Math.floor(i / T)]
    // A fifth of the words tell the class: 0..49 or 50..99.
    ids[i] = u[2 * i] < 0.2 ? label * 50 + Math.floor(u[2 * i + 1] * 50) : Math.floor(u[2 * i + 1] * V)
  }
  const rnn = recurrent(502, E, H, 3)
  // The update gate starts open (long memory), or the gradient of the first words is nothing but denormals: that is W4d.
  for (let i = H; i < 2 * H; i++) rnn.b_hh.data[i] += updateBias
  return { B, T, V, E, H, lr: 0.001, ids, y, emb: drawn(501, [V, E], 0.1), rnn, out: linear(506, H, 1) }
}

function W5() {
  return { I: 64, H: 128, x: drawn(601, [1, 64], 1), rnn: recurrent(602, 64, 128, 4) }
}

/** Data and weights of each workload, made anew at each call. */
export const build = { W1, W1b, W2, W3, W4, W4d: () => W4(0), W5 }

/** What each is, for the tables. */
export const titles: Readonly<Record<string, string>> = {
  W1: "W1 trajectories, RNN(2, 10), batch 1000, 5 steps: one epoch",
  "W1-run": "W1-run: 1000 epochs of W1, model built inside the clock",
  W1b: "W1b the same by hand, op by op, H 5: one epoch",
  W2: "W2 adding problem, RNN(1, 100), batch 1000, 100 steps: one epoch",
  W3: "W3 character model, LSTM(128, 256), batch 32, 64 steps: one step",
  W4: "W4 sentiment, GRU(64, 128), batch 32, 200 steps, 20000 words: one step",
  W4d: "W4d: W4 from PyTorch's own start, gradients decay into denormals: one step",
  W5: "W5 LSTM(64, 128), one time step, batch 1, no gradient",
}

/** Tokens a step, where that is a meaningful rate. */
export const tokens: Readonly<Record<string, number>> = { W3: 2048, W4: 6400, W4d: 6400 }

/** All workloads, in the order of the tables. */
export const workloads = ["W1", "W1-run", "W1b", "W2", "W3", "W4", "W4d", "W5"] as const
export type Workload = (typeof workloads)[number]
