// The runner that needs no test framework: for browser pages and programs of any kind.
import { checks } from "./checks/index.js"
import { fail } from "./compare.js"
import { Ledger } from "./deviation.js"
import { type Report, type Row, summarise } from "./report.js"
import { byOp, closeContext, type Make, openContext, runCases, type SuiteOptions } from "./suite.js"

/**
 * Runs the whole suite without a test framework, for example in a browser page, and returns what came out.
 * Nothing is thrown for a property that does not hold: look at `report.totals.fail`.
 *
 * @example
 * ```ts
 * class MyBackend extends CpuJs {} // yours
 * const report = await runSuite(() => new MyBackend(), { reference: () => new CpuJs(), only: ["purity"] })
 * if (report.totals.fail > 0) throw new Error(report.failures.join("\n"))
 * ```
 */
export async function runSuite(make: Make, options: SuiteOptions): Promise<Report> {
  const context = await openContext(make, options)
  const ledger = new Ledger(options.deviations ?? [])
  const rows: Row[] = []
  const known = checks()
  const unknown = options.only?.find((name) => !known.some((check) => check.name === name))
  if (unknown)
    fail(`only: unknown check: got ${unknown}, expected one of ${known.map((check) => check.name).join(", ")}`)
  for (const check of known) {
    if (options.only && !options.only.includes(check.name)) continue
    for (const cases of byOp(check.cases(context)).values()) {
      rows.push(...(await runCases(context, check.name, cases, ledger)))
    }
  }
  const report = summarise(context, rows, options.only ? [] : ledger.leftOver())
  await closeContext(context)
  return report
}
