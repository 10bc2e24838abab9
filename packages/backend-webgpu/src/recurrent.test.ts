// Whole layers over whole sequences, forward and backward, against the reference, and how many dispatches they take.
import type { RecurrentCell } from "@rondo/backend"
import { describeLayers, type LayerSizes, runLayer } from "@rondo/kernel-tests"
import { describe, expect, it } from "vitest"
import { bothForms, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const { queue } = device.gpu
  const subject = subjectOf(device)
  bothForms(device, () => {
    describeLayers(subject)

    describe("dispatches", () => {
      /** Dispatches of a forward and a backward run. */
      const count = async (cell: RecurrentCell, sizes: LayerSizes): Promise<number> => {
        const before = queue.dispatches
        await runLayer(device, cell, sizes)
        return queue.dispatches - before
      }
      it("are three or four for layers that fit workgroups, however long the sequence", async () => {
        expect(await count("tanh", { steps: 100, batch: 4, units: 10 })).toBe(3)
        expect(await count("lstm", { steps: 40, batch: 2, units: 20 })).toBe(3)
        // The weights do not fit: they are turned first. Without barriers a single thread would have both rows: a dispatch a step
        // is faster then.
        expect(await count("gru", { steps: 6, batch: 2, units: 100 })).toBe(device.gpu.barriers ? 4 : 6 + 6 + 2)
      })
      it("are one a step in each direction, and two more, for an LSTM of 256 units over 64 steps", async () => {
        const started = queue.dispatches
        expect(await count("lstm", { steps: 64, batch: 1, units: 256 })).toBe(64 + 64 + 2)
        expect(queue.dispatches - started).toBeLessThan(200)
      })
    })
  })
}
