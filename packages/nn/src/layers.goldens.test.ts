// Layers, activations, losses and initialisers against PyTorch 1.13.1, whose results lie in goldens/layers.* (conformance/
// goldens/layers.py): start values, outputs, gradients of inputs and parameters, buffers afterwards, keys and printing.
import { readFileSync } from "node:fs"
import { CpuJs } from "@rondo/backend-cpu-js"
import { type DType, isFloat } from "@rondo/backend"
import { fromBytes, linspace, manualSeed, noGrad, parseSafetensors, rand, Tensor, use, zeros } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import * as nn from "./index.js"

type Options = Record<string, unknown>
interface ModuleCase {
  case: string
  kind: string
  args: unknown[]
  options: Options
  call: Options
  steps: number
  training: boolean
  dtype: DType | null
  seed: number
  inputs: number
  keys: string[]
  repr: string | null
}
interface Cases {
  modules: ModuleCase[]
  initialisers: { case: string; name: string; shape: number[]; dtype: DType; args: unknown[]; options: Options; seed: number }[]
  gains: [nn.init.Nonlinearity, number | null, number][]
} // prettier-ignore

const folder = new URL("./goldens/", import.meta.url)
const cases = JSON.parse(readFileSync(new URL("layers.json", folder), "utf8")) as Cases
const { tensors: stored } = parseSafetensors(new Uint8Array(readFileSync(new URL("layers.safetensors", folder))))

beforeAll(() => {
  use(new CpuJs())
})

/** Names of a case that start with `prefix`, without it. */
const names = (name: string, prefix: string): string[] =>
  [...stored.keys()]
    .filter((key) => key.startsWith(`${name}/${prefix}`))
    .map((key) => key.slice(`${name}/${prefix}`.length))

const has = (name: string, key: string): boolean => stored.has(`${name}/${key}`)

function golden(name: string, key: string): Tensor {
  const found = stored.get(`${name}/${key}`)
  if (!found) throw new Error(`no golden ${name}/${key}`)
  return fromBytes(found.data, found.shape, found.dtype as DType)
}
const group = (name: string, prefix: string): Record<string, Tensor> =>
  Object.fromEntries(names(name, prefix).map((key) => [key, golden(name, prefix + key)]))

/** Same shape and dtype, and values within `tolerance` of the larger of 1 and the expected value. */
function close(label: string, got: Tensor | null, wanted: Tensor, tolerance?: number): void {
  if (!got) throw new Error(`${label}: nothing to compare`)
  expect([label, got.dtype, got.shape]).toEqual([label, wanted.dtype, wanted.shape])
  const limit = tolerance ?? (wanted.dtype === "float64" ? 1e-11 : 1e-5)
  const a = got.detach().dataSync()
  const b = wanted.dataSync()
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])]
    const apart = Object.is(x, y) || x === y ? 0 : Math.abs(x - y) / Math.max(1, Math.abs(y))
    if (!(apart <= limit)) throw new Error(`${label}[${i}]: got ${x}, PyTorch has ${y}`)
  }
}

const layers = nn as unknown as Record<string, new (...args: unknown[]) => nn.Module>

function build({ case: name, kind, args, options, dtype }: ModuleCase): nn.Module {
  const all = { ...options, ...group(name, "option_"), ...(dtype ? { dtype } : {}) }
  return new layers[kind](...args, ...(Object.keys(all).length > 0 ? [all] : []))
}

function checkStart(row: ModuleCase): nn.Module {
  const { case: name, kind, seed, keys, repr, training } = row
  manualSeed(seed)
  const layer = build(row).train(training)
  const state = layer.stateDict()
  expect(Object.keys(state)).toEqual(keys)
  // Many normal numbers at once may differ in the last bit.
  for (const key of keys) close(`${name}/start_${key}`, state[key], golden(name, `start_${key}`), kind === "Embedding" || key.startsWith("bias_") ? 5e-7 : 0) // prettier-ignore
  close(`${name}/next`, rand(3), golden(name, "next"), 0)
  if (repr !== null) expect(String(layer)).toBe(repr)
  return layer
}

function forward(layer: nn.Module, row: ModuleCase, inputs: readonly Tensor[]): (Tensor | null)[] {
  const call = { ...row.call, ...group(row.case, "o_") }
  const own = row.options.inplace ? inputs.map((x) => x.clone()) : inputs
  const given = Object.keys(call).length > 0 ? [...own, call] : own
  const result = (layer.forward as (...args: unknown[]) => Tensor | (Tensor | null)[])(...given)
  return result instanceof Tensor ? [result] : result
}

