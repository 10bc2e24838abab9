// The program in which the examples run, one after another in one process: it puts the defaults back before each and
// writes what each did, a line of JSON an example. It judges nothing. Bundled and started by examples-check.ts, which
// also resolves the import: the workspace's root does not depend on its packages.
import { writeSync } from "node:fs"
import { formatWithOptions } from "node:util"
import { device, manualSeed, setDefaultDType, setPrintOptions, Tensor, use } from "rondo"

let current

// What instrumented code calls instead of console.log, and behind declarations whose sizes a comment promises.
globalThis.__example = {
  print:
    (line) =>
    (...values) => {
      const text = formatWithOptions({ breakLength: Infinity, depth: 8 }, ...values)
      ;(current.prints[line] ??= []).push(text)
    },
  shapes: (line, values) => {
    current.shapes[line] = values.map((x) => (x instanceof Tensor ? { shape: x.shape, dtype: x.dtype } : null))
  },
}

async function run(name, url) {
  current = { name, error: null, prints: {}, shapes: {} }
  use(await device("cpu-js"))
  setDefaultDType("float32")
  setPrintOptions({ profile: "default" })
  manualSeed(0)
  try {
    await import(url)
    return current
  } catch (error) {
    return { ...current, error: error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}` }
  }
}

for (const { name, url } of JSON.parse(process.argv[2])) writeSync(1, `${JSON.stringify(await run(name, url))}\n`)
