// What becomes of a run in vitest: a backend that cannot be had, and the cases that fail. Registers tests, runs no case.
import { expect, test } from "vitest"
import { writeCouldNotRun } from "./files.js"

/** Registers the one test that stands for a backend which cannot be opened: a failure only where it is required. */
export function missing(name: string, required: boolean, error: unknown): void {
  const why = error instanceof Error ? error.message : String(error)
  test(required ? "the backend can be opened" : `could not run: ${why}`, () => {
    if (required) throw new Error(`${name} is required and cannot be opened: ${why}`, { cause: error })
    writeCouldNotRun(name, [{ what: `the conformance suite on ${name}`, why }])
    expect(why).not.toBe("")
  })
}

/** Throws what failed in words, the first `most` of them. */
export function raise(failures: readonly string[], cases: number, most: number): void {
  if (failures.length === 0) return
  const more = failures.length > most ? `\n… and ${failures.length - most} more` : ""
  throw new Error(`${failures.length} of ${cases} cases\n${failures.slice(0, most).join("\n")}${more}`)
}
