// Projected LSTMs, packed sequences and drawn tokens against PyTorch 1.13.1 (conformance/goldens/recurrent.py).
import { readFileSync } from "node:fs"
import { CpuJs } from "@rondo/backend-cpu-js"
import type { DType } from "@rondo/backend"
import { fromBytes, linspace, manualSeed, parseSafetensors, rand, Tensor, tensor, use } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import * as nn from "../index.js"

type Options = Record<string, unknown>
type Kind = "RNN" | "LSTM" | "GRU"
interface Cases {
  init: { case: string; sizes: [number, number]; options: Options; seed: number; keys: string[]; repr: string }[]
  layers: { case: string; kind: Kind; options: Options; training: boolean; given: boolean; dtype: DType; seed: number; packed: boolean | null; lengths: number[] | null }[]
  packing: { case: string; lengths: number[]; batchFirst: boolean; enforceSorted: boolean; options: Options; batchSizes: number[]; back: number[]; sortedIndices: number[] | null; unsortedIndices: number[] | null }[]
  lists: { case: string; count: number; enforceSorted: boolean; batchFirst: boolean; paddingValue: number; batchSizes: number[]; sortedIndices: number[] | null }[]
  outputs: { case: string; kind: "OutputToHiddenRNN" | "OutputToOutputRNN"; options: Options; forced: boolean }[]
  draws: { case: string; temperature: number; topK: number | null; seed: number }[]
} // prettier-ignore

const folder = new URL("../goldens/", import.meta.url)
const cases = JSON.parse(readFileSync(new URL("recurrent.json", folder), "utf8")) as Cases
const { tensors: stored } = parseSafetensors(new Uint8Array(readFileSync(new URL("recurrent.safetensors", folder))))

beforeAll(() => {
  use(new CpuJs())
})

function golden(name: string, key: string): Tensor {
  const found = stored.get(`${name}/${key}`)
  if (!found) throw new Error(`no golden ${name}/${key}`)
  return fromBytes(found.data, found.shape, found.dtype as DType)
}
const leaf = (name: string, key: string): Tensor => golden(name, key).requiresGrad_()

/** Same shape and dtype, and values within `tolerance` of the larger of 1 and the expected value. */
function close(name: string, key: string, got: Tensor | null, tolerance?: number): void {
  if (!got) throw new Error(`${name}/${key}: nothing to compare`)
  const wanted = golden(name, key)
  expect([key, got.dtype, got.shape]).toEqual([key, wanted.dtype, wanted.shape])
  const limit = tolerance ?? (wanted.dtype === "float64" ? 1e-12 : 2e-6)
  const a = got.detach().dataSync()
  const b = wanted.dataSync()
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])]
    if (!(Math.abs(x - y) <= limit * Math.max(1, Math.abs(y)))) {
      throw new Error(`${name}/${key}[${i}]: got ${x}, PyTorch has ${y}`)
    }
  }
}

describe("projections", () => {
  it.each(cases.init)("$sizes $options start with PyTorch's numbers", (row) => {
    manualSeed(row.seed)
    const layer = new nn.LSTM(...row.sizes, row.options)
    const dict = layer.stateDict()
    expect(Object.keys(dict)).toEqual(row.keys)
    for (const key of row.keys) close(row.case, key, dict[key], 0)
    close(row.case, "next", rand(3), 0)
    expect(String(layer)).toBe(row.repr)
  })
})

const layers = nn as unknown as Record<string, new (...args: unknown[]) => nn.RecurrentLayer>
type Forward = (x: unknown, state?: unknown) => [Tensor | nn.PackedSequence, Tensor | Tensor[]]

describe("layers", () => {
  it.each(cases.layers)("$kind $options, packed $packed, training $training, states $given, $dtype", (row) => {
    const { case: name, kind, options, dtype, lengths } = row
    const layer = new layers[kind](3, 4, { ...options, dtype }).train(row.training)
    layer.loadStateDict(Object.fromEntries(layer.namedParameters().map(([key]) => [key, golden(name, key)])))
    const x = leaf(name, "x")
    const count = kind === "LSTM" ? 2 : 1
    const starts = row.given ? Array.from({ length: count }, (_, i) => leaf(name, `start${i}`)) : []
    const source = lengths
      ? nn.packPaddedSequence(x, lengths, { batchFirst: layer.batchFirst, enforceSorted: row.packed as boolean })
      : x
    manualSeed(row.seed)
    const state = !row.given ? undefined : kind === "LSTM" ? starts : starts[0]
    const [result, last] = (layer.forward as unknown as Forward).call(layer, source, state)
    expect(nn.isPacked(result)).toBe(row.packed !== null)
    if (nn.isPacked(result)) expect({ ...result, data: null }).toEqual({ ...source, data: null })
    const output = nn.isPacked(result) ? result.data : result
    const finals = last instanceof Tensor ? [last] : last
    close(name, "output", output)
    finals.forEach((final, i) => close(name, `final${i}`, final))
    const weight = linspace(-1, 1, output.numel(), { dtype }).reshape(output.shape)
    const ends = finals.map((final, i) => final.square().sum().mul(i + 1)) // prettier-ignore
    ends.reduce((sum, end) => sum.add(end), output.mul(weight).sum()).backward()
    close(name, "dx", x.grad)
    starts.forEach((start, i) => close(name, `dstart${i}`, start.grad))
    for (const [key, parameter] of layer.namedParameters()) close(name, `d${key}`, parameter.grad)
  })
})

