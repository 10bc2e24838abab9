// The measurement: rounds over cases over peers. Each case has a browser and a page of its own, or a process in Node.
import { openBrowser, serve, softwareVulkan, swiftshaderFlags } from "@rondo/conformance/browser"
import { rmSync } from "node:fs"
import { loadavg } from "node:os"
import { execute } from "../machine.js"
import { bundleFor, bundleForNode, type PageName } from "./bundle.js"
import { type GpuCase, gpuCases } from "./cases.js"
import type { Answer } from "./page.js"
import type { GpuPlan } from "./timing.js"

/** Who is measured, and in which page; null: in Node, without a browser. */
export const gpuPeers: Readonly<Record<string, PageName | null>> = {
  "rondo webgpu": "rondo",
  "rondo webgpu (Dawn in Node)": null,
  "tfjs-webgpu": "tfjs",
  "jax-js webgpu": "jax",
}

/** One case in one page or process. */
export interface GpuRun extends Partial<Answer> {
  readonly workload: string
  readonly peer: string
  readonly round: number
  /** Processes that wanted a core, on average over the last minute, when it began. */
  readonly load: number
  readonly wall_s: number
  /** What reached the page's console as a warning or an error. */
  readonly complaints?: string
}

/** How to measure. */
export interface GpuOptions {
  readonly peers: readonly string[]
  readonly cases: readonly string[]
  readonly rounds: number
  readonly plan: GpuPlan
  /** Seconds that one case may take. */
  readonly timeout: number
  /** The machine's own adapter, not SwiftShader. */
  readonly gpu: boolean
  readonly peerFolder: string
  /** Told of each case, and given all runs so far. */
  readonly report: (line: string, runs: readonly GpuRun[]) => void
}

/** A case whose step takes longer, or whose run does, is measured once: more rounds would take the whole day. */
const slowStep_ms = 3000
const slowRun_s = 120

/** How Chromium is told to use the machine's GPU. Its blocklist is for games in pages, not for a benchmark. */
const gpuFlags: readonly string[] = [
  "--enable-unsafe-webgpu",
  "--ignore-gpu-blocklist",
  ...(process.platform === "linux" ? ["--enable-features=Vulkan", "--use-angle=vulkan"] : []),
]

type Runner = (name: string) => Promise<Partial<Answer> & { readonly complaints?: string }>

/** All runs. Rounds are interleaved, so that a machine that drifts does so for everybody. */
export async function measureGpu(options: GpuOptions): Promise<GpuRun[]> {
  const folders: string[] = []
  const runners = new Map<string, Runner>()
  for (const peer of options.peers) {
    const page = gpuPeers[peer]
    if (page) runners.set(peer, await pageRunner(page, options))
    else {
      const { folder, program } = await bundleForNode()
      folders.push(folder)
      process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
      runners.set(peer, await nodeRunner(program, options))
    }
  }
  const runs: GpuRun[] = []
  const wanted = gpuCases().filter(({ name }) => options.cases.includes(name))
  for (let round = 1; round <= options.rounds; round++) {
    for (const one of wanted) {
      for (const [peer, runner] of runners) {
        if (settled(runs, peer, one)) continue
        const run = await measureOne(runner, one.name, peer, round)
        runs.push(run)
        options.report(describe(run), runs)
      }
    }
  }
  return runs
}

/** True if another round would tell nothing new, or take too long. */
function settled(runs: readonly GpuRun[], peer: string, { name }: GpuCase): boolean {
  const before = runs.filter((run) => run.peer === peer && run.workload === name)
  return before.some(({ error, median_ms = 0, wall_s }) => error || median_ms > slowStep_ms || wall_s > slowRun_s)
}

async function measureOne(runner: Runner, workload: string, peer: string, round: number): Promise<GpuRun> {
  const load = loadavg()[0]
  const begin = performance.now()
  let made: Awaited<ReturnType<Runner>>
  try {
    made = await runner(workload)
  } catch (error) {
    made = { error: (error as Error).message.split("\n")[0].slice(0, 300) }
  }
  return { ...made, workload, peer, round, load, wall_s: (performance.now() - begin) / 1e3 }
}

async function pageRunner(page: PageName, { gpu, plan, timeout, peerFolder }: GpuOptions): Promise<Runner> {
  const files = await bundleFor(page, peerFolder)
  return async (name) => {
    const browser = await openBrowser(gpu ? gpuFlags : swiftshaderFlags)
    // No content security policy: peers may compile code, which Rondo does without.
    const site = await serve(files, {
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    })
    let timer: NodeJS.Timeout | undefined
    try {
      const opened = await browser.open(site.url)
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no result within ${timeout} s`)), timeout * 1e3)
      })
      const call = opened.evaluate<Answer>(`rondoBench(${JSON.stringify(name)}, ${JSON.stringify(plan)})`)
      const complaints = () => opened.complaints().slice(0, 3).join("\n").slice(0, 500)
      try {
        const answer = await Promise.race([call, late])
        const said = complaints()
        return said ? { ...answer, complaints: said } : answer
      } catch (error) {
        call.catch(() => {})
        return { error: (error as Error).message.split("\n")[0].slice(0, 300), complaints: complaints() }
      }
    } finally {
      clearTimeout(timer)
      await browser.close()
      await site.close()
    }
  }
}

async function nodeRunner(program: string, { gpu, plan, timeout }: GpuOptions): Promise<Runner> {
  // The software driver is found after the machine's own, which must not be there to be left out: names are in the tables.
  const env = { ...process.env, ...(gpu ? {} : await softwareVulkan()) }
  return async (name) => {
    const command = [process.execPath, program, JSON.stringify(plan), name]
    const { stdout, stderr, code } = await execute(command, { seconds: timeout, env })
    const line = stdout.split("\n").find((text) => text.startsWith("{"))
    if (line) return JSON.parse(line) as Answer
    const last = stderr.trim().split("\n").find((text) => /Error/.test(text)) ?? stderr.trim().split("\n").at(-1) // prettier-ignore
    return {
      error: code === null ? `no result within ${timeout} s` : (last || `it ended with code ${code}`).slice(0, 300),
    }
  }
}

function describe({ round, workload, peer, error, median_ms, wall_s, counts }: GpuRun): string {
  const result = error ? `fails: ${error}` : `${median_ms?.toPrecision(4)} ms, ${counts?.dispatches} dispatches`
  return `[${round}] ${workload} ${peer}: ${result} (${wall_s.toFixed(0)} s)`
}
