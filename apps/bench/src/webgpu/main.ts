// The command line of the benchmark on GPUs: reads options, installs peers, measures in pages of Chromium, writes the tables.
import { Command, InvalidArgumentError } from "commander"
import { mkdirSync, writeFileSync } from "node:fs"
import { availableParallelism, cpus } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { openBrowser } from "@rondo/conformance/browser"
import { peerFolder } from "../peers/env.mjs"
import { installPeers, peerVersions } from "../peers.js"
import { gpuPackages } from "./bundle.js"
import { gpuCaseNames } from "./cases.js"
import { gpuPeers, type GpuRun, measureGpu } from "./run.js"
import { type GpuResult, gpuTables, summariseGpu } from "./summary.js"

interface Options {
  readonly only: readonly string[]
  readonly cases: readonly string[]
  readonly rounds: number
  readonly budget: number
  readonly timeout: number
  readonly gpu: boolean
  readonly base: string
  readonly name: string
  readonly out: string
}

const peerNames = Object.keys(gpuPeers)
const resultsFolder = fileURLToPath(new URL("../../results", import.meta.url))

/** Names from a list that is separated by commas; `ours` stands for all of Rondo's rows. */
function namesOf(all: readonly string[]): (text: string) => string[] {
  return (text) =>
    text.split(",").flatMap((item) => {
      const name = item.trim()
      const meant = all.filter((one) => one === name || (name === "ours" && one.startsWith("rondo")))
      if (meant.length === 0) throw new InvalidArgumentError(`There is no ${name}, but ${all.join(", ")}.`)
      return meant
    })
}

function count(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text !== "" && value >= least) return value
    throw new InvalidArgumentError(`It must be a number of at least ${least}.`)
  }
}

function readOptions(): Options {
  const command = new Command("bench:webgpu")
    .description("Times Rondo and its peers on WebGPU, on one adapter, in pages of Chromium.")
    .option("--only <peers>", `comma-separated: ours, ${peerNames.join(", ")} (default: all)`, namesOf(peerNames))
    .option("--cases <names>", `comma-separated: ${gpuCaseNames.join(", ")} (default: all)`, namesOf(gpuCaseNames))
    .option("--rounds <n>", "repetitions, interleaved", count(1), 3)
    .option("--budget <factor>", "shorter (0.1) or longer (2) timing; 1 is ten seconds a case", count(0), 1)
    .option("--timeout <seconds>", "what one case may take", count(1), 600)
    .option("--gpu", "the machine's own adapter instead of SwiftShader, which is a program", false)
    .option("--base <peer>", "whom the tables compare with", peerNames[0])
    .option("--name <name>", "file name of the results, without its ending", "latest-webgpu")
    .option("--out <folder>", "where results go", resultsFolder)
  const options = command.parse(process.argv.filter((arg, i) => !(arg === "--" && i === 2))).opts<Options>()
  return { ...options, only: options.only ?? peerNames, cases: options.cases ?? gpuCaseNames }
}

/** Six digits are more than a clock knows. */
const rounded = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value

/** The adapters of a run: one, unless something is wrong. A browser tells less of an adapter than Dawn in Node does. */
function adaptersOf(runs: readonly GpuRun[]): string[] {
  const names = [...new Set(runs.flatMap(({ adapter }) => adapter ?? []))]
  return names.filter((name) => !names.some((other) => other !== name && name.startsWith(other)))
}

function write(options: Options, about: object, results: readonly GpuResult[], runs: readonly GpuRun[]): string {
  const folder = resolve(options.out)
  mkdirSync(folder, { recursive: true })
  const file = join(folder, options.name)
  const loads = runs.map(({ load }) => load)
  const load = `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)} processes at the start of cases`
  const all = { adapter: adaptersOf(runs).join("; ") || "unknown", ...about, "load of the machine": load }
  writeFileSync(`${file}.json`, JSON.stringify({ about: all, results, runs }, rounded, 2) + "\n")
  const facts = Object.entries(all).map(([key, value]) => `- ${key}: ${value ?? "none"}`)
  const parts = [`# Side by side on WebGPU: ${options.name}`, facts.join("\n"), gpuTables(results, options.base)]
  writeFileSync(`${file}.md`, parts.join("\n\n") + "\n")
  return file
}

async function chromiumVersion(): Promise<number> {
  const browser = await openBrowser()
  await browser.close()
  return browser.version
}

async function main(): Promise<void> {
  const options = readOptions()
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130))
  installPeers(peerFolder, gpuPackages)
  const { rounds, budget } = options
  const about = {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model ?? "unknown",
    "cores allowed": `${availableParallelism()} of ${cpus().length}`,
    chromium: await chromiumVersion(),
    node: process.version,
    ...peerVersions(peerFolder, gpuPackages),
    rounds,
    budget,
  }
  const runs = await measureGpu({
    peers: options.only,
    cases: options.cases,
    rounds,
    plan: { seconds: 10 * budget },
    timeout: options.timeout,
    gpu: options.gpu,
    peerFolder,
    // Written after each case: a run that is cut short keeps what it has.
    report: (line, soFar) => {
      console.error(line)
      write(options, about, summariseGpu(soFar), soFar)
    },
  })
  const results = summariseGpu(runs)
  console.log(`\n${gpuTables(results, options.base)}`)
  const adapters = adaptersOf(runs)
  if (adapters.length > 1) console.error(`not all on one adapter: ${adapters.join("; ")}`)
  console.log(`\nwritten: ${write(options, about, results, runs)}.json and .md`)
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
