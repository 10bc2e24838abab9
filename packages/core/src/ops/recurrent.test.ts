// The recurrent kernels against the composition they stand for: values, gradients, second gradients, bad shapes.
import type { RecurrentCell } from "@rondo/backend"
import { ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeAll, describe, expect, test } from "vitest"
import {
  grad,
  gradcheck,
  gradgradcheck,
  linear,
  manualSeed,
  randn,
  recurrent,
  recurrentSteps,
  stack,
  tensor,
  use,
} from "../index.js"
import type { DType } from "@rondo/backend"
import type { Tensor } from "../index.js"

beforeAll(() => void use(new CpuJs()))

const gates = { tanh: 1, relu: 1, lstm: 4, gru: 3 }
interface Case {
  readonly cell: RecurrentCell
  readonly bias: boolean
  readonly reverse: boolean
}
const cases: Case[] = (["tanh", "relu", "lstm", "gru"] as const).flatMap((cell) =>
  [true, false].flatMap((bias) => [true, false].map((reverse) => ({ cell, bias, reverse }))),
)

function operands({ cell, bias }: Case, [T, B, H]: readonly number[], dtype: DType = "float64"): Tensor[] {
  manualSeed(3)
  const G = gates[cell]
  const make = (...shape: number[]): Tensor => randn(shape, { dtype, requiresGrad: true })
  const states = cell === "lstm" ? [make(B, H), make(B, H)] : [make(B, H)]
  return [make(T, B, G * H), make(G * H, H), ...(bias ? [make(G * H)] : []), ...states]
}

function byKernel({ cell, bias, reverse }: Case) {
  return (projected: Tensor, weight: Tensor, ...rest: Tensor[]): Tensor[] => {
    const offset = bias ? rest[0] : null
    return recurrent(cell, projected, weight, offset, rest.slice(bias ? 1 : 0), { reverse })
  }
}

function byStep({ cell, bias, reverse }: Case) {
  return (projected: Tensor, weight: Tensor, ...rest: Tensor[]): Tensor[] => {
    const steps = projected.unbind(0)
    let state = rest.slice(bias ? 1 : 0)
    const outputs: Tensor[] = []
    for (const t of reverse ? [...steps.keys()].reverse() : steps.keys()) {
      state = recurrentSteps[cell](steps[t], linear(state[0], weight, bias ? rest[0] : null), state)
      outputs[t] = state[0]
    }
    return [stack(outputs, 0), ...state]
  }
}

const flat = (x: Tensor): number[] => [...(x.contiguous().dataSync() as Float64Array)]
function expectClose(a: Tensor, b: Tensor, tolerance: number): void {
  const [x, y] = [flat(a), flat(b)]
  x.forEach((v, i) => expect(Math.abs(v - y[i])).toBeLessThanOrEqual(tolerance * (1 + Math.abs(y[i]))))
}

describe.each(cases)("$cell, bias $bias, reverse $reverse", (c) => {
  test("equals its composition, values and gradients", () => {
    for (const [sizes, dtype, tolerance] of [
      [[5, 3, 4], "float64", 1e-12],
      [[1, 1, 1], "float64", 1e-12],
      [[7, 2, 16], "float32", 2e-5],
    ] as const) {
      const inputs = operands(c, sizes, dtype)
      const run = (f: ReturnType<typeof byStep>): Tensor[] => {
        const outputs = f(...(inputs as [Tensor, Tensor, ...Tensor[]]))
        const loss = outputs
          .map((y, i) =>
            y
              .mul(y)
              .mul(i + 1)
              .sum(),
          )
          .reduce((a, b) => a.add(b))
        return [...outputs, ...(grad(loss, inputs) as Tensor[])]
      }
      const [kernel, steps] = [run(byKernel(c)), run(byStep(c))]
      kernel.forEach((x, i) => expectClose(x, steps[i], tolerance))
    }
  })
  test("holds in gradcheck and gradgradcheck", async () => {
    const inputs = operands(c, [3, 2, 2])
    expect(await gradcheck(byKernel(c), inputs)).toBe(true)
    expect(await gradgradcheck(byKernel(c), inputs)).toBe(true)
  })
})

test("a gradient of the last state alone, or of some inputs only", () => {
  const c = { cell: "lstm", bias: true, reverse: false } as const
  const inputs = operands(c, [4, 2, 3])
  const [, , cell] = byKernel(c)(...(inputs as [Tensor, Tensor]))
  const [, , cellByStep] = byStep(c)(...(inputs as [Tensor, Tensor]))
  const [a] = grad(cell.sum(), inputs[1])
  const [b] = grad(cellByStep.sum(), inputs[1])
  expectClose(a as Tensor, b as Tensor, 1e-12)
})

