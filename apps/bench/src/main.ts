// The command line of the benchmark: reads options, installs peers, bundles, measures, prints and writes the tables.
import { Command, InvalidArgumentError } from "commander"
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { cpus, tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { bundle, torchProgram } from "./bundle.js"
import { canPin, execute } from "./machine.js"
import { peerFolder } from "./peers/env.mjs"
import { installPeers, peerList, peerVersions, selected } from "./peers.js"
import { measure } from "./run.js"
import { type Result, type Run, summarise, tables } from "./summary.js"
import { workloads } from "./workloads.js"

interface Options {
  readonly only: readonly string[] | null
  readonly workloads: readonly string[]
  readonly device: readonly string[]
  readonly rounds: number
  readonly core: number
  readonly timeout: number
  readonly wait: number
  readonly budget: number
  readonly base: string
  readonly python?: string
  readonly slow: boolean
  readonly name: string
  readonly out: string
}

const names: readonly string[] = [...workloads, "ops"]
const list = (text: string): string[] => text.split(",").map((item) => item.trim())
const resultsFolder = fileURLToPath(new URL("../results", import.meta.url))

function count(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text !== "" && value >= least) return value
    throw new InvalidArgumentError(`It must be a number of at least ${least}.`)
  }
}

function workloadList(text: string): string[] {
  const wanted = list(text)
  const unknown = wanted.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no ${unknown}, but ${names.join(", ")}.`)
  return wanted
}

function readOptions(): Options {
  const command = new Command("bench")
    .description(
      "Times Rondo and its peers on the same training loops and operations, one after the other on one core.",
    )
    .option(
      "--only <peers>",
      "comma-separated: ours, torch, jax-js jit, tfjs-cpu, tfjs-wasm, … (default: all)",
      list,
      null,
    )
    .option("--workloads <names>", `comma-separated: ${names.join(", ")}`, workloadList, names)
    .option(
      "--device <names>",
      "devices of Rondo, comma-separated; ' threads' behind its name: all cores; ' captured': steps are captured",
      list,
      ["cpu-js"],
    )
    .option("--rounds <n>", "repetitions, interleaved", count(1), 3)
    .option("--core <n>", "the core to pin to, where taskset is there", count(0), Math.min(1, cpus().length - 1))
    .option("--timeout <seconds>", "what one process may take", count(1), 420)
    .option("--wait <seconds>", "how long to wait for a free core before each process", count(0), 60)
    .option("--budget <factor>", "shorter (0.1) or longer (2) timing; below 1 for a first look only", count(0.001), 1)
    .option("--base <peer>", "whom the tables compare with", "torch")
    .option(
      "--python <path>",
      "a Python that has torch (default: the first of python3 and /usr/bin/python3 that has it)",
    )
    .option("--slow", "also what takes half a minute a step and more", false)
    .option("--name <name>", "file name of the results, without its ending", "latest")
    .option("--out <folder>", "where results go", resultsFolder)
  return command.parse(process.argv.filter((arg, i) => !(arg === "--" && i === 2))).opts<Options>()
}

/** A version manager's python3 often hides the system's, which has the distribution's torch. */
function pythonWithTorch(): string {
  const has = (python: string): boolean => spawnSync(python, ["-c", "import torch"], { stdio: "ignore" }).status === 0
  return ["python3", "/usr/bin/python3"].find(has) ?? "python3"
}

/** PyTorch's version and whether its matrix product deserves to be compared with; null without torch. */
async function torchFacts(python: string, core: number, env: NodeJS.ProcessEnv): Promise<object | null> {
  const { stdout } = await execute([python, "-B", torchProgram, "blas"], { core, seconds: 60, env })
  const line = stdout.split("\n").find((text) => text.startsWith("{"))
  if (!line) return null
  const { torch, blas, gflops } = JSON.parse(line) as { torch: string; blas: string[]; gflops: number }
  if (gflops < 30) console.error(`torch multiplies at ${gflops.toFixed(1)} GFLOP/s: a slow BLAS, or a busy core`)
  return { torch, torch_blas: blas.join(", "), torch_matmul_gflops: gflops }
}

/** Six digits are more than a clock knows. */
const rounded = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value

interface Report {
  readonly about: object
  readonly results: readonly Result[]
  readonly runs: readonly Run[]
}

function write(options: Options, { about, results, runs }: Report): string {
  const folder = resolve(options.out)
  mkdirSync(folder, { recursive: true })
  const file = join(folder, options.name)
  writeFileSync(`${file}.json`, JSON.stringify({ about, results, runs }, rounded, 2) + "\n")
  const facts = Object.entries(about).map(([key, value]) => `- ${key}: ${value ?? "none"}`)
  const title = `# Side by side: ${options.name}`
  writeFileSync(`${file}.md`, [title, facts.join("\n"), tables(results, options.base)].join("\n\n") + "\n")
  return file
}

async function main(): Promise<void> {
  const options = readOptions()
  const bundles = mkdtempSync(join(tmpdir(), "rondo-bench-"))
  process.on("exit", () => rmSync(bundles, { recursive: true, force: true }))
  // A signal ends through "exit", so that a running peer is ended too.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130))
  const program = await bundle(bundles)
  const python = options.python ?? pythonWithTorch()
  const peers = selected(peerList(program, { devices: options.device, slow: options.slow, python }), options.only)
  const commands = peers.map(({ command }) => command.join(" "))
  if (commands.some((text) => /(tfjs|jax|brainjs|jspytorch)\.mjs/.test(text))) installPeers(peerFolder)
  const { budget, core, rounds } = options
  const env = {
    ...process.env,
    BENCH_PEERS: peerFolder,
    BENCH_BUDGET: String(budget),
    OPENBLAS_NUM_THREADS: "1",
    OMP_NUM_THREADS: "1",
  }
  const torch = commands.some((text) => text.includes(torchProgram)) ? await torchFacts(python, core, env) : null
  const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, pinned: canPin ? `core ${core}` : "no" }
  const date = new Date().toISOString().slice(0, 10)
  const about = { date, ...machine, node: process.version, ...torch, ...peerVersions(peerFolder), rounds, budget }
  const runs = await measure({
    peers,
    workloads: options.workloads,
    rounds,
    core,
    timeout: options.timeout,
    patience: options.wait,
    env,
    // Written after each process: a run that is cut short keeps what it has.
    report: (line, soFar) => {
      console.error(line)
      write(options, { about, results: summarise(soFar), runs: soFar })
    },
  })
  const results = summarise(runs)
  console.log(`\n${tables(results, options.base)}`)
  if (runs.length > 0) console.log(`\nwritten: ${write(options, { about, results, runs })}.json and .md`)
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
