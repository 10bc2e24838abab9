// Truncated back-propagation and the gradient-flow probe: against full back-propagation, loops by hand and bad input.
import { GradientError, ShapeError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { grad, manualSeed, ones, randn, stack, type Tensor, tensor, use, zeros } from "@rondo/core"
import fc from "fast-check"
import { beforeAll, beforeEach, describe, expect, it } from "vitest"
import {
  GRU,
  GRUCell,
  gradientFlow,
  gradientNorms,
  Linear,
  LSTM,
  Module,
  mseLoss,
  OutputToHiddenRNN,
  type PackedSequence,
  packSequence,
  RNN,
  tbptt,
  type WindowReport,
} from "../index.js"

const dtype = "float64"
const cpu = new CpuJs()
beforeAll(() => {
  use(cpu)
})
beforeEach(() => {
  manualSeed(1)
})

const apart = (a: Tensor, b: Tensor): number => a.sub(b).abs().max().itemSync()
const sumLoss = (output: Tensor, target: Tensor) => output.sub(target).square().sum()
const gradients = (model: Module): Tensor[] => model.parameters().map((p) => (p.grad as Tensor).clone())

type Forward = (x: unknown) => [Tensor | PackedSequence, Tensor | Tensor[]]

/** A recurrent layer, read out at every step. */
class Reader extends Module {
  rnn = new LSTM(2, 4, { numLayers: 2, dtype })
  out = new Linear(4, 1, { dtype })
  forward(x: Tensor, state: [Tensor, Tensor] | null): [Tensor, [Tensor, Tensor]] {
    const [output, next] = this.rnn.forward(x, state)
    return [this.out.forward(output), next]
  }
}
const pair = (time: number, batch = 3) => ({
  input: randn(time, batch, 2, { dtype }),
  target: randn(time, batch, 1, { dtype }),
})

describe("tbptt", () => {
  it("with a window as long as the sequence, or longer, is plain back-propagation", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 3 }), async (time, more) => {
        const model = new Reader()
        const data = pair(time)
        const loss = sumLoss(model.forward(data.input, null)[0], data.target)
        loss.backward()
        const full = gradients(model)
        model.zeroGrad()
        const { losses } = await tbptt(model, data, { window: time + more, loss: sumLoss })
        expect(losses).toHaveLength(1)
        expect(losses[0]).toBeCloseTo(loss.itemSync(), 10)
        gradients(model).forEach((g, i) => expect(apart(g, full[i])).toBeLessThan(1e-12))
      }),
      { numRuns: 15 },
    )
  })
  it("cuts the graph between windows and carries the state", async () => {
    const model = new Reader()
    const { input, target } = pair(10)
    let state: [Tensor, Tensor] | null = null
    const wanted: number[] = []
    for (const [from, length] of [
      [0, 4],
      [4, 4],
      [8, 2],
    ]) {
      // prettier-ignore
      const [output, next]: [Tensor, [Tensor, Tensor]] = model.forward(input.narrow(0, from, length), state)
      const loss = sumLoss(output, target.narrow(0, from, length))
      loss.backward()
      wanted.push(loss.itemSync())
      state = [next[0].detach(), next[1].detach()]
    }
    const byHand = gradients(model)
    model.zeroGrad()
    const result = await tbptt(model, { input, target }, { window: 4, loss: sumLoss })
    result.losses.forEach((loss, i) => expect(loss).toBeCloseTo(wanted[i], 10))
    gradients(model).forEach((g, i) => expect(apart(g, byHand[i])).toBeLessThan(1e-12))
    result.state.forEach((s, i) => {
      expect(s.requiresGrad).toBe(false)
      expect(apart(s, (state as Tensor[])[i])).toBeLessThan(1e-14)
    })
  })
  it("with a stride counts every output once and goes back a whole window", async () => {
    const rnn = new RNN(1, 3, { dtype })
    const input = randn(7, 2, 1, { dtype })
    const target = randn(7, 2, 3, { dtype })
    const reports: WindowReport<Tensor>[] = []
    const onWindow = (report: WindowReport<Tensor>) => reports.push(report)
    const { losses } = await tbptt(rnn, { input, target }, { window: 3, stride: 2, loss: sumLoss, onWindow })
    expect(reports.map(({ index, start, from, end }) => [index, start, from, end])).toEqual([
      [0, 0, 0, 3],
      [1, 2, 3, 5],
      [2, 4, 5, 7],
    ])
    const got = gradients(rnn)
    rnn.zeroGrad()
    // The weights stand still, so the states that windows start from are those of one long run.
    const [outputs] = rnn.forward(input)
    expect(losses.reduce((a, b) => a + b)).toBeCloseTo(sumLoss(outputs, target).itemSync(), 10)
    for (const [start, from, end] of [
      [0, 0, 3],
      [2, 3, 5],
      [4, 5, 7],
    ]) {
      // prettier-ignore
      const h0 = start === 0 ? null : outputs.narrow(0, start - 1, 1).detach()
      const [output] = rnn.forward(input.narrow(0, start, end - start), h0)
      sumLoss(output.narrow(0, from - start, end - from), target.narrow(0, from, end - from)).backward()
    }
    got.forEach((g, i) => expect(apart(g, rnn.parameters()[i].grad as Tensor)).toBeLessThan(1e-12))
    expect(apart(reports[2].state, outputs.narrow(0, 6, 1))).toBeLessThan(1e-14)
  })
  it("steps an optimiser on each window alone, clips before, and takes the batch first and a start", async () => {
    const rnn = new RNN(1, 2, { dtype, batchFirst: true })
    const calls: string[] = []
    const optimizer = {
      zeroGrad: () => {
        calls.push("zero")
        rnn.zeroGrad()
      },
      step: () => {
        calls.push("step")
      },
    }
    const data = { input: randn(2, 6, 1, { dtype }), target: randn(2, 6, 2, { dtype }) }
    const h0 = randn(1, 2, 2, { dtype })
    const options = { window: 3, loss: mseLoss, optimizer, clip: () => calls.push("clip"), timeDim: 1, state: h0 }
    const { losses } = await tbptt(rnn, data, options)
    expect(calls).toEqual(["zero", "clip", "step", "zero", "clip", "step"])
    const first = mseLoss(rnn.forward(data.input.narrow(1, 0, 3), h0)[0], data.target.narrow(1, 0, 3))
    expect(losses[0]).toBeCloseTo(first.itemSync(), 12)
  })
  it("takes models whose state is an output", async () => {
    const layer = new OutputToHiddenRNN(1, 3, 2, { dtype })
    const data = { input: randn(6, 2, 1, { dtype }), target: randn(6, 2, 2, { dtype }) }
    const { losses, state } = await tbptt(layer, data, { window: 2, loss: mseLoss })
    const [output, last] = layer.forward(data.input)
    expect(losses.reduce((a, b) => a + b) / 3).toBeCloseTo(mseLoss(output, data.target).itemSync(), 12)
    expect(apart(state, last)).toBeLessThan(1e-14)
  })
  it("says that there is no sequence, or no model", async () => {
    const options = { window: 2, loss: mseLoss }
    const rnn = new RNN(1, 1)
    const given = [undefined, null, 3, Symbol("x")].map((sequence) => tbptt(rnn, sequence as never, options))
    const words = ["undefined", "null", "number", "symbol"]
    for (const [i, call] of given.entries()) {
      await expect(call).rejects.toThrow(ValueError)
      await expect(call).rejects.toThrow(`tbptt: needs a sequence { input, target }, got ${words[i]}`)
    }
    await expect(tbptt(rnn, {} as never, options)).rejects.toThrow("tbptt: needs a tensor, got undefined")
    const data = { input: ones(2, 1), target: ones(2, 1) }
    await expect(tbptt(null as never, data, options)).rejects.toThrow("tbptt: needs a model (with forward), got null")
    await expect(tbptt({} as never, data, options)).rejects.toThrow(ValueError)
  })
  it("runs in memory that does not grow", async () => {
    const rnn = new GRU(1, 8)
    const used: number[] = []
    const onWindow = () => used.push(cpu.memory().bytes)
    const data = { input: randn(400, 4, 1), target: randn(400, 4, 8) }
    await tbptt(rnn, data, { window: 10, loss: mseLoss, onWindow })
    // What each window leaves is its own state; the collector may come at any time.
    const state = 4 * 8 * 4
    expect(used).toHaveLength(40)
    expect(used[39] - used[1]).toBeLessThanOrEqual(38 * 3 * state)
  })
  it.each<[string, object, new (...args: never[]) => Error, RegExp]>([
    ["no window", { window: 0 }, ValueError, /tbptt: window must be .*: got 0/],
    ["half a stride", { window: 2, stride: 0.5 }, ValueError, /tbptt: stride must be .*: got 0\.5/],
    ["a long stride", { window: 2, stride: 3 }, ValueError, /stride must be at most window: got 3 for 2/],
    ["times that differ", { window: 2, timeDim: 2 }, ShapeError, /the same time along dim 2/],
    ["no such dim", { window: 2, timeDim: 5 }, ShapeError, /along dim 5/],
    ["a loss of many", { window: 2, loss: (a: Tensor) => a }, ShapeError, /the loss must be one number: got \[2, 3, 1\]/],
  ])("refuses %s", async (_, options, type, text) => {
    const error: unknown = await tbptt(new Reader(), pair(4), { window: 1, loss: sumLoss, ...options }).catch((e: unknown) => e) // prettier-ignore
    expect(error).toBeInstanceOf(type)
    expect(String(error)).toMatch(text)
  }) // prettier-ignore
})

