// Bundles a page for each library and the program for Node, once before anything is timed.
import { build, type BuildOptions } from "esbuild"
import { mkdtempSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Files, htmlFor } from "@rondo/conformance/browser"
import type { Packages } from "../peers.js"

const here = fileURLToPath(new URL(".", import.meta.url))

/** Packages of the peers, with the versions that the pages were written for. */
export const gpuPackages: Packages = {
  "@tensorflow/tfjs": "4.22.0",
  "@tensorflow/tfjs-backend-webgpu": "4.22.0",
  "@jax-js/jax": "0.1.25",
}

const shared: BuildOptions = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: false,
  keepNames: false,
  // Patience is the plan's here; what else the other benchmark reads from the environment has its default.
  define: { "process.env.BENCH_BUDGET": "undefined" },
  logLevel: "error",
}

const page = (imports: string, open: string): string =>
  `${imports}\nimport { servePeer } from "./page.ts"\nservePeer(${open})\n`

/** The scripts of the pages, by peer. Peers' packages are found in the folder where they were installed. */
const scripts = {
  rondo: page('import { openOurs } from "./ours.ts"', "openOurs"),
  tfjs: page(
    'import * as tf from "@tensorflow/tfjs"\nimport "@tensorflow/tfjs-backend-webgpu"\nimport { openTfjs } from "./peers.mjs"',
    "openTfjs(tf)",
  ),
  jax: page('import * as jax from "@jax-js/jax"\nimport { openJax } from "./peers.mjs"', "openJax(jax)"),
}

export type PageName = keyof typeof scripts

/** A site with one page: the library, bundled for browsers. */
export async function bundleFor(name: PageName, peerFolder: string): Promise<Files> {
  const { outputFiles } = await build({
    ...shared,
    stdin: { contents: scripts[name], resolveDir: here, sourcefile: `${name}.js` },
    outdir: "/",
    entryNames: "index",
    // Backends are dynamic imports: files of their own, as a user's bundler would leave them.
    splitting: true,
    platform: "browser",
    nodePaths: [join(peerFolder, "node_modules")],
    write: false,
  })
  return new Map<string, Uint8Array | string>([
    ...outputFiles.map(({ path, contents }) => [`/${basename(path)}`, contents] as const),
    ["/index.html", htmlFor("/index.js")],
  ])
}

/** The program for Node, in a folder of its own from which it finds the npm package `webgpu`. */
export async function bundleForNode(): Promise<{ readonly folder: string; readonly program: string }> {
  const folder = mkdtempSync(join(here, "../../node_modules/bench-webgpu-"))
  await build({
    ...shared,
    entryPoints: { dawn: join(here, "dawn.ts") },
    splitting: true,
    platform: "node",
    outdir: folder,
    outExtension: { ".js": ".mjs" },
  })
  return { folder, program: join(folder, "dawn.mjs") }
}
