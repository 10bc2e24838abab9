// Products by tiles: a workgroup keeps a tile of a and one of b in its memory, each thread a block of the output in registers,
// and the next tiles are read while these are used.
import { param, type ShaderSource } from "../queue.js"
import { at, type Bound, type Cut, type Parts, partsOf } from "./finish.js"
import type { Problem } from "./problem.js"

/** A way to cut: a tile's rows and columns, a thread's rows and columns (multiples of four), and a tile's share of k. */
export interface TileForm {
  readonly rows: number
  readonly cols: number
  readonly each: 4 | 8
  readonly deep: number
  /** How much a thread gets done, relative to the largest form. */
  readonly speed: number
}

const forms: readonly TileForm[] = [
  { rows: 128, cols: 128, each: 8, deep: 8, speed: 1 },
  { rows: 64, cols: 64, each: 4, deep: 16, speed: 0.8 },
  { rows: 64, cols: 32, each: 4, deep: 16, speed: 0.65 },
  { rows: 32, cols: 64, each: 4, deep: 16, speed: 0.65 },
  { rows: 32, cols: 32, each: 4, deep: 16, speed: 0.5 },
  { rows: 64, cols: 16, each: 4, deep: 16, speed: 0.4 },
  { rows: 16, cols: 64, each: 4, deep: 16, speed: 0.4 },
]

// Workgroups that keep a large GPU busy.
const wantedGroups = 128

/** How one form cuts a problem. */
function cutBy({ m, n, k, batches }: Problem, { rows, cols, deep }: TileForm): Cut {
  const [tileRows, tileCols] = [Math.ceil(m / rows), Math.ceil(n / cols)]
  const tiles = tileRows * tileCols * batches
  const most = tiles < wantedGroups ? Math.floor(k / 256) : 1
  const splits = Math.max(1, Math.min(most, Math.floor((2 * wantedGroups) / tiles)))
  const share = Math.ceil(k / splits / deep) * deep
  const used = Math.ceil(k / share)
  return { rows: tileRows, cols: tileCols, splits: used, share, total: tiles * used }
}

/** The form that should finish first: least padding, and groups for the whole GPU. */
export function tileForm(problem: Problem): { form: TileForm; cut: Cut } {
  let best: { form: TileForm; cut: Cut } | null = null
  let least = Infinity
  for (const form of forms) {
    const cut = cutBy(problem, form)
    const work = cut.rows * form.rows * cut.cols * form.cols * problem.batches
    const idle = Math.max(1, wantedGroups / cut.total)
    const cost = (work / form.speed) * idle + (cut.splits > 1 ? work * 0.1 : 0)
    if (cost < least) [best, least] = [{ form, cut }, cost]
  }
  return best as { form: TileForm; cut: Cut }
}

/**
 * The start of an entry point for one workgroup a tile and share of k: `t` is the thread, `tile_row` and `tile_col` the tile, `k_first`
 * to `k_end` the share. `further` are more parameters of the entry point.
 */
export const groupEntry = (threads: number, further = ""): string => `
@compute @workgroup_size(${threads})
fn main(${further}
  @builtin(local_invocation_index) t: u32,
  @builtin(workgroup_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let group = id.x + id.y * groups.x;
  if (group >= ${param(at.total)}) { return; }
  let tile_col = group % ${param(at.cols)};
  let tile_row = (group / ${param(at.cols)}) % ${param(at.rows)};
  let share = group / (${param(at.cols)} * ${param(at.rows)});
  let batch = share % ${param(at.batches)};
  let part = share / ${param(at.batches)};
  place(batch);
  own = share * ${param(at.m)} * ${param(at.n)};
  let k_first = part * ${param(at.share)};
  let k_end = min(${param(at.k)}, k_first + ${param(at.share)});
`

/** How the tile of one operand is read: four neighbours along its rows (a) or columns (b) at a time. */
interface Load {
  /** Statements that read the part of the tile from `k0` on into registers, and that put these into the tile. */
  readonly fetch: string
  readonly store: string
  readonly declare: string
}

/** The threads of a workgroup, and the tile's share of k. */
interface Team {
  readonly deep: number
  readonly threads: number
}