describe("gradient flow", () => {
  it("is the norm of dL/dh_t, as a loop by hand has it", async () => {
    const rnn = new RNN(2, 3, { dtype })
    const x = randn(6, 4, 2, { dtype })
    const loss = (outputs: Tensor) => outputs.square().sum()
    const states: Tensor[] = []
    for (const input of x.unbind(0)) {
      const h = states.at(-1) ?? zeros(4, 3, { dtype })
      const drive = input.matmul(rnn.weight_ih_l0.t()).add(rnn.bias_ih_l0).add(rnn.bias_hh_l0)
      states.push(h.matmul(rnn.weight_hh_l0.t()).add(drive).tanh())
    }
    const wanted = grad(loss(stack(states, 0)), states).map((g) => (g as Tensor).norm().itemSync())
    const [flow, ...others] = await gradientFlow(() => loss(rnn.forward(x)[0]))
    expect(others).toEqual([])
    expect(flow).toMatchObject({ module: rnn, layer: 0, reverse: false, second: null })
    flow.norms.forEach((norm, t) => expect(norm).toBeCloseTo(wanted[t], 12))
    expect(flow.norms).toHaveLength(6)
    expect(rnn.weight_hh_l0.grad).toBeNull()
  })
  it("tells layers, directions, runs and cells apart", async () => {
    const lstm = new LSTM(2, 3, { numLayers: 2, bidirectional: true })
    const cell = new GRUCell(3, 3)
    const flows = await gradientFlow(() => {
      const [packed] = lstm.forward(packSequence([randn(4, 2), randn(2, 2)]))
      const [output] = lstm.forward(randn(5, 1, 2))
      let h = zeros(1, 3)
      for (const x of randn(3, 1, 3).unbind(0)) h = cell.forward(x, h)
      return packed.data.sum().add(output.sum()).add(h.sum())
    })
    const seen = flows.map(({ module, layer, reverse, norms, second }) => [module === lstm, layer, reverse, norms.length, second?.length]) // prettier-ignore
    const stacked = (time: number) => [0, 1].flatMap((l) => [false, true].map((r) => [true, l, r, time, time]))
    expect(seen).toEqual([...stacked(4), ...stacked(5), [false, 0, false, 3, undefined]])
    for (const { norms } of flows) expect(norms.every((norm) => norm > 0)).toBe(true)
  })
  it("sees gradients vanish and explode, far beyond what squares can hold", async () => {
    for (const [gain, least, most] of [
      [1e-3, 0, 1e-26],
      [1e3, 1e26, Infinity],
    ]) {
      // prettier-ignore
      const rnn = new RNN(1, 1, { nonlinearity: "relu", bias: false })
      rnn.loadStateDict({ weight_ih_l0: tensor([[1]]), weight_hh_l0: tensor([[gain]]) })
      const [{ norms }] = await gradientFlow(() => rnn.forward(ones(10, 1, 1))[1].sum())
      expect(norms[9]).toBe(1)
      expect(norms[0]).toBeGreaterThan(least)
      expect(norms[0]).toBeLessThan(most)
      norms.forEach((norm, t) => expect(norm / gain ** (9 - t)).toBeCloseTo(1, 4))
    }
  })
  it("changes no number", async () => {
    const lengths = [5, 5, 3, 1]
    const packed = packSequence(lengths.map((length) => randn(length, 2, { dtype })))
    for (const Layer of [RNN, GRU, LSTM]) {
      const layer = new Layer(2, 3, { numLayers: 2, bidirectional: true, dtype })
      for (const x of [packed, randn(6, 2, 2, { dtype })]) {
        const seen: Tensor[] = []
        const run = () => {
          const [output, last] = (layer.forward as unknown as Forward).call(layer, x)
          seen.push("data" in output && !("shape" in output) ? output.data : (output as Tensor))
          seen.push(...(Array.isArray(last) ? last : [last]))
          return seen.map((s) => s.sum()).reduce((a, b) => a.add(b))
        }
        const loss = run().itemSync()
        const plain = seen.splice(0)
        await gradientFlow(run)
        plain.forEach((s, i) => expect(apart(s, seen[i])).toBeLessThan(1e-13))
        expect(loss).not.toBe(0)
      }
    }
  })
  it("gives 0 where nothing arrives, and refuses what it cannot measure", async () => {
    const w = tensor(2, { requiresGrad: true })
    const states = [w.mul(1), w.mul(3)]
    expect(await gradientNorms(states[1].mul(2), states)).toEqual([0, 2])
    expect(await gradientNorms(w.mul(2), [])).toEqual([])
    await expect(gradientNorms(ones(2), states)).rejects.toThrow(ShapeError)
    await expect(gradientNorms(w.mul(2), [ones(1)])).rejects.toThrow(/state 0 does not require gradients/)
    await expect(gradientFlow(() => w.mul(2))).rejects.toThrow(GradientError)
    await expect(gradientFlow(() => w.mul(2))).rejects.toThrow(/nothing recurrent ran inside/)
  })
})
