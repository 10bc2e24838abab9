// What came out of a run, as plain data: the rows behind the table of the docs. Writes no file.
import type { Backend, Capabilities, DType } from "@rondo/backend"

/** `part`: some cases hold, others are listed as deviations. */
export type Status = "pass" | "fail" | "skip" | "part"

/** One operation, check and dtype. */
export interface Row {
  readonly op: string
  readonly check: string
  readonly dtype: DType | "-"
  status: Status
  cases: number
  /** Cases listed as deviations; never counted as passed. */
  skipped: number
  /** Largest error, relative to max(1, |expected|). */
  maxError: number
  failures: string[]
  /** Reasons of the deviations that applied. */
  reasons: string[]
}

/** The result of a run on one backend. */
export interface Report {
  readonly backend: string
  readonly capabilities: Capabilities
  readonly totals: { readonly cases: number; readonly pass: number; readonly skip: number; readonly fail: number }
  readonly rows: readonly Row[]
  /** Every failure in words; those of the list of deviations last. */
  readonly failures: readonly string[]
}

/** Adds up the rows of a run. `extra` are failures that belong to no case. */
export function summarise(
  context: { name: string; backend: Backend },
  rows: readonly Row[],
  extra: readonly string[],
): Report {
  const count = (f: (row: Row) => number): number => rows.reduce((n, row) => n + f(row), 0)
  const cases = count((row) => row.cases)
  const skip = count((row) => row.skipped)
  const failed = count((row) => row.failures.length)
  return {
    backend: context.name,
    capabilities: context.backend.capabilities,
    totals: { cases, pass: cases - skip - failed, skip, fail: failed + extra.length },
    rows,
    failures: [...rows.flatMap((row) => row.failures), ...extra],
  }
}
