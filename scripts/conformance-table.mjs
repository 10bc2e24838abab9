// Turns reports/conformance-*.json into docs/conformance.md: operations by backends and dtypes. Nobody edits that page by hand.
//   node scripts/conformance-table.mjs [--check]
// With --check nothing is written: the exit status says whether the page is what the reports give.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const folder = join(root, "reports")
const page = join(root, "docs/conformance.md")
// Narrowest last: the order in which people look for them.
const dtypeOrder = ["float32", "float64", "float16", "bfloat16", "int32", "uint32", "int64", "uint8", "bool", "-"]
const marks = { pass: "✓", part: "◐", skip: "–", fail: "✗" }
const rank = { pass: 0, part: 1, skip: 1, fail: 3 }

function readReports() {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => /^conformance-.+\.json$/.test(name))
    .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")))
    .sort((a, b) => a.backend.localeCompare(b.backend))
}

/** The worst of several statuses; some skipped among passed ones is part. */
function worst(statuses) {
  if (statuses.length === 0) return null
  if (new Set(statuses).size === 1) return statuses[0]
  return statuses.reduce((a, b) => (rank[b] > rank[a] ? b : a)) === "fail" ? "fail" : "part"
}

const cell = (rows) => {
  const status = worst(rows.map((row) => row.status))
  return status === null ? "" : marks[status]
}

function table(head, lines) {
  const line = (cells) => `| ${cells.join(" | ")} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : ":-:"))), ...lines.map(line)].join("\n")
}

const unique = (list) => [...new Set(list)]

function summary(reports) {
  const lines = reports.map(({ backend, totals, capabilities }) => [
    backend, totals.cases, totals.pass, totals.skip, totals.fail, capabilities.dtypes.join(" "), capabilities.syncRead ? "yes" : "no",
  ]) // prettier-ignore
  return table(["backend", "cases", "hold", "deviate", "fail", "dtypes", "synchronous reads"], lines)
}

/** One line an operation: a column for each backend and check. */
function byCheck(rows) {
  const checks = unique(rows.map((row) => row.check))
  const lines = unique(rows.map((row) => row.op))
    .sort((a, b) => a.localeCompare(b))
    .map((op) => [
      `\`${op}\``,
      ...checks.map((check) => cell(rows.filter((row) => row.op === op && row.check === check))),
    ])
  return table(["operation", ...checks], lines)
}

/** One line an operation: its forward values and gradients against the reference, by dtype. */
function byDtype(reports) {
  const own = reports.map((report) => report.rows.filter((row) => row.check === "forward" || row.check === "backward"))
  const columns = reports.flatMap((report, i) =>
    dtypeOrder
      .filter((dtype) => own[i].some((row) => row.dtype === dtype))
      .map((dtype) => ({ i, dtype, name: report.backend })),
  )
  const names = unique(own.flat().map((row) => row.op)).sort((a, b) => a.localeCompare(b))
  const lines = names.map((op) => [
    `\`${op}\``,
    ...columns.map(({ i, dtype }) => cell(own[i].filter((row) => row.op === op && row.dtype === dtype))),
  ])
  return table(["operation", ...columns.map(({ name, dtype }) => `${name} ${dtype}`)], lines)
}

function deviations({ backend, rows }) {
  const found = rows.filter((row) => row.reasons.length > 0)
  if (found.length === 0) return `${backend} passes without deviations.`
  const lines = found.map((row) => [
    `\`${row.op}\``,
    row.check,
    row.dtype,
    row.skipped > 0 ? `${row.skipped} of ${row.cases} skipped` : "wider tolerance",
    row.reasons.join("; ").replaceAll("|", "\\|"),
  ])
  return table(["operation", "check", "dtype", "what", "why"], lines)
}

function render(reports) {
  const parts = [
    "# Conformance",
    "What every backend was found to do by the shared suite (`@rondo/conformance`). This page is generated from its reports by " +
      "`node scripts/conformance-table.mjs`; do not edit it.",
    "✓ holds in every case, ◐ holds but for listed deviations, – deviates as listed, ✗ fails; empty: no such case.",
    "## Backends",
    summary(reports),
    "## Operations by dtype",
    "Values and gradients against the reference backend. An operation that is not defined for a dtype holds if it throws the same error.",
    byDtype(reports),
  ]
  for (const report of reports) {
    const operations = report.rows.filter((row) => row.check !== "kernels")
    parts.push(`## ${report.backend} by check`, byCheck(operations))
    parts.push(`### Kernels`, kernelTable(report))
    parts.push(`### Deviations`, deviations(report))
  }
  return `${parts.join("\n\n")}\n`
}

function kernelTable(report) {
  const rows = report.rows.filter((row) => row.check === "kernels")
  const dtypes = dtypeOrder.filter((dtype) => rows.some((row) => row.dtype === dtype))
  const lines = unique(rows.map((row) => row.op)).map((op) => [
    `\`${op}\``,
    ...dtypes.map((dtype) => cell(rows.filter((row) => row.op === op && row.dtype === dtype))),
  ])
  return table(["kernel", ...dtypes], lines)
}

const reports = readReports()
if (reports.length === 0) {
  console.error(
    "conformance-table: reports/ holds no conformance-*.json; run the suite first: npx vitest run packages/conformance",
  )
  process.exit(1)
}
const text = render(reports)
if (process.argv.includes("--check")) {
  const same = existsSync(page) && readFileSync(page, "utf8") === text
  if (!same)
    console.error("conformance-table: docs/conformance.md is not what the reports give; run this without --check")
  process.exit(same ? 0 : 1)
}
mkdirSync(dirname(page), { recursive: true })
writeFileSync(page, text)
console.log(`conformance-table: ${reports.length} backends, ${reports.reduce((n, r) => n + r.totals.cases, 0)} cases`)
