// The program in which the examples run, one after another in one process: it puts the defaults back before each and
// writes what each printed, a line of JSON an example. It judges nothing. Bundled and started by examples-check.ts.
import { writeSync } from "node:fs"
import { formatWithOptions } from "node:util"
import { device, manualSeed, setDefaultDType, setPrintOptions, Tensor, use } from "rondo"

/** What one example did. */
export interface Outcome {
  readonly name: string
  readonly error: string | null
  readonly prints: Record<number, string[]>
  /** Sizes and dtypes of declared values, null for what is no tensor. */
  readonly shapes: Record<number, ({ shape: readonly number[]; dtype: string } | null)[]>
}

let current: Outcome

const recorder = {
  print:
    (line: number) =>
    (...values: unknown[]) => {
      const text = formatWithOptions({ breakLength: Infinity, depth: 8 }, ...values)
      ;(current.prints[line] ??= []).push(text)
    },
  shapes: (line: number, values: unknown[]) => {
    current.shapes[line] = values.map((x) => (x instanceof Tensor ? { shape: x.shape, dtype: x.dtype } : null))
  },
}
Object.assign(globalThis, { __example: recorder })

const describe = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`

async function run(name: string, url: string): Promise<Outcome> {
  current = { name, error: null, prints: {}, shapes: {} }
  use(await device("cpu-js"))
  setDefaultDType("float32")
  setPrintOptions({ profile: "default" })
  manualSeed(0)
  try {
    await import(url)
    return current
  } catch (error) {
    return { ...current, error: describe(error) }
  }
}

const list = JSON.parse(process.argv[2]) as { name: string; url: string }[]
for (const { name, url } of list) {
  writeSync(1, `${JSON.stringify({ started: name })}\n`)
  writeSync(1, `${JSON.stringify(await run(name, url))}\n`)
}
