// Brings node_modules in step with the lockfile, with nothing but Node and npm on the machine. It builds nothing.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = join(dirname(fileURLToPath(import.meta.url)), "..")

const windows = process.platform === "win32"
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const pnpmVersion = manifest.packageManager.split("@")[1]
const stamp = join(root, "node_modules", ".rondo-lock")

/** The environment for child tools: no telemetry, no prompts, and none of npm's own settings for the calling script. */
export function toolEnvironment(extra = {}) {
  const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", NO_UPDATE_NOTIFIER: "1", ...extra }
  for (const key of Object.keys(env)) {
    // A nested npm would take these for its own and install into the wrong folder.
    if (/^npm_(package|lifecycle)_|^npm_config_(local_prefix|prefix|node_gyp|noproxy)$|^INIT_CWD$/i.test(key))
      delete env[key]
  }
  return env
}

/** Folders of packages that are published, in order. The others are for tests only. */
export const publishedPackages = () =>
  readdirSync(join(root, "packages"))
    .filter((name) => !JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")).private)
    .sort()

/** The command line that runs the pinned pnpm: the one on PATH if it is that very version, else through npx. */
export function pnpmCommand(args) {
  const found = spawnSync("pnpm", ["--version"], { cwd: root, encoding: "utf8", shell: windows })
  if (found.status === 0 && found.stdout.trim() === pnpmVersion) return ["pnpm", ...args]
  return ["npx", "-y", "--loglevel=error", `pnpm@${pnpmVersion}`, ...args]
}

/** Runs a command, keeping its output; `{ live: true }` also shows it. Never rejects: a failed start is code 127. */
export function runCommand([command, ...args], { cwd = root, env, live = false, onLine } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: toolEnvironment(env),
      stdio: ["ignore", "pipe", "pipe"],
      shell: windows && ["npm", "npx", "pnpm"].includes(command),
    })
    let output = ""
    const take = (stream) => (chunk) => {
      output += chunk
      if (live) stream.write(chunk)
      if (onLine) for (const line of String(chunk).split("\n")) if (line.trim()) onLine(line.trim())
    }
    child.stdout.on("data", take(process.stdout))
    child.stderr.on("data", take(process.stderr))
    child.on("error", (error) => resolve({ code: 127, output: `${output}${command}: ${error.message}\n` }))
    child.on("close", (code, signal) =>
      resolve({ code: code ?? 1, output: signal ? `${output}${command}: ended by ${signal}\n` : output }),
    )
  })
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  console.error(
    `rondo: this Node is too old: got ${process.versions.node}, expected 20.19 or newer; see https://nodejs.org`,
  )
  process.exit(1)
}

const lockHash = () =>
  createHash("sha256")
    .update(readFileSync(join(root, "pnpm-lock.yaml")))
    .digest("hex")

const installed = () => existsSync(stamp) && readFileSync(stamp, "utf8").trim() === lockHash()

/** Installs what the lockfile names unless that is already there. Shows one progress line; on failure, everything. */
export async function ensureInstalled() {
  checkNode()
  if (installed()) return { code: 0, output: "", fresh: false }
  const hash = lockHash()
  const started = Date.now()
  rmSync(stamp, { force: true })
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(0)} s`
  const show = (text) => process.stderr.isTTY && process.stderr.write(`\r\x1b[2K${text.slice(0, 100)}`)
  process.stderr.write(
    `rondo: installing dependencies (once, from the npm registry) ...${process.stderr.isTTY ? "" : "\n"}`,
  )
  // `--prod=false`: with NODE_ENV=production pnpm would leave out the tools that run TypeScript.
  const flags = [
    "install",
    "--frozen-lockfile",
    "--prod=false",
    "--reporter=append-only",
    "--config.confirmModulesPurge=false",
  ]
  const result = await runCommand(pnpmCommand(flags), {
    env: { CI: "true", npm_config_update_notifier: "false" },
    onLine: (line) => line.startsWith("Progress:") && show(`rondo: ${line} (${seconds()})`),
  })
  show("")
  if (result.code !== 0) {
    process.stderr.write(`${result.output}\nrondo: installing failed (exit ${result.code}): the lines above say why.\n`)
    process.stderr.write(
      "rondo: no network or a proxy? npm's own settings (npm config get registry, proxy) are the ones used.\n",
    )
    return { ...result, fresh: false }
  }
  writeFileSync(stamp, `${hash}\n`)
  process.stderr.write(`rondo: dependencies installed in ${seconds()}\n`)
  return { ...result, fresh: true }
}
