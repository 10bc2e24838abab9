// Finds a Chromium to run pages in: one that is named or installed, else the one inside an npm package. It starts none.
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, dirname, join } from "node:path"
import { promisify } from "node:util"
import { reportsFolder } from "./files.js"

const run = promisify(execFile)

/** A browser's program, and what its environment needs beside our own. */
export interface Executable {
  readonly path: string
  readonly env: Readonly<Record<string, string>>
}

const commands = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]
// Where the installers of the other systems put it; no command line there finds it.
const places = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  join(process.env.PROGRAMFILES ?? "C:\\Program Files", "Google", "Chrome", "Application", "chrome.exe"),
]

const carrier = "@sparticuz/chromium"

/** The last line that a program which failed wrote of it. */
function reason(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: string }
  return (stderr?.trim() || message).split("\n").at(-1) as string
}

/** Why the program does not start, or null. */
async function trouble({ path, env }: Executable): Promise<string | null> {
  // On Windows asking for the version opens a window instead.
  if (process.platform === "win32") return null
  try {
    await run(path, ["--version"], { env: { ...process.env, ...env }, timeout: 20_000 })
    return null
  } catch (error) {
    return `${path}: ${reason(error)}`
  }
}

function installed(): string[] {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean)
  const found = commands.flatMap((name) => folders.map((folder) => join(folder, name)))
  return [...found, ...places].filter((path) => existsSync(path))
}

/** Where the npm package lies, whatever its entries: the folder that holds its node_modules, and its version. */
function home(): { readonly folder: string; readonly version: string } {
  const own = createRequire(import.meta.url)
  for (const modules of own.resolve.paths(carrier) ?? []) {
    const manifest = join(modules, carrier, "package.json")
    if (!existsSync(manifest)) continue
    const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string }
    return { folder: dirname(modules), version }
  }
  throw new Error(`${carrier} is not installed`)
}

/** Unpacks the npm package's browser once: into the workspace's cache, so that a later run finds it. */
async function unpacked(): Promise<string> {
  const { folder, version } = home()
  const cache = join(dirname(reportsFolder()), "node_modules", ".cache")
  const target = join(cache, `chromium-${version}`)
  if (existsSync(target)) return target
  mkdirSync(cache, { recursive: true })
  const fresh = mkdtempSync(join(cache, "chromium-unpack-"))
  try {
    // The package unpacks into the temporary folder of its process, so it gets a process of its own; the second variable is
    // its documented switch for the system libraries that it brings along.
    const env = { ...process.env, TMPDIR: fresh, AWS_LAMBDA_JS_RUNTIME: "nodejs22.x" }
    const program = `const { default: chromium } = await import("${carrier}"); await chromium.executablePath()`
    await run(process.execPath, ["--input-type=module", "-e", program], { cwd: folder, env })
    renameSync(fresh, target)
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    // Another process may have been faster: then its copy is as good.
    if (!existsSync(target)) throw new Error(`${carrier}: cannot be unpacked: ${reason(error)}`, { cause: error })
  }
  return target
}

/**
 * What a process needs in its environment, when it starts, to find a Vulkan driver that renders on the CPU: SwiftShader and the
 * loader beside it, out of the same package. A machine's own drivers are still found, and come first. Throws where there is none.
 */
export async function softwareVulkan(): Promise<Readonly<Record<string, string>>> {
  const folder = await checkedFolder()
  return {
    LD_LIBRARY_PATH: [process.env.LD_LIBRARY_PATH, folder].filter(Boolean).join(":"),
    VK_ADD_DRIVER_FILES: [process.env.VK_ADD_DRIVER_FILES, join(folder, "vk_swiftshader_icd.json")].filter(Boolean).join(":"), // prettier-ignore
  }
}

function checkedFolder(): Promise<string> {
  if (process.platform === "linux" && process.arch === "x64") return unpacked()
  return Promise.reject(new Error(`${carrier}: has nothing for ${process.platform}-${process.arch}`))
}

async function packaged(): Promise<Executable> {
  const folder = await checkedFolder()
  const plain = { path: join(folder, "chromium"), env: {} }
  if ((await trouble(plain)) === null) return plain
  // A bare system lacks NSS and Expat.
  const lent = {
    LD_LIBRARY_PATH: [join(folder, "al2023", "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
  }
  const helped = { ...plain, env: lent }
  const why = await trouble(helped)
  if (why !== null) throw new Error(why)
  return helped
}

/** The program named by `CHROMIUM_PATH`, else one that is installed, else that of `@sparticuz/chromium`. Throws if none starts. */
export async function findChromium(): Promise<Executable> {
  const named = process.env.CHROMIUM_PATH
  if (named) {
    const why = await trouble({ path: named, env: {} })
    if (why !== null) throw new Error(`CHROMIUM_PATH: ${why}`)
    return { path: named, env: {} }
  }
  const reasons: string[] = []
  for (const path of installed()) {
    const why = await trouble({ path, env: {} })
    if (why === null) return { path, env: {} }
    reasons.push(why)
  }
  try {
    return await packaged()
  } catch (error) {
    reasons.push((error as Error).message)
  }
  throw new Error(`no Chromium starts here (${reasons.join("; ")}); install one, set CHROMIUM_PATH, or add ${carrier}`)
}
