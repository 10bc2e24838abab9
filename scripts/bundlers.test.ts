// Bundlers take the published packages as they are: an app that imports a backend is built without configuration, and its
// bundle runs in a page under a strict content security policy, with isolation and without.
import { build } from "esbuild"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative, sep } from "node:path"
import { build as buildWithVite } from "vite"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openBrowser, type OpenBrowser } from "../packages/conformance/src/node/browser.js"
import { type Files, htmlFor, isolatedHeaders, plainHeaders, serve } from "../packages/conformance/src/node/server.js"
import { bundlePackage, readManifest } from "./bundle.mjs"

const app = `
import { WasmSimd } from "@rondo/backend-wasm-simd"
import { tensor, use } from "@rondo/core"

use(new WasmSimd())
const x = tensor([[1, 2, 3], [4, 5, 6]], { requiresGrad: true })
const y = x.add(x)
y.matmul(x.t()).tanh().sum().backward()
globalThis.result = { sum: await y.tolist(), trained: x.grad.shape }
`
const wanted = {
  sum: [
    [2, 4, 6],
    [8, 10, 12],
  ],
  trained: [2, 3],
}

let folder: string

/** Puts the packages down as npm would: their built files, and the exports that are published. */
async function install(home: string): Promise<void> {
  for (const name of ["backend", "core", "backend-wasm-simd"]) {
    const source = join(import.meta.dirname, "..", "packages", name)
    const target = join(home, "node_modules", "@rondo", name)
    const { publishConfig, ...manifest } = readManifest(source)
    await bundlePackage(source, join(target, "dist"))
    writeFileSync(join(target, "package.json"), JSON.stringify({ ...manifest, exports: publishConfig.exports }))
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "rondo-app-"))
  await install(folder)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }))
  writeFileSync(join(folder, "app.js"), app)
  writeFileSync(join(folder, "index.html"), htmlFor("/app.js"))
})
afterAll(() => rmSync(folder, { recursive: true }))

const filesIn = (root: string): Files =>
  new Map(
    readdirSync(root, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [`/${relative(root, file).replaceAll(sep, "/")}`, readFileSync(file)]),
  )

const bundlers: Readonly<Record<string, (outdir: string) => Promise<void>>> = {
  esbuild: async (outdir) => {
    const entryPoints = [join(folder, "app.js")]
    const { warnings } = await build({ entryPoints, outdir, bundle: true, splitting: true, format: "esm" })
    expect(warnings).toEqual([])
    writeFileSync(join(outdir, "index.html"), htmlFor("/app.js"))
  },
  vite: async (outdir) => {
    const warned: string[] = []
    await buildWithVite({
      root: folder,
      configFile: false,
      logLevel: "silent",
      build: { outDir: outdir, rolldownOptions: { onwarn: (warning) => void warned.push(warning.message ?? "") } },
    })
    expect(warned).toEqual([])
  },
}

// Where there is no browser these are skipped, and `npm test` lists them.
const browser = await openBrowser().catch((error: unknown) => {
  if (process.env.CI === "true") throw error
  return null
})

describe.skipIf(browser === null)("an app with the wasm-simd backend", () => {
  afterAll(() => browser?.close())

  test.each(Object.entries(bundlers))("is built by %s and runs", async (name, bundle) => {
    const outdir = join(folder, `out-${name}`)
    mkdirSync(outdir)
    await bundle(outdir)
    for (const headers of [plainHeaders, isolatedHeaders]) {
      const site = await serve(filesIn(outdir), headers)
      try {
        const page = await (browser as OpenBrowser).open(site.url)
        await expect.poll(() => page.evaluate("globalThis.result"), { timeout: 20_000 }).toEqual(wanted)
        expect(page.complaints()).toEqual([])
      } finally {
        await site.close()
      }
    }
  })
})
