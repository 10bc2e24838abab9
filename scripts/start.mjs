// `npm start [-- args]`: installs if needed, then runs the main job (apps/seeds) straight from its TypeScript source.
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { ensureInstalled, root } from "./install.mjs"

const install = await ensureInstalled()
if (install.code !== 0) process.exit(install.code)

const loader = pathToFileURL(createRequire(join(root, "package.json")).resolve("tsx")).href
const main = join(root, "apps", "seeds", "src", "main.ts")
const child = spawn(process.execPath, ["--import", loader, main, ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
})

// Ctrl-C reaches the child too; it decides how to end, and its exit code is ours.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT") child.kill(signal)
  })
}
child.on("error", (error) => {
  console.error(`rondo: could not start: ${error.message}`)
  process.exit(1)
})
child.on("close", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
