// Waiting leaves the processor to others, and ends.
import { expect, it } from "vitest"
import { Patience } from "./patience.js"

const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

it("turns of the event loop are few while something is waited for", async () => {
  let over = false
  let turns = 0
  // As Dawn does it: something asks at every turn.
  const ask = () => {
    turns++
    if (!over) setImmediate(ask)
  }
  const patience = new Patience(() => over)
  setImmediate(ask)
  patience.begin()
  patience.begin()
  const begin = performance.now()
  await after(100)
  over = true
  // Naps of a millisecond, shorter ones before: without them there are tens of thousands.
  const most = 100 + (performance.now() - begin)
  expect(turns).toBeGreaterThan(10)
  expect(turns).toBeLessThan(most)
})

it("ends with the wait, and begins again", async () => {
  let asked = 0
  let over = true
  const patience = new Patience(() => (asked++, over))
  patience.begin()
  await after(20)
  expect(asked).toBe(1)
  over = false
  patience.begin()
  await after(20)
  over = true
  await after(20)
  const told = asked
  expect(told).toBeGreaterThan(2)
  await after(20)
  expect(asked).toBe(told)
})
