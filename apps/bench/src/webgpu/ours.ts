// Rondo's cases on WebGPU, in a page or in Node.
import { type Device, device, scope, tensor, type Tensor, use } from "rondo"
import { trainingCases } from "../ours/cases.js"
import { productCases } from "./cases.js"
import { type GpuMeasured, type GpuPlan, type Products, stepTimer } from "./timing.js"

const products: Products<Tensor> = {
  place: (values, size) => tensor(values).reshape(size, size),
  multiply: (a, b) => a.matmul(b),
  free: (a) => a.dispose(),
  first: (a) => scope(() => a.flatten().select(0, 0)).item(),
}

/** Opens the device and gives its cases. */
export async function openOurs(plan: GpuPlan): Promise<Record<string, () => Promise<GpuMeasured>>> {
  const dev: Device = await device("webgpu")
  use(dev)
  const time = stepTimer<unknown>(plan, Number)
  return {
    ...productCases(products, plan),
    ...trainingCases({ device: dev, captured: false }, time as Parameters<typeof trainingCases>[1]),
  }
}
