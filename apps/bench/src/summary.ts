// From single runs to rows: medians over rounds, their spread, and the tables that show them. Pure: reads no clock, no file.
import { markdownTable } from "markdown-table"
import { operations } from "./operations.js"
import { type Measured, median } from "./timing.js"
import { titles, tokens, workloads } from "./workloads.js"

/** One case of one process. */
export interface Run extends Measured {
  readonly peer: string
  readonly round: number
  /** Share of the core that others used meanwhile; null where nobody can tell. */
  readonly foreign: number | null
  readonly others: number | null
  readonly wall_s: number
}

/** One row: all rounds of one case. */
export interface Result {
  readonly workload: string
  readonly peer: string
  readonly error?: string
  /** Median over rounds of the median step. */
  readonly median_ms?: number
  /** The fastest step of all rounds. */
  readonly min_ms?: number
  /** The slowest first step. */
  readonly first_ms?: number | null
  readonly loss?: number | null
  readonly loss_at_3?: number | null
  readonly check?: number
  readonly steps?: number
  readonly rounds?: number
  /** (slowest - fastest) / median of the rounds' medians. */
  readonly spread?: number
  /** No round had the core to itself. */
  readonly noisy?: boolean
}

/** Above this share of foreign load a round does not count, if another one is clean. */
export const foreignLimit = 0.1

const order: readonly string[] = [...workloads, ...operations.map(({ name }) => name)]

/** One row for each workload and peer, in the order of the tables. */
export function summarise(runs: readonly Run[]): Result[] {
  const peers = [...new Set(runs.map(({ peer }) => peer))]
  return order.flatMap((workload) =>
    peers.flatMap((peer) => {
      const own = runs.filter((run) => run.peer === peer && run.workload === workload)
      return own.length === 0 ? [] : [row(workload, peer, own)]
    }),
  )
}

const medianOf = ({ median_ms }: Run): number => median_ms ?? NaN

function row(workload: string, peer: string, own: readonly Run[]): Result {
  const good = own.filter((run) => !run.error)
  if (good.length === 0) return { workload, peer, error: own[0].error }
  const clean = good.filter(({ foreign }) => foreign === null || foreign < foreignLimit)
  const counted = clean.length > 0 ? clean : good
  const times = counted.map(medianOf)
  const last = counted[counted.length - 1]
  const firsts = counted.flatMap(({ first_ms }) => first_ms ?? [])
  return {
    workload,
    peer,
    median_ms: median(times),
    min_ms: Math.min(...good.map(({ min_ms }) => min_ms ?? NaN)),
    first_ms: firsts.length > 0 ? Math.max(...firsts) : null,
    loss: last.loss ?? null,
    loss_at_3: last.losses?.[3] ?? null,
    ...(last.check !== undefined && { check: last.check }),
    steps: last.steps,
    rounds: counted.length,
    spread: (Math.max(...times) - Math.min(...times)) / median(times),
    ...(clean.length === 0 && { noisy: true }),
  }
}

/** Four digits, without an exponent where a reader would not want one. */
export function short(x: number | null | undefined, digits = 4): string {
  if (x === null || x === undefined || Number.isNaN(x)) return "-"
  if (Math.abs(x) >= 1e4) return String(Math.round(x))
  return x !== 0 && Math.abs(x) < 1e-3 ? x.toExponential(digits - 1) : String(Number(x.toPrecision(digits)))
}

const percent = ({ spread = 0, noisy }: Result): string => `${(100 * spread).toFixed(0)}%${noisy ? " !" : ""}`
const ratio = (time: number, base: number | undefined): string => (base === undefined ? "-" : short(time / base, 3))

/** One Markdown table a workload, then one for all operations. `base` is the peer to compare with. */
export function tables(results: readonly Result[], base: string): string {
  const parts = workloads.flatMap((workload) => {
    const own = results.filter((result) => result.workload === workload)
    return own.length === 0 ? [] : [`### ${titles[workload]}\n\n${workloadTable(workload, own, base)}`]
  })
  const ops = operationTable(results)
  if (ops) parts.push(`### Single operations, µs a call (G/s: operations or elements a nanosecond)\n\n${ops}`)
  return parts.join("\n\n")
}

function workloadTable(workload: string, own: readonly Result[], base: string): string {
  const baseTime = own.find(({ peer }) => peer === base)?.median_ms
  const [unit, scale] = workload === "W5" ? (["µs", 1e3] as const) : (["ms", 1] as const)
  const rate = tokens[workload]
  const head = ["", `median ${unit}`, "min", `x ${base}`, ...(rate ? ["tokens/s"] : []), "first ms"]
  head.push(workload === "W5" ? "check" : "loss at 3", "final loss", "steps", "rounds", "spread")
  const sorted = [...own].sort((a, b) => (a.median_ms ?? Infinity) - (b.median_ms ?? Infinity))
  const rows = sorted.flatMap((result) => {
    const { median_ms: time } = result
    if (time === undefined) return []
    const cells = [result.peer, short(time * scale), short((result.min_ms ?? NaN) * scale), ratio(time, baseTime)]
    if (rate) cells.push(String(Math.round((rate / time) * 1e3)))
    cells.push(short(result.first_ms), short(workload === "W5" ? result.check : result.loss_at_3), short(result.loss))
    return [[...cells, String(result.steps ?? "-"), String(result.rounds), percent(result)]]
  })
  const failures = sorted.flatMap(({ peer, error }) => (error ? [`- ${peer} fails: ${error}`] : []))
  const table = rows.length > 0 ? [aligned([head, ...rows])] : []
  return [...table, ...(failures.length > 0 ? [failures.join("\n")] : [])].join("\n\n")
}

/** The first column is names, the others numbers. */
const aligned = ([head, ...rows]: string[][]): string =>
  markdownTable([head, ...rows], { align: [null, ...head.slice(1).map(() => "r")] })

function operationTable(results: readonly Result[]): string | null {
  const own = operations.map((operation) => ({
    ...operation,
    rows: results.filter(({ workload }) => workload === operation.name),
  }))
  const peers = [...new Set(own.flatMap(({ rows }) => rows.map(({ peer }) => peer)))]
  if (peers.length === 0) return null
  const rows = own.flatMap(({ name, work, rows: found }) => {
    if (found.length === 0) return []
    const cells = peers.flatMap((peer) => {
      const result = found.find((one) => one.peer === peer)
      if (result?.median_ms === undefined) return [result?.error ? "fails" : "-", "-"]
      return [short(result.median_ms * 1e3) + (result.noisy ? " !" : ""), short(work / result.median_ms / 1e6, 3)]
    })
    return [[name, ...cells]]
  })
  const head = ["", ...peers.flatMap((peer) => [peer, "G/s"])]
  return aligned([head, ...rows])
}
