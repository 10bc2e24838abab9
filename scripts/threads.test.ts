// A program with threads, bundled and minified as an app would be: it runs, and it ends by itself.
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { afterAll, beforeAll, expect, it } from "vitest"

const sources = join(import.meta.dirname, "../packages/backend-wasm-simd/src")
let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "rondo-threads-"))))
afterAll(() => rmSync(folder, { recursive: true }))

const program = (end: string): string => `
  import { WasmSimd } from "./index.js"
  const backend = new WasmSimd({ threads: 3, minimumWork: 0 })
  const working = await backend.startThreads()
  const n = 100000
  const data = Float32Array.from({ length: n }, (_, i) => i)
  const storage = backend.alloc(4 * n)
  backend.write(storage, data)
  const view = { storage, dtype: "float32", shape: [n], strides: [1], offset: 0 }
  const out = { ...view, storage: backend.alloc(4 * n) }
  const x = { kind: "input", index: 0, dtype: "float32" }
  const kernel = { kind: "map", exprs: [{ kind: "op", op: "add", args: [x, x], dtype: "float32" }] }
  // On a busy machine it may take a while until another thread gets a turn.
  const start = performance.now()
  do backend.run(kernel, [view], [out])
  while (backend.engine.pool.sharedCalls === 0 && performance.now() - start < 20000)
  const result = new Float32Array(backend.readSync(out.storage, 0, 4 * n))
  const right = result.every((value, i) => value === 2 * i)
  console.log(JSON.stringify({ working, right, shared: backend.engine.pool.sharedCalls > 0 }))
  ${end}
`

it.each([
  ["ends by itself", ""],
  ["ends by itself after close", "await backend.close()"],
  [
    "ends by itself while its threads are starting",
    "const other = new WasmSimd({ threads: 3 }); other.engine.pieces(1e9)",
  ],
])("%s", async (_, end) => {
  const outfile = join(folder, "program.mjs")
  await build({
    stdin: { contents: program(end), resolveDir: sources, loader: "js" },
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    logLevel: "silent",
  })
  const run = await promisify(execFile)(process.execPath, [outfile], { timeout: 30_000 })
  expect(JSON.parse(run.stdout)).toEqual({ working: 3, right: true, shared: true })
  expect(run.stderr).toBe("")
})
