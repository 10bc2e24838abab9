// One opened GPU: the device, its queue, its memory, and what kernels share. Knows no kernel.
import { BufferPool } from "./memory.js"
import type { OpenedGpu } from "./device.js"
import { Queue } from "./queue.js"

const mostIdleBytes = 512 * 2 ** 20

/** What kernels are compiled for and run on. */
export class Gpu {
  readonly adapter: GPUAdapter
  readonly device: GPUDevice
  readonly queue: Queue
  readonly pool: BufferPool

  constructor({ adapter, device }: OpenedGpu) {
    this.adapter = adapter
    this.device = device
    this.queue = new Queue(device)
    this.pool = new BufferPool(device, mostIdleBytes)
    this.pool.onDestroy = () => this.queue.forgetGroups()
  }
}
