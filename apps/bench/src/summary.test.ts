// Medians, spread, foreign load and failures, from made-up runs.
import { describe, expect, it } from "vitest"
import { type Peer, selected } from "./peers.js"
import { type Run, short, summarise, tables } from "./summary.js"

const run = (over: Partial<Run>): Run => ({
  workload: "W1",
  peer: "a",
  round: 1,
  foreign: 0,
  others: 0,
  wall_s: 1,
  median_ms: 2,
  min_ms: 1,
  first_ms: 9,
  loss: 0.5,
  losses: { 3: 0.25 },
  steps: 300,
  ...over,
})

describe("summarise", () => {
  it("takes the median of rounds, the fastest step and the slowest first step", () => {
    const runs = [
      run({ median_ms: 4, min_ms: 3 }),
      run({ median_ms: 2, first_ms: 20 }),
      run({ median_ms: 3, min_ms: 2 }),
    ]
    expect(summarise(runs)).toEqual([
      expect.objectContaining({ median_ms: 3, min_ms: 1, first_ms: 20, loss_at_3: 0.25, rounds: 3, spread: 2 / 3 }),
    ])
  })
  it("drops rounds with foreign load while a clean one exists, and marks the row otherwise", () => {
    const noisy = run({ median_ms: 10, foreign: 0.3 })
    expect(summarise([noisy, run({})])[0]).toMatchObject({ median_ms: 2, rounds: 1 })
    expect(summarise([noisy, run({})])[0].noisy).toBeUndefined()
    expect(summarise([noisy])[0]).toMatchObject({ median_ms: 10, noisy: true })
  })
  it("counts rounds of machines that cannot tell", () => {
    expect(summarise([run({ foreign: null })])[0].noisy).toBeUndefined()
  })
  it("shows a failure only if no round worked", () => {
    const failed = run({ error: "no", median_ms: undefined })
    expect(summarise([failed])).toEqual([{ workload: "W1", peer: "a", error: "no" }])
    expect(summarise([failed, run({})])[0]).toMatchObject({ median_ms: 2, rounds: 1 })
  })
})

describe("tables", () => {
  it("sorts by time, compares with the base and lists failures below", () => {
    const text = tables(
      summarise([run({}), run({ peer: "torch", median_ms: 1 }), run({ peer: "c", error: "no" })]),
      "torch",
    )
    const rows = text.split("\n").filter((line) => line.startsWith("|"))
    expect(rows[0]).toContain("x torch")
    expect(rows[2]).toMatch(/^\| torch \| +1 \| +1 \| +1 \|/)
    expect(rows[3]).toMatch(/^\| a +\| +2 \| +1 \| +2 \|/)
    expect(text).toContain("- c fails: no")
  })
  it("gives W5 in microseconds and operations with their rate", () => {
    const text = tables(
      summarise([run({ workload: "W5", median_ms: 0.017, check: 0.15 }), run({ workload: "add 1M" })]),
      "a",
    )
    expect(text).toContain("median µs")
    expect(text).toMatch(/\| a +\| +17 \|/)
    expect(text).toMatch(/\| add 1M \| 2000 \| 0\.524 \|/)
  })
})

describe("short", () => {
  it.each([
    [123456.7, "123457"],
    [1.23456, "1.235"],
    [0.00012345, "1.234e-4"],
    [0, "0"],
    [null, "-"],
    [NaN, "-"],
  ])("%s", (x, text) => expect(short(x)).toBe(text))
})

describe("selected", () => {
  const peers = ["rondo cpu-js", "torch", "torch ftz"].map((name): Peer => ({ name, command: [], can: [] }))
  const names = (only: string[] | null) => selected(peers, only).map(({ name }) => name)
  it("takes full names, and ours for every device", () => {
    expect(names(null)).toHaveLength(3)
    expect(names(["torch", "ours"])).toEqual(["rondo cpu-js", "torch"])
  })
  it("refuses a name that means nobody", () => {
    expect(() => names(["tourch"])).toThrow("nobody is called tourch")
  })
})
