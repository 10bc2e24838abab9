// Reads vitest's JSON report: how many tests passed and failed, and which were skipped. It decides nothing.
import { existsSync, readFileSync } from "node:fs"
import { relative } from "node:path"
import { root } from "./install.mjs"

/**
 * Counts the tests of a report; a file that did not load counts as one failure.
 * Skipped tests come back as `{ what, why }`, one entry a file, because a silent skip is no pass.
 */
export function readVitest(file) {
  if (!existsSync(file))
    return { passed: 0, failed: 1, skipped: [{ what: "every test", why: "vitest wrote no report" }] }
  const report = JSON.parse(readFileSync(file, "utf8"))
  const counts = { passed: 0, failed: 0, skipped: [] }
  for (const suite of report.testResults) {
    const of = (...states) => suite.assertionResults.filter((test) => states.includes(test.status))
    const [passed, failed] = [of("passed").length, of("failed").length]
    counts.passed += passed
    counts.failed += failed === 0 && suite.status === "failed" ? 1 : failed
    const skipped = of("pending", "skipped", "todo", "disabled")
    if (skipped.length === 0) continue
    const names = skipped.slice(0, 5).map((test) => test.fullName)
    const more = skipped.length > names.length ? `, and ${skipped.length - names.length} more` : ""
    counts.skipped.push({
      what: `${skipped.length} test(s) of ${relative(root, suite.name)}`,
      why: `skipped: ${names.join("; ")}${more}`,
    })
  }
  return counts
}
