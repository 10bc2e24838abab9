// Proves that the console set-up file fails exactly the tests that print, by running vitest on a fixture.
import { spawnSync } from "node:child_process"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"

const scripts = dirname(fileURLToPath(import.meta.url))
const vitest = join(scripts, "..", "node_modules", "vitest", "vitest.mjs")

it("fails a test that prints, and no other", () => {
  const project = join(scripts, "fixtures", "console")
  const env = { ...process.env, NO_COLOR: "1", VITEST: undefined }
  const run = spawnSync(process.execPath, [vitest, "run", "--root", project, "--reporter=json"], {
    encoding: "utf8",
    env,
  })
  const report = JSON.parse(run.stdout.slice(run.stdout.indexOf("{")))
  const states = report.testResults[0].assertionResults.map((test: { title: string; status: string }) => [
    test.title,
    test.status,
  ])
  expect(states).toEqual([
    ["quiet", "passed"],
    ["prints", "failed"],
    ["warns later", "failed"],
    ["means to print", "passed"],
  ])
  expect(run.status).toBe(1)
})