// PyTorch 1.13.1, float64: w -> tanh(p1 + tanh(p0 + w h) w), with p = [0.3, -0.2] and h = 0.5, at w = 0.8.
test("a state that was made of the same weight counts once, recorded or not", () => {
  const w = tensor([[0.8]], { dtype: "float64", requiresGrad: true })
  const step = (p: number, h: Tensor): Tensor =>
    recurrent("tanh", tensor([[[p]]], { dtype: "float64" }), w, null, [h])[1]
  const twice = (): Tensor => step(-0.2, step(0.3, tensor([[0.5]], { dtype: "float64" }))).sum()
  const [plain] = grad(twice(), w)
  const [recorded] = grad(twice(), w, { createGraph: true })
  const [second] = grad(recorded as Tensor, w)
  expect(plain?.itemSync()).toBeCloseTo(0.7928200916680118, 12)
  expect(recorded?.itemSync()).toBeCloseTo(0.7928200916680118, 12)
  expect(second?.itemSync()).toBeCloseTo(0.06880132422094772, 12)
})

test("an in-place change of what backward reads is caught", () => {
  const c = { cell: "gru", bias: false, reverse: false } as const
  const [output] = byKernel(c)(...(operands(c, [2, 1, 2]) as [Tensor, Tensor]))
  const loss = output.sum()
  output.detach().add_(1)
  expect(() => loss.backward()).toThrow(/changed in place/)
})

test("shapes that do not fit", () => {
  const make = (...shape: number[]): Tensor => randn(shape)
  expect(() => recurrent("lstm", make(2, 1, 8), make(8, 2), null, [make(1, 2)])).toThrow(ShapeError)
  expect(() => recurrent("tanh", make(0, 1, 2), make(2, 2), null, [make(1, 2)])).toThrow(/T > 0/)
  expect(() => recurrent("gru", make(2, 1, 8), make(8, 2), null, [make(1, 2)])).toThrow(/needs projected \[T, B, 3 H\]/)
  expect(() => recurrent("elman" as never, make(2, 1, 2), make(2, 2), null, [make(1, 2)])).toThrow(ValueError)
})

describe("projected inputs that nobody else reads", () => {
  const setting = (cell: RecurrentCell, bias = true) => {
    const leaves = operands({ cell, bias, reverse: false }, [4, 3, 2])
    const [given, weight, offset, ...state] = leaves
    const projected = given.mul(2)
    const run = (consume: boolean): Tensor[] => recurrent(cell, projected, weight, offset, state, { consume })
    const total = (outputs: readonly Tensor[]): Tensor =>
      outputs.map((y) => y.square().sum()).reduce((a, b) => a.add(b))
    return { leaves, projected, run, total }
  }
  const apart = (a: readonly (Tensor | null)[], b: readonly (Tensor | null)[]): number =>
    Math.max(
      ...a.map((x, i) =>
        (x as Tensor)
          .sub(b[i] as Tensor)
          .abs()
          .max()
          .itemSync(),
      ),
    )

  test.each(["tanh", "relu", "lstm", "gru"] as const)("%s: give their memory to their gradient", (cell) => {
    const { leaves, projected, run, total } = setting(cell)
    const expected = grad(total(run(false)), leaves, { retainGraph: true })
    const before = projected.clone()
    const loss = total(run(true))
    // As long as the graph is kept, or recorded, they are as they were.
    expect(apart(grad(loss, leaves, { retainGraph: true }), expected)).toBe(0)
    expect(apart(grad(loss, leaves, { createGraph: true }), expected)).toBeLessThan(1e-12)
    expect(apart([projected], [before])).toBe(0)
    expect(apart(grad(loss, leaves), expected)).toBe(0)
    expect(apart([projected], [before])).toBeGreaterThan(0)
  })
  test("are refused to whoever reads them all the same", () => {
    const { projected, run, total } = setting("lstm")
    const other = projected.square().sum()
    total(run(true)).backward({ retainGraph: true })
    total(run(true)).backward()
    expect(() => other.backward()).toThrow(/changed in place/)
  })
  test("that lie otherwise keep their memory", () => {
    const { leaves, run, total } = setting("tanh")
    const expected = grad(total(run(false)), leaves)
    const [given, weight, bias, h] = leaves
    const spread = given.mul(2).transpose(1, 2).contiguous().transpose(1, 2)
    const outputs = recurrent("tanh", spread, weight, bias, [h], { consume: true })
    expect(apart(grad(total(outputs), leaves), expected)).toBe(0)
  })
})
