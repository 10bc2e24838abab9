// Proves that a consumer can use what we publish: packs every package, installs the tarballs with npm in an empty
// project, loads them in plain Node and type-checks a program against them. It needs a finished build.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  copyFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { pnpmCommand, publishedPackages, root, runCommand } from "./install.mjs"

const problems = []
const fail = (text) => problems.push(text)

/** Tests and leftovers stay home. The suite's own goldens go out with it: whoever runs it needs them. */
const isStray = (name, file) =>
  /\.test\.|(^|\/)(\.turbo|reports)\//.test(file) || (/(^|\/)goldens\//.test(file) && name !== "@rondo/conformance")

async function must(title, command, options) {
  const { code, output } = await runCommand(command, options)
  if (code === 0) return output
  throw new Error(`${title} failed (exit ${code}):\n${output}`)
}

const json = (file) => JSON.parse(readFileSync(file, "utf8"))

/** Every file under a folder, as paths relative to it, without node_modules. */
function filesUnder(folder, prefix = "") {
  return readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = prefix ? `${prefix}/${entry.name}` : entry.name
    if (entry.name === "node_modules") return []
    return entry.isDirectory() ? filesUnder(folder, path) : [path]
  })
}

async function pack(destination) {
  mkdirSync(destination)
  const filters = publishedPackages().flatMap((name) => ["--filter", `./packages/${name}`])
  await must("pnpm pack", pnpmCommand(["--recursive", ...filters, "pack", "--pack-destination", destination]))
  return readdirSync(destination).map((name) => join(destination, name))
}

/** Installs the tarballs in an empty project, as a stranger would: by npm, no workspace in sight. */
async function installInto(project, tarballs) {
  mkdirSync(project)
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]
  await must("npm install of the tarballs", ["npm", "install", ...flags, ...tarballs], { cwd: project })
}

/** Checks one installed package's manifest and files; returns its entries as import names. */
function inspect(home) {
  const manifest = json(join(home, "package.json"))
  const { name } = manifest
  const files = new Set(filesUnder(home))
  if (JSON.stringify(manifest).includes("workspace:")) fail(`${name}: a workspace: range was published`)
  for (const field of ["license", "description", "engines"])
    if (!manifest[field]) fail(`${name}: package.json lacks ${field}`)
  if (manifest.sideEffects !== false) fail(`${name}: sideEffects must be false, or bundlers keep what nobody uses`)
  if (!files.has("LICENSE")) fail(`${name}: the tarball lacks LICENSE`)
  for (const file of files) if (isStray(name, file)) fail(`${name}: publishes ${file}`)
  const entries = Object.entries(manifest.exports).filter(([, target]) => typeof target === "object")
  for (const [subpath, target] of entries) {
    for (const path of [target.types, target.default])
      if (!path || !files.has(path.slice(2)))
        fail(`${name}: exports["${subpath}"] names ${path}, which is not in the tarball`)
    if (!/node/.test(subpath) && !/\/node\//.test(target.default)) checkBrowserSafe(home, name, target.default)
  }
  for (const file of files) if (file.endsWith(".map")) checkMap(home, name, file)
  return {
    name,
    manifest,
    imports: entries.map(([subpath]) => (subpath === "." ? name : `${name}${subpath.slice(1)}`)),
  }
}

function checkBrowserSafe(home, name, file) {
  const code = readFileSync(join(home, file), "utf8")
  const found = code.match(/(?:from|import)\s*\(?\s*["'](node:[^"']+)["']/)
  if (found) fail(`${name}: ${file} imports ${found[1]}, but this entry ships to browsers`)
}

function checkMap(home, name, file) {
  for (const source of json(join(home, file)).sources)
    if (!existsSync(resolve(home, dirname(file), source)))
      fail(`${name}: ${file} points at ${source}, which is not published`)
}

/** A stranger has no optional peers; those that our entries type against are lent from the workspace. */
function lendPeers(project, packages) {
  for (const { manifest } of packages) {
    for (const peer of Object.keys(manifest.peerDependencies ?? {})) {
      const [from, to] = [join(root, "node_modules", peer), join(project, "node_modules", peer)]
      if (!existsSync(from) || existsSync(to)) continue
      mkdirSync(dirname(to), { recursive: true })
      symlinkSync(from, to, "junction")
    }
  }
}

async function useInNode(project, packages) {
  for (const name of packages.flatMap((entry) => entry.imports)) {
    const program = `const m = await import(${JSON.stringify(name)}); process.stdout.write(String(Object.keys(m).length))`
    const { code, output } = await runCommand([process.execPath, "--input-type=module", "-e", program], {
      cwd: project,
    })
    if (code !== 0) fail(`${name}: does not load in plain Node ${process.version}:\n${output}`)
    else console.log(`${name}: loads, ${output} names`)
  }
}

async function typeCheck(project, packages) {
  const names = packages.flatMap((entry) => entry.imports)
  const lines = names.map(
    (name, i) => `import * as p${i} from "${name}"\nexport const n${i}: number = Object.keys(p${i}).length\n`,
  )
  writeFileSync(join(project, "every.ts"), lines.join(""))
  copyFileSync(join(root, "scripts", "fixtures", "consumer.ts"), join(project, "consumer.ts"))
  const options = {
    strict: true,
    target: "ES2022",
    lib: ["ES2022", "DOM"],
    module: "NodeNext",
    moduleResolution: "NodeNext",
    types: [],
    skipLibCheck: false,
    outDir: "out",
    rootDir: ".",
  }
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions: options, files: ["every.ts", "consumer.ts"] }),
  )
  const { output } = await runCommand(
    [process.execPath, join(root, "node_modules", "typescript", "bin", "tsc"), "-p", project],
    { cwd: project },
  )
  // Declarations of lent peers are not ours to judge; ours lie inside the project.
  const ours = output.split("\n").filter((line) => /error TS/.test(line) && !line.startsWith(".."))
  if (ours.length > 0) fail(`a consumer's tsc refuses our declarations:\n${ours.join("\n")}`)
}

async function runConsumer(project) {
  const { code, output } = await runCommand([process.execPath, "--enable-source-maps", join("out", "consumer.js")], {
    cwd: project,
  })
  if (code !== 0) fail(`the consumer's program fails:\n${output}`)
}

const folder = mkdtempSync(join(tmpdir(), "rondo-packages-"))
try {
  const tarballs = await pack(join(folder, "tarballs"))
  const project = join(folder, "consumer")
  await installInto(project, tarballs)
  const modules = join(project, "node_modules")
  const homes = publishedPackages().map((name) => join(modules, name === "rondo" ? name : join("@rondo", name)))
  const packages = homes.map(inspect)
  lendPeers(project, packages)
  await useInNode(project, packages)
  await typeCheck(project, packages)
  if (problems.length === 0) await runConsumer(project)
} catch (error) {
  fail(error.message)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
for (const problem of problems) console.error(`check-packages: ${problem}`)
if (problems.length > 0) process.exit(1)
console.log("check-packages: every package can be packed, installed, loaded and type-checked by a consumer")
