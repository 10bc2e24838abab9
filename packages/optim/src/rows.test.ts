// Steps on row gradients against PyTorch 1.13.1's sparse ones (conformance/goldens/rows.py), and against dense ones.
import { readFileSync } from "node:fs"
import { type DType, GradientError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { type RowGradient, scope, type Tensor, tensor, use, zeros } from "@rondo/core"
import { Embedding, type EmbeddingLayerOptions, Parameter } from "@rondo/nn"
import { beforeAll, describe, expect, it } from "vitest"
import { expectClose, kinds as others } from "./goldens/problem.js"
import { Adagrad, Adam, clipGradNorm_, clipGradValue_, LBFGS, type Optimizer, SGD, SparseAdam } from "./index.js"

interface Goldens {
  problem: { weight: number[][]; indices: number[][][]; y: number[][][]; s: number[] }
  trajectories: {
    kind: string
    options: Record<string, unknown>
    clip: number | null
    dtype: DType
    norms: number[]
    steps: { loss: number; grad: number[]; weight: number[] }[]
  }[]
}
const goldens = JSON.parse(readFileSync(new URL("./goldens/rows.json", import.meta.url), "utf8")) as Goldens
const kinds = { SGD, SparseAdam, Adagrad } as unknown as Record<
  string,
  new (params: unknown, options: object) => Optimizer<{ lr: number }>
>
const limits = { float64: 1e-12, float32: 4e-6 } as Record<string, number>
const int = (values: number[] | number[][]): Tensor => tensor(values, { dtype: "int32" })

beforeAll(() => {
  use(new CpuJs())
})

function problem(dtype: DType, options: EmbeddingLayerOptions = { sparse: true }) {
  const { weight, indices, y, s } = goldens.problem
  const [start, wanted, scale] = [weight, y, s].map((values) => tensor(values, { dtype }))
  const layer = new Embedding(7, 3, { paddingIdx: 2, weight: start, ...options })
  const gradients = (i: number): Tensor => {
    const loss = layer.forward(int(indices[i])).sub(wanted).square().mul(scale).sum()
    loss.backward()
    return loss
  }
  return { layer, gradients }
}

describe("steps on rows", () => {
  it.each(goldens.trajectories)("$kind $options in $dtype, clipped to $clip", (row) => {
    const { layer, gradients } = problem(row.dtype)
    const optimizer = new kinds[row.kind](layer.parameters(), row.options)
    const limit = limits[row.dtype]
    row.steps.forEach(({ loss, grad, weight }, i) => {
      scope(() => {
        optimizer.zeroGrad()
        expectClose(gradients(i), [loss], limit)
        if (row.clip !== null) expectClose(clipGradNorm_(layer.parameters(), row.clip), [row.norms[i]], limit)
      })
      expect(layer.weight.grad).toBeNull()
      expectClose((layer.weight.rowGradient as RowGradient).toDense(), grad, limit)
      // State must survive a scope.
      scope(() => void optimizer.step())
      expectClose(layer.weight, weight, limit)
    })
  })
  it.each([
    ["SGD", { lr: 0.1 }],
    ["Adagrad", { lr: 0.3, lrDecay: 0.1 }],
  ])("%s is what it is with a whole gradient, in any form of it", (kind, options) => {
    const [rows, whole] = [problem("float64"), problem("float64", { sparse: false })]
    const [one, two] = [rows, whole].map(({ layer }) => new kinds[kind](layer.parameters(), options))
    for (let i = 0; i < 5; i++) {
      one.zeroGrad()
      two.zeroGrad()
      rows.gradients(i)
      whole.gradients(i)
      if (i > 2) for (const { layer } of [rows, whole]) clipGradValue_(layer.parameters(), 0.7)
      one.step()
      two.step()
      expectClose(rows.layer.weight, Array.from(whole.layer.weight.detach().dataSync() as Float64Array), 1e-14)
    }
  })
  it("continues from a saved state", () => {
    const [one, two] = [problem("float64"), problem("float64")]
    const first = new SparseAdam(one.layer.parameters(), { lr: 0.1 })
    one.gradients(0)
    first.step()
    two.layer.loadStateDict(one.layer.stateDict())
    const second = new SparseAdam(two.layer.parameters())
    second.loadStateDict(first.stateDict())
    for (const [{ layer, gradients }, optimizer] of [[one, first], [two, second]] as const) {
      layer.zeroGrad()
      gradients(3)
      optimizer.step()
    } // prettier-ignore
    expect(two.layer.weight.tolistSync()).toEqual(one.layer.weight.tolistSync())
  })
  it("clears rows, and does nothing without them", () => {
    const { layer, gradients } = problem("float32")
    for (const [clear, setToNone] of [[new SGD(layer.parameters(), { lr: 1 }), false], [layer, false], [layer, true]] as const) {
      gradients(0)
      expect(layer.weight.rowGradient).not.toBeNull()
      clear.zeroGrad({ setToNone })
      expect([layer.weight.grad, layer.weight.rowGradient]).toEqual([null, null])
    } // prettier-ignore
    const before = layer.weight.tolistSync()
    new SparseAdam(layer.parameters()).step()
    layer.forward(int([])).sum().backward()
    new SparseAdam(layer.parameters()).step()
    expect(layer.weight.tolistSync()).toEqual(before)
  })
  it("follows a module to another dtype", () => {
    const { layer, gradients } = problem("float32")
    gradients(0)
    layer.double()
    expect(layer.weight.rowGradient?.values.dtype).toBe("float64")
    new SGD(layer.parameters(), { lr: 1 }).step()
    expect(layer.weight.dtype).toBe("float64")
  })
  it("costs what the batch costs: no memory of the table's size after the state is made", () => {
    const backend = new CpuJs({ track: true })
    use(backend)
    const weight = new Parameter(zeros(50_000, 4))
    const layer = new Embedding(50_000, 4, { sparse: true, weight })
    const optimizers = [new SGD([weight], { lr: 1 }), new SparseAdam([weight]), new Adagrad([weight])]
    const pass = (): void => {
      layer.zeroGrad()
      layer
        .forward(int([7, 7, 49_999]))
        .sum()
        .backward()
      clipGradNorm_(weight, 1)
      for (const optimizer of optimizers) optimizer.step()
    }
    pass()
    const before = backend.memory().peakBytes
    pass()
    expect(backend.memory().peakBytes - before).toBeLessThan(50_000)
    use(new CpuJs())
  })
})

describe("steps that PyTorch refuses", () => {
  const layer = () => {
    const { layer: made, gradients } = problem("float32")
    gradients(0)
    return made
  }
  it.each(Object.keys(others).filter((kind) => !["SGD", "Adagrad", "LBFGS"].includes(kind)))(
    "%s names what takes rows",
    (kind) => {
      const optimizer = new others[kind](layer().parameters(), { lr: 0.1 })
      expect(() => void optimizer.step()).toThrow(GradientError)
      expect(() => void optimizer.step()).toThrow(
        `${kind}.step: the gradient of a parameter of shape [7, 3] holds rows`,
      )
      expect(() => void optimizer.step()).toThrow(/use SparseAdam/)
    },
  )
  it("momentum, weightDecay, LBFGS, a whole gradient for SparseAdam, options out of range", async () => {
    const rows = layer()
    expect(() => new SGD(rows.parameters(), { lr: 1, momentum: 0.9 }).step()).toThrow(
      /neither momentum nor weightDecay/,
    )
    expect(() => new SGD(rows.parameters(), { lr: 1, weightDecay: 0.1 }).step()).toThrow(GradientError)
    expect(() => new Adagrad(rows.parameters(), { weightDecay: 0.1 }).step()).toThrow(/do not go with weightDecay/)
    await expect(new LBFGS(rows.parameters()).step(() => rows.weight.sum())).rejects.toThrow(/LBFGS.step: .*SparseAdam/)
    const whole = problem("float32", {})
    whole.gradients(0)
    expect(() => new SparseAdam(whole.layer.parameters()).step()).toThrow(/takes row gradients only.*use Adam/)
    expect(() => new Adam(whole.layer.parameters()).step()).not.toThrow()
    for (const bad of [{ lr: -1 }, { eps: 0 }, { eps: NaN }, { betas: [1, 0] as [number, number] }]) {
      expect(() => new SparseAdam(rows.parameters(), bad)).toThrow(ValueError)
    }
    expect(() => new Embedding(4, 2, { sparse: true, scaleGradByFreq: true })).toThrow(/exclude each other/)
    expect(String(new Embedding(4, 2, { sparse: true }))).toBe("Embedding(4, 2, sparse=True)")
  })
})
