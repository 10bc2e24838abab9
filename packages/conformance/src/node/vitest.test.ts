// What becomes of a backend that cannot be opened: said aloud in reports/, or a failure where it is required.
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { isRequired, reportsFolder, writeCouldNotRun } from "./files.js"
import { describeBackend } from "./vitest.js"

const name = "absent-for-test"
const file = join(reportsFolder(), `could-not-run-${name}.json`)

describeBackend(
  () => {
    throw new Error("there is no such device")
  },
  { name, reference: () => expect.unreachable("nothing is compared"), required: false },
)

test("what could not run is written down, with the reason", () => {
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual([
    { what: `the conformance suite on ${name}`, why: "there is no such device" },
  ])
})

test("the environment names what is required", () => {
  const before = process.env.REQUIRE_BACKENDS
  try {
    process.env.REQUIRE_BACKENDS = "one, two"
    expect([isRequired("one"), isRequired("two"), isRequired("three")]).toEqual([true, true, false])
    process.env.REQUIRE_BACKENDS = "all"
    expect(isRequired("three")).toBe(true)
  } finally {
    if (before === undefined) delete process.env.REQUIRE_BACKENDS
    else process.env.REQUIRE_BACKENDS = before
  }
})

afterAll(() => {
  writeCouldNotRun(name, [])
  expect(existsSync(file)).toBe(false)
})
