// Captured steps: the numbers of ordinary calls, on memory that stays where it is, and what makes them be recorded anew.
import { DeviceError, DisposedError, GradientError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeEach, describe, expect, test } from "vitest"
import {
  capture,
  currentDevice,
  Device,
  detectAnomaly,
  dropoutMask,
  embedding,
  grad,
  manualSeed,
  noGrad,
  observers,
  ones,
  rand,
  randn,
  randperm,
  scope,
  sharedZeros,
  tensor,
  type Tensor,
  uncaptured,
  uniform_,
  use,
  zeros,
} from "./index.js"

let backend: CpuJs
beforeEach(() => {
  backend = new CpuJs({ track: true })
  use(backend)
})

/** What `calls` calls give, as lists. */
const lists = (calls: number, call: (i: number) => Tensor): unknown[] =>
  Array.from({ length: calls }, (_, i) => call(i).tolistSync())

describe("numbers", () => {
  test("are those of the body, for inputs that differ from call to call", () => {
    const w = tensor([0.5, -2, 3])
    const body = (x: Tensor, y: Tensor): Tensor => x.mul(w).tanh().add(y).sum()
    const captured = capture(body)
    const inputs = (i: number): [Tensor, Tensor] => [tensor([i, i + 1, -i]), tensor(i * 0.25)]
    expect(lists(6, (i) => captured(...inputs(i)))).toEqual(lists(6, (i) => body(...inputs(i))))
    expect(captured.recordings).toBe(1)
  })
  test("of strided, broadcast and empty inputs, and of other dtypes", () => {
    const body = (x: Tensor): Tensor => x.mul(2).flip([0])
    const captured = capture(body)
    const base = tensor([[1, 2], [3, 4], [5, 6]]) // prettier-ignore
    const forms = [base.t(), base.narrow(0, 1, 2), base.select(1, 0).unsqueeze(1).expand(3, 2), zeros(0, 2), base.to("int32")] // prettier-ignore
    for (let round = 0; round < 3; round++)
      for (const x of forms) expect(captured(x).tolistSync()).toEqual(body(x).tolistSync())
    // Two of the forms are alike to kernels: they differ in strides alone, which the copies of inputs do not have.
    expect(captured.recordings).toBe(new Set(forms.map((x) => `${x.shape.join()} ${x.dtype}`)).size)
  })
  test("of results in lists and objects, of inputs handed back and of what is no tensor", () => {
    const w = tensor([1, 2])
    const captured = capture((x: Tensor) => ({ list: [x.add(1), x], w, count: 3, nothing: null }))
    for (let i = 0; i < 4; i++) {
      const { list, w: same, count, nothing } = captured(tensor([i, i]))
      expect([list[0].tolistSync(), list[1].tolistSync(), same.tolistSync(), count, nothing]).toEqual([
        [i + 1, i + 1], [i, i], [1, 2], 3, null,
      ]) // prettier-ignore
    }
  })
  test("of a training step with gradients of leaves, inside of scopes and outside", () => {
    const run = (wrap: (step: (x: Tensor) => Tensor) => (x: Tensor) => Tensor): unknown[] => {
      const w = tensor([0.3, -0.2], { requiresGrad: true })
      const step = wrap((x) => {
        w.grad = null
        const loss = x.matmul(w).tanh().square().mean()
        loss.backward()
        uncaptured(() => noGrad(() => w.sub_((w.grad as Tensor).mul(0.1))))
        return loss.detach()
      })
      return lists(6, (i) => {
        const x = tensor([[i, 1], [2, -i]]) // prettier-ignore
        return i % 2 ? scope(() => step(x)) : step(x)
      }).concat(w.tolistSync(), w.grad?.tolistSync())
    }
    expect(run((step) => capture(step))).toEqual(run((step) => step))
  })
  test("of gradients that add up, and of those dropped outside", () => {
    const run = (wrap: (step: () => void) => () => void, dropEvery: number): unknown[] => {
      const w = tensor([1, 2], { requiresGrad: true })
      const step = wrap(() => w.square().sum().backward())
      return Array.from({ length: 9 }, (_, i) => {
        if (i % dropEvery === 0) w.grad = null
        step()
        return w.grad?.tolistSync()
      })
    }
    for (const every of [1, 3, 100]) expect(run((step) => capture(step), every)).toEqual(run((step) => step, every))
  })
  test("of gradients that come to lie otherwise", () => {
    const w = tensor([[1, 2], [3, 4]], { requiresGrad: true }) // prettier-ignore
    const captured = capture(() => w.square().sum().backward())
    w.grad = zeros(2, 2)
    for (let i = 0; i < 3; i++) captured()
    expect(w.grad.tolistSync()).toEqual([[6, 12], [18, 24]]) // prettier-ignore
    w.grad = w.grad.t()
    captured()
    expect(w.grad.tolistSync()).toEqual([[8, 22], [18, 32]]) // prettier-ignore
  })
  test("of gradients that are dropped every few calls need few recordings", () => {
    const w = tensor([1, 2], { requiresGrad: true })
    const captured = capture(() => w.square().sum().backward())
    for (let i = 0; i < 40; i++) {
      if (i % 4 === 0) w.grad = null
      captured()
      expect(w.grad?.tolistSync()).toEqual([2, 4].map((g) => g * ((i % 4) + 1)))
    }
    expect(captured.recordings).toBe(3)
  })
  test("of second derivatives", () => {
    const x = tensor([1, 2, 3], { requiresGrad: true })
    const captured = capture(() => {
      const [g] = grad(x.pow(3).sum(), x, { createGraph: true })
      return grad((g as Tensor).sum(), x)
    })
    for (let i = 0; i < 4; i++) expect(captured()[0]?.tolistSync()).toEqual([6, 12, 18])
  })
  test("of a state that is changed in place", () => {
    const [state, step] = [zeros(2), tensor([1, 2])]
    const captured = capture(() => void state.add_(step))
    for (let i = 0; i < 5; i++) captured()
    expect(state.tolistSync()).toEqual([5, 10])
    expect(state.handle.version).toBe(5)
  })
  test("of numbers that are made inside", () => {
    const captured = capture((x: Tensor) =>
      x
        .add(tensor([1, 2]))
        .add(sharedZeros([2], x))
        .add(ones(2)),
    )
    for (let i = 0; i < 4; i++) expect(captured(tensor([i, i])).tolistSync()).toEqual([i + 2, i + 3])
  })
  test("of random tensors, which are drawn anew", () => {
    const body = (x: Tensor): Tensor =>
      x
        .mul(dropoutMask(x, 0.5))
        .add(rand(4))
        .add(randn(4))
        .add(uniform_(zeros(4), -1, 1))
        .add(randperm(4))
    const captured = capture(body)
    manualSeed(3)
    const expected = lists(5, () => body(ones(4)))
    manualSeed(3)
    expect(lists(5, () => captured(ones(4)))).toEqual(expected)
  })
  test("inside of another captured body", () => {
    const inner = capture((x: Tensor) => x.mul(3))
    const outer = capture((x: Tensor) => inner(x).add(1))
    for (let i = 0; i < 4; i++) expect(outer(tensor(i)).itemSync()).toBe(3 * i + 1)
    expect([inner.recordings, outer.recordings]).toEqual([0, 1])
  })
  test("inside of another captured body carry no graph either", () => {
    const [w, v] = [tensor([1, 2], { requiresGrad: true }), tensor([3, 4], { requiresGrad: true })]
    const inner = capture((x: Tensor) => x.mul(w))
    const outer = capture((x: Tensor) => inner(x).mul(v).sum().backward())
    for (let i = 0; i < 4; i++) outer(ones(2))
    expect([w.grad, v.grad?.tolistSync()]).toEqual([null, [4, 8]])
  })
  test("of inputs that show inputs of the call before", () => {
    const run = (wrap: (body: (x: Tensor, last: Tensor) => Tensor[]) => (x: Tensor, last: Tensor) => Tensor[]) => {
      const step = wrap((x, last) => [x.sub(last), x])
      let last: Tensor = zeros(2, 2)
      return lists(6, (i) => {
        const [difference, seen] = step(tensor([[i, i * i], [1, 2 * i]]), last) // prettier-ignore
        last = seen.t()
        return difference
      })
    }
    expect(run((step) => capture(step))).toEqual(run((step) => step))
  })
  test("of inputs that the body disposes of", () => {
    const captured = capture((x: Tensor, y: Tensor) => {
      const sum = x.add(y)
      x.dispose()
      const result = sum.mul(2)
      sum.dispose()
      return result
    })
    let state = tensor([0])
    const states = lists(5, (i) => (state = captured(tensor([i]), state)))
    expect(states).toEqual([[0], [2], [8], [22], [52]])
  })
  test("on devices of one name", () => {
    const devices = [currentDevice(), new Device(new CpuJs())]
    const captured = capture((x: Tensor) => x.add(1))
    for (let i = 0; i < 8; i++) {
      const result = captured(tensor([i], { device: devices[i % 2] }))
      expect([result.tolistSync(), result.device]).toEqual([[i + 1], devices[i % 2]])
    }
    expect(captured.recordings).toBe(2)
  })
  test("under noGrad and outside are recordings of their own", () => {
    const w = tensor(2, { requiresGrad: true })
    const captured = capture((x: Tensor) => x.mul(w))
    for (let i = 0; i < 3; i++) {
      expect(captured(tensor(i)).requiresGrad).toBe(false)
      expect(noGrad(() => captured(tensor(i)).itemSync())).toBe(2 * i)
    }
    expect(captured.recordings).toBe(2)
  })
})

