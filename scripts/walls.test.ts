// Proves that the lint rules fire: each snippet is linted as if it stood in the file named, with the real configuration.
import { ESLint } from "eslint"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const eslint = new ESLint({ cwd: root })

async function lint(file: string, code: string) {
  const [result] = await eslint.lintText(`${code}\n`, { filePath: join(root, file) })
  return result.messages.map((message) => `${message.ruleId}: ${message.message}`)
}

const imports = (source: string) => `export * from "${source}"`

// file, code, the rule that must refuse it, a word of the reason.
const refused: [string, string, string, string][] = [
  ["packages/backend/src/x.ts", imports("@rondo/core"), "rondo/imports", "stands at the bottom"],
  ["packages/backend-cpu-js/src/x.ts", imports("@rondo/core"), "rondo/imports", "nothing above or beside"],
  ["packages/backend-cpu-js/src/x.test.ts", imports("@rondo/core"), "rondo/imports", "nothing above or beside"],
  ["packages/backend-webgpu/src/x.ts", imports("@rondo/backend-cpu-js"), "rondo/imports", "nothing above or beside"],
  ["packages/core/src/x.ts", imports("@rondo/backend-cpu-js"), "rondo/imports", "core sees the contract only"],
  ["packages/core/src/x.ts", imports("@rondo/nn"), "rondo/imports", "core sees the contract only"],
  [
    "packages/core/src/x.ts",
    `export const x = () => import("@rondo/backend-webgpu")`,
    "rondo/imports",
    "contract only",
  ],
  ["packages/core/src/x.ts", `export type X = import("@rondo/nn").Module`, "rondo/imports", "contract only"],
  ["packages/core/src/x.ts", `import "@rondo/optim"`, "rondo/imports", "contract only"],
  ["packages/core/src/x.ts", `export const x = "wasm-simd"`, "rondo/core", "names a backend"],
  ["packages/core/src/tensor.ts", `export const row = { vjp: null }`, "rondo/core", "src/ops only"],
  ["packages/nn/src/x.ts", `export const row = { vjp: () => [] }`, "rondo/core", "src/ops only"],
  ["packages/core/src/x.ts", `export const row = { vjp: [(g: number) => g] }`, "rondo/core", "src/ops only"],
  ["packages/nn/src/x.ts", imports("@rondo/optim"), "rondo/imports", "nn stands on core"],
  ["packages/nn/src/x.ts", imports("@rondo/backend-cpu-js"), "rondo/imports", "nn stands on core"],
  ["packages/optim/src/x.ts", imports("@rondo/nn"), "rondo/imports", "not modules"],
  ["packages/datasets/src/x.ts", imports("@rondo/nn"), "rondo/imports", "the app's"],
  ["packages/conformance/src/x.ts", imports("@rondo/backend-cpu-js"), "rondo/imports", "handed the backend"],
  ["packages/kernel-tests/src/x.ts", imports("@rondo/backend-cpu-js"), "rondo/imports", "handed the device"],
  ["packages/backend-webgpu/src/x.ts", imports("@rondo/kernel-tests"), "rondo/imports", "nothing above or beside"],
  ["apps/seeds/src/x.ts", imports("@rondo/kernel-tests"), "rondo/imports", "every published package"],
  ["packages/kernel-tests/src/x.ts", `describe.only("x", () => {})`, "no-restricted-syntax", "No .only"],
  ["packages/rondo/src/x.ts", imports("@rondo/conformance"), "rondo/imports", "front door"],
  ["packages/unknown/src/x.ts", imports("@rondo/core"), "rondo/imports", "add its row"],
  ["packages/nn/src/x.ts", imports("@rondo/core/src/tensor.js"), "rondo/imports", "only its exports are public"],
  ["packages/nn/src/x.ts", imports("@rondo/core/dist/index.js"), "rondo/imports", "only its exports are public"],
  ["apps/seeds/src/x.ts", imports("@rondo/core/src/tensor.js"), "rondo/imports", "only its exports are public"],
  ["packages/nn/src/x.ts", imports("../../core/src/index.js"), "rondo/imports", "leaves the package"],
  ["apps/seeds/src/x.ts", imports("../../bench/src/main.js"), "rondo/imports", "leaves the package"],
  ["packages/core/src/x.ts", imports("node:fs"), "rondo/imports", "ships to browsers"],
  ["packages/core/src/x.ts", imports("lodash"), "rondo/imports", "not in this package's package.json"],
  ["packages/core/src/x.ts", `console.log(1)`, "no-restricted-syntax", "No console"],
  ["packages/core/src/x.ts", `eval("1")`, "no-restricted-syntax", "content security"],
  ["packages/core/src/x.ts", `export const f = new Function("return 1")`, "no-restricted-syntax", "content security"],
  ["packages/core/src/x.ts", `export const f = Function("return 1")`, "no-restricted-syntax", "content security"],
  ["packages/core/src/x.ts", `export default 1`, "no-restricted-syntax", "No default exports"],
  ["packages/core/src/x.test.ts", `it.only("x", () => {})`, "no-restricted-syntax", "No .only"],
  ["packages/core/src/x.test.ts", `describe.skip("x", () => {})`, "no-restricted-syntax", "No .skip"],
  ["apps/seeds/src/x.test.ts", `it.todo("x")`, "no-restricted-syntax", "No .skip or .todo"],
  ["packages/core/src/x.ts", "// line\n".repeat(500), "rondo/file-length", "at most 500"],
  ["packages/core/src/x.test.ts", "// line\n".repeat(500), "rondo/file-length", "at most 500"],
]

