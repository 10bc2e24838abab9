// Gathers and scatters against the reference; how many passes sort a scatter, and errors of many runs.
import {
  describeGathers,
  describeScatters,
  indices,
  operand,
  operandOf,
  Placement,
  randomFrom,
} from "@rondo/kernel-tests"
import { expect, it, vi } from "vitest"
import { bothForms, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()
if (device) {
  const random = randomFrom(3)
  const subject = subjectOf(device)
  const { agree } = subject
  describeGathers(subject)
  bothForms(device, () => {
    describeScatters(subject)

    it("sorts in as many passes as destinations need", { timeout: 60_000 }, async () => {
      const source = operand("float32", [150, 2], "contiguous", random)
      for (const size of [1, 255, 256, 65_535, 65_536, 70_000]) {
        const index = indices([150, 2], size, random, [1])
        index.data[0] = size - 1
        const out = operand("float32", [size, 2], "contiguous", random)
        for (const mode of ["add", "replace"] as const)
          await agree(`${mode} ${size}`, { kind: "scatter", dim: 0, mode }, [index, source], [out])
      }
    })

    it("sorts more entries than a tile or a share has, in order", async () => {
      const [many, size] = [70_000, 300]
      const values = Float32Array.from({ length: many }, () => random() - 0.5)
      const source = operandOf("float32", [many, 1], values)
      const index = indices([many, 1], size, random)
      // Sums round: an order that differs shows.
      const out = operand("float32", [size, 1], "contiguous", random)
      for (const mode of ["add", "replace"] as const)
        await agree(mode, { kind: "scatter", dim: 0, mode }, [index, source], [out])
    })

    it("sorts as many entries at a time as a buffer holds", async () => {
      const { gpu } = device
      const { maxBufferBytes } = gpu
      const source = operand("float32", [1000, 2, 3], "contiguous", random)
      const index = indices([1000, 2, 3], 50, random, [2])
      const out = operand("float32", [50, 2, 3], "contiguous", random)
      const asked = vi.spyOn(gpu.pool, "take")
      // A bad index in a later part, seen before the first.
      const bad = { ...index, data: index.data.slice() }
      bad.data[1999] = 50
      const placement = new Placement(device)
      try {
        Object.assign(gpu, { maxBufferBytes: 8 * 600 })
        for (const mode of ["add", "replace"] as const)
          await agree(mode, { kind: "scatter", dim: 0, mode }, [index, source], [out])
        expect(asked).toHaveBeenCalledWith(8 * 600)
        placement.run({ kind: "scatter", dim: 0, mode: "add" }, [bad, source], [out])
        await expect(device.sync()).rejects.toThrow(/^scatter: index out of range: got 50/)
        expect(await placement.read(out)).toEqual([...out.data])
      } finally {
        Object.assign(gpu, { maxBufferBytes })
        asked.mockRestore()
        placement.free()
      }
    })
  })

  it("names the bad index of the first run, however many kinds of runs there were", { timeout: 60_000 }, async () => {
    const placement = new Placement(device)
    const index = operandOf("int32", [1], [600])
    const [source, out] = [operandOf("float32", [700], []), operandOf("float32", [1], [])]
    const [from, at, to] = [source, index, out].map((one) => placement.view(one))
    // Sizes up to 600 are too small; there are more kinds than flags between two reads.
    for (let size = 650; size > 20; size--)
      device.run({ kind: "gather", dim: 0 }, [{ ...from, shape: [size] }, at], [to])
    await expect(device.sync()).rejects.toThrow(/got 600, expected 0 <= index < 600 at dim 0/)
    placement.free()
  })
}