describe("modules", () => {
  it.each(cases.modules)("$case: $kind $args $options $call, training $training", (row) => {
    const { case: name } = row
    const layer = checkStart(row)
    layer.loadStateDict(group(name, "w_"))
    const inputs = Array.from({ length: row.inputs }, (_, i) => {
      const x = golden(name, `x${i}`)
      return has(name, `dx${i}`) ? x.requiresGrad_() : x
    })
    manualSeed(row.seed + 100)
    let outs: (Tensor | null)[] = []
    for (let step = 0; step < row.steps; step++) outs = forward(layer, row, inputs)
    const found = outs.filter((out): out is Tensor => out !== null)
    expect(found).toHaveLength(names(name, "out").length)
    found.forEach((out, i) => close(`${name}/out${i}`, out, golden(name, `out${i}`)))
    const weighted = found
      .filter((out) => isFloat(out.dtype) && out.requiresGrad)
      .map((out) => out.mul(linspace(-0.5, 2, out.numel(), { dtype: out.dtype }).reshape(out.shape)).sum())
    weighted.reduce((a, b) => a.add(b)).backward()
    inputs.forEach((x, i) => has(name, `dx${i}`) && close(`${name}/dx${i}`, x.grad ?? zeros(x.shape, { dtype: x.dtype }), golden(name, `dx${i}`))) // prettier-ignore
    const wanted = names(name, "d_")
    for (const [key, parameter] of layer.namedParameters()) {
      if (wanted.includes(key)) close(`${name}/d_${key}`, parameter.grad, golden(name, `d_${key}`))
      else expect(parameter.grad).toBeNull()
    }
    for (const [key, value] of Object.entries(layer.stateDict())) close(`${name}/after_${key}`, value, golden(name, `after_${key}`)) // prettier-ignore
  })
})

describe("init", () => {
  const functions = nn.init as unknown as Record<string, (x: Tensor, ...args: unknown[]) => Tensor>
  it.each(cases.initialisers)("$name $shape $args $options $dtype", (row) => {
    const { case: name, name: call, shape, dtype, args, options, seed } = row
    manualSeed(seed)
    const x = zeros(shape, { dtype, requiresGrad: true })
    expect(functions[call](x, ...args, ...(Object.keys(options).length > 0 ? [options] : []))).toBe(x)
    expect(x.isLeaf).toBe(true)
    // Uniform draws and patterns are exact; normal ones in bulk, decompositions and inverse functions to the last digits.
    const drawn = /ormal|orthogonal|sparse/.test(call)
    close(call, x, golden(name, "out"), !drawn ? 0 : dtype === "float32" ? 2e-6 : 1e-13)
    close("next draw", rand(3), golden(name, "next"), 0)
  })
  it.each(cases.gains)("calculateGain of %s, %s", (nonlinearity, param, wanted) => {
    expect(nn.init.calculateGain(nonlinearity, param ?? undefined)).toBeCloseTo(wanted, 14)
  })
})

describe("functions", () => {
  it("attend as MultiheadAttention does with one head and no projections", () => {
    const [q, k, v] = ["x0", "x1", "x2"].map((key) => golden(cases.modules.find(({ kind }) => kind === "MultiheadAttention")?.case as string, key).transpose(0, 1)) // prettier-ignore
    const scores = q.matmul(k.transpose(1, 2)).div(Math.sqrt(6))
    close("plain", nn.scaledDotProductAttention(q, k, v), scores.softmax(-1).matmul(v))
    const causal = noGrad(() => linspace(0, 19, 20).reshape(4, 5).mul(0))
      .add(1)
      .tril()
      .bool()
    const wanted = scores.maskedFill(causal.logicalNot(), -Infinity).softmax(-1).matmul(v)
    close("causal", nn.scaledDotProductAttention(q, k, v, { isCausal: true }), wanted)
    close("mask", nn.scaledDotProductAttention(q, k, v, { attnMask: causal }), wanted)
    close("scale", nn.scaledDotProductAttention(q, k, v, { scale: 2 }), q.matmul(k.transpose(1, 2)).mul(2).softmax(-1).matmul(v)) // prettier-ignore
  })
})
