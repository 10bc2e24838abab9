// Searches over token sequences: greedy, drawn and with beams, against enumeration, and under bad input.
import { DTypeError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { arange, full, manualSeed, noGrad, randn, type Tensor, tensor, use, zeros } from "@rondo/core"
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { beamSearch, type DecoderStep, greedySearch, GRU, Linear, LSTMCell, sampleTokens } from "../index.js"

beforeAll(() => {
  use(new CpuJs())
})

/** A random decoder with nested states: LSTM cells, [h, c] and a counter. */
function decoder(vocabulary: number, seed: number) {
  manualSeed(seed)
  const cell = new LSTMCell(4, 5, { dtype: "float64" })
  const out = new Linear(5, vocabulary, { dtype: "float64" })
  const table = randn(vocabulary, 4, { dtype: "float64" }).mul(2)
  interface State {
    readonly cell: [Tensor, Tensor]
    readonly more: readonly Tensor[]
  }
  const step: DecoderStep<State> = (tokens, state) => {
    const next = cell.forward(table.indexSelect(0, tokens), state.cell)
    return [out.forward(next[0]).mul(6), { cell: next, more: [state.more[0].add(1)] }]
  }
  const state = (batch: number): State => {
    const h = randn(batch, 5, { dtype: "float64" })
    return { cell: [h, h.neg()], more: [arange(batch)] }
  }
  return { step, state }
}

/** A decoder whose next token depends on the last one alone, by a table of probabilities. */
const chain = (probabilities: readonly (readonly number[])[]) => {
  const table = tensor(probabilities.map((row) => [...row]), { dtype: "float64" }).log() // prettier-ignore
  return (tokens: Tensor): [Tensor, null] => [table.indexSelect(0, tokens), null]
}

/** Every sequence that ends or has `maxLength` tokens, with the logarithm of its probability. */
function enumerate(probabilities: readonly (readonly number[])[], start: number, maxLength: number, endToken: number) {
  const all: { tokens: number[]; logProb: number; ended: boolean }[] = []
  const visit = (last: number, tokens: number[], logProb: number): void => {
    if (tokens.length === maxLength) return void all.push({ tokens, logProb, ended: false })
    probabilities[last].forEach((p, token) => {
      if (p === 0) return
      const total = logProb + Math.log(p)
      if (token === endToken) all.push({ tokens, logProb: total, ended: true })
      else visit(token, [...tokens, token], total)
    })
  }
  visit(start, [], 0)
  return all.sort((a, b) => b.logProb - a.logProb)
}

const maze = [
  [0, 0.5, 0.4, 0.1],
  [0.25, 0.25, 0.26, 0.24],
  [0.05, 0.02, 0.03, 0.9],
  [0.25, 0.25, 0.25, 0.25],
]

describe("greedy search", () => {
  it("follows the likeliest token and stops at the end token", async () => {
    const found = await greedySearch(chain(maze), [0, 2, 1], { maxLength: 5, endToken: 3 })
    expect(found.map(({ tokens, ended }) => [tokens, ended])).toEqual([[[1, 2], true], [[], true], [[2], true]]) // prettier-ignore
    expect(found[0].logProb).toBeCloseTo(Math.log(0.5 * 0.26 * 0.9), 12)
    expect(found[0].score).toBe(found[0].logProb)
    const [cut] = await greedySearch(chain(maze), tensor([0], { dtype: "int32" }), { maxLength: 1, endToken: 3 })
    expect([cut.tokens, cut.ended]).toEqual([[1], false])
    const [endless] = await greedySearch(chain(maze), [0], { maxLength: 6 })
    expect(endless.tokens).toHaveLength(6)
  })
  it("is untouched by what else is in the batch, and records nothing", async () => {
    const { step, state } = decoder(7, 3)
    const whole = state(4)
    const options = { maxLength: 9, endToken: 6 }
    const together = await greedySearch(step, [0, 1, 2, 3], { ...options, state: whole })
    for (let b = 0; b < 4; b++) {
      const own = { cell: whole.cell.map((x) => x.narrow(0, b, 1)) as [Tensor, Tensor], more: [arange(1)] }
      const [alone] = await greedySearch(step, [b], { ...options, state: own })
      expect(alone.tokens).toEqual(together[b].tokens)
      expect(alone.logProb).toBeCloseTo(together[b].logProb, 10)
    }
    const recorded: boolean[] = []
    const watched: typeof step = (tokens, s) => {
      const result = step(tokens, s)
      recorded.push(result[0].requiresGrad)
      return result
    }
    await greedySearch(watched, [0], { maxLength: 2, state: state(1) })
    expect(recorded).toEqual([false, false])
  })
})

describe("beam search", () => {
  it("of width 1 is greedy search", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 8 }), fc.integer({ min: 1, max: 4 }), fc.nat(999), async (v, batch, seed) => {
        const { step, state } = decoder(v, seed)
        const start = Array.from({ length: batch }, (_, b) => b % v)
        const options = { maxLength: 8, endToken: v - 1, state: state(batch) }
        const greedy = await greedySearch(step, start, options)
        for (const lengthPenalty of [0, 0.7]) {
          const beams = await beamSearch(step, start, { ...options, beamWidth: 1, lengthPenalty })
          expect(beams.map((beam) => beam.length)).toEqual(start.map(() => 1))
          beams.forEach(([best], b) => {
            expect([best.tokens, best.ended]).toEqual([greedy[b].tokens, greedy[b].ended])
            expect(best.logProb).toBeCloseTo(greedy[b].logProb, 10)
          })
        }
      }),
      { numRuns: 25 },
    ) // prettier-ignore
  })
  it("wide enough finds the best of all sequences, in order", async () => {
    for (const maxLength of [1, 2, 3, 4]) {
      const [found] = await beamSearch(chain(maze), [0], { maxLength, endToken: 3, beamWidth: 300 })
      const all = enumerate(maze, 0, maxLength, 3)
      expect(found.map(({ logProb }) => logProb.toFixed(9))).toEqual(all.map(({ logProb }) => logProb.toFixed(9)))
      const text = (list: readonly { tokens: number[]; ended: boolean }[]) =>
        list.map(({ tokens, ended }) => `${tokens.join()}${ended}`).sort()
      expect(text(found)).toEqual(text(all))
    }
  })
  it("finds what greedy search misses", async () => {
    const [[best]] = await beamSearch(chain(maze), [0], { maxLength: 4, endToken: 3, beamWidth: 2 })
    expect(best.tokens).toEqual([2])
    expect(best.logProb).toBeCloseTo(Math.log(0.4 * 0.9), 12)
  })
  it("ranks by the length penalty of Wu et al. 2016", async () => {
    const options = { maxLength: 3, endToken: 3, beamWidth: 300 }
    const lp = (length: number) => ((5 + length) / 6) ** 2
    const [found] = await beamSearch(chain(maze), [0], { ...options, lengthPenalty: 2 })
    found.forEach(({ tokens, ended, logProb, score }) => {
      expect(score).toBeCloseTo(logProb / lp(tokens.length + Number(ended)), 12)
    })
    expect([...found].sort((a, b) => b.score - a.score)).toEqual(found)
    const [plain] = await beamSearch(chain(maze), [0], options)
    expect(found.map(({ tokens }) => tokens)).not.toEqual(plain.map(({ tokens }) => tokens))
  })
  it("keeps states with their sequences, whatever their form", async () => {
    const { step, state } = decoder(6, 11)
    const whole = state(3)
    const options = { maxLength: 6, endToken: 5, beamWidth: 4 }
    const together = await beamSearch(step, [0, 1, 2], { ...options, state: whole })
    for (let b = 0; b < 3; b++) {
      const own = { cell: whole.cell.map((x) => x.narrow(0, b, 1)) as [Tensor, Tensor], more: [arange(1)] }
      const [alone] = await beamSearch(step, [b], { ...options, state: own })
      expect(alone.map(({ tokens }) => tokens)).toEqual(together[b].map(({ tokens }) => tokens))
      // What a hypothesis scores is what its tokens score when they are fed again.
      const best = alone[0]
      const fed = [b, ...best.tokens]
      let total = 0
      let s = own
      for (let t = 0; t < best.tokens.length + Number(best.ended); t++) {
        const [logits, next] = noGrad(() => step(tensor([fed[t]], { dtype: "int32" }), s))
        total += logits.logSoftmax(1).select(1, t < best.tokens.length ? fed[t + 1] : 5).itemSync() // prettier-ignore
        s = next as typeof s
      }
      expect(best.logProb).toBeCloseTo(total, 9)
    }
  })
  it("takes the states of layers along dim 1, and others as told", async () => {
    manualSeed(4)
    const gru = new GRU(3, 4, { numLayers: 2 })
    const [out, table] = [new Linear(4, 6), randn(6, 3)]
    const step = (tokens: Tensor, h: Tensor | null): [Tensor, Tensor] => {
      const [output, next] = gru.forward(table.indexSelect(0, tokens).unsqueeze(0), h)
      return [out.forward(output.select(0, 0)), next]
    }
    const wide = { maxLength: 4, beamWidth: 3 }
    const found = await beamSearch(step, [0, 1, 2], wide)
    const turned = (tokens: Tensor, h: Tensor | null): [Tensor, Tensor] => {
      const [logits, next] = step(tokens, h && h.transpose(0, 1))
      return [logits, next.transpose(0, 1)]
    }
    expect(await beamSearch(turned, [0, 1, 2], { ...wide, batchDim: 0 })).toEqual(found)
    expect(await beamSearch(turned, [0, 1, 2], { ...wide, batchDim: (x) => x.ndim - 3 })).toEqual(found)
    const wrong = beamSearch(turned, [0, 1, 2], wide)
    await expect(wrong).rejects.toThrow(ShapeError)
    await expect(wrong).rejects.toThrow(/got a state \[3, 2, 4\], expected 3 sequences along dim 1; say which/)
  })
  it("leaves impossible tokens out", async () => {
    const rows = [[0, 1, 0], [0, 0, 1], [0, 0, 1]] // prettier-ignore
    const [found] = await beamSearch(chain(rows), [0], { maxLength: 3, endToken: 2, beamWidth: 5 })
    expect(found).toEqual([{ tokens: [1], logProb: 0, score: 0, ended: true }])
  })
})

