// What the suite reads and writes in Node: the golden values, the reports, and the word on what could not run.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Report } from "../report.js"

/** The golden values that lie in this package. */
export async function readGoldens(): Promise<Uint8Array> {
  // From src/node in the workspace and from dist when installed: the folder is found by walking up.
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, "goldens", "ops.safetensors"))) {
    const parent = dirname(folder)
    if (parent === folder)
      throw new Error("conformance: goldens/ops.safetensors is missing from the package; write it with goldens/ops.py")
    folder = parent
  }
  return new Uint8Array(readFileSync(join(folder, "goldens", "ops.safetensors")))
}

/** The folder of reports: beside the nearest pnpm-workspace.yaml, or in the current folder. */
export function reportsFolder(): string {
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    if (existsSync(join(folder, "pnpm-workspace.yaml"))) return join(folder, "reports")
    if (dirname(folder) === folder) return join(process.cwd(), "reports")
  }
}

function writeJson(name: string, value: unknown): void {
  const folder = reportsFolder()
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), `${JSON.stringify(value, null, 1)}\n`)
}

/** Writes `reports/conformance-<name>.json`, from which the table of the docs is made. */
export function writeReport(report: Report, name = report.backend): void {
  writeJson(`conformance-${name}.json`, { ...report, date: new Date().toISOString().slice(0, 10) })
}

/** Says what could not run here and why; `npm test` prints it. An empty list takes back what an earlier run said. */
export function writeCouldNotRun(
  name: string,
  entries: readonly { readonly what: string; readonly why: string }[],
): void {
  if (entries.length > 0) writeJson(`could-not-run-${name}.json`, entries)
  else rmSync(join(reportsFolder(), `could-not-run-${name}.json`), { force: true })
}

/** Whether the environment says that this backend must be there: `REQUIRE_BACKENDS=cpu-js,webgpu`, or `all`. */
export function isRequired(name: string): boolean {
  const wanted = (process.env.REQUIRE_BACKENDS ?? "").split(",").map((part) => part.trim())
  return wanted.includes(name) || wanted.includes("all")
}

const macrotask = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))

/** A function that collects garbage and lets finalisers run. */
export function collector(): () => Promise<void> {
  const own = (globalThis as { gc?: () => void }).gc
  if (!own) setFlagsFromString("--expose-gc")
  const collect = own ?? (runInNewContext("gc") as () => void)
  return async () => {
    // Finalisers run in tasks of their own, after the collection that found their targets.
    for (let i = 0; i < 3; i++) {
      await macrotask()
      collect()
    }
    await macrotask()
  }
}
