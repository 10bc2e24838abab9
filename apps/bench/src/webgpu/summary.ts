// From single runs to rows and tables, for the cases on a GPU. Pure: reads no clock, no file.
import { markdownTable } from "markdown-table"
import { short } from "../summary.js"
import { median } from "../timing.js"
import { type GpuCase, gpuCases } from "./cases.js"
import type { Counts } from "./counters.js"
import type { GpuRun } from "./run.js"

/** One row: all rounds of one case. */
export interface GpuResult {
  readonly workload: string
  readonly peer: string
  readonly adapter?: string
  readonly error?: string
  /** Median over rounds of the median step. */
  readonly median_ms?: number
  readonly min_ms?: number
  /** The slowest first step. */
  readonly first_ms?: number
  /** Loss at step 3, or element [0, 0] of the product. */
  readonly value?: number
  /** The value is the expected one, to four digits. */
  readonly right?: boolean
  readonly counts?: Counts
  readonly steps?: number
  readonly rounds?: number
  /** (slowest - fastest) / median, of the rounds' medians, or of the steps of the only round. */
  readonly spread?: number
}

/** One row for each case and peer, in the order of the tables. */
export function summariseGpu(runs: readonly GpuRun[]): GpuResult[] {
  const peers = [...new Set(runs.map(({ peer }) => peer))]
  return gpuCases().flatMap((one) =>
    peers.flatMap((peer) => {
      const own = runs.filter((run) => run.peer === peer && run.workload === one.name)
      return own.length === 0 ? [] : [row(one, peer, own)]
    }),
  )
}

function row({ name: workload, expected }: GpuCase, peer: string, own: readonly GpuRun[]): GpuResult {
  const good = own.filter(({ error }) => !error)
  if (good.length === 0) return { workload, peer, adapter: own[0].adapter, error: own[0].error }
  const medians = good.map(({ median_ms = NaN }) => median_ms)
  const last = good[good.length - 1]
  const value = last.check ?? last.losses?.[3] ?? NaN
  return {
    workload,
    peer,
    adapter: last.adapter,
    median_ms: median(medians),
    min_ms: Math.min(...good.map(({ min_ms = NaN }) => min_ms)),
    first_ms: Math.max(...good.map(({ first_ms = NaN }) => first_ms)),
    value,
    right: agrees(value, expected),
    counts: last.counts,
    steps: last.steps,
    rounds: good.length,
    spread: spreadOf(good, medians),
  }
}

/** A single step has none. */
function spreadOf([first, ...rest]: readonly GpuRun[], medians: readonly number[]): number | undefined {
  if (rest.length > 0) return (Math.max(...medians) - Math.min(...medians)) / median(medians)
  return (first.steps ?? 0) > 1 ? first.spread : undefined
}

/** Equal to four digits, or as near as rounding of the fourth allows. */
export const agrees = (value: number, expected: number): boolean =>
  Math.abs(value - expected) <= 10 ** (Math.floor(Math.log10(Math.abs(expected))) - 3)

/** One Markdown table a case. `base` is the peer to compare with. */
export function gpuTables(results: readonly GpuResult[], base: string): string {
  const parts = gpuCases().flatMap((one) => {
    const own = results.filter(({ workload }) => workload === one.name)
    return own.length === 0 ? [] : [`### ${one.title}\n\n${table(one, own, base)}`]
  })
  return parts.join("\n\n")
}

function table({ expected, work }: GpuCase, own: readonly GpuResult[], base: string): string {
  const baseTime = own.find(({ peer }) => peer === base)?.median_ms
  const valueName = `${work ? "[0, 0]" : "loss at 3"}: ${short(expected)}`
  const head = ["", "median ms", "min", `x ${base}`, ...(work ? ["GFLOP/s"] : []), "first ms", valueName]
  head.push("dispatches", "submits", "writes", "steps", "rounds", "spread")
  const sorted = [...own].sort((a, b) => (a.median_ms ?? Infinity) - (b.median_ms ?? Infinity))
  const rows = sorted.flatMap((result) => {
    const { median_ms: time, counts, spread } = result
    if (time === undefined) return []
    const cells = [result.peer, short(time), short(result.min_ms), baseTime ? short(time / baseTime, 3) : "-"]
    if (work) cells.push(short(work / time / 1e6, 3))
    cells.push(short(result.first_ms), short(result.value) + (result.right ? "" : " ≠"))
    cells.push(...[counts?.dispatches, counts?.submits, counts?.writes].map((n) => String(n ?? "-")))
    return [
      [
        ...cells,
        String(result.steps),
        String(result.rounds),
        spread === undefined ? "-" : `${(100 * spread).toFixed(0)}%`,
      ],
    ]
  })
  const failures = sorted.flatMap(({ peer, error }) => (error ? [`- ${peer} fails: ${error}`] : []))
  const align = [null, ...head.slice(1).map(() => "r")]
  return [...(rows.length > 0 ? [markdownTable([head, ...rows], { align })] : []), failures.join("\n")]
    .filter(Boolean)
    .join("\n\n")
}