describe("memory", () => {
  test("stays the same from replay to replay, and is given back", () => {
    const before = backend.memory().buffers
    const w = tensor([1, 2, 3], { requiresGrad: true })
    const x = tensor([1, 1, 1])
    const captured = capture((x: Tensor) => {
      w.grad = null
      const loss = x.mul(w).exp().sum()
      loss.backward()
      return loss.detach()
    })
    for (let i = 0; i < 3; i++) scope(() => captured(x)).dispose()
    const { buffers, bytes } = backend.memory()
    for (let i = 0; i < 20; i++) scope(() => captured(x))
    expect([backend.memory().buffers, backend.memory().bytes]).toEqual([buffers, bytes])
    captured.dispose()
    expect(() => w.grad?.add(1)).toThrow(DisposedError)
    w.grad = null
    for (const one of [w, x]) one.dispose()
    // The gradient of the first call, which ran as it is.
    expect(backend.memory().buffers - before).toBeLessThanOrEqual(1)
  })
  test("that is given back inside serves again", () => {
    const buffersOf = (steps: number): number => {
      const before = backend.memory().buffers
      const captured = capture((x: Tensor) => {
        let y = x.add(1)
        for (let i = 0; i < steps; i++) {
          const next = y.mul(2)
          y.dispose()
          y = next
        }
        return y
      })
      for (let i = 0; i < 4; i++) expect(captured(tensor([i])).itemSync()).toBe((i + 1) * 2 ** steps)
      return backend.memory().buffers - before
    }
    expect(buffersOf(40)).toBeLessThanOrEqual(buffersOf(3))
  })
  test("of a disposed capture is gone for those who show it; the next call records anew", () => {
    const captured = capture((x: Tensor) => x.mul(2))
    let last = captured(tensor([1]))
    for (let i = 0; i < 3; i++) last = captured(tensor([1]))
    captured.dispose()
    expect(() => last.add(1)).toThrow(DisposedError)
    for (let i = 0; i < 3; i++) expect(captured(tensor([i])).itemSync()).toBe(2 * i)
  })
  test("results of the last replay are overwritten by the next", () => {
    const captured = capture((x: Tensor) => x.mul(2))
    const results = [1, 2, 3, 4].map((i) => captured(tensor([i])))
    expect(results[2].itemSync()).toBe(8)
    expect(captured(results[3]).itemSync()).toBe(16)
  })
})