// What must stay allowed, so that the rules are not merely "no".
const allowed: [string, string][] = [
  ["packages/core/src/x.ts", imports("@rondo/backend")],
  ["packages/core/src/x.test.ts", imports("@rondo/backend-cpu-js")],
  ["packages/core/src/ops/x.ts", `export const row = { vjp: null }`],
  ["packages/core/src/x.ts", `export const pass = (row: { vjp: null }) => ({ vjp: row.vjp })`],
  ["packages/nn/src/x.ts", imports("@rondo/core")],
  ["packages/backend-webgpu/src/x.ts", imports("@rondo/backend")],
  ["packages/backend-webgpu/src/x.test.ts", imports("@rondo/kernel-tests")],
  ["packages/backend-wasm-simd/test/x.ts", imports("@rondo/kernel-tests")],
  ["packages/kernel-tests/src/x.ts", imports("vitest")],
  ["packages/conformance/src/x.ts", imports("vitest")],
  ["packages/rondo/src/x.ts", `export const x = () => import("@rondo/backend-webgpu")`],
  ["packages/datasets/src/node.ts", imports("node:fs")],
  ["apps/seeds/src/main.ts", `import "rondo"\nimport "@rondo/datasets"\nimport "node:fs"\nconsole.log(1)`],
  ["packages/core/src/x.ts", "// line\n".repeat(499)],
]

const title = (file: string, code: string) => `${file}: ${code.slice(0, 60).replaceAll("\n", " ")}`

describe("the walls", () => {
  for (const [file, code, rule, reason] of refused) {
    it(`refuse ${title(file, code)}`, async () => {
      const messages = await lint(file, code)
      const found = messages.filter((message) => message.startsWith(`${rule}: `) && message.includes(reason))
      expect(found, messages.join("\n")).not.toEqual([])
    })
  }

  for (const [file, code] of allowed) {
    it(`allow ${title(file, code)}`, async () => expect(await lint(file, code)).toEqual([]))
  }
})

describe("import cycles", () => {
  const cycles = new ESLint({ cwd: root, ignore: false })
  const lintFixture = async (name: string) => (await cycles.lintFiles(`scripts/fixtures/cycle/${name}`))[0].messages

  it("refuses a cycle of values", async () => {
    expect((await lintFixture("first.ts")).map((message) => message.ruleId)).toEqual(["import-x/no-cycle"])
  })

  it("allows a cycle of types", async () => {
    expect(await lintFixture("shape.ts")).toEqual([])
  })
})
