// Maps against the reference, bytes of outputs that share a word, and maps with more buffers or parameters than a kernel may have.
import { e, type Expr } from "@rondo/backend"
import { describeMaps, flat, type Geometry, mapOperand, type Operand } from "@rondo/kernel-tests"
import { describe, expect, it } from "vitest"
import { groupsFor } from "./map.js"
import { limited as asIf, openForTest, subjectOf } from "../test/testing.js"

const device = await openForTest()

if (device) {
  const subject = subjectOf(device)
  const { agree } = subject
  describeMaps(subject)

  it("outputs may meet in a word", async () => {
    const [storage, source] = [device.alloc(8), device.alloc(8)]
    device.write(storage, new Uint8Array(8).fill(9))
    device.write(source, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]))
    const view = (of: typeof storage, offset: number) =>
      ({ storage: of, dtype: "uint8", shape: [3], strides: [1], offset }) as const
    const x = e.input(0, "uint8")
    device.run({ kind: "map", exprs: [x, e.neg(x)] }, [view(source, 1)], [view(storage, 0), view(storage, 4)])
    expect([...new Uint8Array(await device.read(storage, 0, 8))]).toEqual([2, 3, 4, 9, 254, 253, 252, 9])
    for (const one of [storage, source]) device.free(one)
  })

  describe("limits", () => {
    const limited = (limits: object, body: () => Promise<void>) => asIf(device, limits, body)
    const few = { maxStorageBuffersPerShaderStage: 4 }
    const input = (i: number): Expr => e.input(i, "float32")
    const sum = (n: number): Expr => Array.from({ length: n }, (_, i) => input(i)).reduce((a, b) => e.add(a, b))
    const small = (seed: number, layout: Geometry = flat(37)): Operand => {
      const made = mapOperand("float32", layout, seed)
      made.data.forEach((_, i) => (made.data[i] = ((i * seed) % 17) - 8))
      return made
    }

    it("an output may read more buffers than a kernel", () =>
      limited(few, async () => {
        const inputs = Array.from({ length: 11 }, (_, i) => small(i + 1, flat(37, i % 4)))
        await agree("11 inputs", { kind: "map", exprs: [sum(11)] }, inputs, [small(99)])
        const bytes = [
          mapOperand("uint8", flat(37, 3), 1),
          mapOperand("bool", flat(37, 5), 2),
          mapOperand("float16", flat(37, 1), 3),
        ]
        const exprs = bytes.map(({ dtype }, i) => e.cast(e.input(i, dtype), "float32")).reduce((a, b) => e.max(a, b))
        await agree("small elements", { kind: "map", exprs: [exprs] }, bytes, [small(99)])
      }))
    it("outputs that are inputs are read before any is written", () =>
      limited(few, async () => {
        const places = Array.from({ length: 7 }, (_, i) => small(i + 3))
        const exprs = places.map((_, i) => e.add(input((i + 1) % 7), e.mul(input(i), input((i + 5) % 7))))
        const before = device.gpu.queue.dispatches
        await agree("7 in place", { kind: "map", exprs }, places, places)
        expect(device.gpu.queue.dispatches - before).toBeGreaterThan(1)
      }))
    it("a fused optimiser step", () =>
      limited(few, async () => {
        const states = Array.from({ length: 9 }, (_, i) => small(i + 3))
        const gradients = [small(31), small(32), small(33)]
        const exprs = [0, 1, 2].flatMap((p) => {
          const [x, m, v, g] = [input(3 * p), input(3 * p + 1), input(3 * p + 2), input(9 + p)]
          const first = e.add(e.mul(m, e.like(m, 0.5)), g)
          const second = e.add(e.mul(v, e.scalar(0, "float32")), e.mul(g, g))
          return [e.sub(x, e.div(first, e.add(e.sqrt(e.abs(second)), e.like(x, 1)))), first, second]
        })
        await agree("3 parameters", { kind: "map", exprs }, [...states, ...gradients], states, undefined, [0.25])
      }))
    it("more parameters than the queue takes", () => {
      const shape = [2, 3, 2, 3, 2]
      const turned = (i: number): Geometry => {
        const strides = [1, 2, 6, 12, 36]
        for (let k = 0; k < i % 5; k++) strides.push(strides.shift() as number)
        return { shape, strides: strides.map((stride, d) => (i < 5 * d + 4 ? stride : 0)), offset: i % 7 }
      }
      const inputs = Array.from({ length: 9 }, (_, i) => small(i + 1, turned(i)))
      // Scalars alone are more than 256.
      const many = Array.from({ length: 60 }, (_, i) => e.mul(e.scalar(5 * i, "float32"), input(i % 9)))
      const exprs = [many.reduce((a, b) => e.add(a, b))]
      const scalars = Array.from({ length: 300 }, (_, i) => i % 7)
      return agree(
        "parameters",
        { kind: "map", exprs },
        inputs,
        [small(99, { shape, strides: [36, 12, 6, 2, 1] })],
        undefined,
        scalars,
      )
    })
    it("folds dispatches that are too long for one dim", () =>
      limited({ maxComputeWorkgroupsPerDimension: 3 }, async () => {
        expect(groupsFor(device.gpu, 256 * 7)).toEqual([3, 3, 1])
        const n = 256 * 7 + 5
        const long = (seed: number): Operand => {
          const data = Float32Array.from({ length: n + 3 }, (_, i) => (i * seed) % 101)
          return { dtype: "float32", shape: [n], strides: [1], offset: 0, data }
        }
        await agree("7 groups", { kind: "map", exprs: [e.add(input(0), input(1))] }, [long(3), long(7)], [long(1)])
      }))
  })
}
