// `npm test`: installs, builds and checks everything this machine can check, one stage after another, then says what
// passed, what failed and what could not run. `--only a,b` picks stages; other words filter vitest's files.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { ensureInstalled, pnpmCommand, root, runCommand } from "./install.mjs"
import { readVitest } from "./vitest-report.mjs"

const node = (...args) => [process.execPath, ...args]
const tool = (path, ...args) => node(join("node_modules", path), ...args)
const cache = "node_modules/.cache"
const vitestReport = "reports/vitest.json"

// In order. `needs` names stages without which this one says nothing; `live` shows the output as it comes.
const stages = [
  { name: "build", what: "esbuild bundles and declarations", run: () => runTurbo() },
  {
    name: "types",
    what: "tsc over all sources and tests",
    run: () => runCommand(tool("typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json")),
  },
  { name: "lint", what: "walls, cycles, habits", run: () => runCommand(eslint()) },
  { name: "format", what: "prettier --check", run: () => runCommand(prettier()) },
  {
    name: "packages",
    what: "packed, installed and used as npm would",
    needs: ["build"],
    run: () => script("check-packages.mjs"),
  },
  { name: "size", what: "bytes and lines under budget", run: () => script("size.mjs") },
  { name: "vitest", what: "every test that can run here", live: true, run: (filters) => runVitest(filters) },
]

const runTurbo = () =>
  runCommand(pnpmCommand(["exec", "turbo", "run", "build", "--output-logs=errors-only", "--no-update-notifier"]))
const eslint = () =>
  tool("eslint/bin/eslint.js", ".", "--max-warnings", "0", "--cache", "--cache-location", `${cache}/eslint/`)
const prettier = () =>
  tool("prettier/bin/prettier.cjs", "--check", ".", "--cache", "--cache-location", `${cache}/prettier.json`)
const script = (name) => runCommand(node(join("scripts", name)))

async function runVitest(filters) {
  rmSync(join(root, vitestReport), { force: true })
  for (const file of reportFiles()) rmSync(file)
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${vitestReport}`]
  return runCommand(tool("vitest/vitest.mjs", "run", ...reporters, ...filters), { live: true })
}

const reportFiles = () =>
  readdirSync(join(root, "reports"))
    .filter((name) => /^could-not-run-.*\.json$/.test(name))
    .map((name) => join(root, "reports", name))

function parseArguments(argv) {
  const picked = { only: null, filters: [] }
  for (let i = 0; i < argv.length; i++) {
    const [flag, value] = argv[i].split("=")
    if (flag === "--help" || flag === "-h") usage(0)
    else if (flag === "--only") picked.only = (value ?? argv[++i] ?? "").split(",").filter(Boolean)
    else picked.filters.push(argv[i])
  }
  const unknown = (picked.only ?? []).filter((name) => !stages.some((stage) => stage.name === name))
  if (unknown.length > 0 || picked.only?.length === 0) usage(1, `unknown stage: got '${unknown.join(",")}'`)
  return picked
}

function usage(code, problem) {
  if (problem) console.error(`npm test: ${problem}`)
  console.log("npm test [-- [--only stage,stage] [test-file ...]]\nstages, in order:")
  for (const { name, what } of stages) console.log(`  ${name.padEnd(9)} ${what}`)
  process.exit(code)
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`

async function timed(stage, filters) {
  console.log(`\n=== ${stage.name}: ${stage.what}`)
  const started = Date.now()
  const { code, output } = await stage.run(filters)
  const row = { name: stage.name, ok: code === 0, ms: Date.now() - started }
  if (!row.ok && !stage.live) console.log(output.trimEnd())
  console.log(`=== ${stage.name}: ${row.ok ? "passed" : `FAILED (exit ${code})`} in ${seconds(row.ms)}`)
  return row
}

/** What tests said could not run, from `reports/could-not-run-*.json`: arrays of `{ what, why }`. */
function readCouldNotRun() {
  return reportFiles().flatMap((file) => {
    const entries = JSON.parse(readFileSync(file, "utf8"))
    if (!Array.isArray(entries) || entries.some((e) => typeof e?.what !== "string" || typeof e?.why !== "string"))
      throw new Error(`${file}: expected an array of { what, why }`)
    return entries
  })
}

async function main() {
  const { only, filters } = parseArguments(process.argv.slice(2))
  mkdirSync(join(root, "reports"), { recursive: true })
  const started = Date.now()
  const install = await ensureInstalled()
  const rows = [{ name: "install", ok: install.code === 0, ms: Date.now() - started }]
  const missing = []
  for (const stage of stages) {
    const failed = ["install", ...(stage.needs ?? [])].find((name) => rows.some((row) => row.name === name && !row.ok))
    if (only && !only.includes(stage.name)) rows.push({ name: stage.name, left: "left out by --only" })
    else if (failed) rows.push({ name: stage.name, left: `not run: ${failed} failed` })
    else rows.push(await timed(stage, filters))
    if (rows.at(-1).left) missing.push({ what: `stage ${stage.name}`, why: rows.at(-1).left })
  }
  const tests = rows.some((row) => row.name === "vitest" && !row.left) ? readVitest(join(root, vitestReport)) : null
  missing.push(...(tests?.skipped ?? []), ...(tests ? readCouldNotRun() : []))
  summarise(rows, tests, missing, Date.now() - started)
}

function summarise(rows, tests, missing, ms) {
  const bar = "=".repeat(78)
  console.log(
    `\n${bar}\nSUMMARY (Node ${process.version}, ${process.platform}-${process.arch}, ${seconds(ms)})\n${bar}`,
  )
  for (const { name, ok, ms, left } of rows)
    console.log(
      `  ${name.padEnd(10)} ${left ? `-       ${left}` : `${ok ? "passed" : "FAILED"} ${seconds(ms).padStart(9)}`}`,
    )
  console.log(`${bar}\nCOULD NOT RUN, AND WHY\n${bar}`)
  if (missing.length === 0) console.log("  nothing: everything ran")
  for (const { what, why } of missing) console.log(`  ${what}\n      ${why}`)
  console.log(bar)
  // A failed stage counts as one failure, so that the last line never says "0 failed" of a run that failed.
  const vitestRow = rows.find((row) => row.name === "vitest")
  const testFailures = vitestRow.ok === false ? Math.max(1, tests?.failed ?? 0) : 0
  const failed = testFailures + rows.filter((row) => row.ok === false && row !== vitestRow).length
  console.log(`${tests?.passed ?? 0} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
}

if (!existsSync(join(root, "pnpm-lock.yaml")))
  throw new Error("npm test: no pnpm-lock.yaml here: is the checkout whole?")
await main()