describe("packing", () => {
  it.each(cases.packing)("$lengths, batchFirst $batchFirst, enforceSorted $enforceSorted, $options", (row) => {
    const { case: name, batchFirst, enforceSorted } = row
    const x = leaf(name, "x")
    for (const lengths of [row.lengths, tensor(row.lengths, { dtype: "int32" }), tensor(row.lengths.map(BigInt))]) {
      const packed = nn.packPaddedSequence(x, lengths, { batchFirst, enforceSorted })
      close(name, "data", packed.data)
      const { batchSizes, sortedIndices, unsortedIndices } = row
      expect(packed).toMatchObject({ batchSizes, sortedIndices, unsortedIndices })
      const [padded, back] = nn.padPackedSequence(packed, { batchFirst: !batchFirst, ...row.options })
      close(name, "padded", padded)
      expect(back).toEqual(row.back)
      const weight = linspace(-1, 1, padded.numel(), { dtype: "float64" }).reshape(padded.shape)
      x.grad = null
      padded.square().mul(weight).sum().backward()
      close(name, "dx", x.grad)
    }
  })
  it.each(cases.lists)("a list, enforceSorted $enforceSorted, batchFirst $batchFirst", (row) => {
    const { case: name, enforceSorted, batchFirst, paddingValue, batchSizes, sortedIndices } = row
    const sequences = Array.from({ length: row.count }, (_, i) => leaf(name, `x${i}`))
    const packed = nn.packSequence(sequences, { enforceSorted })
    close(name, "data", packed.data)
    expect(packed).toMatchObject({ batchSizes, sortedIndices })
    const padded = nn.padSequence(sequences, { batchFirst, paddingValue })
    close(name, "padded", padded)
    nn.unpackSequence(packed).forEach((x, i) => close(name, `unpacked${i}`, x))
    const lengths = sequences.map((x) => x.shape[0])
    nn.unpadSequence(padded, lengths, { batchFirst }).forEach((x, i) => close(name, `unpacked${i}`, x))
    const sums = [packed.data, padded].map((x) =>
      x.square().mul(linspace(-1, 1, x.numel(), { dtype: "float64" }).reshape(x.shape)).sum(),
    ) // prettier-ignore
    sums[0].add(sums[1]).backward()
    sequences.forEach((x, i) => close(name, `dx${i}`, x.grad))
  })
})

describe("recurrence through the output", () => {
  it.each(cases.outputs)("$kind $options, forced $forced", ({ case: name, kind, options, forced }) => {
    const layer = new nn[kind](3, 4, 2, { ...options, dtype: "float64" })
    layer.loadStateDict(Object.fromEntries(layer.namedParameters().map(([key]) => [key, golden(name, key)])))
    const [x, o0, targets] = [leaf(name, "x"), leaf(name, "o0"), golden(name, "targets")]
    const [output, last, hidden] = layer.forward(x, o0, forced ? { targets } : {})
    close(name, "output", output)
    close(name, "hidden", hidden)
    expect(last.tolistSync()).toEqual(output.select(0, 4).tolistSync())
    const weight = linspace(-1, 1, output.numel(), { dtype: "float64" }).reshape(output.shape)
    output.mul(weight).sum().add(hidden.square().sum()).backward()
    close(name, "dx", x.grad)
    close(name, "do0", o0.grad)
    for (const [key, parameter] of layer.namedParameters()) close(name, `d${key}`, parameter.grad)
  })
})

describe("tokens", () => {
  it.each(cases.draws)("drawn at temperature $temperature, topK $topK", async ({ case: name, temperature, topK, seed }) => {
    const logits = golden(name, "logits")
    manualSeed(seed)
    const options = { maxLength: 6, temperature, ...(topK === null ? {} : { topK }) }
    const drawn = await nn.sampleTokens((_: Tensor): [Tensor, null] => [logits, null], [0, 0, 0, 0], options)
    expect(drawn.map(({ tokens }) => tokens)).toEqual(golden(name, "tokens").t().tolistSync())
    const logProbs = logits.logSoftmax(1).tolistSync() as number[][]
    drawn.forEach(({ tokens, logProb }, b) => {
      expect(logProb).toBeCloseTo(tokens.reduce((sum, token) => sum + logProbs[b][token], 0), 4)
    })
  }) // prettier-ignore
})