describe("recorded anew", () => {
  test("when a tensor it uses was disposed or moved", () => {
    let w = tensor([2])
    const captured = capture((x: Tensor) => x.mul(w))
    for (let i = 0; i < 3; i++) captured(tensor([1]))
    w.dispose()
    expect(() => captured(tensor([1]))).toThrow(DisposedError)
    w = tensor([3])
    for (let i = 0; i < 3; i++) expect(captured(tensor([5])).itemSync()).toBe(15)
    w.rehome(tensor([4]))
    expect(captured(tensor([5])).itemSync()).toBe(20)
  })
  test("when a leaf stops or starts to want gradients", () => {
    const run = (wrap: (step: () => void) => () => void): unknown[] => {
      const [w, v] = [tensor([1, 2], { requiresGrad: true }), tensor([3, 4], { requiresGrad: true })]
      const step = wrap(() => w.mul(v).square().sum().backward())
      return Array.from({ length: 9 }, (_, i) => {
        v.requiresGrad = i < 4 || i > 6
        step()
        return [w.grad?.tolistSync(), v.grad?.tolistSync()]
      })
    }
    expect(run((step) => capture(step))).toEqual(run((step) => step))
  })
  test("after an error in the body, which changes nothing for later calls", () => {
    let fails = false
    const w = tensor([1, 2], { requiresGrad: true })
    const captured = capture((x: Tensor) => {
      const y = x.mul(w)
      if (fails) throw new Error("now")
      return y.sum()
    })
    captured(ones(2))
    fails = true
    const { buffers } = backend.memory()
    expect(() => captured(ones(2))).toThrow("now")
    expect(backend.memory().buffers).toBeLessThanOrEqual(buffers + 1)
    fails = false
    for (let i = 0; i < 3; i++) expect(captured(ones(2)).itemSync()).toBe(3)
  })
})

