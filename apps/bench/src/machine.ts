// Runs one process pinned to one core and says how much of that core others took meanwhile. Linux tells both; elsewhere
// processes run unpinned and nothing is said.
import { spawn, spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"

interface Ticks {
  readonly busy: number
  readonly all: number
}

const hasProc = existsSync("/proc/stat")

/** True if processes can be pinned here. */
export const canPin = hasProc && spawnSync("taskset", ["--version"], { stdio: "ignore" }).status === 0

/** Ticks of each core since boot: user, nice, system, idle, iowait, irq, softirq, steal (man 5 proc). */
function cores(): Ticks[] {
  if (!hasProc) return []
  const lines = readFileSync("/proc/stat", "utf8").split("\n")
  return lines.filter((line) => /^cpu\d/.test(line)).map(ticksOf)
}

function ticksOf(line: string): Ticks {
  const ticks = line.split(/\s+/).slice(1, 9).map(Number)
  const all = ticks.reduce((a, b) => a + b, 0)
  return { busy: all - ticks[3] - ticks[4], all }
}

/** Ticks of our children that have ended. */
function childTicks(): number {
  if (!hasProc) return 0
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ")[1].split(" ")
  return Number(fields[13]) + Number(fields[14])
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const share = (before: Ticks, after: Ticks, own = 0): number =>
  Math.max(0, (after.busy - before.busy - own) / Math.max(1, after.all - before.all))

/** Waits until the core is free, `seconds` at most. */
export async function quiet(core: number, seconds: number): Promise<void> {
  if (!canPin) return
  for (let i = 0; i < seconds; i++) {
    const before = cores()[core]
    await sleep(1000)
    if (share(before, cores()[core]) < 0.15) return
  }
}

/** What a process printed, and what the machine did meanwhile. */
export interface Execution {
  readonly stdout: string
  readonly stderr: string
  /** Null: killed after the time allowed. */
  readonly code: number | null
  readonly wall_s: number
  /** Share of the core that others used, or null where nobody tells. */
  readonly foreign: number | null
  /** The busiest other core. */
  readonly others: number | null
}

/** Where and how long. */
export interface Limits {
  /** Left out: the process goes where ours may, and nobody tells of foreign load. */
  readonly core?: number
  readonly seconds: number
  readonly env: NodeJS.ProcessEnv
}

/** Runs a command to its end, pinned if the machine can; the whole process group is killed after `seconds`. */
export async function execute(command: readonly string[], { core, seconds, env }: Limits): Promise<Execution> {
  const pinned = canPin && core !== undefined
  const [file, ...args] = pinned ? ["taskset", "-c", String(core), ...command] : command
  const before = cores()
  const ownBefore = childTicks()
  const start = performance.now()
  const { stdout, stderr, code } = await finished(file, args, seconds, env)
  const after = cores()
  const own = childTicks() - ownBefore
  const rest = after.flatMap((ticks, i) => (i === core ? [] : share(before[i], ticks)))
  return {
    stdout,
    stderr,
    code,
    wall_s: (performance.now() - start) / 1e3,
    foreign: pinned ? share(before[core], after[core], own) : null,
    others: pinned ? Math.max(0, ...rest) : null,
  }
}

function finished(
  file: string,
  args: readonly string[],
  seconds: number,
  env: NodeJS.ProcessEnv,
): Promise<Pick<Execution, "stdout" | "stderr" | "code">> {
  return new Promise((resolve) => {
    // A group of its own, so that a timeout reaches the children of taskset too.
    const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (data) => (stdout += data))
    child.stderr.on("data", (data) => (stderr += data))
    const stop = (): void => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL")
    }
    const timer = setTimeout(stop, seconds * 1e3)
    process.once("exit", stop)
    const end = (code: number | null): void => {
      clearTimeout(timer)
      process.off("exit", stop)
      resolve({ stdout, stderr, code })
    }
    child.on("error", (error) => {
      stderr += `Error: ${error.message}`
      end(-1)
    })
    child.on("close", (code) => end(code))
  })
}