function load({ quads, problem }: Bound, parts: Parts, name: "a" | "b", size: number, { deep, threads }: Team): Load {
  const { type } = parts
  const { start, step, quad } = parts.words(name)
  const { a, b } = problem
  const kFast = name === "a" ? Math.abs(a.col) <= Math.abs(a.row) : Math.abs(b.row) < Math.abs(b.col)
  const wide = size / 4
  const count = wide * deep
  const [declare, fetch, store]: string[][] = [[], [], []]
  const bound = param(name === "a" ? at.m : at.n)
  const tile = name === "a" ? `tile_row * ${size}u` : `tile_col * ${size}u`
  for (let i = 0; i * threads < count; i++) {
    const unit = i === 0 ? "t" : `(t + ${i * threads}u)`
    const [along, across] = kFast ? [`(${unit} / ${deep}u)`, `(${unit} % ${deep}u)`] : [`(${unit} % ${wide}u)`, `(${unit} / ${wide}u)`] // prettier-ignore
    const guard = (i + 1) * threads > count ? `if (t < ${count - i * threads}u) ` : ""
    const register = `${name}${i}`
    declare.push(`var ${register} = vec4<${type}>(0);`)
    const reads = Array.from({ length: 4 }, (_, c) => {
      const position = `head + ${c}u`
      const value = name === "a" ? parts.readA(position, "k") : parts.readB("k", position)
      return `if (head + ${c}u < ${bound}) { ${register}[${c}] = ${value}; }`
    })
    // Rows or columns that are read four at a time are a multiple of four: all four exist, or none.
    const read =
      quads[name] === "lines"
        ? `if (k < k_end && head < ${bound}) { ${register} = ${quad(`${start("head")} + k * ${step}`)}; }`
        : `if (k < k_end) { ${reads.join(" ")} }`
    fetch.push(`{ let head = ${tile} + ${along} * 4u; let k = k0 + ${across}; ${register} = vec4<${type}>(0);
      ${read} }`)
    store.push(`${guard}{ tile_${name}[${across} * ${wide + 1}u + ${along}] = ${register}; }`)
  }
  return { declare: declare.join("\n  "), fetch: fetch.join("\n    "), store: store.join("\n    ") }
}

export function tiledSource(one: Bound, { rows, cols, each, deep }: TileForm): ShaderSource {
  const parts = partsOf(one)
  const { type, functions } = parts
  const threads = (rows / each) * (cols / each)
  const loadA = load(one, parts, "a", rows, { deep, threads })
  const loadB = load(one, parts, "b", cols, { deep, threads })
  const quads = each / 4
  const across = cols / each
  const list = (count: number, text: (i: number) => string): string => Array.from({ length: count }, (_, i) => text(i)).join(" ") // prettier-ignore
  const sum = (r: number, q: number): string => `sum${r}_${q}`
  const sums = list(each, (r) => list(quads, (q) => `var ${sum(r, q)} = vec4<${type}>(0);`))
  // A thread's quads lie apart by the threads beside it: neighbours read neighbouring words of the tile.
  const quadAt = (q: number, count: number, thread: string): string => `${q * count}u + ${thread}`
  const step = `
      ${list(quads, (q) => `let x${q} = tile_a[kk * ${rows / 4 + 1}u + ${quadAt(q, rows / each, "tr")}];`)}
      ${list(quads, (q) => `let y${q} = tile_b[kk * ${cols / 4 + 1}u + ${quadAt(q, across, "tc")}];`)}
      ${list(each, (r) => list(quads, (q) => `${sum(r, q)} += x${r >> 2}[${r & 3}] * y${q};`))}`
  const cases = list(each, (r) => `case ${r}u: { ${list(quads, (q) => `z${q} = ${sum(r, q)};`)} }`)
  const ends = list(quads, (q) =>
    list(4, (c) => `{ let col = tile_col * ${cols}u + (${quadAt(q, across, "tc")}) * 4u + ${c}u;
      if (col < ${param(at.n)}) { finish(row, col, z${q}[${c}]); } }`)) // prettier-ignore
  const code = `${functions}
var<workgroup> tile_a: array<vec4<${type}>, ${deep * (rows / 4 + 1)}>;
var<workgroup> tile_b: array<vec4<${type}>, ${deep * (cols / 4 + 1)}>;
${groupEntry(threads)}
  let tr = t / ${across}u;
  let tc = t % ${across}u;
  ${sums}
  ${loadA.declare}
  ${loadB.declare}
  var k0 = k_first;
  ${loadA.fetch}
  ${loadB.fetch}
  for (var k_tile = k_first; k_tile < k_end; k_tile += ${deep}u) {
    ${loadA.store}
    ${loadB.store}
    workgroupBarrier();
    k0 = k_tile + ${deep}u;
    ${loadA.fetch}
    ${loadB.fetch}
    for (var kk = 0u; kk < ${deep}u; kk++) {${step}
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < ${each}u; r++) {
    let row = tile_row * ${rows}u + ((r / 4u) * ${rows / each}u + tr) * 4u + r % 4u;
    if (row >= ${param(at.m)}) { continue; }
    ${list(quads, (q) => `var z${q} = vec4<${type}>(0);`)}
    switch r { ${cases} default: {} }
    ${ends}
  }
}`
  return { name: "matmul", kinds: one.bindings.kinds, code }
}
