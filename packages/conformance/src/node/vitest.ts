// Binds the suite to Vitest: one test for each check and operation, and the report when all are done.
import { afterAll, describe, expect, test } from "vitest"
import { pickChecks } from "../checks/index.js"
import { Ledger } from "../deviation.js"
import { type Row, summarise } from "../report.js"
import {
  byOp,
  type Case,
  type Check,
  closeContext,
  type Context,
  type Make,
  openContext,
  runCases,
  type SuiteOptions,
} from "../suite.js"
import { collector, isRequired, readGoldens, writeCouldNotRun, writeReport } from "./files.js"
import { missing, raise } from "./outcome.js"

/** Options of {@link describeBackend}. */
export interface DescribeOptions extends SuiteOptions {
  /** A name is needed before the backend is there: it stands in reports also if it cannot be opened. */
  readonly name: string
  /** Fail if the backend cannot be had. Default: whether `REQUIRE_BACKENDS` names it. Otherwise it is reported as not run. */
  readonly required?: boolean
  /** Write `reports/conformance-<name>.json`. Default true. */
  readonly report?: boolean
}

/**
 * Registers the whole suite for one backend. Call it at the top level of a test file.
 *
 * @example
 * ```ts no-run
 * import { CpuJs } from "@rondo/backend-cpu-js"
 * import { describeBackend } from "@rondo/conformance/vitest"
 *
 * class MyBackend extends CpuJs {} // yours
 * describeBackend(() => new MyBackend(), { name: "mine", reference: () => new CpuJs(), deviations: [] })
 * ```
 */
export function describeBackend(make: Make, options: DescribeOptions): void {
  const { name } = options
  describe(`conformance of ${name}`, async () => {
    let context: Context
    try {
      context = await openContext(make, { goldens: readGoldens, collect: collector(), ...options })
    } catch (error) {
      missing(name, options.required ?? isRequired(name), error)
      return
    }
    writeCouldNotRun(name, [])
    register(context, options)
  })
}

function register(context: Context, options: DescribeOptions): void {
  const ledger = new Ledger(options.deviations ?? [])
  const rows: Row[] = []
  const planned = new Set<string>()
  for (const check of pickChecks(options.only)) {
    const groups = byOp(check.cases(context))
    // Finite differences, for one, need float64: a device without it has no such cases.
    if (groups.size === 0) continue
    describe(check.name, () => {
      for (const [op, cases] of groups) {
        planned.add(`${check.name} ${op}`)
        test(op, () => runGroup(context, check, cases, ledger, rows))
      }
    })
  }
  let leftOver: string[] = []
  // Under a name filter (`-t`) some cases never ran: then the list of deviations and the report say nothing.
  const complete = (): boolean =>
    !options.only && new Set(rows.map((row) => `${row.check} ${row.op}`)).size === planned.size
  test("every deviation is needed", () => {
    leftOver = complete() ? ledger.leftOver() : []
    expect(leftOver).toEqual([])
  })
  afterAll(async () => {
    if (complete() && options.report !== false) writeReport(summarise(context, rows, leftOver))
    await closeContext(context)
  })
}

async function runGroup(
  context: Context,
  check: Check,
  cases: readonly Case[],
  ledger: Ledger,
  rows: Row[],
): Promise<void> {
  const own = await runCases(context, check.name, cases, ledger)
  rows.push(...own)
  raise(
    own.flatMap((row) => row.failures),
    cases.length,
    12,
  )
}