describe("what cannot be captured is an error, and no later call suffers", () => {
  const recorded = (body: () => unknown): (() => unknown) => {
    const captured = capture(body as () => Tensor)
    captured()
    return captured
  }
  test("reading values", async () => {
    const x = ones(2)
    expect(recorded(() => x.sum().itemSync())).toThrow(/dataSync: cannot be captured: it reads values/)
    await expect(async () => {
      let read: Promise<unknown> = Promise.resolve()
      recorded(() => void (read = x.data()))()
      await read
    }).rejects.toThrow(/data: cannot be captured/)
    expect(x.sum().itemSync()).toBe(2)
  })
  test("promises, on the first call", () => {
    expect(() => capture((async () => ones(1)) as never)()).toThrow(/capture: the body returned a promise/)
  })
  test("rows as gradients", () => {
    const w = ones(4, 2).requiresGrad_()
    const call = recorded(() => embedding(w, tensor([1, 2], { dtype: "int32" }), { sparse: true }).sum().backward()) // prettier-ignore
    expect(call).toThrow(/backward: cannot be captured: gradients in rows/)
  })
  test("inputs changed in place", () => {
    const captured = capture((x: Tensor, state: Tensor) => void state.add_(x))
    captured(ones(2), zeros(2))
    expect(() => captured(ones(2), zeros(2))).toThrow(/capture: the body changes input 1 in place/)
  })
  test("two devices", () => {
    const other = new Device(new CpuJs())
    const [x, y] = [ones(2), ones(2, { device: other })]
    expect(recorded(() => [x.add(1), y.add(1)])).toThrow(DeviceError)
  })
  test("inputs that are none, or that carry a graph", () => {
    const captured = capture((x: Tensor) => x.add(1))
    expect(() => captured(3 as never)).toThrow(ValueError)
    expect(() => captured(ones(2).requiresGrad_())).toThrow(GradientError)
    expect(() => capture(3 as never)).toThrow(/capture: needs a function to capture, got 3/)
    const gone = ones(1)
    gone.dispose()
    expect(() => captured(gone)).toThrow(DisposedError)
  })
})

test("observers hear the kernels of replays, and nothing is recorded for backward", () => {
  const w = tensor([1, 2], { requiresGrad: true })
  const captured = capture((x: Tensor) => x.mul(w).sum())
  const [heard, x]: [string[], Tensor] = [[], ones(2)]
  for (let i = 0; i < 2; i++) captured(x)
  const observe = (kernel: { kind: string }): void => void heard.push(kernel.kind)
  observers.add(observe)
  const result = captured(x)
  observers.delete(observe)
  expect(heard).toEqual(["map", "map", "reduce"])
  expect(result.requiresGrad).toBe(false)
  expect(result.device).toBe(currentDevice())
})

test("graphs that saved a result find out that it was overwritten", () => {
  const w = tensor([1, 2], { requiresGrad: true })
  const captured = capture((x: Tensor) => x.mul(2))
  for (let i = 0; i < 3; i++) captured(ones(2)).mul(w).sum().backward()
  const late = captured(ones(2)).mul(w).sum()
  captured(zeros(2))
  expect(() => late.backward()).toThrow(/was changed in place/)
})

test("what is called in anomaly mode runs as it is", () => {
  const x = tensor([0], { requiresGrad: true })
  const captured = capture(() => x.sqrt().mul(0).sum().backward())
  for (let i = 0; i < 3; i++) captured()
  expect(() => detectAnomaly(captured)).toThrow(/produced a NaN/)
})

