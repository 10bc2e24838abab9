// Bytes between the host and the device: writes of any alignment, in order with the queue, and reads, which also tell of bad
// indices. Knows nothing of what the bytes mean.
import { DeviceError, IndexError, OutOfMemoryError } from "@rondo/backend"
import { flagBytes, indexError, IndexFlags } from "./flags.js"
import type { Health } from "./health.js"
import type { Block, BufferPool } from "./memory.js"
import { param, type Queue, type ShaderSource } from "./queue.js"

/** Buffers for reading that are kept: as many, of at most so many bytes each. */
const mostStaging = 8
const mostStagingBytes = 4 * 2 ** 20

/** Puts some bytes into each of two words, and leaves the others as they are. */
const patchSource = (): ShaderSource => ({
  name: "write",
  kinds: ["w"],
  code: `
@compute @workgroup_size(1)
fn main() {
  store0(${param(0)}, (load0(${param(0)}) & ~${param(1)}) | ${param(2)});
  store0(${param(3)}, (load0(${param(3)}) & ~${param(4)}) | ${param(5)});
}`,
})

/** The bytes of one word that a write replaces. */
interface Patch {
  word: number
  mask: number
  bits: number
}

/** Moves bytes for one device. */
export class Transfers {
  readonly flags: IndexFlags
  private readonly queue: Queue
  private readonly health: Health
  private readonly pool: BufferPool
  private staging: GPUBuffer[] = []
  /** Reads that fetch flags and have not told yet. */
  private readonly looks = new Set<Promise<IndexError | null>>()

  constructor(queue: Queue, health: Health, pool: BufferPool) {
    this.queue = queue
    this.health = health
    this.pool = pool
    this.flags = new IndexFlags(pool.take(flagBytes))
    this.flags.onFull = () => {
      const at = health.tick()
      const check = this.read(this.flags.block, 0, 0).then(
        () => {},
        (error: Error) => health.fail(error, { at }),
      )
      health.await(check)
    }
  }

  /** Writes bytes; `end` is where the storage ends: what lies behind it belongs to nobody. */
  write(block: Block, byteOffset: number, bytes: Uint8Array, end: number): void {
    if (bytes.byteLength === 0) return
    // The device's own writes overtake commands that were not submitted yet.
    if (block.lastBatch === this.queue.batch) this.queue.flush()
    const last = byteOffset + bytes.byteLength
    const lead = byteOffset % 4 === 0 ? 0 : Math.min(bytes.byteLength, 4 - (byteOffset % 4))
    const trail = last % 4 === 0 || last === end || lead === bytes.byteLength ? 0 : last % 4
    const middle = bytes.subarray(lead, bytes.byteLength - trail)
    if (middle.byteLength > 0) this.writeWords(block, byteOffset + lead, middle)
    if (lead + trail > 0) this.patch(block, byteOffset, bytes, lead, trail)
  }

