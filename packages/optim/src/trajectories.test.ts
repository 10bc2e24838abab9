// Every optimiser and option against PyTorch 1.13.1's trajectories and state_dict()s (conformance/goldens/optim.py).
import { CpuJs } from "@rondo/backend-cpu-js"
import { noGrad, observers, scope, tensor, use } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import { expectClose, goldens, kinds, problem, type Problem } from "./goldens/problem.js"
import { Adam, LBFGS, NAdam, type Optimizer, RAdam, RMSprop } from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

const limits = { float64: 1e-12, float32: 4e-6 } as Record<string, number>

/** Step number `i` of the goldens. */
async function take({ b, gradients }: Problem, optimizer: Optimizer<{ lr: number }>, i: number): Promise<void> {
  const closure = () => {
    optimizer.zeroGrad()
    const loss = gradients()
    if (i === 4) b.grad = null
    return loss
  }
  if (optimizer instanceof LBFGS) {
    await optimizer.step(closure)
    return
  }
  closure()
  // State must survive a scope, parameters stay what they are.
  scope(() => void optimizer.step())
}

describe("trajectories", () => {
  it.each(goldens.trajectories)("$kind $options in $dtype, groups $groups", async (row) => {
    const own = problem(row.dtype)
    const { w, b } = own
    const params = row.groups ? [{ params: [w] }, { params: [b], lr: 0.2 }] : [w, b]
    const optimizer = new kinds[row.kind](params, row.options)
    // L-BFGS divides by small differences, which amplifies rounding.
    const limit = limits[row.dtype] * (row.kind === "LBFGS" ? 25 : 1)
    for (const [i, [wantedW, wantedB]] of row.steps.entries()) {
      await take(own, optimizer, i)
      expectClose(w, wantedW, limit)
      expectClose(b, wantedB, limit)
    }
    expect([w.isLeaf, w.requiresGrad]).toEqual([true, true])
  })

  it.each(goldens.trajectories.filter(({ kind, dtype }) => kind !== "LBFGS" && dtype === "float32"))(
    "$kind $options is one kernel a parameter",
    async (row) => {
      const own = problem("float32")
      const optimizer = new kinds[row.kind]([own.w, own.b], row.options)
      await take(own, optimizer, 0)
      own.gradients()
      const seen: string[] = []
      const observe = (kernel: { kind: string }): void => void seen.push(kernel.kind)
      observers.add(observe)
      optimizer.step()
      observers.delete(observe)
      expect(seen).toEqual(["map", "map"])
    },
  )
})

/** Turns the goldens' `{ shape, data }` into tensors. */
function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive)
  if (value === null || typeof value !== "object") return value
  const { shape, data } = value as { shape?: number[]; data?: number[] }
  if (shape && data) return tensor(data, { dtype: "float64" }).reshape(shape)
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revive(item)]))
}

describe("a state_dict of PyTorch", () => {
  const rows = goldens.states.flatMap((row) => {
    const options = JSON.stringify(row.options)
    const same = (t: { kind: string; options: object }) => t.kind === row.kind && JSON.stringify(t.options) === options
    return goldens.trajectories.filter((t) => same(t) && t.dtype === "float64" && !t.groups).map(({ steps }) => ({ ...row, steps })) // prettier-ignore
  })
  it.each(rows)("of $kind is loaded and continued", async ({ kind, dict, steps }) => {
    expect(rows).toHaveLength(goldens.states.length)
    const own = problem("float64")
    noGrad(() => {
      own.w.copy_(tensor(steps[4][0], { dtype: "float64" }).reshape([2, 3]))
      own.b.copy_(tensor(steps[4][1], { dtype: "float64" }))
    })
    // Options other than the saved ones, to see that they are taken over.
    const optimizer = new kinds[kind]([own.w, own.b], { lr: 0.77 })
    optimizer.loadStateDict(revive(dict) as never)
    for (let i = 5; i < 10; i++) {
      await take(own, optimizer, i)
      expectClose(own.w, steps[i][0], kind === "LBFGS" ? 1e-10 : 1e-12)
      expectClose(own.b, steps[i][1], kind === "LBFGS" ? 1e-10 : 1e-12)
    }
  })
  it.each(rows)("of $kind: ours has the same names", async ({ kind, options, dict }) => {
    const own = problem("float64")
    const optimizer = new kinds[kind]([own.w, own.b], options)
    for (let i = 0; i < 5; i++) await take(own, optimizer, i)
    const names = Object.entries(dict.state[0]).flatMap(([name, value]) =>
      value === null || name === "al" ? [] : [name],
    )
    expect(Object.keys(optimizer.stateDict().state[0]).sort()).toEqual(names.sort())
  })
  it.each(rows)("of $kind: our own is loaded and continued bit by bit", async ({ kind, options }) => {
    const [one, two] = [problem("float64"), problem("float64")]
    const first = new kinds[kind]([one.w, one.b], options)
    for (let i = 0; i < 3; i++) await take(one, first, i)
    noGrad(() => [two.w.copy_(one.w), two.b.copy_(one.b)])
    const second = new kinds[kind]([two.w, two.b], { lr: 0.77 })
    second.loadStateDict(first.stateDict())
    for (let i = 3; i < 6; i++) {
      await take(one, first, i)
      await take(two, second, i)
    }
    expect(two.w.tolistSync()).toEqual(one.w.tolistSync())
    expect(two.b.tolistSync()).toEqual(one.b.tolistSync())
  })
})

describe("beyond PyTorch 1.13", () => {
  // Climbing on L is descending on -L; PyTorch 1.13 has no maximize for these two.
  it.each([NAdam, RAdam])("%o climbs", (Kind) => {
    const [up, down] = [problem("float64"), problem("float64")]
    const climbing = new Kind([up.w, up.b], { lr: 0.05, maximize: true })
    const descending = new Kind([down.w, down.b], { lr: 0.05 })
    for (let i = 0; i < 8; i++) {
      for (const { w, b, gradients } of [up, down]) {
        ;[w.grad, b.grad] = [null, null]
        gradients()
      }
      for (const x of [down.w, down.b]) x.grad = x.grad?.neg() ?? null
      climbing.step()
      descending.step()
      expect(up.w.tolistSync()).toEqual(down.w.tolistSync())
    }
  })
  it.each([NAdam, RAdam])("%o takes decoupled weight decay off the parameter first", (Kind) => {
    const [one, two] = [problem("float64"), problem("float64")]
    const decaying = new Kind([one.w, one.b], { lr: 0.05, weightDecay: 0.4, decoupledWeightDecay: true })
    const plain = new Kind([two.w, two.b], { lr: 0.05 })
    for (let i = 0; i < 8; i++) {
      for (const { w, b, gradients } of [one, two]) {
        ;[w.grad, b.grad] = [null, null]
        gradients()
      }
      noGrad(() => [two.w, two.b].forEach((p) => p.mul_(1 - 0.05 * 0.4)))
      decaying.step()
      plain.step()
      expectClose(one.w, Array.from(two.w.detach().dataSync() as Float64Array), 1e-15)
    }
  })
  it("RMSprop switches options between steps", () => {
    const { w, b, gradients } = problem("float64")
    const optimizer = new RMSprop([w, b])
    gradients()
    optimizer.step()
    optimizer.paramGroups[0].centered = true
    optimizer.paramGroups[0].momentum = 0.9
    optimizer.step()
    expect(Object.keys(optimizer.state.get(w) ?? {})).toEqual(["step", "square_avg", "grad_avg", "momentum_buffer"])
    expect(w.tolistSync()).not.toContain(NaN)
    expect(new Adam([w]).state.size).toBe(0)
  })
})
