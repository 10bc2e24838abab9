// Products with few columns, such as a matrix times a vector: no element of the matrix is used often enough to be worth a
// tile. Threads of a workgroup share the terms of its rows and add their sums in a fixed order.
import { param, type ShaderSource } from "../queue.js"
import { subgroupBuiltin, treeSource } from "../tree.js"
import { at, type Bound, type Cut, partsOf } from "./finish.js"
import type { Problem } from "./problem.js"
import { groupEntry } from "./tiled.js"

const threads = 256
/** Most columns of such a product. */
export const mostColumns = 4

/** How the threads of a workgroup lie: `lanes` share the terms of each row; rows or terms are beside each other. */
export interface LineForm {
  readonly cols: number
  readonly lanes: number
  readonly along: "row" | "k"
}

const powerFrom = (x: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, x)))

/** The form of a product with at most `mostColumns` columns. */
export function lineForm({ m, n, k, a }: Problem): LineForm {
  const along = Math.abs(a.col) <= Math.abs(a.row) ? "k" : "row"
  const wanted = along === "k" ? Math.min(64, powerFrom(k / 4)) : k >= 64 ? 8 : 1
  // Few rows leave threads for more lanes.
  const lanes = Math.min(powerFrom(k), Math.max(wanted, threads / powerFrom(m)), threads)
  return { cols: n, lanes, along }
}

/** How the problem is cut: enough groups to fill a GPU, as long as each has terms enough. */
export function lineCut({ m, k, batches }: Problem, { lanes }: LineForm): Cut {
  const rows = Math.ceil(m / (threads / lanes))
  const most = Math.floor(k / Math.max(512, lanes * 8))
  const splits = Math.max(1, Math.min(most, Math.floor(256 / (rows * batches))))
  const share = Math.ceil(k / splits)
  return { rows, cols: 1, splits: Math.ceil(k / share), share, total: rows * batches * Math.ceil(k / share) }
}

/** True if the threads that share a row stand beside each other. */
const isBeside = ({ along, lanes }: LineForm): boolean => along === "k" && lanes > 1

/** `subgroups`: threads beside each other may use them. */
export function lineSource(one: Bound, form: LineForm, subgroups: boolean): ShaderSource {
  const { cols, lanes, along } = form
  const { functions, type, readA, readB } = partsOf(one)
  const shuffles = subgroups && isBeside(form)
  const rows = threads / lanes
  const [lane, line] = along === "k" ? [`t % ${lanes}u`, `t / ${lanes}u`] : [`t / ${rows}u`, `t % ${rows}u`]
  const each = (text: (c: number) => string, gap = "\n      "): string => Array.from({ length: cols }, (_, c) => text(c)).join(gap) // prettier-ignore
  const place = (c: number, at: string): string => `sums[${c * threads}u + ${at} * ${rows}u + line]`
  const tree = {
    threads: `${lanes}u`,
    place: "lane",
    put: each((c) => `${place(c, "lane")} = sum${c};`),
    join: (at: string) => each((c) => `sum${c} += ${place(c, at)};`),
    joinBehind: (behind: (register: string) => string) => each((c) => `sum${c} += ${behind(`sum${c}`)};`),
  }
  const code = `${functions}
var<workgroup> sums: array<${type}, ${cols * threads}>;
${groupEntry(threads, shuffles ? subgroupBuiltin : "")}
  let lane = ${lane};
  let line = ${line};
  let row = tile_row * ${rows}u + line;
  ${each((c) => `var sum${c} = ${type}(0);`)}
  if (row < ${param(at.m)}) {
    for (var k = k_first + lane; k < k_end; k += ${lanes}u) {
      let x = ${readA("row", "k")};
      ${each((c) => `sum${c} += x * ${readB("k", `${c}u`)};`)}
    }
  }
  ${treeSource(tree, shuffles)}
  if (lane == 0u && row < ${param(at.m)}) {
    ${each((c) => `finish(row, ${c}u, sum${c});`)}
  }
}`
  return { name: "matmul", kinds: one.bindings.kinds, subgroups: shuffles, code }
}