  private writeWords(block: Block, byteOffset: number, bytes: Uint8Array): void {
    const whole = bytes.byteLength % 4 === 0
    const padded = whole ? bytes : new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4)
    if (!whole) padded.set(bytes)
    this.queue.device.queue.writeBuffer(block.buffer, byteOffset, padded as Uint8Array<ArrayBuffer>)
  }

  private patch(block: Block, byteOffset: number, bytes: Uint8Array, lead: number, trail: number): void {
    const patches: Patch[] = []
    const collect = (from: number, to: number) => {
      if (from === to) return
      const patch: Patch = { word: Math.floor((byteOffset + from) / 4), mask: 0, bits: 0 }
      for (let i = from; i < to; i++) {
        const shift = 8 * ((byteOffset + i) % 4)
        patch.mask |= 255 << shift
        patch.bits |= bytes[i] << shift
      }
      patches.push(patch)
    }
    collect(0, lead)
    collect(bytes.byteLength - trail, bytes.byteLength)
    const [a, b = { word: a.word, mask: 0, bits: 0 }] = patches
    const params = [a.word, a.mask, a.bits, b.word, b.mask, b.bits]
    this.queue.dispatch(this.queue.program("patch", patchSource), [block], params, [1, 1, 1])
  }

  /**
   * The bytes as they are after everything queued so far. Rejects with what went wrong with that, bad indices included: also those
   * that a read asked for earlier has fetched and not told yet, since kernels behind them did nothing.
   */
  async read(block: Block, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    const earlier = [...this.looks]
    const looks = this.flags.bytes > 0
    const reading = this.fetch(block, byteOffset, byteLength)
    if (looks) {
      const told = reading.then(
        () => null,
        (error: unknown) => (error instanceof IndexError ? error : null),
      )
      this.looks.add(told)
      void told.then(() => this.looks.delete(told))
    }
    const bytes = await reading
    const bad = earlier.length > 0 && (await Promise.all(earlier)).find((error) => error !== null)
    if (bad) throw bad
    return bytes
  }

  private async fetch(block: Block, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    const { queue, health, flags } = this
    const start = byteOffset - (byteOffset % 4)
    const size = byteLength === 0 ? 0 : Math.ceil((byteOffset + byteLength - start) / 4) * 4
    if (size > 0 && flags.bytes > 0 && size + flags.bytes > queue.device.limits.maxBufferSize) {
      // One buffer does not hold both. Both are copied before anything is waited for.
      const [, bytes] = await Promise.all([this.fetch(flags.block, 0, 0), this.fetch(block, byteOffset, byteLength)])
      return bytes
    }
    const { runs, bytes: flagged } = flags.take()
    const total = size + flagged
    if (total === 0) {
      await health.guard(queue.settle())
      return new ArrayBuffer(0)
    }
    const staging = this.takeStaging(total)
    const commands = queue.copies()
    if (size > 0) commands.copyBufferToBuffer(block.buffer, start, staging, 0, size)
    if (flagged > 0) {
      commands.copyBufferToBuffer(flags.block.buffer, 0, staging, size, flagged)
      commands.clearBuffer(flags.block.buffer, 0, flagged)
    }
    queue.flush()
    const mapped = staging.mapAsync(GPUMapMode.READ, 0, total)
    let bytes: ArrayBuffer
    try {
      const [checked, done] = await health.guard(Promise.allSettled([queue.settle(), mapped]))
      if (checked.status === "rejected") throw checked.reason
      if (done.status === "rejected") {
        health.check()
        throw new DeviceError(`webgpu: reading failed: ${String(done.reason)}`)
      }
      bytes = staging.getMappedRange(0, total).slice(0)
    } catch (error) {
      staging.destroy()
      throw error
    }
    this.giveStaging(staging)
    const bad = indexError(runs, new Uint32Array(bytes, size))
    if (bad) throw bad
    const from = byteOffset - start
    return size === byteLength && flagged === 0 ? bytes : bytes.slice(from, from + byteLength)
  }

  private takeStaging(bytes: number): GPUBuffer {
    const at = this.staging.findIndex(({ size }) => size >= bytes && size <= 4 * bytes + 1024)
    if (at >= 0) return this.staging.splice(at, 1)[0]
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST
    const size = bytes <= mostStagingBytes ? 2 ** Math.max(8, Math.ceil(Math.log2(bytes))) : bytes
    return this.health.scope(
      "out-of-memory",
      () => this.queue.device.createBuffer({ label: "read", size, usage }),
      (message) => {
        this.pool.shrink(0)
        return new OutOfMemoryError(
          `webgpu: out of memory: got a request for ${size} bytes to read into, but there are no more (${message}); ` +
            "dispose tensors, or read smaller parts",
        )
      },
    )
  }

  private giveStaging(buffer: GPUBuffer): void {
    buffer.unmap()
    if (buffer.size > mostStagingBytes) return buffer.destroy()
    this.staging.push(buffer)
    if (this.staging.length > mostStaging) (this.staging.shift() as GPUBuffer).destroy()
  }
}
