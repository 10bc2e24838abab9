// Layers, losses and initialisers against PyTorch 1.13.1, whose results lie in goldens/ (conformance/goldens/nn.py).
import { readFileSync } from "node:fs"
import { CpuJs } from "@rondo/backend-cpu-js"
import type { DType } from "@rondo/backend"
import { fromBytes, linspace, manualSeed, parseSafetensors, rand, Tensor, tensor, use, zeros } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import * as nn from "./index.js"

type Options = Record<string, unknown>
interface Cases {
  init: { case: string; kind: string; sizes: [number, number]; options: Options; seed: number; keys: string[]; repr: string }[]
  initialisers: { case: string; name: string; args: number[]; options: Options; seed: number }[]
  recurrent: { case: string; kind: "RNN" | "LSTM" | "GRU"; options: Options; training: boolean; given: boolean; dtype: DType; seed: number }[]
  cells: { case: string; kind: "RNNCell" | "LSTMCell" | "GRUCell"; options: Options; given: boolean }[]
  losses: { case: string; name: string; options: Options; tensors: string[]; gradTarget: boolean }[]
} // prettier-ignore

const folder = new URL("./goldens/", import.meta.url)
const cases = JSON.parse(readFileSync(new URL("cases.json", folder), "utf8")) as Cases
const { tensors: stored } = parseSafetensors(new Uint8Array(readFileSync(new URL("nn.safetensors", folder))))

beforeAll(() => {
  use(new CpuJs())
})

const names = (name: string): string[] =>
  [...stored.keys()].filter((key) => key.startsWith(`${name}/`)).map((key) => key.slice(name.length + 1))

function golden(name: string, key: string): Tensor {
  const found = stored.get(`${name}/${key}`)
  if (!found) throw new Error(`no golden ${name}/${key}`)
  return fromBytes(found.data, found.shape, found.dtype as DType)
}

/** Same shape and dtype, and values within `tolerance` of the larger of 1 and the expected value. */
function close(label: string, got: Tensor | null, wanted: Tensor, tolerance?: number): void {
  if (!got) throw new Error(`${label}: nothing to compare`)
  expect([label, got.dtype, got.shape]).toEqual([label, wanted.dtype, wanted.shape])
  const limit = tolerance ?? (wanted.dtype === "float64" ? 1e-12 : 2e-6)
  const a = got.detach().dataSync()
  const b = wanted.dataSync()
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])]
    const apart = Object.is(x, y) || x === y ? 0 : Math.abs(x - y) / Math.max(1, Math.abs(y))
    if (!(apart <= limit)) throw new Error(`${label}[${i}]: got ${x}, PyTorch has ${y}`)
  }
}

const exact = (label: string, got: Tensor, wanted: Tensor): void => close(label, got, wanted, 0)

function copyWeights(layer: nn.Module, name: string): void {
  layer.loadStateDict(Object.fromEntries(layer.namedParameters().map(([key]) => [key, golden(name, key)])))
}
function checkGradients(layer: nn.Module, name: string): void {
  for (const [key, parameter] of layer.namedParameters())
    close(`${name}/d${key}`, parameter.grad, golden(name, `d${key}`))
}

const layers = nn as unknown as Record<string, new (...args: unknown[]) => nn.Module>

describe("default initialisation", () => {
  it.each(cases.init)(
    "$kind $options draws PyTorch's numbers",
    ({ case: name, kind, sizes, options, seed, keys, repr }) => {
      manualSeed(seed)
      const layer = new layers[kind](...sizes, options)
      const dict = layer.stateDict()
      expect(Object.keys(dict)).toEqual(keys)
      for (const key of keys) exact(`${kind}.${key}`, dict[key], golden(name, key))
      exact("next draw", rand(3), golden(name, "next"))
      expect(String(layer)).toBe(repr)
    },
  )
})

describe("init", () => {
  const functions = nn.init as unknown as Record<string, (x: Tensor, ...args: unknown[]) => Tensor>
  it.each(cases.initialisers)("$name $options", ({ case: name, name: call, args, options, seed }) => {
    manualSeed(seed)
    const x = zeros(5, 4, { requiresGrad: true })
    expect(functions[call](x, ...args, options)).toBe(x)
    expect(x.isLeaf).toBe(true)
    // normal_ of 16 and more elements is the random stream's business, which allows a last-bit difference.
    close(call, x, golden(name, "out"), call.includes("ormal") ? 5e-7 : 0)
  })
})

