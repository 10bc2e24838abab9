// The runner that needs no test framework: for browser pages and programs of any kind.
import { pickChecks } from "./checks/index.js"
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
  for (const check of pickChecks(options.only)) {
    for (const cases of byOp(check.cases(context)).values()) {
      rows.push(...(await runCases(context, check.name, cases, ledger)))
    }
  }
  const report = summarise(context, rows, options.only ? [] : ledger.leftOver())
  await closeContext(context)
  return report
}
