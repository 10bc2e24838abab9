// Holds every shipped package under its ceilings of gzipped bytes and source lines (scripts/budgets.json). A ceiling is
// raised only in the commit that spends it, with the reason in its message.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"
import { publishedPackages, root } from "./install.mjs"

const budgets = JSON.parse(readFileSync(join(root, "scripts", "budgets.json"), "utf8"))

/** Gzipped bytes of the package's entries, minified, other packages external. */
async function gzipBytes(home, manifest) {
  const sources = Object.values(manifest.exports).filter((target) => target.endsWith(".ts"))
  const { outputFiles } = await build({
    entryPoints: sources.map((source) => join(home, source)),
    outdir: "out",
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    packages: "external",
    logLevel: "silent",
  })
  return outputFiles.reduce((sum, file) => sum + gzipSync(file.contents, { level: 9 }).length, 0)
}

/** Lines of all TypeScript sources of a package, tests excluded. */
function lineCount(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.ts$/.test(entry.name) && !/\.test\.ts$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath ?? entry.path, entry.name), "utf8").split("\n").length - 1)
    .reduce((a, b) => a + b, 0)
}

let failed = false
console.log(
  `${"package".padEnd(24)}${"gzip".padStart(9)}${"ceiling".padStart(9)}${"lines".padStart(9)}${"ceiling".padStart(9)}`,
)
for (const folder of publishedPackages()) {
  const home = join(root, "packages", folder)
  const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8"))
  const budget = budgets[manifest.name]
  if (!budget) {
    console.error(`size: ${manifest.name} has no budget: add a row to scripts/budgets.json`)
    failed = true
    continue
  }
  const [bytes, lines] = [await gzipBytes(home, manifest), lineCount(join(home, "src"))]
  const row = [bytes, budget.gzip, lines, budget.lines].map((n) => String(n).padStart(9)).join("")
  console.log(`${manifest.name.padEnd(24)}${row}`)
  const spent = [
    ["gzipped bytes", bytes, budget.gzip],
    ["lines", lines, budget.lines],
  ]
  for (const [kind, got, most] of spent) {
    if (got <= most) continue
    console.error(
      `size: ${manifest.name}: too many ${kind}: got ${got}, at most ${most}; make it smaller or raise the ceiling with a reason`,
    )
    failed = true
  }
}
process.exitCode = failed ? 1 : 0
