// Relations that hold between recurrent layers whatever their weights: directions, stacks and batches.
import { CpuJs } from "@rondo/backend-cpu-js"
import { cat, noGrad, randn, type Tensor, use } from "@rondo/core"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { GRU, LSTM, type RecurrentLayer, type RecurrentOptions, RNN } from "../index.js"

beforeAll(() => {
  use(new CpuJs())
})

const dtype = "float64"
const apart = (a: Tensor, b: Tensor): number => a.sub(b).abs().max().itemSync()

interface Kind {
  readonly make: (inputs: number, options: RecurrentOptions) => RecurrentLayer
  readonly run: (layer: RecurrentLayer, x: Tensor) => [Tensor, Tensor[]]
}
const single = (Layer: typeof RNN | typeof GRU): Kind => ({
  make: (inputs, options) => new Layer(inputs, 4, options),
  run: (layer, x) => {
    const [output, last] = (layer as RNN).forward(x)
    return [output, [last]]
  },
})
const long = (projSize: number): Kind => ({
  make: (inputs, options) => new LSTM(inputs, 4, { ...options, projSize }),
  run: (layer, x) => (layer as LSTM).forward(x),
})
const kinds: Record<string, Kind> = { RNN: single(RNN), GRU: single(GRU), LSTM: long(0), projected: long(2) }
const sizes = [fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 3 })] as const

/** A layer of one direction with the weights of one direction of one layer of `from`. */
function part(kind: Kind, from: RecurrentLayer, inputs: number, suffix: string): RecurrentLayer {
  const layer = kind.make(inputs, { dtype })
  const dict = from.stateDict()
  layer.loadStateDict(Object.fromEntries(Object.keys(layer.stateDict()).map((key) => [key, dict[key.replace("l0", suffix)]]))) // prettier-ignore
  return layer
}

describe.each(Object.entries(kinds))("%s", (_, kind) => {
  it("in two directions is two layers, the second over the reversed sequence", () => {
    fc.assert(
      fc.property(...sizes, (time, batch) => {
        const both = kind.make(3, { dtype, bidirectional: true })
        const x = randn(time, batch, 3, { dtype })
        noGrad(() => {
          const [output, finals] = kind.run(both, x)
          const [there, first] = kind.run(part(kind, both, 3, "l0"), x)
          const [back, second] = kind.run(part(kind, both, 3, "l0_reverse"), x.flip(0))
          expect(apart(output, cat([there, back.flip(0)], 2))).toBeLessThan(1e-14)
          finals.forEach((final, i) => expect(apart(final, cat([first[i], second[i]], 0))).toBeLessThan(1e-14))
        })
      }),
      { numRuns: 15 },
    )
  })
  it("stacked is one layer over the other", () => {
    fc.assert(
      fc.property(...sizes, (time, batch) => {
        const stacked = kind.make(3, { dtype, numLayers: 2 })
        const x = randn(time, batch, 3, { dtype })
        noGrad(() => {
          const [output, finals] = kind.run(stacked, x)
          const [lower, below] = kind.run(part(kind, stacked, 3, "l0"), x)
          const [upper, above] = kind.run(part(kind, stacked, lower.shape[2], "l1"), lower)
          expect(apart(output, upper)).toBeLessThan(1e-14)
          finals.forEach((final, i) => expect(apart(final, cat([below[i], above[i]], 0))).toBeLessThan(1e-14))
        })
      }),
      { numRuns: 15 },
    )
  })
  it("with the batch first is the same layer over a transposed batch", () => {
    fc.assert(
      fc.property(...sizes, (time, batch) => {
        const layer = kind.make(3, { dtype, bidirectional: true })
        const turned = kind.make(3, { dtype, bidirectional: true, batchFirst: true })
        turned.loadStateDict(layer.stateDict())
        const x = randn(time, batch, 3, { dtype })
        noGrad(() => {
          const [output] = kind.run(layer, x)
          expect(apart(output, kind.run(turned, x.transpose(0, 1))[0].transpose(0, 1))).toBe(0)
        })
      }),
      { numRuns: 10 },
    )
  })
})
