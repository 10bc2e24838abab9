// Builds the package in the current folder: one ESM bundle per entry with source maps, and declarations beside it.
// Other packages stay external and are read through their own built declarations, never through their sources.
import { existsSync, rmSync } from "node:fs"
import { basename, dirname, join, relative, resolve } from "node:path"
import ts from "typescript"
import { bundlePackage, entriesOf, readManifest } from "./bundle.mjs"

const folder = process.cwd()
const manifest = readManifest(folder)

/** Maps each workspace dependency's entries to the declarations that it has built (turbo builds it first). */
function declarationPaths() {
  const paths = {}
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) {
    const home = join("node_modules", name)
    if (!existsSync(join(home, "package.json"))) continue
    const dependency = readManifest(home)
    if (!dependency.publishConfig?.exports) continue
    for (const [subpath] of entriesOf(dependency)) {
      const types = dependency.publishConfig.exports[subpath].types
      paths[subpath === "." ? name : `${name}/${subpath.slice(2)}`] = [resolve(home, types)]
    }
  }
  return paths
}

function emitDeclarations(entries) {
  const config = ts.getParsedCommandLineOfConfigFile(
    "tsconfig.json",
    {},
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: report },
  )
  const options = {
    ...config.options,
    declaration: true,
    declarationMap: true,
    emitDeclarationOnly: true,
    noEmit: false,
    incremental: false,
    tsBuildInfoFile: undefined,
    rootDir: resolve("src"),
    outDir: resolve("dist"),
    paths: declarationPaths(),
  }
  const program = ts.createProgram(entries, options)
  const emitted = program.emit()
  const problems = [...ts.getPreEmitDiagnostics(program), ...emitted.diagnostics]
  problems.forEach(report)
  if (problems.length > 0) process.exit(1)
}

function report(diagnostic) {
  const host = { getCurrentDirectory: () => folder, getNewLine: () => "\n", getCanonicalFileName: (name) => name }
  process.stderr.write(ts.formatDiagnostic(diagnostic, host))
}

/** publishConfig must name, for every source entry, exactly the files that this build writes. */
function checkPublished(entries) {
  for (const [subpath, source] of entries) {
    const stem = relative("src", source).replace(/\.ts$/, "")
    const published = manifest.publishConfig.exports[subpath]
    if (published?.types === `./dist/${stem}.d.ts` && published?.default === `./dist/${stem}.js`) continue
    console.error(
      `${manifest.name}: publishConfig.exports["${subpath}"] must be ./dist/${stem}.d.ts and ./dist/${stem}.js`,
    )
    process.exit(1)
  }
}

const entries = entriesOf(manifest)
checkPublished(entries)
rmSync("dist", { recursive: true, force: true })
const sources = entries.map(([, source]) => resolve(source))
await bundlePackage(folder, resolve("dist"))
emitDeclarations(sources)
console.log(
  `${manifest.name}: built ${sources.map((file) => basename(dirname(file)) + "/" + basename(file)).join(", ")}`,
)
