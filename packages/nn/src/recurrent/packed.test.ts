// Packing and padding under properties and bad input. PyTorch's values are in goldens.test.ts.
import { DTypeError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import {
  arange,
  gradcheck,
  gradgradcheck,
  manualSeed,
  noGrad,
  ones,
  randn,
  scope,
  type Tensor,
  tensor,
  use,
  zeros,
} from "@rondo/core"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import * as nn from "../index.js"
import {
  GRU,
  LSTM,
  packPaddedSequence,
  packSequence,
  padPackedSequence,
  padSequence,
  RNN,
  unpackSequence,
  unpadSequence,
} from "../index.js"

beforeAll(() => {
  use(new CpuJs())
})

const list = (x: Tensor): unknown => x.detach().tolistSync()
const lengthsOf = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 24 })

/** Sequences of whole numbers from 1 on, all different. */
function sequences(lengths: readonly number[], trailing: readonly number[]): Tensor[] {
  let from = 1
  return lengths.map((length) => {
    const count = trailing.reduce((a, b) => a * b, length)
    from += count
    return arange(from - count, from).reshape(length, ...trailing)
  })
}

describe("inverses", () => {
  it("packing and padding give back the padded batch, for any lengths", () => {
    const layouts = [fc.boolean(), fc.boolean(), fc.constantFrom([], [2], [1, 3])] as const
    fc.assert(
      fc.property(lengthsOf, ...layouts, (given, batchFirst, enforceSorted, trailing) => {
        const lengths = enforceSorted ? [...given].sort((a, b) => b - a) : given
        const batch = padSequence(sequences(lengths, trailing), { batchFirst, paddingValue: -1 })
        const packed = packPaddedSequence(batch, lengths, { batchFirst, enforceSorted })
        expect(packed.data.shape).toEqual([lengths.reduce((a, b) => a + b), ...trailing])
        const [padded, back] = padPackedSequence(packed, { batchFirst, paddingValue: -1 })
        expect([padded.dtype, list(padded), back]).toEqual([batch.dtype, list(batch), lengths])
      }),
      { numRuns: 60 },
    )
  })
  it("packing and unpacking, padding and unpadding give back the sequences", () => {
    fc.assert(
      fc.property(lengthsOf, fc.boolean(), (lengths, batchFirst) => {
        const given = sequences(lengths, [2])
        const packed = packSequence(given, { enforceSorted: false })
        expect(unpackSequence(packed).map(list)).toEqual(given.map(list))
        const padded = padSequence(given, { batchFirst })
        expect(unpadSequence(padded, lengths, { batchFirst }).map(list)).toEqual(given.map(list))
      }),
      { numRuns: 60 },
    )
  })
  it("equal lengths come in the order of torch.sort, which is no longer theirs beyond 16", () => {
    // torch.sort(torch.tensor([i * 7 % 5 + 1 for i in range(n)]), descending=True)[1] of PyTorch 1.13.1
    const few = [2, 7, 12, 4, 9, 14, 1, 6, 11, 3, 8, 13, 0, 5, 10, 15]
    const many = [17, 2, 37, 22, 7, 32, 27, 12, 9, 24, 14, 29, 19, 34, 4, 39, 21, 1, 26, 31]
    many.push(36, 16, 11, 6, 18, 23, 38, 13, 28, 3, 8, 33, 0, 20, 5, 35, 10, 30, 15, 25)
    for (const wanted of [few, many]) {
      const lengths = wanted.map((_, i) => ((i * 7) % 5) + 1)
      expect(packSequence(sequences(lengths, []), { enforceSorted: false }).sortedIndices).toEqual(wanted)
    }
  })
  it("dropout between layers falls on the same sequences of a large batch as in PyTorch", () => {
    // torch.manual_seed(3); gru = nn.GRU(1, 2, num_layers=2, dropout=0.5); torch.manual_seed(4)
    // gru(pack_padded_sequence(torch.arange(54.).reshape(3, 18, 1), lengths, enforce_sorted=False))[1][1, :, 0]
    const lengths = [3, 1, 2, 3, 2, 2, 1, 3, 1, 2, 3, 3, 1, 2, 1, 2, 3, 1]
    const wanted = [-0.04042279, -0.15833855, -0.0400715, 0.14152959, 0.00167364, -0.11608612, -0.19945376, -0.06088047]
    wanted.push(-0.09703154, -0.09254946, 0.21608965, 0.16738197, -0.00071024, 0.10961805, -0.02316435, 0.13739229)
    wanted.push(0.08502558, -0.00069923)
    manualSeed(3)
    const gru = new GRU(1, 2, { numLayers: 2, dropout: 0.5 })
    manualSeed(4)
    const padded = arange(54, { dtype: "float32" }).reshape(3, 18, 1)
    const [, last] = gru.forward(packPaddedSequence(padded, lengths, { enforceSorted: false }))
    ;(list(last.select(0, 1).select(1, 0)) as number[]).forEach((h, i) => expect(h).toBeCloseTo(wanted[i], 6))
  })
  it("unpad takes empty sequences, and pads may be longer", () => {
    expect(unpadSequence(ones(3, 2), [0, 2]).map((x) => x.shape)).toEqual([[0], [2]])
    expect(padSequence([ones(0, 2), ones(1, 2)]).tolistSync()).toEqual([[[0, 0], [1, 1]]]) // prettier-ignore
    expect(list(padPackedSequence(packSequence([tensor([true])]), { totalLength: 2 })[0])).toEqual([[true], [false]])
  })
  it("packed sequences are plain data: scopes hand them on", () => {
    const packed = scope(() => packSequence([ones(2, 1), ones(1, 1)]))
    expect(packed.data.sum().itemSync()).toBe(3)
    expect([nn.isPacked(packed), nn.isPacked(packed.data), nn.isPacked(null)]).toEqual([true, false, false])
  })
})

