// Vitest set-up file: a test that lets anything reach the console fails. It judges tests; it is not a logger.
import { afterAll, afterEach, beforeAll } from "vitest"

const methods = ["log", "info", "warn", "error", "debug", "trace", "table", "dir"] as const
const stray: string[] = []

// Installed at load so that output of a test file's own imports counts too. A test that means to print replaces the
// method itself (`vi.spyOn(console, "log").mockImplementation(...)`), and then nothing arrives here.
for (const method of methods) {
  console[method] = (...args: unknown[]) => {
    stray.push(`console.${method}: ${args.map(String).join(" ")}`)
  }
}

function failOnStray() {
  if (stray.length === 0) return
  const found = stray.splice(0)
  throw new Error(
    `stray console output: got ${found.length} call(s), expected none; spy on it or remove it\n${found.join("\n")}`,
  )
}

beforeAll(failOnStray)
afterEach(failOnStray)
afterAll(failOnStray)
