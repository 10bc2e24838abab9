// Tests of warnings: of which shapes PyTorch 1.13.1 warns, that its numbers stay, who hears it, and how often.
import { CpuJs } from "@rondo/backend-cpu-js"
import { ones, tensor, use } from "@rondo/core"
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import * as nn from "./index.js"
import { warn } from "./warning.js"

beforeAll(() => void use(new CpuJs()))
afterEach(() => {
  nn.onWarning(null)
  vi.restoreAllMocks()
})

const losses = [
  ["mseLoss", new nn.MSELoss(), 3.5],
  ["l1Loss", new nn.L1Loss(), 1.5],
  ["smoothL1Loss", new nn.SmoothL1Loss(), 1.125],
  ["huberLoss", new nn.HuberLoss(), 1.125],
] as const

describe.each(losses)("%s", (name, layer, mean) => {
  // [[1], [2]] against [2, 4].
  const pair = () => [tensor([[1], [2]]), tensor([2, 4])] as const
  test("of shapes that broadcast warns once of each pair, and computes what PyTorch does", () => {
    const heard: string[] = []
    nn.onWarning((text) => heard.push(text))
    for (let i = 0; i < 3; i++) expect(nn[name](...pair()).itemSync()).toBe(mean)
    layer.forward(...pair())
    const text = "shapes differ and broadcast, which is seldom meant: got target"
    expect(heard).toEqual([`${name}: ${text} [2] for input [2, 1]; reshape one of them`])
    nn[name](ones(2), tensor(1), { reduction: "sum" })
    expect(heard.slice(1)).toEqual([`${name}: ${text} [] for input [2]; reshape one of them`])
  })
  test("of equal shapes says nothing", () => {
    const listen = vi.fn()
    nn.onWarning(listen)
    nn[name](ones(2, 1), ones(2, 1))
    nn[name](tensor(1), tensor(2))
    expect(listen).not.toHaveBeenCalled()
  })
})

test("without a listener Node's warnings are told", () => {
  const emit = vi.spyOn(process, "emitWarning").mockImplementation(() => {})
  nn.onWarning(null)
  nn.mseLoss(ones(1), ones(2))
  nn.mseLoss(ones(1), ones(2))
  expect(emit.mock.calls).toEqual([
    [expect.stringMatching(/^mseLoss: .* target \[2\] for input \[1\]/), "RondoWarning"],
  ])
})

test("texts without end are told up to a hundred", () => {
  const listen = vi.fn()
  nn.onWarning(listen)
  for (let n = 0; n < 500; n++) warn(`shape ${n}`)
  expect(listen).toHaveBeenCalledTimes(100)
})
