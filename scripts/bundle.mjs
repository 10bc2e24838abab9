// Bundles a package as it is published: one ESM file for each entry, other packages external. Declarations are build.mjs's.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { build } from "esbuild"

export const readManifest = (folder) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))

/** The source entries of a manifest, as [subpath, file]: every workspace export that is TypeScript. */
export const entriesOf = ({ exports }) =>
  Object.entries(exports).filter(([, target]) => typeof target === "string" && target.endsWith(".ts"))

/** Writes the bundles of the package in `folder`, with source maps that point at its `src`, to `outdir`. */
export async function bundlePackage(folder, outdir) {
  await build({
    entryPoints: entriesOf(readManifest(folder)).map(([, source]) => join(folder, source)),
    outdir,
    outbase: join(folder, "src"),
    bundle: true,
    splitting: true, // two entries of one package share one copy of its classes
    chunkNames: "chunks/[name]-[hash]",
    format: "esm",
    platform: "neutral",
    target: "es2022",
    packages: "external",
    sourcemap: true,
    sourcesContent: false, // `src` is published beside `dist`
    logLevel: "warning",
  })
}
