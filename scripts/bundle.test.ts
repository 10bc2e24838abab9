// What a bundler keeps of the sources: methods must survive although nobody names them, and strangers must stay out.
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build } from "esbuild"
import { afterAll, beforeAll, expect, test } from "vitest"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "rondo-bundle-"))))
afterAll(() => rmSync(folder, { recursive: true }))

const sources = (name: string): string => join(import.meta.dirname, `../packages/${name}/src/index.ts`)
const alias = {
  rondo: sources("rondo"),
  "@rondo/core": sources("core"),
  "@rondo/backend-cpu-js": sources("backend-cpu-js"),
}

async function run(source: string): Promise<string> {
  const entry = join(folder, "entry.ts")
  writeFileSync(entry, source)
  const outfile = join(folder, "out.mjs")
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    platform: "neutral",
    alias,
    logLevel: "silent",
  })
  return execFileSync(process.execPath, [outfile], { encoding: "utf8" }).trim()
}

test("a program that names creation only still has methods, through rondo and through core", async () => {
  const body = "console.log(JSON.stringify(ones(2).mul(3).tolistSync()))"
  expect(await run(`import { device, ones } from "rondo"\nawait device("cpu-js")\n${body}`)).toBe("[3,3]")
  const direct =
    'import { ones, use } from "@rondo/core"\nimport { CpuJs } from "@rondo/backend-cpu-js"\nuse(new CpuJs())'
  expect(await run(`${direct}\n${body}`)).toBe("[3,3]")
  const explicit = 'import { Device, ones } from "@rondo/core"\nimport { CpuJs } from "@rondo/backend-cpu-js"'
  const onDevice = "console.log(JSON.stringify(ones(2, { device: new Device(new CpuJs()) }).mul(3).tolistSync()))"
  expect(await run(`${explicit}\n${onDevice}`)).toBe("[3,3]")
})