describe("layers over packed sequences", () => {
  const kinds = [RNN, GRU, LSTM] as const
  it("give every sequence what it gets alone, in any order", () => {
    const setups = [fc.constantFrom(...kinds), fc.boolean(), fc.integer({ min: 1, max: 3 })] as const
    const few = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(few, ...setups, (lengths, Layer, bidirectional, numLayers) => {
        const layer = new Layer(2, 3, { numLayers, bidirectional, dtype: "float64" })
        type Forward<X> = (x: X) => [X, Tensor | Tensor[]]
        const run = <X>(x: X) => (layer.forward as unknown as Forward<X>).call(layer, x)
        const given = lengths.map((length) => randn(length, 2, { dtype: "float64" }))
        noGrad(() => {
          const [output, last] = run(packSequence(given, { enforceSorted: false }))
          const outputs = unpackSequence(output)
          given.forEach((x, b) => {
            const [alone, state] = run(x)
            expect(outputs[b].sub(alone).abs().max().itemSync()).toBeLessThan(1e-14)
            const pairs = Array.isArray(last) ? last.map((s, i) => [s, (state as Tensor[])[i]]) : [[last, state as Tensor]] // prettier-ignore
            for (const [s, t] of pairs) expect(s.select(1, b).sub(t).abs().max().itemSync()).toBeLessThan(1e-14)
          })
        })
      }),
      { numRuns: 25 },
    )
  })
})

describe("derivatives", () => {
  const input = (...shape: number[]) => randn(shape, { dtype: "float64", requiresGrad: true })
  it("of the second order pass through packed sequences and projections", async () => {
    const gru = new GRU(2, 2, { bidirectional: true, dtype: "float64" })
    const lstm = new LSTM(2, 3, { projSize: 2, dtype: "float64" })
    const run = (x: Tensor, h: Tensor, c: Tensor) => {
      const [first] = gru.forward(packPaddedSequence(x, [1, 3], { enforceSorted: false }), h)
      const both = { ...first, data: first.data.narrow(1, 1, 2) }
      const [second, [hn, cn]] = lstm.forward(both, [h.narrow(0, 0, 1), c])
      return [padPackedSequence(second)[0], hn, cn]
    }
    const inputs = [input(3, 2, 2), input(2, 2, 2), input(1, 2, 3)]
    expect(await gradcheck(run, inputs)).toBe(true)
    expect(await gradgradcheck(run, inputs)).toBe(true)
  })
})

