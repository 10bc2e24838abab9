// Where there is no browser: the run says so, and why.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { describeBackendInChromium } from "./chromium.js"
import { findChromium } from "./executable.js"
import { reportsFolder, writeCouldNotRun } from "./files.js"

describe("without a browser", () => {
  const name = "nowhere"
  const before = process.env.CHROMIUM_PATH
  process.env.CHROMIUM_PATH = "/nowhere/chromium"
  describeBackendInChromium(new URL("../../test/pages/cpu-js.ts", import.meta.url), { name, required: false })

  test("the named program is the one that counts, and why it does not start is written down", async () => {
    await expect(findChromium()).rejects.toThrow(/^CHROMIUM_PATH: \/nowhere\/chromium: .*ENOENT/)
    const file = join(reportsFolder(), `could-not-run-${name}-chromium.json`)
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual([
      {
        what: `the conformance suite on ${name}-chromium`,
        why: expect.stringMatching(/^CHROMIUM_PATH: \/nowhere\/chromium: .*ENOENT/),
      },
    ])
  })

  afterAll(() => {
    writeCouldNotRun(`${name}-chromium`, [])
    if (before === undefined) delete process.env.CHROMIUM_PATH
    else process.env.CHROMIUM_PATH = before
  })
})
