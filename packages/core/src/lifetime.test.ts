// Who frees memory and when: dispose, scopes, and the pressure on the collector for memory that it cannot see.
import type { Backend, Storage } from "@rondo/backend"
import { DisposedError, OutOfMemoryError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { beforeEach, describe, expect, test } from "vitest"
import { Device, keep, scope, tensor, use, zeros } from "./index.js"
import type { Tensor } from "./index.js"

let backend: CpuJs
beforeEach(() => {
  backend = new CpuJs({ track: true })
  use(backend)
})
const live = (): number => backend.memory().buffers

describe("dispose", () => {
  test("frees once the last view is disposed, and use afterwards is an error", () => {
    const x = zeros(4)
    const view = x.reshape(2, 2)
    x.dispose()
    expect(live()).toBe(1)
    expect(view.add(1).tolistSync()).toEqual([[1, 1], [1, 1]]) // prettier-ignore
    view.dispose()
    view.dispose()
    expect(() => view.add(1)).toThrow(DisposedError)
    expect(() => x.tolistSync()).toThrow(/tolistSync|dataSync: the tensor was disposed/)
  })
  test("using frees at the end of the block", () => {
    const before = live()
    {
      using x = zeros(4)
      expect(x.numel()).toBe(4)
    }
    expect(live()).toBe(before)
  })
  test("a disposed saved tensor is an error at backward, not garbage", () => {
    const x = tensor([1, 2], { requiresGrad: true })
    const y = x.mul(3)
    const loss = y.square().sum()
    y.dispose()
    expect(() => loss.backward()).toThrow(/square \(backward\): the tensor was disposed/)
  })
})

describe("scope", () => {
  test("frees what it does not return, in any nesting of lists and objects", () => {
    const x = zeros(4)
    const result = scope(() => {
      const a = x.add(1)
      return { list: [a.mul(2), a.mul(3)], other: 5 }
    })
    expect(live()).toBe(3)
    expect(result.list[1].tolistSync()).toEqual([3, 3, 3, 3])
  })
  test("keeps gradients of leaves and what is kept", () => {
    const w = tensor([1, 2], { requiresGrad: true })
    let kept: Tensor | null = null
    const loss = scope(() => {
      const y = w.square()
      kept = keep(y.detach())
      const l = y.sum()
      l.backward()
      return l
    })
    expect(w.grad?.tolistSync()).toEqual([2, 4])
    expect(loss.itemSync()).toBe(5)
    expect((kept as unknown as Tensor).tolistSync()).toEqual([1, 4])
  })
  test("keeps gradients that were put there, in whatever way", () => {
    const w = tensor([1, 2], { requiresGrad: true })
    w.square().sum().backward()
    scope(() => void (w.grad = w.grad!.mul(10)))
    expect(w.grad?.tolistSync()).toEqual([20, 40])
    const refused = (): void => {
      w.grad = w.grad!.detach()
      throw new ValueError("refused")
    }
    expect(() => scope(refused)).toThrow("refused")
    w.square().sum().backward()
    expect(w.grad?.tolistSync()).toEqual([22, 44])
  })
  test("nested: what the inner one returns dies with the outer one", () => {
    const before = live()
    scope(() => {
      const inner = scope(() => zeros(2).add(1))
      expect(inner.tolistSync()).toEqual([1, 1])
    })
    expect(live()).toBe(before)
  })
  test("frees when the body throws, and refuses promises", () => {
    const before = live()
    expect(() => scope(() => zeros(zeros(3).add(1).shape[0], -1))).toThrow(/must not be negative/)
    expect(() => scope(() => Promise.resolve(zeros(2)))).toThrow(ValueError)
    expect(live()).toBe(before)
  })
})

/** The reference behind a mask: the collector sees only handles, as with WebAssembly or GPU memory. */
function hidden(limit?: number): { backend: Backend; bytes: () => number } {
  const real = new CpuJs()
  const held = new Map<Storage, number>()
  const total = (): number => [...held.values()].reduce((a, b) => a + b, 0)
  const backend: Backend = Object.create(real, {
    capabilities: { value: { ...real.capabilities, hostMemory: false, memoryBytes: limit } },
    alloc: {
      value: (bytes: number) => {
        if (limit !== undefined && total() + bytes > limit) throw new OutOfMemoryError("hidden: out of memory")
        const storage = real.alloc(4)
        held.set(storage, bytes)
        return storage
      },
    },
    free: { value: (storage: Storage) => void held.delete(storage) },
    run: { value: () => undefined },
    read: { value: async (_: Storage, __: number, length: number) => new ArrayBuffer(length) },
  })
  return { backend, bytes: total }
}

describe("memory that the collector cannot see", () => {
  test("stays bounded in a loop that only awaits reads", async () => {
    const { backend: masked, bytes } = hidden()
    const device = new Device(masked)
    const megabyte = zeros(2 ** 18, { device })
    const loss = zeros(1, { device })
    let peak = 0
    // 6 GB pass through; without pressure nothing is collected before the end.
    for (let step = 0; step < 600; step++) {
      for (let k = 0; k < 10; k++) megabyte.add(1)
      await loss.item()
      peak = Math.max(peak, bytes())
    }
    expect(peak).toBeLessThan(1.5 * 2 ** 30)
  })
  test("stays below the device's limit, however small", async () => {
    const { backend: masked } = hidden(100 * 2 ** 20)
    const device = new Device(masked)
    const megabyte = zeros(2 ** 18, { device })
    const loss = zeros(1, { device })
    // Without regard to the limit the collector would first be called after 512 MB.
    for (let step = 0; step < 100; step++) {
      for (let k = 0; k < 5; k++) megabyte.add(1)
      await loss.item()
    }
  })
  test("what a step left that ran out of memory is collected, and the next ones work", async () => {
    const { backend: masked, bytes } = hidden(100 * 2 ** 20)
    const device = new Device(masked)
    const megabyte = zeros(2 ** 18, { device })
    const step = (operations: number): void => {
      const graph = [megabyte]
      while (graph.length < operations) graph.push(graph[graph.length - 1].add(1))
    }
    expect(() => step(200)).toThrow(OutOfMemoryError)
    await expect.poll(() => megabyte.data().then(bytes), { timeout: 20_000, interval: 5 }).toBeLessThan(50 * 2 ** 20)
    step(40)
  })
})
