// What a bundler keeps of the library: an app pays for what it imports, and a backend is a chunk of its own.
import { build, type Metafile } from "esbuild"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { entries } from "./examples-check.js"

const root = join(fileURLToPath(import.meta.url), "..", "..")
const sources = entries(root)

async function bundle(app: string): Promise<Metafile> {
  const { metafile } = await build({
    stdin: { contents: app, resolveDir: root, sourcefile: "app.js" },
    alias: Object.fromEntries(sources),
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    metafile: true,
    outdir: "out",
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "silent",
  })
  return metafile
}

/** Files that the app loads at once, and files that it may load later. */
function chunks({ outputs }: Metafile): { now: Set<string>; later: Set<string> } {
  const reach = (file: string, seen: Set<string>, follow: (kind: string) => boolean): Set<string> => {
    if (seen.has(file)) return seen
    seen.add(file)
    for (const { path, kind } of outputs[file].imports) if (follow(kind)) reach(path, seen, follow)
    return seen
  }
  const entry = Object.keys(outputs).find((file) => outputs[file].entryPoint === "app.js") as string
  const now = reach(entry, new Set(), (kind) => kind === "import-statement")
  // esbuild also writes chunks that no kept code asks for; nobody ever loads those.
  const all = reach(entry, new Set(), () => true)
  return { now, later: new Set([...all].filter((file) => !now.has(file))) }
}

/** Bytes of each package in some output files. */
function packagesIn({ outputs }: Metafile, files: Iterable<string>): Record<string, number> {
  const bytes: Record<string, number> = {}
  for (const file of files) {
    for (const [input, { bytesInOutput }] of Object.entries(outputs[file].inputs)) {
      const name = /packages\/([^/]+)\//.exec(input)?.[1]
      if (name && bytesInOutput > 0) bytes[name] = (bytes[name] ?? 0) + bytesInOutput
    }
  }
  return bytes
}

async function kept(app: string) {
  const made = await bundle(app)
  const { now, later } = chunks(made)
  return { now: packagesIn(made, now), later: packagesIn(made, later) }
}

describe("tree shaking", () => {
  for (const door of ["@rondo/core", "rondo"]) {
    it(`keeps only core and the contract of { tensor } from ${door}`, async () => {
      const { now, later } = await kept(`import { tensor } from "${door}"; globalThis.x = tensor`)
      expect(Object.keys(now).sort()).toEqual(["backend", "core"])
      expect(later).toEqual({})
    })
  }

  it("leaves nothing of an import that nobody uses", async () => {
    expect(await kept(`import { RNN, Adam, device } from "rondo"; globalThis.x = 1`)).toEqual({ now: {}, later: {} })
  })

  it("keeps the layers and optimisers that are used, and no others", async () => {
    const one = await kept(`import { Linear } from "rondo"; globalThis.x = Linear`)
    const all = await kept(`import * as everything from "rondo"; globalThis.x = everything`)
    expect(one.now.optim).toBeUndefined()
    expect(all.now.optim).toBeGreaterThan(0)
    expect(one.now.nn).toBeLessThan(all.now.nn / 2)
  })
})

describe("splitting", () => {
  it("loads a backend only when a device is opened", async () => {
    const { now, later } = await kept(`import { device } from "rondo"; globalThis.x = device`)
    expect(now["backend-cpu-js"]).toBeUndefined()
    expect(now.nn).toBeUndefined()
    expect(now["backend-wasm-simd"]).toBeUndefined()
    expect(now["backend-webgpu"]).toBeUndefined()
    const backends = Object.keys(later).filter((name) => name.startsWith("backend-"))
    expect(backends.sort()).toEqual(["backend-cpu-js", "backend-wasm-simd", "backend-webgpu"])
  })

  it("loads no suite and no data sets through the front door", async () => {
    const { now, later } = await kept(`import * as everything from "rondo"; globalThis.x = everything`)
    for (const name of ["conformance", "datasets"]) {
      expect(now[name]).toBeUndefined()
      expect(later[name]).toBeUndefined()
    }
  })
})