describe("recurrent layers", () => {
  it.each(cases.recurrent)("$kind $options, training $training, states $given, $dtype", (row) => {
    const { case: name, kind, options, training, given, dtype, seed } = row
    const layer = new layers[kind](3, 4, { ...options, dtype }).train(training)
    copyWeights(layer, name)
    const x = golden(name, "x").requiresGrad_()
    const starts = names(name).filter((key) => key.startsWith("start")).map((key) => golden(name, key).requiresGrad_()) // prettier-ignore
    manualSeed(seed)
    const state = !given ? undefined : kind === "LSTM" ? starts : starts[0]
    const [output, last] = (layer.forward as (...args: unknown[]) => [Tensor, Tensor | Tensor[]])(x, state)
    const finals = last instanceof Tensor ? [last] : last
    close(`${name}/output`, output, golden(name, "output"))
    finals.forEach((final, i) => close(`${name}/final${i}`, final, golden(name, `final${i}`)))
    const weight = linspace(-1, 1, output.numel(), { dtype }).reshape(output.shape)
    const ends = finals.map((final, i) =>
      final
        .mul(final)
        .sum()
        .mul(i + 1),
    )
    ends.reduce((sum, end) => sum.add(end), output.mul(weight).sum()).backward()
    close(`${name}/dx`, x.grad, golden(name, "dx"))
    starts.forEach((start, i) => close(`${name}/dstart${i}`, start.grad, golden(name, `dstart${i}`)))
    checkGradients(layer, name)
  })
})

describe("recurrent cells", () => {
  it.each(cases.cells)("$kind $options, states $given ($case)", ({ case: name, kind, options, given }) => {
    const cell = new layers[kind](3, 4, { ...options, dtype: "float64" })
    copyWeights(cell, name)
    const starts = names(name).filter((key) => key.startsWith("start")).map((key) => golden(name, key)) // prettier-ignore
    const state = !given ? undefined : kind === "LSTMCell" ? starts : starts[0]
    const result = (cell.forward as (...args: unknown[]) => Tensor | Tensor[])(golden(name, "x"), state)
    const outs = result instanceof Tensor ? [result] : result
    outs.forEach((out, i) => close(`${name}/out${i}`, out, golden(name, `out${i}`)))
    outs
      .map((out) => out.mul(out).sum())
      .reduce((a, b) => a.add(b))
      .backward()
    checkGradients(cell, name)
  })
})

describe("losses", () => {
  const functions = nn as unknown as Record<string, (x: Tensor, y: Tensor, options: Options) => Tensor>
  const modules: Record<string, string> = {
    mseLoss: "MSELoss", l1Loss: "L1Loss", smoothL1Loss: "SmoothL1Loss", huberLoss: "HuberLoss", nllLoss: "NLLLoss",
    crossEntropy: "CrossEntropyLoss", binaryCrossEntropy: "BCELoss", binaryCrossEntropyWithLogits: "BCEWithLogitsLoss",
  } // prettier-ignore
  it.each(cases.losses)("$name $options ($case)", ({ case: name, name: call, options, tensors, gradTarget }) => {
    const all = { ...options, ...Object.fromEntries(tensors.map((key) => [key, golden(name, `option_${key}`)])) }
    const run = (compute: (x: Tensor, y: Tensor) => Tensor): void => {
      const x = golden(name, "x").requiresGrad_()
      const target = golden(name, "target")
      if (gradTarget) target.requiresGrad_()
      const out = compute(x, target)
      close(`${name}/out`, out, golden(name, "out"))
      const weight = linspace(0.5, 2, out.numel(), { dtype: "float64" }).reshape(out.shape)
      out.mul(weight).sum().backward()
      close(`${name}/dx`, x.grad, golden(name, "dx"))
      if (gradTarget) close(`${name}/dtarget`, target.grad, golden(name, "dtarget"))
    }
    run((x, y) => functions[call](x, y, all))
    const loss = new layers[modules[call]](all)
    run((x, y) => (loss.forward as (x: Tensor, y: Tensor) => Tensor)(x, y))
  })

  it("takes int64 and uint8 classes as well", () => {
    const x = tensor([[2, 0], [0, 1]]) // prettier-ignore
    const wanted = nn.crossEntropy(x, tensor([0, 1], { dtype: "int32" })).itemSync()
    expect(nn.crossEntropy(x, tensor([0n, 1n])).itemSync()).toBe(wanted)
    expect(nn.crossEntropy(x, tensor([0, 1], { dtype: "uint8" })).itemSync()).toBe(wanted)
  })
})
