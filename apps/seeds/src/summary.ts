// The table at the end: one line for every result, beside what it should be.
import Table from "cli-table3"
import type { Row, Session, Verdict } from "./session.js"

const verdictOf = ({ ok }: Row): Verdict => (ok === null ? "shown" : ok ? "match" : "DIFFERS")

const titles = ["task", "device", "time", "result", "expected", "verdict"]

/** The results of a session as a table that fits its columns. */
export function summary(session: Session): string {
  const fixed = { device: session.device.name.length + 2, time: 9, verdict: 9 }
  const borders = titles.length + 1
  const rest = session.columns - borders - fixed.device - fixed.time - fixed.verdict
  const task = Math.floor(rest * 0.38)
  const result = Math.floor((rest - task) / 2)
  const table = new Table({
    head: titles,
    colWidths: [task, fixed.device, fixed.time, result, rest - task - result, fixed.verdict],
    colAligns: ["left", "left", "right", "left", "left", "left"],
    wordWrap: true,
    // No colours: the table must read the same in a file.
    style: { head: [], border: [], compact: false },
  })
  for (const row of session.rows) {
    const time = `${row.seconds.toFixed(row.seconds < 10 ? 2 : 1)} s`
    const name = `${row.program} ${row.section}`
    table.push([name, session.device.name, time, row.result, row.expected, verdictOf(row)])
  }
  return table.toString()
}