describe("bad input", () => {
  const x = () => zeros(4, 3, 2)
  const packed = () => packPaddedSequence(x(), [4, 2, 1])
  const broken = (change: Partial<nn.PackedSequence>) => ({ ...packed(), ...change })
  it.each<[string, () => unknown, RegExp]>([
    ["one dim", () => packPaddedSequence(zeros(4), [1]), /packPaddedSequence: got input \[4\], expected \[T, B, \.\.\.\]/],
    ["no time", () => packPaddedSequence(zeros(3, 0, 2), [1, 1, 1], { batchFirst: true }), /expected \[B, T, \.\.\.\], not empty/],
    ["no batch", () => packPaddedSequence(zeros(4, 0), []), /not empty/],
    ["few lengths", () => packPaddedSequence(x(), [4, 3]), /expected one length a sequence: got 2 lengths for a batch of 3/],
    ["few lengths, unsorted", () => packPaddedSequence(x(), [3, 4], { enforceSorted: false }), /got 2 lengths/],
    ["an empty list", () => packSequence([]), /packSequence: got an empty list/],
    ["an empty list", () => padSequence([]), /padSequence: got an empty list/],
    ["other sizes", () => padSequence([ones(2, 3), ones(1, 2)]), /padSequence: got sequence 1 of \[1, 2\], expected \[length, 3\]/],
    ["a number", () => packSequence([tensor(1)]), /got sequence 0 of \[\]/],
    ["one dim", () => unpadSequence(zeros(3), [3]), /unpadSequence: got \[3\], expected at least 2 dims/],
    ["rising sizes", () => padPackedSequence(broken({ batchSizes: [1, 2, 4] })), /padPackedSequence: batch sizes do not fit/],
    ["a wrong sum", () => unpackSequence(broken({ batchSizes: [3, 2] })), /got \[3, 2\] for data \[7, 2\]/],
    ["no sizes", () => unpackSequence(broken({ batchSizes: [] })), /unpackSequence: batch sizes/],
    ["another width", () => new LSTM(5, 3).forward(packed()), /LSTM: got packed data \[7, 2\], expected \[N, 5\]/],
    ["more dims", () => new RNN(2, 3).forward(broken({ data: zeros(7, 1, 2) })), /RNN: got packed data \[7, 1, 2\]/],
    ["states without a batch", () => new GRU(2, 3).forward(packed(), zeros(1, 3)), /GRU: got h0 \[1, 3\], expected \[1, 3, 3\] .* for 3 packed sequences/],
    ["another batch", () => new GRU(2, 3).forward(packed(), zeros(1, 2, 3)), /got h0 \[1, 2, 3\]/],
    ["an unprojected h0", () => new LSTM(2, 3, { projSize: 1 }).forward(x(), [zeros(1, 3, 3), zeros(1, 3, 3)]), /LSTM: got h0 \[1, 3, 3\], expected \[1, 3, 1\] \(layers \* directions, batch, projected\)/],
    ["a projected c0", () => new LSTM(2, 3, { projSize: 1 }).forward(x(), [zeros(1, 3, 1), zeros(1, 3, 1)]), /got c0 \[1, 3, 1\], expected \[1, 3, 3\]/],
  ])("%s: a ShapeError", (_, call, text) => {
    expect(call).toThrow(ShapeError)
    expect(call).toThrow(text)
  }) // prettier-ignore

  it.each<[string, () => unknown, RegExp]>([
    ["a length of 0", () => packPaddedSequence(x(), [4, 0, 0]), /packPaddedSequence: length 1 out of range: got 0, expected 1 to 4/],
    ["a long length", () => packPaddedSequence(x(), [5, 3, 1]), /length 0 out of range: got 5/],
    ["half a length", () => packPaddedSequence(x(), [4, 2, 1.5]), /got 1\.5/],
    ["rising lengths", () => packPaddedSequence(x(), [3, 4, 1]), /lengths must not rise when enforceSorted is true: got 3, then 4; pass/],
    ["rising sequences", () => packSequence([ones(1), ones(2)]), /packSequence: lengths must not rise/],
    ["an empty sequence", () => packSequence([ones(2), ones(0)]), /packSequence: length 1 out of range: got 0/],
    ["a short total", () => padPackedSequence(packed(), { totalLength: 3 }), /totalLength must be .*: got 3 for 4/],
    ["a negative length", () => unpadSequence(zeros(3, 2), [3, -1]), /unpadSequence: length 1 out of range: got -1, expected 0 to 3/],
    ["one order alone", () => unpackSequence(broken({ sortedIndices: [0, 1, 2] })), /must be inverse orders of 3/],
    ["orders that differ", () => new RNN(2, 1).forward(broken({ sortedIndices: [1, 2, 0], unsortedIndices: [1, 2, 0] })), /RNN: sortedIndices/],
    ["no tensor", () => new RNN(2, 1).forward([1] as unknown as Tensor), /RNN: got object, expected a tensor or a PackedSequence/],
    ["a pair for one state", () => new GRU(2, 1).forward(x(), [x(), x()] as unknown as Tensor), /GRU: h0 must be a tensor/],
    ["a large projection", () => new LSTM(2, 3, { projSize: 3 }), /LSTM: projSize must be smaller than hiddenSize: got 3 and 3/],
    ["a negative projection", () => new LSTM(2, 3, { projSize: -1 }), /projSize must be a whole number of at least 0: got -1/],
    ["half a projection", () => new LSTM(2, 3, { projSize: 1.5 }), /projSize/],
    ["a projected GRU", () => new GRU(2, 3, { projSize: 1 } as object), /GRU: projSize is an option of LSTM alone/],
    ["a projected RNN", () => new RNN(2, 3, { projSize: 0 } as object), /RNN: projSize is an option of LSTM alone/],
  ])("%s: a ValueError", (_, call, text) => {
    expect(call).toThrow(ValueError)
    expect(call).toThrow(text)
  }) // prettier-ignore

  it("lengths that are no whole numbers, and other dtypes: a DTypeError", () => {
    expect(() => packPaddedSequence(x(), tensor([4, 2, 1]))).toThrow(DTypeError)
    expect(() => packPaddedSequence(x(), tensor([[4, 2, 1]], { dtype: "int32" }))).toThrow(/must be a vector/)
    expect(() => new RNN(2, 1, { dtype: "float64" }).forward(packed())).toThrow(DTypeError)
  })
})
