// Products for adapters on which threads should not wait for each other: every thread adds a block of the output in registers,
// and reads what it needs from the operands themselves. There a read costs as much as many multiplications, so blocks are large.
import { param, type ShaderSource } from "../queue.js"
import { abreast, blockCost, blockOfSums, type Factor, type Quads } from "./block.js"
import { at, type Bound, type Cut, type Parts, partsOf } from "./finish.js"
import type { Problem } from "./problem.js"

/** Rows and columns of a thread. */
export interface BlockForm {
  readonly rows: 4 | 8 | 16
  readonly cols: 4 | 8
}

const forms: readonly BlockForm[] = [
  { rows: 16, cols: 8 },
  { rows: 8, cols: 8 },
  { rows: 8, cols: 4 },
  { rows: 4, cols: 8 },
  { rows: 4, cols: 4 },
]
/** Threads of a workgroup, each with its own block. */
export const blockThreads = 32
/**
 * What it costs a run that a sum more is compiled: 1 to 2 ms in SwiftShader, of 4 ns a multiplication of four threads, and shared by a
 * thousand runs. Small products, whose time nobody notices, get small kernels.
 */
const compileCost = 300

const positions = ({ m, n, batches }: Problem, { rows, cols }: BlockForm): number =>
  Math.ceil(m / rows) * Math.ceil(n / cols) * batches

/** The form that takes least, and the shares of k that make threads enough to go abreast. */
export function blockForm(problem: Problem): { form: BlockForm; cut: Cut } {
  let best = forms[0]
  let least = Infinity
  for (const form of forms) {
    const { rows, cols } = form
    const run = Math.max(1, positions(problem, form) / abreast) * blockCost(rows, cols)
    const cost = run + (compileCost * rows * cols) / Math.max(1, problem.k)
    if (cost < least) [best, least] = [form, cost]
  }
  const { m, n, k, batches } = problem
  const blocks = positions(problem, best)
  const splits = Math.max(1, Math.min(Math.floor((4 * abreast) / blocks), Math.floor(k / 64)))
  const share = Math.ceil(k / splits / 4) * 4
  const used = Math.ceil(k / share)
  const [rows, cols] = [Math.ceil(m / best.rows), Math.ceil(n / best.cols)]
  return { form: best, cut: { rows, cols, splits: used, share, total: rows * cols * batches * used } }
}

const entry = `
@compute @workgroup_size(${blockThreads})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let block = id.x + id.y * groups.x * ${blockThreads}u;
  if (block >= ${param(at.total)}) { return; }
  let tile_col = block % ${param(at.cols)};
  let tile_row = (block / ${param(at.cols)}) % ${param(at.rows)};
  let share = block / (${param(at.cols)} * ${param(at.rows)});
  place(share % ${param(at.batches)});
  own = share * ${param(at.m)} * ${param(at.n)};
  let k_first = share / ${param(at.batches)} * ${param(at.share)};
  let k_end = min(${param(at.k)}, k_first + ${param(at.share)});
`

/** Lines beyond the last are the last ones once more: what comes of them is not kept. */
function factor(parts: Parts, name: "a" | "b", lines: number, quads: Quads): Factor {
  const words = parts.words(name)
  const count = param(name === "a" ? at.m : at.n)
  const first = name === "a" ? "row0" : "col0"
  const last = quads === "lines" ? 4 : 1
  return { ...words, name, lines, quads, start: (i) => words.start(`min(${first} + ${i}u, ${count} - ${last}u)`) }
}

export function blocksSource(one: Bound, { rows, cols }: BlockForm): ShaderSource {
  const parts = partsOf(one)
  const { functions, type } = parts
  const list = (count: number, text: (i: number) => string, gap = " "): string => Array.from({ length: count }, (_, i) => text(i)).join(gap) // prettier-ignore
  const [a, b] = [factor(parts, "a", rows, one.quads.a), factor(parts, "b", cols, one.quads.b)]
  const { text, sum } = blockOfSums(a, b, type, "k_first", "k_end")
  // One row at a time: what ends an element is in the text once a column, not once a sum.
  const code = `${functions}
${entry}
  let row0 = tile_row * ${rows}u;
  let col0 = tile_col * ${cols}u;
  ${text}
  for (var r = 0u; r < min(${rows}u, ${param(at.m)} - row0); r++) {
    ${list(cols, (c) => `var z${c} = ${sum(0, c)};`)}
    switch r {
      ${list(rows - 1, (r) => `case ${r + 1}u: { ${list(cols, (c) => `z${c} = ${sum(r + 1, c)};`)} }`, "\n      ")}
      default: {}
    }
    ${list(cols, (c) => `if (col0 + ${c}u < ${param(at.n)}) { finish(row0 + r, col0 + ${c}u, z${c}); }`, "\n    ")}
  }
}`
  return { name: "matmul", kinds: one.bindings.kinds, code }
}
