import { test, expect } from "vitest"
import { CpuJs } from "@rondo/backend-cpu-js"
import { gradcheck, gradgradcheck, grad, manualSeed, noGrad, randn, tensor, use, zeros, Tensor, arange, matmul, linear, ops } from "./index.js"
use(new CpuJs())
test("smoke", async () => {
  const x = tensor([[1, 2], [3, 4]], { requiresGrad: true })
  x.mul(x).sum().backward()
  expect(await x.grad!.tolist()).toEqual([[2, 4], [6, 8]])
  manualSeed(1)
  expect(await randn(2).print()).toBe("tensor([0.6614, 0.2669])")
  const y = tensor(3, { requiresGrad: true, dtype: "float64" })
  const [dy] = grad(y.pow(3), y, { createGraph: true })
  const [d2] = grad(dy!, y)
  expect(await d2!.item()).toBe(18)
  const a = randn(3, 4, { dtype: "float64", requiresGrad: true })
  const b = randn(4, 2, { dtype: "float64", requiresGrad: true })
  const c = randn(2, { dtype: "float64", requiresGrad: true })
  await gradcheck((a: Tensor, b: Tensor, c: Tensor) => matmul(a, b).add(c).tanh(), [a, b, c])
  await gradgradcheck((a: Tensor, b: Tensor, c: Tensor) => matmul(a, b).add(c).tanh().norm(), [a, b, c])
  // in-place on window
  const h = zeros(3, 2)
  const w = tensor([1, 2], { requiresGrad: true })
  const row = h.asStrided([2], [1], 2)
  row.add_(w.mul(3))
  expect(h.requiresGrad).toBe(true)
  h.mul(h).sum().backward()
  expect(await w.grad!.tolist()).toEqual([18, 36])
  // deep
  let s = tensor(1, { requiresGrad: true }); const s0 = s
  for (let i = 0; i < 10000; i++) s = s.mul(0.9999).tanh_()
  s.backward()
  expect(await s0.grad!.item()).toBeGreaterThan(0)
  const z = w.mul(2); const q = z.exp(); q.add_(1)
  expect(() => q.sum().backward()).toThrow(/changed in place/)
  console.log(Object.keys(ops).length, z.gradFn!.name, await z.print())
})