describe("drawn tokens", () => {
  it("come as often as they are likely, and from the likeliest alone if asked", async () => {
    manualSeed(9)
    const rows = 2000
    const step = () => [tensor([0.5, 0.3, 0.2]).log().expand(rows, 3), null] as const
    const share = async (options: object) => {
      const drawn = await sampleTokens(step, new Array<number>(rows).fill(0), { maxLength: 1, ...options })
      return [0, 1, 2].map((token) => drawn.filter(({ tokens }) => tokens[0] === token).length / rows)
    }
    const near = (got: number[], wanted: number[]) =>
      got.forEach((p, i) => expect(Math.abs(p - wanted[i])).toBeLessThan(0.05))
    near(await share({}), [0.5, 0.3, 0.2])
    near(await share({ topK: 2 }), [0.625, 0.375, 0])
    near(await share({ temperature: 0.5 }), [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38])
    expect(await share({ topK: 1 })).toEqual([1, 0, 0])
    expect((await share({ topK: 99 }))[2]).toBeGreaterThan(0.1)
  })
})

describe("bad input", () => {
  const step = (tokens: Tensor) => chain(maze)(tokens)
  const flat = (shape: number[]) => (): [Tensor, null] => [zeros(shape), null]
  const options = { maxLength: 2 }
  it.each<[string, () => Promise<unknown>, new (...args: never[]) => Error, RegExp]>([
    ["no length", () => greedySearch(step, [0], { maxLength: 0 }), ValueError, /greedySearch: maxLength must be .*: got 0/],
    ["half an end", () => greedySearch(step, [0], { maxLength: 1, endToken: 0.5 }), ValueError, /endToken must be .*: got 0\.5/],
    ["half a token", () => beamSearch(step, [0.5], options), ValueError, /beamSearch: start tokens must be whole numbers: got 0\.5/],
    ["float tokens", () => beamSearch(step, zeros(1), options), DTypeError, /start tokens must be whole numbers: got float32/],
    ["no batch", () => greedySearch(step, [], options), ShapeError, /got start \[0\], expected \[B\]/],
    ["two dims", () => greedySearch(step, zeros(1, 1, { dtype: "int32" }), options), ShapeError, /got start \[1, 1\]/],
    ["no width", () => beamSearch(step, [0], { ...options, beamWidth: 0 }), ValueError, /beamWidth must be .*: got 0/],
    ["a negative penalty", () => beamSearch(step, [0], { ...options, lengthPenalty: -1 }), ValueError, /lengthPenalty must be a number of at least 0/],
    ["no temperature", () => sampleTokens(step, [0], { ...options, temperature: 0 }), ValueError, /temperature must be a finite number above 0: got 0/],
    ["topK 0", () => sampleTokens(step, [0], { ...options, topK: 0 }), ValueError, /sampleTokens: topK must be/],
    ["logits of one dim", () => greedySearch(flat([3]), [0], options), ShapeError, /must give logits \[1, V\]: got \[3\]/],
    ["logits of other rows", () => beamSearch(flat([2, 3]), [0], options), ShapeError, /must give logits \[1, V\]: got \[2, 3\]/],
    ["whole logits", () => greedySearch(() => [zeros(1, 3, { dtype: "int32" }), null], [0], options), DTypeError, /float logits: got int32/],
    ["NaN", () => greedySearch(() => [full([1, 3], NaN), null], [0], options), ValueError, /greedySearch: the logits of step 0 hold NaN/],
    ["NaN", () => beamSearch(() => [full([1, 3], NaN), null], [0], options), ValueError, /beamSearch: the logits of step 0 hold NaN/],
  ])("%s", async (_, call, type, text) => {
    const error: unknown = await Promise.resolve().then(call).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(type)
    expect(String(error)).toMatch(text)
  }) // prettier-ignore
})