describe("uncaptured", () => {
  test("parts run at every call, may read values, and find what was made before them, in whatever scope", () => {
    const seen: number[] = []
    const captured = capture((x: Tensor) => {
      const doubled = scope(() => {
        const inner = x.mul(2)
        uncaptured(() => void seen.push(inner.add(1).itemSync() as number))
        return inner.add(0)
      })
      uncaptured(() => void seen.push(doubled.itemSync() as number))
    })
    for (let i = 0; i < 4; i++) scope(() => captured(tensor(i)))
    expect(seen).toEqual([1, 0, 3, 2, 5, 4, 7, 6])
  })
  test("parts find what was disposed of after them, and inputs that they did not use before", () => {
    const seen: unknown[] = []
    let calls = 0
    const captured = capture((x: Tensor) => {
      const doubled = x.mul(2)
      uncaptured(() => void seen.push(doubled.itemSync()))
      doubled.dispose()
      uncaptured(() => ++calls === 4 && seen.push(x.itemSync()))
      return x.add(1)
    })
    for (let i = 0; i < 6; i++) scope(() => seen.push(captured(tensor(i)).itemSync()))
    expect(seen).toEqual([0, 1, 2, 2, 4, 3, 6, 3, 4, 8, 5, 10, 6])
  })
  test("parts run under noGrad where they stand there", () => {
    const w = tensor([1, 2], { requiresGrad: true })
    const captured = capture(() => noGrad(() => uncaptured(() => void w.mul_(2))))
    for (let i = 0; i < 4; i++) captured()
    expect(w.tolistSync()).toEqual([16, 32])
  })
  test("parts must leave gradients as they were recorded", () => {
    const w = tensor([1, 2], { requiresGrad: true })
    const stepOf = (drop: () => void): (() => unknown) => {
      let calls = 0
      w.grad = null
      return capture(() => {
        uncaptured(() => calls++ % 3 === 0 && drop())
        w.square().sum().backward()
      })
    }
    const dropping = stepOf(() => (w.grad = null))
    for (let i = 0; i < 3; i++) dropping()
    expect(dropping).toThrow(GradientError)
    const clearing = stepOf(() => w.grad?.zero_())
    const sums = Array.from({ length: 6 }, () => (clearing(), w.grad?.tolistSync()))
    expect(sums).toEqual([[2, 4], [4, 8], [6, 12], [2, 4], [4, 8], [6, 12]]) // prettier-ignore
  })
  test("parts may stand before gradients that are dropped outside, or drop them at every call", () => {
    const run = (wrap: (step: () => void) => () => void, inside: boolean): unknown[] => {
      const w = tensor([1, 2], { requiresGrad: true })
      const step = wrap(() => {
        uncaptured(() => inside && (w.grad = null))
        w.square().sum().backward()
      })
      return Array.from({ length: 9 }, (_, i) => {
        if (i % 3 === 0) w.grad = null
        step()
        return w.grad?.tolistSync()
      })
    }
    for (const inside of [false, true]) {
      const made: { recordings: number }[] = []
      const wrap = (step: () => void): (() => void) => {
        const captured = capture(step)
        made.push(captured)
        return captured
      }
      expect(run(wrap, inside)).toEqual(run((step) => step, inside))
      expect(made[0].recordings).toBe(inside ? 1 : 3)
    }
  })
  test("needs a function", () => {
    expect(() => uncaptured(3 as never)).toThrow(/uncaptured: needs a function to run, got number/)
  })
})

test("another default device is another form", () => {
  const captured = capture(() => ones(2).add(1))
  for (let i = 0; i < 3; i++) captured()
  const other = use(new CpuJs())
  for (let i = 0; i < 3; i++) expect(captured().device).toBe(other)
})

describe("prepared kernels", () => {
  /** Repeats kernels without a look at their memory, as fast backends do. */
  class Preparing extends CpuJs {
    repeated = 0
    prepare(...call: Parameters<CpuJs["run"]>): () => void {
      this.run(...call)
      return () => {
        this.repeated++
        this.run(...call)
      }
    }
  }
  test("are what replays run, until an uncaptured part gives back memory", () => {
    const preparing = new Preparing()
    use(preparing)
    const [x, w] = [ones(2), ones(2)]
    let last = false
    const step = capture(() => {
      const grown = x.mul(2)
      uncaptured(() => last && w.dispose())
      x.copy_(grown.add(w))
    })
    for (let i = 0; i < 3; i++) step()
    expect(x.tolistSync()).toEqual([15, 15])
    expect(preparing.repeated).toBe(3)
    last = true
    expect(step).toThrow(DisposedError)
    expect(preparing.repeated).toBe(4)
  })
})
