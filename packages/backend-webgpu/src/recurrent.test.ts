// Whole layers over whole sequences, forward and backward, against the reference, and how many dispatches they take.
import type { RecurrentCell } from "@rondo/backend"
import { describeLayers, type LayerSizes, runLayer } from "@rondo/kernel-tests"
import { describe, expect, it, vi } from "vitest"
import { bothForms, limited, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const { queue } = device.gpu
  const subject = subjectOf(device)
  bothForms(device, () => {
    describeLayers(subject)

    it("folds rows of the batch that are too many for one dim", async () => {
      // A dispatch a step, and one over the whole sequence.
      for (const [cell, units, batch] of [
        ["lstm", 140, 70],
        ["lstm", 10, 20],
      ] as const) {
        const sizes = { steps: 2, batch, units }
        const expected = await runLayer(device, cell, sizes)
        const dispatch = vi.spyOn(queue, "dispatch")
        const most = 3
        await limited(device, { maxComputeWorkgroupsPerDimension: most }, async () => {
          expect(await runLayer(device, cell, sizes), `${cell} of ${units} units`).toEqual(expected)
        })
        const rows = dispatch.mock.calls.flatMap(([{ name }, , , [, y, z]]) =>
          /^recurrent/.test(name) ? [[y, z]] : [],
        )
        dispatch.mockRestore()
        expect(rows.length).toBeGreaterThan(0)
        if (device.gpu.barriers && units === 140) expect(rows.every(([y, z]) => y === most && z === 2)).toBe(true)
      }
    })

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
