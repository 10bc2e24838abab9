// The measurement: rounds over workloads over peers, each case in its own pinned process, one after the other.
import { execute, quiet } from "./machine.js"
import { operations } from "./operations.js"
import type { Peer } from "./peers.js"
import { foreignLimit, type Run } from "./summary.js"
import type { Measured } from "./timing.js"
import { workloads } from "./workloads.js"

/** How to measure. */
export interface Plan {
  readonly peers: readonly Peer[]
  /** Workloads, and `ops` for the single operations. */
  readonly workloads: readonly string[]
  readonly rounds: number
  readonly core: number
  /** Seconds that a process may take. */
  readonly timeout: number
  /** Seconds to wait for a free core before each process. */
  readonly patience: number
  readonly env: NodeJS.ProcessEnv
  /** Told of each process, and given all runs so far. */
  readonly report: (line: string, runs: readonly Run[]) => void
}

/** A step longer than this, or a process longer than that, is measured once: more rounds would take the whole day. */
const slowStep_ms = 3000
const slowProcess_s = 90

/** All runs. Rounds are interleaved, so that a machine that drifts does so for everybody. */
export async function measure(plan: Plan): Promise<Run[]> {
  const runs: Run[] = []
  const names = [...workloads, "ops"].filter((name) => plan.workloads.includes(name))
  for (let round = 1; round <= plan.rounds; round++) {
    for (const name of names) {
      for (const peer of plan.peers) {
        if (!peer.can.includes(name) || settled(runs, peer, name)) continue
        const made = await one(plan, peer, name, round)
        runs.push(...made)
        plan.report(describe(round, name, peer, made), runs)
      }
    }
  }
  return runs
}

const casesOf = (name: string): string[] => (name === "ops" ? operations.map((operation) => operation.name) : [name])

/** True if another round would tell nothing new, or take too long. */
function settled(runs: readonly Run[], peer: Peer, name: string): boolean {
  const before = runs.filter((run) => run.peer === peer.name && casesOf(name).includes(run.workload))
  if (before.length > 0 && before.every(({ error }) => error)) return true
  return name !== "ops" && before.some((run) => (run.median_ms ?? 0) > slowStep_ms || run.wall_s > slowProcess_s)
}

async function one(plan: Plan, peer: Peer, name: string, round: number): Promise<Run[]> {
  await quiet(plan.core, plan.patience)
  const wanted = casesOf(name)
  const execution = await execute([...peer.command, ...wanted], {
    core: peer.free ? undefined : plan.core,
    seconds: plan.timeout,
    env: plan.env,
  })
  const lines = parse(execution.stdout)
  const why = execution.code === null ? `no result within ${plan.timeout} s` : complaint(execution.stderr)
  const { foreign, others, wall_s } = execution
  return wanted.map((workload) => {
    const found = lines.find((line) => line.workload === workload)
    return { peer: peer.name, round, foreign, others, wall_s, ...(found ?? { workload, error: why }) }
  })
}

/** The lines of JSON among whatever else a library prints. */
function parse(stdout: string): Measured[] {
  return stdout.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return []
    try {
      const value = JSON.parse(line) as Measured
      return value.error || Number.isFinite(value.median_ms) ? [value] : [{ ...value, error: "it gave no number" }]
    } catch {
      return []
    }
  })
}

/** The line of an error message that says most. */
function complaint(stderr: string): string {
  const lines = stderr.trim().split("\n")
  return (lines.find((line) => /Error/.test(line)) ?? (lines[lines.length - 1] || "no output")).slice(0, 200)
}

function describe(round: number, name: string, peer: Peer, made: readonly Run[]): string {
  const [first] = made
  const { foreign } = first
  const time = name === "ops" ? `${made.filter(({ error }) => !error).length} operations` : `${first.median_ms} ms`
  const load =
    foreign === null ? "" : `, ${(100 * foreign).toFixed(0)}% foreign load${foreign < foreignLimit ? "" : " !"}`
  const result = first.error && made.every(({ error }) => error) ? `fails: ${first.error}` : time
  return `[${round}] ${name} ${peer.name}: ${result} (${first.wall_s.toFixed(0)} s${load})`
}
