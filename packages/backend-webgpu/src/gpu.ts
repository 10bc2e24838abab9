// One opened GPU: the device, its queue, its memory, and what kernels share. Knows no kernel.
import { type OpenedGpu, rendersOnCpu } from "./device.js"
import type { IndexFlags } from "./flags.js"
import { Health } from "./health.js"
import { BufferPool } from "./memory.js"
import { Queue } from "./queue.js"
import { Transfers } from "./transfer.js"

const mostIdleBytes = 512 * 2 ** 20

/** What kernels are compiled for and run on. */
export class Gpu {
  readonly adapter: GPUAdapter
  readonly device: GPUDevice
  readonly health: Health
  readonly queue: Queue
  readonly pool: BufferPool
  readonly transfers: Transfers
  /**
   * True if threads of a workgroup wait for each other at little cost. On adapters that are programs a barrier costs as much as
   * hundreds of operations: kernels have forms without, in which every thread works alone. Only tests set it.
   */
  barriers: boolean
  /** True if neighbouring threads form subgroups: trees go through their registers. Opening the backend finds out; only tests set it. */
  subgroups = false
  /** Most bytes of one buffer. */
  readonly maxBufferBytes: number

  /** `memoryLimit` bounds freed buffers too: they are given back rather than reserving more. */
  constructor({ adapter, device }: OpenedGpu, memoryLimit = Infinity) {
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits
    this.adapter = adapter
    this.device = device
    this.maxBufferBytes = Math.min(maxBufferSize, maxStorageBufferBindingSize)
    const onCpu = rendersOnCpu(adapter.info)
    this.barriers = !onCpu
    this.health = new Health(device, onCpu)
    this.queue = new Queue(device, this.health)
    this.pool = new BufferPool(device, this.health, {
      buffer: this.maxBufferBytes,
      idle: mostIdleBytes,
      total: memoryLimit,
    })
    this.pool.onDestroy = () => this.queue.letGo()
    this.transfers = new Transfers(this.queue, this.health, this.pool)
  }

  /** Where kernels note indices that lie outside. */
  get flags(): IndexFlags {
    return this.transfers.flags
  }
}
